"""What a line of an answer is, as far as a cut between pages depends on it.

The grammar is CommonMark's where models write it and Discord agrees, with Discord's own ideas added: subtext (`-# `),
quotes to the end of the message (`>>> `), fences of backticks only (Discord shows `~~~` as it is) and at any depth.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

LONGEST_RUN: Final = 16
"""Backticks in the longest run that is taken for a fence or for inline code; a longer one is just text."""
LONGEST_LANGUAGE: Final = 40
_LONGEST_CLOSER: Final = 64
"""Characters of a fence's closing line; so it is clear in time whether a page begins with one."""
LONGEST_FENCE_TAIL: Final = 1 + 16 + LONGEST_RUN
"""UTF-16 code units of the longest `Fence.closing`: a line end, eight quote marks with a space each, the backticks."""

_QUOTE: Final = r"(?P<quote>(?:>[ \t]?+){0,8})"
_LISTS: Final = r"(?:(?:[-*+]|\d{1,9}[.)])[ \t]++){0,4}"
_FENCE: Final = re.compile(rf"[ \t]*+{_QUOTE}[ \t]*+{_LISTS}(?P<run>`{{3,{LONGEST_RUN}}}(?!`))(?P<info>[^`\n]*)")
_FENCE_START: Final = re.compile(rf"^[ \t]*+{_QUOTE}[ \t]*+{_LISTS}(?P<run>`{{3,{LONGEST_RUN}}})", re.MULTILINE)
_LEAD: Final = re.compile(
    rf"[ \t]*+{_QUOTE}[ \t]*+(?:(?P<heading>\#{{1,6}}[ \t]++)|(?P<subtext>-\#[ \t]++)"
    rf"|(?P<list>(?:(?:[-*+]|\d{{1,9}}[.)])[ \t]++(?:\[[ xX]\][ \t]++)?){{1,4}})|(?P<table>\|(?!\|)))?"
)
_RULE: Final = re.compile(r"[ \t]*+([-*_])[ \t]*+(?:\1[ \t]*+){2,}$")
_DELIMITER_ROW: Final = re.compile(r"[ \t]*+\|?[ \t]*+:?-++:?[ \t]*+(?:\|[ \t]*+:?-*+:?[ \t]*+)+$")
_REST_QUOTED: Final = re.compile(r"[ \t]*+>>>[ \t]")
_CLOSER: Final = re.compile(rf"[ \t]*+(?:>[ \t]?+){{0,8}}[ \t]*+(`{{1,{LONGEST_RUN}}})\s*")
"""White space of every kind may follow, as a page drops what is at its end; Discord asks for no line end at all."""


class Kind(Enum):
    """What a line is; every kind but TEXT begins a new block, or ends the one before."""

    BLANK = auto()
    TEXT = auto()
    HEADING = auto()
    SUBTEXT = auto()
    ITEM = auto()
    QUOTE = auto()
    RULE = auto()
    TABLE_HEAD = auto()
    TABLE_DELIMITER = auto()
    TABLE_ROW = auto()
    FENCE_OPENER = auto()
    FENCE_CONTENT = auto()
    FENCE_CLOSER = auto()


TABLE: Final = frozenset({Kind.TABLE_HEAD, Kind.TABLE_DELIMITER, Kind.TABLE_ROW})
IN_FENCE: Final = frozenset({Kind.FENCE_OPENER, Kind.FENCE_CONTENT})


