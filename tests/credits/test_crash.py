"""kill -9 at random points under load: what the API was paid is what the ledger says."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from bot.credits.values import Entry
from bot.storage.database import Database
from tests.credits.books import NOW, Books
from tests.credits.crashing import CALLERS, KEYS_PER_CALLER

MOST_LINES = 600
"""A process is killed after at most so many lines: from the first holds on to well into the load."""


def run_and_kill(url: str, kill: int, lines: int) -> tuple[dict[int, int], set[int]]:
    """What the process said it had paid the API, by key, and the keys whose holds had ended, before it was killed."""
    arguments = [url, f"run {kill}", str(1 + kill * CALLERS * KEYS_PER_CALLER)]
    charged: dict[int, int] = {}
    ended: set[int] = set()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.credits.crashing", *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for number, line in enumerate(process.stdout):
            match line.split():
                case ["charged", key, nano]:
                    charged[int(key)] = int(nano)
                case ["ended", key]:
                    ended.add(int(key))
            if number == lines:
                process.kill()
    assert process.returncode == -9
    return charged, ended


def compare(entries: dict[int, Entry], charged: dict[int, int], ended: set[int]) -> int:
    """Every charge of the API is in the ledger to the nano-dollar, save those in flight. How many these were."""
    in_flight = {key for key, entry in entries.items() if entry.reason == "crashed"}
    settled = entries.keys() - in_flight
    assert ended <= settled, "what was said to have ended is on disk"
    assert charged.keys() <= entries.keys(), "nothing was paid without a hold"
    assert {key: entries[key].provider_nano for key in settled} == {key: charged[key] for key in settled}
    assert all(entries[key].user_nano == min(charged[key], 500) for key in settled)
    assert all((entries[key].user_nano, entries[key].provider_nano) == (0, 500) for key in in_flight)
    return len(in_flight)


async def survive(folder: Path, kills: int) -> None:
    """Asserts that so many kills, each after another process's random number of steps, leave the books right."""
    url, seed = f"sqlite:///{folder}/bot.db", random.randrange(10**9)
    lines = random.Random(seed)
    charged: dict[int, int] = {}
    ended: set[int] = set()
    for kill in range(kills):
        more_charged, more_ended = run_and_kill(url, kill, lines.randrange(MOST_LINES))
        charged |= more_charged
        ended |= more_ended
        async with Database.open(url) as database:
            books = Books(database, run=f"after {kill}")
            await books.ledger.resolve_crashed(at=NOW)
            checked = await books.checked()
            assert (checked.differences, checked.open_holds) == ((), 0), f"seed {seed}, kill {kill}"
            entries = {entry.key: entry async for entry in books.reports.entries()}
    in_flight = compare(entries, charged, ended)
    assert in_flight <= kills * CALLERS
    assert len(entries) > in_flight, "the load was one"


async def test_five_kills_lose_and_invent_nothing(tmp_path: Path):
    await survive(tmp_path, 5)


@pytest.mark.long
async def test_sixty_kills_lose_and_invent_nothing(tmp_path: Path):
    await survive(tmp_path, 60)
