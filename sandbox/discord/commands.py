"""An application's registered commands, with the rules for registering them.

Source: https://discord.com/developers/docs/interactions/application-commands.
"""

from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Any, Final

import regex

from sandbox.discord.refusals import Json, Path, Problems, refusal, utf16_length

COMMANDS_LIMIT: Final = 100
MENU_COMMANDS_LIMIT: Final = 15
OPTIONS_LIMIT: Final = 25
COMMAND_TEXT_LIMIT: Final = 8_000
_NAME = regex.compile(r"[-_'\p{L}\p{N}\p{sc=Deva}\p{sc=Thai}]{1,32}")


class CommandType(IntEnum):
    CHAT_INPUT = 1
    USER = 2
    MESSAGE = 3


class OptionType(IntEnum):
    SUB_COMMAND = 1
    SUB_COMMAND_GROUP = 2
    STRING = 3
    INTEGER = 4
    BOOLEAN = 5
    USER = 6
    CHANNEL = 7
    ROLE = 8
    MENTIONABLE = 9
    NUMBER = 10
    ATTACHMENT = 11


NESTED: Final = frozenset({OptionType.SUB_COMMAND, OptionType.SUB_COMMAND_GROUP})
_CHOOSABLE: Final = frozenset({OptionType.STRING, OptionType.INTEGER, OptionType.NUMBER})


class Commands:
    """Global ones (guild_id None) and each guild's."""

    def __init__(self, application_id: int, new_id: Callable[[], int]) -> None:
        self._application_id = application_id
        self._new_id = new_id
        self._by_place: dict[int | None, dict[int, Json]] = {None: {}}

    def all(self, guild_id: int | None = None) -> list[Json]:
        return list(self._by_place.get(guild_id, {}).values())

    def get(self, guild_id: int | None, command_id: int) -> Json:
        """Raises Refusal 10063."""
        command = self._by_place.get(guild_id, {}).get(command_id)
        if command is None:
            raise refusal(10063)
        return command

    def find(self, name: str, kind: CommandType, guild_id: int | None) -> Json | None:
        """The command that a client shows under that name: a guild's own goes before the global one."""
        for place in (guild_id, None):
            for command in self._by_place.get(place, {}).values():
                if command["name"] == name and command["type"] == kind:
                    return command
        return None

    def register(self, guild_id: int | None, body: Json) -> tuple[Json, bool]:
        """Adds a command or replaces that of the same name and type; True where it is new. Raises Refusal 50035."""
        problems = Problems()
        check_command(problems, body, ())
        problems.done()
        place = self._by_place.setdefault(guild_id, {})
        kind = body.get("type") or CommandType.CHAT_INPUT
        old = next((known for known in place.values() if (known["name"], known["type"]) == (body["name"], kind)), None)
        if old is None:
            self._refuse_too_many([*place.values(), {**body, "type": kind}])
        command = self._stored(guild_id, body, int(old["id"]) if old else self._new_id())
        place[int(command["id"])] = command
        return command, old is None

    def edit(self, guild_id: int | None, command_id: int, body: Json) -> Json:
        """Raises Refusal 10063 or 50035."""
        merged = self.get(guild_id, command_id) | body
        problems = Problems()
        check_command(problems, merged, ())
        problems.done()
        command = self._stored(guild_id, merged, command_id)
        self._by_place[guild_id][command_id] = command
        return command

    def replace(self, guild_id: int | None, bodies: list[Json]) -> list[Json]:
        """All commands of the place at once; ids of those that keep their name and type stay. Raises Refusal 50035."""
        problems = Problems()
        seen: set[tuple[str, int]] = set()
        for index, body in enumerate(bodies):
            check_command(problems, body, (index,))
            key = (str(body.get("name")), body.get("type") or CommandType.CHAT_INPUT)
            if key in seen:
                message = "Application command names must be unique"
                problems.add((index, "name"), "APPLICATION_COMMANDS_DUPLICATE_NAME", message)
            seen.add(key)
        problems.done()
        self._refuse_too_many([{"type": CommandType.CHAT_INPUT, **body} for body in bodies])
        old = {(known["name"], known["type"]): int(known["id"]) for known in self.all(guild_id)}
        place: dict[int, Json] = {}
        for body in bodies:
            key = (body["name"], body.get("type") or CommandType.CHAT_INPUT)
            command = self._stored(guild_id, body, old.get(key) or self._new_id())
            place[int(command["id"])] = command
        self._by_place[guild_id] = place
        return list(place.values())

    def delete(self, guild_id: int | None, command_id: int) -> None:
        """Raises Refusal 10063."""
        self.get(guild_id, command_id)
        del self._by_place[guild_id][command_id]

    def by_place(self) -> list[tuple[int | None, list[Json]]]:
        """Every place that has commands, and those."""
        return [(place, list(commands.values())) for place, commands in self._by_place.items()]

    def put_back(self, guild_id: int | None, commands: list[Json]) -> None:
        """Commands as an earlier run had them, ids included."""
        self._by_place[guild_id] = {int(command["id"]): command for command in commands}

    def forget_guild(self, guild_id: int) -> None:
        self._by_place.pop(guild_id, None)

    def _refuse_too_many(self, commands: Iterable[Json]) -> None:
        kinds = [command["type"] for command in commands]
        for kind in CommandType:
            limit = COMMANDS_LIMIT if kind is CommandType.CHAT_INPUT else MENU_COMMANDS_LIMIT
            if kinds.count(kind) > limit:
                raise refusal(30032)

    def _stored(self, guild_id: int | None, body: Json, command_id: int) -> Json:
        contexts = body.get("contexts")
        if contexts is None and guild_id is None and body.get("dm_permission") is False:
            contexts = [0]
        permissions = body.get("default_member_permissions")
        stored: Json = {
            "id": str(command_id),
            "application_id": str(self._application_id),
            "version": str(self._new_id()),
            "type": int(body.get("type") or CommandType.CHAT_INPUT),
            "name": body["name"],
            "name_localizations": body.get("name_localizations"),
            "description": body.get("description") or "",
            "description_localizations": body.get("description_localizations"),
            "default_member_permissions": None if permissions is None else str(permissions),
            "dm_permission": contexts is None or 1 in contexts,
            "contexts": contexts,
            "integration_types": body.get("integration_types") or [0],
            "nsfw": bool(body.get("nsfw")),
        }
        if stored["type"] == CommandType.CHAT_INPUT:
            stored["options"] = body.get("options") or []
        if guild_id is not None:
            stored["guild_id"] = str(guild_id)
        return stored


