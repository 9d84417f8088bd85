"""What `/usage` is told, against ledgers small enough to add up by hand."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bot.credits import reports as reports_module
from bot.credits.policy import DIRECT_SCOPE, UNLIMITED
from bot.credits.reports import DaySpent, MemberSpent, ModelSpent, Span, Trend, exhausted_at
from bot.money import NanoDollars
from tests.credits.books import ANN, BEN, NOW, SERVER, Books, consumed, request

JERUSALEM = ZoneInfo("Asia/Jerusalem")


@pytest.fixture
async def busy(books: Books) -> Books:
    """Ann asks thrice and has one picture fail, Ben asks once, somebody asks in direct messages; Ann has a grant."""
    await books.allow(UNLIMITED)
    night = datetime(2026, 12, 30, 22, 30, tzinfo=UTC)  # the 31st in Jerusalem
    asked = [
        (1, {"at": night}, "finished", 10),
        (2, {"model": "gpt-4o"}, "stopped", 40),
        (3, {"at": NOW - timedelta(days=8)}, "finished", 7),
        (4, {"kind": "image", "model": "realism", "fixed_nano": NanoDollars(50)}, "failed", 50),
        (5, {"user_id": BEN}, "finished", 90),
        (6, {"scope_id": DIRECT_SCOPE}, "finished", 5),
    ]
    for key, changes, reason, nano in asked:
        await books.ledger.hold(request(key, **{"cost": 100} | changes))
        used = consumed(nano, estimated=key == 2, prompt_tokens=3, completion_tokens=4)
        await books.ledger.end(key, reason, used, at=NOW)
    await books.grant(500)
    return books


async def test_days_are_the_calendars_of_the_zone_and_stack_by_model(busy: Books):
    found = await busy.reports.by_day_and_model(SERVER, ANN, date(2026, 12, 30), date(2026, 12, 31), JERUSALEM)
    assert found == (
        DaySpent(day=date(2026, 12, 31), model="gpt-4o", user_nano=NanoDollars(40)),
        DaySpent(day=date(2026, 12, 31), model="gpt-4o-mini", user_nano=NanoDollars(10)),
    )
    in_utc = await busy.reports.by_day_and_model(SERVER, None, date(2026, 12, 30), date(2026, 12, 31), ZoneInfo("UTC"))
    assert [(one.day.day, one.model, one.user_nano) for one in in_utc] == [
        (30, "gpt-4o-mini", 10),
        (31, "gpt-4o", 40),
        (31, "gpt-4o-mini", 90),
    ]


async def test_a_year_of_days_is_one_question_and_more_is_refused(busy: Books):
    last = date(2026, 12, 31)
    year = await busy.reports.by_day_and_model(SERVER, ANN, last - timedelta(days=399), last, JERUSALEM)
    assert sum(one.user_nano for one in year) == 57
    for first in (last - timedelta(days=400), last + timedelta(days=1)):
        with pytest.raises(ValueError):
            await busy.reports.by_day_and_model(SERVER, ANN, first, last, JERUSALEM)


async def test_models_are_summed_with_the_operators_loss(busy: Books):
    mini, large, picture = sorted(
        await busy.reports.by_kind_and_model(SERVER, ANN), key=lambda one: (one.kind, one.model != "gpt-4o-mini")
    )
    assert mini == ModelSpent(
        kind="chat",
        model="gpt-4o-mini",
        requests=2,
        estimated=0,
        user_nano=NanoDollars(17),
        provider_nano=NanoDollars(17),
        prompt_tokens=6,
        completion_tokens=8,
        images=0,
    )
    assert (large.estimated, large.user_nano, large.loss_nano) == (1, 40, 0)
    assert (picture.user_nano, picture.provider_nano, picture.loss_nano) == (0, 50, 50)


async def test_a_span_takes_its_start_and_leaves_its_end(busy: Books):
    assert await busy.reports.spent(SERVER, None, Span(start=NOW)) == 130
    assert await busy.reports.spent(SERVER, None, Span(end=NOW)) == 17
    assert await busy.reports.spent(SERVER, None) == 147
    assert await busy.reports.spent(DIRECT_SCOPE, ANN) == 5


async def test_the_last_charges_come_newest_first_with_their_reasons(busy: Books):
    found = await busy.reports.recent(SERVER, ANN, 4)
    assert [(entry.key > 100, entry.reason) for entry in found] == [
        (True, "because"),
        (False, "failed"),
        (False, "stopped"),
        (False, "finished"),
    ]
    assert found[0].granted_nano == 500


async def test_top_members_are_those_who_paid_most(busy: Books):
    assert await busy.reports.top_members(SERVER) == (
        MemberSpent(user_id=BEN, requests=1, user_nano=NanoDollars(90)),
        MemberSpent(user_id=ANN, requests=4, user_nano=NanoDollars(57)),
    )
    assert await busy.reports.top_members(SERVER, Span(end=NOW - timedelta(days=3)), limit=1) == (
        MemberSpent(user_id=ANN, requests=1, user_nano=NanoDollars(7)),
    )


async def test_a_trend_compares_two_spans_of_one_length(busy: Books):
    later = NOW + timedelta(seconds=1)
    trend = await busy.reports.trend(SERVER, None, days_back=7, at=later)
    assert trend == Trend(days=7, before_nano=NanoDollars(7), now_nano=NanoDollars(140))
    assert trend.per_day_nano == 20


async def test_the_operators_month_counts_holds_and_losses(busy: Books):
    await busy.ledger.hold(request(50, 80))
    month = await busy.reports.month(SERVER, at=NOW)
    assert (month.month, month.provider_nano, month.held_nano) == (202612, 197, 80)
    assert month.resets_at == datetime(2027, 1, 1, tzinfo=UTC)
    assert (await busy.reports.month(None, at=NOW)).provider_nano == 202
    assert (await busy.reports.month(SERVER, at=NOW + timedelta(days=1))).provider_nano == 0


async def test_entries_are_read_page_by_page(busy: Books, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reports_module, "EXPORT_PAGE", 2)
    assert [entry.key async for entry in busy.reports.entries()][:6] == [1, 2, 3, 4, 5, 6]
    assert [entry.key async for entry in busy.reports.entries(SERVER, Span(start=NOW))][:3] == [2, 4, 5]


@pytest.mark.parametrize(
    ("left", "per_day", "ends_in_days", "expected_days"),
    [
        (100, 50, None, 2),
        (100, 50, 3, 2),
        (100, 50, 2, None),
        (0, 5, 1, 0),
        (100, 0, None, None),
        (10**15, 1, None, None),
    ],
)
def test_exhaustion_is_projected_from_the_pace(
    left: int, per_day: int, ends_in_days: int | None, expected_days: int | None
):
    found = exhausted_at(
        NanoDollars(left),
        NanoDollars(per_day),
        now=NOW,
        ends_at=None if ends_in_days is None else NOW + timedelta(days=ends_in_days),
    )
    assert found == (None if expected_days is None else NOW + timedelta(days=expected_days))
