"""Discord's rate limits, kept from our side so that Discord never has to.

The rules, from Discord's documentation (topics/rate-limits) and from practice (discord-api-docs#2701, #4416, #7243):

- A bucket allows `limit` requests in a window that begins with the first request Discord receives; the answers' headers
  tell how many remain and in how many seconds the window ends. Routes may share a bucket, and limits may change.
- A bot may send 50 requests a second over all routes; an interaction's webhook routes are outside it.
- Messages created through webhooks: about 30 in 60 s for each channel, shared by everybody, told by no header.

`Bucket` and `SlidingRate` are pure gates: they hold no clock and do no waiting. `Line` lets callers wait at
a gate in order of urgency, and `Limiter` finds the gates that a request has to pass.

Why a 429 cannot happen while the headers tell the truth: a window's end is reckoned from when an answer *arrived*, so
it is never too early; and a request that is not answered yet counts against whatever window is current, because it may
fall into any. One that never gets an answer counts for a window's length more.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from bot.delivery.messages import Urgency

EDGE_S: Final = 0.01
"""Kept clear after a window's end: headers are rounded to milliseconds."""
GLOBAL_LIMIT: Final = 45
"""Requests a second over all bot-authorised routes; Discord's limit is 50."""
GROWTH_LIMIT: Final = 100
GROWTH_WINDOW_S: Final = 0.2
"""So many edits of growing answers are on their way, or were answered so shortly before: at most some 500 a second.

No limit of Discord's but one of ours: an edit costs most of a millisecond, so that a thousand answers at once would
take the whole of a core for their edits alone, and nobody's command would be acknowledged in time. The slower edits are
answered, be it that Discord is slow or that we are, the fewer are begun.
"""
CREATIONS_LIMIT: Final = 25
CREATIONS_WINDOW_S: Final = 60.0
PATIENCE_S: Final = 60.0
"""Nobody waits longer than this at one gate."""
SWEEP_EVERY: Final = 256
"""Idle buckets are dropped each time so many permits were given."""
LEARNED_AT_MOST: Final = 256

SAME_WINDOW_S: Final = 0.1
"""Two answers whose windows end so close together speak of the same window."""

REFUSALS_REMEMBERED: Final = 256
"""The newest 429s, for whoever asks how often Discord had to say it."""

NEVER: Final = float("inf")


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """Routes that are presumed to share one bucket, and its limits, until headers tell otherwise."""

    name: str
    limit: int
    window_s: float


