"""Rules of the policy: whose allowance, and from when to when. Days are compared with a walk through the calendar."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.credits.policy import (
    BLOCKED,
    PERIODS,
    UNLIMITED,
    Allowance,
    InForce,
    OperatorLimits,
    Period,
    day_start,
    days,
    in_force,
    local_day,
    period_bounds,
)
from bot.errors import SettingsError
from bot.money import AMOUNT_LIMIT, NanoDollars
from bot.settings import Settings
from tests.credits.books import a_day

allowances = st.one_of(
    st.just(UNLIMITED),
    st.just(BLOCKED),
    st.builds(a_day, st.integers(1, AMOUNT_LIMIT), st.sampled_from(PERIODS)),
)
some_roles = st.dictionaries(st.integers(1, 30), allowances, max_size=6)
ZONES = [
    "UTC",
    "Asia/Jerusalem",
    "America/New_York",
    "Asia/Kathmandu",  # offset of 45 minutes
    "America/Sao_Paulo",  # until 2018 midnight was skipped in spring
    "America/Havana",  # midnight comes twice in autumn
    "Asia/Beirut",  # midnight is skipped, and comes as 23:00 again
    "America/St_Johns",  # until 2011 clocks went back at one minute past midnight
    "Australia/Lord_Howe",  # half an hour of summer time
    "Pacific/Apia",  # 30 December 2011 did not happen
    "Africa/Casablanca",
]
moments = st.datetimes(datetime(1990, 1, 1), datetime(2037, 12, 1), timezones=st.just(UTC))  # noqa: DTZ001


def applied(member: Allowance | None, roles: dict[int, Allowance], server: Allowance | None) -> InForce:
    return in_force(member=member, roles=roles, server=server, operator=a_day(1))


def test_the_nearest_rule_applies():
    roles, server = {5: a_day(3)}, a_day(4)
    assert applied(a_day(2), roles, server) == InForce(allowance=a_day(2), source="member")
    assert applied(None, roles, server) == InForce(allowance=a_day(3), source="role", role_id=5)
    assert applied(None, {}, server) == InForce(allowance=a_day(4), source="server")
    assert applied(None, {}, None) == InForce(allowance=a_day(1), source="operator")


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (UNLIMITED, a_day(AMOUNT_LIMIT)),
        (a_day(1, "once"), BLOCKED),
        (a_day(100), a_day(699, "week")),
        (a_day(701, "week"), a_day(100)),
        (a_day(3_001, "month"), a_day(100)),
        (a_day(100), a_day(2_999, "month")),
        (a_day(31, "month"), a_day(1)),
        (a_day(100), a_day(700, "week")),  # as much in the same time: what is used up is back sooner
        (a_day(3_000, "month"), a_day(3_000, "once")),
        (a_day(3_001, "once"), a_day(3_000, "month")),
    ],
)
def test_of_two_roles_the_better_allowance_counts(better: Allowance, worse: Allowance):
    assert applied(None, {1: worse, 2: better}, None).allowance == better
    assert applied(None, {1: better, 2: worse}, None).allowance == better


def test_of_roles_with_the_same_allowance_the_lowest_id_is_named():
    assert applied(None, {9: a_day(5), 3: a_day(5), 7: a_day(5)}, None).role_id == 3


@given(st.none() | allowances, some_roles, st.none() | allowances)
def test_the_rule_that_applies_is_one_that_is_set_and_no_role_has_a_better_one(
    member: Allowance | None, roles: dict[int, Allowance], server: Allowance | None
):
    found = applied(member, roles, server)
    said = {"member": member, "server": server, "operator": a_day(1)} | {
        "role": roles.get(found.role_id) if found.role_id is not None else None
    }
    assert said[found.source] == found.allowance
    if found.source == "role":
        per_210_days = {"day": 210, "week": 30, "month": 7, "once": 7}
        for other in roles.values():
            assert found.allowance.kind == "unlimited" or other.kind != "unlimited"
            assert other.kind == "none" or found.allowance.kind != "none"
            if other.kind == found.allowance.kind == "amount":
                mine = found.allowance.amount_nano * per_210_days[found.allowance.period]
                assert mine >= other.amount_nano * per_210_days[other.period]


@given(some_roles.filter(bool), st.randoms(use_true_random=False))
def test_the_order_in_which_roles_come_does_not_matter(roles: dict[int, Allowance], random: object):
    shuffled = list(roles.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert applied(None, dict(shuffled), None) == applied(None, roles, None)


@given(allowances)
def test_an_allowance_survives_its_text(allowance: Allowance):
    assert Allowance.from_text(allowance.text) == allowance


@pytest.mark.parametrize(
    ("kind", "amount"), [("amount", 0), ("amount", -1), ("amount", AMOUNT_LIMIT + 1), ("none", 5), ("unlimited", 5)]
)
def test_an_allowance_that_makes_no_sense_cannot_be_made(kind: str, amount: int):
    with pytest.raises(ValueError):
        Allowance(kind=kind, amount_nano=NanoDollars(amount))  # type: ignore[arg-type]


def bounds(period: Period, now: str, zone: str) -> tuple[str, str]:
    start, end = period_bounds(period, datetime.fromisoformat(now), ZoneInfo(zone))
    assert start is not None
    assert end is not None
    return start.strftime("%Y-%m-%d %H:%M"), end.strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("period", "now", "zone", "expected"),
    [
        ("day", "2026-12-31T23:59:59.999999Z", "UTC", ("2026-12-31 00:00", "2027-01-01 00:00")),
        ("day", "2027-01-01T00:00:00Z", "UTC", ("2027-01-01 00:00", "2027-01-02 00:00")),
        ("week", "2026-12-31T12:00:00Z", "UTC", ("2026-12-28 00:00", "2027-01-04 00:00")),
        ("week", "2027-01-04T00:00:00Z", "UTC", ("2027-01-04 00:00", "2027-01-11 00:00")),
        ("month", "2026-12-31T12:00:00Z", "UTC", ("2026-12-01 00:00", "2027-01-01 00:00")),
        ("month", "2028-02-29T12:00:00Z", "UTC", ("2028-02-01 00:00", "2028-03-01 00:00")),
        # The day on which clocks go forward has 23 hours, that on which they go back 25.
        ("day", "2026-03-27T12:00:00Z", "Asia/Jerusalem", ("2026-03-26 22:00", "2026-03-27 21:00")),
        ("day", "2026-10-25T12:00:00Z", "Asia/Jerusalem", ("2026-10-24 21:00", "2026-10-25 22:00")),
        # No midnight: clocks went from 23:59:59 to 01:00:00.
        ("day", "2018-11-04T12:00:00Z", "America/Sao_Paulo", ("2018-11-04 03:00", "2018-11-05 02:00")),
        # Two midnights: at 01:00 clocks went back to 00:00. The first counts.
        ("day", "2026-11-01T12:00:00Z", "America/Havana", ("2026-11-01 04:00", "2026-11-02 05:00")),
        ("day", "2026-11-01T05:30:00Z", "America/Havana", ("2026-11-01 04:00", "2026-11-02 05:00")),
        # At 00:01 clocks went back to 23:01 of the day before; what is shown again is the new day's.
        ("day", "2010-11-07T02:45:00Z", "America/St_Johns", ("2010-11-07 02:30", "2010-11-08 03:30")),
        # A Friday that did not happen: Thursday ends where Saturday begins.
        ("day", "2011-12-30T09:00:00Z", "Pacific/Apia", ("2011-12-29 10:00", "2011-12-30 10:00")),
        ("day", "2011-12-30T10:00:00Z", "Pacific/Apia", ("2011-12-30 10:00", "2011-12-31 10:00")),
        # Half past eleven became half past twelve: midnight was inside the gap.
        ("day", "1919-03-31T12:00:00Z", "America/Toronto", ("1919-03-31 04:30", "1919-04-01 04:00")),
    ],
)
def test_periods_follow_the_calendar_of_the_zone(period: Period, now: str, zone: str, expected: tuple[str, str]):
    assert bounds(period, now, zone) == expected


def walked(day: date, zone: ZoneInfo) -> datetime:
    """The first minute at which a clock there shows `day` or later, found by looking at each."""
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=27)
    while moment.astimezone(zone).date() < day:
        moment += timedelta(minutes=1)
    return moment


@settings(max_examples=150, deadline=None)
@given(st.dates(date(1990, 1, 2), date(2037, 12, 1)), st.sampled_from(ZONES))
def test_a_day_begins_where_a_walk_finds_its_first_minute(day: date, zone: str):
    assert day_start(day, ZoneInfo(zone)) == walked(day, ZoneInfo(zone))


@pytest.mark.parametrize("zone", ZONES)
def test_every_midnight_near_a_change_of_the_clocks_is_where_a_walk_finds_it(zone: str):
    """Looks at the days around each change of a zone's offset in years that had odd ones."""
    where = ZoneInfo(zone)
    for year in (2010, 2011, 2017, 2026):
        noon = datetime(year, 1, 1, 12, tzinfo=UTC)
        for _ in range(365):
            after = noon + timedelta(days=1)
            if noon.astimezone(where).utcoffset() != after.astimezone(where).utcoffset():
                for offset in (-1, 0, 1, 2):
                    day = noon.astimezone(where).date() + timedelta(days=offset)
                    assert day_start(day, where) == walked(day, where)
            noon = after


