"""What a reader sees of one answer, and when. Pure: all times are seconds of one monotonic clock."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_MARK: Final = re.compile(r"\b(?:ba|do|ki|lu|me|ro|su|ta)([0-9]+)\b")
_SYLLABLES: Final = ("ba", "do", "ki", "lu", "me", "ro", "su", "ta")


def story(chunks: int) -> list[str]:
    """An answer of so many chunks of about a token each, in which every chunk ends in a word that tells its number.

    Paragraphs with emphasis, a list and a block of code take turns, so that the text has to be cut as real ones are.
    """
    return [_chunk(number) for number in range(chunks)]


def _chunk(number: int) -> str:
    word = f"{_SYLLABLES[number % len(_SYLLABLES)]}{number}"
    part, place = number // 40 % 3, number % 40
    if part == 1:
        return f"\n\n- {word}" if place == 0 else f"\n- {word}" if place % 8 == 0 else f" {word}"
    if part == 2:
        start = "\n\n```python\n" if place == 0 else "\n```\n" if place == 39 else "\n" if place % 6 == 0 else " "
        return start + word
    start = "\n\n" if place == 0 and number else "" if number == 0 else " "
    if place % 10 == 4:
        return f"{start}**{word}"
    return f"{start}{word}**" if place % 10 == 6 else start + word


def words_shown(content: str) -> int:
    """How many chunks of a `story` a message shows, counted from the story's beginning; 0 for none."""
    return max((int(number) + 1 for number in _MARK.findall(content)), default=0)


@dataclass(frozen=True, slots=True)
class Shown:
    """From `at` on a reader sees the first `chunks` chunks."""

    at: float
    chunks: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How one answer was seen. Seconds; `age_s` is the age of the oldest unseen text, averaged from the first chunk
    to the moment at which all was seen."""

    first_words_s: float
    whole_text_s: float
    age_s: float


def read(sent_at: Sequence[float], shown: Iterable[Shown]) -> Reading:
    """Hold what was shown against when each chunk was sent. Raises ValueError where the end was never seen."""
    steps = _growing(shown)
    if not sent_at or not steps or steps[-1].chunks < len(sent_at):
        seen = steps[-1].chunks if steps else 0
        raise ValueError(f"{seen} of {len(sent_at)} chunks were seen")
    end = next(step.at for step in steps if step.chunks >= len(sent_at))
    return Reading(
        first_words_s=steps[0].at - sent_at[0],
        whole_text_s=end - sent_at[-1],
        age_s=_mean_age(sent_at, steps, end),
    )


def _growing(shown: Iterable[Shown]) -> list[Shown]:
    """The steps at which more was seen than before."""
    steps: list[Shown] = []
    for step in sorted(shown, key=lambda each: each.at):
        if step.chunks > (steps[-1].chunks if steps else 0):
            steps.append(step)
    return steps


def _mean_age(sent_at: Sequence[float], steps: Sequence[Shown], end: float) -> float:
    """Between two steps the oldest unseen chunk stays the same, so its age grows in a straight line from 0."""
    area, seen, since = 0.0, 0, sent_at[0]
    for step in steps:
        if seen >= len(sent_at):
            break
        oldest = sent_at[seen]
        young = max(since - oldest, 0.0)
        old = max(step.at - oldest, 0.0)
        area += (old * old - young * young) / 2
        seen, since = step.chunks, step.at
    return area / (end - sent_at[0]) if end > sent_at[0] else 0.0


def one_clock_for_all(answers: Sequence[Sequence[float]], *, pause_s: float = 1.0) -> list[Reading]:
    """The same chunks shown by the pacing often met: one clock for the process, an edit at most every `pause_s`.

    Whichever answer has news when the pause is over is edited; the last edit of each goes at once. Nothing on the
    way takes any time, so this flatters it.
    """
    arrivals = sorted((at, who, number) for who, sent in enumerate(answers) for number, at in enumerate(sent))
    shown: list[list[Shown]] = [[] for _ in answers]
    last = float("-inf")
    for at, who, number in arrivals:
        if at - last >= pause_s or number == len(answers[who]) - 1:
            shown[who].append(Shown(at, number + 1))
            last = at
    return [read(sent, steps) for sent, steps in zip(answers, shown, strict=True)]
