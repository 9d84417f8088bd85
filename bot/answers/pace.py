"""How fast one member may ask: a flood costs the bot, its channel and the others, whoever pays for it. Pure."""

from dataclasses import dataclass
from typing import Final

from bot.errors import TooFast

BURST: Final = 5
"""So many questions may come in one breath; a conversation does."""
REMEMBERED: Final = 10_000
"""Members of whom it is known how fast they ask; those who ask no more are dropped first."""
ROUNDING: Final = 1e-9
"""Who waited as long as they were told to has waited long enough, whatever sums of floats come to."""


@dataclass(slots=True)
class _Asker:
    """`room` questions were free at `at`. `told_until`: before that they need not be told again."""

    room: float
    at: float
    told_until: float = 0.0


class Pace:
    """Token buckets, one a member: `BURST` questions at once, then `per_minute`. 0 a minute: no bound."""

    def __init__(self, per_minute: int) -> None:
        self._per_s = per_minute / 60
        self._burst = min(BURST, per_minute)
        self._askers: dict[int, _Asker] = {}

    def enter(self, user_id: int, now: float) -> None:
        """Count one question at `now`, in seconds of a clock that never goes back.

        Raises:
            TooFast: it came too soon, and is not counted. `first` until the member may ask again: the others of a
                flood need no answer each.
        """
        if not self._per_s:
            return
        asker = self._askers.pop(user_id, None) or _Asker(room=self._burst, at=now)
        self._askers[user_id] = asker  # the newest stand last
        if len(self._askers) > REMEMBERED:
            del self._askers[next(iter(self._askers))]
        asker.room = min(self._burst, asker.room + (now - asker.at) * self._per_s)
        asker.at = now
        if asker.room < 1 - ROUNDING:
            wait_s = (1 - asker.room) / self._per_s
            first = now >= asker.told_until
            asker.told_until = now + wait_s if first else asker.told_until
            raise TooFast(retry_after_s=wait_s, first=first)
        asker.room -= 1
