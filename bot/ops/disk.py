"""Watches the disk below the database: tells the operator what ails it, and when it works again.

What the database's own statements find out wakes the watch at once. Besides, it looks at the room that is left, and
whether the files under the database's names are still those that were opened. While something is wrong that may pass,
it tries to write, and once that works it writes the charges that are late.
"""

import asyncio
import contextlib
import logging
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from bot.credits.late import LateEnds
from bot.storage.database import Database
from bot.storage.errors import StorageError
from bot.storage.weather import LASTING, Trouble

log = logging.getLogger(__name__)

LOOK_S: Final = 30.0
"""Between two looks while all is well."""
PROBE_S: Final = 5.0
"""Between two tries to write while it is not."""
QUIET_S: Final = 3_600.0
"""The operator hears of each state at most once in so long: a disk that is full in turns fills nobody's messages."""
LOW_BYTES: Final = 200_000_000
LOW_SHARE: Final = 0.05
"""Room is low below the lesser of the two: 200 MB last for months, and so they do on a small disk, where they may be
most of it."""
ENOUGH: Final = 1.5
"""Room is no longer low from so many times the mark on, so that it is not low and enough in turns."""

State = Trouble | Literal["low", "well"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DiskNotice:
    """What the operator has to hear. `free_bytes` is the room on the disk, None where that cannot be found out."""

    state: State
    database: Path
    free_bytes: int | None
    late_charges: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """What a disk has, in bytes."""

    free: int
    total: int

    @property
    def low_mark(self) -> float:
        return min(LOW_BYTES, self.total * LOW_SHARE)


def measure(folder: Path) -> Room:
    """The room that a process without privileges has where `folder` is. OSError where nobody can tell."""
    usage = shutil.disk_usage(folder)
    return Room(free=usage.free, total=usage.total)


class DiskWatch:
    """Run by `watching`. `notify` must not block; `clock` gives seconds that only grow."""

    def __init__(
        self,
        database: Database,
        late: LateEnds,
        *,
        notify: Callable[[DiskNotice], None],
        measure: Callable[[Path], Room] = measure,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._late = late
        self._notify = notify
        self._measure = measure
        self._clock = clock
        self._room: Room | None = None
        self._low = False
        self._believed: State = "well"
        self._told_at: dict[State, float] = {}

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch as long as the block runs."""
        task = asyncio.create_task(self._watch(), name="disk watch")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _watch(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("a look at the disk failed")  # the top of the loop: the watch must outlive what it sees
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PROBE_S if self._restless else LOOK_S):
                    await self._database.wait_for_trouble()

    @property
    def _restless(self) -> bool:
        return self._database.trouble not in {None, *LASTING} or bool(self._late)

    async def look(self) -> None:
        """See how things are, mend what can be mended, and tell the operator what is new."""
        self._room = await asyncio.to_thread(self._measured)
        await self._database.look_after_files()
        self._tell()
        if self._restless:
            await self._mend()
            self._room = await asyncio.to_thread(self._measured)
            self._tell()

    def _measured(self) -> Room | None:
        try:
            return self._measure(self._database.path.parent)
        except OSError as error:
            log.warning("nobody can tell how much room the database's disk has: %s", error.strerror)
            return None

    async def _mend(self) -> None:
        """Write, first what changes nothing, then what is due."""
        try:
            if self._database.trouble is not None:
                await self._database.probe()
            written = await self._late.write(timeout_s=PROBE_S)
        except StorageError as error:
            log.info("the database takes no writes yet: %s", error)
            return
        if written:
            log.warning("%d charges that were late are in the books now", written)

    def _state(self) -> State:
        if (trouble := self._database.trouble) is not None:
            return trouble
        if self._room is not None:
            mark = self._room.low_mark * (ENOUGH if self._low else 1.0)
            self._low = self._room.free < mark
        return "low" if self._low else "well"

    def _tell(self) -> None:
        """Say how things are, if that is something else than what was said last, and not within the hour."""
        state, now = self._state(), self._clock()
        if state == self._believed or now - self._told_at.get(state, -QUIET_S) < QUIET_S:
            return
        self._believed, self._told_at[state] = state, now
        notice = DiskNotice(
            state=state,
            database=self._database.path,
            free_bytes=self._room.free if self._room is not None else None,
            late_charges=len(self._late),
        )
        log.log(_LEVELS.get(state, logging.ERROR), "%s", in_words(notice))
        self._notify(notice)


_LEVELS: Final[dict[State, int]] = {"well": logging.WARNING, "low": logging.WARNING}

_CLOSED: Final = "Nothing new is answered or drawn until that changes; I go on by myself then."
_FOR_GOOD: Final = "Nothing is written to it any more, and nothing new is answered or drawn."

_SENTENCES: Final[dict[State, str]] = {
    "full": f"The database's disk is full. {_CLOSED}",
    "read-only": f"The database cannot be written: its file or its disk is read-only. {_CLOSED}",
    "locked": f"Another program keeps the database locked. {_CLOSED}",
    "failing": f"The database's disk reports errors. {_CLOSED}",
    "damaged": f"The database is damaged. {_FOR_GOOD} Stop me, restore a backup with `python -m bot restore FILE`, and "
    "start me again.",
    "replaced": f"The database's files were deleted or replaced while I was using them. {_FOR_GOOD} Stop me, see that "
    "the right file is in its place, and start me again.",
    "low": "The database's disk is nearly full. Without room nothing new is answered or drawn.",
    "well": "The database's disk is well again.",
}


def in_words(notice: DiskNotice) -> str:
    """One paragraph for the operator, without marks of its own."""
    words = _SENTENCES[notice.state]
    if notice.free_bytes is not None and notice.state in {"full", "low", "well"}:
        words += f" Free: {notice.free_bytes / 1e6:,.0f} MB."
    if notice.late_charges:
        words += f" Charges that wait to be recorded: {notice.late_charges:,}."
    return f"{words} ({notice.database})"
