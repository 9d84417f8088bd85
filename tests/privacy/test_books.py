"""The books' part: ids and times that lead nowhere and move no sum, and a database of before."""

import shutil
import sqlite3
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from bot.answers.keeping import forget_modes
from bot.credits import allowances, keeping
from bot.credits.policy import day_start, period_bounds, zone_names
from bot.credits.values import to_us
from bot.guilds import Target
from bot.privacy.values import Held
from bot.storage.database import Database
from bot.storage.migrate import MIGRATIONS
from tests.privacy.archive import A_MONTH, CHANNEL, DANA, DISCORD_EPOCH, NOAM, SERVER, START, Archive

ZONES = sorted(zone_names())
MOMENTS = st.datetimes(
    datetime(2016, 1, 1),  # noqa: DTZ001 - Hypothesis takes bounds without a zone
    datetime(2036, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
QUARTER = timedelta(minutes=15)


@given(day=st.dates(date(2016, 1, 1), date(2036, 1, 1)), zone=st.sampled_from(ZONES))
def test_no_day_anywhere_begins_inside_of_a_quarter_of_an_hour(day: date, zone: str) -> None:
    assert to_us(day_start(day, ZoneInfo(zone))) % to_us(datetime(1970, 1, 1, 0, 15, tzinfo=UTC)) == 0


@given(at=MOMENTS)
def test_a_new_key_is_of_the_same_quarter_of_an_hour(at: datetime) -> None:
    key = keeping.new_key(to_us(at))
    made_at = DISCORD_EPOCH + timedelta(milliseconds=key >> 22)
    assert 0 < key < 1 << 63
    assert timedelta(0) <= abs(made_at - at) < QUARTER
    assert (made_at - DISCORD_EPOCH) // QUARTER == (at - DISCORD_EPOCH) // QUARTER


@given(at=MOMENTS, zone=st.sampled_from(ZONES))
def test_what_may_be_handed_over_counts_toward_no_running_period(at: datetime, zone: str) -> None:
    cutoff = keeping.cutoff(at, ZoneInfo(zone))
    for period in ("day", "week", "month"):
        start, _ = period_bounds(period, at, ZoneInfo(zone))  # type: ignore[arg-type]  # literals of the loop
        assert start is not None
        assert cutoff <= start


@given(at=MOMENTS, zone=st.sampled_from(ZONES))
def test_the_date_that_is_named_is_late_enough(at: datetime, zone: str) -> None:
    assert keeping.cutoff(keeping.over_at(at, ZoneInfo(zone)), ZoneInfo(zone)) > at


def test_what_was_asked_within_the_last_hour_is_not_handed_over_though_its_periods_are_over() -> None:
    monday = datetime(2027, 2, 1, 0, 30, tzinfo=UTC)  # and the first of a month
    assert keeping.cutoff(monday, ZoneInfo("UTC")) == datetime(2027, 1, 31, 23, 30, tzinfo=UTC)


async def test_what_the_books_keep_of_somebody_is_counted_by_server(archive: Archive) -> None:
    await archive.charge()
    archive.later(days=1)
    await archive.charge()
    await archive.charge(scope_id=0)
    await archive.charge(who=NOAM)
    held = await archive.database.read(lambda tx: keeping.held(tx, DANA))
    assert sorted(held, key=lambda one: one.count) == [
        Held(kind="entries", guild_id=None, count=1, since_us=to_us(START + timedelta(days=1))),
        Held(kind="entries", guild_id=SERVER, count=2, since_us=to_us(START)),
    ]


async def test_allowances_are_counted_for_whom_they_are_for_and_who_set_them(archive: Archive) -> None:
    await archive.allow(A_MONTH, Target.member(DANA))
    await archive.allow(A_MONTH, Target.role(33), by=DANA)
    await archive.allow(A_MONTH, Target.member(NOAM))
    await archive.allow(A_MONTH, Target.role(DANA))
    held = await archive.database.read(lambda tx: allowances.held(tx, DANA))
    assert held == [Held(kind="allowances", guild_id=SERVER, count=2, since_us=to_us(START))]


async def test_servers_are_named_that_set_an_allowance_for_the_person_and_no_other(archive: Archive) -> None:
    await archive.allow(A_MONTH, Target.role(DANA), by=DANA)
    assert await archive.database.read(lambda tx: allowances.servers_with_own(tx, DANA)) == []
    await archive.allow(A_MONTH, Target.member(DANA))
    assert await archive.database.read(lambda tx: allowances.servers_with_own(tx, DANA)) == [SERVER]


async def test_servers_with_members_accounts_are_neither_direct_messages_nor_those_of_pseudonyms(
    archive: Archive,
) -> None:
    await archive.charge(scope_id=0)
    await archive.charge(scope_id=SERVER + 1)
    assert await archive.database.read(keeping.servers) == [SERVER + 1]
    await archive.erase()
    archive.later(days=40)
    await archive.sweep()
    assert await archive.database.read(keeping.servers) == []


async def test_who_has_no_account_has_no_grants(archive: Archive) -> None:
    await archive.grant(70, NOAM)
    grants = [
        await archive.database.read(lambda tx, who=who: keeping.grants_left(tx, SERVER, who)) for who in (DANA, NOAM)
    ]
    assert grants == [0, 70]


async def test_an_empty_account_goes_whatever_others_there_or_its_owner_elsewhere_have_on_hold(
    archive: Archive,
) -> None:
    await archive.charge()
    await archive.hold(who=NOAM)
    await archive.hold(scope_id=0)
    archive.later(days=40)
    await archive.erase()
    assert await archive.rows("SELECT 1 FROM accounts WHERE scope_id = ? AND user_id = ?", SERVER, DANA) == []


async def test_neither_id_nor_time_of_an_entry_leads_to_its_message(archive: Archive) -> None:
    archive.later(minutes=14)
    key = await archive.charge()
    await archive.turn()
    await archive.erase()
    archive.later(days=40)
    await archive.sweep()
    [entry] = await archive.rows("SELECT * FROM entries")
    assert entry["entry_id"] != key
    assert entry["user_id"] < 0
    assert entry["asked_at_us"] == to_us(START), "noon is the beginning of a quarter of an hour"


async def test_two_erased_people_stay_two(archive: Archive) -> None:
    for who in (DANA, DANA + 1):
        await archive.charge(who=who)
        await archive.erase(who)
    archive.later(days=40)
    await archive.sweep()
    assert len(await archive.rows("SELECT DISTINCT user_id FROM entries")) == 2


async def test_a_database_of_before_is_brought_up_to_date_with_its_choices(tmp_path: Path) -> None:
    """A choice of how a channel remembers that names no server goes with the server that its turns tell of."""
    before = tmp_path / "migrations"
    before.mkdir()
    for file in sorted(MIGRATIONS.glob("*.sql"))[:4]:
        shutil.copy(file, before)
    url = f"sqlite:///{tmp_path}/bot.db"
    async with Database.open(url, migrations=before):
        pass
    with sqlite3.connect(tmp_path / "bot.db") as old:
        old.execute("INSERT INTO memory_modes VALUES (?, 'off', ?, 1)", (CHANNEL, DANA))
    old.close()
    async with Database.open(url) as database:
        archive = Archive(database, url, tmp_path / "bot.db")
        assert [row["guild_id"] for row in await archive.rows("SELECT guild_id FROM memory_modes")] == [None]
        await archive.turn()
        await database.write(lambda tx: forget_modes(tx, SERVER))
        assert await archive.counts("memory_modes") == [0]
