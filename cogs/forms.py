"""Forms that outlive the process which opened them, and a Discord that is slow to say that it has.

discord.py keeps an open form in memory, from the moment when Discord's answer to the request that opened it has been
read: a submit before that, or after a restart, it throws away. So none is kept here. A form's custom id says what it
is, as a button's does, and who takes that kind reads the fields from the submit itself.
"""

import io
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeAlias, cast

import discord
from discord.ext import commands
from discord.utils import MISSING

from bot.client import NOT_TAKEN, Bot, already_acknowledged
from bot.delivery.messages import CONTENT_LIMIT, utf16_length
from bot.errors import BotError, FormUnknown, FormUnreadable, NotPermitted
from bot.ops.logging import log_context

log = logging.getLogger(__name__)

Interaction: TypeAlias = discord.Interaction[Bot]

FIELDS_LIMIT: Final = 10
"""How many fields of a form are read: Discord takes five."""
TEXT_LIMIT: Final = 8_000
"""Characters of a field that are read. Discord takes 4,000; how it counts them is not worth losing what was typed."""

_TEXT, _SELECT, _CHECKBOX = (
    discord.ComponentType.text_input.value,
    discord.ComponentType.select.value,
    discord.ComponentType.checkbox.value,
)


class Form(discord.ui.Modal):
    """The looks of a form, of which nobody remembers that it is open."""

    def __init__(self, *, custom_id: str, title: str = MISSING) -> None:
        super().__init__(title=title, timeout=None, custom_id=custom_id)
        self.stop()  # discord.py keeps none that is finished


@dataclass(frozen=True, kw_only=True, slots=True)
class Fields:
    """What a form was sent with, by the custom ids of its fields. Nothing is believed: altered clients send anything.

    Each reader raises FormUnreadable where there is no such field, or where it is of another kind.
    """

    by_id: Mapping[str, Mapping[str, Any]] = field(repr=False)

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Fields":
        """The fields of an interaction's data, in their order."""
        return cls(by_id={each["custom_id"]: each for each in islice(_leaves(data.get("components")), FIELDS_LIMIT)})

    def text(self, name: str) -> str:
        """What was typed; Discord may send nothing for what was left empty."""
        value = self._field(name, _TEXT).get("value")
        text = "" if value is None else value
        if not isinstance(text, str) or len(text) > TEXT_LIMIT:
            raise FormUnreadable(name)
        return text

    def chosen(self, name: str) -> str | None:
        """The one option of a select that was chosen; None where none was."""
        values = self._field(name, _SELECT).get("values")
        if not isinstance(values, list) or len(values) > 1 or not all(isinstance(value, str) for value in values):
            raise FormUnreadable(name)
        return values[0] if values else None

    def checked(self, name: str) -> bool:
        """Whether a box was ticked; Discord may send nothing for one that nobody touched."""
        value = self._field(name, _CHECKBOX).get("value")
        if value is not None and not isinstance(value, bool):
            raise FormUnreadable(name)
        return value is True

    @property
    def typed(self) -> str:
        """All texts, to be given back."""
        values = (each.get("value") for each in self.by_id.values() if each.get("type") == _TEXT)
        return "\n\n".join(value[:TEXT_LIMIT] for value in values if isinstance(value, str) and value.strip())

    def _field(self, name: str, kind: int) -> Mapping[str, Any]:
        found = self.by_id.get(name)
        if found is None or found.get("type") != kind:
            raise FormUnreadable(name)
        return found


def _leaves(components: object) -> Iterator[Mapping[str, Any]]:
    """The fields, which a submit has in labels, or, as of old, in rows."""
    for outer in components if isinstance(components, list) else ():
        if not isinstance(outer, dict):
            continue
        row = outer.get("components")
        for each in (outer, outer.get("component"), *(row if isinstance(row, list) else ())):
            if isinstance(each, dict) and isinstance(each.get("custom_id"), str):
                yield each


