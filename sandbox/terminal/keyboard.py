"""Standard input as an asynchronous stream, and a terminal that hands on every key."""

import asyncio
import codecs
import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Final, TextIO

if sys.platform != "win32":
    import termios

CHUNK_BYTES: Final = 65_536
WAITING_CHUNKS: Final = 4
LINE_MAX_BYTES: Final = 1_000_000


async def chunks(descriptor: int) -> AsyncIterator[bytes]:
    """What arrives at `descriptor`, until its end.

    Read by a thread of its own, which nobody waits for at the end: the event loop cannot watch a regular file, and a
    read of a terminal cannot be called off. It reads the descriptor, since an interpreter that ends while a thread is
    inside `sys.stdin` ends badly.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue(maxsize=WAITING_CHUNKS)

    def read() -> None:
        data = b"?"
        while data:
            try:
                data = os.read(descriptor, CHUNK_BYTES)
            except OSError:  # a terminal that was closed
                data = b""
            putting = queue.put(data)
            try:
                asyncio.run_coroutine_threadsafe(putting, loop).result()
            except (RuntimeError, asyncio.CancelledError):  # the loop is closed, or closing: nobody reads any more
                putting.close()
                return

    threading.Thread(target=read, name="standard input", daemon=True).start()
    while chunk := await queue.get():
        yield chunk


async def no_chunks() -> AsyncIterator[bytes]:
    """Input that has ended."""
    for chunk in list[bytes]():
        yield chunk


async def lines(source: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The lines of `source`, without their ends; the last may lack its own."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    async for chunk in source:
        *whole, rest = (rest + decoder.decode(chunk)).split("\n")
        for line in whole:
            yield line.removesuffix("\r")
        if len(rest) > LINE_MAX_BYTES:  # no line at all, and not to be kept for ever
            rest = ""
    if rest:
        yield rest


def is_live(source: TextIO | None, out: TextIO) -> bool:
    """Whether both are a terminal that can be drawn on and hands on single keys."""
    if sys.platform == "win32" or os.environ.get("TERM", "dumb") == "dumb":
        return False
    return source is not None and source.isatty() and out.isatty()


@contextlib.contextmanager
def single_keys(source: TextIO) -> Iterator[None]:
    """The terminal hands on each key at once and echoes none, until the block is left. Ctrl-C still interrupts."""
    if sys.platform == "win32":
        raise NotImplementedError("see is_live")
    descriptor = source.fileno()
    before = termios.tcgetattr(descriptor)
    raw = termios.tcgetattr(descriptor)
    raw[0] &= ~termios.IXON
    raw[3] &= ~(termios.ICANON | termios.ECHO)
    # Ctrl-Z would leave the terminal in this mode to whoever is next.
    raw[6][termios.VSUSP] = bytes([os.fpathconf(descriptor, "PC_VDISABLE") & 0xFF])
    raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
    termios.tcsetattr(descriptor, termios.TCSADRAIN, raw)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
