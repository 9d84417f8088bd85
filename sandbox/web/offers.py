"""The bot's registered commands as the page's composer gets them: those that Discord shows this person here."""

from collections.abc import Iterator
from typing import Final

from sandbox.discord.commands import NESTED, CommandType, OptionType
from sandbox.discord.people import Person
from sandbox.discord.places import Channel
from sandbox.discord.refusals import Json

_KINDS: Final = {CommandType.CHAT_INPUT: "slash", CommandType.MESSAGE: "message", CommandType.USER: "user"}
_TYPES: Final = {kind: kind.name.lower() for kind in OptionType if kind not in NESTED}


def commands_json(person: Person, channel: Channel) -> list[Json]:
    """Sub-commands are flattened: "history show" is a command of its own."""
    found: list[Json] = []
    for registered in _registered(person, channel):
        kind = CommandType(registered["type"])
        if person.offers(channel, registered["name"], kind):
            found += [_command(name, leaf, kind) for name, leaf in _leaves(registered["name"], registered)]
    return sorted(found, key=lambda command: (command["kind"], command["name"]))


def _registered(person: Person, channel: Channel) -> list[Json]:
    """A server's own command hides the global one of its name."""
    commands = person.world.commands
    own = commands.all(channel.guild.id) if channel.guild else []
    taken = {(command["name"], command["type"]) for command in own}
    return own + [each for each in commands.all() if (each["name"], each["type"]) not in taken]


def _leaves(name: str, place: Json) -> Iterator[tuple[str, Json]]:
    nested = [option for option in place.get("options") or [] if option["type"] in NESTED]
    for option in nested:
        yield from _leaves(f"{name} {option['name']}", option)
    if not nested:
        yield name, place


def _command(name: str, leaf: Json, kind: CommandType) -> Json:
    options = [_option(option) for option in leaf.get("options") or []]
    return {"kind": _KINDS[kind], "name": name, "description": leaf.get("description") or "", "options": options}


def _option(option: Json) -> Json:
    is_text = option["type"] == OptionType.STRING
    choices = [{"name": choice["name"], "value": choice["value"]} for choice in option.get("choices") or []]
    return {
        "name": option["name"],
        "description": option.get("description") or "",
        "type": _TYPES[OptionType(option["type"])],
        "required": bool(option.get("required")),
        "choices": choices or None,
        "autocomplete": bool(option.get("autocomplete")),
        "min": option.get("min_length" if is_text else "min_value"),
        "max": option.get("max_length" if is_text else "max_value"),
    }