@dataclass(frozen=True, kw_only=True, slots=True)
class Fence:
    """An open code fence: the quote marks before it, its backticks, its language (the first word of its info)."""

    quote: str
    run: str
    language: str

    @property
    def opening(self) -> str:
        """The line that opens it again on the next page, with its line end."""
        return f"{self.quote}{self.run}{self.language}\n"

    @property
    def closing(self) -> str:
        """What closes it after its last line of content."""
        return f"\n{self.quote}{self.run}"

    def is_closed_by(self, line: str) -> bool:
        """Whether `line`, without its line end, is this fence's closing line."""
        run = self._only_run(line)
        return run is not None and len(run) >= len(self.run)

    def may_be_closed_by(self, line: str) -> bool:
        """Whether the unfinished `line` can still become this fence's closing line."""
        if line.rstrip().strip(" \t>`") or len(line.rstrip()) > _LONGEST_CLOSER:
            return False
        return "`" not in line or self._only_run(line) is not None

    def ends_before(self, line: str) -> bool:
        """Whether `line` stands outside of the quote that the fence stands in, which ends both."""
        return bool(self.quote) and bool(line.strip()) and not line.lstrip().startswith(">")

    def _only_run(self, line: str) -> str | None:
        match = _CLOSER.fullmatch(line)
        if match is None or (not self.quote and ">" in line) or len(line.rstrip()) > _LONGEST_CLOSER:
            return None
        return match[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line: `start` and `end` are offsets, without its line end; its words begin at `words`.

    `quote` are its quote marks with their spaces. `fence` is the fence that is open after it, `table` the header and
    delimiter rows of the table that it is a row of, each with its line end.
    """

    start: int
    words: int
    end: int
    kind: Kind
    quote: str = ""
    fence: Fence | None = None
    table: str = ""


def read_line(text: str, start: int, end: int, before: Line | None, fence: Fence | None) -> Line:
    """The line `text[start:end]` that follows `before` inside `fence`."""
    content = text[start:end]
    if fence is not None and not fence.ends_before(content):
        closed = fence.is_closed_by(content)
        kind = Kind.FENCE_CLOSER if closed else Kind.FENCE_CONTENT
        return Line(start=start, words=start, end=end, kind=kind, fence=None if closed else fence)
    if not content or content.isspace():
        return Line(start=start, words=start, end=end, kind=Kind.BLANK)
    opener = _FENCE.fullmatch(content)
    if opener is not None:
        return Line(start=start, words=start, end=end, kind=Kind.FENCE_OPENER, fence=_fence(opener))
    if _RULE.match(content):
        return Line(start=start, words=end, end=end, kind=Kind.RULE)
    return _prose(text, content, start, before)


def opens_fence(line: str) -> bool:
    """Whether `line`, outside of a fence, opens one."""
    return _FENCE.fullmatch(line) is not None


def begins_block(text: str, position: int) -> bool:
    """Whether a line that began at `position` would be taken for a heading, an item, a quote or a table row."""
    match = _LEAD.match(text, position)
    return match is not None and (match.lastgroup not in (None, "quote") or bool(match["quote"]))


def may_become_text(text: str, line: Line) -> bool:
    """Whether the unfinished `line` of `text` is for now no text, but can still go on the paragraph before it.

    A lone `|` is a table row's beginning until another makes it a spoiler's.
    """
    if line.kind in (Kind.TABLE_HEAD, Kind.TABLE_ROW):
        return text[line.start : line.end].lstrip(" \t") == "|"
    return line.kind in (Kind.BLANK, Kind.RULE, Kind.FENCE_OPENER) and not begins_block(text, line.start)


def quotes_the_rest(line: str) -> bool:
    """Whether `line` begins a quote that lasts to the end of the message."""
    return _REST_QUOTED.match(line) is not None


def fence_tails(text: str) -> list[tuple[int, int]]:
    """From where on a line of `text` could be open as a fence, and how many code units its closing would take at most.

    Each backtick from the third on counts, so that a longer `text` only adds to the list.
    """
    tails = []
    for match in _FENCE_START.finditer(text):
        start, end = match.span("run")
        tails += [(start + length, 1 + len(match["quote"]) + length) for length in range(3, end - start + 1)]
    return tails


def _fence(opener: re.Match[str]) -> Fence:
    words = opener["info"].split(maxsplit=1)
    language = words[0] if words and len(words[0].encode("utf-16-le")) <= 2 * LONGEST_LANGUAGE else ""
    return Fence(quote=_repeated(opener["quote"]), run=opener["run"], language=language)


def _prose(text: str, content: str, start: int, before: Line | None) -> Line:
    lead = _LEAD.match(content)
    assert lead is not None
    quote, end = lead["quote"], start + len(content)
    table = ""
    if lead["table"]:
        kind, table = _row(text, content, before)
    elif lead["heading"]:
        kind = Kind.HEADING
    elif lead["subtext"]:
        kind = Kind.SUBTEXT
    elif lead["list"]:
        kind = Kind.ITEM
    else:
        kind = Kind.QUOTE if quote else Kind.TEXT
    return Line(start=start, words=start + lead.end(), end=end, kind=kind, quote=_repeated(quote), table=table)


def _repeated(quote: str) -> str:
    """The quote marks that every line repeats: none where the quote lasts to the end of the message anyway."""
    return "" if quotes_the_rest(quote) else quote


def _row(text: str, content: str, before: Line | None) -> tuple[Kind, str]:
    if before is None or before.kind not in TABLE:
        return Kind.TABLE_HEAD, ""
    if before.kind is Kind.TABLE_HEAD and _DELIMITER_ROW.match(content):
        return Kind.TABLE_DELIMITER, f"{text[before.start : before.end]}\n{content}\n"
    return Kind.TABLE_ROW, before.table
