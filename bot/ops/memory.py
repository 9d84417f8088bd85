"""Gives freed memory back to the system where the C library keeps it: glibc, so most of Linux.

glibc takes what it hands out in large pieces from one heap and gives only the heap's end back by itself. Every read of
a socket asks for 256 kB and keeps the start of it, so free pages come to lie among used ones, and the resident memory
of a busy process grows for hours although nothing is kept. `malloc_trim(3)` gives those pages back, too, which takes
about a millisecond.
"""

import asyncio
import contextlib
import ctypes
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

log = logging.getLogger(__name__)

EVERY_S: Final = 60.0
"""Between two times. Some 2 MB lie free after a busy minute; oftener, the same pages would come and go."""

Trim = Callable[[], None]


@asynccontextmanager
async def giving_back(*, every_s: float = EVERY_S, trim: Trim | None = None) -> AsyncIterator[None]:
    """Give freed memory back now and then, as long as the block runs. Where the system needs no such thing: nothing."""
    trim = trim or system_trim()
    if trim is None:
        yield
        return
    task = asyncio.create_task(_give_back(trim, every_s), name="giving memory back")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _give_back(trim: Trim, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        await asyncio.to_thread(trim)  # only who wants a large piece of memory waits for it meanwhile


def system_trim() -> Trim | None:
    """glibc's own, or None where there is another C library."""
    if sys.platform != "linux":
        return None
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:  # musl
        return None
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return lambda: trim(0)
