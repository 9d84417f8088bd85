"""What a model can be made to write in the bot's name, and nobody should take for what it is not.

Discord shows `[words](address)` as the words alone, and whoever presses them goes where the address says. And the small
lines of `-# ` are where the bot says in its own voice what was charged, and what went wrong.
"""

import re
from collections.abc import Callable
from typing import Final

from bot.answers.markdown.blocks import IN_FENCE
from bot.answers.markdown.reading import Reading, read

_LINK: Final = re.compile(
    r"""!?\[(?P<words>(?:\\.|\[[^\[\]\n]{0,80}\]|[^\[\]\\\n]){0,300})\]
    \([ ]?<?(?P<address>[A-Za-z][\w+.-]{0,30}:(?:\([^()\s<>]{0,100}\)|[^()\s<>]){1,500})>?
    (?:[ ]"[^"\n]{0,100}")?[ ]?\)""",
    re.VERBOSE,
)
_SEAM: Final = re.compile(r"\]\((?=\s*+<?\s*+[A-Za-z][\w+.-]*+:)")
"""Where what stands in brackets and its address meet; parted, they are no link, however Discord reads the rest."""
_SMALL: Final = re.compile(r"^([ \t]*+(?:>[ \t]*+|(?:[-*+]|\d++[.)])[ \t]++)*+-#)[ \t]", re.MULTILINE)


def harmless(page: str) -> str:
    """The page with `words <address>` in place of `[words](address)` and without small lines; code stays as it is.

    It is never longer than it was.
    """
    if "](" in page:
        page = _replaced(page, _LINK, _open)
    if "](" in page:
        page = _replaced(page, _SEAM, lambda _: "] ")
    if "-#" in page:
        page = _replaced(page, _SMALL, lambda match: f"{match[1]}\u200b")
    return page


def _replaced(page: str, pattern: re.Pattern[str], by: Callable[[re.Match[str]], str]) -> str:
    reading = read(page, ended=True)
    return pattern.sub(lambda match: match[0] if _is_code(reading, match.start()) else by(match), page)


def _open(match: re.Match[str]) -> str:
    words, address = match["words"].strip(), match["address"]
    return f"<{address}>" if words in ("", address) else f"{words} <{address}>"


def _is_code(reading: Reading, position: int) -> bool:
    if reading.lines[reading.line_at(position)].kind in IN_FENCE:
        return True
    marks = reading.marks_at(position)
    return bool(marks) and marks[-1].startswith("`")
