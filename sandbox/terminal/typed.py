"""What was typed, understood: pure, and knows commands only as Discord registered them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.discord.commands import NESTED, CommandType, OptionType

TRUTHS: Final = {"true": True, "yes": True, "false": False, "no": False}


class Misunderstood(Exception):
    """A sentence for who typed it."""


@dataclass(frozen=True, kw_only=True)
class Slash:
    """`/name options`: the full name with its sub-command, and each option's text as typed."""

    command: str
    options: Mapping[str, str]
    specification: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Press:
    """`:1` is the first button of the newest message that has any, `:3.1` that of message 3."""

    button: int
    message: int | None = None


@dataclass(frozen=True, kw_only=True)
class Order:
    """`:as Noam` and the like: a word for the terminal itself, and the rest of the line."""

    word: str
    rest: str


@dataclass(frozen=True, kw_only=True)
class Text:
    """Anything else is said in the channel."""

    text: str


Typed = Slash | Press | Order | Text


def understand(line: str, commands: Iterable[Mapping[str, Any]]) -> Typed:
    """`commands` are Discord's command objects. Raises Misunderstood."""
    line = line.strip()
    if line.startswith("/"):
        return _slash(line[1:], offered(commands))
    if found := re.fullmatch(r":(?:(\d+)\.)?(\d+)", line):
        return Press(button=int(found[2]), message=int(found[1]) if found[1] else None)
    if found := re.fullmatch(r":([a-z]+)(?:\s+(.*))?", line, re.DOTALL):
        return Order(word=found[1], rest=found[2] or "")
    return Text(text=line)


def offered(commands: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Every slash command that can be given, by its full name: "ask", "history show"."""
    found: dict[str, Mapping[str, Any]] = {}
    for command in commands:
        if command["type"] == CommandType.CHAT_INPUT:
            _collect(command, command["name"], found)
    return found


def _collect(place: Mapping[str, Any], name: str, found: dict[str, Mapping[str, Any]]) -> None:
    nested = [option for option in place.get("options") or [] if option["type"] in NESTED]
    if not nested:
        found[name] = place
    for option in nested:
        _collect(option, f"{name} {option['name']}", found)


def _slash(line: str, known: Mapping[str, Mapping[str, Any]]) -> Slash:
    words = line.split()
    for length in range(min(len(words), 3), 0, -1):
        name = " ".join(words[:length])
        if name in known:
            rest = re.split(r"\s+", line.lstrip(), maxsplit=length)[length:]
            return Slash(
                command=name, options=_options(known[name], rest[0] if rest else ""), specification=known[name]
            )
    below = [name for name in known if words and name.split()[0] == words[0]]
    wanted = f"/{words[0]}" if words else "/"
    if below:
        raise Misunderstood(f"{wanted} needs one of: {', '.join(f'/{name}' for name in below)}")
    raise Misunderstood(f"There is no {wanted}. There are: {', '.join(f'/{name}' for name in sorted(known)) or 'none'}")


def _options(specification: Mapping[str, Any], rest: str) -> dict[str, str]:
    """`text option:value option:"value of words"`; what stands before the first option belongs to the first of all."""
    names = [option["name"] for option in specification.get("options") or []]
    if not rest.strip():
        return {}
    if not names:
        raise Misunderstood(f"/{specification['name']} takes nothing more, so {rest.strip()!r} is too much")
    # A colon with a space behind it is prose: "image: a cat" is no option.
    option = re.compile(rf'(?:^|(?<=\s))({"|".join(map(re.escape, names))}):(?=\S)(?:"[^"]*"(?=\s|$))?')
    marks = list(option.finditer(rest))
    starts = [*(mark.start() for mark in marks), len(rest)]
    values: dict[str, str] = {}
    if before := rest[: starts[0]].strip():
        values[names[0]] = before
    for mark, end in zip(marks, starts[1:], strict=True):
        name, value = mark[1], rest[mark.end(1) + 1 : end].strip()
        if name in values:
            raise Misunderstood(f"{name} is given twice")
        values[name] = value[1:-1] if re.fullmatch(r'"[^"]*"', value) else value
    return values


def value_of(option: Mapping[str, Any], text: str) -> str | int | float | bool:
    """`text` as an option of text, number or truth takes it. Raises Misunderstood. Discord's client checks bounds."""
    name, kind = option["name"], option["type"]
    choices = option.get("choices") or []
    if choices:
        for choice in choices:
            if text.casefold() in (str(choice["value"]).casefold(), choice["name"].casefold()):
                value: str | int | float = choice["value"]
                return value
        raise Misunderstood(f"{name} is one of: {', '.join(str(choice['value']) for choice in choices)}")
    if kind == OptionType.BOOLEAN:
        if text.casefold() not in TRUTHS:
            raise Misunderstood(f"{name} is true or false, not {text!r}")
        return TRUTHS[text.casefold()]
    if kind in (OptionType.INTEGER, OptionType.NUMBER):
        try:
            return int(text) if kind == OptionType.INTEGER else float(text)
        except ValueError:
            what = "a whole number" if kind == OptionType.INTEGER else "a number"
            raise Misunderstood(f"{name} is {what}, not {text!r}") from None
    return text
