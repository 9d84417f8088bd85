import asyncio
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import SettingsError
from bot.storage import database as database_module
from bot.storage.database import Database, Tx, sqlite_path
from bot.storage.errors import (
    ConstraintBroken,
    DatabaseInUse,
    StorageBusy,
    StorageClosed,
    StorageFailed,
)
from tests.storage.gate import Gate

LEDGER = """
CREATE TABLE accounts (
    name TEXT PRIMARY KEY,
    balance BIGINT NOT NULL CHECK (balance >= 0)
);
CREATE TABLE entries (
    id TEXT PRIMARY KEY,
    -- Checked at the commit only, so that a test can make a commit fail.
    account TEXT NOT NULL REFERENCES accounts (name) DEFERRABLE INITIALLY DEFERRED,
    amount BIGINT NOT NULL
);
INSERT INTO accounts (name, balance) VALUES ('a', 1000);
"""


class _OddError(Exception):
    pass


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_ledger.sql").write_text(LEDGER)
    return folder


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/data/test.db"


@pytest.fixture
async def database(url: str, migrations: Path) -> AsyncIterator[Database]:
    async with Database.open(url, migrations=migrations) as opened:
        yield opened


FOR_EVER = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"


async def spend(tx: Tx, entry: str, amount: int) -> int:
    await tx.execute("INSERT INTO entries (id, account, amount) VALUES (?, 'a', ?)", (entry, amount))
    await tx.execute("UPDATE accounts SET balance = balance - ? WHERE name = 'a'", (amount,))
    return amount


async def facts(database: Database) -> tuple[int, int, int]:
    """Balance, sum of the entries, number of entries, of one moment."""

    async def operation(tx: Tx) -> tuple[int, int, int]:
        account = await tx.fetch_one("SELECT balance FROM accounts WHERE name = 'a'")
        entries = await tx.fetch_one("SELECT COALESCE(SUM(amount), 0) AS total, COUNT(*) AS number FROM entries")
        assert account is not None
        assert entries is not None
        return account["balance"], entries["total"], entries["number"]

    return await database.read(operation)


async def test_a_write_is_there_for_the_next_reader_and_after_reopening(url: str, migrations: Path) -> None:
    async with Database.open(url, migrations=migrations) as database:
        assert await database.write(lambda tx: spend(tx, "x", 10)) == 10
        assert await facts(database) == (990, 10, 1)
    async with Database.open(url, migrations=migrations) as database:
        assert await facts(database) == (990, 10, 1)


async def test_execute_says_how_many_rows_changed(database: Database) -> None:
    async def operation(tx: Tx) -> tuple[int, int]:
        return (
            await tx.execute("UPDATE accounts SET balance = 5 WHERE name = 'a'"),
            await tx.execute("UPDATE accounts SET balance = 5 WHERE name = 'nobody'"),
        )

    assert await database.write(operation) == (1, 0)


async def test_returning_gives_the_changed_rows(database: Database) -> None:
    row = await database.write(lambda tx: tx.fetch_one("UPDATE accounts SET balance = 7 RETURNING name, balance"))
    assert row is not None
    assert (row["name"], row["balance"]) == ("a", 7)
    assert (await facts(database))[0] == 7


async def test_a_failing_operation_rolls_back_alone_and_its_caller_gets_its_error(database: Database) -> None:
    async def failing(tx: Tx) -> None:
        await spend(tx, "lost", 100)
        raise _OddError

    results = await asyncio.gather(
        database.write(lambda tx: spend(tx, "one", 1)),
        database.write(failing),
        database.write(lambda tx: spend(tx, "two", 2)),
        return_exceptions=True,
    )
    assert results[0] == 1
    assert isinstance(results[1], _OddError)
    assert results[2] == 2
    assert await facts(database) == (997, 3, 2)


async def test_a_broken_constraint_is_named_and_undoes_the_operation(database: Database) -> None:
    with pytest.raises(ConstraintBroken):
        await database.write(lambda tx: spend(tx, "too much", 1001))
    assert await facts(database) == (1000, 0, 0)


async def test_an_operation_may_survive_a_broken_constraint(database: Database) -> None:
    async def operation(tx: Tx) -> int:
        await spend(tx, "x", 1)
        with pytest.raises(ConstraintBroken):
            await tx.execute("INSERT INTO entries (id, account, amount) VALUES ('x', 'a', 5)")
        return await spend(tx, "y", 2)

    assert await database.write(operation) == 2
    assert await facts(database) == (997, 3, 2)


