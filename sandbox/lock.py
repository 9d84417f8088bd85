"""One sandbox for one folder: a lock of the operating system, which ends with the process however that ends.

The bot locks its database by itself; this is about what the sandbox keeps beside it, and shares no code with the bot.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _take(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


NAME: Final = "sandbox.lock"


class FolderInUse(Exception):
    """Another sandbox lives there."""


@contextmanager
def sole_sandbox(folder: Path) -> Iterator[None]:
    """Hold the folder's lock for as long as the block runs. Its file stays: who waits for a lock waits for that file.

    Raises:
        FolderInUse: somebody holds it, in this process or another.
        OSError: the file cannot be made or opened.
    """
    descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            _take(descriptor)
        except OSError as error:
            raise FolderInUse from error
        yield
    finally:
        os.close(descriptor)
