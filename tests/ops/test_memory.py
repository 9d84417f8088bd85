"""Memory that was freed goes back to the system, also where what is still used lies behind it."""

import asyncio
import ctypes
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot.ops.memory import giving_back, system_trim

ROOT = Path(__file__).parents[2]
needs_glibc = pytest.mark.skipif(system_trim() is None or mmap.PAGESIZE > 4_096, reason="another C library, or pages")

HOLES = """
import asyncio
from pathlib import Path
from bot.ops.memory import giving_back

PIECE, PIECES = 100_000, 400  # small enough for the heap
HELD = 60_000  # so that each hole has used memory behind it

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

async def main():
    pieces, held = [], []
    for _ in range(PIECES):
        pieces.append(bytearray(PIECE))
        held.append(bytearray(HELD))
    full = resident()
    pieces.clear()
    kept = resident()
    async with giving_back(every_s=0.01):
        for _ in range(1000):
            await asyncio.sleep(0.01)
            if full - resident() > PIECE * PIECES * 0.8:
                break
    print(full - kept, full - resident())

asyncio.run(main())
"""


@needs_glibc
def test_holes_among_what_is_used_go_back_to_the_system() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", HOLES],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    by_itself, given_back = map(int, ran.stdout.split())
    assert by_itself < 4_000_000, "the C library keeps them"
    assert given_back > 32_000_000


async def test_it_is_done_again_and_again_until_the_end() -> None:
    times = 0
    thrice = asyncio.Event()
    loop = asyncio.get_running_loop()

    def trim() -> None:
        nonlocal times
        times += 1
        if times == 3:
            loop.call_soon_threadsafe(thrice.set)

    async with giving_back(every_s=0.0, trim=trim):
        async with asyncio.timeout(10):
            await thrice.wait()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "giving memory back"]


async def test_where_the_c_library_has_no_such_function_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    before = asyncio.all_tasks()
    async with giving_back():
        assert asyncio.all_tasks() == before


def test_no_other_system_than_linux_is_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert system_trim() is None