@settings(max_examples=300)
@given(st.sampled_from(("day", "week", "month")), moments, st.sampled_from(ZONES))
def test_a_moment_lies_in_its_period_and_periods_touch(period: Period, now: datetime, zone: str):
    where = ZoneInfo(zone)
    start, end = period_bounds(period, now, where)
    assert start is not None
    assert end is not None
    assert start <= now < end
    assert period_bounds(period, start, where) == (start, end)
    assert period_bounds(period, end - timedelta(microseconds=1), where) == (start, end)
    assert period_bounds(period, end, where)[0] == end
    first = local_day(start, where)
    assert period != "month" or first.day == 1 or zone == "Pacific/Apia"
    assert period != "week" or first.weekday() == 0 or zone == "Pacific/Apia"


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("America/Sao_Paulo", date(2018, 11, 3)),
        ("America/Sao_Paulo", date(2018, 11, 4)),
        ("America/Toronto", date(1919, 3, 31)),
    ],
)
def test_a_day_begins_at_an_instant_of_utc_though_midnight_is_skipped(zone: str, day: date):
    assert day_start(day, ZoneInfo(zone)).tzinfo is UTC


def test_once_has_neither_beginning_nor_end():
    assert period_bounds("once", datetime(2026, 1, 1, tzinfo=UTC), ZoneInfo("UTC")) == (None, None)


