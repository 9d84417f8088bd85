"""Erasing a person: what goes, what stays, and that the books come out the same."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.answers import keeping
from bot.answers.history import History, MemoryKey
from bot.answers.question import Asker, Place, Question
from bot.credits.policy import BLOCKED, Allowance, OperatorLimits
from bot.errors import CreditsRefused, MemberBlocked
from bot.guilds import SERVER_DEFAULT, Target
from bot.money import NanoDollars
from bot.pictures import orders
from bot.pictures.orders import Ending
from bot.privacy.values import BATCH
from bot.storage.database import Database, Row, Value, _SqliteTx
from tests.privacy.archive import A_MONTH, CHANNEL, DANA, MARKER, NOAM, RUTH, SERVER, START, Archive, open_archive

ONE_CREDIT_ONCE = Allowance.of(NanoDollars(1_000), "once")


async def test_what_was_asked_goes_at_once_from_every_server_and_from_direct_messages(archive: Archive) -> None:
    await archive.live()
    await archive.turn(NOAM, text="another's")
    await archive.erase()
    assert await archive.mentions(MARKER) == []
    assert await archive.counts("turns", "answers", "picture_orders", "pictures") == [1, 1, 0, 0]


async def test_after_the_period_nothing_in_the_database_leads_to_the_person(archive: Archive) -> None:
    await archive.live()
    await archive.erase()
    archive.later(days=40)
    await archive.sweep()
    assert await archive.mentions(DANA, MARKER) == []


async def test_the_bytes_of_the_file_hold_neither_id_nor_words(archive: Archive) -> None:
    await archive.live()
    await archive.housekeeper.scrub()
    assert MARKER.encode() in archive.path.read_bytes()
    await archive.erase()
    archive.later(days=40)
    await archive.sweep()
    content = archive.path.read_bytes()
    assert MARKER.encode() not in content
    assert DANA.to_bytes(8, "big") not in content
    assert str(DANA).encode() not in content
    assert archive.path.with_name("bot.db-wal").stat().st_size == 0


async def test_a_memory_that_was_cleared_leaves_no_words_in_the_file(archive: Archive) -> None:
    await archive.turn()
    await archive.turn()
    await archive.housekeeper.scrub()
    assert MARKER.encode() in archive.path.read_bytes()
    assert await History(archive.database).clear(MemoryKey.personal(CHANNEL, DANA)) == 2
    assert await archive.mentions(MARKER) == []
    await archive.sweep()
    assert MARKER.encode() not in archive.path.read_bytes()
    assert archive.path.with_name("bot.db-wal").stat().st_size == 0


async def test_what_is_left_of_a_forgotten_answer_can_be_exported(archive: Archive) -> None:
    key = await archive.turn()
    await History(archive.database).clear(MemoryKey.personal(CHANNEL, DANA))
    [(exported, row)] = await archive.database.read(lambda tx: keeping.export(tx, "answers", DANA, after=0, limit=9))
    assert (exported, row["question"], row["forgotten"]) == (key, None, 1)


async def test_the_ledger_adds_up_to_the_same(archive: Archive) -> None:
    await archive.live()
    await archive.live(NOAM)
    before = await archive.sums()
    await archive.erase()
    assert await archive.sums() == before
    await archive.books_are_right()
    archive.later(days=40)
    await archive.sweep()
    assert await archive.sums() == before
    await archive.books_are_right()


async def test_erasing_gives_no_fresh_allowance(archive: Archive) -> None:
    await archive.charge(9_950)
    before = await archive.standing()
    progress = await archive.erase()
    assert await archive.standing() == before
    with pytest.raises(CreditsRefused):
        await archive.hold(51)
    [kept] = progress.kept
    assert kept.until is not None
    assert kept.until.isoformat() == "2026-12-01T01:00:00+00:00", "the month's end, and an hour for what is late"


async def test_what_counts_toward_no_running_period_goes_at_once(archive: Archive) -> None:
    await archive.charge(300)
    archive.later(days=30)
    await archive.charge(40)
    await archive.erase()
    rows = await archive.rows("SELECT from_allowance_nano FROM entries WHERE user_id = ?", DANA)
    assert [row[0] for row in rows] == [40]
    await archive.books_are_right()


async def test_granted_credits_can_be_spent_until_the_period_is_over_and_then_lapse(archive: Archive) -> None:
    await archive.grant(500)
    [kept] = (await archive.erase()).kept
    assert kept.grants_nano == 500
    assert (await archive.standing()).grants_left_nano == 500
    archive.later(days=40)
    await archive.sweep()
    assert (await archive.standing()).grants_left_nano == 0
    await archive.books_are_right()


async def test_grants_that_are_spent_after_the_wish_keep_every_balance_above_zero(archive: Archive) -> None:
    await archive.allow(BLOCKED)
    await archive.allow(Allowance.of(NanoDollars(1), "month"), Target.member(DANA))
    await archive.grant(500)
    await archive.erase()
    archive.later(days=2)
    await archive.charge(101)
    archive.later(days=14)
    held = await archive.hold(51)
    await archive.sweep()
    await archive.books_are_right()
    await archive.ledger.end(held, "stopped", at=archive.at)
    archive.later(days=40)
    await archive.sweep()
    await archive.books_are_right()
    assert await archive.rows("SELECT 1 FROM erasures") == []


async def only_grants_pay(archive: Archive) -> None:
    """But for one nano-dollar in a month."""
    await archive.allow(Allowance.of(NanoDollars(1), "month"), Target.member(DANA))


async def own_entries(archive: Archive) -> list[str]:
    """The kinds of the entries that are still the person's, the oldest first."""
    rows = await archive.rows("SELECT entry_kind FROM entries WHERE user_id = ? ORDER BY entry_id", DANA)
    return [row[0] for row in rows]