WEBHOOK: Final = Family(name="webhook", limit=5, window_s=2.0)
CREATE: Final = Family(name="create", limit=5, window_s=5.0)
EDIT: Final = Family(name="edit", limit=5, window_s=5.0)
DELETE: Final = Family(name="delete", limit=5, window_s=5.0)
READ: Final = Family(name="read", limit=5, window_s=5.0)
TYPING: Final = Family(name="typing", limit=5, window_s=5.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """Where a request goes, as far as limits are concerned.

    `name` is the method and path template. `major` is the channel, or the interaction's token. `bot` says that the
    request carries the bot's authorisation. `creates_in` is the channel in which a webhook creates a message.
    """

    name: str
    family: Family
    major: str
    bot: bool
    creates_in: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RateHeaders:
    """What one answer told. `reset_id` is the window's end by the server's own clock, which tells windows apart."""

    limit: int
    remaining: int
    reset_after_s: float
    reset_id: float | None = None
    bucket: str | None = None

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> "RateHeaders | None":
        """The rate-limit headers of an answer; None when they are missing or make no sense."""
        limit = headers.get("X-RateLimit-Limit")
        if limit is None:
            return None
        try:
            reset = headers.get("X-RateLimit-Reset")
            told = cls(
                limit=int(limit),
                remaining=int(headers["X-RateLimit-Remaining"]),
                reset_after_s=float(headers["X-RateLimit-Reset-After"]),
                reset_id=float(reset) if reset else None,
                bucket=headers.get("X-RateLimit-Bucket"),
            )
        except (KeyError, ValueError):
            return None
        sensible = told.limit >= 1 and 0 <= told.remaining <= told.limit and 0 <= told.reset_after_s < 86_400
        return told if sensible else None


class Gate(Protocol):
    """Something that a request must pass. Times are seconds of one clock."""

    def ready_at(self, urgency: Urgency, now: float) -> float:
        """When a request of this urgency may pass: not after `now` if at once, `NEVER` if only an answer can tell."""
        ...

    def take(self, token: Hashable, urgency: Urgency, now: float) -> None:
        """Let the request named `token` pass."""
        ...

    def give_back(self, token: Hashable) -> None:
        """Undo `take` for a request that was never sent."""
        ...


class Bucket:
    """One bucket's window, as far as it is known.

    GROWTH is spaced evenly over the window, counted from the FIRST or GROWTH before it. Both leave the window's last
    request to FINAL. Before the first header only one request that is not FINAL flies at a time, so that a lower limit
    than presumed is learned in time.
    """

    def __init__(self, *, limit: int, window_s: float, known: bool = False) -> None:
        self.limit = limit
        self.window_s = window_s
        self.name: str | None = None
        self.flying: set[Hashable] = set()
        self._known = known
        self._remaining = limit
        self._reset_at = float("-inf")
        self._reset_id: float | None = None
        self._blocked_until = 0.0
        self._unaccounted: deque[float] = deque()
        self._last_growth = float("-inf")
        self._growth: dict[Hashable, tuple[float, float]] = {}

    def ready_at(self, urgency: Urgency, now: float) -> float:
        ready = max(now, self._blocked_until)
        if not self._known and self.flying and urgency is not Urgency.FINAL:
            return NEVER
        if urgency is Urgency.GROWTH:
            ready = max(ready, self._next_growth(now))
        needed = 1 if urgency is Urgency.FINAL or self.limit == 1 else 2
        return max(ready, self._room_at(needed, now))

    def take(self, token: Hashable, urgency: Urgency, now: float) -> None:
        self.flying.add(token)
        if urgency is not Urgency.FINAL:
            self._growth[token] = (now, self._last_growth)
            self._last_growth = now

    def give_back(self, token: Hashable) -> None:
        self.flying.discard(token)
        taken_at, before = self._growth.pop(token, (None, 0.0))
        if taken_at == self._last_growth:
            self._last_growth = before

    def answered(self, token: Hashable, told: RateHeaders | None, now: float) -> None:
        """The request named `token` was answered. Without headers it counts for one more window."""
        self._land(token)
        if told is None:
            self._unaccounted.append(now + self.window_s + EDGE_S)
            return
        self._known = True
        self._learn(told, now)

    def lost(self, token: Hashable, now: float) -> None:
        """The request named `token` was sent and nobody knows what became of it."""
        self.answered(token, None, now)

    def block(self, until: float) -> None:
        """Discord said 429: nothing passes before `until`."""
        self._blocked_until = max(self._blocked_until, until)

    def hand_over(self, other: "Bucket", tokens: set[Hashable]) -> None:
        """`tokens` turned out to fly in `other`, and so may what cannot be accounted for."""
        self.flying -= tokens
        for token in tokens:
            # Their spacing goes along below. Whoever is not to land here would else be kept as long as the bucket.
            self._growth.pop(token, None)
        other.flying |= tokens
        other._unaccounted = deque(sorted((*other._unaccounted, *self._unaccounted)))  # noqa: SLF001 - its own class
        other._last_growth = max(other._last_growth, self._last_growth)  # noqa: SLF001 - its own class

    def idle(self, now: float) -> bool:
        """Whether nothing is remembered here that a new bucket would not know."""
        self._forget_expired(now)
        calm = now >= max(self._reset_at, self._blocked_until, self._last_growth + self.window_s)
        return calm and not self.flying and not self._unaccounted

    def _land(self, token: Hashable) -> None:
        self.flying.discard(token)
        self._growth.pop(token, None)

    def _learn(self, told: RateHeaders, now: float) -> None:
        """Answers may overtake each other; where it is unclear of which window one speaks, be strict."""
        reset_at = now + told.reset_after_s + EDGE_S
        if told.reset_id is not None and self._reset_id is not None:
            later = told.reset_id - self._reset_id
            if later < -SAME_WINDOW_S:
                return
            if later > SAME_WINDOW_S:
                self._remaining, self._reset_at = told.remaining, reset_at
            else:
                self._remaining, self._reset_at = min(self._remaining, told.remaining), min(self._reset_at, reset_at)
        elif now >= self._reset_at:
            self._remaining, self._reset_at = told.remaining, reset_at
        else:
            self._remaining, self._reset_at = min(self._remaining, told.remaining), max(self._reset_at, reset_at)
        self._reset_id = told.reset_id
        self._learn_shape(told)

    def _learn_shape(self, told: RateHeaders) -> None:
        fresh = told.remaining == told.limit - 1
        shrunk = fresh and told.reset_after_s < 0.75 * self.window_s
        self.limit = told.limit
        if told.reset_after_s > self.window_s or shrunk:
            self.window_s = max(told.reset_after_s, 0.001)

    def _forget_expired(self, now: float) -> None:
        while self._unaccounted and self._unaccounted[0] <= now:
            self._unaccounted.popleft()

    def _room_at(self, needed: int, now: float) -> float:
        """When `needed` more requests fit, as far as time alone can bring that about."""
        self._forget_expired(now)
        flying = len(self.flying)
        if now < self._reset_at and self._remaining - flying - len(self._unaccounted) >= needed:
            return now
        start = max(now, self._reset_at)
        surplus = needed + flying - self.limit
        if surplus > 0:
            return NEVER
        waiting_for = len(self._unaccounted) + surplus
        return start if waiting_for <= 0 else max(start, self._unaccounted[waiting_for - 1])

    def _next_growth(self, now: float) -> float:
        """Evenly over what is left of the window, and never closer than an even share of a whole one."""
        spacing = self.window_s / max(self.limit - 1, 1)
        last = self._last_growth
        if last < now < self._reset_at:
            slots = max(self._remaining - len(self.flying) - len(self._unaccounted) - 1, 0)
            spacing = max(spacing, (self._reset_at - last) / (slots + 1))
        return last + spacing


class SlidingRate:
    """At most `limit` requests in any `window_s`, however long each is on its way.

    A request counts from when it is let pass until a window after its answer, so that any jitter on the way is covered.
    """

    def __init__(self, *, limit: int, window_s: float) -> None:
        self._limit = limit
        self._window_s = window_s
        self._flying: set[Hashable] = set()
        self._expiries: deque[float] = deque()
        self._blocked_until = 0.0

    def ready_at(self, urgency: Urgency, now: float) -> float:
        while self._expiries and self._expiries[0] <= now:
            self._expiries.popleft()
        ready = max(now, self._blocked_until)
        surplus = len(self._flying) + len(self._expiries) + 1 - self._limit
        if surplus <= 0:
            return ready
        return max(ready, self._expiries[surplus - 1]) if surplus <= len(self._expiries) else NEVER

    def take(self, token: Hashable, urgency: Urgency, now: float) -> None:
        self._flying.add(token)

    def give_back(self, token: Hashable) -> None:
        self._flying.discard(token)

    def landed(self, token: Hashable, now: float) -> None:
        """The request was answered, or given up."""
        if token in self._flying:
            self._flying.discard(token)
            self._expiries.append(now + self._window_s)

    def block(self, until: float) -> None:
        self._blocked_until = max(self._blocked_until, until)

    def idle(self, now: float) -> bool:
        return not self._flying and now >= self._blocked_until and (not self._expiries or self._expiries[-1] <= now)


G = TypeVar("G", bound=Gate)


@dataclass(eq=False, slots=True)
class _Waiter:
    token: "Permit"
    future: "asyncio.Future[bool]"


class Line(Generic[G]):
    """Those who wait at one gate: by urgency, and within one urgency in the order they came.

    An answer asks again only after its last edit, so first come, first served gives each its turn in a round.
    """

    def __init__(self, gate: G, clock: Callable[[], float]) -> None:
        self.gate = gate
        self._clock = clock
        self._queues: tuple[deque[_Waiter], ...] = tuple(deque() for _ in Urgency)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def empty(self) -> bool:
        return not any(self._queues)

    async def wait(self, permit: "Permit", urgency: Urgency, patience_s: float) -> bool:
        """Pass the gate. False: the permit's route belongs to another line now, ask there.

        Raises TimeoutError after `patience_s`, or at once where it is certain to come to that.
        """
        now = self._clock()
        ready = self.gate.ready_at(urgency, now)
        if ready <= now and not any(self._queues[: urgency + 1]):
            self.gate.take(permit, urgency, now)
            return True
        if NEVER > ready > now + patience_s:
            raise TimeoutError
        waiter = _Waiter(permit, asyncio.get_running_loop().create_future())
        self._queues[urgency].append(waiter)
        self.pump()
        try:
            async with asyncio.timeout(patience_s):
                return await waiter.future
        finally:
            if not waiter.future.done() or waiter.future.cancelled():
                self._leave(waiter, urgency)

    def pump(self) -> None:
        """Let pass who may, and wake up when the next may."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock()
        for urgency, queue in zip(Urgency, self._queues, strict=True):
            while queue:
                ready = self.gate.ready_at(urgency, now)
                if ready > now + 1e-6:
                    if ready < NEVER:
                        self._timer = asyncio.get_running_loop().call_later(ready - now, self.pump)
                    return
                waiter = queue.popleft()
                if not waiter.future.done():
                    self.gate.take(waiter.token, urgency, now)
                    waiter.future.set_result(True)

    def send_away(self, route: Route) -> None:
        """Those who wait with `route` shall ask again elsewhere."""
        for queue in self._queues:
            for waiter in [waiter for waiter in queue if waiter.token.route == route]:
                queue.remove(waiter)
                if not waiter.future.done():
                    waiter.future.set_result(False)

    def _leave(self, waiter: _Waiter, urgency: Urgency) -> None:
        if waiter in self._queues[urgency]:
            self._queues[urgency].remove(waiter)
        self.pump()


class Permit:
    """Leave to send one request now. Exactly one of `answered`, `lost` and `unsent` ends it; later ones do nothing."""

    __slots__ = ("_limiter", "bucket", "ended", "rates", "route")

    def __init__(self, limiter: "Limiter", route: Route) -> None:
        self._limiter = limiter
        self.route = route
        self.bucket: Line[Bucket] | None = None
        self.rates: list[Line[SlidingRate]] = []
        self.ended = False

    def answered(self, headers: Mapping[str, str]) -> None:
        """Discord answered, whatever the status."""
        if not self.ended:
            self.ended = True
            self._limiter.land(self, RateHeaders.read(headers))

    def lost(self) -> None:
        """The request was, or may have been, sent, and no answer came."""
        self.answered({})

    def unsent(self) -> None:
        """Nothing was sent: as if the permit had never been given."""
        if not self.ended:
            self.ended = True
            self._limiter.take_back(self)

    def refused(self, headers: Mapping[str, str], *, retry_after_s: float, everywhere: bool) -> None:
        """Discord answered 429: obey. `everywhere` is the body's `global`."""
        self.answered(headers)
        scope = headers.get("X-RateLimit-Scope", "")
        self._limiter.obey(self, retry_after_s, everywhere=everywhere or scope == "global", shared=scope == "shared")


class Limiter:
    """Gives leave to send, so that Discord never answers 429. One for each bot and process."""

    def __init__(self, *, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or asyncio.get_running_loop().time
        self._by_route: dict[tuple[str, str], Line[Bucket]] = {}
        self._by_bucket: dict[tuple[str, str], Line[Bucket]] = {}
        self._by_family: dict[tuple[str, str], Line[Bucket]] = {}
        self._creations: dict[int, Line[SlidingRate]] = {}
        self._global = Line(SlidingRate(limit=GLOBAL_LIMIT, window_s=1.0), self._clock)
        self._growth = Line(SlidingRate(limit=GROWTH_LIMIT, window_s=GROWTH_WINDOW_S), self._clock)
        self._bucket_of: dict[str, str] = {}
        self._shape_of: dict[str, tuple[int, float]] = {}
        self._given = 0
        self._refused: deque[tuple[float, Route]] = deque(maxlen=REFUSALS_REMEMBERED)

    @property
    def size(self) -> int:
        """How many buckets and channels are remembered."""
        return len(self._by_route) + len(self._by_bucket) + len(self._by_family) + len(self._creations)

    async def acquire(
        self, route: Route, urgency: Urgency, *, patience_s: float = PATIENCE_S, creation_patience_s: float = PATIENCE_S
    ) -> Permit:
        """Wait until a request to `route` may be sent.

        Raises TimeoutError when that takes longer than `patience_s` at one gate, or, for messages that a webhook
        creates, when the channel's share of those takes longer than `creation_patience_s`.
        """
        self._sweep()
        permit = Permit(self, route)
        try:
            if route.creates_in is not None:
                line = self._creation_line(route.creates_in)
                await self._pass_rate(permit, line, urgency, creation_patience_s)
            await self._pass_bucket(permit, urgency, patience_s)
            if urgency is Urgency.GROWTH:
                await self._pass_rate(permit, self._growth, urgency, patience_s)
            if route.bot:
                await self._pass_rate(permit, self._global, urgency, patience_s)
        except BaseException:
            permit.unsent()
            raise
        return permit

    async def _pass_rate(self, permit: Permit, line: Line[SlidingRate], urgency: Urgency, patience_s: float) -> None:
        permit.rates.append(line)
        await line.wait(permit, urgency, patience_s)

    async def _pass_bucket(self, permit: Permit, urgency: Urgency, patience_s: float) -> None:
        passed = False
        while not passed:
            permit.bucket = self._line(permit.route)
            passed = await permit.bucket.wait(permit, urgency, patience_s)

    def land(self, permit: Permit, told: RateHeaders | None) -> None:
        """An answer came, or is not to be expected any more."""
        now = self._clock()
        line = permit.bucket
        assert line is not None, "whoever has leave to send has passed a bucket"
        if told is not None and told.bucket is not None:
            line = self._identify(permit.route, line, told.bucket)
        line.gate.answered(permit, told, now)
        if told is not None and told.bucket is not None:
            self._remember(told.bucket, line.gate)
        line.pump()
        for rate in permit.rates:
            rate.gate.landed(permit, now)
            rate.pump()

    def take_back(self, permit: Permit) -> None:
        """The permit was not used."""
        lines: list[Line[Bucket] | Line[SlidingRate]] = [*permit.rates]
        if permit.bucket is not None:
            lines.append(permit.bucket)
        for line in lines:
            line.gate.give_back(permit)
            line.pump()

    def obey(self, permit: Permit, retry_after_s: float, *, everywhere: bool, shared: bool) -> None:
        """Wait as a 429 said, at the gate that it speaks of."""
        self._refused.append((self._clock(), permit.route))
        until = self._clock() + retry_after_s + EDGE_S
        line: Line[Bucket] | Line[SlidingRate] | None = permit.bucket
        if everywhere and permit.route.bot:
            line = self._global
        elif shared and permit.route.creates_in is not None:
            line = self._creation_line(permit.route.creates_in)
        assert line is not None, "whoever has leave to send has passed a bucket"
        line.gate.block(until)
        line.pump()

    def refused_in(self, channel_id: int, *, within_s: float) -> int:
        """How many 429s there were for a channel's messages lately, as far as REFUSALS_REMEMBERED goes back.

        Edits through an interaction are not among them: they belong to no channel.
        """
        since = self._clock() - within_s
        return sum(
            at >= since and (route.creates_in == channel_id or (route.bot and route.major == str(channel_id)))
            for at, route in self._refused
        )

    def _line(self, route: Route) -> Line[Bucket]:
        """The line of a route: its own, its bucket's, that of its presumed family, or a new one."""
        key = (route.name, route.major)
        line = self._by_route.get(key)
        if line is None:
            line = self._by_route[key] = self._presumed_line(route)
        return line

    def _presumed_line(self, route: Route) -> Line[Bucket]:
        name = self._bucket_of.get(route.name)
        family_key = (route.family.name, route.major)
        family = self._by_family.get(family_key)
        if name is not None and (name, route.major) in self._by_bucket:
            return self._by_bucket[name, route.major]
        if family is not None and (name is None or family.gate.name is None):
            return family
        line = self._new_line(route, name)
        self._by_family.setdefault(family_key, line)
        return line

    def _new_line(self, route: Route, name: str | None) -> Line[Bucket]:
        shape = self._shape_of.get(name) if name is not None else None
        limit, window_s = shape or (route.family.limit, route.family.window_s)
        line = Line(Bucket(limit=limit, window_s=window_s, known=shape is not None), self._clock)
        if name is not None:
            line.gate.name = name
            self._by_bucket[name, route.major] = line
        return line

    def _identify(self, route: Route, line: Line[Bucket], name: str) -> Line[Bucket]:
        """The line of the bucket that an answer named; the route moves there with all it has under way."""
        self._bucket_of[route.name] = name
        known = self._by_bucket.get((name, route.major))
        if known is line:
            return line
        if known is None and line.gate.name is None:
            line.gate.name = name
            self._by_bucket[name, route.major] = line
            return line
        new = known or self._new_line(route, name)
        moving: set[Permit] = {p for p in line.gate.flying if isinstance(p, Permit) and p.route.name == route.name}
        line.gate.hand_over(new.gate, set(moving))
        for permit in moving:
            permit.bucket = new
        self._by_route[route.name, route.major] = new
        line.send_away(route)
        line.pump()
        return new

    def _remember(self, name: str, bucket: Bucket) -> None:
        """What one interaction's bucket taught holds for the next one's."""
        self._shape_of[name] = (bucket.limit, bucket.window_s)
        if len(self._shape_of) > LEARNED_AT_MOST:
            self._shape_of.pop(next(iter(self._shape_of)))

    def _creation_line(self, channel_id: int) -> Line[SlidingRate]:
        line = self._creations.get(channel_id)
        if line is None:
            line = Line(SlidingRate(limit=CREATIONS_LIMIT, window_s=CREATIONS_WINDOW_S), self._clock)
            self._creations[channel_id] = line
        return line

    def _sweep(self) -> None:
        self._given += 1
        if self._given % SWEEP_EVERY:
            return
        now = self._clock()
        for lines in (self._by_route, self._by_bucket, self._by_family):
            for key in [key for key, line in lines.items() if line.empty and line.gate.idle(now)]:
                del lines[key]
        for channel in [key for key, line in self._creations.items() if line.empty and line.gate.idle(now)]:
            del self._creations[channel]
