"""One process for one database file: a lock of the operating system, which ends with the process however that ends."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bot.errors import SettingsError
from bot.storage.errors import DatabaseInUse

WHO_LIMIT: Final = 200
"""The most bytes that are read of who holds the lock."""
LOCKS: Final = Path("/proc/locks")
"""Where Linux lists who holds a lock of which file. Source: proc(5)."""

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
    """Hold `<database>.lock` for as long as the block runs; its text says who does.

    The file itself stays behind: removing it would let two processes lock two different files of that name.

    Raises:
        DatabaseInUse: somebody holds it, in this process or another.
        SettingsError: the file cannot be made or opened.
    """
    lock = Path(f"{database}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    except OSError as error:
        raise SettingsError([f"DATABASE_URL: {lock} cannot be written: {error.strerror or error}"]) from error
    try:
        try:
            _take(descriptor)
        except OSError as error:
            who = _read_who(lock)
            raise DatabaseInUse(f"{database} is in use by another process{who}: stop that one first") from error
        _write_who(descriptor)
        yield
    finally:
        os.close(descriptor)


def _write_who(descriptor: int) -> None:
    """For the eyes of who finds the lock taken. Where there is no room to write, the lock holds all the same."""
    who = f"{os.getpid()} on {socket.gethostname()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, who.encode()[:WHO_LIMIT])


def _read_who(lock: Path) -> str:
    """What the holder wrote, in brackets; nothing where a system does not let a locked file be read."""
    with suppress(OSError), lock.open("rb") as file:
        who = file.read(WHO_LIMIT).decode(errors="replace").strip()
        return f" ({who})" if who else ""
    return ""


def holders(database: Path) -> str:
    """Which other processes hold SQLite's own locks on the database, as far as the system tells: `sqlite3 (process
    4711)`. Empty where it does not."""
    found: dict[int, str] = {}
    with suppress(OSError):
        inodes = {str(path.stat().st_ino) for path in (database, Path(f"{database}-shm")) if path.exists()}
        for line in LOCKS.read_text(encoding="ascii", errors="replace").splitlines():
            match line.replace("->", " ").split():
                case [_, "POSIX" | "OFDLCK", _, _, pid, place, *_] if place.rsplit(":", 1)[-1] in inodes:
                    found[int(pid)] = ""
    found.pop(os.getpid(), None)
    return ", ".join(f"{_name_of(pid)} (process {pid})" for pid in sorted(found) if pid > 0)


def _name_of(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    return "a program"
