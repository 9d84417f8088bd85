"""A page as read: its lines, and what is open at each place of it."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from bot.answers.markdown.blocks import IN_FENCE, TABLE, Fence, Kind, Line, may_become_text, quotes_the_rest, read_line
from bot.answers.markdown.inline import Change, read_inline, unfinished


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """All offsets are into `text`."""

    text: str
    lines: list[Line] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    atoms: list[tuple[int, int]] = field(default_factory=list)

    def line_at(self, position: int) -> int:
        """The number of the line that holds `position`; a line's end belongs to it."""
        return bisect_right(self.lines, position, key=lambda line: line.start) - 1

    def marks_at(self, position: int) -> tuple[str, ...]:
        """The emphasis and inline code open at `position`, outermost first."""
        last = self.change_before(position)
        return () if last is None else last.marks

    def marks_after(self, position: int) -> tuple[str, ...]:
        """As `marks_at`, but at the end of a line what is open at the start of the next."""
        return self.marks_at(position + self.text.startswith("\n", position))

    def splits_change(self, position: int) -> bool:
        """Whether a mark begins at `position`, or would be torn there."""
        number = bisect_right(self.changes, position, key=lambda change: change.end)
        return number < len(self.changes) and self.changes[number].start <= position

    def change_before(self, position: int) -> Change | None:
        """The last change that ends at or before `position`."""
        number = bisect_right(self.changes, position, key=lambda change: change.end) - 1
        return self.changes[number] if number >= 0 else None

    def atom_around(self, position: int) -> tuple[int, int] | None:
        """The link, mark or other indivisible stretch that a cut at `position` would tear."""
        number = bisect_right(self.atoms, position, key=lambda atom: atom[0]) - 1
        if number >= 0 and self.atoms[number][0] < position < self.atoms[number][1]:
            return self.atoms[number]
        return None

    def unfinished(self, start: int) -> int:
        """As `unfinished`, but of what is no part of a whole link: one may follow on another without a space."""
        position = unfinished(self.text, start)
        while (whole := self.atom_around(position)) is not None:
            position = unfinished(self.text, whole[1])
        return position

    def fence_at(self, position: int) -> Fence | None:
        """The fence to close if the text ended at `position`, which is not inside of a fence's closing line."""
        return self.lines[self.line_at(position)].fence

    def open_at_end(self) -> tuple[Fence | None, tuple[str, ...]]:
        """The fence or the marks to close at the end of the text."""
        return self.lines[-1].fence, self.marks_at(len(self.text))

    def empty_fence_at(self, position: int) -> int | None:
        """Where the fence's opening line begins, if a fence is open at `position` and has nothing in it yet."""
        number = self.line_at(position)
        if self.lines[number].kind not in IN_FENCE:
            return None
        while self.lines[number].kind is Kind.FENCE_CONTENT:
            line = self.lines[number]
            if number == 0 or self.text[line.start : min(line.end, position)].replace(">", "").strip():
                return None
            number -= 1
        return self.lines[number].start

    def quotes_the_rest(self) -> bool:
        """Whether a quote to the end of the message has begun."""
        return any(
            line.kind in (Kind.QUOTE, Kind.FENCE_OPENER) and quotes_the_rest(self.text[line.start : line.end])
            for line in self.lines
        )

    def add_unfinished(self, start: int) -> None:
        """Hold what begins at `start` and lasts beyond the text for indivisible."""
        while self.atoms and self.atoms[-1][0] >= start:
            self.atoms.pop()
        self.atoms.append((start, len(self.text) + 1))

    def resting_line(self) -> Line | None:
        """The last whole line that is not blank and after which no more than a fence with content is open."""
        for line in reversed(self.lines[:-1]):
            if (
                self.text[line.start : line.end].strip()
                and not self.marks_at(line.end + 1)
                and self.empty_fence_at(line.end) is None
            ):
                return line
        return None


def read(text: str, *, after: Line | None = None, ended: bool = False) -> Reading:
    """Read `text`, or what follows its line `after`, one that `Reading.resting_line` gave for a shorter `text`.

    `ended`: nothing follows, so that backticks without a partner are backticks.
    """
    reading = Reading(text=text)
    block: Line | None = None
    if after is not None:
        reading.lines.append(after)
    for line in _lines(text, after):
        if block is not None and (line.kind is not Kind.TEXT or block.kind in TABLE):
            whole = ended or line.end < len(text) or block.kind in TABLE or not may_become_text(text, line)
            _read_block(reading, block, line.start - 1, ended=whole)
            block = None
        if block is None and line.kind not in _WITHOUT_INLINE:
            block = line
        reading.lines.append(line)
    if block is not None:
        _read_block(reading, block, len(text), ended=ended)
    return reading


_WITHOUT_INLINE = frozenset({Kind.BLANK, Kind.RULE, Kind.FENCE_CLOSER}) | IN_FENCE


def reopening(text: str) -> str:
    """The line, with its end, that opens the fence anew in which `text` ends; "" where none is open."""
    fence = read(text).lines[-1].fence
    return fence.opening if fence is not None else ""


def _lines(text: str, before: Line | None) -> Iterator[Line]:
    start = 0 if before is None else before.end + 1
    while start <= len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        before = read_line(text, start, end, before, None if before is None else before.fence)
        yield before
        start = end + 1


def _read_block(reading: Reading, block: Line, end: int, *, ended: bool) -> None:
    inline = read_inline(reading.text, block.words, end, ended=ended, spoilers=block.kind not in TABLE)
    reading.changes.extend(inline.changes)
    reading.atoms.extend(inline.atoms)
    if ended and inline.changes and inline.changes[-1].marks:  # what the block left open was no mark at all
        reading.changes.append(Change(start=end, end=end + 1, marks=(), opens=False))
