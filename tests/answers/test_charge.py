"""The money of one answer: ended once, as was due first, whatever the database does meanwhile."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bot.answers import charge as charging
from bot.answers.charge import Charge
from bot.credits.late import LateEnds
from bot.credits.values import Entry
from bot.storage.database import Database, Tx
from bot.storage.errors import StorageError
from tests.credits.books import NOW, Books, consumed, request

LATER = NOW + timedelta(minutes=1)


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    async with Database.open(f"sqlite:///{tmp_path}/bot.db") as database:
        yield Books(database)


@pytest.fixture
def late(books: Books) -> LateEnds:
    return LateEnds(books.database)


@pytest.fixture
def clock() -> list[datetime]:
    """What time it is: the last of these."""
    return [NOW]


@pytest.fixture
async def charge(
    books: Books, late: LateEnds, clock: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Charge]:
    monkeypatch.setattr(charging, "PAUSES_S", (0.01, 0.01, 0.01))
    hold = await books.ledger.hold(request(1, 100))
    yield Charge(books.ledger, hold, late=late, now=lambda: clock[-1])
    assert (await books.checked()).differences == ()


async def refuse_ends(books: Books) -> None:
    """From now on the database does not let a hold go."""
    stuck = "CREATE TRIGGER stuck BEFORE DELETE ON holds BEGIN SELECT RAISE(ABORT, 'stuck'); END"
    await books.database.write(lambda tx: tx.execute(stuck))


async def let_them_end(books: Books) -> None:
    await books.database.write(lambda tx: tx.execute("DROP TRIGGER stuck"))


async def entries(books: Books) -> list[Entry]:
    return [entry async for entry in books.reports.entries()]


async def until_told(caplog: pytest.LogCaptureFixture, *, times: int) -> None:
    """Return once so many tries have failed."""
    for _ in range(500):
        if len(caplog.records) >= times:
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


async def test_what_is_paid_is_told_before_it_is_taken(charge: Charge) -> None:
    assert charge.paid("finished", consumed(60)) == 60
    assert charge.paid("finished", consumed(160)) == 100, "no more than was on hold"
    assert charge.paid("cut", consumed(60)) == 0


async def test_an_end_is_written_at_its_time_and_nothing_is_late_or_complained_of(
    books: Books, late: LateEnds, clock: list[datetime], charge: Charge, caplog: pytest.LogCaptureFixture
) -> None:
    assert not charge.ended
    clock.append(LATER)
    await charge.end("finished", consumed(60))
    assert charge.ended
    assert len(late) == 0
    assert caplog.messages == []
    assert [(one.reason, one.user_nano, one.written_at) for one in await entries(books)] == [("finished", 60, LATER)]


async def test_how_it_ended_first_is_how_it_stays(books: Books, late: LateEnds, charge: Charge) -> None:
    await charge.end("stopped", consumed(60))
    assert charge.ended
    await charge.end("finished", consumed(90))
    assert [(one.reason, one.user_nano) for one in await entries(books)] == [("stopped", 60)]
    assert len(late) == 0


async def test_what_was_due_first_is_tried_again_where_the_database_failed(
    books: Books, charge: Charge, caplog: pytest.LogCaptureFixture
) -> None:
    await refuse_ends(books)
    await charge.end("stopped", consumed(60))
    assert not charge.ended
    told = caplog.messages[0]
    assert told.startswith("a charge is not recorded yet: ")
    assert "stuck" in told, "the cause is for whoever runs the bot"
    await let_them_end(books)
    await charge.end("cut", consumed(0))
    assert [(one.reason, one.user_nano) for one in await entries(books)] == [("stopped", 60)]


async def test_what_is_owed_first_is_what_is_paid_however_it_ends(books: Books, charge: Charge) -> None:
    charge.owe("stopped", consumed(60))
    charge.owe("finished", consumed(90))
    assert not charge.ended
    await charge.end("cut", consumed(0))
    assert [(one.reason, one.user_nano) for one in await entries(books)] == [("stopped", 60)]


async def test_one_that_is_left_to_another_stays_on_hold(books: Books, late: LateEnds, charge: Charge) -> None:
    charge.leave()
    assert charge.ended
    await charge.end("cut", consumed(0))
    assert await entries(books) == []
    assert len(late) == 0
    assert (await books.checked()).open_holds == 1


async def test_an_end_in_a_transaction_that_fails_is_what_is_tried_again(books: Books, charge: Charge) -> None:
    charge.owe("stopped", consumed(60))

    async def end_and_fail(tx: Tx) -> None:
        await charge.end_in(tx)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await books.database.write(end_and_fail)
    assert await entries(books) == []
    await charge.end("cut", consumed(0))
    assert [(one.reason, one.user_nano) for one in await entries(books)] == [("stopped", 60)]


async def test_an_end_joins_the_transaction_of_the_answer_as_was_due_and_at_its_time(
    books: Books, clock: list[datetime], charge: Charge
) -> None:
    charge.owe("stopped", consumed(60))
    clock.append(LATER)
    await books.database.write(charge.end_in)
    assert [(one.reason, one.user_nano, one.written_at) for one in await entries(books)] == [("stopped", 60, LATER)]


async def test_a_database_that_recovers_between_two_tries_takes_the_end(
    books: Books, late: LateEnds, charge: Charge, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charging, "PAUSES_S", (0.01, 0.3, 0.3))
    await refuse_ends(books)
    ending = asyncio.create_task(charge.end("finished", consumed(60)))
    await until_told(caplog, times=2)
    await let_them_end(books)
    await ending
    assert charge.ended
    assert len(late) == 0
    assert [one.user_nano for one in await entries(books)] == [60]


async def test_the_last_try_may_be_the_one_that_ends_it(
    books: Books, late: LateEnds, charge: Charge, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charging, "PAUSES_S", (0.5,))
    await refuse_ends(books)
    ending = asyncio.create_task(charge.end("finished", consumed(60)))
    await until_told(caplog, times=1)
    await let_them_end(books)
    await ending
    assert charge.ended
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert len(late) == 0
    assert [one.user_nano for one in await entries(books)] == [60]


async def test_after_a_try_for_each_pause_and_a_last_one_the_end_is_left_for_later(
    books: Books, late: LateEnds, clock: list[datetime], charge: Charge, caplog: pytest.LogCaptureFixture
) -> None:
    await refuse_ends(books)
    clock.append(LATER)
    await charge.end("finished", consumed(60))
    assert not charge.ended
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 4 + [logging.ERROR]
    last = "a charge could not be recorded yet: it stays on hold until the database takes it"
    assert caplog.messages[-1] == last
    assert len(late) == 1
    await let_them_end(books)
    assert await late.write(timeout_s=5) == 1
    assert [(one.reason, one.user_nano, one.written_at) for one in await entries(books)] == [("finished", 60, LATER)]


async def test_who_is_cancelled_between_two_tries_leaves_the_end_for_later(
    books: Books, late: LateEnds, charge: Charge, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charging, "PAUSES_S", (60.0,))
    await refuse_ends(books)
    ending = asyncio.create_task(charge.end("finished", consumed(60)))
    await until_told(caplog, times=1)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert len(late) == 1
    await let_them_end(books)
    assert await late.write(timeout_s=5) == 1
    assert [one.user_nano for one in await entries(books)] == [60]


async def test_a_transaction_that_cannot_end_it_says_so(books: Books, charge: Charge) -> None:
    await refuse_ends(books)
    charge.owe("finished", consumed(60))
    with pytest.raises(StorageError):
        await books.database.write(charge.end_in)
    assert not charge.ended
    await let_them_end(books)
    await charge.end("finished", consumed(60))
