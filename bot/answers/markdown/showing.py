"""How a page is shown whose text has no proper end: what is open is closed.

While the page grows, what the text's end has torn is held back, for the rest of it will come. Where the text broke off,
it is shown.
"""

import re
from typing import Final

import regex

from bot.answers.markdown.blocks import IN_FENCE, Fence, Kind, Line, opens_fence
from bot.answers.markdown.cutting import closing
from bot.answers.markdown.reading import Reading

HELD_BACK: Final = 300
"""Characters at the end of the text that are held back at most for the rest of a link to arrive."""

_HALF_MARK: Final = re.compile(r"[*_~|`\\]+$")
_BARE_LEAD: Final = re.compile(r"[ \t]*(?:>[ \t]?)*[ \t]*(?:[-*+]|-#|\d{1,9}[.)]?|#{1,6}|\||[-*+] \[[ xX]?\]?)?[ \t]*$")
_OPENER: Final = re.compile(r"[ \t]*(?:>[ \t]?)*[ \t]*(?:[-*+][ \t]+|\d{1,9}[.)][ \t]+)*`{1,16}[^`\n]{0,100}$")
_OF_FENCES: Final = IN_FENCE | {Kind.FENCE_CLOSER}
_JOINING: Final = regex.compile(r"[\p{Extended_Pictographic}\p{RI}\u200d\ufe0f\u20e3]")
_LAST_CLUSTER: Final = regex.compile(r"\X$")
_LONGEST_CLUSTER: Final = 32


def shown(reading: Reading) -> str:
    """The page as it can be shown while more is to come; blank if there is nothing to show yet."""
    settled = _before_nothing(reading, _settled(reading))
    end = len(reading.text[:settled].rstrip())
    if any(mark.startswith("`") for mark in reading.marks_after(settled)) and reading.text[:end].endswith("`"):
        # What closes the code would join its own backticks, and close nothing.
        settled = _before_nothing(reading, len(reading.text[:end].rstrip("`")))
        end = len(reading.text[:settled].rstrip())
    if end <= reading.lines[0].start:
        return reading.text[:end]
    while (empty := reading.empty_fence_at(end)) is not None:
        settled, end = empty, len(reading.text[:empty].rstrip())
        if not end:
            return ""
    return reading.text[:end] + closing(reading.fence_at(end), reading.marks_after(settled))


def broken_off(reading: Reading) -> str:
    """The page whose text broke off: all of it, and what is open closed.

    Half a mark is made whole. What has nothing behind it yet marks nothing: it stays as it is, behind what closes the
    rest, as does a backslash, which would spoil the closing.
    """
    text = reading.text.rstrip()
    fence = reading.fence_at(len(text))
    line = reading.lines[reading.line_at(len(text))]
    if fence is not None:
        return _without_half_closer(reading, line, fence) + fence.closing
    half_mark = _HALF_MARK.search(text, max(0, len(text) - HELD_BACK))
    half = half_mark[0] if half_mark is not None else ""
    start = len(text) - len(half)
    marks = reading.marks_at(start)
    in_code = bool(marks) and marks[-1].startswith("`")
    spaced = text[start - 1 : start].isspace() and not in_code
    if half and not spaced and closing(None, marks).startswith(half):
        return text[:start] + closing(None, marks)
    settled = len(reading.text)
    if _BARE_LEAD.match(text, line.start):
        settled = line.start
    elif half and (spaced or (not in_code and _ends_in_backslash(half))):
        settled = start
    settled = _before_openers(reading, settled)
    shown_before = text[:settled].rstrip()
    return shown_before + closing(None, reading.marks_at(settled)) + text[len(shown_before) :]


def _without_half_closer(reading: Reading, line: Line, fence: Fence) -> str:
    """The text up to its last line, if that `line` holds the first backticks of the open fence's closing."""
    text = reading.text.rstrip()
    last = text[line.start :]
    if "`" in last and fence.may_be_closed_by(last) and reading.empty_fence_at(line.start) is None:
        return text[: line.start].rstrip()
    return text


def _before_nothing(reading: Reading, position: int) -> int:
    """`position`, or what comes before that which could not be shown up to there as what it is."""
    while (earlier := _before_false_start(reading, _before_openers(reading, position))) < position:
        position = earlier
    return position


def _before_false_start(reading: Reading, position: int) -> int:
    """`position`, or its line's start if what is behind it is all that keeps that line from opening a fence or from
    being the bare lead of an item, a quote or the like."""
    line = reading.lines[reading.line_at(position)]
    start = reading.text[line.start : position]
    if line.kind in _OF_FENCES or position == line.end or not (opens_fence(start) or _BARE_LEAD.match(start)):
        return position
    return line.start


def _before_openers(reading: Reading, position: int) -> int:
    """`position`, or what comes before the marks that open there with nothing behind them."""
    while (last := reading.change_before(position)) is not None and last.opens:
        if reading.text[last.end : position].strip():
            break
        position = last.start
    return position


def _ends_in_backslash(text: str) -> bool:
    """Whether `text` ends in a backslash that is not escaped itself."""
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


def _settled(reading: Reading) -> int:
    """The end of what the text's next characters cannot change."""
    text, line = reading.text, reading.lines[-1]
    if line.kind is Kind.FENCE_OPENER:
        return line.start
    if line.fence is not None:
        end = _whole_cluster(text)
        return line.start if line.fence.may_be_closed_by(text[line.start : end]) else end
    if line.kind is Kind.FENCE_CLOSER:
        return len(text)
    if _BARE_LEAD.match(text, line.start) or _OPENER.match(text, line.start):
        return line.start
    start = max(line.start, len(text) - HELD_BACK)
    half_mark = _HALF_MARK.search(text, start)
    return min(
        _whole_cluster(text),
        _unless_inside(reading, reading.unfinished(start)),
        _unless_inside(reading, half_mark.start() if half_mark is not None else len(text)),
    )


def _unless_inside(reading: Reading, position: int) -> int:
    """`position`, or the text's end if `position` is inside of inline code or of something whole."""
    in_code = any(mark.startswith("`") for mark in reading.marks_at(position))
    return len(reading.text) if in_code or reading.atom_around(position) is not None else position


def _whole_cluster(text: str) -> int:
    """The end of `text` without a last grapheme cluster that emoji may still join."""
    if text[-1].isascii():
        return len(text)
    last = _LAST_CLUSTER.search(text, max(0, len(text) - _LONGEST_CLUSTER))
    return last.start() if last is not None and _JOINING.search(last[0]) else len(text)