def test_a_moment_without_a_zone_is_refused():
    with pytest.raises(ValueError):
        local_day(datetime(2026, 1, 1), ZoneInfo("UTC"))  # noqa: DTZ001


def test_days_are_listed_with_both_ends_and_touch():
    listed = list(days(date(2026, 3, 26), date(2026, 3, 28), ZoneInfo("Asia/Jerusalem")))
    assert [day for day, _, _ in listed] == [date(2026, 3, 26), date(2026, 3, 27), date(2026, 3, 28)]
    assert [(end - start) // timedelta(hours=1) for _, start, end in listed] == [24, 23, 24]
    assert all(earlier[2] == later[1] for earlier, later in pairwise(listed))


def operator(**variables: str) -> OperatorLimits:
    return OperatorLimits.load(Settings.load({"DISCORD_TOKEN": "t.t.t", "MINITOOLAI_API_KEY": "k"} | variables))


def test_the_operators_allowances_come_from_the_environment_in_credits():
    assert operator().member == a_day(100_000_000)
    found = operator(
        CREDIT_USD="0.01",
        DEFAULT_ALLOWANCE="1,000.5 / Week",
        DM_ALLOWANCE="none",
        BOT_MONTHLY_CEILING_USD="12.5",
        SERVER_MONTHLY_CEILING_USD="5",
    )
    assert found == OperatorLimits(
        member=a_day(10_005_000_000, "week"),
        direct=BLOCKED,
        bot_ceiling_nano=NanoDollars(12_500_000_000),
        server_ceiling_nano=NanoDollars(5_000_000_000),
    )


@pytest.mark.parametrize("name", ["DEFAULT_ALLOWANCE", "DM_ALLOWANCE"])
@pytest.mark.parametrize("text", ["0/day", "0.0000001/day", "9999999999999/once", "1.2.3/day"])
def test_an_allowance_of_the_operator_that_cannot_be_given_is_named(name: str, text: str):
    with pytest.raises(SettingsError, match=f"^{name}: "):
        operator(**{name: text})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CREDIT_USD", "0"),
        ("CREDIT_USD", "0.0000000001"),
        ("CREDIT_USD", "a cent"),
        ("DEFAULT_ALLOWANCE", "100"),
        ("DEFAULT_ALLOWANCE", "100/year"),
        ("DEFAULT_ALLOWANCE", "-5/day"),
        ("DM_ALLOWANCE", "all"),
        ("BOT_MONTHLY_CEILING_USD", "0"),
        ("SERVER_MONTHLY_CEILING_USD", "1000001"),
        ("MIN_ANSWER_TOKENS", "0"),
        ("OPERATOR_USER_ID", "me"),
    ],
)
def test_a_variable_about_money_that_makes_no_sense_is_named(name: str, text: str):
    with pytest.raises(SettingsError, match=name):
        operator(**{name: text})