async def test_what_was_paid_from_grants_before_and_after_the_wish_is_handed_over_once(archive: Archive) -> None:
    await only_grants_pay(archive)
    await archive.grant(500)
    await archive.charge(201)
    await archive.erase()
    archive.later(days=2)
    await archive.charge(101)
    archive.later(days=40)
    await archive.sweep()
    await archive.books_are_right()
    assert await own_entries(archive) == []
    assert (await archive.standing()).grants_left_nano == 0


async def test_what_later_grants_paid_stays_and_gives_none_of_them_back(archive: Archive) -> None:
    await only_grants_pay(archive)
    await archive.grant(500)
    await archive.erase()
    archive.later(days=2)
    await archive.grant(100)
    await archive.charge(101)
    archive.later(days=40)
    await archive.sweep()
    await archive.books_are_right()
    assert await own_entries(archive) == ["grant", "charge"]
    assert (await archive.standing()).grants_left_nano == 0


async def test_grants_that_are_spent_to_the_last_go_like_any_others(archive: Archive) -> None:
    await only_grants_pay(archive)
    await archive.grant(200)
    await archive.charge(201)
    await archive.erase()
    archive.later(days=40)
    await archive.sweep()
    await archive.books_are_right()
    assert await own_entries(archive) == []


async def test_the_first_instant_of_a_period_belongs_to_it(archive: Archive) -> None:
    archive.at = datetime(2026, 11, 1, tzinfo=UTC)
    await archive.charge(40)
    archive.at = START
    await archive.erase()
    assert await own_entries(archive) == ["charge"]


async def test_grants_of_the_first_instant_of_a_period_belong_to_it(archive: Archive) -> None:
    archive.at = datetime(2026, 11, 1, tzinfo=UTC)
    await only_grants_pay(archive)
    await archive.grant(100)
    await archive.charge(101)
    archive.at = START
    before = await archive.standing()
    await archive.erase()
    assert await archive.standing() == before
    assert await own_entries(archive) == ["grant", "charge"]


async def test_a_later_charge_of_the_first_instant_of_a_period_keeps_its_grants_until_that_is_over(
    archive: Archive,
) -> None:
    archive.at = datetime(2026, 10, 20, tzinfo=UTC)
    await only_grants_pay(archive)
    await archive.grant(500)
    await archive.erase()
    archive.at = datetime(2026, 11, 1, tzinfo=UTC)
    await archive.charge(101)
    archive.at = START
    await archive.sweep()
    assert await own_entries(archive) == ["grant", "charge"]
    assert (await archive.standing()).left_nano == 0, "the month's one nano-dollar is spent"
    archive.later(days=40)
    await archive.sweep()
    assert await own_entries(archive) == []


async def test_an_allowance_given_once_stays_spent(archive: Archive) -> None:
    archive.operator = OperatorLimits(member=ONE_CREDIT_ONCE, direct=A_MONTH)
    archive.build()
    await archive.charge(990)
    [kept] = (await archive.erase()).kept
    assert kept.until is None
    archive.later(days=400)
    await archive.sweep()
    with pytest.raises(CreditsRefused):
        await archive.hold(11)
    archive.operator = OperatorLimits(member=A_MONTH, direct=A_MONTH)
    archive.build()
    await archive.sweep()
    assert await archive.mentions(DANA) == []


