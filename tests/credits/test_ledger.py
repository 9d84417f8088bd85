"""Rules of the ledger, by example, over a real database."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.credits import allowances as allowances_module
from bot.credits import ledger as ledger_module
from bot.credits.allowances import AllowanceChange, SetAllowance
from bot.credits.ledger import end, month_of, next_month
from bot.credits.policy import BLOCKED, DIRECT_SCOPE, PERIODS, UNLIMITED, InForce, Period
from bot.credits.values import Entry, Granted, HoldRequest, Standing, from_us, to_us
from bot.errors import AmountWrong, CeilingReached, CreditsRefused, MemberBlocked, NothingToRemove, RequestEnded
from bot.guilds import SERVER_DEFAULT, Target
from bot.money import AMOUNT_LIMIT, NO_MONEY, NanoDollars
from bot.storage.database import Database, Tx
from bot.storage.errors import StorageBusy, StorageFailed
from tests.credits.books import ANN, BEN, NOW, SERVER, Books, a_day, consumed, limits, request
from tests.storage import gate as storage
from tests.storage.disks import fold_journal, no_file_grows_beyond


async def refusal(books: Books, wanted: HoldRequest) -> CreditsRefused:
    with pytest.raises(CreditsRefused) as raised:
        await books.ledger.hold(wanted)
    return raised.value


async def test_a_hold_sets_the_worst_case_apart_and_its_end_takes_what_was_used(books: Books):
    hold = await books.ledger.hold(request(1, 300))
    assert hold.amount_nano == 300
    assert await books.left() == (700, 0)
    ended = await books.ledger.end(1, "finished", consumed(120, prompt_tokens=4, completion_tokens=5), at=NOW)
    assert (ended.first, ended.entry.user_nano, ended.entry.provider_nano, ended.entry.held_nano) == (
        True,
        120,
        120,
        300,
    )
    assert (ended.entry.prompt_tokens, ended.entry.completion_tokens, ended.entry.reason) == (4, 5, "finished")
    assert await books.left() == (880, 0)
    assert hold.used_percent_after(ended.entry.user_nano) == 12
    assert not (await books.checked()).differences


@pytest.mark.parametrize(("unit", "units"), [(7, 128), (1, 900)])
async def test_an_answer_is_shortened_to_what_can_be_paid(books: Books, unit: int, units: int):
    hold = await books.ledger.hold(request(1, 100, unit_nano=unit, units_wanted=1_000, units_minimum=10))
    assert hold.units == units
    assert hold.amount_nano == 100 + units * unit
    assert hold.amount_nano <= 1_000


async def test_what_costs_nothing_for_each_token_is_not_shortened(books: Books):
    assert (await books.ledger.hold(request(1, 1_000, units_wanted=5_000, units_minimum=10))).units == 5_000


async def test_an_answer_that_fits_is_not_shortened(books: Books):
    hold = await books.ledger.hold(request(1, 100, unit_nano=9, units_wanted=100, units_minimum=10))
    assert (hold.units, hold.amount_nano) == (100, 1_000)


async def test_below_the_useful_minimum_the_refusal_says_cost_rest_reset_and_rule(books: Books):
    await books.ledger.hold(request(1, 800))
    refused = await refusal(books, request(2, 100, unit_nano=7, units_wanted=1_000, units_minimum=15))
    assert (refused.cost_nano, refused.left_nano) == (205, 200)
    assert refused.resets_at == datetime(2027, 1, 1, tzinfo=UTC)
    assert (refused.source, refused.role_id, refused.scope_id) == ("operator", None, SERVER)
    assert await books.left() == (200, 0)


async def test_what_costs_exactly_the_rest_is_served_and_one_nano_dollar_more_is_not(books: Books):
    assert (await refusal(books, request(1, 1_001))).left_nano == 1_000
    assert (await books.ledger.hold(request(2, 1_000))).amount_nano == 1_000


async def test_of_200_requests_at_once_against_an_allowance_for_one_exactly_one_is_served(books: Books):
    await books.allow(a_day(199))
    attempts = [books.ledger.hold(request(key, 100)) for key in range(200)]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(not isinstance(result, BaseException) for result in results) == 1
    assert sum(isinstance(result, CreditsRefused) for result in results) == 199
    assert not (await books.checked()).differences


@pytest.mark.parametrize("granted", [0, 500])
async def test_a_hold_tells_of_the_account_with_itself_in_it_and_so_does_the_same_one_again(books: Books, granted: int):
    if granted:
        await books.grant(granted)
    hold = await books.ledger.hold(request(1, 1_000 + granted // 2))
    assert hold.standing == await books.ledger.standing(SERVER, ANN, (), at=NOW)
    assert await books.ledger.hold(request(1, 1_000 + granted // 2)) == hold


async def test_a_hold_is_logged_under_its_request_with_what_is_held_and_not_for_whom(
    books: Books, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO):
        await books.ledger.hold(request(1, 300))
    [line] = [record for record in caplog.records if record.name == ledger_module.__name__]
    facts = {"request_id": 1, "kind": "chat", "model": "gpt-4o-mini", "held_nano": 300}
    usual = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"}
    assert line.getMessage() == "on hold"
    assert {name: value for name, value in vars(line).items() if name not in usual} == facts


async def test_an_entry_is_announced_once_when_it_is_on_disk(tmp_path: Path):
    heard: list[object] = []
    async with Database.open(f"sqlite:///{tmp_path}/other.db", hear=heard.append) as database:
        books = Books(database)
        await books.ledger.hold(request(1, 300))
        assert heard == []
        ended = await books.ledger.end(1, "finished", consumed(120), at=NOW)
        await books.ledger.end(1, "finished", consumed(120), at=NOW)
        assert heard == [ended.entry]


async def test_200_attempts_with_one_key_hold_once(books: Books):
    holds = await asyncio.gather(*(books.ledger.hold(request(1, 100)) for _ in range(200)))
    assert {(hold.key, hold.amount_nano) for hold in holds} == {(1, 100)}
    assert await books.left() == (900, 0)


async def test_a_key_whose_hold_has_ended_is_not_served_again(books: Books):
    await books.ledger.hold(request(1))
    await books.ledger.end(1, "unsent", at=NOW)
    with pytest.raises(RequestEnded):
        await books.ledger.hold(request(1))


async def test_a_hold_ends_once_however_often_it_is_tried(books: Books):
    await books.ledger.hold(request(1, 300))
    tries = [books.ledger.end(1, "finished", consumed(120), at=NOW), books.ledger.end(1, "cut", consumed(5), at=NOW)]
    first, second = await asyncio.gather(*tries)
    assert (first.first, second.first) == (True, False)
    assert second.entry == first.entry
    assert await books.left() == (880, 0)
    assert not (await books.checked()).differences


class Gate(storage.Gate):
    """An operation that keeps what runs in its group from being committed, and what comes after from its turn."""

    def __init__(self, books: Books) -> None:
        super().__init__()
        self.write = asyncio.create_task(books.database.write(self._wait))

    async def _wait(self, _: Tx) -> None:
        self.wait()


async def cancelled(books: Books, work: Coroutine[Any, Any, object], *, started: bool) -> None:
    """Cancels `work` while its write waits for its turn, or has run and waits for its commit."""
    first = Gate(books)
    await first.reached()
    task = asyncio.create_task(work)
    await asyncio.sleep(0)  # it has queued its write
    second = Gate(books)
    await asyncio.sleep(0)
    if started:
        first.open()
        await second.reached()  # in one group, after the work's write
    task.cancel()
    await asyncio.sleep(0)
    first.open()
    second.open()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.gather(first.write, second.write)


@pytest.mark.parametrize("started", [True, False])
async def test_who_is_cancelled_while_holding_leaves_nothing_on_hold(books: Books, started: bool):
    await cancelled(books, books.ledger.hold(request(1, 300)), started=started)
    checked = await books.checked()
    assert (checked.open_holds, checked.entries, checked.differences) == (0, int(started), ())


async def test_who_is_cancelled_while_asking_again_leaves_the_first_ones_hold(books: Books):
    await books.ledger.hold(request(1, 300))
    await cancelled(books, books.ledger.hold(request(1, 300)), started=True)
    assert (await books.checked()).open_holds == 1


@pytest.mark.parametrize("started", [True, False])
async def test_who_is_cancelled_while_settling_has_settled(books: Books, started: bool):
    await books.ledger.hold(request(1, 300))
    await cancelled(books, books.ledger.end(1, "finished", consumed(120), at=NOW), started=started)
    assert await books.left() == (880, 0)


async def refuse_ends(books: Books) -> None:
    """From now on the database does not let a hold go."""
    stuck = "CREATE TRIGGER stuck BEFORE DELETE ON holds BEGIN SELECT RAISE(ABORT, 'stuck'); END"
    await books.database.write(lambda tx: tx.execute(stuck))


async def test_who_is_cancelled_while_holding_hears_of_that_and_not_of_a_database_that_fails(books: Books):
    await refuse_ends(books)
    await cancelled(books, books.ledger.hold(request(1, 300)), started=True)
    assert (await books.checked()).open_holds == 1


async def test_who_is_cancelled_while_holding_on_a_full_disk_hears_of_that_alone(books: Books):
    fold_journal(books.database.path)
    with no_file_grows_beyond(1), pytest.raises(StorageFailed):  # which the gates heard: they shared the transaction
        await cancelled(books, books.ledger.hold(request(1, 300)), started=True)
    checked = await books.checked()
    assert (checked.open_holds, checked.entries) == (0, 0)


async def test_who_is_cancelled_while_settling_hears_of_that_and_not_of_a_database_that_fails(books: Books):
    await books.ledger.hold(request(1, 300))
    await refuse_ends(books)
    await cancelled(books, books.ledger.end(1, "finished", consumed(120), at=NOW), started=False)
    assert (await books.checked()).open_holds == 1


async def test_who_is_cancelled_while_ending_what_was_never_held_hears_of_that_alone(books: Books):
    await cancelled(books, books.ledger.end(1, "finished", consumed(120), at=NOW), started=False)
    assert (await books.checked()).entries == 0


async def test_what_was_never_held_cannot_end(books: Books):
    with pytest.raises(LookupError):
        await books.ledger.end(1, "finished", consumed(5), at=NOW)
    assert (await books.checked()).entries == 0


async def test_an_end_joins_the_callers_transaction_and_is_undone_with_it(books: Books):
    await books.ledger.hold(request(1, 300))

    async def settle_and_fail(tx: Tx) -> None:
        assert (await end(tx, 1, "finished", consumed(120), at=NOW)).first
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await books.database.write(settle_and_fail)
    assert await books.left() == (700, 0)
    assert (await books.ledger.end(1, "finished", consumed(120), at=NOW)).first


async def test_nobody_pays_more_than_was_on_hold_and_the_operator_sees_the_difference(books: Books):
    await books.ledger.hold(request(1, 300))
    entry = (await books.ledger.end(1, "finished", consumed(450), at=NOW)).entry
    assert (entry.user_nano, entry.provider_nano) == (300, 450)
    assert not (await books.checked()).differences


async def test_figures_that_no_database_could_add_up_still_end_the_hold(books: Books):
    await books.ledger.hold(request(1, 300))
    entry = (await books.ledger.end(1, "finished", consumed(10**30, prompt_tokens=10**30), at=NOW)).entry
    assert (entry.user_nano, entry.provider_nano) == (300, AMOUNT_LIMIT)


async def test_grants_pay_after_the_allowance_and_are_settled_after_it(books: Books):
    await books.grant(500)
    hold = await books.ledger.hold(request(1, 1_200))
    assert (hold.from_allowance_nano, hold.from_grant_nano) == (1_000, 200)
    assert await books.left() == (0, 300)
    entry = (await books.ledger.end(1, "finished", consumed(1_050), at=NOW)).entry
    assert (entry.from_allowance_nano, entry.from_grant_nano) == (1_000, 50)
    assert await books.left() == (0, 450)
    assert (await books.checked()).differences == ()


async def test_grants_survive_the_period_and_the_allowance_comes_anew(books: Books):
    await books.grant(500)
    await books.ledger.hold(request(1, 1_200))
    await books.ledger.end(1, "finished", consumed(1_200), at=NOW)
    assert await books.left(at=NOW + timedelta(days=1)) == (1_000, 300)


async def test_what_a_user_paid_is_what_the_allowance_and_the_grants_paid(books: Books):
    await books.grant(500)
    await books.ledger.hold(request(1, 1_200))
    assert (await books.ledger.end(1, "finished", consumed(1_050), at=NOW)).entry.user_nano == 1_050


async def test_what_is_used_is_told_in_whole_per_cent_rounded_down(books: Books):
    hold = await books.ledger.hold(request(1, 300))
    await books.ledger.end(1, "finished", consumed(129), at=NOW)
    standing = await books.ledger.standing(SERVER, ANN, (), at=NOW)
    assert (hold.used_percent_after(NanoDollars(129)), standing.used_percent) == (12, 12)
    assert (await books.ledger.hold(request(2, 661))).standing.used_percent == 79, "no notice before 80"


async def test_within_the_allowance_nothing_is_over_it(books: Books):
    standing = await books.ledger.standing(SERVER, ANN, (), at=NOW)
    assert standing.over_nano == 0
    assert (await books.ledger.hold(request(1, 1_000))).standing.over_nano == 0
    await books.allow(UNLIMITED)
    assert (await books.ledger.standing(SERVER, ANN, (), at=NOW)).over_nano == 0


async def test_a_request_counts_in_the_period_in_which_it_was_asked(books: Books):
    """Held on one day and ended on the next, it burdens neither twice nor the wrong one."""
    await books.ledger.hold(request(1, 800))
    tomorrow = NOW + timedelta(days=1)
    assert await books.left(at=tomorrow) == (1_000, 0)
    await books.ledger.end(1, "finished", consumed(800), at=tomorrow)
    assert await books.left(at=tomorrow) == (1_000, 0)
    assert await books.left() == (200, 0)


async def test_a_change_of_period_or_amount_moves_window_and_limit_and_nothing_else(books: Books):
    await books.ledger.hold(request(1, 600))
    await books.ledger.end(1, "finished", consumed(600), at=NOW)
    tomorrow = NOW + timedelta(days=1)  # New Year, a Friday: another day and month, the same week
    await books.allow(a_day(2_000, "week"))
    assert await books.left(at=tomorrow) == (1_400, 0)
    await books.allow(a_day(2_000, "month"))
    assert await books.left(at=tomorrow) == (2_000, 0)
    await books.allow(a_day(2_000, "once"))
    assert await books.left(at=tomorrow + timedelta(days=5_000)) == (1_400, 0)


async def test_an_allowance_lowered_below_what_is_spent_and_held_leaves_nothing_and_takes_nothing(books: Books):
    await books.ledger.hold(request(1, 600))
    await books.ledger.end(1, "finished", consumed(600), at=NOW)
    await books.ledger.hold(request(2, 300))
    await books.allow(a_day(500))
    standing = await books.ledger.standing(SERVER, ANN, (), at=NOW)
    assert (standing.left_nano, standing.over_nano, standing.room_nano, standing.used_percent) == (0, 400, 0, 180)
    assert (await books.ledger.end(2, "finished", consumed(300), at=NOW)).entry.user_nano == 300
    assert not (await books.checked()).differences


async def test_the_period_runs_in_the_servers_time_zone(books: Books):
    late = datetime(2026, 12, 31, 22, 30, tzinfo=UTC)  # half past midnight in Jerusalem
    await books.ledger.hold(request(1, 1_000, at=late))
    assert (await refusal(books, request(2, 1, at=late))).resets_at == datetime(2027, 1, 1, tzinfo=UTC)
    await books.guilds.change(SERVER, lambda now: replace(now, time_zone="Asia/Jerusalem"), books.decision())
    refused = await refusal(books, request(3, 1, at=late))
    assert refused.resets_at == datetime(2027, 1, 1, 22, tzinfo=UTC)
    assert (await books.left(at=late - timedelta(hours=1)))[0] == 1_000


@pytest.mark.parametrize("period", ["day", "once"])
async def test_what_is_spent_held_and_granted_is_each_members_own_in_each_server(books: Books, period: Period):
    books.ledger = books.as_run("x", member=a_day(1_000, period))
    accounts = [(scope_id, user_id) for scope_id in (SERVER - 1, SERVER, SERVER + 1) for user_id in (ANN, BEN, BEN + 1)]
    for number, (scope_id, user_id) in enumerate(accounts, 1):
        whose: dict[str, Any] = {"scope_id": scope_id, "user_id": user_id}
        await books.ledger.grant(scope_id, user_id, NanoDollars(number), books.decision())
        await books.ledger.hold(request(2 * number, 1_000, **whose))
        await books.ledger.end(2 * number, "finished", consumed(10 * number), at=NOW)
        await books.ledger.hold(request(2 * number + 1, 100 * number, **whose))
    for number, (scope_id, user_id) in enumerate(accounts, 1):
        found = await books.ledger.standing(scope_id, user_id, (), at=NOW)
        assert (found.spent_nano, found.held_nano, found.grant_nano) == (10 * number, 100 * number, number)


@pytest.mark.parametrize("period", ["day", "once"])
async def test_grants_on_hold_are_each_members_own_in_each_server(books: Books, period: Period):
    books.ledger = books.as_run("x", member=a_day(1, period))
    accounts = [(scope_id, user_id) for scope_id in (SERVER - 1, SERVER, SERVER + 1) for user_id in (ANN, BEN, BEN + 1)]
    for number, (scope_id, user_id) in enumerate(accounts, 1):
        await books.ledger.grant(scope_id, user_id, NanoDollars(50), books.decision())
        await books.ledger.hold(request(number, 1 + number, scope_id=scope_id, user_id=user_id))
    for number, (scope_id, user_id) in enumerate(accounts, 1):
        assert (await books.ledger.standing(scope_id, user_id, (), at=NOW)).held_grant_nano == number


async def test_who_never_asked_here_has_spent_and_holds_nothing(books: Books):
    elsewhere = [
        (scope_id, user_id) for scope_id in (SERVER - 1, SERVER, SERVER + 1) for user_id in (ANN, BEN, BEN + 1)
    ]
    elsewhere.remove((SERVER, BEN))
    for key, (scope_id, user_id) in enumerate(elsewhere, 1):
        await books.ledger.grant(scope_id, user_id, NanoDollars(300), books.decision())
        await books.ledger.hold(request(2 * key, 50, scope_id=scope_id, user_id=user_id))
        await books.ledger.end(2 * key, "finished", consumed(50), at=NOW)
        await books.ledger.hold(request(2 * key + 1, 1_100, scope_id=scope_id, user_id=user_id))
    for period in PERIODS:
        await books.allow(a_day(1_000, period))
        assert await books.left(BEN) == (1_000, 0)


async def test_a_standing_says_whose_it_is_by_which_rule_and_when_its_period_runs(books: Books):
    await books.allow(a_day(900, "week"), Target.role(33))
    await books.guilds.change(SERVER, lambda now: replace(now, time_zone="Asia/Jerusalem"), books.decision())
    common: dict[str, Any] = dict.fromkeys(("spent_nano", "held_nano", "grant_nano", "held_grant_nano"), NO_MONEY)
    assert await books.ledger.standing(SERVER, ANN, {33}, at=NOW) == Standing(
        scope_id=SERVER,
        user_id=ANN,
        in_force=InForce(allowance=a_day(900, "week"), source="role", role_id=33),
        time_zone="Asia/Jerusalem",
        starts_at=datetime(2026, 12, 27, 22, tzinfo=UTC),
        ends_at=datetime(2027, 1, 3, 22, tzinfo=UTC),
        **common,
    )
    assert await books.ledger.standing(DIRECT_SCOPE, BEN, (), at=NOW) == Standing(
        scope_id=DIRECT_SCOPE,
        user_id=BEN,
        in_force=InForce(allowance=a_day(1_000), source="operator"),
        time_zone="UTC",
        starts_at=datetime(2026, 12, 31, tzinfo=UTC),
        ends_at=datetime(2027, 1, 1, tzinfo=UTC),
        **common,
    )


async def test_a_period_has_its_first_instant_and_not_the_next_ones(books: Books):
    midnight = datetime(2026, 12, 31, tzinfo=UTC)
    for key, at in enumerate([midnight, midnight + timedelta(days=1)], 1):
        await books.ledger.hold(request(2 * key, 300, at=at))
        await books.ledger.hold(request(2 * key + 1, 80, at=at))
        await books.ledger.end(2 * key, "finished", consumed(20), at=at)
    assert await books.left() == (900, 0)


async def test_who_is_blocked_is_refused_in_spite_of_grants(books: Books):
    await books.grant(500)
    await books.allow(BLOCKED, Target.member(ANN))
    with pytest.raises(MemberBlocked) as raised:
        await books.ledger.hold(request(1, 1))
    assert (raised.value.source, raised.value.scope_id) == ("member", SERVER)
    standing = await books.ledger.standing(SERVER, ANN, (), at=NOW)
    assert (standing.room_nano, standing.left_nano, standing.grants_left_nano) == (0, 0, 500)
    assert standing.used_percent is None
    assert (await books.ledger.hold(request(2, 1, user_id=BEN))).amount_nano == 1


async def test_unlimited_has_no_end_and_is_written_down_all_the_same(books: Books):
    await books.allow(UNLIMITED)
    hold = await books.ledger.hold(request(1, 10**12))
    ended = await books.ledger.end(1, "finished", consumed(10**12), at=NOW)
    assert ended.entry.from_allowance_nano == 10**12
    assert hold.used_percent_after(ended.entry.user_nano) is None
    standing = await books.ledger.standing(SERVER, ANN, (), at=NOW)
    assert (standing.limit_nano, standing.left_nano, standing.room_nano) == (None, None, None)


async def test_a_role_counts_for_those_who_hold_it_only(books: Books):
    await books.allow(a_day(5_000), Target.role(33))
    assert (await books.ledger.hold(request(1, 3_000, role_ids=frozenset({33, 34})))).amount_nano == 3_000
    assert (await refusal(books, request(2, 3_000, user_id=BEN))).source == "operator"


async def test_a_refusal_names_the_role_whose_allowance_refused(books: Books):
    await books.allow(a_day(5), Target.role(33))
    refused = await refusal(books, request(1, 6, role_ids=frozenset({33})))
    assert (refused.source, refused.role_id) == ("role", 33)
    await books.allow(BLOCKED, Target.role(33))
    with pytest.raises(MemberBlocked) as raised:
        await books.ledger.hold(request(2, 1, role_ids=frozenset({33})))
    assert (raised.value.source, raised.value.role_id) == ("role", 33)


async def test_direct_messages_have_an_allowance_of_their_own(books: Books):
    books.ledger = books.as_run("x", direct=a_day(50))
    refused = await refusal(books, request(1, 51, scope_id=DIRECT_SCOPE))
    assert (refused.left_nano, refused.scope_id) == (50, DIRECT_SCOPE)
    await books.ledger.hold(request(2, 50, scope_id=DIRECT_SCOPE))
    assert await books.left() == (1_000, 0)


async def test_a_ceiling_shortens_then_refuses_until_the_next_month(books: Books):
    books.ledger = books.as_run("x", server_ceiling_nano=NanoDollars(1_000), member=UNLIMITED)
    hold = await books.ledger.hold(request(1, 400, unit_nano=10, units_wanted=90, units_minimum=10))
    assert hold.units == 60
    with pytest.raises(CeilingReached) as raised:
        await books.ledger.hold(request(2, 1))
    assert (raised.value.scope, raised.value.resets_at) == ("server", datetime(2027, 1, 1, tzinfo=UTC))
    assert (await books.ledger.hold(request(3, 1_000, at=NOW + timedelta(days=1)))).amount_nano == 1_000


async def test_one_servers_ceiling_is_not_anothers_nor_that_of_direct_messages(books: Books):
    books.ledger = books.as_run("x", server_ceiling_nano=NanoDollars(1_000), member=UNLIMITED, direct=UNLIMITED)
    await books.ledger.hold(request(1, 1_000))
    for key, scope_id in ((2, SERVER + 1), (3, DIRECT_SCOPE)):
        assert (await books.ledger.hold(request(key, 1_000, scope_id=scope_id))).amount_nano == 1_000
    assert (await books.ledger.hold(request(4, 1_000, scope_id=DIRECT_SCOPE))).amount_nano == 1_000
    with pytest.raises(CeilingReached):
        await books.ledger.hold(request(5, 1, scope_id=SERVER + 1))


async def test_the_bots_ceiling_counts_everything(books: Books):
    books.ledger = books.as_run("x", bot_ceiling_nano=NanoDollars(1_000), member=UNLIMITED, direct=UNLIMITED)
    await books.ledger.hold(request(1, 500))
    await books.ledger.hold(request(2, 400, scope_id=DIRECT_SCOPE))
    with pytest.raises(CeilingReached) as raised:
        await books.ledger.hold(request(3, 101, scope_id=SERVER + 1))
    assert raised.value.scope == "bot"


async def test_a_ceiling_counts_what_the_operator_paid_and_not_what_users_did(books: Books):
    books.ledger = books.as_run("x", server_ceiling_nano=NanoDollars(1_000), member=UNLIMITED)
    await books.ledger.hold(request(1, 900))
    await books.ledger.end(1, "cut", consumed(700), at=NOW)
    with pytest.raises(CeilingReached):
        await books.ledger.hold(request(2, 301))
    assert (await books.ledger.hold(request(3, 300))).amount_nano == 300


async def test_the_operator_hears_once_at_80_and_once_at_100_per_cent(books: Books):
    books.ledger = books.as_run("x", bot_ceiling_nano=NanoDollars(1_000), member=UNLIMITED)
    heard = []
    for key, cost in enumerate([700, 99, 1, 50, 149, 200, 300]):
        before = len(books.notices)
        await asyncio.gather(books.ledger.hold(request(key, cost)), return_exceptions=True)
        heard += [(key, notice.percent) for notice in books.notices[before:]]
    assert heard == [(2, 80), (5, 100)]
    assert {notice.scope for notice in books.notices} == {"bot"}


async def test_a_month_begins_with_new_notices(books: Books):
    books.ledger = books.as_run("x", server_ceiling_nano=NanoDollars(1_000), member=UNLIMITED)
    for key, at in enumerate([NOW, NOW + timedelta(days=1)]):
        await books.ledger.hold(request(key, 1_000, at=at))
    assert [(notice.month, notice.percent, notice.scope_id) for notice in books.notices] == [
        (202612, 100, SERVER),
        (202701, 100, SERVER),
    ]


@pytest.mark.parametrize(
    ("bot", "server", "told"),
    [
        (10_000, 1_000, {"server": 1_000}),
        (1_000, 10_000, {"bot": 1_000}),
        (1_100, 1_000, {"bot": 1_100, "server": 1_000}),
    ],
)
async def test_of_each_ceiling_the_operator_hears_by_itself_and_when_it_ends(
    books: Books, bot: int, server: int, told: dict[str, int]
):
    ceilings = {"bot_ceiling_nano": NanoDollars(bot), "server_ceiling_nano": NanoDollars(server)}
    books.ledger = books.as_run("x", member=UNLIMITED, **ceilings)
    await books.ledger.hold(request(1, 900))
    assert {notice.scope: notice.ceiling_nano for notice in books.notices} == told
    assert {notice.percent for notice in books.notices} == {80}
    assert {notice.resets_at for notice in books.notices} == {datetime(2027, 1, 1, tzinfo=UTC)}


@pytest.fixture
def machine_in_apia(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Thirteen hours ahead of UTC."""
    monkeypatch.setenv("TZ", "Pacific/Apia")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("machine_in_apia")
