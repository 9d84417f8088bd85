"""People's words inside the bot's own sentences: on one line, as plain text. Pure."""

import re
import unicodedata
from typing import Final

import regex

_MARKDOWN: Final = re.compile(r"([\\*_~|`>#\[\]()<])")
_BULLET: Final = re.compile(r"^(\d*)([-+.])")
_ADDRESS: Final = re.compile(r"(?i)((?:https?|www)(?=[:.])|steam(?=:))")
_PILED: Final = regex.compile(r"(\p{M}{4})\p{M}+")
"""More marks than any script puts on one letter: they would stand in other people's lines."""
_MENTION: Final = re.compile("@")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINER: Final = "\u200d"
"""It makes one emoji of several; alone it does no harm."""


def excerpt(text: str, limit: int) -> str:
    """The beginning of `text`, at most `limit` of its characters, as plain text on one line.

    Nothing in it is formatted, links, mentions, or changes the direction of what follows.
    """
    return escaped(one_line(text, limit))


def one_line(text: str, limit: int) -> str:
    """The same as it was written, for where no Markdown is read."""
    line = _PILED.sub(r"\1", " ".join(text.split()))
    seen = "".join(one for one in line if one == _JOINER or unicodedata.category(one) not in _UNSEEN)
    return seen if len(seen) <= limit else seen[: limit - 1].rstrip() + "…"


def escaped(line: str) -> str:
    """A line that is shown as it is written."""
    quiet = _BULLET.sub(r"\1\\\2", _MARKDOWN.sub(r"\\\1", line))
    # A zero-width space ends what Discord would take for a mention or an address, and copies as nothing much.
    return _ADDRESS.sub("\\1\u200b", _MENTION.sub("@\u200b", quiet))


def as_heading(prompt: str, limit: int) -> str:
    """The question as the first line of its answer, a quote; nothing where there are no words."""
    words = excerpt(prompt, limit)
    return f"> {words}\n" if words else ""
