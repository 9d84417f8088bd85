"""SQLite behind a small interface: one writer that commits in groups, one reader beside it.

Each operation is a coroutine function that gets a `Tx`. Operations waiting at the same moment share one flush to disk,
which is what a durable commit costs (2,132 pairs of writes a second against 114 where a flush takes 4 ms). Each runs in
a SAVEPOINT of its own, so that a failing one goes alone. The writer is a task that no caller's cancellation reaches:
an operation is stored whole or not at all, and never leaves a transaction open.

A group makes one trip to the connection's thread, and so does a reader: there an operation runs from its first
statement to its last. A trip takes a turn of the event loop; with one for each statement it was those turns, not the
disk, that a queue of writes waited for: ten seconds at hundreds of answers at once.

The interface has nothing of SQLite in it, so that another engine can stand behind it.
"""

import asyncio
import logging
import math
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import aiosqlite

from bot.errors import BotError, SettingsError
from bot.observer import SILENT, Observer
from bot.storage.errors import (
    ConstraintBroken,
    DatabaseInUse,
    StorageBusy,
    StorageClosed,
    StorageDamaged,
    StorageError,
    StorageFailed,
)
from bot.storage.lock import holders, sole_process
from bot.storage.migrate import MIGRATIONS, migrate, read_migrations
from bot.storage.soundness import damaged, look_over, read_identity, set_journal_aside
from bot.storage.weather import LASTING, Trouble, trouble_of

_log = logging.getLogger(__name__)

T = TypeVar("T")
Value = str | int | float | bytes | None
Row = sqlite3.Row

GROUP_LIMIT: Final = 256
"""The most operations that share one commit."""

READERS_LIMIT: Final = 64
"""The most readers that wait in the thread, where nobody has to hand the connection over. The others wait outside."""

QUEUE_LIMIT: Final = 2_048
"""The most operations that wait. A caller beyond that waits for a place, inside its own deadline."""

DEADLINE_S: Final = 10.0
"""How long an operation waits for its turn unless its caller says otherwise."""

OPERATION_LIMIT_S: Final = 10.0
"""How long a running operation may hold up the others. Operations only speak to the database, so it is generous."""

STUCK_S: Final = 30.0
"""A group of writes that takes so long has met a disk that does not answer: SQLite itself waits no longer than 5 s."""

PROGRESS_STEPS: Final = 10_000
"""Instructions of SQLite's between two looks at the clock."""

CLOSE_LIMIT_S: Final = 10.0
"""How long closing waits for operations that were accepted before."""

BUSY_TIMEOUT_MS: Final = 5_000
"""How long SQLite waits for a lock of somebody outside, such as a backup tool."""


