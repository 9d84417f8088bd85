"""What `/usage` writes, as a function of what the ledger says."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.credits.policy import BLOCKED, UNLIMITED, Allowance, InForce
from bot.credits.reports import DaySpent, MemberSpent, ModelSpent, MonthTotal, Trend
from bot.credits.rules import Reason
from bot.credits.values import Entry, Standing
from bot.money import AMOUNT_LIMIT, CreditUnit, NanoDollars
from cogs.usage_text import (
    CHART_DAYS,
    CONTENT_LIMIT,
    PERIODS,
    REASONS,
    MyUsage,
    Period,
    ServerUsage,
    chart_of,
    messages,
    my_text,
    per_day_of_month,
    plain,
    server_text,
    window,
)

UNIT = CreditUnit(nano=1_000_000)
CREDIT = UNIT.nano
NOW = datetime(2026, 10, 22, 15, 30, tzinfo=UTC)
DAILY = Allowance.of(NanoDollars(100 * CREDIT), "day")

amounts = st.integers(0, AMOUNT_LIMIT).map(NanoDollars)
times = st.integers(0, 4 * 365 * 86_400).map(lambda seconds: NOW + timedelta(seconds=seconds))
zones = st.sampled_from(["UTC", "Asia/Jerusalem", "Pacific/Apia", "America/Santiago"]).map(ZoneInfo)
ids = st.integers(1, 2**63 - 1)

models = st.builds(
    ModelSpent,
    kind=st.sampled_from(["chat", "image"]),
    model=st.text("abc-4", min_size=1, max_size=60),
    requests=st.integers(1, 10**9),
    estimated=st.integers(0, 3),
    user_nano=amounts,
    provider_nano=amounts,
    prompt_tokens=st.integers(0, 10**12),
    completion_tokens=st.integers(0, 10**12),
    images=st.integers(0, 10**6),
)
charges = st.builds(
    Entry,
    key=ids,
    entry_kind=st.sampled_from(["charge", "grant", "correction"]),
    scope_id=ids,
    user_id=ids,
    asked_at=times,
    written_at=times,
    kind=st.sampled_from(["chat", "image"]),
    model=st.text("abc-4", min_size=1, max_size=60),
    reason=st.sampled_from(get_args(Reason)) | st.text(max_size=500),
    held_nano=amounts,
    from_allowance_nano=amounts,
    from_grant_nano=amounts,
    granted_nano=st.integers(-AMOUNT_LIMIT, AMOUNT_LIMIT).map(NanoDollars),
    provider_nano=amounts,
    estimated=st.booleans(),
    prompt_tokens=st.integers(0, 10**9),
    completion_tokens=st.integers(0, 10**9),
    images=st.integers(0, 10),
    by_id=st.none() | ids,
)
standings = st.builds(
    Standing,
    scope_id=ids,
    user_id=ids,
    in_force=st.builds(
        InForce,
        allowance=st.sampled_from([DAILY, UNLIMITED, BLOCKED, Allowance.of(NanoDollars(1), "once")]),
        source=st.sampled_from(["member", "role", "server", "operator"]),
        role_id=ids,
    ),
    time_zone=st.just("UTC"),
    starts_at=st.none() | times,
    ends_at=st.none() | times,
    spent_nano=amounts,
    held_nano=amounts,
    grant_nano=st.integers(AMOUNT_LIMIT // 2, AMOUNT_LIMIT).map(NanoDollars),
    held_grant_nano=st.integers(0, AMOUNT_LIMIT // 2).map(NanoDollars),
)


def length(text: str) -> int:
    """As Discord counts."""
    return len(text.encode("utf-16-le")) // 2


def account(allowance: Allowance = DAILY, *, spent: int = 0, held: int = 0, grants: int = 0) -> Standing:
    """An account with those credits."""
    return Standing(
        scope_id=7,
        user_id=1,
        in_force=InForce(allowance=allowance, source="server"),
        time_zone="UTC",
        starts_at=None,
        ends_at=NOW + timedelta(hours=8) if allowance.kind == "amount" else None,
        spent_nano=NanoDollars(spent * CREDIT),
        held_nano=NanoDollars(held * CREDIT),
        grant_nano=NanoDollars(grants * CREDIT),
        held_grant_nano=NanoDollars(0),
    )


def mine(standing: Standing) -> str:
    return my_text(MyUsage(standing=standing, place="Makers", period="week", models=(), recent=()), UNIT)


def month(provider: int, held: int = 0) -> MonthTotal:
    """October with those credits."""
    return MonthTotal(
        month=202610,
        provider_nano=NanoDollars(provider * CREDIT),
        held_nano=NanoDollars(held * CREDIT),
        resets_at=datetime(2026, 11, 1, tzinfo=UTC),
    )


def server(
    *, total: MonthTotal | None = None, ceiling: int | None = None, before: int = 0, now: int = 0, name: str = "Makers"
) -> str:
    usage = ServerUsage(
        name=name,
        period="week",
        now=NOW,
        models=(),
        members=(),
        trend=Trend(days=7, before_nano=NanoDollars(before * CREDIT), now_nano=NanoDollars(now * CREDIT)),
        month=total or month(0),
        ceiling_nano=None if ceiling is None else NanoDollars(ceiling * CREDIT),
        recent=(),
    )
    return server_text(usage, UNIT)


# What fits


@given(standings, st.sampled_from(PERIODS), st.lists(models, max_size=9), st.lists(charges, max_size=9))
def test_whatever_an_account_holds_fits_a_message(
    standing: Standing, period: Period, spent: list[ModelSpent], recent: list[Entry]
):
    text = my_text(MyUsage(standing=standing, place="M" * 200, period=period, models=spent, recent=recent), UNIT)
    assert 0 < length(text) <= CONTENT_LIMIT
    assert "@everyone" not in text


@given(
    st.lists(models, max_size=9),
    st.lists(st.builds(MemberSpent, user_id=ids, requests=st.integers(1, 10**9), user_nano=amounts), max_size=12),
    st.builds(Trend, days=st.integers(1, 30), before_nano=amounts, now_nano=amounts),
    st.tuples(amounts, amounts, st.none() | amounts.filter(bool)),
    st.lists(charges, max_size=9),
    times,
)
def test_whatever_a_server_did_fits_a_message(
    spent: list[ModelSpent],
    members: list[MemberSpent],
    trend: Trend,
    cost: tuple[NanoDollars, NanoDollars, NanoDollars | None],
    recent: list[Entry],
    now: datetime,
):
    resets_at = (now.replace(day=1) + timedelta(days=32)).replace(day=1)
    usage = ServerUsage(
        name="@everyone",
        period="month",
        now=now,
        models=spent,
        members=members,
        trend=trend,
        month=MonthTotal(month=202610, provider_nano=cost[0], held_nano=cost[1], resets_at=resets_at),
        ceiling_nano=cost[2],
        recent=recent,
    )
    text = server_text(usage, UNIT)
    assert 0 < length(text) <= CONTENT_LIMIT
    assert "@everyone" not in text


spendings = st.lists(
    st.builds(
        DaySpent,
        day=st.integers(0, 500).map(lambda back: NOW.date() - timedelta(days=back)),
        model=st.text("abc-", min_size=1, max_size=40),
        user_nano=amounts,
    ),
    max_size=60,
)


@given(spendings, st.sampled_from(PERIODS), st.text("line \n", max_size=CONTENT_LIMIT), st.booleans())
def test_text_and_table_fit_one_message_or_two(spent: list[DaySpent], period: Period, text: str, drawn: bool):
    chart = chart_of(spent, window(period, NOW, ZoneInfo("UTC")), title="Makers", unit=UNIT)
    written = messages(text, chart, drawn=drawn)
    assert len(written) <= 2
    assert all(length(each) <= CONTENT_LIMIT for each in written)
    assert all(each.count("```") % 2 == 0 for each in written)


@given(spendings, st.sampled_from(PERIODS))
def test_a_chart_has_all_that_was_spent_in_its_window(spent: list[DaySpent], period: Period):
    shown = window(period, NOW, ZoneInfo("UTC"))
    chart = chart_of(spent, shown, title="Makers", unit=UNIT)
    within = sum(each.user_nano for each in spent if shown.first <= each.day <= shown.last)
    assert (chart.total if chart is not None else 0) == within


# Periods


@given(times, zones, st.sampled_from(["day", "week", "month"]))
def test_a_window_holds_now_and_begins_where_its_first_day_does(now: datetime, zone: ZoneInfo, period: Period):
    shown = window(period, now, zone)
    assert shown.span.start is not None
    assert shown.span.end is not None
    assert shown.span.start <= now < shown.span.end
    assert shown.first <= shown.last <= shown.first + timedelta(days=30)


@pytest.mark.parametrize(
    ("period", "first"), [("day", date(2026, 10, 22)), ("week", date(2026, 10, 19)), ("month", date(2026, 10, 1))]
)
def test_a_period_begins_with_the_calendar_s(period: Period, first: date):
    assert window(period, NOW, ZoneInfo("UTC")).first == first


def test_a_day_is_the_server_s():
    late = datetime(2026, 10, 22, 22, 30, tzinfo=UTC)
    assert window("day", late, ZoneInfo("Asia/Jerusalem")).first == date(2026, 10, 23)


def test_all_time_has_no_bounds_and_its_chart_begins_with_the_first_spending():
    shown = window("all", NOW, ZoneInfo("UTC"))
    assert (shown.span.start, shown.span.end) == (None, None)
    assert (shown.last - shown.first).days == CHART_DAYS - 1
    spent = [DaySpent(day=date(2026, 10, 20), model="m", user_nano=NanoDollars(1))]
    chart = chart_of(spent, shown, title="Makers", unit=UNIT)
    assert chart is not None
    assert chart.days == (date(2026, 10, 20), date(2026, 10, 21), date(2026, 10, 22))


# Words


def test_every_way_a_request_ends_has_words():
    assert set(REASONS) == set(get_args(Reason))


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (account(spent=40, held=10), "**50 left** of 100 credits a day"),
        (account(spent=40, held=10), "-# 40 spent, 10 on hold · new <t:"),
        (account(Allowance.of(NanoDollars(5 * CREDIT), "once")), "**5 left** of 5 credits in all"),
        (account(spent=120, held=5), "25 over: the allowance was lowered"),
        (account(spent=120), "**0 left** of 100"),
        (account(UNLIMITED, spent=3), "**No limit** for you"),
        (account(BLOCKED, spent=3), "You have **no allowance** here"),
        (account(BLOCKED, grants=3), "not to be spent while you are blocked"),
        (account(grants=3), "🎁 **3** of grants left, spent after the allowance"),
        (account(), "set by the server's default"),
    ],
)
def test_an_account_is_told_in_words(standing: Standing, words: str):
    assert words in mine(standing)


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [(100, 146, "(▲ 46 %)"), (100, 60, "(▼ 40 %)"), (100, 100, "(＝ 0 %)"), (0, 5, "nothing in the 7 days before")],
)
def test_a_trend_compares_with_the_days_before(before: int, now: int, words: str):
    assert words in server(before=before, now=now)


def test_without_a_ceiling_the_month_s_end_is_foretold():
    assert "about 1,2" in server(total=month(870))
    assert "no ceiling" in server(total=month(870))


@pytest.mark.parametrize(
    ("ceiling", "words"),
    [
        (2_000, "at this pace it lasts"),
        (900, "at this pace it is **reached on <t:"),
        (870, "**reached** · new"),
        (10, "8,700 %"),
    ],
)
def test_the_day_is_foretold_on_which_the_ceiling_is_reached(ceiling: int, words: str):
    assert words in server(total=month(870), ceiling=ceiling)


def test_what_is_on_hold_counts_against_the_ceiling():
    assert "**90 %** of this month's ceiling: 90 of 100 credits" in server(total=month(60, 30), ceiling=100)


@pytest.mark.parametrize(
    ("now", "per_day"),
    [(datetime(2026, 10, 1, 0, 5, tzinfo=UTC), 10), (datetime(2026, 10, 3, tzinfo=UTC), 5)],
)
def test_the_first_hours_of_a_month_count_as_a_day(now: datetime, per_day: int):
    assert per_day_of_month(month(10), now) == per_day * CREDIT


@pytest.mark.parametrize("say", [lambda name: server(name=name), plain])
def test_a_name_is_plain_text(say: Callable[[str], str]):
    assert r"\*\*bold\*\*" in say("**bold**")
    assert "@everyone" not in say("@everyone")


def test_what_does_not_fit_is_left_out_from_the_end_in_whole_lines():
    spent = [
        ModelSpent(
            kind="chat",
            model=f"{number}-{'m' * 200}",
            requests=2,
            estimated=0,
            user_nano=NanoDollars(CREDIT),
            provider_nano=NanoDollars(CREDIT),
            prompt_tokens=1,
            completion_tokens=1,
            images=0,
        )
        for number in range(6)
    ]
    members = [MemberSpent(user_id=10**18 + n, requests=2, user_nano=NanoDollars(CREDIT)) for n in range(10)]
    usage = ServerUsage(
        name="Makers",
        period="week",
        now=NOW,
        models=spent,
        members=members,
        trend=Trend(days=7, before_nano=NanoDollars(0), now_nano=NanoDollars(0)),
        month=month(0),
        ceiling_nano=None,
        recent=(),
    )
    text = server_text(usage, UNIT)
    assert CONTENT_LIMIT - 60 < length(text) <= CONTENT_LIMIT
    lines = text.splitlines()
    ranks = [line for line in lines if line.endswith("(16 %), 2 requests")]
    assert 0 < len(ranks) < 10
    assert lines[-len(ranks) :] == ranks
    assert ranks[-1].startswith(f"{len(ranks)}. <@{10**18 + len(ranks) - 1}>")
