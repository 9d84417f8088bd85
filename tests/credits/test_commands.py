"""`python -m bot ledger …`: beside a running bot, over real files."""

import asyncio
import csv
import io
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.credits.export import header, row
from bot.storage.database import Database, Tx
from tests.credits.books import ANN, BEN, NOW, SERVER, Books, consumed, request
from tests.measuring import coverages_variables

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


async def run(url: str, *arguments: str, cwd: Path = ROOT) -> Ran:
    """The command in a process of its own, with nothing in its environment but the database."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "ledger", *arguments),
        env={"DATABASE_URL": url, "PYTHONPATH": str(ROOT), **coverages_variables()},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    return Ran(process.returncode or 0, out.decode(), err.decode())


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/bot.db"


async def some_use(books: Books) -> None:
    await books.grant(500)
    await books.ledger.hold(request(1, 300))
    await books.ledger.end(1, "cut", consumed(120), at=NOW)
    await books.ledger.hold(request(2, 300))


async def test_a_right_ledger_passes_while_the_bot_runs(database: Database, books: Books, url: str, tmp_path: Path):
    await some_use(books)
    ran = await run(url, "check", cwd=tmp_path)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "2 entries, 1 open holds, 1 accounts: all balances are right\n"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("UPDATE accounts SET spent_nano = 5", f"account {SERVER}/{ANN}, spent_nano: 5 nano-dollars too much"),
        ("UPDATE accounts SET grant_nano = 499", "grant_nano: 1 nano-dollars too little"),
        ("UPDATE accounts SET held_allowance_nano = 0", "held_allowance_nano: 300 nano-dollars too little"),
        ("UPDATE accounts SET held_grant_nano = 2", "held_grant_nano: 2 nano-dollars too much"),
        ("DELETE FROM accounts", "grant_nano: 500 nano-dollars too little"),
        ("DELETE FROM holds", "month 202612 of -1, held_nano: 300 nano-dollars too much"),
        ("UPDATE month_totals SET provider_nano = 121", "provider_nano: 1 nano-dollars too much"),
        ("DELETE FROM month_totals", f"month 202612 of {SERVER}, provider_nano: 120 nano-dollars too little"),
        ("UPDATE holds SET request_id = 1", "request 1 has an entry and is still on hold: 300 nano-dollars too much"),
        ("DELETE FROM entries", "provider_nano: 120 nano-dollars too much"),
        ("UPDATE entries SET asked_at_us = 0 WHERE entry_id = 1", "month 197001"),
        ("UPDATE entries SET asked_at_us = 9e18 WHERE entry_id = 1", "provider_nano: 120 nano-dollars too much"),
        ("UPDATE entries SET reason = 'refused' WHERE entry_id = 1", "request 1 (refused), provider_nano: 120 nano"),
        ("UPDATE entries SET reason = 'crashed' WHERE entry_id = 1", "request 1 (crashed), provider_nano: 180 nano"),
        ("UPDATE entries SET from_allowance_nano = 7 WHERE entry_id = 1", "request 1 (cut), user_nano: 7 nano"),
        (
            "UPDATE entries SET granted_nano = 501 WHERE granted_nano = 500",
            "grant 900001, granted_nano: 1 nano-dollars too much",
        ),
        ("DELETE FROM policy_log", ", granted_nano: 500 nano-dollars too much"),
        ("UPDATE holds SET asked_at_us = -9e18", "held_nano: 300 nano-dollars too much"),
    ],
)
async def test_whatever_does_not_add_up_is_reported(books: Books, fault: str, told: str):
    await some_use(books)

    async def damage(tx: Tx) -> None:
        assert await tx.execute(fault) > 0

    await books.database.write(damage)
    checked = await books.checked()
    assert any(told in str(difference) for difference in checked.differences)


@pytest.mark.parametrize("other", [{"user_id": BEN}, {"scope_id": SERVER + 1}])
async def test_what_is_moved_from_one_account_to_another_is_reported_of_both(books: Books, other: dict[str, int]):
    where = {"scope_id": SERVER, "user_id": ANN}
    for key, account in enumerate([where, where | other], 1):
        await books.ledger.hold(request(key, **account))
        await books.ledger.end(key, "finished", consumed(50), at=NOW)
        move = (
            f"UPDATE accounts SET spent_nano = spent_nano + {5 if key == 1 else -5} WHERE scope_id = ? AND user_id = ?"
        )
        await books.database.write(lambda tx, sql=move, of=account: tx.execute(sql, (of["scope_id"], of["user_id"])))
    theirs = where | other
    assert [str(one) for one in (await books.checked()).differences] == [
        f"account {SERVER}/{ANN}, spent_nano: 5 nano-dollars too much",
        f"account {theirs['scope_id']}/{theirs['user_id']}, spent_nano: 5 nano-dollars too little",
    ]


async def test_a_difference_makes_the_exit_code_1(database: Database, books: Books, url: str):
    await some_use(books)
    await database.write(lambda tx: tx.execute("UPDATE accounts SET spent_nano = 5"))
    ran = await run(url, "check")
    assert ran.code == 1
    assert ran.out.splitlines()[0] == f"account {SERVER}/{ANN}, spent_nano: 5 nano-dollars too much"


FIRST, LAST = datetime(2027, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(("first", "then"), [(FIRST, NOW), (LAST, NOW + timedelta(days=1)), (FIRST, FIRST)])
async def test_requests_at_the_edge_of_a_month_count_in_it_alone(books: Books, first: datetime, then: datetime):
    for key, at in enumerate([first, first, then, then], 1):
        await books.ledger.hold(request(key, at=at))
    for key in (1, 3):
        await books.ledger.end(key, "cut", consumed(50), at=then)
    assert (await books.checked()).differences == ()


async def test_an_empty_ledger_is_right(books: Books):
    checked = await books.checked()
    assert (checked.entries, checked.differences) == (0, ())


async def test_the_export_has_every_entry(database: Database, books: Books, url: str, tmp_path: Path):
    await some_use(books)
    file = tmp_path / "ledger.csv"
    shown, written = await run(url, "export"), await run(url, "export", "--output", str(file))
    assert (shown.code, written.code, written.out) == (0, 0, "")
    text = (await asyncio.to_thread(file.read_bytes)).decode()
    assert shown.out.splitlines() == text.splitlines()
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [(line["key"], line["entry"], line["reason"]) for line in lines] == [
        ("1", "charge", "cut"),
        ("900001", "grant", "because"),
    ]
    assert (lines[0]["provider_nano"], lines[0]["held_nano"], lines[0]["from_allowance_nano"]) == ("120", "300", "0")
    assert (lines[1]["granted_nano"], lines[1]["by"], lines[1]["model"]) == ("500", "99", "")


async def test_a_reason_is_no_formula_for_a_spreadsheet(books: Books):
    await books.ledger.grant(SERVER, ANN, 5, books.decision("=HYPERLINK(\"x\"),\n'a'"))  # type: ignore[arg-type]
    [entry] = [entry async for entry in books.reports.entries()]
    [line] = csv.DictReader(io.StringIO(header() + row(entry)))
    assert line["reason"] == "'=HYPERLINK(\"x\"),\n'a'"


async def test_without_a_database_it_says_so_and_makes_none(url: str, tmp_path: Path):
    ran = await run(url, "check")
    assert (ran.code, ran.out) == (1, "")
    assert "there is no file" in ran.err
    assert not await asyncio.to_thread((tmp_path / "bot.db").exists)


@pytest.mark.parametrize(("content", "told"), [(b"", "has schema 0"), (b"no database" * 100, "not a database")])
async def test_a_file_that_is_no_database_of_ours_is_refused(url: str, tmp_path: Path, content: bytes, told: str):
    await asyncio.to_thread((tmp_path / "bot.db").write_bytes, content)
    ran = await run(url, "check")
    assert ran.code == 1
    assert told in ran.err


async def test_a_place_that_cannot_be_written_to_is_told(database: Database, url: str, tmp_path: Path):
    ran = await run(url, "export", "--output", str(tmp_path / "missing" / "ledger.csv"))
    assert ran.code == 1
    assert "ledger.csv" in ran.err


async def test_the_database_must_be_one_that_is_understood(tmp_path: Path):
    ran = await run("postgresql://example.org/bot", "check")
    assert ran.code == 1
    assert "DATABASE_URL" in ran.err
