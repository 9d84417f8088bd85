"""Whether the bot is alive, and whether it is of use, told to whoever asks over HTTP.

`/healthz` is for who restarts: 503 where a restart would help, since the event loop hangs or the database has no
writer. `/readyz` is for who watches or routes: 503 while questions cannot be served, since a shard is not connected or
the database does not answer. Both name each check, with ages in seconds. `/metrics` is for Prometheus.

That the API is down makes the bot neither dead nor unready: it goes on telling people so at once, shows them what they
spent, and finds out by itself when the API is back, and no other process would fare better. The check is there for
reading, with `"needed": false`.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import orjson
from aiohttp import web

from bot.errors import SettingsError
from bot.observer import Observer
from bot.ops.metrics import CONTENT_TYPE, Metrics
from bot.settings import Address
from bot.storage.errors import StorageError

TICK_S: Final = 0.5
"""How often the event loop's lag is measured."""
LAG_LIMIT_S: Final = 2.0
"""So late may the loop's timers ring. Discord wants to hear of an interaction within 3 s."""
READ_LIMIT_S: Final = 2.0
"""So long may a read of the database take."""
HEARTBEATS_MISSED: Final = 2.5
"""So many heartbeat intervals may have passed since Discord acknowledged one."""
CLOSE_S: Final = 1.0
"""How long a request that is being answered may hold up the end."""

Fact = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One connection to Discord's gateway. `up`: its session is established. Ages are None before there is one."""

    up: bool
    latency_s: float
    acknowledged_ago_s: float | None
    heartbeat_every_s: float | None

    @property
    def beats(self) -> bool:
        """Whether Discord acknowledged a heartbeat lately."""
        ago_s, every_s = self.acknowledged_ago_s, self.heartbeat_every_s
        return ago_s is not None and every_s is not None and ago_s <= HEARTBEATS_MISSED * every_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """What one look found. Only what is `needed` decides."""

    ok: bool
    facts: Mapping[str, Fact]
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """Several looks, by name."""

    checks: Mapping[str, Check]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks.values() if check.needed)

    def json(self) -> bytes:
        """`{"ok": true, "checks": {"database": {"ok": true, "needed": true, "read_s": 0.001}}}`."""
        checks = {name: {"ok": one.ok, "needed": one.needed, **one.facts} for name, one in self.checks.items()}
        return orjson.dumps({"ok": self.ok, "checks": checks}, option=orjson.OPT_APPEND_NEWLINE)


class LoopLag:
    """How late the event loop's timers ring. Run by `watching`."""

    def __init__(self, observer: Observer, *, tick_s: float = TICK_S) -> None:
        self._observer = observer
        self._tick_s = tick_s
        self._last_s = 0.0
        self._due_at: float | None = None

    @property
    def now_s(self) -> float:
        """As measured last, or as long as the next measurement is overdue already."""
        if self._due_at is None:
            return self._last_s
        return max(self._last_s, asyncio.get_running_loop().time() - self._due_at)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Measure as long as the block runs."""
        task = asyncio.create_task(self._watch(), name="event loop lag")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._due_at = due_at = loop.time() + self._tick_s
            await asyncio.sleep(self._tick_s)
            self._last_s = max(loop.time() - due_at, 0.0)
            self._observer.loop_lagged(self._last_s)


class Health:
    """Looks when it is asked. `clock` gives unix seconds."""

    def __init__(
        self,
        *,
        lag: LoopLag,
        writer_alive: Callable[[], bool],
        read_database: Callable[[float], Awaitable[None]],
        shards: Callable[[], tuple[Shard, ...]],
        circuit_open: Callable[[], bool],
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`read_database` reads something within so many seconds, or raises StorageError."""
        self.stopping = False
        """Set when the bot takes nothing new any more."""
        self._lag = lag
        self._writer_alive = writer_alive
        self._read_database = read_database
        self._shards = shards
        self._circuit_open = circuit_open
        self._metrics = metrics
        self._clock = clock

    def alive(self) -> Report:
        """Whether the process does anything at all."""
        lag_s = self._lag.now_s
        return Report(
            {
                "event_loop": Check(ok=lag_s <= LAG_LIMIT_S, facts={"lag_s": _rounded(lag_s)}),
                "database_writer": Check(ok=self._writer_alive(), facts={}),
            }
        )

    async def ready(self) -> Report:
        """Whether questions that come now will be answered, as far as that is the bot's affair."""
        return Report(
            {
                **self.alive().checks,
                "gateway": self._gateway(),
                "database": await self._database(),
                "api": self._api(),
                "serving": Check(ok=not self.stopping, facts={}),
            }
        )

    def _gateway(self) -> Check:
        shards = self._shards()
        ages = [shard.acknowledged_ago_s for shard in shards if shard.acknowledged_ago_s is not None]
        return Check(
            ok=bool(shards) and all(shard.up and shard.beats for shard in shards),
            facts={
                "shards": len(shards),
                "shards_up": sum(shard.up for shard in shards),
                "shards_beating": sum(shard.beats for shard in shards),
                "oldest_heartbeat_ack_s": _rounded(max(ages, default=None)),
                "latency_s": _rounded(max((shard.latency_s for shard in shards), default=None)),
            },
        )

    async def _database(self) -> Check:
        began = time.monotonic()
        try:
            await self._read_database(READ_LIMIT_S)
        except StorageError as error:
            return Check(ok=False, facts={"error": type(error).__name__})
        return Check(ok=True, facts={"read_s": _rounded(time.monotonic() - began)})

    def _api(self) -> Check:
        is_open = self._circuit_open()
        return Check(
            ok=not is_open,
            needed=False,
            facts={
                "circuit": "open" if is_open else "closed",
                "last_success_s": self._ago_s(self._metrics.api_succeeded_at),
                "last_failure_s": self._ago_s(self._metrics.api_failed_at),
            },
        )

    def _ago_s(self, at: float | None) -> float | None:
        return None if at is None else _rounded(max(self._clock() - at, 0.0))


def _rounded(seconds: float | None) -> float | None:
    """To milliseconds; None for what JSON cannot say: discord.py's latency is infinite before the first heartbeat."""
    return round(seconds, 3) if seconds is not None and math.isfinite(seconds) else None


@asynccontextmanager
async def serving(
    address: Address, health: Health, metrics: Metrics, *, refresh: Callable[[], Awaitable[None]]
) -> AsyncIterator[int]:
    """Answer at `address` as long as the block runs; the port, which is chosen here where the address says 0.

    `refresh` is called before each reading of the metrics.

    Raises:
        SettingsError: nobody can listen there.
    """

    async def alive(_: web.Request) -> web.Response:
        return _answer(health.alive())

    async def ready(_: web.Request) -> web.Response:
        return _answer(await health.ready())

    async def read_metrics(_: web.Request) -> web.Response:
        await refresh()
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.add_routes([web.get("/healthz", alive), web.get("/readyz", ready), web.get("/metrics", read_metrics)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address.host, address.port).start()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise SettingsError([f"HEALTH_ADDRESS: nobody can listen at {address}: {reason}"]) from error
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _answer(report: Report) -> web.Response:
    return web.Response(
        body=report.json(),
        status=200 if report.ok else 503,
        headers={"Content-Type": "application/json", "Cache-Control": "no-store"},
    )