def test_a_month_is_utcs_whatever_the_zone_of_the_machine_or_of_the_time():
    assert month_of(datetime(2026, 12, 31, 23, 59, tzinfo=UTC)) == 202612
    assert month_of(datetime.fromisoformat("2027-01-01T01:00+02:00")) == 202612
    assert next_month(datetime(2026, 12, 31, 23, 59, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("then", "cost", "percent"), [(2_000, 600, 80), (500, 1, 100)])
async def test_of_a_ceiling_that_is_changed_within_the_month_the_operator_hears_anew(
    books: Books, then: int, cost: int, percent: int
):
    books.ledger = books.as_run("x", bot_ceiling_nano=NanoDollars(1_000), member=UNLIMITED)
    await books.ledger.hold(request(1, 1_000))
    books.ledger = books.as_run("x", bot_ceiling_nano=NanoDollars(then), member=UNLIMITED)
    for key in (2, 3):
        with contextlib.suppress(CeilingReached):
            await books.ledger.hold(request(key, cost))
        cost = 1
    assert [(notice.ceiling_nano, notice.percent) for notice in books.notices] == [(1_000, 100), (then, percent)]


async def test_a_ceiling_that_refuses_the_months_first_request_is_noticed_too(books: Books):
    books.ledger = books.as_run("x", bot_ceiling_nano=NanoDollars(100), member=UNLIMITED)
    for key in (1, 2):
        with pytest.raises(CeilingReached):
            await books.ledger.hold(request(key, 101))
    assert [notice.percent for notice in books.notices] == [100]
    assert not (await books.checked()).differences


async def test_a_ceiling_under_which_a_refused_request_would_have_fitted_is_not_noticed(books: Books):
    ceilings = {"bot_ceiling_nano": NanoDollars(1_000), "server_ceiling_nano": NanoDollars(800)}
    books.ledger = books.as_run("x", member=UNLIMITED, **ceilings)
    await books.ledger.hold(request(1, 100, scope_id=SERVER + 1))
    with pytest.raises(CeilingReached):
        await books.ledger.hold(request(2, 900))
    assert [(notice.scope, notice.percent) for notice in books.notices] == [("server", 100)]


async def test_holds_of_dead_processes_end_by_the_crash_rule_and_others_stay(
    books: Books, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ledger_module, "RESOLVE_BATCH", 2)
    dead, alive = books.as_run("dead"), books.as_run("alive")
    for key in range(5):
        await dead.hold(request(key, 100))
    await alive.hold(request(10, 100))
    resolved = await alive.resolve_crashed(at=NOW)
    assert (resolved.count, resolved.provider_nano) == (5, 500)
    assert await books.left() == (900, 0)
    entries = [entry async for entry in books.reports.entries()]
    assert [(entry.reason, entry.user_nano, entry.provider_nano, entry.estimated) for entry in entries] == [
        ("crashed", 0, 100, True)
    ] * 5
    assert (await alive.resolve_crashed(at=NOW)).count == 0
    assert not (await books.checked()).differences


async def test_a_hold_whose_job_goes_on_after_a_restart_is_adopted(books: Books):
    dead, alive = books.as_run("dead"), books.as_run("alive")
    await dead.hold(request(1, 100, kind="image"))
    await dead.hold(request(2, 100, kind="image"))
    await dead.end(2, "finished", consumed(100, images=1), at=NOW)
    assert await alive.adopt([1, 2, 3]) == {1}
    assert (await alive.resolve_crashed(at=NOW)).count == 0
    assert (await alive.end(1, "finished", consumed(100, images=1), at=NOW)).entry.user_nano == 100


async def test_open_holds_are_counted_whichever_run_made_them(books: Books):
    await books.as_run("dead").hold(request(1))
    await books.ledger.hold(request(2))
    await books.ledger.hold(request(3))
    await books.ledger.end(3, "unsent", at=NOW)
    assert await books.ledger.open_holds(timeout_s=5) == 2


async def test_who_counts_open_holds_waits_no_longer_than_was_said(books: Books):
    gate = storage.Gate()

    async def occupy(_: Tx) -> None:
        gate.wait()

    reading = asyncio.create_task(books.database.read(occupy))
    await gate.reached()
    counting = asyncio.create_task(books.ledger.open_holds(timeout_s=0.01))
    await asyncio.wait([counting], timeout=2)
    gate.open()
    await reading
    with pytest.raises(StorageBusy):
        await counting


async def test_a_grant_made_twice_counts_once(books: Books):
    decision = books.decision("for the quiz")
    first = await books.ledger.grant(SERVER, ANN, NanoDollars(500), decision)
    again = await books.ledger.grant(SERVER, ANN, NanoDollars(500), decision)
    assert (first.first, first.before_nano, first.after_nano) == (True, 0, 500)
    assert again == Granted(first=False, before_nano=NanoDollars(500), after_nano=NanoDollars(500))
    assert await books.left() == (1_000, 500)
    [logged] = await books.guilds.log(SERVER)
    assert (logged.action, logged.target, logged.before, logged.after) == ("grant", Target.member(ANN), "0", "500")
    assert logged.decision == decision


async def test_grants_never_add_up_to_more_than_can_be_counted(books: Books):
    await books.grant(AMOUNT_LIMIT)
    with pytest.raises(AmountWrong) as raised:
        await books.grant(1)
    assert (raised.value.problem, raised.value.largest) == ("too large", "0")
    assert await books.left() == (1_000, AMOUNT_LIMIT)


async def test_a_correction_takes_only_what_is_neither_spent_nor_held(books: Books):
    await books.allow(a_day(1))
    await books.grant(500)
    await books.ledger.hold(request(1, 201))
    with pytest.raises(AmountWrong):
        await books.ledger.correct(SERVER, ANN, NanoDollars(301), books.decision())
    corrected = await books.ledger.correct(SERVER, ANN, NanoDollars(300), books.decision("a slip"))
    assert (corrected.before_nano, corrected.after_nano) == (500, 200)
    assert await books.left() == (0, 0)
    assert not (await books.checked()).differences


async def test_a_single_nano_dollar_can_be_given_and_taken_back(books: Books):
    await books.grant(1)
    corrected = await books.ledger.correct(SERVER, ANN, NanoDollars(1), books.decision())
    assert (corrected.before_nano, corrected.after_nano) == (1, 0)
    assert [one.action for one in await books.guilds.log(SERVER)] == ["correction", "grant"]
    assert (await books.checked()).differences == ()


async def test_of_who_never_had_a_grant_nothing_can_be_taken_and_the_refusal_says_what_could(books: Books):
    with pytest.raises(AmountWrong) as raised:
        await books.ledger.correct(SERVER, ANN, NanoDollars(1_000_001), books.decision())
    assert raised.value.text == "1.001", "rounded up, like what something costs"
    assert (raised.value.problem, raised.value.finest, raised.value.largest) == ("too large", "0.000001", "0")


async def test_an_entry_of_a_grant_has_who_gave_what_when_and_why(books: Books):
    decision = books.decision("for the quiz")
    await books.ledger.grant(SERVER, ANN, NanoDollars(500), decision)
    await books.ledger.correct(SERVER, ANN, NanoDollars(40), books.decision("a slip"))
    granted, corrected = [entry async for entry in books.reports.entries()]
    assert granted == Entry(
        key=decision.key,
        entry_kind="grant",
        scope_id=SERVER,
        user_id=ANN,
        asked_at=decision.at,
        written_at=decision.at,
        kind=None,
        model=None,
        reason="for the quiz",
        held_nano=NO_MONEY,
        from_allowance_nano=NO_MONEY,
        from_grant_nano=NO_MONEY,
        granted_nano=NanoDollars(500),
        provider_nano=NO_MONEY,
        estimated=False,
        prompt_tokens=0,
        completion_tokens=0,
        images=0,
        by_id=decision.by,
    )
    assert (corrected.entry_kind, corrected.granted_nano, corrected.reason) == ("correction", -40, "a slip")


@pytest.mark.parametrize("amount", [0, -5])
async def test_a_grant_or_correction_of_nothing_or_less_is_a_mistake_of_ours(books: Books, amount: int):
    with pytest.raises(ValueError):
        await books.grant(amount)
    with pytest.raises(ValueError):
        await books.ledger.correct(SERVER, ANN, NanoDollars(amount), books.decision())


@pytest.mark.parametrize(
    "changes",
    [
        {"fixed_nano": -1},
        {"unit_nano": -1},
        {"units_wanted": 1, "units_minimum": 2},
        {"units_minimum": -1},
        {"fixed_nano": AMOUNT_LIMIT, "unit_nano": 1, "units_wanted": 1},
        {"at": datetime(2026, 1, 1)},  # noqa: DTZ001
    ],
)
def test_a_request_that_makes_no_sense_is_refused_at_birth(changes: dict[str, object]):
    with pytest.raises(ValueError):
        request(1, **changes)


def test_a_request_may_cost_as_much_as_an_allowance_may_be():
    dearest = request(1, 0, fixed_nano=NanoDollars(AMOUNT_LIMIT - 6), unit_nano=NanoDollars(2), units_wanted=3)
    assert dearest.cost(3) == AMOUNT_LIMIT


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_is_kept_to_the_microsecond_in_whatever_year(at: datetime):
    assert from_us(to_us(at)) == at


def test_a_time_without_a_zone_is_not_kept():
    with pytest.raises(ValueError, match="time zone"):
        to_us(NOW.replace(tzinfo=None))


def test_a_time_of_any_zone_is_kept_in_utc():
    kept = from_us(to_us(datetime.fromisoformat("2027-01-01T00:30:00.000001+02:00")))
    assert (kept, kept.tzinfo) == (datetime(2026, 12, 31, 22, 30, 0, 1, tzinfo=UTC), UTC)


async def test_a_rule_is_set_replaced_and_removed_and_each_step_is_logged(books: Books):
    set_ = await books.allowances.set(SERVER, SERVER_DEFAULT, a_day(5), books.decision("start"))
    replaced = await books.allowances.set(SERVER, SERVER_DEFAULT, UNLIMITED, books.decision("party"))
    removed = await books.allowances.remove(SERVER, SERVER_DEFAULT, books.decision("over"))
    assert (set_.before, set_.after) == (None, a_day(5))
    assert (replaced.before, replaced.after) == (a_day(5), UNLIMITED)
    assert (removed.before, removed.after) == (UNLIMITED, None)
    log = await books.guilds.log(SERVER)
    assert [(one.before, one.after, one.decision.reason) for one in log] == [
        ("unlimited", None, "over"),
        ("5/day", "unlimited", "party"),
        (None, "5/day", "start"),
    ]
    assert {(one.scope_id, one.action, one.target) for one in log} == {(SERVER, "allowance", SERVER_DEFAULT)}
    with pytest.raises(NothingToRemove):
        await books.allowances.remove(SERVER, SERVER_DEFAULT, books.decision())


async def test_a_decision_made_twice_is_carried_out_and_logged_once(books: Books):
    decision = books.decision()
    assert (await books.allowances.set(SERVER, SERVER_DEFAULT, a_day(5), decision)).first
    assert not (await books.allowances.set(SERVER, SERVER_DEFAULT, a_day(5), decision)).first
    removal = books.decision()
    assert (await books.allowances.remove(SERVER, SERVER_DEFAULT, removal)).first
    assert not (await books.allowances.remove(SERVER, SERVER_DEFAULT, removal)).first
    assert len(await books.guilds.log(SERVER)) == 2


async def test_a_decision_made_twice_is_answered_with_what_is_set_now(books: Books):
    setting, removal = books.decision(), books.decision()
    await books.allowances.set(SERVER, SERVER_DEFAULT, a_day(5), setting)
    await books.allowances.remove(SERVER, SERVER_DEFAULT, removal)
    await books.allow(a_day(7))
    now = AllowanceChange(first=False, before=a_day(7), after=a_day(7))
    assert await books.allowances.set(SERVER, SERVER_DEFAULT, a_day(5), setting) == now
    assert await books.allowances.remove(SERVER, SERVER_DEFAULT, removal) == now
    assert [one.allowance for one in await books.allowances.page(SERVER, limit=4)] == [a_day(7)]


async def test_rules_and_log_are_read_page_by_page(books: Books):
    targets = [SERVER_DEFAULT, *map(Target.member, (5, 6, 7)), *map(Target.role, (3, 9))]
    for target in reversed(targets):
        await books.allow(a_day(5), target)
    pages, after = [], None
    while page := await books.allowances.page(SERVER, after=after, limit=4):
        pages.append([one.target for one in page])
        after = page[-1].target
    assert pages == [targets[:4], targets[4:]]
    newest = await books.guilds.log(SERVER, limit=4)
    rest = await books.guilds.log(SERVER, before=newest[-1].decision.key, limit=4)
    assert [one.target for one in (*newest, *rest)] == targets
    assert await books.allowances.page(SERVER + 1, limit=4) == ()


async def test_a_rule_is_read_with_who_set_it_and_when(books: Books):
    decision = books.decision()
    await books.allowances.set(SERVER, Target.role(3), a_day(5), decision)
    assert await books.allowances.page(SERVER, limit=4) == (
        SetAllowance(target=Target.role(3), allowance=a_day(5), set_by=decision.by, set_at=decision.at),
    )


async def test_no_page_is_longer_than_the_limit_of_all_pages(books: Books, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(allowances_module, "PAGE_LIMIT", 2)
    for role_id in (1, 2, 3):
        await books.allow(a_day(5), Target.role(role_id))
    assert len(await books.allowances.page(SERVER, limit=4)) == 2


async def test_what_one_server_decides_holds_in_no_other(books: Books):
    await books.allow(BLOCKED)
    assert (await books.ledger.hold(request(1, 5, scope_id=SERVER + 1))).amount_nano == 5


def test_the_tests_limits_are_the_operators():
    assert limits().member == a_day(1_000)


@pytest.mark.parametrize(
    ("sql", "params", "index"),
    [
        (ledger_module._WINDOWED, (SERVER, ANN, 0, 1) * 2, "entries USING COVERING INDEX entries_by_account"),
        (ledger_module._WINDOWED, (SERVER, ANN, 0, 1) * 2, "holds USING INDEX holds_by_account"),
        ("SELECT * FROM holds WHERE request_id = ?", (1,), "holds USING INDEX sqlite_autoindex"),
        (
            "SELECT * FROM entries WHERE scope_id = ? AND entry_id > ? ORDER BY entry_id LIMIT 500",
            (SERVER, 5),
            "entries USING INDEX entries_in_order",
        ),
        (
            "SELECT * FROM entries WHERE scope_id = ? AND user_id = ? ORDER BY asked_at_us DESC, entry_id DESC LIMIT 9",
            (SERVER, ANN),
            "entries USING INDEX entries_by_account",
        ),
    ],
)
async def test_what_is_asked_often_is_found_by_an_index(books: Books, sql: str, params: tuple[int, ...], index: str):
    rows = await books.database.read(lambda tx: tx.fetch_all(f"EXPLAIN QUERY PLAN {sql}", params))
    assert any(index in row["detail"] for row in rows), [row["detail"] for row in rows]