class Tx(Protocol):
    """An open transaction, usable until the operation that got it returns.

    Every method raises ConstraintBroken or StorageFailed. Parameters stand as `?`.
    """

    async def execute(self, sql: str, params: Sequence[Value] = ()) -> int:
        """How many rows an INSERT, UPDATE or DELETE changed; 0 for other statements. Not for RETURNING."""
        ...

    async def fetch_one(self, sql: str, params: Sequence[Value] = ()) -> Row | None:
        """The first row. The statement runs to its end all the same, so RETURNING is fine here."""
        ...

    async def fetch_all(self, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        """Every row; a statement that may find many bounds itself with LIMIT."""
        ...

    def announce(self, fact: object) -> None:
        """Have `fact` told, once this transaction is safely on disk, to whoever opened the database."""
        ...


Operation = Callable[[Tx], Awaitable[T]]
"""What runs in a transaction. It waits for nothing but its transaction: it runs in one go, in a thread without an event
loop, and raises RuntimeError where it waits for something else."""

Hear = Callable[[object], None]
"""Takes what transactions announce."""


class _SqliteTx:
    """`Tx` over one connection, in whose thread it is used: its coroutines never have to wait.

    It counts on being the connection's only user while it is open.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._open = True
        self.announced: list[object] = []

    async def execute(self, sql: str, params: Sequence[Value] = ()) -> int:
        with self._translated():
            return max(self._connection.execute(sql, params).rowcount, 0)

    async def fetch_one(self, sql: str, params: Sequence[Value] = ()) -> Row | None:
        rows = await self.fetch_all(sql, params)
        return rows[0] if rows else None

    async def fetch_all(self, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        with self._translated():
            return self._connection.execute(sql, params).fetchall()

    def announce(self, fact: object) -> None:
        self.announced.append(fact)

    def close(self) -> None:
        """From now on every use is refused: outside its transaction a statement would commit by itself."""
        self._open = False

    @contextmanager
    def _translated(self) -> Iterator[None]:
        if not self._open:
            raise StorageFailed("this transaction has ended")
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise ConstraintBroken(str(error)) from error
        except (sqlite3.Error, UnicodeEncodeError, OverflowError) as error:
            if not self._connection.in_transaction:
                self.close()
            raise _failed(str(error), error) from error


def _failed(words: str, error: BaseException) -> StorageFailed:
    """The error for a caller whose write or read ended with `error`."""
    failure = StorageDamaged if trouble_of(error) in LASTING else StorageFailed
    return failure(words)


@dataclass(slots=True, eq=False)
class _Waiting(Generic[T]):
    """An operation and the future its caller waits for. Who finds the future done before the start leaves it alone."""

    operation: Operation[T]
    result: asyncio.Future[T]
    started: bool = False

    def expire(self) -> None:
        if not self.started and not self.result.done():
            self.result.set_exception(StorageBusy("no turn before the deadline"))

    def succeed(self, value: T) -> None:
        if not self.result.done():
            self.result.set_result(value)

    def fail(self, error: BaseException) -> None:
        if self.result.done():
            return
        if isinstance(error, asyncio.CancelledError):
            self.result.cancel()
        else:
            self.result.set_exception(error)


class _Watch:
    """Ends a statement that takes too long: SQLite asks it every `PROGRESS_STEPS` of its instructions.

    `until` is of `time.monotonic`. Written in the connection's thread, all but `abandoned`.
    """

    def __init__(self) -> None:
        self.until = math.inf
        self.abandoned = False

    def over(self) -> bool:
        return self.abandoned or time.monotonic() > self.until

    @contextmanager
    def lasting(self, until: float) -> Iterator[None]:
        self.until = until
        try:
            yield
        finally:
            self.until = math.inf


async def _in_thread(connection: aiosqlite.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """What `work` returns or raises, in one trip to the thread in which alone the connection is used.

    In public aiosqlite has a trip for each statement only, so this asks its queue of work; its version is pinned.
    Whoever is cancelled meanwhile leaves the work to its end.
    """
    done = connection._execute(lambda: work(connection._conn))  # type: ignore[no-untyped-call]  # noqa: SLF001
    result: T = await done
    return result


def _carried_out(operation: Operation[T], tx: Tx) -> T:
    """The value of an operation, which is run in one go.

    Raises:
        RuntimeError: it waits for something else than its transaction. It has ended, too.
        Exception: whatever it raised.
    """
    running = operation(tx).__await__()
    try:
        next(running)
    except StopIteration as ended:
        value: T = ended.value
        return value
    running.close()
    raise RuntimeError("an operation waits for nothing but its transaction")


def _write_all(connection: sqlite3.Connection, *, watch: _Watch, operations: Sequence[Operation[Any]]) -> "_Written":
    """Run the operations of a group in one transaction and commit it; else all of it is rolled back.

    Raises:
        sqlite3.Error: the whole group is lost. So it is too where SQLite gave up the transaction by itself, as it may
            when the disk is full (https://sqlite.org/lang_transaction.html): there is no savepoint of its then.
        StorageFailed: it is one operation's statement at which SQLite gave up.
        StorageDamaged: the group is lost, too: nothing more is written into a file that is damaged.
        StorageClosed: nobody waits for it any more.
    """
    with _rolled_back(connection):
        connection.execute("BEGIN IMMEDIATE")
        changes = connection.total_changes
        results = [_write_one(connection, watch, operation) for operation in operations]
        if watch.abandoned:
            raise StorageClosed("the database closed while this operation ran")
        connection.execute("COMMIT")
        return _Written(results, connection.total_changes > changes)


def _write_one(connection: sqlite3.Connection, watch: _Watch, operation: Operation[T]) -> "_Success[T] | _Failure":
    """One operation in its savepoint: its value, or the error with which it was rolled back alone. See `_write_all`."""
    connection.execute("SAVEPOINT operation")
    tx = _SqliteTx(connection)
    result: _Success[T] | _Failure
    try:
        with watch.lasting(time.monotonic() + OPERATION_LIMIT_S):
            try:
                result = _Success(_carried_out(operation, tx), tx.announced)
            except StorageDamaged:
                raise
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever it is, its caller gets it
                result = _Failure(StorageFailed("the operation took too long") if watch.over() else error)
    finally:
        tx.close()
    if isinstance(result, _Failure):
        if isinstance(result.error, StorageFailed) and not connection.in_transaction:
            raise result.error  # why it was given up: what follows would only say that there is no savepoint
        connection.execute("ROLLBACK TO operation")
    connection.execute("RELEASE operation")
    return result


def _read_all(connection: sqlite3.Connection, *, watch: _Watch, operation: Operation[T], until: float) -> T:
    """Run an operation on one unchanging state. Raises StorageBusy where it is not done by `until`."""
    tx = _SqliteTx(connection)
    with _rolled_back(connection), watch.lasting(until):
        if watch.over():
            raise StorageBusy("the read had no turn before its deadline")
        try:
            _carried_out(lambda tx: tx.execute("BEGIN"), tx)
            return _carried_out(operation, tx)
        except StorageFailed as error:
            if watch.over():
                raise StorageBusy("the read was not done before its deadline") from error
            raise
        finally:
            tx.close()


@contextmanager
def _rolled_back(connection: sqlite3.Connection) -> Iterator[None]:
    """At the end roll back what was not committed."""
    try:
        yield
    finally:
        if connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error:
                _log.exception("the rollback failed")


class Database:
    """Open with `Database.open`; safe for any number of tasks of one event loop.

    An operation must not call `write` of the same database: it would wait for itself until the deadline.
    """

    def __init__(
        self,
        writer: aiosqlite.Connection,
        reader: aiosqlite.Connection,
        path: Path,
        *,
        observer: Observer = SILENT,
        hear: Hear = lambda _: None,
    ) -> None:
        self._observer = observer
        self._hear = hear
        self._writing: asyncio.Task[None] | None = None
        self._group_began: float | None = None
        self._writer = writer
        self._reader = reader
        self._write_watch = _Watch()
        self._read_watch = _Watch()
        self._reading = asyncio.Semaphore(READERS_LIMIT)
        self._queue: asyncio.Queue[_Waiting[Any] | None] = asyncio.Queue(QUEUE_LIMIT)
        self._closing = False
        self._path = path
        self._identity = read_identity(path)
        self._trouble: Trouble | None = None
        self._troubled = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, migrations: Path = MIGRATIONS, observer: Observer = SILENT, hear: Hear = lambda _: None
    ) -> AsyncIterator["Database"]:
        """The database at `url`, its schema brought up to date; folder and file are made when missing.

        `hear` is called with every fact that a transaction announced, after its commit; it must not block or raise.
        Leaving the block finishes the operations already accepted, then closes.

        Raises:
            SettingsError: the URL is not one we understand, or the place cannot be written to.
            DatabaseInUse: another process has the file.
            SchemaRefused: the file's schema is newer than this version, or was changed.
            StorageDamaged: what is in the file is no sound database.
            StorageFailed: SQLite cannot open the file.
        """
        path = sqlite_path(url)
        async with AsyncExitStack() as stack:
            await asyncio.to_thread(_prepare_file, path)
            stack.enter_context(sole_process(path))
            try:
                suspicious = await asyncio.to_thread(_left_open, path)
                writer = await _connect(stack, path)
                await look_over(writer, path, suspicious=suspicious)
                await migrate(writer, await asyncio.to_thread(read_migrations, migrations))
                await writer.execute("PRAGMA foreign_keys = ON")
                reader = await _connect(stack, path)
                await reader.execute("PRAGMA query_only = ON")
            except sqlite3.Error as error:
                raise await asyncio.to_thread(_not_opened, path, error) from error
            database = cls(writer, reader, path, observer=observer, hear=hear)
            await writer.set_progress_handler(database._write_watch.over, PROGRESS_STEPS)
            await reader.set_progress_handler(database._read_watch.over, PROGRESS_STEPS)
            await stack.enter_async_context(database._running())
            try:
                yield database
            finally:
                with suppress(TimeoutError):
                    async with asyncio.timeout(CLOSE_LIMIT_S):
                        await database.look_after_files()

    @property
    def waiting(self) -> int:
        """How many writes wait for their turn."""
        return self._queue.qsize()

    @property
    def is_writing(self) -> bool:
        """Whether the writer is there to take them."""
        return self._writing is not None and not self._writing.done()

    @property
    def path(self) -> Path:
        """The file, beside which its journal lies."""
        return self._path

    @property
    def trouble(self) -> Trouble | None:
        """What kept the last write from the disk; None once one has reached it again."""
        return self._trouble

    async def wait_for_trouble(self) -> None:
        """Return as soon as there is another trouble than at the last call."""
        await self._troubled.wait()
        self._troubled.clear()

    async def probe(self, *, timeout_s: float = DEADLINE_S) -> None:
        """Write something that leaves nothing, to find out whether a trouble has passed.

        Raises:
            StorageError: it has not.
        """

        async def come_and_go(tx: Tx) -> None:  # an UPDATE that changes no value would not reach the disk
            await tx.execute("INSERT INTO schema_version (number, name, checksum, applied_at) VALUES (0, '', '', '')")
            await tx.execute("DELETE FROM schema_version WHERE number = 0")

        await self.write(come_and_go, timeout_s=timeout_s)

    async def look_after_files(self) -> None:
        """Find out whether the files under their names are still those that were opened. Never raises."""
        if await asyncio.to_thread(read_identity, self._path) == self._identity:
            return
        self._note_trouble("replaced")
        await asyncio.to_thread(set_journal_aside, self._path, self._identity)
        # Whatever its name, the journal is still in our hands: what was committed goes from there into its own file.
        with suppress(StorageError, sqlite3.Error):
            async with asyncio.timeout(DEADLINE_S):
                await self._reader.execute_fetchall("PRAGMA wal_checkpoint(FULL)")

    def _note(self, error: BaseException) -> None:
        trouble = trouble_of(error)
        if trouble is not None:
            self._note_trouble(trouble)

    def _note_trouble(self, trouble: Trouble) -> None:
        if self._trouble in LASTING or trouble == self._trouble:
            return
        self._trouble = trouble
        self._troubled.set()

    def _check_sound(self) -> None:
        if self._trouble in LASTING:
            raise StorageDamaged(f"nothing is written any more: the database is {self._trouble}")

    async def check(self, *, timeout_s: float) -> None:
        """Read a row of a table that is always there.

        Raises:
            StorageError: it could not be read, or not in time; or what was to be written last did not reach the disk,
                or has been on its way there for STUCK_S.
        """
        if self._trouble is not None:
            raise StorageFailed(f"it takes no writes: {self._trouble}")
        if self._group_began is not None and time.monotonic() - self._group_began > STUCK_S:
            raise StorageFailed("it takes no writes: the disk does not answer")
        await self.read(lambda tx: tx.fetch_one("SELECT MAX(number) FROM schema_version"), timeout_s=timeout_s)

    async def write(self, operation: Operation[T], *, timeout_s: float = DEADLINE_S) -> T:
        """Run `operation` in a transaction and return its result once that is safely on disk.

        `timeout_s` bounds the wait for its turn. Cancelled before its turn, it does not run; after that it runs whole.

        Raises:
            StorageBusy: it had no turn in time, and did not run.
            StorageFailed: the group's commit failed, or the operation took too long; nothing of it is stored.
            StorageDamaged: so it is, and nothing will be before the process is started anew.
            StorageClosed: the database is closing.
            Exception: whatever the operation raised; nothing of it is stored.
        """
        self._check_open()
        self._check_sound()
        loop = asyncio.get_running_loop()
        waiting: _Waiting[T] = _Waiting(operation, loop.create_future())
        deadline = loop.time() + timeout_s
        await self._enqueue(waiting, deadline)
        alarm = loop.call_at(deadline, waiting.expire)
        try:
            result = await waiting.result
        finally:
            alarm.cancel()
        self._observer.write_waited(loop.time() - deadline + timeout_s)
        return result

    async def read(self, operation: Operation[T], *, timeout_s: float = DEADLINE_S) -> T:
        """Run `operation` on one unchanging state of what has been committed; it cannot write.

        Raises:
            StorageBusy: it was not done within `timeout_s`, its wait included.
            StorageFailed: a statement failed.
            StorageClosed: the database is closing.
            Exception: whatever the operation raised.
        """
        self._check_open()
        try:
            async with asyncio.timeout(timeout_s) as deadline, self._reading:
                self._check_open()
                return await self._read(operation, time.monotonic() + timeout_s)
        except TimeoutError:
            if deadline.expired():
                raise StorageBusy("the read was not done before its deadline") from None
            raise

    async def _read(self, operation: Operation[T], until: float) -> T:
        try:
            return await _in_thread(
                self._reader, partial(_read_all, watch=self._read_watch, operation=operation, until=until)
            )
        except StorageFailed as error:
            self._note(error)
            raise

    def _check_open(self) -> None:
        if self._closing:
            raise StorageClosed("the database is closing")

    async def _enqueue(self, waiting: _Waiting[T], deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await self._queue.put(waiting)
        except TimeoutError:
            raise StorageBusy(f"{QUEUE_LIMIT} operations are waiting already") from None

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        """Own the writer's task: it works off what was accepted, within a limit, before it goes."""
        task = self._writing = asyncio.create_task(self._write_groups(), name="database writer")
        try:
            yield
        finally:
            self._closing = True
            try:
                async with asyncio.timeout(CLOSE_LIMIT_S):
                    await self._queue.put(None)
                    await asyncio.shield(task)
                    # A trip behind those of all readers: the last one is done, and those after it are refused.
                    await _in_thread(self._reader, lambda _: None)
            except TimeoutError:
                _log.error("the database did not finish its writes within %s s", CLOSE_LIMIT_S)
            finally:
                task.cancel()
                await asyncio.wait([task])
                self._refuse_rest()

    def _refuse_rest(self) -> None:
        while not self._queue.empty():
            waiting = self._queue.get_nowait()
            if waiting is not None:
                waiting.fail(StorageClosed("the database closed before this operation's turn"))

    async def _write_groups(self) -> None:
        last = False
        while not last:
            group, last = self._take_group(await self._queue.get())
            if not group:
                continue
            try:
                await self._run_group(group)
            except asyncio.CancelledError:
                for waiting in group:
                    waiting.fail(StorageClosed("the database closed while this operation ran"))
                raise
            except Exception as error:  # noqa: BLE001 - the top of the loop: a group's end must not end the writer
                # Once as an error: who tries again and again would else fill the disk with the news that it is full.
                known = trouble_of(error) is not None and trouble_of(error) == self._trouble
                _log.log(logging.INFO if known else logging.ERROR, "a group of %d writes failed: %s", len(group), error)
                self._note(error)
                for waiting in group:
                    failure = _failed(f"nothing was stored: {error}", error)
                    failure.__cause__ = error
                    waiting.fail(failure)

    def _take_group(self, first: _Waiting[Any] | None) -> tuple[list[_Waiting[Any]], bool]:
        """What waits, up to the limit, without those whose callers have gone; and whether closing was asked for."""
        group: list[_Waiting[Any]] = []
        waiting = first
        while waiting is not None:
            if not waiting.result.done():
                waiting.started = True
                group.append(waiting)
            if self._queue.empty() or len(group) == GROUP_LIMIT:
                return group, False
            waiting = self._queue.get_nowait()
        return group, True

    async def _run_group(self, group: list[_Waiting[Any]]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._check_sound()
        operations = [waiting.operation for waiting in group]
        self._group_began = time.monotonic()
        try:
            written = await _in_thread(
                self._writer, partial(_write_all, watch=self._write_watch, operations=operations)
            )
        except asyncio.CancelledError:
            self._write_watch.abandoned = True
            raise
        finally:
            self._group_began = None
        if self._trouble not in LASTING and written.changed:
            self._trouble = None  # something has reached the disk
        self._observer.group_committed(len(group), loop.time() - began)
        for waiting, result in zip(group, written.results, strict=True):
            if isinstance(result, _Failure):
                self._note(result.error)
                waiting.fail(result.error)
                continue
            for fact in result.announced:
                self._hear(fact)
            waiting.succeed(result.value)


@dataclass(frozen=True, slots=True)
class _Success(Generic[T]):
    value: T
    announced: Sequence[object]


@dataclass(frozen=True, slots=True)
class _Failure:
    error: BaseException


class _Written(NamedTuple):
    """A group's results, and whether it changed anything."""

    results: Sequence[_Success[Any] | _Failure]
    changed: bool


def sqlite_path(url: str) -> Path:
    """The file of `sqlite:///relative/path.db` or `sqlite:////absolute/path.db`.

    Raises:
        SettingsError: it is another kind of URL, or names no file.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme != "sqlite":
        raise SettingsError([f"DATABASE_URL: {scheme}:// is not supported, only sqlite:///path/to/file.db"])
    if not separator or not rest.startswith("/") or rest.endswith("/") or ":memory:" in rest or rest == "/":
        raise SettingsError(["DATABASE_URL must look like sqlite:///relative/file.db or sqlite:////absolute/file.db"])
    return Path(rest[1:])


def _prepare_file(path: Path) -> None:
    """Folder and file are the owner's alone: people's questions are in there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error


def _unwritable(path: Path, why: str) -> SettingsError:
    return SettingsError([f"DATABASE_URL: {path} cannot be written: {why}"])


def _left_open(path: Path) -> bool:
    """Whether whoever had the database last did not close it: then its journal is still there.

    Raises:
        StorageDamaged: there is a journal of a database that is not there. SQLite would throw it away.
    """
    try:
        left = Path(f"{path}-wal").stat().st_size > 0
        empty = path.stat().st_size == 0
    except FileNotFoundError:
        return False
    if left and empty:
        raise StorageDamaged(
            f"{path} is missing or empty, but its journal {path}-wal is there: put the file back, "
            "or restore a backup with `python -m bot restore FILE`"
        )
    return left


def _not_opened(path: Path, error: sqlite3.Error) -> BotError:
    """What to tell the operator of a database that cannot be opened, and what to do about it."""
    match trouble_of(error):
        case "full":
            return StorageFailed(f"{path} cannot be opened, its disk is full: make room and start again ({error})")
        case "read-only":
            return _unwritable(path, str(error))
        case "locked":
            who = holders(path) or "another program"
            return DatabaseInUse(f"{path} is locked by {who}: close that first")
        case "damaged":
            return damaged(path, str(error))
        case _:
            return StorageFailed(f"{path}: {error}")


async def _connect(stack: AsyncExitStack, path: Path) -> aiosqlite.Connection:
    """A connection in autocommit, so that transactions are ours alone; closed with `stack`.

    It has to be closed whatever happens: its thread is not a daemon and would keep the process from ending.
    """
    connection = await stack.enter_async_context(aiosqlite.connect(path, isolation_level=None))
    connection.row_factory = sqlite3.Row
    await connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    [[mode]] = await connection.execute_fetchall("PRAGMA journal_mode = WAL")
    if mode != "wal":
        raise StorageFailed(f"{path} lies where SQLite cannot keep its journal (it says {mode}): use a local disk")
    await connection.execute("PRAGMA synchronous = FULL")
    # What is deleted is overwritten, and not left in pages that are free for reuse. Most builds do so by default.
    await connection.execute("PRAGMA secure_delete = ON")
    return connection
