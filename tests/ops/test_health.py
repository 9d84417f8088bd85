"""What is healthy, what is ready, and how it is told."""

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.errors import SettingsError
from bot.observer import Observer
from bot.ops import probe
from bot.ops.health import HEARTBEATS_MISSED, LAG_LIMIT_S, Health, LoopLag, Shard, serving
from bot.ops.metrics import Metrics
from bot.settings import Address, Settings
from bot.storage.database import Database, Tx
from bot.storage.errors import StorageBusy, StorageFailed
from tests.storage.gate import Gate

ANYWHERE = Address("127.0.0.1", 0)
UP = Shard(up=True, latency_s=0.05, acknowledged_ago_s=20.0, heartbeat_every_s=41.25)


async def _nothing(_: float) -> None:
    return


async def _idle() -> None:
    return


@dataclass(kw_only=True)
class Body:
    """A bot whose every part can be made ill."""

    writer_alive: bool = True
    circuit_open: bool = False
    shards: tuple[Shard, ...] = (UP, UP)
    read: Any = _nothing
    at: float = 1_000.0
    metrics: Metrics = field(default_factory=Metrics)
    lag: LoopLag = field(default_factory=lambda: LoopLag(Observer()))

    def health(self) -> Health:
        return Health(
            lag=self.lag,
            writer_alive=lambda: self.writer_alive,
            read_database=lambda within_s: self.read(within_s),
            shards=lambda: self.shards,
            circuit_open=lambda: self.circuit_open,
            metrics=self.metrics,
            clock=lambda: self.at,
        )


async def wrong(body: Body) -> set[str]:
    """The checks that make it unready."""
    report = await body.health().ready()
    failing = {name for name, check in report.checks.items() if check.needed and not check.ok}
    assert report.ok is not bool(failing)
    return failing


async def test_a_sound_bot_is_alive_and_ready():
    body = Body()
    assert body.health().alive().ok
    assert await wrong(body) == set()


async def test_without_its_writer_it_is_dead():
    body = Body(writer_alive=False)
    assert not body.health().alive().ok
    assert await wrong(body) == {"database_writer"}


@pytest.mark.parametrize(
    "ill",
    [
        replace(UP, up=False),
        replace(UP, acknowledged_ago_s=None, heartbeat_every_s=None),
        replace(UP, acknowledged_ago_s=41.25 * HEARTBEATS_MISSED + 1),
    ],
    ids=["no session", "no connection", "no heartbeat"],
)
async def test_one_shard_that_is_not_there_makes_it_unready_and_leaves_it_alive(ill: Shard):
    body = Body(shards=(UP, ill))
    assert await wrong(body) == {"gateway"}
    assert body.health().alive().ok


async def test_no_shard_at_all_is_not_ready():
    assert await wrong(Body(shards=())) == {"gateway"}


async def test_a_database_that_does_not_answer_makes_it_unready():
    async def too_late(within_s: float) -> None:
        raise StorageBusy(f"not within {within_s} s")

    body = Body(read=too_late)
    assert await wrong(body) == {"database"}
    report = await body.health().ready()
    assert report.checks["database"].facts == {"error": "StorageBusy"}


async def test_an_outage_of_the_api_is_told_and_leaves_it_ready():
    body = Body(circuit_open=True)
    body.metrics = Metrics(clock=lambda: 990.0)
    body.metrics.api_answered("chat", "ProviderFailed", 1.0)
    assert await wrong(body) == set()
    api = (await body.health().ready()).checks["api"]
    assert not api.ok
    assert api.facts == {"circuit": "open", "last_success_s": None, "last_failure_s": 10.0}


async def test_a_bot_that_is_stopping_is_not_ready_and_alive():
    health = Body().health()
    health.stopping = True
    assert not (await health.ready()).ok
    assert health.alive().ok


async def test_a_latency_that_is_not_known_yet_is_no_number_in_json():
    body = Body(shards=(replace(UP, latency_s=float("inf")),))
    told = json.loads((await body.health().ready()).json())
    assert told["checks"]["gateway"]["latency_s"] is None


# The event loop


class Heard(Observer):
    def __init__(self) -> None:
        self.lags: list[float] = []
        self.first = asyncio.Event()

    def loop_lagged(self, lag_s: float) -> None:
        self.lags.append(lag_s)
        self.first.set()


async def test_the_lag_of_the_loop_is_measured_while_somebody_watches():
    heard = Heard()
    lag = LoopLag(heard, tick_s=0.01)
    async with lag.watching():
        await asyncio.wait_for(heard.first.wait(), 5)
    counted = len(heard.lags)
    await asyncio.sleep(0.03)
    assert len(heard.lags) == counted, "nobody watches any more"
    assert all(each >= 0 for each in heard.lags)


async def test_a_loop_that_hangs_is_late_before_its_timer_has_rung():
    lag = LoopLag(Observer(), tick_s=0.001)
    async with lag.watching():
        await asyncio.sleep(0.005)
        time.sleep(0.1)  # noqa: ASYNC251 - what hangs the loop
        assert lag.now_s > 0.05


async def test_a_loop_that_lags_too_long_is_dead(monkeypatch: pytest.MonkeyPatch):
    body = Body()
    monkeypatch.setattr(LoopLag, "now_s", LAG_LIMIT_S + 0.1)
    assert not body.health().alive().ok
    assert await wrong(body) == {"event_loop"}


# Over HTTP


