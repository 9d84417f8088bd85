"""How many orders a member may cancel while the API draws: it costs them nothing, and the operator all of it. Pure."""

from collections import deque
from typing import Final

from bot.errors import TooFast

FREE: Final = 10
"""So many within WINDOW_S; then the member orders nothing until the oldest of them is that long ago."""
WINDOW_S: Final = 3_600.0
REMEMBERED: Final = 10_000
"""Members whose cancellations are known; who cancelled longest ago is dropped first."""


class Cancels:
    """Of one process. Times are seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._of_member: dict[int, deque[float]] = {}

    def note(self, user_id: int, now: float) -> None:
        """That member has cancelled an order that was under way."""
        times = self._of_member.pop(user_id, None) or deque(maxlen=FREE)
        times.append(now)
        self._of_member[user_id] = times  # the newest stand last
        if len(self._of_member) > REMEMBERED:
            del self._of_member[next(iter(self._of_member))]

    def check(self, user_id: int, now: float) -> None:
        """Raises TooFast where that member has cancelled too often."""
        times = self._of_member.get(user_id)
        if times is not None and len(times) == FREE and (wait_s := times[0] + WINDOW_S - now) > 0:
            raise TooFast(retry_after_s=wait_s, first=True)
