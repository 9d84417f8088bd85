"""A circuit breaker: while the API is down, those who ask hear so at once instead of each waiting for its deadlines.

Closed, everything passes. After `THRESHOLD` failures in a row it opens: everything is refused for a pause. Then one
request is let through to try (half open): its success closes the circuit, its failure opens it again for twice as long.
Pure: the clock is an argument, and nothing waits here.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from bot.errors import ProviderDown, ProviderError, ProviderFailed, ProviderUnreachable

THRESHOLD: Final = 5
"""Failures in a row. Fewer happen to a healthy service in a bad minute."""
PAUSE_S: Final = 5.0
PAUSE_MOST_S: Final = 60.0
PROBE_S: Final = 90.0
"""So long a request that tries may take before another one may: it may never tell how it ended."""

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to send one request. `probe`: it is the one that tries whether the API is back."""

    generation: int
    probe: bool


class Circuit:
    """For one API. `clock` gives seconds that never go back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._pause_s = PAUSE_S
        self._open_until: float | None = None
        self._probing_until: float | None = None
        self._generation = 0

    @property
    def is_open(self) -> bool:
        """Whether requests are refused, or one of them is trying."""
        return self._open_until is not None

    def enter(self) -> Permit:
        """Leave to send a request; tell `succeeded` or `failed` how it ended.

        Raises:
            ProviderDown: the API has failed too often in a row; it says when to try again.
        """
        if self._open_until is None:
            return Permit(self._generation, probe=False)
        now = self._clock()
        blocked_until = max(self._open_until, self._probing_until or 0.0)
        if now < blocked_until:
            raise ProviderDown(retry_after_s=blocked_until - now)
        self._probing_until = now + PROBE_S
        return Permit(self._generation, probe=True)

    def succeeded(self, permit: Permit) -> None:
        """The API answered. One that was sent before the circuit opened says nothing about now."""
        if permit.generation != self._generation:
            return
        self._failures = 0
        if self._open_until is not None:
            self._close()

    def failed(self, permit: Permit) -> None:
        """The API did not answer, or only to say that it cannot."""
        if permit.generation != self._generation:
            return
        if permit.probe:
            self._pause_s = min(self._pause_s * 2, PAUSE_MOST_S)
            self._open()
            return
        self._failures += 1
        if self._failures >= THRESHOLD:
            self._open()

    def abandoned(self, permit: Permit) -> None:
        """Nobody will know how it ended: who asked has left. Another may try."""
        if permit.probe and permit.generation == self._generation:
            self._probing_until = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """One request, from its leave to its first answer.

        Raises:
            ProviderDown: see `enter`. Whatever is raised inside passes.
        """
        permit = self.enter()
        try:
            yield
        except ProviderError as error:
            (self.failed if tells_of_an_outage(error) else self.succeeded)(permit)
            raise
        except BaseException:
            self.abandoned(permit)
            raise
        self.succeeded(permit)

    def _open(self) -> None:
        self._generation += 1
        self._open_until = self._clock() + self._pause_s
        self._probing_until = None

    def _close(self) -> None:
        self._generation += 1
        self._open_until = self._probing_until = None
        self._failures = 0
        self._pause_s = PAUSE_S


def tells_of_an_outage(error: ProviderError) -> bool:
    """Whether an error says that the API is down, rather than that it refuses this request or is busy."""
    if isinstance(error, ProviderFailed):
        return error.status is None or error.status >= 500
    return isinstance(error, ProviderUnreachable)
