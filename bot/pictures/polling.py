"""When to ask whether a picture is ready: each job's own rhythm, and one gate for all of them."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Final

SHORTEST_S: Final = 0.5
LONGEST_S: Final = 10.0
GLANCES: Final = (0.5, 0.65, 0.8, 0.9)
"""Parts of the estimate at which a job is looked at before it is expected, in case that it is early."""
OVERDUE: Final = 1.2
"""From this part of the estimate on, it says less and less."""


def pause_s(elapsed_s: float, expected_s: float | None) -> float:
    """Seconds until a job is asked for again that was submitted `elapsed_s` ago: `SHORTEST_S` to `LONGEST_S`.

    Without an estimate, 15 % of what has passed, from 0.6 s to 8 s. With one, it is looked at when the parts of it in
    `GLANCES` have passed, from then on every twentieth of it (0.5 s to 2 s), and ever more rarely once it is overdue.
    Jobs of 4 s to 6 s that were expected to take 5 s: 5 polls, and 0.25 s from ready to known, in the median.
    """
    elapsed_s = max(elapsed_s, 0.0)
    if expected_s is None or not (math.isfinite(expected_s) and expected_s > 0):
        return min(max(0.15 * elapsed_s, 0.6), 8.0)
    for part in GLANCES:
        left_s = part * expected_s - elapsed_s
        if left_s >= SHORTEST_S:
            return min(left_s, LONGEST_S)
    close_s = min(max(0.05 * expected_s, SHORTEST_S), 2.0)
    overdue_s = elapsed_s - OVERDUE * expected_s
    return min(max(close_s, 0.15 * overdue_s), 8.0)


class PollGate:
    """Lets at most so many polls a second pass, of all jobs together: evenly spaced, first come first served.

    One that is cancelled while it waits costs those behind it nothing. `clock` and `sleep` are the event loop's unless
    given; the clock counts seconds.
    """

    def __init__(
        self,
        per_second: float,
        *,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if not (math.isfinite(per_second) and per_second > 0):
            raise ValueError("some polls must pass each second")
        self._spacing_s = 1.0 / per_second
        self._clock = clock or _loop_time
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._free_at = -math.inf

    async def enter(self, *, within_s: float) -> None:
        """Wait for one's turn, at most `within_s`.

        Raises:
            TimeoutError: so many wait already that the turn would come later. Known, and raised, at once.
        """
        now = self._clock()
        if max(self._free_at, now) + self._waiting * self._spacing_s > now + within_s:
            raise TimeoutError("too many polls wait already")
        self._waiting += 1
        try:
            async with self._turn:  # the lock keeps the line: it wakes its waiters in the order of their coming
                await self._wait_until_free()
        finally:
            self._waiting -= 1

    async def _wait_until_free(self) -> None:
        while (wait_s := self._free_at - self._clock()) > 0:
            await self._sleep(wait_s)
        self._free_at = self._clock() + self._spacing_s


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
