"""Whether the bot stays as it is over hours of ordinary life: `python -m benchmarks.soak --minutes 60`.

The loopback Discord and MiniToolAI run in this process, the real bot in another. Some people ask, order and look things
up; gateway, Discord and the API fail now and then. The bot is sampled every ten seconds. At the end its memory must
have been flat, nothing may be on hold, the books must be right, and Discord must not have had to answer 429.
"""

import argparse
import asyncio
import contextlib
import math
import random
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from benchmarks.curve import Flatness, Sample, draw, flatness, write
from benchmarks.house import Books, House, check_books, open_house
from benchmarks.life import Life
from benchmarks.process import cost_of

EVERY_S: Final = 10.0
PEOPLE: Final = 30
CHANNELS: Final = 24
POLL_GAP_S: Final = 0.2
"""Two polls of one picture closer than this are answered 429 by the API."""
SCRAPE_S: Final = 10.0
TOLD_EVERY: Final = 12
"""Samples between two lines that say how it goes."""
REST_S: Final = 60.0
"""So long after the last thing that anybody did, nothing may be open any more."""
SLOPE_MB_PER_HOUR: Final = 5.0
RATIO: Final = 1.05
_TRACEBACK: Final = re.compile(r"^Traceback \(most recent call last\)", re.MULTILINE)
_GAUGE: Final = re.compile(r"^(bot_\w+)(?:\{[^}]*\})? ([0-9.eE+-]+|NaN)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What came of it. `log` is everything that the bot wrote."""

    samples: tuple[Sample, ...]
    done: dict[str, int]
    lost: tuple[str, ...]
    rate_limited: tuple[str, ...]
    books: Books
    log: str

    @property
    def memory(self) -> Flatness:
        return flatness(self.samples, lambda each: each.rss_bytes / 1e6)


async def soak(*, minutes: float, seed: int) -> Report:
    """Raises RuntimeError where the bot is not there any more."""
    port = _free_port()
    async with open_house(people=PEOPLE, poll_gap_s=POLL_GAP_S, overrides=_environment(port)) as house:
        channels = [house.guild.add_text_channel(f"channel-{number}") for number in range(CHANNELS)]
        life = Life(house=house, channels=channels, rng=random.Random(seed))
        async with _watched(house, life, port) as samples:
            await life.go_on(seconds=minutes * 60)
            await _rested(samples)
        books = await check_books(house)
        return Report(
            samples=tuple(samples),
            done=dict(life.done),
            lost=tuple(life.lost),
            rate_limited=tuple(
                f"{each.method} {each.template}" for each in house.discord.rate_limited if not each.faulted
            ),
            books=books,
            log=house.log.read_text(errors="replace"),
        )


def _environment(port: int) -> dict[str, Any]:
    return {
        "HEALTH_ADDRESS": f"127.0.0.1:{port}",
        "DEFAULT_ALLOWANCE": "unlimited",
        "QUESTIONS_PER_MINUTE": "0",
    }


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


# Watching


@asynccontextmanager
async def _watched(house: House, life: Life, port: int) -> AsyncIterator[list[Sample]]:
    """The list grows by a sample every ten seconds as long as the block runs."""
    samples: list[Sample] = []

    async def watch(session: aiohttp.ClientSession) -> None:
        began = time.monotonic()
        while True:
            with contextlib.suppress(TimeoutError):  # a machine that has no core to spare for so long: one sample less
                samples.append(await _sample(house, life, session, port, began))
            life.tidy()
            if len(samples) % TOLD_EVERY == 1:
                _tell(samples[-1], life)
            await asyncio.sleep(EVERY_S - (time.monotonic() - began) % EVERY_S)

    timeout = aiohttp.ClientTimeout(total=SCRAPE_S)
    async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
        watching = group.create_task(watch(session), name="watch")
        yield samples
        watching.cancel()


async def _sample(house: House, life: Life, session: aiohttp.ClientSession, port: int, began: float) -> Sample:
    gauges: dict[str, float] = {}
    async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        for name, value in _GAUGE.findall(await answer.text()):
            gauges[name] = gauges.get(name, 0.0) + float(value)
    if math.isnan(gauges["bot_open_holds"]):
        raise TimeoutError("the bot could not read its ledger in time")
    cost = cost_of(house.pid)
    if cost is None:
        raise RuntimeError("the bot is gone, or this system has no /proc")
    folder, process = house.log.parent, Path("/proc") / str(house.pid)
    return Sample(
        at_s=time.monotonic() - began,
        cpu_s=cost.cpu_s,
        rss_bytes=cost.rss_bytes,
        threads=len(list((process / "task").iterdir())),
        files=len(list((process / "fd").iterdir())),
        database_bytes=_size(folder / "bot.db"),
        wal_bytes=_size(folder / "bot.db-wal"),
        tasks=int(gauges["bot_event_loop_tasks"]),
        open_holds=int(gauges["bot_open_holds"]),
        open_answers=int(gauges["bot_open_answers"]),
        open_orders=int(gauges["bot_picture_orders"]),
        queue=int(gauges["bot_database_queue_operations"]),
        done=sum(life.done.values()),
        sandbox_cpu_s=time.process_time(),
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _tell(sample: Sample, life: Life) -> None:
    sys.stderr.write(
        f"{sample.at_s / 60:5.1f} min: {sample.rss_bytes / 1e6:.1f} MB, {sample.tasks} tasks, {sample.files} files, "
        f"{sample.open_holds} holds, CPU {sample.cpu_s:.0f} s (sandbox {sample.sandbox_cpu_s:.0f} s), "
        f"{sample.done} done, {len(life.lost)} lost {life.lost[-1:]}\n"
    )
    sys.stderr.flush()


async def _rested(samples: Sequence[Sample]) -> None:
    """Wait for a sample in which nothing is open, within a minute."""
    seen, deadline = len(samples), time.monotonic() + REST_S
    while time.monotonic() < deadline:
        if len(samples) > seen and not (samples[-1].open_holds or samples[-1].open_orders or samples[-1].open_answers):
            return
        await asyncio.sleep(1)


# Judging


def verdicts(report: Report) -> list[tuple[bool, str]]:
    """Each rule, and whether it was kept."""
    memory, end = report.memory, report.samples[-1]
    tracebacks = len(_TRACEBACK.findall(report.log))
    return [
        (
            memory.per_hour <= SLOPE_MB_PER_HOUR,
            f"memory grows by {memory.per_hour:+.2f} of at most {SLOPE_MB_PER_HOUR:g} MB an hour in the last half",
        ),
        (memory.ratio <= RATIO, f"memory, last quarter by second: {memory.ratio:.3f} of at most {RATIO:g}"),
        (
            end.open_holds == end.open_orders == end.open_answers == 0,
            f"open at the end: {end.open_holds} holds, {end.open_answers} answers, {end.open_orders} orders",
        ),
        (report.books.right, f"the books: {report.books.said}"),
        (not report.rate_limited, f"answered by 429: {len(report.rate_limited)} {sorted(set(report.rate_limited))}"),
        (tracebacks == 0, f"tracebacks in the log: {tracebacks}"),
        (not report.lost, f"what did not end in a minute: {len(report.lost)} {list(report.lost[:5])}"),
    ]


_FIGURES: Final[tuple[tuple[str, Callable[[Sample], float]], ...]] = (
    ("memory, MB", lambda each: each.rss_bytes / 1e6),
    ("tasks", lambda each: each.tasks),
    ("open files", lambda each: each.files),
    ("threads", lambda each: each.threads),
    ("database, MB", lambda each: each.database_bytes / 1e6),
    ("WAL, MB", lambda each: each.wal_bytes / 1e6),
)


def figures(report: Report, *, minutes: float, seed: int) -> str:
    """All that a reader of the README wants to know."""
    first, last = report.samples[0], report.samples[-1]
    took_s = last.at_s - first.at_s
    bot, sandbox = (last.cpu_s - first.cpu_s) / took_s, (last.sandbox_cpu_s - first.sandbox_cpu_s) / took_s
    lines = [
        f"{minutes:g} minutes, seed {seed}: {PEOPLE} people in {CHANNELS} channels, {last.done} things happened",
        f"of one core: bot {bot:.1%}, sandbox {sandbox:.1%}",
    ]
    for name, figure in _FIGURES:
        values, flat = [figure(each) for each in report.samples], flatness(report.samples, figure)
        lines.append(
            f"{name}: {values[0]:.1f} at first, {max(values):.1f} at most, {values[-1]:.1f} at last; "
            f"{flat.per_hour:+.2f} an hour in the last half, last quarter by second {flat.ratio:.3f}"
        )
    lines += [f"  {count:6} {name}" for name, count in sorted(report.done.items())]
    return "\n".join([*lines, "", *(f"{'kept' if kept else 'BROKEN':>6}  {rule}" for kept, rule in verdicts(report))])


def main(arguments: Sequence[str] | None = None) -> int:
    """Write samples, curve and figures; 1 where a rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--output", type=Path, default=Path("soak"), help="a folder for samples, curve, figures and log"
    )
    options = parser.parse_args(arguments)
    report = asyncio.run(soak(minutes=options.minutes, seed=options.seed))
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "bot.log").write_text(report.log)
    write(report.samples, options.output / "soak.csv")
    shown = figures(report, minutes=options.minutes, seed=options.seed)
    (options.output / "soak.txt").write_text("\n".join([shown, *report.lost]) + "\n")
    print(shown)
    draw(report.samples, options.output / "soak.png", f"{options.minutes:g} minutes of ordinary life")
    return 0 if all(kept for kept, _ in verdicts(report)) else 1


if __name__ == "__main__":
    sys.exit(main())