@pytest.mark.parametrize("target", [SERVER_DEFAULT, Target.role(33), Target.member(DANA)])
async def test_an_allowance_that_a_server_gave_once_stays_spent(archive: Archive, target: Target) -> None:
    """Whose roles are whose is not known here: a role's allowance could be anybody's."""
    await archive.allow(ONE_CREDIT_ONCE, target)
    await archive.charge(990)
    [kept] = (await archive.erase()).kept
    assert kept.until is None
    archive.later(days=400)
    await archive.sweep()
    rows = await archive.rows("SELECT from_allowance_nano FROM entries WHERE user_id = ?", DANA)
    assert [row[0] for row in rows] == [990]


async def test_what_a_server_gave_another_once_keeps_nothing_of_anybody_else(archive: Archive) -> None:
    await archive.allow(ONE_CREDIT_ONCE, Target.member(NOAM))
    await archive.charge(990)
    await archive.erase()
    archive.later(days=40)
    await archive.sweep()
    assert await archive.mentions(DANA) == []


async def test_a_block_does_not_end_by_the_blocked_ones_wish(archive: Archive) -> None:
    await archive.allow(BLOCKED, Target.member(DANA))
    await archive.erase()
    archive.later(days=40)
    await archive.sweep()
    with pytest.raises(MemberBlocked):
        await archive.hold(1)
    assert await archive.mentions(DANA) == ["allowances.target_id"]


async def test_an_admin_who_is_erased_leaves_the_decisions_without_a_name(archive: Archive) -> None:
    await archive.live(RUTH)
    await archive.erase(RUTH)
    archive.later(days=40)
    await archive.sweep()
    assert await archive.mentions(RUTH) == []
    assert {logged.decision.by for logged in await archive.guilds.log(SERVER)} == {0}
    assert (await archive.guilds.settings(SERVER)).images is False
    await archive.books_are_right()


async def test_what_comes_after_the_wish_is_kept(archive: Archive) -> None:
    await archive.live()
    await archive.erase()
    archive.later(minutes=1)
    await archive.live()
    archive.later(days=40)
    await archive.sweep()
    assert await archive.counts("turns", "answers", "picture_orders") == [2, 2, 1]
    assert (await archive.standing()).grants_left_nano == 500
    await archive.books_are_right()


async def test_an_open_request_ends_first_and_goes_then(archive: Archive) -> None:
    held = await archive.hold(100)
    question = Question(
        id=held, asker=Asker(id=DANA, name="Dana"), place=Place(channel_id=CHANNEL, guild_id=SERVER), prompt=MARKER
    )
    await archive.answer(question, "running")
    order = await archive.order(ended=False)
    progress = await archive.erase()
    assert progress.open_requests == 2
    assert progress.soon
    assert await archive.counts("answers", "picture_orders") == [1, 1]
    await archive.ledger.end(held, "stopped", at=archive.at)
    await archive.answer(question)
    ending = Ending(state="failed", reason="stopped")
    await archive.database.write(lambda tx: orders.end(tx, order, ending, at=archive.at))
    archive.later(days=40)
    await archive.sweep()
    assert await archive.mentions(DANA, MARKER) == []


async def test_an_end_that_was_not_told_yet_is_told_first(archive: Archive) -> None:
    await archive.order(untold="It was cancelled.")
    assert (await archive.erase()).soon
    assert await archive.counts("picture_orders") == [1]
    archive.later(days=2)
    await archive.sweep()
    assert await archive.counts("picture_orders", "pictures") == [0, 0]


async def test_an_answer_that_no_process_is_giving_any_more_goes(archive: Archive) -> None:
    asker = Asker(id=DANA, name=MARKER)
    question = Question(
        id=archive.new_id(), asker=asker, place=Place(channel_id=CHANNEL, guild_id=SERVER), prompt=MARKER
    )
    await archive.answer(question, "running")
    archive.later(days=2)
    await archive.erase()
    assert await archive.counts("answers") == [0]


async def test_a_second_wish_is_harmless(archive: Archive) -> None:
    await archive.live()
    before = await archive.sums()
    first = await archive.erase()
    assert await archive.erase() == first
    archive.later(days=40)
    await archive.erase()
    archive.later(days=40)
    await archive.sweep()
    assert await archive.sums() == before
    assert await archive.mentions(DANA) == []


