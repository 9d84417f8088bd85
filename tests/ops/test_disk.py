"""The watch over the disk: what the operator hears, how often, and in which words."""

import asyncio
import errno
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.credits.late import LateEnds
from bot.ops import disk
from bot.ops.disk import QUIET_S, DiskNotice, DiskWatch, Room, State, in_words, measure
from bot.storage.database import Database
from bot.storage.errors import StorageFailed
from bot.storage.weather import Trouble
from tests.credits.books import NOW, consumed
from tests.storage.disks import no_file_grows_beyond, small_disk

GIGABYTE = 10**9
PLENTY = Room(free=50 * GIGABYTE, total=100 * GIGABYTE)


@dataclass
class Watched:
    """A watch over a real database, with a disk and a clock of the test's own."""

    database: Database
    watch: DiskWatch
    late: LateEnds
    room: Room | None = PLENTY
    now: float = 1_000.0
    heard: list[DiskNotice] = field(default_factory=list)

    @property
    def states(self) -> list[State]:
        return [notice.state for notice in self.heard]

    async def see(self, room: Room | None, *, after_s: float = QUIET_S) -> list[State]:
        """What has been said until then, once the watch has looked at a disk with so much room."""
        self.room, self.now = room, self.now + after_s
        await self.watch.look()
        return self.states

    def measured(self, _: Path) -> Room:
        if self.room is None:
            raise OSError(errno.EIO, "Input/output error")
        return self.room


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    async with Database.open(f"sqlite:///{tmp_path}/bot.db") as database:
        made: list[Watched] = []
        watch = DiskWatch(
            database,
            late := LateEnds(database),
            notify=lambda notice: made[0].heard.append(notice),
            measure=lambda folder: made[0].measured(folder),
            clock=lambda: made[0].now,
        )
        made.append(Watched(database, watch, late))
        yield made[0]


def with_free(free: int, total: int = 100 * GIGABYTE) -> Room:
    return Room(free=free, total=total)


async def fail_a_write(database: Database) -> None:
    with no_file_grows_beyond(1), pytest.raises(StorageFailed):
        await database.probe()


# Room


@pytest.mark.parametrize(
    ("total", "mark"), [(100 * GIGABYTE, 200_000_000), (4 * GIGABYTE, 200_000_000), (GIGABYTE, 50_000_000)]
)
def test_room_is_low_below_200_mb_or_a_twentieth_of_a_small_disk(total: int, mark: int) -> None:
    assert with_free(0, total).low_mark == mark


@given(st.integers(0, 10**13), st.integers(0, 10**13))
def test_the_mark_grows_with_the_disk_and_never_beyond_200_mb(one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert 0 <= with_free(0, small).low_mark <= with_free(0, large).low_mark <= 200_000_000


async def test_a_disk_with_room_is_not_mentioned(watched: Watched) -> None:
    assert await watched.see(PLENTY) == []


async def test_a_disk_that_runs_low_is_told_once_and_again_when_there_is_room(watched: Watched) -> None:
    assert await watched.see(with_free(199_000_000)) == ["low"]
    assert await watched.see(with_free(150_000_000)) == ["low"]
    assert await watched.see(with_free(299_000_000)) == ["low"], "not yet enough to call it well"
    assert await watched.see(with_free(301_000_000)) == ["low", "well"]
    assert watched.heard[0].free_bytes == 199_000_000


async def test_a_disk_that_is_low_in_turns_is_told_once_an_hour(watched: Watched) -> None:
    low, enough = with_free(1_000), PLENTY
    for room in (low, enough, low, enough, low):
        await watched.see(room, after_s=60)
    assert watched.states == ["low", "well"]
    assert await watched.see(low, after_s=QUIET_S) == ["low", "well", "low"], "what stays so is told in the end"


async def test_a_disk_whose_room_nobody_can_tell_is_not_called_low(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    assert await watched.see(None) == []
    assert "nobody can tell how much room" in caplog.text


def test_the_room_of_a_real_disk_is_what_it_has(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=4) as small:
        assert measure(small.folder) == Room(free=4 * 2**20, total=4 * 2**20)
        small.fill()
        assert measure(small.folder).free == 0


# Trouble


async def test_a_trouble_is_told_and_mended_by_the_same_look_where_it_has_passed(watched: Watched) -> None:
    await fail_a_write(watched.database)
    assert await watched.see(PLENTY) == ["failing", "well"]
    assert watched.database.trouble is None
    assert await watched.see(PLENTY) == ["failing", "well"]


async def test_a_trouble_that_lasts_is_told_once(watched: Watched) -> None:
    with no_file_grows_beyond(1):
        with pytest.raises(StorageFailed):
            await watched.database.probe()
        for _ in range(3):
            await watched.see(PLENTY)
    assert watched.states == ["failing"]


async def test_a_charge_that_waits_is_written_by_a_look_at_a_database_without_trouble(watched: Watched) -> None:
    watched.late.add(1, "finished", consumed(60), at=NOW)
    assert await watched.see(PLENTY) == []
    assert len(watched.late) == 0


async def test_files_that_were_taken_away_are_noticed_by_a_look(watched: Watched) -> None:
    watched.database.path.with_name("bot.db-wal").unlink()
    assert await watched.see(PLENTY) == ["replaced"]
    assert await watched.see(PLENTY) == ["replaced"]


async def test_trouble_wakes_the_watch_and_a_look_that_fails_does_not_end_it(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(disk, "LOOK_S", 3_600.0)
    looks = asyncio.Queue[int]()
    look = watched.watch.look

    async def counted() -> None:
        looks.put_nowait(1)
        if looks.qsize() == 1 and not caplog.records:
            raise LookupError("a fault of ours")
        await look()

    monkeypatch.setattr(watched.watch, "look", counted)
    async with watched.watch.watching():
        async with asyncio.timeout(5):
            await looks.get()
            await fail_a_write(watched.database)
            await looks.get()
            while "failing" not in watched.states:  # noqa: ASYNC110 - the watch sets no event
                await asyncio.sleep(0.005)
    assert "a look at the disk failed" in caplog.text


# Words


@pytest.mark.parametrize("state", [*disk._SENTENCES])
def test_every_state_has_words_that_say_which_database(state: State) -> None:
    said = in_words(DiskNotice(state=state, database=Path("/data/bot.db"), free_bytes=12_345_678, late_charges=0))
    assert said.endswith("(/data/bot.db)")
    assert ("Free: 12 MB." in said) == (state in {"full", "low", "well"})


def test_every_trouble_has_words() -> None:
    assert {*Trouble.__args__, "low", "well"} == disk._SENTENCES.keys()


def test_charges_that_wait_are_named() -> None:
    notice = DiskNotice(state="full", database=Path("bot.db"), free_bytes=None, late_charges=1_234)
    assert "Charges that wait to be recorded: 1,234." in in_words(notice)
    assert "Free" not in in_words(notice)
