"""Ends of holds that come late: once, as they were due, however often they are tried."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bot.credits import late as late_module
from bot.credits.late import LateEnds
from bot.storage.database import Tx
from bot.storage.errors import StorageBusy, StorageFailed
from tests.credits.books import NOW, Books, consumed, request
from tests.storage.disks import fold_journal, no_file_grows_beyond
from tests.storage.gate import Gate


@pytest.fixture
def late(books: Books) -> LateEnds:
    return LateEnds(books.database)


@contextmanager
def no_disk(books: Books) -> Iterator[None]:
    fold_journal(books.database.path)
    with no_file_grows_beyond(1):
        yield


async def test_what_is_late_is_written_as_it_was_due(books: Books, late: LateEnds) -> None:
    for key in (1, 2):
        await books.ledger.hold(request(key))
        late.add(key, "finished", consumed(60), at=NOW)
    assert await late.write(timeout_s=5) == 2
    assert len(late) == 0
    entries = [entry async for entry in books.reports.entries()]
    assert [(entry.reason, entry.user_nano, entry.written_at) for entry in entries] == [("finished", 60, NOW)] * 2
    assert (await books.checked()).differences == ()


async def test_what_was_due_first_counts(books: Books, late: LateEnds) -> None:
    await books.ledger.hold(request(1))
    late.add(1, "finished", consumed(60), at=NOW)
    late.add(1, "shutdown", consumed(0), at=NOW)
    await late.write(timeout_s=5)
    assert [entry.user_nano async for entry in books.reports.entries()] == [60]


async def test_while_the_database_takes_nothing_everything_stays_due(books: Books, late: LateEnds) -> None:
    await books.ledger.hold(request(1))
    late.add(1, "finished", consumed(60), at=NOW)
    with no_disk(books):
        for _ in range(3):
            with pytest.raises(StorageFailed):
                await late.write(timeout_s=5)
    assert len(late) == 1
    assert (await books.checked()).open_holds == 1
    assert await late.write(timeout_s=5) == 1


async def test_a_hold_that_has_ended_meanwhile_is_not_charged_twice(books: Books, late: LateEnds) -> None:
    await books.ledger.hold(request(1))
    late.add(1, "finished", consumed(60), at=NOW)
    await books.ledger.end(1, "finished", consumed(60), at=NOW)
    assert await late.write(timeout_s=5) == 0
    assert len([entry async for entry in books.reports.entries()]) == 1


async def test_a_key_under_which_nothing_is_held_does_not_keep_the_others(
    books: Books, late: LateEnds, caplog: pytest.LogCaptureFixture
) -> None:
    await books.ledger.hold(request(2))
    late.add(1, "finished", consumed(60), at=NOW)
    late.add(2, "finished", consumed(60), at=NOW)
    assert await late.write(timeout_s=5) == 1
    assert len(late) == 0
    assert caplog.messages == ["a charge was due for what nothing was held for any more"]


async def test_who_writes_what_is_late_waits_for_a_turn_no_longer_than_was_said(books: Books, late: LateEnds) -> None:
    await books.ledger.hold(request(1))
    late.add(1, "finished", consumed(60), at=NOW)
    gate = Gate()

    async def occupy(_: Tx) -> None:
        gate.wait()

    occupied = asyncio.create_task(books.database.write(occupy))
    await gate.reached()
    writing = asyncio.create_task(late.write(timeout_s=0.01))
    await asyncio.wait([writing], timeout=2)
    gate.open()
    await occupied
    with pytest.raises(StorageBusy):
        await writing
    assert await late.write(timeout_s=5) == 1


async def test_more_than_a_batch_is_written_in_several(
    books: Books, late: LateEnds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_module, "BATCH", 2)
    for key in range(1, 6):
        await books.ledger.hold(request(key))
        late.add(key, "finished", consumed(1), at=NOW)
    assert await late.write(timeout_s=5) == 5


async def test_beyond_the_limit_a_hold_is_left_to_the_next_start(
    books: Books, late: LateEnds, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(late_module, "LIMIT", 1)
    late.add(1, "finished", consumed(1), at=NOW)
    late.add(2, "finished", consumed(1), at=NOW)
    assert len(late) == 1
    assert caplog.messages == ["1 charges wait for the database: this one stays on hold until the next start"]


async def test_the_end_of_the_process_is_the_last_try(
    books: Books, late: LateEnds, caplog: pytest.LogCaptureFixture
) -> None:
    await books.ledger.hold(request(1))
    late.add(1, "finished", consumed(60), at=NOW)
    with no_disk(books):
        await late.close()
    assert caplog.messages[-1] == "1 charges stay on hold until the next start: nothing was stored: disk I/O error"
    await late.close()
    assert len(late) == 0
    await late.close()
    assert (await books.checked()).open_holds == 0
