"""What is on disk of an order: written with its hold, ended once, read for years."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.answers.question import Asker, Place
from bot.credits.check import check
from bot.credits.values import HoldRequest
from bot.minitoolai.images import JobRef
from bot.money import NanoDollars
from bot.pictures import orders
from bot.pictures.orders import Drawing, Ending, Stored
from bot.pictures.request import Order, Picture
from bot.storage.database import Database, Tx
from bot.storage.errors import StorageError
from tests.credits.books import ANN, Books, limits

NOW = datetime(2026, 12, 31, 12, 0, tzinfo=UTC)
PRICE = NanoDollars(10)
JOB = JobRef(job_id="12345678", signature="a signature that nobody else knows")
DELIVERED = Ending(state="delivered", reason="finished", images=1)
CANCELLED = Ending(state="cancelled", reason="cancelled", untold="Cancelled.")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database.open(f"sqlite:///{tmp_path}/bot.db") as opened:
        yield opened


def an_order(order_id: int = 1, **changes: Any) -> Order:
    values: dict[str, Any] = {
        "id": order_id,
        "asker": Asker(id=ANN, name="Ann", role_ids=(4, 5)),
        "place": Place(channel_id=70, guild_id=7_000),
        "picture": Picture(prompt="a lighthouse", model="realvision", negative_prompt="fog", steps=6, cfg_scale=3.5),
        "count": 2,
        "spoiler": True,
        "private": False,
        "application_id": 9,
        "token": "interaction-token",
        "message_id": 71,
        "upload_limit_bytes": 10_000_000,
    }
    return Order(**values | changes)


async def ordered(database: Database, order: Order) -> None:
    """Held and written, as the service does."""
    request = HoldRequest(
        key=order.id,
        scope_id=order.place.scope_id,
        user_id=order.asker.id,
        role_ids=frozenset(),
        kind="image",
        model=order.picture.model,
        fixed_nano=NanoDollars(PRICE * order.count),
        at=NOW,
    )
    ledger = Books(database, operator=limits()).ledger
    await ledger.hold(request, along=lambda tx: orders.insert(tx, order, image_nano=PRICE, at=NOW))


async def stored(database: Database, order_id: int = 1) -> Stored:
    found = await database.read(lambda tx: orders.read(tx, order_id))
    assert found is not None
    return found


async def entry(database: Database, order_id: int = 1) -> tuple[str, int, int, int]:
    """Reason, what the user paid, what the provider is due, pictures."""

    async def read(tx: Tx) -> tuple[str, int, int, int]:
        row = await tx.fetch_one("SELECT * FROM entries WHERE entry_id = ?", (order_id,))
        assert row is not None
        return row["reason"], row["from_allowance_nano"], row["provider_nano"], row["images"]

    return await database.read(read)


async def end(database: Database, ending: Ending, *, uploading: bool = True) -> bool:
    return await database.write(lambda tx: orders.end(tx, 1, ending, at=NOW, uploading=uploading))


async def test_an_order_is_read_as_it_was_written(database: Database) -> None:
    await ordered(database, an_order())
    found = await stored(database)
    assert found.order == an_order()
    assert (found.state, found.image_nano, found.asked_at) == ("waiting", PRICE, NOW)
    assert found.drawings == (Drawing(number=0), Drawing(number=1))
    assert found.messages == ((70, 71),)


async def test_lone_surrogates_of_a_tampered_client_are_stored_as_something_that_can_be(database: Database) -> None:
    broken = Picture(prompt="a \ud800 lighthouse", model="realvision")
    await ordered(database, an_order(picture=broken))
    assert (await stored(database)).order.picture.prompt.startswith("a ")


async def test_the_same_order_again_changes_nothing(database: Database) -> None:
    await ordered(database, an_order())
    await database.write(lambda tx: orders.open_(tx, 1, at=NOW))
    await ordered(database, an_order())
    assert (await stored(database)).state == "open"


async def test_what_cannot_be_written_holds_nothing(database: Database) -> None:
    with pytest.raises(StorageError):
        await ordered(database, an_order(message_id=None))
    assert (await database.read(check)).differences == ()
    assert await database.read(lambda tx: tx.fetch_all("SELECT * FROM holds")) == []


async def test_each_step_is_taken_once(database: Database) -> None:
    await ordered(database, an_order())
    assert not await database.write(lambda tx: orders.claim_upload(tx, 1))
    assert [await database.write(lambda tx: orders.open_(tx, 1, at=NOW)) for _ in range(2)] == [True, False]
    assert [await database.write(lambda tx: orders.claim_upload(tx, 1)) for _ in range(2)] == [True, False]
    assert [await end(database, DELIVERED) for _ in range(2)] == [True, False]


async def test_nothing_is_submitted_for_an_order_that_has_ended(database: Database) -> None:
    await ordered(database, an_order())
    assert not await database.write(lambda tx: orders.note_try(tx, 1, 0))
    await database.write(lambda tx: orders.open_(tx, 1, at=NOW))
    assert await database.write(lambda tx: orders.note_try(tx, 1, 0))
    await end(database, CANCELLED)
    assert not await database.write(lambda tx: orders.note_try(tx, 1, 0))
    assert (await stored(database)).drawings[0].tries == 1


async def test_a_picture_is_read_as_far_as_it_came(database: Database) -> None:
    await ordered(database, an_order())
    await database.write(lambda tx: orders.note_job(tx, 1, 0, JOB, at=NOW))
    await database.write(lambda tx: orders.note_job(tx, 1, 1, JOB, at=NOW))
    await database.write(lambda tx: orders.note_ready(tx, 1, 1, url="https://x/1.png", took_ms=4_200))
    first, second = (await stored(database)).drawings
    assert (first.state, first.job, first.submitted_at) == ("submitted", JOB, NOW)
    assert (second.state, second.image_url, second.took_ms) == ("ready", "https://x/1.png", 4_200)
    (taken,) = await database.read(lambda tx: orders.read_times_taken(tx, limit=10))
    assert (taken.model, taken.pixels, taken.steps, taken.took_ms) == ("realvision", 1_024 * 1_024, 6, 4_200)


async def test_neither_signature_nor_token_nor_address_shows_in_what_a_log_could_print() -> None:
    drawing = Drawing(number=0, job=JOB, image_url="https://secret/1.png")
    assert "secret" not in repr(drawing)
    assert JOB.signature not in repr(drawing)


async def test_the_user_pays_for_what_was_delivered_and_the_provider_is_due_every_try(database: Database) -> None:
    await ordered(database, an_order())
    await database.write(lambda tx: orders.open_(tx, 1, at=NOW))
    for number in (0, 0, 1):
        await database.write(lambda tx, number=number: orders.note_try(tx, 1, number))
    await end(database, DELIVERED)
    assert await entry(database) == ("finished", PRICE, 3 * PRICE, 1)


async def test_a_try_that_was_turned_down_costs_nobody(database: Database) -> None:
    await ordered(database, an_order())
    await database.write(lambda tx: orders.open_(tx, 1, at=NOW))
    await database.write(lambda tx: orders.note_try(tx, 1, 0))
    await database.write(lambda tx: orders.take_back_try(tx, 1, 0))
    await end(database, Ending(state="failed", reason="failed", untaken="refused"))
    assert await entry(database) == ("refused", 0, 0, 0)


async def test_what_is_being_uploaded_cannot_be_cancelled(database: Database) -> None:
    await ordered(database, an_order())
    await database.write(lambda tx: orders.open_(tx, 1, at=NOW))
    await database.write(lambda tx: orders.claim_upload(tx, 1))
    assert not await end(database, CANCELLED, uploading=False)
    assert (await stored(database)).state == "uploading"
    assert await end(database, DELIVERED)


async def test_what_was_cancelled_cannot_be_delivered(database: Database) -> None:
    await ordered(database, an_order())
    await database.write(lambda tx: orders.open_(tx, 1, at=NOW))
    assert await end(database, CANCELLED, uploading=False)
    assert not await database.write(lambda tx: orders.claim_upload(tx, 1))
    assert not await end(database, DELIVERED)
    assert (await entry(database))[:2] == ("cancelled", 0)


async def test_the_token_is_kept_until_the_end_has_been_told(database: Database) -> None:
    await ordered(database, an_order())
    await end(database, CANCELLED)
    (untold,) = await database.read(lambda tx: orders.read_untold(tx, since=NOW - timedelta(hours=1), limit=9))
    assert (untold.untold, untold.order.token) == ("Cancelled.", "interaction-token")
    await database.write(lambda tx: orders.note_told(tx, 1))
    assert await database.read(lambda tx: orders.read_untold(tx, since=NOW - timedelta(hours=1), limit=9)) == []
    assert (await stored(database)).order.token == ""


async def test_a_delivery_needs_its_token_no_more(database: Database) -> None:
    await ordered(database, an_order())
    await end(database, DELIVERED)
    assert (await stored(database)).order.token == ""


async def test_only_what_has_not_ended_goes_on_the_oldest_first(database: Database) -> None:
    for order_id in (3, 1, 2):
        await ordered(database, an_order(order_id))
    await end(database, CANCELLED)
    await database.write(lambda tx: orders.open_(tx, 3, at=NOW))
    going = await database.read(lambda tx: orders.read_going(tx, limit=10))
    assert [(one.order.id, one.state) for one in going] == [(2, "waiting"), (3, "open")]


async def test_a_direct_message_is_one_of_its_places(database: Database) -> None:
    await ordered(database, an_order())
    await database.write(lambda tx: orders.note_dm_channel(tx, 1, 80))
    assert (await stored(database)).messages == ((70, 71),)
    await end(database, Ending(state="delivered", reason="finished", images=2, dm_message_id=81))
    found = await stored(database)
    assert found.messages == ((70, 71), (80, 81))
    assert found.is_at(80)
    assert not found.is_at(90)


async def test_what_is_forgotten_is_read_by_nobody_and_keeps_its_entry(database: Database) -> None:
    await ordered(database, an_order())
    assert not await database.write(lambda tx: orders.forget(tx, 1)), "it has not ended"
    await end(database, DELIVERED)
    assert await database.write(lambda tx: orders.forget(tx, 1))
    assert await database.read(lambda tx: orders.read(tx, 1)) is None
    assert (await entry(database))[0] == "finished"
    row = (await database.read(lambda tx: tx.fetch_all("SELECT * FROM picture_orders")))[0]
    assert "lighthouse" not in str(tuple(row))