async def test_an_earlier_wish_that_comes_late_takes_nothing_back(archive: Archive) -> None:
    early = archive.new_id()
    archive.later(minutes=1)
    wish = await archive.eraser.ask(DANA, erasure_id=archive.new_id())
    assert await archive.eraser.ask(DANA, erasure_id=early) == wish


@pytest.mark.parametrize("killed_after", range(1, 12))
async def test_who_is_killed_between_two_batches_goes_on_at_the_start(
    tmp_path: Path, killed_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends with the batch that is named: what it wrote is there, what it had in mind is not."""
    async with open_archive(tmp_path) as archive:
        for _ in range(2 * BATCH):
            await archive.turn()
        await archive.live()
        before = await archive.sums()
        archive.later(days=40)
        monkeypatch.setattr(Database, "write", dying(Database.write, killed_after))
        with pytest.raises(Killed):
            await archive.erase()
        monkeypatch.undo()
    async with open_archive(tmp_path) as anew:
        anew.at = archive.at + timedelta(days=40)
        await anew.books_are_right()
        await anew.sweep()
        assert await anew.mentions(DANA, MARKER) == []
        assert await anew.sums() == before
        await anew.books_are_right()


class Killed(BaseException):
    """Stands for the end of the process."""


def dying(write, left: int):  # type: ignore[no-untyped-def]  # wraps a generic method
    async def write_or_die(self, operation, **more):  # type: ignore[no-untyped-def]
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        return await write(self, operation, **more)

    return write_or_die


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["charge", "grant", "hold", "end", "erase", "sweep"]), st.integers(0, 40)),
        min_size=3,
        max_size=25,
    )
)
async def test_whatever_happens_the_books_are_right_and_in_the_end_nobody_is_in_them(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    async with open_archive(tmp_path_factory.mktemp("books")) as archive:
        open_holds: list[int] = []
        charged = granted = 0
        for what, number in steps:
            archive.later(hours=number * 12)
            if what == "charge" and await room(archive, 200 * number + 1):
                await archive.charge(200 * number + 1)
                charged += 200 * number + 1
            elif what == "grant":
                await archive.grant(1_000 * number + 1)
                granted += 1_000 * number + 1
            elif what == "hold" and await room(archive, 300 * number):
                open_holds.append(await archive.hold(300 * number))
            elif what == "end" and open_holds:
                await archive.ledger.end(open_holds.pop(), "stopped", at=archive.at)
            elif what == "erase":
                before = await archive.standing()
                await archive.erase()
                assert (await archive.standing()).room_nano == before.room_nano
            else:
                await archive.sweep()
            await archive.books_are_right()
        for key in open_holds:
            await archive.ledger.end(key, "stopped", at=archive.at)
        archive.later(days=1)
        await archive.erase()
        archive.later(days=40)
        await archive.sweep()
        await archive.books_are_right()
        assert await archive.mentions(DANA) == []
        [row] = await archive.rows("SELECT SUM(from_allowance_nano + from_grant_nano), SUM(granted_nano) FROM entries")
        assert (row[0] or 0, row[1] or 0) == (charged, granted)


async def room(archive: Archive, cost: int) -> bool:
    left = (await archive.standing()).room_nano
    return left is not None and left >= cost


@pytest.mark.parametrize("table", ["entries", "turns", "answers", "picture_orders", "drafts"])
async def test_no_statement_walks_through_everybodys_rows(
    archive: Archive, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server's members must not wait because one of them is erased: only indexes by person are used."""
    seen: list[str] = []
    fetch, execute = _SqliteTx.fetch_all, _SqliteTx.execute

    async def explain(tx: _SqliteTx, sql: str, params: Sequence[Value]) -> None:
        if sql.startswith(("SELECT", "DELETE", "UPDATE")) and table in sql:
            plan = await fetch(tx, f"EXPLAIN QUERY PLAN {sql}", params)
            seen.extend(row["detail"] for row in plan if f" {table}" in row["detail"])

    async def explained_fetch(self: _SqliteTx, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        await explain(self, sql, params)
        return await fetch(self, sql, params)

    async def explained_execute(self: _SqliteTx, sql: str, params: Sequence[Value] = ()) -> int:
        await explain(self, sql, params)
        return await execute(self, sql, params)

    await archive.live()
    monkeypatch.setattr(_SqliteTx, "fetch_all", explained_fetch)
    monkeypatch.setattr(_SqliteTx, "execute", explained_execute)
    await archive.erase()
    assert seen
    assert [detail for detail in seen if "SCAN" in detail or "in_order" in detail or "by_scope" in detail] == []
