"""One process for one database file: a lock of the operating system, which ends with the process however that ends."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.storage.errors import DatabaseInUse

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _take(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def sole_process(database: Path) -> Iterator[None]:
    """Hold `<database>.lock` for as long as the block runs.

    The file itself stays behind: removing it would let two processes lock two different files of that name.

    Raises:
        DatabaseInUse: somebody holds it, in this process or another.
        OSError: the file cannot be made or opened.
    """
    descriptor = os.open(f"{database}.lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        try:
            _take(descriptor)
        except OSError as error:
            raise DatabaseInUse(f"{database} is in use by another process: stop that one first") from error
        yield
    finally:
        os.close(descriptor)
