"""How long a picture takes, from those before it: the API says nothing about it. In memory, without I/O."""

import math
from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass
from statistics import median
from typing import Final

REMEMBERED: Final = 20
"""Pictures of a kind; their median forgets an outlier, and follows the API within about ten pictures."""
KINDS: Final = 512
"""Kinds of pictures at most; the one not seen for longest goes first."""


@dataclass(frozen=True, slots=True)
class _Sample:
    work: int
    """Pixels x steps."""
    took_s: float


class Estimates:
    """Expects of a picture what the last ones took.

    Of the same model, pixels and steps where there are any; else of the same model, each scaled by pixels x steps; else
    of all models, scaled alike. Bounded by KINDS x REMEMBERED times, and the same notes give the same answers.
    """

    def __init__(self) -> None:
        self._samples: OrderedDict[Hashable, deque[_Sample]] = OrderedDict()

    def note(self, model: str, pixels: int, steps: int, took_s: float) -> None:
        """A picture took `took_s` seconds from its submission until it was ready. What makes no sense is ignored."""
        if not (math.isfinite(took_s) and took_s > 0 and pixels > 0 and steps > 0):
            return
        sample = _Sample(pixels * steps, took_s)
        for kind in _kinds(model, pixels, steps):
            self._samples.setdefault(kind, deque(maxlen=REMEMBERED)).append(sample)
            self._samples.move_to_end(kind)
        while len(self._samples) > KINDS:
            self._samples.popitem(last=False)

    def expected_s(self, model: str, pixels: int, steps: int) -> float | None:
        """Seconds that such a picture will take, as far as can be told; None before the first."""
        work = pixels * steps
        for kind in _kinds(model, pixels, steps):
            if samples := self._samples.get(kind):
                return median(sample.took_s * work / sample.work for sample in samples)
        return None


def _kinds(model: str, pixels: int, steps: int) -> tuple[Hashable, ...]:
    """What a picture is an example of, the closest kind first."""
    return (model, pixels, steps), (model,), ()
