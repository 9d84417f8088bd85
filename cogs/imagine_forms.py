"""The form in which a picture is changed before it is ordered: what it shows, and how what was typed is read."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import discord

from bot.catalog import ImageModel
from bot.errors import ChoiceUnknown, DraftGone, OutOfRange
from bot.minitoolai.images import SCHEDULERS
from bot.money import CreditUnit
from bot.pictures.choosing import Asked
from bot.pictures.request import PROMPT_LIMIT, SHAPES, Picture
from cogs.forms import Fields, Form
from cogs.picture_options import NUMBERS, price_each

TITLES: Final[Mapping[str, str]] = {"edit": "Edit, and draw again", "menu": "Picture this"}
"""By the name of the form, which says where it was opened from."""
SENT: Final = re.compile(r"picture:form:(?P<name>edit|menu)")
"""The custom id of the form. It need not say more: all that it stands on is in its fields."""
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

    @classmethod
    def read(cls, fields: Fields) -> "Typed":
        """What a submitted form holds. FormUnreadable: an altered client sent it."""
        return cls(
            prompt=fields.text("prompt"),
            negative_prompt=fields.text("negative_prompt"),
            model=fields.chosen("model") or "",
            size=fields.text("size"),
            rest=fields.text("rest"),
        )

    @property
    def text(self) -> str:
        """All of it as one text, to be given back; what was left empty is left out."""
        named = {"Negative prompt": self.negative_prompt, "Model": self.model, "Size": self.size}
        lines = [f"{name}: {value}" for name, value in named.items() if value]
        return "\n".join(filter(None, (self.prompt, *lines, self.rest)))

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What is on disk below a way back to a form: which one it was, and what was typed."""

    form: str
    typed: Typed

    def body(self) -> dict[str, Any]:
        """For a draft."""
        return asdict(self)

    @classmethod
    def from_draft(cls, body: dict[str, Any]) -> "Kept":
        """The other way round. DraftGone: another version of the bot wrote it."""
        try:
            kept = cls(form=body["form"], typed=Typed(**body["typed"]))
        except (KeyError, TypeError) as error:
            raise DraftGone("picture") from error
        if kept.form not in TITLES:
            raise DraftGone("picture")
        return kept


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


class PictureForm(Form):
    """Five fields: Discord takes no more in one form. `name` is one of TITLES."""

    def __init__(self, name: str, typed: Typed, models: Sequence[ImageModel], unit: CreditUnit) -> None:
        super().__init__(title=TITLES[name], custom_id=f"picture:form:{name}")
        shapes = ", ".join(SHAPES).capitalize()
        size = f"{shapes}; or width × height, each 256 to 1344 pixels"
        rest = "steps 1 to 8, cfg_scale 1 to 7, count 1 to 4; spoiler, private: yes or no"
        for text, description, component in (
            ("Prompt", None, _text("prompt", typed.prompt, long=True, limit=PROMPT_LIMIT)),
            (
                "Negative prompt",
                "What to leave out",
                _text("negative_prompt", typed.negative_prompt, long=True, limit=PROMPT_LIMIT, required=False),
            ),
            ("Model", None, _model_select(models, typed.model, unit)),
            ("Size", size, _text("size", typed.size, limit=30, required=False)),
            ("More", rest, _text("rest", typed.rest, long=True, limit=REST_LIMIT, required=False)),
        ):
            self.add_item(discord.ui.Label(text=text, description=description, component=component))


def _text(
    name: str, value: str, *, limit: int, long: bool = False, required: bool = True
) -> "discord.ui.TextInput[PictureForm]":
    """`value` is cut to what the field takes, in UTF-16 code units: Discord refuses a form with more."""
    style = discord.TextStyle.paragraph if long else discord.TextStyle.short
    fitting = value.encode("utf-16-le", "replace")[: 2 * limit].decode("utf-16-le", "ignore")
    return discord.ui.TextInput(custom_id=name, style=style, default=fitting, max_length=limit, required=required)


def _model_select(models: Sequence[ImageModel], chosen: str, unit: CreditUnit) -> "discord.ui.Select[PictureForm]":
    options = [
        discord.SelectOption(
            label=model.id, value=model.id, description=price_each(model, unit), default=model.id == chosen
        )
        for model in models
    ]
    return discord.ui.Select(custom_id="model", options=options, placeholder="Choose a model")
