"""What the loopback API answers when no test tells it what to: an honest simulation, useful for trying the bot.

It says what it is, reflects the question, says what was seen of its pictures, and shows Markdown, code, tables or a
long answer when the question asks.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from sandbox.minitoolai import describing, rules
from sandbox.minitoolai.describing import Sight
from sandbox.minitoolai.script import Script

QUOTED_CHARACTERS: Final = 300
LONG_SECTIONS: Final = 24


def answer(body: dict[str, Any], *, pace_s: float, sights: Sequence[Sight] = ()) -> Script:
    """The answer to a checked `body`, at `pace_s` seconds a chunk and within its `max_completion_tokens`.

    `sights` are of the newest question's pictures, in their order.
    """
    question = _last_question(body["messages"])
    paragraphs = [_introduction(body, question)]
    if sights:
        paragraphs.append(describing.describe(sights))
    paragraphs += [show() for words, show in _SHOWS if words.search(question)]
    text, was_cut = rules.shorten("\n\n".join(paragraphs), rules.completion_limit(body))
    return Script(text, chunk_delay_s=pace_s, finish_reason="length" if was_cut else "stop")


def _last_question(messages: list[dict[str, Any]]) -> str:
    """The newest user message's text."""
    content = next((message["content"] for message in reversed(messages) if message["role"] == "user"), "")
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def _introduction(body: dict[str, Any], question: str) -> str:
    quoted = " ".join(question.split())
    if len(quoted) > QUOTED_CHARACTERS:
        quoted = quoted[:QUOTED_CHARACTERS].rstrip() + "…"
    asked = f"You asked:\n> {quoted}" if quoted else "There was no text in the question."
    turns = len(body["messages"])
    return (
        f"This is a **simulation** of `{body['model']}`, without a model behind it. {asked}\n\n"
        f"I was given {turns} {'message' if turns == 1 else 'messages'}. "
        "Ask for *code*, a *table*, a *list* or a *long* answer to see how those are shown."
    )


def _code() -> str:
    return (
        "Some code:\n\n```python\ndef fibonacci(count: int) -> list[int]:\n"
        '    """The first `count` Fibonacci numbers."""\n    numbers = [0, 1]\n    while len(numbers) < count:\n'
        "        numbers.append(numbers[-1] + numbers[-2])\n    return numbers[:count]\n\n\n"
        "print(fibonacci(10))\n```\n\nIt prints `[0, 1, 1, 2, 3, 5, 8, 13, 21, 34]`."
    )


def _table() -> str:
    rows = "\n".join(f"| {n} | {n * n} | {n**3} |" for n in range(1, 9))
    return f"A table:\n\n| n | square | cube |\n|---|---|---|\n{rows}"


def _list() -> str:
    return (
        "A list:\n\n1. first, *with emphasis*\n   - a point below it\n   - another, with `code`\n2. second, **in bold**"
    )


def _long() -> str:
    sentence = "This sentence is here to fill space, so that an answer grows past what one message can hold. "
    sections = [f"## Part {n} of {LONG_SECTIONS}\n\n{sentence * 4}".rstrip() for n in range(1, LONG_SECTIONS + 1)]
    return "\n\n".join(sections)


_SHOWS: Final[list[tuple[re.Pattern[str], Callable[[], str]]]] = [
    (re.compile(r"\bcode\b", re.IGNORECASE), _code),
    (re.compile(r"\btable\b", re.IGNORECASE), _table),
    (re.compile(r"\blist\b", re.IGNORECASE), _list),
    (re.compile(r"\blong\b", re.IGNORECASE), _long),
]
"""The words that bring each show about."""