@asynccontextmanager
async def told(body: Body) -> AsyncIterator[tuple[int, aiohttp.ClientSession]]:
    async def refresh() -> None:
        body.metrics.note_open_holds(5)

    async with (
        serving(ANYWHERE, body.health(), body.metrics, refresh=refresh) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        yield port, session


async def test_the_status_says_it_and_the_body_why():
    body = Body(shards=(replace(UP, up=False),))
    async with told(body) as (_, session):
        async with session.get("/healthz") as alive:
            assert (alive.status, alive.content_type) == (200, "application/json")
            assert (await alive.json())["ok"] is True
        async with session.get("/readyz") as ready:
            assert (ready.status, ready.headers["Cache-Control"]) == (503, "no-store")
            gateway = (await ready.json())["checks"]["gateway"]
    assert gateway == {
        "ok": False,
        "needed": True,
        "shards": 1,
        "shards_up": 0,
        "shards_beating": 1,
        "oldest_heartbeat_ack_s": 20.0,
        "latency_s": 0.05,
    }


async def test_metrics_are_read_anew_each_time():
    body = Body()
    async with told(body) as (_, session), session.get("/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        assert "bot_open_holds 5.0" in await answer.text()


@pytest.mark.parametrize("path", ["/", "/admin", "/healthz/../metrics2"])
async def test_there_is_nothing_else(path: str):
    async with told(Body()) as (_, session), session.get(path) as answer:
        assert answer.status == 404


async def test_where_nobody_can_listen_the_start_fails_with_the_variables_name():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        body, port = Body(), taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"HEALTH_ADDRESS: nobody can listen at 127\.0\.0\.1:{port}"):
            async with serving(Address("127.0.0.1", port), body.health(), body.metrics, refresh=_idle):
                pass


# The probe


async def test_the_probe_ends_with_0_for_a_ready_bot_and_with_1_for_another(capsys: pytest.CaptureFixture[str]):
    body = Body()
    async with told(body) as (port, _):
        environ = {"HEALTH_ADDRESS": f"127.0.0.1:{port}"}
        assert await asyncio.to_thread(probe.run, environ) == 0
        body.shards = ()
        assert await asyncio.to_thread(probe.run, environ) == 1
    assert '"shards":0' in capsys.readouterr().out
    assert await asyncio.to_thread(probe.run, environ) == 1
    assert f"no answer from 127.0.0.1:{port}" in capsys.readouterr().err


async def test_the_probe_asks_a_bot_that_listens_everywhere_on_this_machine():
    body = Body()
    async with serving(Address("0.0.0.0", 0), body.health(), body.metrics, refresh=_idle) as port:
        assert await asyncio.to_thread(probe.run, {"HEALTH_ADDRESS": f"0.0.0.0:{port}"}) == 0


@pytest.mark.parametrize(("text", "words"), [("", "is not set"), ("8080", "HEALTH_ADDRESS must be a host and a port")])
def test_the_probe_says_what_is_missing(text: str, words: str, capsys: pytest.CaptureFixture[str]):
    assert probe.run({"HEALTH_ADDRESS": text}) == 1
    assert words in capsys.readouterr().err


async def test_the_probe_by_itself_asks_as_the_container_does():
    body, root = Body(), Path(__file__).parents[2]
    async with told(body) as (port, _):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot.ops.probe"),
            cwd=root,
            env=os.environ | {"HEALTH_ADDRESS": f"127.0.0.1:{port}"},
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, json.loads(output)["checks"]["gateway"]["shards"]) == (0, 2)


# The setting


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("[::1]:80", Address("::1", 80)),
        ("localhost:0", Address("localhost", 0)),
        ("", None),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: Address | None):
    required = {"DISCORD_TOKEN": "made-up", "MINITOOLAI_API_KEY": "made-up"}
    assert Settings.load(required | {"HEALTH_ADDRESS": text}).health_address == address
    assert address is None or str(address) == text


@pytest.mark.parametrize("text", ["8080", "127.0.0.1", ":8080", "::1:80", "127.0.0.1:65536", "http://127.0.0.1:80"])
def test_anything_else_is_refused(text: str):
    with pytest.raises(SettingsError, match="HEALTH_ADDRESS must be a host and a port"):
        Settings.load({"DISCORD_TOKEN": "made-up", "MINITOOLAI_API_KEY": "made-up", "HEALTH_ADDRESS": text})


# The real database


async def test_a_database_that_is_kept_busy_does_not_answer_in_time(tmp_path: Path):
    async with Database.open(f"sqlite:///{tmp_path}/bot.db") as database:
        assert database.is_writing
        await database.check(timeout_s=5)
        gate = Gate()

        async def hold(tx: Tx) -> None:
            gate.wait()

        reading = asyncio.create_task(database.read(hold))
        await gate.reached()
        with pytest.raises(StorageBusy):
            await database.check(timeout_s=0.05)
        gate.open()
        await reading
    assert not database.is_writing


async def test_a_database_whose_writes_never_arrive_does_not_look_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with Database.open(f"sqlite:///{tmp_path}/bot.db") as database:
        gate = Gate()

        async def hold(tx: Tx) -> None:
            gate.wait()

        writing = asyncio.create_task(database.write(hold))
        await gate.reached()
        await database.check(timeout_s=5)
        monkeypatch.setattr("bot.storage.database.STUCK_S", -1.0)
        with pytest.raises(StorageFailed, match="does not answer"):
            await database.check(timeout_s=5)
        gate.open()
        await writing
        await database.check(timeout_s=5)


async def test_what_a_transaction_announces_is_told_once_it_is_on_disk_and_only_then(tmp_path: Path):
    told: list[object] = []
    async with Database.open(f"sqlite:///{tmp_path}/bot.db", hear=told.append) as database:

        async def announce(tx: Tx) -> None:
            tx.announce("kept")
            assert told == []

        async def fail(tx: Tx) -> None:
            tx.announce("lost")
            raise LookupError

        await database.write(announce)
        with pytest.raises(LookupError):
            await database.write(fail)
    assert told == ["kept"]
