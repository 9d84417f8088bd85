"""What is open inside a paragraph: emphasis, spoilers, inline code; and what must not be cut: links and their like."""

import re
from dataclasses import dataclass
from typing import Final

from bot.answers.markdown.blocks import LONGEST_RUN

LONGEST_MARKS: Final = 10 + LONGEST_RUN
"""UTF-16 code units of the most that can be open at once: `*`, `**`, `_`, `__`, `~~`, `||` and a run of backticks."""

_TOKEN: Final = re.compile(
    r"""
    (?P<escape>\\[^0-9A-Za-z\s])
    |(?P<code>`+)
    |(?P<link>!?\[(?:\\.|\[[^\[\]\n]{0,80}\]|[^\[\]\\\n]){0,300}\]
        \((?:\([^()\s]{0,100}\)|[^()\s]){1,500}(?:[ ]"[^"\n]{0,100}")?\))
    |(?P<angle><(?:https?://[^\s<>]{1,500}|@[!&]?\d{1,20}|\#\d{1,20}|a?:\w{1,32}:\d{1,20}|t:-?\d{1,16}(?::[A-Za-z])?
        |/[^<>\n]{1,100}:\d{1,20}|id:\w{1,20})>)
    |(?P<url>https?://[^\s<>`*|]+(?<![.,:;!?"')\]_~]))
    |(?P<mark>\*+|_+|~~|\|\|)
    """,
    re.VERBOSE,
)
_UNFINISHED: Final = (
    re.compile(r"!?\[(?:\\.|\[[^\[\]\n]{0,80}\]|[^\[\]\\\n])*+(?:\](?:\([^)\n]*+)?)?$"),
    re.compile(r"<[^\s<>]*+$"),
    re.compile(r"https?://[^\s<>]*+$"),
)
_MARKS_OF_RUN: Final = {
    "*": ("*",),
    "**": ("**",),
    "***": ("**", "*"),
    "_": ("_",),
    "__": ("__",),
    "___": ("__", "_"),
    "~~": ("~~",),
    "||": ("||",),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """From offset `end` on, after the token that begins at `start`, `marks` are open, outermost first."""

    start: int
    end: int
    marks: tuple[str, ...]
    opens: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Inline:
    """The changes and the indivisible stretches (start, end) of one block, in order."""

    changes: list[Change]
    atoms: list[tuple[int, int]]


def read_inline(text: str, start: int, end: int, *, ended: bool, spoilers: bool) -> Inline:
    """Read the block `text[start:end]`.

    `ended`: nothing can follow in this block, so that backticks without a partner are backticks. `spoilers`: `||` hides
    text; in a table row it is an empty cell.
    """
    return _Reader(text, end, ended=ended, spoilers=spoilers).read(start)


def unfinished(text: str, start: int) -> int:
    """Where in `text`, from `start` on, a link, mention or address begins that its end may have torn; or its length."""
    matches = (pattern.search(text, start) for pattern in _UNFINISHED)
    return min((match.start() for match in matches if match is not None), default=len(text))


class _Reader:
    def __init__(self, text: str, end: int, *, ended: bool, spoilers: bool) -> None:
        self._text = text
        self._end = end
        self._marks: list[str] = []
        self._ended = ended
        self._spoilers = spoilers
        self._unpaired: set[int] = set()
        self._found = Inline(changes=[], atoms=[])

    def read(self, position: int) -> Inline:
        while (token := _TOKEN.search(self._text, position, self._end)) is not None:
            position = token.end()
            if token.lastgroup == "code":
                position = self._code(token.start(), token.end(), len(token[0]))
            elif token.lastgroup == "mark":
                self._mark(token.start(), token.end())
            else:
                self._found.atoms.append(token.span())
        return self._found

    def _code(self, start: int, position: int, length: int) -> int:
        """Where reading goes on after the backticks `start` to `position` that may open inline code."""
        if length > LONGEST_RUN or length in self._unpaired:
            return position
        run = "`" * length
        closer = re.compile(f"(?<!`){run}(?!`)").search(self._text, position, self._end)
        if closer is None and self._ended:
            self._unpaired.add(length)
            return position
        marks = tuple(self._marks)
        self._found.changes.append(Change(start=start, end=position, marks=(*marks, run), opens=True))
        if closer is None:
            return self._end
        self._found.changes.append(Change(start=closer.start(), end=closer.end(), marks=marks, opens=False))
        return closer.end()

    def _mark(self, start: int, end: int) -> None:
        run = self._text[start:end]
        marks = _MARKS_OF_RUN.get(run)
        if marks is None or (run == "||" and not self._spoilers):
            return
        before = self._text[start - 1 : start] or " "
        after = self._text[end : end + 1] if end < self._end else " "
        left = list(marks)
        if not before.isspace() and not (run[0] == "_" and after.isalnum()):
            left = self._close(left)
        opens = bool(left) and _may_open(run, before, after)
        if opens:
            self._marks += [mark for mark in left if mark not in self._marks]
        elif len(left) == len(marks):
            return
        self._found.changes.append(Change(start=start, end=end, marks=tuple(self._marks), opens=opens))

    def _close(self, marks: list[str]) -> list[str]:
        """Close what is open of `marks`, and with it whatever was opened after it; the marks that were not open."""
        left = []
        for mark in sorted(marks, key=self._depth, reverse=True):
            if mark in self._marks:
                del self._marks[self._marks.index(mark) :]
            else:
                left.append(mark)
        return left

    def _depth(self, mark: str) -> int:
        return self._marks.index(mark) if mark in self._marks else -1


def _may_open(run: str, before: str, after: str) -> bool:
    if after.isspace():
        return False
    if run[0] == "_":
        return not before.isalnum()
    # A star inside a word or a product (2*3, x**2) is far more often a star than the start of emphasis.
    return run[0] != "*" or not (_is_ascii_word(before) and (len(run) == 1 or _is_ascii_word(after)))


def _is_ascii_word(character: str) -> bool:
    return character.isascii() and character.isalnum()