async def test_a_wrong_statement_or_text_fails_as_a_storage_error(database: Database) -> None:
    with pytest.raises(StorageFailed, match="no such table"):
        await database.write(lambda tx: tx.execute("DELETE FROM nowhere"))
    with pytest.raises(StorageFailed):
        await database.write(lambda tx: tx.execute("DELETE FROM entries WHERE id = ?", ("\ud800",)))
    with pytest.raises(StorageFailed):
        await database.write(lambda tx: tx.execute("DELETE FROM entries WHERE id = ?", (2**64,)))


async def test_a_failing_commit_fails_every_caller_of_the_group_and_leaves_the_database_usable(
    database: Database,
) -> None:
    async def orphan(tx: Tx) -> None:
        await tx.execute("INSERT INTO entries (id, account, amount) VALUES ('orphan', 'nobody', 1)")

    results = await asyncio.gather(
        database.write(lambda tx: spend(tx, "one", 1)), database.write(orphan), return_exceptions=True
    )
    assert [type(result) for result in results] == [StorageFailed, StorageFailed]
    assert await facts(database) == (1000, 0, 0)
    await database.write(lambda tx: spend(tx, "later", 5))
    assert await facts(database) == (995, 5, 1)


@contextmanager
def full_disk(limit_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond the limit; Python ignores the signal, so the write fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_stores_nothing_and_the_database_works_again_when_there_is_room(
    database: Database, url: str
) -> None:
    async def big(tx: Tx) -> None:
        await tx.execute("INSERT INTO entries (id, account, amount) VALUES (?, 'a', 0)", ("x" * 3_000_000,))

    with full_disk(sqlite_path(url).with_name("test.db-wal").stat().st_size + 4096):
        results = await asyncio.gather(
            database.write(lambda tx: spend(tx, "one", 1)), database.write(big), return_exceptions=True
        )
    assert [type(result) for result in results] == [StorageFailed, StorageFailed]
    assert await facts(database) == (1000, 0, 0)
    await database.write(big)
    assert (await facts(database))[2] == 1


async def test_a_group_whose_transaction_was_given_up_stores_nothing_of_any_operation(database: Database) -> None:
    async def give_up(tx: Tx) -> None:
        await tx.execute("ROLLBACK")  # what SQLite does by itself when a disk is full

    results = await asyncio.gather(
        database.write(lambda tx: spend(tx, "before", 1)),
        database.write(give_up),
        *(database.write(lambda tx, name=name: spend(tx, name, 1)) for name in ("b", "c", "d")),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [StorageFailed] * 5
    assert await facts(database) == (1000, 0, 0)
    await database.write(lambda tx: spend(tx, "later", 5))
    assert await facts(database) == (995, 5, 1)


async def test_a_statement_after_the_transaction_was_given_up_is_refused(database: Database) -> None:
    async def stubborn(tx: Tx) -> None:
        await tx.execute("ROLLBACK")  # what SQLite does by itself when a disk is full
        with pytest.raises(StorageFailed):
            await tx.execute("RELEASE operation")
        await tx.execute("UPDATE accounts SET balance = 0")

    with pytest.raises(StorageFailed):
        await database.write(stubborn)
    assert await facts(database) == (1000, 0, 0)


async def test_a_transaction_kept_beyond_its_operation_is_refused(database: Database) -> None:
    kept: list[Tx] = []

    async def operation(tx: Tx) -> None:
        kept.append(tx)

    await database.write(operation)
    await database.read(operation)
    for tx in kept:
        with pytest.raises(StorageFailed, match="has ended"):
            await tx.execute("UPDATE accounts SET balance = 0")


async def test_an_operation_whose_caller_left_before_its_turn_does_not_run(database: Database) -> None:
    gate = Gate()

    async def slow(tx: Tx) -> None:
        gate.wait()

    first = asyncio.create_task(database.write(slow))
    await gate.reached()
    second = asyncio.create_task(database.write(lambda tx: spend(tx, "x", 1)))
    await asyncio.sleep(0.01)
    second.cancel()
    gate.open()
    await first
    with pytest.raises(asyncio.CancelledError):
        await second
    await database.write(lambda tx: spend(tx, "y", 2))  # whatever was before it in the queue is over
    assert await facts(database) == (998, 2, 1)


async def test_an_operation_whose_caller_leaves_while_it_runs_is_stored_whole(database: Database) -> None:
    gate = Gate()

    async def operation(tx: Tx) -> None:
        await spend(tx, "x", 1)
        gate.wait()
        await spend(tx, "y", 2)

    caller = asyncio.create_task(database.write(operation))
    await gate.reached()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    gate.open()
    await database.write(lambda tx: spend(tx, "z", 3))
    assert await facts(database) == (994, 6, 3)


async def test_an_operation_that_waits_for_something_else_than_its_transaction_fails_alone(database: Database) -> None:
    async def operation(tx: Tx) -> None:
        await spend(tx, "x", 1)
        await asyncio.sleep(0)

    async def idle(_: Tx) -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="waits for nothing but its transaction"):
        await database.write(operation)
    with pytest.raises(RuntimeError, match="waits for nothing but its transaction"):
        await database.read(idle)
    await database.write(lambda tx: spend(tx, "y", 2))
    assert await facts(database) == (998, 2, 1)


async def test_an_operation_that_ends_in_a_cancellation_fails_alone(database: Database) -> None:
    async def operation(tx: Tx) -> None:
        await spend(tx, "x", 1)
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await database.write(operation)
    await database.write(lambda tx: spend(tx, "y", 2))
    assert await facts(database) == (998, 2, 1)


async def test_an_operation_without_its_turn_before_the_deadline_is_busy_and_never_runs(database: Database) -> None:
    gate = Gate()

    async def slow(tx: Tx) -> None:
        gate.wait()

    first = asyncio.create_task(database.write(slow))
    await gate.reached()
    with pytest.raises(StorageBusy):
        await database.write(lambda tx: spend(tx, "x", 1), timeout_s=0.01)
    gate.open()
    await first
    await database.write(lambda tx: spend(tx, "y", 2))  # whatever was before it in the queue is over
    assert await facts(database) == (998, 2, 1)


async def test_the_deadline_is_for_the_turn_and_does_not_disown_a_running_operation(database: Database) -> None:
    gate = Gate()

    async def operation(tx: Tx) -> int:
        gate.wait()
        return await spend(tx, "x", 1)

    asyncio.get_running_loop().call_later(0.1, gate.open)
    assert await database.write(operation, timeout_s=0.05) == 1


async def test_a_full_queue_is_busy(url: str, migrations: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "QUEUE_LIMIT", 1)
    async with Database.open(url, migrations=migrations) as database:
        gate = Gate()

        async def slow(tx: Tx) -> None:
            gate.wait()

        first = asyncio.create_task(database.write(slow))
        await gate.reached()
        second = asyncio.create_task(database.write(lambda tx: spend(tx, "waits", 1)))
        await asyncio.sleep(0)
        with pytest.raises(StorageBusy, match="waiting already"):
            await database.write(lambda tx: spend(tx, "x", 1), timeout_s=0.01)
        gate.open()
        await asyncio.gather(first, second)
        assert await facts(database) == (999, 1, 1)


async def test_an_operation_that_never_ends_is_ended_and_the_next_one_runs(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "OPERATION_LIMIT_S", 0.01)

    async def endless(tx: Tx) -> None:
        await spend(tx, "x", 1)
        await tx.fetch_all(FOR_EVER)

    with pytest.raises(StorageFailed, match="too long"):
        await database.write(endless)
    assert await facts(database) == (1000, 0, 0)


async def test_waiting_operations_share_one_commit(database: Database, url: str) -> None:
    seen: list[int] = []

    async def operation(tx: Tx) -> None:
        await spend(tx, f"entry {len(seen)}", 1)
        with closing(sqlite3.connect(sqlite_path(url))) as other:
            seen.append(other.execute("SELECT COUNT(*) FROM entries").fetchone()[0])

    await asyncio.gather(*(database.write(operation) for _ in range(20)))
    assert seen == [0] * 20, "a reader sees nothing of a group before it is whole"
    assert await facts(database) == (980, 20, 20)


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(StorageFailed, match="readonly"):
        await database.read(lambda tx: tx.execute("UPDATE accounts SET balance = 0"))
    assert await facts(database) == (1000, 0, 0)


async def test_a_reader_sees_one_state_from_its_first_statement_to_its_last(database: Database) -> None:
    gate = Gate()

    async def operation(tx: Tx) -> tuple[int, int]:
        before = await tx.fetch_one("SELECT balance FROM accounts")
        gate.wait()
        after = await tx.fetch_one("SELECT balance FROM accounts")
        assert before is not None
        assert after is not None
        return before["balance"], after["balance"]

    reading = asyncio.create_task(database.read(operation))
    await gate.reached()
    await database.write(lambda tx: spend(tx, "meanwhile", 1))
    gate.open()
    assert await reading == (1000, 1000)
    assert (await facts(database))[0] == 999


async def test_a_reader_that_takes_too_long_is_busy_and_the_next_one_reads(database: Database) -> None:
    async def endless(tx: Tx) -> None:
        await tx.fetch_all(FOR_EVER)

    with pytest.raises(StorageBusy):
        await database.read(endless, timeout_s=0.01)
    assert await facts(database) == (1000, 0, 0)


async def test_a_deadline_of_the_readers_own_is_not_the_databases(database: Database) -> None:
    async def impatient(tx: Tx) -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await database.read(impatient)
    assert await facts(database) == (1000, 0, 0)


async def test_readers_cancelled_at_any_step_leave_no_transaction_behind(database: Database) -> None:
    for steps in range(30):
        reader = asyncio.create_task(facts(database))
        for _ in range(steps):
            await asyncio.sleep(0)
        reader.cancel()
        await asyncio.wait([reader])
        assert await facts(database) == (1000, 0, 0)


async def test_closing_finishes_what_was_accepted_and_refuses_the_rest(url: str, migrations: Path) -> None:
    async with Database.open(url, migrations=migrations) as database:
        accepted = [asyncio.create_task(database.write(lambda tx, n=n: spend(tx, str(n), 1))) for n in range(300)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*accepted) == [1] * 300
    with pytest.raises(StorageClosed):
        await database.write(lambda tx: spend(tx, "late", 1))
    with pytest.raises(StorageClosed):
        await facts(database)
    async with Database.open(url, migrations=migrations) as database:
        assert await facts(database) == (700, 300, 300)


async def test_closing_waits_for_the_reader_that_is_reading(url: str, migrations: Path) -> None:
    gate = Gate()

    async def operation(tx: Tx) -> int:
        gate.wait()
        return len(await tx.fetch_all("SELECT * FROM accounts"))

    async with Database.open(url, migrations=migrations) as database:
        reader = asyncio.create_task(database.read(operation))
        await gate.reached()
        asyncio.get_running_loop().call_later(0.03, gate.open)
    assert await reader == 1


async def test_closing_does_not_wait_for_ever_for_an_operation(
    url: str, migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "CLOSE_LIMIT_S", 0.01)
    inside = Gate()
    inside.open()

    async def endless(tx: Tx) -> None:
        await spend(tx, "x", 1)
        inside.wait()
        await tx.fetch_all(FOR_EVER)

    async with Database.open(url, migrations=migrations) as database:
        stuck = asyncio.create_task(database.write(endless))
        await inside.reached()
        waiting = asyncio.create_task(database.write(lambda tx: spend(tx, "y", 1)))
        await asyncio.sleep(0)
    for caller in (stuck, waiting):
        with pytest.raises(StorageClosed):
            await caller
    async with Database.open(url, migrations=migrations) as database:
        assert await facts(database) == (1000, 0, 0)


STEP = st.sampled_from(["spend", "fail", "overdraw", "cancel soon", "cancel later", "read"])


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.tuples(STEP, st.integers(1, 300), st.integers(0, 6)), max_size=30))
def test_entries_add_up_to_the_balance_in_any_interleaving(
    steps: list[tuple[str, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    asyncio.run(_interleave(steps, tmp_path_factory.mktemp("interleaving")))


async def _interleave(steps: list[tuple[str, int, int]], folder: Path) -> None:
    (folder / "migrations").mkdir()
    (folder / "migrations" / "0001_ledger.sql").write_text(LEDGER)
    async with Database.open(f"sqlite:///{folder}/test.db", migrations=folder / "migrations") as database:
        tasks: list[asyncio.Task[int]] = []
        for number, (kind, amount, pause) in enumerate(steps):
            if kind == "read":
                balance, spent, _ = await facts(database)
                assert balance + spent == 1000
                continue
            task = asyncio.create_task(database.write(_step(kind, str(number), amount)))
            tasks.append(task)
            for _ in range(pause if kind == "cancel later" else 1):
                await asyncio.sleep(0)
            if kind.startswith("cancel"):
                task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        done = [result for result in results if isinstance(result, int)]
        balance, spent, _ = await facts(database)
        assert balance + spent == 1000
        assert spent >= sum(done)
        if not any(kind.startswith("cancel") for kind, _, _ in steps):
            assert spent == sum(done)


def _step(kind: str, entry: str, amount: int) -> Callable[[Tx], Awaitable[int]]:
    async def operation(tx: Tx) -> int:
        spent = await spend(tx, entry, amount + 1000 if kind == "overdraw" else amount)
        if kind == "fail":
            raise _OddError
        return spent

    return operation


def run_python(body: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(body), *arguments], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )


KILLED = """
    import asyncio, pathlib, sys
    from bot.storage.database import Database

    async def main():
        async with Database.open(sys.argv[1], migrations=pathlib.Path(sys.argv[2])) as database:
            async def worker(number):
                for turn in range(100_000):
                    async def spend(tx):
                        name = f"{number}-{turn}"
                        await tx.execute("INSERT INTO entries (id, account, amount) VALUES (?, 'a', 1)", (name,))
                        await tx.execute("UPDATE accounts SET balance = balance + 1")
                        return name
                    print(await database.write(spend), flush=True)
            await asyncio.gather(*map(worker, range(8)))
    asyncio.run(main())
"""


async def test_a_killed_process_leaves_whole_operations_only_and_every_one_it_confirmed(
    url: str, migrations: Path
) -> None:
    process = run_python(KILLED, url, str(migrations))
    assert process.stdout is not None
    confirmed = [process.stdout.readline().strip() for _ in range(200)]
    process.send_signal(signal.SIGKILL)
    confirmed += [line.strip() for line in process.stdout.read().splitlines()[:-1]]
    process.wait()
    process.stdout.close()
    async with Database.open(url, migrations=migrations) as database:
        balance, spent, number = await facts(database)
        assert balance - 1000 == spent == number
        rows = await database.read(lambda tx: tx.fetch_all("SELECT id FROM entries"))
    assert set(confirmed) <= {row["id"] for row in rows}


async def test_a_second_process_is_refused_while_the_first_lives(url: str, migrations: Path) -> None:
    process = run_python(KILLED, url, str(migrations))
    assert process.stdout is not None
    process.stdout.readline()
    try:
        with pytest.raises(DatabaseInUse, match="another process"):
            async with Database.open(url, migrations=migrations):
                pass
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    async with Database.open(url, migrations=migrations):
        pass


ENDED = """
    import asyncio, pathlib, sys
    from bot.storage.database import Database

    async def main():
        async with Database.open(sys.argv[1], migrations=pathlib.Path(sys.argv[2])) as database:
            raise RuntimeError("a fault elsewhere")
    try:
        asyncio.run(main())
    except RuntimeError:
        print("ended")
"""


def test_a_process_that_fails_with_the_database_open_still_ends(url: str, migrations: Path) -> None:
    process = run_python(ENDED, url, str(migrations))
    assert process.communicate(timeout=30)[0] == "ended\n"
    assert process.returncode == 0


async def test_commits_are_flushed_and_references_held(database: Database) -> None:
    async def settings_of(tx: Tx) -> tuple[object, ...]:
        rows = [await tx.fetch_one(f"PRAGMA {name}") for name in ("journal_mode", "synchronous", "foreign_keys")]
        return tuple(row[0] for row in rows if row is not None)

    assert await database.write(settings_of) == ("wal", 2, 1)


async def test_a_place_where_sqlite_keeps_no_journal_is_refused() -> None:
    """Memory is one; a network's file system is another."""
    async with AsyncExitStack() as stack:
        with pytest.raises(StorageFailed, match="use a local disk"):
            await database_module._connect(stack, Path(":memory:"))


async def test_the_file_is_its_owners_alone(database: Database, url: str) -> None:
    assert sqlite_path(url).stat().st_mode & 0o077 == 0
    assert sqlite_path(url).parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("url", "path"),
    [("sqlite:///data/bot.db", "data/bot.db"), ("sqlite:////var/lib/bot.db", "/var/lib/bot.db")],
)
def test_a_url_names_a_file_relative_or_absolute(url: str, path: str) -> None:
    assert sqlite_path(url) == Path(path)


@pytest.mark.parametrize(
    "url",
    ["postgresql://host/db", "sqlite://", "sqlite:///", "sqlite:///:memory:", "data/bot.db", "sqlite:///data/", ""],
)
def test_another_url_is_refused_by_the_variables_name(url: str) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        sqlite_path(url)


async def test_a_place_that_cannot_be_written_is_a_setting_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot be written"):
        async with Database.open(f"sqlite:///{tmp_path}/file/bot.db"):
            pass


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("Not a database. " * 100)
    with pytest.raises(StorageFailed, match="not a database"):
        async with Database.open(f"sqlite:///{file}"):
            pass
    assert file.read_text() == "Not a database. " * 100
