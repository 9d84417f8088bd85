"""Where a page that has become too long is cut, and what the next page repeats.

The choice looks at nothing behind the first character that no longer fits, so it is the same however the text arrived.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import regex

from bot.answers.markdown.blocks import TABLE, Fence, Kind, Line, begins_block
from bot.answers.markdown.reading import Reading, read

_SPACE: Final = re.compile(r"[ \t]+")
_SENTENCE: Final = re.compile(r"[.!?…。！？][\"'”’»)\]*_]*$")
_LEAD_IN: Final = re.compile(r"[:：][*_ \t\r]*$|^[ \t]*\*\*[^*]*\*\*[ \t\r]*$")
"""A line that ends in a colon, or is bold as a whole, as a heading would be."""
_WIDE_STOP: Final = re.compile(r"[。！？，、；：][”’」』）]?(?=\w)")
_TWO_OF_A_MARK: Final = re.compile(r"([*_~|`])\1")
_CLUSTER: Final = regex.compile(r"\X")
_TEXT_BEFORE: Final = 8
_LONGEST_LINK: Final = 800


class Rank(IntEnum):
    """How good a cut is; less is better."""

    PARAGRAPH = 0
    LINE = 1
    LEAD_IN = 2
    """After a line that announces the next one, or between two rows of a table, whose header is then repeated."""
    SENTENCE = 3
    CODE_PARAGRAPH = 3
    CODE_LINE = 4
    LINE_IN_EMPHASIS = 5
    WORD = 6
    WORD_IN_EMPHASIS = 7
    ROW = 8
    """After a heading, a fence's or a table's opening; between the words of a row."""
    CLUSTER = 9
    CLUSTER_IN_EMPHASIS = 10
    TORN = 11
    """Inside of a link or a mark, or before the first word of a quote, an item or the like."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """A page is `text[:end]` and `suffix`; the text goes on at `resume`, behind which white space is dropped.

    What the next page begins with, in this order: `quote` (to the end of the message), `fence` if its content goes on,
    `table` (header and delimiter) if a row follows, `lead` if the same line goes on (its quote or subtext marks), and
    `marks`, the open emphasis, if the paragraph goes on.
    """

    end: int
    suffix: str
    resume: int
    quote: str
    fence: Fence | None
    table: str
    lead: str
    marks: tuple[str, ...]


def closing(fence: Fence | None, marks: tuple[str, ...]) -> str:
    """What closes everything that is open."""
    return fence.closing if fence is not None else "".join(reversed(marks))


def choose(text: str, *, first: int, fits: Callable[[str], bool], table_units: int) -> Cut:
    """Cut `text`, of which at least one character is too many, behind its first `first` characters.

    `fits` says whether a page is short enough. A table's header is repeated up to `table_units` characters.
    """
    reading = read(text)
    last = reading.lines[-1]
    start = reading.unfinished(max(last.start, len(text) - _LONGEST_LINK))
    if last.fence is None and start < len(text):
        reading.add_unfinished(start)
    position = _Chooser(reading, first, fits).best()
    page = read(text[:position].rstrip())
    line = page.lines[-1]
    fence, marks = _open(reading, page, position)
    suffix = closing(fence, marks)
    shown = page
    while shown.text and (empty := shown.empty_fence_at(len(shown.text))) is not None:
        shown = read(shown.text[:empty].rstrip())  # the fence begins on the next page instead
        suffix = closing(shown.lines[-1].fence, ())
    return Cut(
        end=len(shown.text),
        suffix=suffix,
        resume=position,
        quote=">>> " if page.quotes_the_rest() else "",
        fence=fence,
        table="" if len(line.table) > table_units else line.table,
        lead=_lead(line),
        marks=marks,
    )


class _Chooser:
    def __init__(self, reading: Reading, first: int, fits: Callable[[str], bool]) -> None:
        self._reading = reading
        self._text = reading.text
        self._first = first
        self._fits = fits

    def best(self) -> int:
        top = len(self._text) - 1
        half = max(self._first, top // 2)
        near = self._best_of([*self._lines(half, top), *self._words(half, top)])
        if near is not None and near[0] <= Rank.WORD_IN_EMPHASIS:
            return near[1]
        far = self._best_of([*self._lines(self._first, half), *self._words(self._first, half)])
        between = self._best_of(list(self._clusters(self._first, top)))
        found = [candidate for candidate in (near, far, between) if candidate is not None]
        return min(found, key=lambda candidate: candidate[0])[1] if found else self._last_resort(top)

    def _best_of(self, candidates: list[tuple[Rank, int]]) -> tuple[Rank, int] | None:
        candidates.sort(key=lambda candidate: (candidate[0], -candidate[1]))
        return next((candidate for candidate in candidates if self._allows(candidate[1])), None)

    def _allows(self, position: int) -> bool:
        page = self._text[:position].rstrip()
        return self._fits(page + closing(*_open(self._reading, read(page), position)))

    def _lines(self, low: int, high: int) -> Iterator[tuple[Rank, int]]:
        lines = self._reading.lines
        for number in range(self._reading.line_at(low), len(lines) - 1):
            if low <= lines[number].end <= high and lines[number].kind is not Kind.BLANK:
                yield self._line_rank(lines[number], lines[number + 1]), lines[number].end

    def _line_rank(self, line: Line, following: Line) -> Rank:
        blank = following.kind is Kind.BLANK and following.end < len(self._text)
        if line.kind in (Kind.HEADING, Kind.TABLE_HEAD, Kind.TABLE_DELIMITER) and not (
            line.kind is Kind.TABLE_DELIMITER and blank
        ):
            return Rank.ROW
        if line.fence is not None:
            if self._reading.empty_fence_at(line.end) is not None:
                return Rank.ROW
            empty = following.end < len(self._text) and not self._text[following.start : following.end].strip()
            return Rank.CODE_PARAGRAPH if empty or following.kind is Kind.FENCE_CLOSER else Rank.CODE_LINE
        if line.kind is Kind.TABLE_ROW:
            return Rank.PARAGRAPH if blank else Rank.LEAD_IN
        if _LEAD_IN.search(self._text[line.start : line.end]):
            return Rank.LEAD_IN
        if blank:
            return Rank.PARAGRAPH
        if self._reading.marks_after(line.end):
            return Rank.LINE_IN_EMPHASIS
        return Rank.LINE

    def _words(self, low: int, high: int) -> Iterator[tuple[Rank, int]]:
        for space in _SPACE.finditer(self._text, low, high):
            yield self._word_rank(space.start(), space.end()), space.start()
        for stop in _WIDE_STOP.finditer(self._text, low, high):
            yield self._word_rank(stop.end(), stop.end()), stop.end()
        for start, end in self._reading.atoms:
            yield from (
                (self._word_rank(edge, edge), edge) for edge in (start, end) if low <= edge <= high and end - start > 2
            )

    def _word_rank(self, position: int, after: int) -> Rank:
        reading, text = self._reading, self._text
        line = reading.lines[reading.line_at(position)]
        if reading.atom_around(position) is not None or position <= line.words:
            return Rank.TORN
        if line.kind in TABLE or line.kind in (Kind.FENCE_OPENER, Kind.FENCE_CLOSER):
            return Rank.ROW
        if line.fence is not None:
            return Rank.WORD if reading.empty_fence_at(position) is None else Rank.ROW
        if reading.marks_at(position) or begins_block(text, after) or self._touches_mark(position):
            return Rank.WORD_IN_EMPHASIS
        if _SENTENCE.search(text[max(line.words, position - _TEXT_BEFORE) : position]):
            return Rank.SENTENCE
        return Rank.WORD

    def _clusters(self, low: int, high: int) -> Iterator[tuple[Rank, int]]:
        for cluster in _CLUSTER.finditer(self._text):
            if low <= cluster.end() <= high:
                yield self._cluster_rank(cluster.end()), cluster.end()

    def _cluster_rank(self, position: int) -> Rank:
        reading = self._reading
        line = reading.lines[reading.line_at(position)]
        if (
            reading.atom_around(position) is not None
            or position <= line.words
            or self._touches_mark(position)
            or (line.kind in (Kind.FENCE_OPENER, Kind.FENCE_CLOSER) and position < line.end)
        ):
            return Rank.TORN
        return Rank.CLUSTER_IN_EMPHASIS if reading.marks_at(position) else Rank.CLUSTER

    def _touches_mark(self, position: int) -> bool:
        """Whether a mark would be torn, or left with nothing between it and the one that closes or reopens it."""
        if _TWO_OF_A_MARK.match(self._text, position - 1):  # what it marks may be cut off, too
            return True
        last = self._reading.change_before(position)
        if last is not None and last.opens and last.end == position:
            return True
        return self._reading.splits_change(position)

    def _last_resort(self, top: int) -> int:
        """A cluster longer than a page is cut between two code points."""
        return next((place for place in range(top, self._first, -1) if self._allows(place)), self._first)


def _lead(line: Line) -> str:
    if line.fence is not None:
        return line.fence.quote
    return line.quote + ("-# " if line.kind is Kind.SUBTEXT else "")


def _open(reading: Reading, page: Reading, position: int) -> tuple[Fence | None, tuple[str, ...]]:
    """What is open at the end of `page`, the text of `reading` before `position` read alone.

    Where the paragraph ends there, marks without a partner are no marks.
    """
    fence, marks = page.open_at_end()
    return fence, marks if reading.marks_after(position) else ()
