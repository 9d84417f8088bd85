"""A growing answer, cut into pages."""

import re
from dataclasses import dataclass, replace
from typing import Final

from bot.answers.markdown.blocks import LONGEST_FENCE_TAIL, Line, fence_tails
from bot.answers.markdown.cutting import Cut, choose, closing
from bot.answers.markdown.inline import LONGEST_MARKS
from bot.answers.markdown.reading import read
from bot.answers.markdown.showing import broken_off, shown

SMALLEST_LIMIT: Final = 200

_LONGEST_TAIL: Final = LONGEST_FENCE_TAIL + LONGEST_MARKS
_UNWANTED: Final = re.compile("[\0\ud800-\udfff]")
_BLANKS: Final = re.compile(r"[^\S\n]*")
_BLANK_LINES: Final = re.compile(r"(?:[^\S\n]*\n)+")
_LEADING: Final = re.compile(r"\s*")
_PARAGRAPH_END: Final = 2  # line ends in a row


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Where a page came from: it is `prefix + source[start:end] + suffix`, `source` being the cleaned text."""

    start: int
    end: int
    prefix: str
    suffix: str


class Pages:
    """A growing Markdown answer cut into pages that Discord shows as messages.

    Every page is valid alone: what is open at its end is closed there and opened again on the next page, and a table
    that goes on repeats its header. Pages are never blank; white space at a cut is dropped. The cuts depend on the
    text only, not on the pieces in which it was fed. NUL is dropped, and a lone surrogate becomes U+FFFD.
    """

    def __init__(self, limit: int) -> None:
        """`limit`, at least 200, is a page's greatest length in UTF-16 code units."""
        if limit < SMALLEST_LIMIT:
            raise ValueError(f"a page of {limit} code units is too short; the least is {SMALLEST_LIMIT}")
        self._limit = limit
        self._closed: list[str] = []
        self._parts: list[Part] = []
        self._prefix = ""
        self._body = ""
        self._start = 0  # of the body in the cleaned text
        self._cut: Cut | None = None  # before this page, until it is clear how the text goes on behind it
        self._marks: tuple[str, ...] = ()
        self._at_start = True  # nothing of this page is certain yet
        self._lines_skipped = 0
        self._rested: Line | None = None  # of prefix + body; what comes before it need not be read again

    @property
    def closed(self) -> tuple[str, ...]:
        """The pages that are full; once here they never change."""
        return tuple(self._closed)

    def feed(self, text: str) -> None:
        """Append `text`, in any pieces. The work is linear in its length."""
        text = _UNWANTED.sub(lambda match: "" if match[0] == "\0" else "\ufffd", text)
        for start in range(0, len(text), self._limit):
            self._body += text[start : start + self._limit]
            self._advance()

    def open(self, *, final: bool = False, torn: bool = False) -> str:
        """The last page as it can be shown now, or "" if there is nothing to show.

        Not final: pieces torn by the end of the text are held back, and what is open is closed. Final: everything is
        shown; only fences, and emphasis and inline code reopened on this page, are closed. Final and `torn`, for a text
        that broke off: emphasis that is open at its end is closed, too, where there is room for that.
        """
        if not self._body.strip():
            return ""
        if not final:
            return "" if self._at_start else self._growing(self._prefix + self._body)
        prefix = self._prefix
        if self._cut is not None and self._cut.fence is not None:
            if self._cut.fence.is_closed_by(self._body):
                return ""
            prefix = self._cut.quote + self._cut.fence.opening
        text = prefix + self._body
        if torn and units(page := broken_off(read(text))) <= self._limit:
            return page
        text = text.rstrip()
        reading = read(text)
        last = reading.change_before(len(text))
        if last is not None and last.end > len(prefix):  # or else what this page reopened goes on to its end
            reading = read(text, ended=True)
        marks = tuple(mark for mark in reading.marks_at(len(text)) if mark in self._marks)
        return text + closing(reading.fence_at(len(text)), marks)

    def _growing(self, text: str) -> str:
        reading = read(text, after=self._rested)
        self._rested = reading.resting_line() or self._rested
        page = shown(reading)
        if units(page) > self._limit:
            page = shown(read(text[: _index_over(text, self._limit - _LONGEST_TAIL) - 1]))
        return page if len(page) > len(self._prefix) else ""

    def _advance(self) -> None:
        while True:
            self._begin()
            end = self._first_over()
            if end is None:
                return
            if self._body[:end].strip():
                self._turn(end)
            else:
                self._drop(end)

    def _begin(self) -> None:
        """Drop white space at the page's start, and settle what of the prefix holds for the text that follows."""
        while self._at_start:
            self._skip_blank()
            if not self._body.strip():
                return
            verdict = self._fence_goes_on()
            if verdict is None:
                return
            if verdict:
                self._settle()
            else:
                self._leave_fence()

    def _skip_blank(self) -> None:
        if self._cut is not None and not self._lines_skipped:
            self._drop(_match_end(_BLANKS, self._body))
        skipped = _match_end(_BLANK_LINES, self._body)
        self._lines_skipped += self._body.count("\n", 0, skipped)
        self._drop(skipped)

    def _fence_goes_on(self) -> bool | None:
        """Whether the text goes on inside the fence that was cut, if one was; None if more text has to say."""
        fence = self._cut.fence if self._cut is not None else None
        if fence is None:
            return True
        line, line_end, _ = self._body.partition("\n")
        begins = self._lines_skipped > 0  # or else it goes on, and its quote marks are on the page before
        if (begins and fence.ends_before(line)) or (line_end and fence.is_closed_by(line)):
            return False
        return True if line_end or not fence.may_be_closed_by(line) else None

    def _leave_fence(self) -> None:
        """The fence was closed on the page before; its own closing line, if there is one, has nothing left to close."""
        assert self._cut is not None
        assert self._cut.fence is not None
        line, line_end, _ = self._body.partition("\n")
        if self._cut.fence.is_closed_by(line):
            self._drop(len(line + line_end))
        self._lines_skipped = 1
        self._cut = replace(self._cut, fence=None)

    def _settle(self) -> None:
        self._at_start = False
        if self._cut is None:
            return
        cut = self._cut
        fence = cut.fence.opening if cut.fence is not None else ""
        row = cut.table and self._lines_skipped == 1 and self._body.lstrip().startswith("|")
        self._marks = cut.marks if self._lines_skipped < _PARAGRAPH_END else ()
        lead = cut.lead if not self._lines_skipped else ""
        self._prefix = cut.quote + fence + (cut.table if row else "") + lead + "".join(self._marks)
        self._cut = None

    def _turn(self, end: int) -> None:
        """Close a page; `end` characters of the body are one too many."""
        if self._at_start:
            self._settle()
        text = self._prefix + self._body[:end]
        before = len(self._prefix)
        blank = _match_end(_LEADING, self._body)
        cut = choose(text, first=before + blank + 1, fits=self._fits, table_units=self._limit // 4)
        page = text[: cut.end]
        if len(page) > before:
            part = Part(start=self._start, end=self._start + len(page) - before, prefix=self._prefix, suffix=cut.suffix)
            self._parts.append(part)
            self._closed.append(page + cut.suffix)
        self._drop(cut.resume - before)
        self._cut, self._prefix, self._marks, self._rested = cut, "", (), None
        self._at_start, self._lines_skipped = True, 0

    def _drop(self, length: int) -> None:
        self._body = self._body[length:]
        self._start += length

    def _fits(self, page: str) -> bool:
        return units(page) <= self._limit

    def _first_over(self) -> int | None:
        """The length of the shortest start of the body that does not fit with what may have to close it."""
        text = self._prefix + self._body[: self._limit + 1]
        if units(text) + _LONGEST_TAIL <= self._limit:
            return None
        marks = sum(map(len, self._marks))
        over = [_index_over(text, self._limit - marks)]
        longest = 0
        for position, tail in fence_tails(text):
            longest = max(longest, tail)
            over.append(max(position, _index_over(text, self._limit - marks - longest)))
        end = min(over)
        return end - len(self._prefix) if end <= len(text) else None


def split(markdown: str, limit: int) -> list[str]:
    """All of `markdown` as pages of at most `limit` (≥ 200) UTF-16 code units; [] if it is blank."""
    pages = Pages(limit)
    pages.feed(markdown)
    last = pages.open(final=True)
    return [*pages.closed, last] if last else [*pages.closed]


def units(text: str) -> int:
    """`utf16_length` for text without surrogates, at the speed of an encoder."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def _index_over(text: str, limit: int) -> int:
    """The length of the shortest start of `text` that is longer than `limit` units; `len(text) + 1` if none is."""
    if text.isascii():
        return min(limit, len(text)) + 1
    return len(text.encode("utf-16-le")[: 2 * limit].decode("utf-16-le", "ignore")) + 1


def _match_end(pattern: re.Pattern[str], text: str) -> int:
    match = pattern.match(text)
    return match.end() if match is not None else 0
