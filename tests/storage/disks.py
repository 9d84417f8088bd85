"""Disks that fill up, files that spoil, and locks that others hold: made to happen, not pretended."""

import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

CHUNK = 4_096
NOBODY = 65_534
_HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own."""

    folder: Path

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"

    def fill(self) -> None:
        """Leave no room, neither on the disk nor in the journals, which SQLite would use again."""
        for _ in range(100):
            for database in self.folder.glob("*.db"):
                fold_journal(database)
            self._take_all_room()
            if not any(journal.stat().st_size for journal in self.folder.glob("*.db-wal")):
                return
            self.make_room()  # somebody's statement, under way before, has come in between
        raise AssertionError("somebody writes all the time")

    def _take_all_room(self) -> None:
        with self._filler.open("ab", buffering=0) as file:
            size = 1024 * CHUNK
            while size >= 1:
                try:
                    file.write(b"\0" * size)
                except OSError:
                    size //= 2

    def make_room(self) -> None:
        self._filler.unlink()


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """Something mounted at `folder`, which is made; skips the test where that is not allowed."""
    folder.mkdir(exist_ok=True)
    try:
        subprocess.run(["mount", *options, folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a file system takes privileges")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True, capture_output=True)


@contextmanager
def small_disk(folder: Path, *, megabytes: int = 4) -> Iterator[SmallDisk]:
    with mounted(folder, "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs"):
        yield SmallDisk(folder)


@contextmanager
def read_only_view(folder: Path, at: Path) -> Iterator[Path]:
    """The same files at another place, where nobody may write."""
    with mounted(at, "--bind", str(folder)) as view:
        subprocess.run(["mount", "-o", "remount,bind,ro", view], check=True)
        yield view


@contextmanager
def no_file_grows_beyond(limit_bytes: int) -> Iterator[None]:
    """For this process; Python ignores the signal, so the write fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def locked_elsewhere(database: Path) -> Iterator[int]:
    """Another process holds SQLite's write lock; its id."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, database], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process.pid
        finally:
            process.stdin.close()


def fold_journal(database: Path) -> None:
    """Bring everything from the journal into the file, and leave the journal empty. SQLite does not wait for somebody
    else's checkpoint, whatever the timeout: it says that it was busy."""
    deadline = time.monotonic() + 10
    with closing(sqlite3.connect(database, timeout=10)) as connection:
        while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            assert time.monotonic() < deadline, "the journal could not be folded"
            time.sleep(0.005)


def spoil(database: Path, *, first_page: int = 2) -> None:
    """Overwrite the file from that page on, as a failing disk does. By another process: closing a file, a process
    gives up the locks that SQLite holds on it."""
    fold_journal(database)
    page = _page_size(database)
    count = database.stat().st_size // page - first_page + 1
    assert count > 0
    where = f"of={database} bs={page} seek={first_page - 1} count={count}".split()
    subprocess.run(["dd", "if=/dev/urandom", *where, "conv=notrunc", "status=none"], check=True)


def touch_elsewhere(database: Path) -> None:
    """Have somebody else write, so that whoever has pages in memory reads them anew."""
    with closing(sqlite3.connect(database, timeout=10, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 1")


def _page_size(database: Path) -> int:
    with closing(sqlite3.connect(database, timeout=10)) as connection:
        return int(connection.execute("PRAGMA page_size").fetchone()[0])


def rows(database: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database, timeout=10)) as connection:
        return connection.execute(sql).fetchall()


@contextmanager
def as_nobody() -> Iterator[None]:
    """This process without root's privileges: root may write what nobody else may."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