Take: TypeAlias = Callable[[Interaction, "re.Match[str]", Fields], Awaitable[None]]
"""Does what a form is for, given what its custom id says. What it raises is told, with what was typed."""


class Forms(commands.Cog):
    """The door through which every submitted form comes in."""

    def __init__(self) -> None:
        self._takers: dict[re.Pattern[str], Take] = {}

    def add(self, template: re.Pattern[str], take: Take) -> None:
        """Have `take` called for each submitted form whose whole custom id is as `template` says."""
        self._takers[template] = take

    def remove(self, template: re.Pattern[str]) -> None:
        """Nobody takes those any more."""
        self._takers.pop(template, None)

    @commands.Cog.listener()
    async def on_interaction(self, interaction: Interaction) -> None:
        if interaction.type is not discord.InteractionType.modal_submit:
            return
        with log_context(request_id=interaction.id):
            try:
                await self._take(interaction)
            except Exception as error:  # noqa: BLE001 - a listener's top: the one door takes whatever comes
                await interaction.client.report(interaction, error)

    async def _take(self, interaction: Interaction) -> None:
        data: Any = interaction.data
        fields = Fields.read(data)
        for template, take in self._takers.items():
            if (match := template.fullmatch(data["custom_id"])) is not None:
                await _give_over(take, interaction, match, fields)
                return
        await give_back(interaction, interaction.client.words_for(FormUnknown()), typed=fields.typed)


async def _give_over(take: Take, interaction: Interaction, match: "re.Match[str]", fields: Fields) -> None:
    try:
        await take(interaction, match, fields)
    except (FormUnreadable, NotPermitted):  # made up, or of who may not do it at all: nothing is lost
        raise
    except BotError as error:
        await give_back(interaction, interaction.client.words_for(error), typed=fields.typed)


def forms_of(bot: Bot) -> Forms:
    """The door, for those who take what comes in."""
    forms = bot.get_cog(Forms.__cog_name__)
    assert forms is not None, "cogs.forms is loaded before those who have forms"
    # Not held to be an instance: an extension that discord.py loads again is executed anew, and its class is another.
    return cast(Forms, forms)


async def give_back(interaction: Interaction, words: str, *, typed: str = "", view: discord.ui.View = MISSING) -> None:
    """Say why nothing comes of a form, to its sender alone, with what they typed: nothing of it is to be lost.

    The reply may have been promised, and is seen to by that.
    """
    arrivals = interaction.client.services.arrivals
    try:
        await _send(interaction, words, typed, view)
    except NOT_TAKEN as failure:
        log.warning("what was typed could not be given back: %s", type(failure).__name__)
        arrivals.untold(interaction.id)
    else:
        await arrivals.told(interaction.id)


async def _send(interaction: Interaction, words: str, typed: str, view: discord.ui.View) -> None:
    """As the response, or after it: that there is one is known to Discord alone where its answer to it was lost."""
    with already_acknowledged():
        if not interaction.response.is_done():
            content, file = with_typed(words, typed)
            await interaction.response.send_message(content, file=file, view=view, ephemeral=True)
            return
    content, file = with_typed(words, typed)  # anew: what was read of a file is not read again
    await interaction.followup.send(content, file=file, view=view, ephemeral=True)


def with_typed(words: str, typed: str) -> tuple[str, discord.File]:
    """A message's content, and a file (MISSING for none) where `typed` does not fit in or would end its code block."""
    if not typed.strip():
        return words, MISSING
    shown = f"{words}\nThis is what you typed:\n```\n{typed}\n```".lstrip()
    if utf16_length(shown) <= CONTENT_LIMIT and "```" not in typed:
        return shown, MISSING
    content = io.BytesIO(typed.encode(errors="replace"))
    return f"{words}\nWhat you typed is in the file.".lstrip(), discord.File(content, filename="what-you-typed.txt")


async def setup(bot: Bot) -> None:
    await bot.add_cog(Forms())
