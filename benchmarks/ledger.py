"""Hold and settle, on SQLite with full durability: `python -m benchmarks.ledger [--folder DIR] [--pairs N]`.

A pair is one hold and its end, each in a transaction that is on disk before its caller goes on. With several callers
operations that wait at the same moment share a flush. The loop's time is the CPU time of the event loop's own thread,
which is what other tasks of the bot have to do without; SQLite works in a thread beside it.
"""

import argparse
import asyncio
import os
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from bot.credits.allowances import Allowances
from bot.credits.ledger import Ledger
from bot.credits.policy import UNLIMITED, Allowance, OperatorLimits
from bot.credits.rules import Consumed
from bot.credits.values import HoldRequest
from bot.guilds import SERVER_DEFAULT, Decision, Target
from bot.money import AMOUNT_LIMIT, CreditUnit, NanoDollars
from bot.storage.database import Database

ROLES, MEMBERS = 20, 50
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What so many callers got done."""

    callers: int
    pairs_per_s: float
    loop_us_per_pair: float


def request(key: int) -> HoldRequest:
    """A chat request of one of the members, with as many roles as people have."""
    return HoldRequest(
        key=key,
        scope_id=7,
        user_id=key % MEMBERS,
        role_ids=frozenset(range(1, 6)),
        kind="chat",
        model="gpt-4o-mini",
        fixed_nano=NanoDollars(150_000),
        unit_nano=NanoDollars(600),
        units_wanted=1_000,
        units_minimum=100,
        at=NOW + timedelta(seconds=key),
    )


async def pairs(ledger: Ledger, keys: "count[int]", number: int) -> None:
    """One caller's part: each pair with a key of its own."""
    for _ in range(number):
        key = next(keys)
        await ledger.hold(request(key))
        used = Consumed(nano=NanoDollars(200_000), estimated=False, prompt_tokens=900, completion_tokens=100)
        await ledger.end(key, "finished", used, at=NOW)


async def measure(ledger: Ledger, keys: "count[int]", *, callers: int, number: int) -> Measured:
    """`number` pairs, shared among the callers."""
    share = max(1, number // callers)
    wall, cpu = time.perf_counter(), time.thread_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(pairs(ledger, keys, share))
    wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
    done = share * callers
    return Measured(callers=callers, pairs_per_s=done / wall, loop_us_per_pair=cpu / done * 1e6)


async def server_with_rules(database: Database) -> None:
    """A server whose admins have given every role an allowance."""
    allowances = Allowances(database)
    amount = Allowance.of(NanoDollars(AMOUNT_LIMIT // 2), "month")
    for key, target in enumerate([SERVER_DEFAULT, *(Target.role(role) for role in range(1, ROLES + 1))]):
        await allowances.set(7, target, amount, Decision(key=10**9 + key, by=1, at=NOW))


def flush_ms(folder: Path) -> float:
    """What one small durable write takes here."""
    with (folder / "flush").open("wb", buffering=0) as file:
        begin = time.perf_counter()
        for _ in range(50):
            file.write(b"x" * 4_096)
            os.fsync(file.fileno())
        return (time.perf_counter() - begin) / 50 * 1e3


async def main(folder: Path, number: int) -> None:
    """Print one line for each number of callers."""
    print(f"a flush to disk takes {flush_ms(folder):.2f} ms here")
    async with Database.open(f"sqlite:///{folder}/bot.db") as database:
        await server_with_rules(database)
        limits = OperatorLimits(
            member=UNLIMITED,
            direct=UNLIMITED,
            bot_ceiling_nano=AMOUNT_LIMIT,
            server_ceiling_nano=AMOUNT_LIMIT,
        )
        ledger = Ledger(
            database, limits=limits, unit=CreditUnit(nano=1_000_000), run_id="benchmark", notify=lambda _: None
        )
        keys = count(1)
        print(f"{'callers':>8} {'pairs/s':>10} {'loop, µs a pair':>16}")
        for callers in (1, 64):
            await measure(ledger, keys, callers=callers, number=callers * 5)  # warm up
            found = await measure(ledger, keys, callers=callers, number=number)
            print(f"{found.callers:>8} {found.pairs_per_s:>10,.0f} {found.loop_us_per_pair:>16,.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to put the database; the disk matters")
    parser.add_argument("--pairs", type=int, default=3_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        asyncio.run(main(Path(place), arguments.pairs))
