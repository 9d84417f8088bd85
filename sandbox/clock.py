"""The time of the sandbox: the machine's, plus what tests and people have advanced it by."""

import time
from collections.abc import Callable


class Clock:
    """Unix time in seconds. It runs by itself and can be advanced, never set back."""

    def __init__(self, source: Callable[[], float] = time.time) -> None:
        """`source` gives unix seconds; a test that wants time to stand still passes a constant one."""
        self._source = source
        self._advanced_s = 0.0

    def now(self) -> float:
        return self._source() + self._advanced_s

    @property
    def advanced_s(self) -> float:
        """By how much it has been advanced so far."""
        return self._advanced_s

    def advance(self, seconds: float) -> None:
        """Raises ValueError for a negative number: nothing here can live with time that goes back."""
        if seconds < 0:
            raise ValueError(f"time cannot be set back, by {seconds} s")
        self._advanced_s += seconds
