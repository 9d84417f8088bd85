"""Forgetting in time, and with a server; and what an export holds."""

import asyncio
import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import orjson
import pytest

from bot.answers import history
from bot.answers import keeping as answers
from bot.answers.question import Asker, Place, Question
from bot.credits.policy import BLOCKED
from bot.guilds import Target, change_settings
from bot.pictures.service import Pictures
from bot.privacy import departures, export, retention
from bot.privacy.retention import Limits, days_kept
from bot.privacy.service import Privacy
from bot.privacy.values import BATCH
from bot.storage.database import Database, Tx
from tests.privacy.archive import CHANNEL, DANA, MARKER, NOAM, SERVER, Archive

OTHER = SERVER + 100


async def keep_for(archive: Archive, days: int | None) -> None:
    await archive.guilds.change(SERVER, lambda now: replace(now, retention_days=days), archive.decision())


async def leave(archive: Archive, guild_id: int = SERVER) -> None:
    at_us = int(archive.now() * 1_000_000)
    await archive.database.write(lambda tx: departures.note(tx, guild_id, at_us=at_us))


def privacy_of(archive: Archive, limits: Limits) -> Privacy:
    return Privacy(
        database=archive.database,
        pictures=cast("Pictures", None),  # asked for by erasures alone
        eraser=archive.eraser,
        housekeeper=archive.housekeeper,
        limits=limits,
        now=archive.now,
    )


@pytest.mark.parametrize(
    ("chosen", "operator", "kept"),
    [(None, 180, 180), (None, 0, None), (30, 180, 30), (400, 180, 180), (400, 0, 400)],
)
def test_a_server_chooses_less_than_the_operator_and_never_more(
    chosen: int | None, operator: int, kept: int | None
) -> None:
    assert days_kept(chosen, operator) == kept


@pytest.mark.parametrize(
    ("limits", "chosen", "falling"),
    [
        (Limits(memory=0, orders=0, grace=30), 30, 2),
        (Limits(memory=0, orders=0, grace=30), None, 0),
        (Limits(memory=30, orders=0, grace=30), None, 1),
        (Limits(memory=0, orders=30, grace=30), None, 1),
    ],
)
async def test_a_server_hears_how_much_its_choice_takes_away_and_what_is_kept_for_ever_never_falls(
    archive: Archive, limits: Limits, chosen: int | None, falling: int
) -> None:
    await archive.turn()
    await archive.order()
    archive.later(days=31)
    await archive.turn()
    assert await privacy_of(archive, limits).falls_under(SERVER, chosen) == falling
    assert await privacy_of(archive, limits).falls_under(OTHER, chosen) == 0


async def test_what_is_older_than_the_days_goes_and_what_is_younger_stays(archive: Archive) -> None:
    await archive.turn()
    await archive.turn(guild_id=None)
    archive.later(days=1)
    await archive.turn()
    archive.later(days=179.5)
    await archive.sweep()
    assert await archive.counts("turns", "answers") == [1, 1]


async def test_what_somebody_forgot_by_themselves_is_in_no_byte_after_a_run(archive: Archive) -> None:
    await archive.turn()
    await archive.housekeeper.scrub()
    await archive.database.write(lambda tx: tx.execute("DELETE FROM turns"))
    await archive.database.write(lambda tx: tx.execute("DELETE FROM answers"))
    await archive.sweep()
    for path in (archive.path, archive.path.with_name("bot.db-wal")):
        assert MARKER.encode() not in path.read_bytes()


async def test_a_servers_own_days_count_there_alone(archive: Archive) -> None:
    await archive.turn()
    await archive.order()
    await archive.turn(guild_id=OTHER)
    await keep_for(archive, 30)
    archive.later(days=31)
    await archive.sweep()
    left = await archive.rows("SELECT guild_id FROM turns")
    assert [row["guild_id"] for row in left] == [OTHER]
    assert await archive.counts("answers", "picture_orders", "pictures") == [1, 0, 0]


async def test_orders_are_kept_longer_than_questions_where_the_operator_says_so(archive: Archive) -> None:
    await archive.order()
    archive.later(days=729)
    await archive.sweep()
    assert await archive.counts("picture_orders") == [1]
    archive.later(days=2)
    await archive.sweep()
    assert await archive.counts("picture_orders", "pictures") == [0, 0]


async def test_no_days_keep_for_ever(archive: Archive) -> None:
    archive.limits = Limits(memory=0, orders=0, grace=30)
    archive.build()
    await archive.turn()
    await archive.order()
    archive.later(days=20_000)
    await archive.sweep()
    assert await archive.counts("turns", "answers", "picture_orders") == [1, 1, 1]


async def test_an_order_that_has_not_ended_is_never_too_old(archive: Archive) -> None:
    await archive.order(ended=False)
    archive.later(days=2_000)
    await archive.sweep()
    assert await archive.counts("picture_orders", "pictures", "holds") == [1, 1, 1]