def check_command(problems: Problems, body: Any, path: Path) -> None:
    """Everything Discord asks of one command's body."""
    if not isinstance(body, dict):
        problems.add(path, "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
        return
    kind = body.get("type") or CommandType.CHAT_INPUT
    if kind not in set(CommandType):
        problems.choice((*path, "type"), "(1, 2, 3)")
        return
    permissions = body.get("default_member_permissions")
    if permissions is not None and not str(permissions).isdecimal():
        problems.add((*path, "default_member_permissions"), "NUMBER_TYPE_COERCE", "Value is not an int.")
    _check_numbers(problems, body, path, "contexts", {0, 1, 2})
    _check_numbers(problems, body, path, "integration_types", {0, 1})
    if kind == CommandType.CHAT_INPUT:
        _check_named(problems, body, path)
        _check_options(problems, body.get("options") or [], (*path, "options"), depth=0)
        if _text_of(body) > COMMAND_TEXT_LIMIT:
            message = f"Command exceeds maximum size ({COMMAND_TEXT_LIMIT})"
            problems.add(path, "APPLICATION_COMMAND_TOO_LARGE", message)
        return
    problems.text((*path, "name"), body.get("name"), low=1, high=32)
    if body.get("description"):
        message = "Context menu commands cannot have description"
        problems.add((*path, "description"), "APPLICATION_COMMAND_DESCRIPTION_INVALID", message)
    if body.get("options"):
        message = "Context menu commands cannot have options"
        problems.add((*path, "options"), "APPLICATION_COMMAND_OPTIONS_INVALID", message)


def _check_numbers(problems: Problems, body: Json, path: Path, name: str, allowed: set[int]) -> None:
    if body.get(name) is not None and not set(body[name]) <= allowed:
        problems.choice((*path, name), str(tuple(sorted(allowed))))


def _check_named(problems: Problems, body: Json, path: Path) -> None:
    name: Any = body.get("name")
    if problems.text((*path, "name"), name, low=1, high=32) and (not _NAME.fullmatch(name) or name != name.lower()):
        message = "Command name is invalid"
        problems.add((*path, "name"), "APPLICATION_COMMAND_INVALID_NAME", message)
    problems.text((*path, "description"), body.get("description"), low=1, high=100)


def _check_options(problems: Problems, options: list[Json], path: Path, *, depth: int) -> None:
    problems.length(path, options, high=OPTIONS_LIMIT)
    names: set[Any] = set()
    optional_seen = False
    nested = [option.get("type") in NESTED for option in options]
    if any(nested) and not all(nested):
        message = "Sub-command and sub-command group option types are mutually exclusive to all other types"
        problems.add(path, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", message)
    for index, option in enumerate(options):
        here = (*path, index)
        _check_option(problems, option, here, depth=depth)
        if option.get("name") in names:
            message = "Option names must be unique"
            problems.add((*here, "name"), "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS", message)
        names.add(option.get("name"))
        if option.get("required") and optional_seen:
            message = "Required options must be placed before non-required options"
            problems.add(here, "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", message)
        optional_seen = optional_seen or not option.get("required")


def _check_option(problems: Problems, option: Json, path: Path, *, depth: int) -> None:
    kind = option.get("type")
    if kind not in set(OptionType):
        problems.choice((*path, "type"), "(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)")
        return
    _check_named(problems, option, path)
    if kind in NESTED:
        deepest = 0 if kind == OptionType.SUB_COMMAND_GROUP else 1
        if depth > deepest:
            problems.add((*path, "type"), "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", "Nested too deeply")
        _check_options(problems, option.get("options") or [], (*path, "options"), depth=depth + 1)
        return
    choices = option.get("choices") or []
    if choices and (kind not in _CHOOSABLE or option.get("autocomplete")):
        message = "Choices are not possible with this type or with autocomplete"
        problems.add((*path, "choices"), "APPLICATION_COMMAND_OPTIONS_CHOICES_INVALID", message)
    check_choices(problems, choices, (*path, "choices"), is_text=kind == OptionType.STRING)
    for name, low in (("min_length", 0), ("max_length", 1)):
        value = option.get(name)
        if value is not None and (kind != OptionType.STRING or not low <= value <= 6000):
            problems.add((*path, name), "NUMBER_TYPE_RANGE", f"int value should be between {low} and 6000.")


def check_choices(problems: Problems, choices: list[Json], path: Path, *, is_text: bool) -> None:
    """Of an option, or of an autocomplete's answer."""
    problems.length(path, choices, high=25)
    for index, choice in enumerate(choices):
        problems.text((*path, index, "name"), choice.get("name"), low=1, high=100)
        value = choice.get("value")
        if is_text:
            problems.text((*path, index, "value"), value, low=1, high=100)
        elif not isinstance(value, (int, float)) or isinstance(value, bool):
            problems.add((*path, index, "value"), "NUMBER_TYPE_COERCE", "Value is not a number.")


def _text_of(body: Json) -> int:
    """What counts towards the 8,000: names, descriptions and text values."""
    total = utf16_length(str(body.get("name") or "")) + utf16_length(str(body.get("description") or ""))
    for choice in body.get("choices") or []:
        total += utf16_length(str(choice.get("name"))) + utf16_length(str(choice.get("value")))
    return total + sum(_text_of(option) for option in body.get("options") or [])
