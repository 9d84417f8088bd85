"""The form in which a picture is changed before it is ordered: what it shows, and how what was typed is read."""

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import discord

from bot.catalog import ImageModel
from bot.client import NOT_TAKEN
from bot.errors import ChoiceUnknown, OutOfRange
from bot.minitoolai.images import SCHEDULERS
from bot.money import CreditUnit
from bot.pictures.choosing import Asked
from bot.pictures.request import PROMPT_LIMIT, SHAPES, Picture
from cogs.ask import TOKEN_LIFE_S, Interaction
from cogs.picture_options import NUMBERS, price_each

log = logging.getLogger(__name__)

KEPT: Final = "-# What you typed is kept for 15 minutes."
REST_LIMIT: Final = 300
"""Characters of the field with the lines."""

_SIZE: Final = re.compile(r"(\d{1,6})\s*(?:px)?\s*[x×*, ]\s*(\d{1,6})\s*(?:px)?", re.IGNORECASE | re.ASCII)
_LINE: Final = re.compile(r"\s*([A-Za-z_ ]+?)\s*[:=]\s*(.*?)\s*", re.ASCII)
_TRUTH: Final = {"yes": True, "no": False, "true": True, "false": False, "on": True, "off": False, "": False}
_EXAMPLES: Final = ("steps: 4", "cfg_scale: 2", "scheduler: Euler a", "count: 1", "spoiler: no", "private: no")
_KNOWN: Final = tuple(example.partition(":")[0] for example in _EXAMPLES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """An order as it is asked for, before the rules of the place are applied."""

    asked: Asked
    count: int = 1
    spoiler: bool = False
    private: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Typed:
    """The form's fields as texts. `rest` has a line `name: value` for each of the other options."""

    prompt: str
    negative_prompt: str
    model: str
    size: str
    rest: str

    @classmethod
    def of(cls, picture: Picture, *, count: int, spoiler: bool, private: bool) -> "Typed":
        """The fields filled with what is there."""
        values = {
            "steps": picture.steps,
            "cfg_scale": f"{picture.cfg_scale:.10g}",
            "scheduler": picture.scheduler,
            "count": count,
            "spoiler": "yes" if spoiler else "no",
            "private": "yes" if private else "no",
        }
        return cls(
            prompt=picture.prompt,
            negative_prompt=picture.negative_prompt or "",
            model=picture.model,
            size=f"{picture.width} × {picture.height}",
            rest="\n".join(f"{name}: {value}" for name, value in values.items()),
        )

    def wanted(self) -> Wanted:
        """What was asked for. A line that is missing leaves its option open, an empty negative prompt asks for none.

        Raises:
            ChoiceUnknown, OutOfRange: what cannot be read, by the name of its option.
        """
        rest = _lines(self.rest)
        return Wanted(
            asked=Asked(
                prompt=self.prompt,
                model=self.model or None,
                negative_prompt=self.negative_prompt,
                scheduler=_scheduler(rest.get("scheduler")),
                steps=_whole("steps", rest.get("steps")),
                cfg_scale=_number("cfg_scale", rest.get("cfg_scale")),
                **_size(self.size),
            ),
            count=_whole("count", rest.get("count")) or 1,
            spoiler=_truth("spoiler", rest.get("spoiler", "")),
            private=_truth("private", rest.get("private", "")),
        )


def _lines(text: str) -> dict[str, str]:
    """The last value of each name; names in any case, with spaces for underscores."""
    values: dict[str, str] = {}
    for line in filter(str.strip, text.splitlines()):
        found = _LINE.fullmatch(line)
        name = "_".join(found[1].lower().split()) if found else line
        if found is None or name not in _KNOWN:
            raise ChoiceUnknown("More", line.strip(), known=_EXAMPLES)
        values[name] = found[2]
    return values


def _size(text: str) -> dict[str, Any]:
    """A shape by its name, or two sides; nothing leaves the size open."""
    wanted = text.strip()
    if not wanted:
        return {}
    found = _SIZE.fullmatch(wanted)
    if found is not None:
        return {"width": int(found[1]), "height": int(found[2])}
    if wanted.lower() not in SHAPES:
        raise ChoiceUnknown("size", text, known=(*SHAPES, "832 × 1216"))
    return {"shape": wanted.lower()}


def _scheduler(text: str | None) -> str | None:
    if not text:
        return None
    return next((name for name in SCHEDULERS if name.casefold() == " ".join(text.casefold().split())), text)


def _number(option: str, text: str | None) -> float | None:
    if not text:
        return None
    if not re.fullmatch(r"\d{1,6}(?:[.,]\d{1,6})?", text, re.ASCII):
        _, low, high = NUMBERS[option]
        raise OutOfRange(option, low=low, high=high)
    return float(text.replace(",", "."))


def _whole(option: str, text: str | None) -> int | None:
    number = _number(option, text)
    if number is None:
        return None
    _, low, high = NUMBERS[option]
    if not (number.is_integer() and low <= number <= high):
        raise OutOfRange(option, low=low, high=high)
    return int(number)


def _truth(option: str, text: str) -> bool:
    truth = _TRUTH.get(text.casefold())
    if truth is None:
        raise ChoiceUnknown(option, text, known=("yes", "no"))
    return truth


Submit: TypeAlias = Callable[[Interaction, Typed], Awaitable[bool]]
"""Orders what was typed. False: it said why not in the reply, which was there already. Raises what is wrong before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """What a form needs to be shown, and shown again: the models to choose from with their prices, and who takes it."""

    title: str
    models: Sequence[ImageModel]
    unit: CreditUnit
    submit: Submit

    def filled(self, typed: Typed) -> "PictureForm":
        """The form with `typed` in its fields."""
        return PictureForm(self, typed)


class PictureForm(discord.ui.Modal):
    """Five fields: Discord takes no more in one form."""

    def __init__(self, form: Form, typed: Typed) -> None:
        super().__init__(title=form.title, timeout=TOKEN_LIFE_S)
        self._form = form
        self._prompt = _text("prompt", typed.prompt, long=True, limit=PROMPT_LIMIT)
        self._negative = _text("negative_prompt", typed.negative_prompt, long=True, limit=PROMPT_LIMIT, required=False)
        self._model: discord.ui.Select[Any] = discord.ui.Select(
            custom_id="model", options=_options(form, typed.model), placeholder="Choose a model"
        )
        self._size = _text("size", typed.size, limit=30, required=False)
        self._rest = _text("rest", typed.rest, long=True, limit=REST_LIMIT, required=False)
        shapes = ", ".join(SHAPES).capitalize()
        for text, description, component in (
            ("Prompt", None, self._prompt),
            ("Negative prompt", "What to leave out", self._negative),
            ("Model", None, self._model),
            ("Size", f"{shapes}; or width × height, each 256 to 1344 pixels", self._size),
            ("More", "steps 1 to 8, cfg_scale 1 to 7, count 1 to 4; spoiler, private: yes or no", self._rest),
        ):
            self.add_item(discord.ui.Label(text=text, description=description, component=component))

    @property
    def typed(self) -> Typed:
        """What the fields hold."""
        return Typed(
            prompt=self._prompt.value,
            negative_prompt=self._negative.value,
            model=self._model.values[0] if self._model.values else "",
            size=self._size.value,
            rest=self._rest.value,
        )

    async def on_submit(self, interaction: Interaction, /) -> None:  # type: ignore[override]  # our own client's type
        typed = self.typed
        try:
            if await self._form.submit(interaction, typed):
                return
            words = KEPT
        except Exception as error:  # noqa: BLE001 - whatever it is, what was typed must not be lost
            words = f"{interaction.client.words_for(error)}\n{KEPT}"
        await _give_back(interaction, words, BackToForm(self._form, typed))

    async def on_error(self, interaction: Interaction, error: Exception, /) -> None:  # type: ignore[override]  # as above
        await interaction.client.report(interaction, error)


def _text(
    name: str, value: str, *, limit: int, long: bool = False, required: bool = True
) -> "discord.ui.TextInput[PictureForm]":
    """`value` is cut to what the field takes, in UTF-16 code units: Discord refuses a form with more."""
    style = discord.TextStyle.paragraph if long else discord.TextStyle.short
    fitting = value.encode("utf-16-le", "replace")[: 2 * limit].decode("utf-16-le", "ignore")
    return discord.ui.TextInput(custom_id=name, style=style, default=fitting, max_length=limit, required=required)


def _options(form: Form, chosen: str) -> list[discord.SelectOption]:
    return [
        discord.SelectOption(
            label=model.id, value=model.id, description=price_each(model, form.unit), default=model.id == chosen
        )
        for model in form.models
    ]


async def _give_back(interaction: Interaction, words: str, view: "BackToForm") -> None:
    """Say why nothing is drawn, with what was typed. The reply may have been promised, and is seen to by that."""
    arrivals = interaction.client.services.arrivals
    try:
        if interaction.response.is_done():
            await interaction.followup.send(words, view=view, ephemeral=True)
        else:
            await interaction.response.send_message(words, view=view, ephemeral=True)
    except NOT_TAKEN as failure:
        log.warning("what was typed could not be given back: %s", type(failure).__name__)
        arrivals.untold(interaction.id)
    else:
        await arrivals.told(interaction.id)


class BackToForm(discord.ui.View):
    """Opens the form again with what was typed, for as long as this process remembers it."""

    def __init__(self, form: Form, typed: Typed) -> None:
        super().__init__(timeout=TOKEN_LIFE_S)
        self._form = form
        self._typed = typed

    @discord.ui.button(label="Back to the form", emoji="✏️")
    async def back(self, interaction: Interaction, _: "discord.ui.Button[BackToForm]") -> None:
        await interaction.response.send_modal(self._form.filled(self._typed))

    async def on_error(  # type: ignore[override]  # our own client's type
        self, interaction: Interaction, error: Exception, _: discord.ui.Item[Any], /
    ) -> None:
        await interaction.client.report(interaction, error)