async def test_the_ledger_is_not_touched_by_time(archive: Archive) -> None:
    await archive.live()
    before = await archive.sums()
    archive.later(days=2_000)
    await archive.sweep()
    assert await archive.sums() == before
    assert await archive.rows("SELECT 1 FROM entries WHERE user_id = ?", DANA)
    await archive.books_are_right()


async def test_others_write_between_the_batches(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much is to go, nobody waits for more than a batch of it."""
    for _ in range(4 * BATCH):
        await archive.turn()
    archive.later(days=200)
    left: list[int] = []
    write = Database.write

    async def watched(self: Database, operation: Callable[..., Any], **more: Any) -> Any:
        result = await write(self, operation, **more)
        left.append((await archive.counts("turns"))[0])
        return result

    monkeypatch.setattr(Database, "write", watched)
    await archive.sweep()
    steps = [before - after for before, after in zip([4 * BATCH, *left], left, strict=False)]
    assert max(steps) == BATCH
    assert sum(steps) == 4 * BATCH


# Servers


async def test_a_left_server_is_erased_after_the_grace(archive: Archive) -> None:
    await archive.live()
    await archive.live(NOAM)
    await archive.allow(BLOCKED, Target.member(NOAM))
    before = await archive.sums()
    await leave(archive)
    archive.later(days=29)
    await archive.sweep()
    assert len(await archive.rows("SELECT 1 FROM turns WHERE guild_id = ?", SERVER)) == 2
    archive.later(days=2)
    await archive.sweep()
    assert await archive.counts("guild_settings", "allowances", "memory_modes", "departures") == [0, 0, 0, 0]
    assert await archive.rows("SELECT 1 FROM turns WHERE guild_id = ?", SERVER) == []
    assert await archive.rows("SELECT 1 FROM answers WHERE guild_id = ?", SERVER) == []
    assert await archive.rows("SELECT 1 FROM picture_orders") == []
    assert await archive.rows("SELECT 1 FROM entries WHERE scope_id = ? AND user_id > 0", SERVER) == []
    assert await archive.sums() == before
    await archive.books_are_right()


async def test_what_people_do_elsewhere_stays_when_a_server_goes(archive: Archive) -> None:
    await archive.live()
    await leave(archive)
    archive.later(days=31)
    await archive.sweep()
    assert [row["guild_id"] for row in await archive.rows("SELECT guild_id FROM turns")] == [None]
    assert len(await archive.rows("SELECT 1 FROM entries WHERE scope_id = 0 AND user_id = ?", DANA)) == 1


async def test_of_a_left_server_no_id_of_a_member_stays(archive: Archive) -> None:
    await archive.charge()
    await archive.grant(500)
    await archive.allow(BLOCKED, Target.member(NOAM), by=DANA)
    await archive.turn()
    await leave(archive)
    archive.later(days=31)
    await archive.sweep()
    assert await archive.mentions(DANA, NOAM, MARKER) == []
    pseudonyms = await archive.rows("SELECT DISTINCT user_id FROM entries")
    assert [row["user_id"] < 0 for row in pseudonyms] == [True]


async def test_who_returns_within_the_grace_finds_everything(archive: Archive) -> None:
    await archive.live()
    await leave(archive)
    archive.later(days=20)
    await archive.database.write(lambda tx: departures.come_back(tx, {SERVER}))
    archive.later(days=40)
    await archive.sweep()
    assert await archive.counts("turns", "guild_settings", "departures") == [2, 1, 0]


async def test_a_server_that_comes_back_while_it_is_being_forgotten_keeps_what_it_decides_then(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    await archive.turn()
    await leave(archive)
    archive.later(days=31)

    async def come_back(tx: Tx, guild_id: int) -> None:
        await departures.forget(tx, guild_id)
        decision = archive.decision()
        await change_settings(tx, guild_id, lambda now: replace(now, blocked_words=("darn",)), decision)

    monkeypatch.setattr(answers, "forget_modes", come_back)
    await archive.sweep()
    assert (await archive.guilds.settings(SERVER)).blocked_words == ("darn",)


async def test_the_first_departure_counts(archive: Archive) -> None:
    await leave(archive)
    archive.later(days=20)
    await leave(archive)
    archive.later(days=11)
    await archive.sweep()
    assert await archive.counts("departures") == [0]


async def test_a_request_that_is_open_in_a_left_server_ends_first(archive: Archive) -> None:
    held = await archive.hold(100)
    await leave(archive)
    archive.later(days=31)
    await archive.sweep()
    assert await archive.counts("departures") == [1]
    await archive.ledger.end(held, "crashed", at=archive.at)
    archive.later(hours=2)
    await archive.sweep()
    assert await archive.counts("departures") == [0]
    assert await archive.mentions(DANA) == []
    await archive.books_are_right()


async def test_what_is_asked_in_a_left_server_afterwards_stays(archive: Archive) -> None:
    """There, too, people may bring the bot along themselves."""
    await archive.turn()
    await leave(archive)
    archive.later(days=10)
    await archive.turn()
    archive.later(days=21)
    await archive.sweep()
    assert await archive.counts("turns") == [1]


# The job


async def test_the_job_runs_at_its_start_and_when_it_is_woken(archive: Archive) -> None:
    await archive.turn()
    archive.later(days=181)
    async with archive.housekeeper.running():
        await gone(archive)
        await archive.turn()
        archive.later(days=181)
        archive.housekeeper.wake()
        await gone(archive)
    assert await archive.counts("turns") == [0]


async def gone(archive: Archive) -> None:
    async with asyncio.timeout(10):
        while await archive.counts("turns") != [0]:  # noqa: ASYNC110 - what happens in a database sets no event
            await asyncio.sleep(0.01)


async def test_a_run_that_fails_is_not_the_last(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = asyncio.Event()

    async def broken() -> list[object]:
        runs.set()
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(archive.eraser, "pending", broken)
    await archive.turn()
    archive.later(days=181)
    async with archive.housekeeper.running():
        await runs.wait()
        monkeypatch.undo()
        archive.housekeeper.wake()
        await gone(archive)
    assert await archive.counts("turns") == [0]


async def test_where_somebody_was_reading_the_log_is_emptied_soon_after(archive: Archive) -> None:
    log = archive.path.with_name(f"{archive.path.name}-wal")
    with contextlib.closing(sqlite3.connect(archive.path, isolation_level=None)) as backup:
        await archive.turn()
        backup.execute("BEGIN")
        backup.execute("SELECT COUNT(*) FROM turns").fetchone()
        await history.History(archive.database).clear(history.MemoryKey.personal(CHANNEL, DANA))
        assert (await archive.housekeeper.sweep()).soon
        assert log.stat().st_size
        backup.rollback()
    assert not (await archive.housekeeper.sweep()).soon
    assert not log.stat().st_size


async def test_who_wakes_the_job_again_and_again_does_not_keep_it_running(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "REST_S", 600.0)
    sweep, runs = archive.housekeeper.sweep, 0

    async def counted() -> retention.Swept:
        nonlocal runs
        runs += 1
        return await sweep()

    monkeypatch.setattr(archive.housekeeper, "sweep", counted)
    await archive.turn()
    archive.later(days=181)
    async with archive.housekeeper.running():
        await gone(archive)
        for _ in range(20):
            archive.housekeeper.wake()
            await archive.counts("turns")
    assert runs == 1


# The export


async def exported(archive: Archive, who: int = DANA, part_bytes: int = 1_000_000) -> list[dict[str, Any]]:
    parts = export.parts(archive.database, who, at=archive.at, part_bytes=part_bytes)
    return [orjson.loads(part) async for part in parts]


async def test_an_export_has_every_row_and_no_token(archive: Archive) -> None:
    await archive.live(NOAM)
    await archive.live()
    asker = Asker(id=DANA, name="Dana")
    place = Place(channel_id=CHANNEL, guild_id=SERVER)
    await archive.answer(Question(id=archive.new_id(), asker=asker, place=place, prompt="open"), "running")
    [document] = await exported(archive)
    assert Counter(record["table"] for record in document["records"]) == {
        "accounts": 2,
        "allowances": 1,
        "drafts": 2,
        "turns": 2,
        "answers": 3,
        "picture_orders": 1,
        "memory_modes": 1,
        "entries": 4,
        "policy_log": 3,
    }
    assert not any("interaction_token" in record for record in document["records"])
    assert str(NOAM) not in json.dumps([r for r in document["records"] if r["table"] in ("turns", "answers")])
    [order] = [record for record in document["records"] if record["table"] == "picture_orders"]
    assert order["asked"]["picture"]["prompt"] == MARKER
    assert len(order["pictures"]) == 1
    [draft, _] = [record for record in document["records"] if record["table"] == "drafts"]
    assert (draft["body"]["quoted"], draft["guild_id"]) == (MARKER, SERVER)


async def test_an_export_of_nobody_says_so(archive: Archive) -> None:
    [document] = await exported(archive)
    assert document["records"] == []


async def test_parts_together_have_each_record_once(archive: Archive) -> None:
    for number in range(3 * export.PAGE):
        await archive.turn(text=f"question {number}")
    whole = (await exported(archive, part_bytes=100_000_000))[0]["records"]
    parts = await exported(archive, part_bytes=40_000)
    assert len(parts) > 2
    assert [part["part"] for part in parts] == list(range(1, len(parts) + 1))
    assert [record for part in parts for record in part["records"]] == whole
    assert len(whole) == 2 * 3 * export.PAGE


async def test_no_part_is_larger_than_it_may_be_and_what_is_too_large_is_named(archive: Archive) -> None:
    await archive.turn()
    parts = [part async for part in export.parts(archive.database, DANA, at=archive.at, part_bytes=5_000)]
    assert max(map(len, parts)) <= 5_000
    records = [record for part in parts for record in orjson.loads(part)["records"]]
    assert [record["table"] for record in records if "left_out" in record] == ["turns"]
