"""Time under control: an event loop whose clock jumps to the next timer, and a Discord that counts requests in it."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bot.delivery.limits import Limiter, Permit, Route
from bot.delivery.messages import Urgency

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise AssertionError("everybody waits and no timer is set")
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Sleeping takes no time, but `time()` moves on by as much."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


@dataclass
class FakeBucket:
    """Discord's own window: it begins with the first request after the last one's end."""

    limit: int
    window_s: float
    name: str
    ends_at: float = float("-inf")
    used: int = 0
    most_used: int = 0

    def arrive(self, now: float) -> tuple[int, dict[str, str]]:
        if now >= self.ends_at:
            self.ends_at, self.used = now + self.window_s, 0
        left = self.ends_at - now
        headers = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Reset-After": f"{left:.3f}",
            "X-RateLimit-Reset": f"{self.ends_at:.3f}",
            "X-RateLimit-Bucket": self.name,
        }
        if self.used >= self.limit:
            return 429, headers | {"X-RateLimit-Remaining": "0", "Retry-After": f"{left:.3f}"}
        self.used += 1
        self.most_used = max(self.most_used, self.used)
        return 200, headers | {"X-RateLimit-Remaining": str(self.limit - self.used)}


@dataclass
class FakeDiscord:
    """`latency` gives the seconds of the next way, up or down. `bucket_of` says which bucket counts a route."""

    limiter: Limiter
    bucket_of: Callable[[Route], FakeBucket]
    latency: Iterator[float]
    lose: Callable[[], bool] = lambda: False
    statuses: list[int] = field(default_factory=list)
    arrivals: list[tuple[float, Route]] = field(default_factory=list)

    async def request(self, route: Route, urgency: Urgency, on_permit: Callable[[], None] = lambda: None) -> float:
        """Ask for leave, travel, be counted, travel back. Returns when it was seen at Discord."""
        permit = await self.limiter.acquire(route, urgency, patience_s=10_000)
        on_permit()
        return await self.travel(permit)

    async def travel(self, permit: Permit) -> float:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(next(self.latency))
        seen = loop.time()
        self.arrivals.append((seen, permit.route))
        status, headers = self.bucket_of(permit.route).arrive(seen)
        self.statuses.append(status)
        await asyncio.sleep(next(self.latency))
        if self.lose():
            permit.lost()
        elif status == 429:
            permit.refused(headers, retry_after_s=float(headers["Retry-After"]), everywhere=False)
        else:
            permit.answered(headers)
        return seen
