"""How a page that still grows is shown: what the end of the text has torn is held back, what is open is closed."""

import re
from typing import Final

import regex

from bot.answers.markdown.blocks import Kind
from bot.answers.markdown.cutting import closing
from bot.answers.markdown.inline import unfinished
from bot.answers.markdown.reading import Reading

HELD_BACK: Final = 300
"""Characters at the end of the text that are held back at most for the rest of a link to arrive."""

_HALF_MARK: Final = re.compile(r"[*_~|`\\]+$")
_BARE_LEAD: Final = re.compile(r"[ \t]*(?:>[ \t]?)*[ \t]*(?:[-*+]|-#|\d{1,9}[.)]?|#{1,6}|\||[-*+] \[[ xX]?\]?)?[ \t]*$")
_OPENER: Final = re.compile(r"[ \t]*(?:>[ \t]?)*[ \t]*(?:[-*+][ \t]+|\d{1,9}[.)][ \t]+)*`{1,16}[^`\n]{0,100}$")
_JOINING: Final = regex.compile(r"[\p{Extended_Pictographic}\p{RI}\u200d\ufe0f\u20e3]")
_LAST_CLUSTER: Final = regex.compile(r"\X$")
_LONGEST_CLUSTER: Final = 32


def shown(reading: Reading) -> str:
    """The page as it can be shown while more is to come; blank if there is nothing to show yet."""
    settled = _settled(reading)
    while (last := reading.change_before(settled)) is not None and last.opens:
        if reading.text[last.end : settled].strip():
            break
        settled = last.start
    end = len(reading.text[:settled].rstrip())
    if end <= reading.lines[0].start:
        return reading.text[:end]
    while (empty := reading.empty_fence_at(end)) is not None:
        settled = end = len(reading.text[:empty].rstrip())
        if not end:
            return ""
    return reading.text[:end] + closing(reading.fence_at(end), reading.marks_after(settled))


def _settled(reading: Reading) -> int:
    """The end of what the text's next characters cannot change."""
    text, line = reading.text, reading.lines[-1]
    if line.kind in (Kind.FENCE_CONTENT, Kind.FENCE_OPENER):
        before = reading.lines[-2].fence if len(reading.lines) > 1 else None
        if line.kind is Kind.FENCE_OPENER or (before is not None and before.may_be_closed_by(text[line.start :])):
            return line.start
        return _whole_cluster(text)
    if line.kind is Kind.FENCE_CLOSER:
        return len(text)
    if _BARE_LEAD.match(text, line.start) or _OPENER.match(text, line.start):
        return line.start
    start = max(line.start, len(text) - HELD_BACK)
    half_mark = _HALF_MARK.search(text, start)
    return min(
        _whole_cluster(text),
        _unless_inside(reading, unfinished(text, start)),
        _unless_inside(reading, half_mark.start() if half_mark is not None else len(text)),
    )


def _unless_inside(reading: Reading, position: int) -> int:
    """`position`, or the text's end if `position` is inside of inline code or of something whole."""
    in_code = any(mark.startswith("`") for mark in reading.marks_at(position))
    return len(reading.text) if in_code or reading.atom_around(position) is not None else position


def _whole_cluster(text: str) -> int:
    """The end of `text` without a last grapheme cluster that emoji may still join."""
    if not text or text[-1].isascii():
        return len(text)
    last = _LAST_CLUSTER.search(text, max(0, len(text) - _LONGEST_CLUSTER))
    return last.start() if last is not None and _JOINING.search(last[0]) else len(text)
