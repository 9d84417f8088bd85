"""A real database in which people have left traces, and the job that forgets, with a clock that tests move."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from bot.answers import history
from bot.answers.ending import AnswerState
from bot.answers.history import AnswerRecord, Asked, MemoryKey, ModeChoice, Turn
from bot.answers.question import Asker, Place, Question
from bot.credits.allowances import Allowances
from bot.credits.check import check
from bot.credits.ledger import Ledger
from bot.credits.policy import Allowance, OperatorLimits
from bot.credits.rules import Consumed
from bot.credits.values import HoldRequest, Standing
from bot.drafts import Draft, Drafts
from bot.guilds import SERVER_DEFAULT, Decision, Guilds, Target
from bot.money import CreditUnit, NanoDollars
from bot.pictures import orders
from bot.pictures.orders import Ending
from bot.pictures.request import Order, Picture
from bot.privacy.erasing import Eraser, Progress
from bot.privacy.retention import Housekeeper, Limits
from bot.storage.database import Database, Row, Tx

DISCORD_EPOCH = datetime(2015, 1, 1, tzinfo=UTC)
START = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)
"""A Wednesday: its week began on the 16th, its month on the 1st."""
SERVER, CHANNEL = 700_000_000_000_000_001, 700_000_000_000_000_002
DANA, NOAM, RUTH = 800_000_000_000_000_011, 800_000_000_000_000_022, 800_000_000_000_000_033
MARKER = "the-secret-of-dana"
UNIT = CreditUnit(nano=1_000_000)
A_MONTH = Allowance.of(NanoDollars(10_000), "month")


@dataclass
class Archive:
    """`at` is the time now; every id is a snowflake of it."""

    database: Database
    url: str
    path: Path
    at: datetime = START
    operator: OperatorLimits = field(default_factory=lambda: OperatorLimits(member=A_MONTH, direct=A_MONTH))
    limits: Limits = field(default_factory=lambda: Limits(memory=180, orders=730, grace=30))

    def __post_init__(self) -> None:
        self._count = 0
        self.guilds = Guilds(self.database)
        self.allowances = Allowances(self.database)
        self.drafts = Drafts(self.database, now=self.now)
        self.build()

    def build(self) -> None:
        """The services anew, after `operator` or `limits` were changed."""
        self.ledger = Ledger(
            self.database, limits=self.operator, unit=UNIT, run_id="this run", notify=lambda notice: None
        )
        self.eraser = Eraser(self.database, limits=self.operator, now=self.now)
        self.housekeeper = Housekeeper(
            self.database, url=self.url, limits=self.limits, eraser=self.eraser, now=self.now
        )

    def now(self) -> float:
        return self.at.timestamp()

    def later(self, **how: float) -> None:
        self.at += timedelta(**how)

    def new_id(self) -> int:
        self._count += 1
        milliseconds = (self.at - DISCORD_EPOCH) // timedelta(milliseconds=1)
        return (milliseconds << 22) + self._count

    def decision(self, by: int = RUTH, reason: str = "") -> Decision:
        return Decision(key=self.new_id(), by=by, at=self.at, reason=reason)

    # Traces

    async def turn(self, who: int = DANA, *, guild_id: int | None = SERVER, text: str = MARKER) -> int:
        """A remembered question with its answer's buttons."""
        key = self.new_id()
        place = Place(channel_id=CHANNEL, guild_id=guild_id)
        question = Question(id=key, asker=Asker(id=who, name=text), place=place, prompt=text)
        turn = Turn(
            question_id=key,
            key=MemoryKey.personal(CHANNEL, who),
            guild_id=guild_id,
            asked_at=self.at,
            asked=Asked(asker=question.asker, prompt=text, file_name="a.txt", file_text=text * 500),
            answer=f"You said {text}.",
            model="gpt-4o-mini",
            prompt_tokens=1,
            completion_tokens=1,
            cost_nano=NanoDollars(1),
            finish_reason="stop",
            complete=True,
        )
        await self.database.write(lambda tx: history.append_turn(tx, turn))
        await self.answer(question)
        return key

    async def answer(self, question: Question, state: AnswerState = "done") -> None:
        record = AnswerRecord(
            question=question,
            state=state,
            updated_at=self.at,
            messages=((CHANNEL, self.new_id()),),
            turn_id=question.id,
        )
        await self.database.write(lambda tx: history.save_answer(tx, record))

    async def mode(self, who: int = DANA) -> None:
        choice = ModeChoice(mode="personal", set_by=who, set_at=self.at, guild_id=SERVER)
        await self.database.write(lambda tx: history.set_mode(tx, CHANNEL, choice))

    async def hold(self, cost: int = 100, who: int = DANA, *, scope_id: int = SERVER, **more: Any) -> int:
        key = self.new_id()
        await self.ledger.hold(
            HoldRequest(
                key=key,
                scope_id=scope_id,
                user_id=who,
                role_ids=frozenset(),
                kind="chat",
                model="gpt-4o-mini",
                fixed_nano=NanoDollars(cost),
                at=self.at,
            ),
            **more,
        )
        return key

    async def charge(self, cost: int = 100, who: int = DANA, *, scope_id: int = SERVER) -> int:
        key = await self.hold(cost, who, scope_id=scope_id)
        await self.ledger.end(key, "finished", Consumed(nano=NanoDollars(cost), estimated=False), at=self.at)
        return key

    async def grant(self, amount: int, who: int = DANA, *, by: int = RUTH) -> None:
        await self.ledger.grant(SERVER, who, NanoDollars(amount), self.decision(by, f"for {MARKER}"))

    async def allow(self, allowance: Allowance, target: Target = SERVER_DEFAULT, *, by: int = RUTH) -> None:
        await self.allowances.set(SERVER, target, allowance, self.decision(by))

    async def order(self, who: int = DANA, *, ended: bool = True, untold: str | None = None) -> int:
        """An order of one picture, cancelled unless it goes on."""
        key = self.new_id()
        order = Order(
            id=key,
            asker=Asker(id=who, name=MARKER),
            place=Place(channel_id=CHANNEL, guild_id=SERVER),
            picture=Picture(prompt=MARKER, model="realvision", width=256, height=256),
            count=1,
            spoiler=False,
            private=False,
            application_id=1,
            token=MARKER,
            message_id=self.new_id(),
            upload_limit_bytes=1,
        )
        along = partial(orders.insert, order=order, image_nano=NanoDollars(10), at=self.at)
        request = HoldRequest(
            key=key,
            scope_id=SERVER,
            user_id=who,
            role_ids=frozenset(),
            kind="image",
            model="realvision",
            fixed_nano=NanoDollars(10),
            at=self.at,
        )
        await self.ledger.hold(request, along=along)
        if ended:
            ending = Ending(state="cancelled", reason="cancelled", untold=untold)
            await self.database.write(lambda tx: orders.end(tx, key, ending, at=self.at))
        return key

    async def draft(self, who: int = DANA, *, guild_id: int | None = SERVER) -> int:
        """The message that an open form is about."""
        key = self.new_id()
        body = {"quoted": MARKER, "quoted_author": "Noam"}
        await self.drafts.keep(Draft(id=key, user_id=who, guild_id=guild_id, kind="question", body=body))
        return key

    async def live(self, who: int = DANA) -> None:
        """A bit of everything that the bot keeps of somebody."""
        await self.draft(who)
        await self.draft(who, guild_id=None)
        await self.turn(who)
        await self.turn(who, guild_id=None)
        await self.order(who)
        await self.mode(who)
        await self.charge(100, who)
        await self.charge(50, who, scope_id=0)
        await self.grant(500, who)
        await self.grant(70, NOAM, by=who)
        await self.allow(A_MONTH, by=who)
        await self.guilds.change(SERVER, lambda now: replace(now, images=False), self.decision(who))

    # Looking

    async def erase(self, who: int = DANA) -> Progress:
        return await self.eraser.carry_on(await self.eraser.ask(who, erasure_id=self.new_id()))

    async def sweep(self) -> None:
        await self.housekeeper.sweep()

    async def rows(self, sql: str, *params: int | str) -> list[Row]:
        return await self.database.read(lambda tx: tx.fetch_all(sql, params))

    async def counts(self, *tables: str) -> list[int]:
        return [(await self.rows(f"SELECT COUNT(*) AS count FROM {table}"))[0]["count"] for table in tables]

    async def standing(self, who: int = DANA, scope_id: int = SERVER) -> Standing:
        return await self.ledger.standing(scope_id, who, frozenset(), at=self.at)

    async def sums(self) -> list[tuple[int, ...]]:
        """What the ledger adds up to, by server and month, and the months as they are kept."""
        entries = await self.rows(
            "SELECT scope_id, COUNT(*), SUM(from_allowance_nano), SUM(from_grant_nano), SUM(granted_nano),"
            " SUM(provider_nano) FROM entries GROUP BY scope_id ORDER BY scope_id"
        )
        months = await self.rows("SELECT scope_id, month, provider_nano FROM month_totals ORDER BY scope_id, month")
        accounts = await self.rows(
            "SELECT scope_id, SUM(spent_nano), SUM(grant_nano) FROM accounts GROUP BY scope_id ORDER BY scope_id"
        )
        return [tuple(row) for row in (*entries, *months, *accounts)]

    async def books_are_right(self) -> None:
        assert (await self.database.read(check)).differences == ()

    async def mentions(self, *needles: object) -> list[str]:
        """The columns, as `table.column`, in which one of the texts occurs in any row."""
        return await self.database.read(partial(mentions, needles=[str(needle) for needle in needles]))


async def mentions(tx: Tx, *, needles: list[str]) -> list[str]:
    """See `Archive.mentions`: every column of every table is looked at, as text."""
    found = []
    for table in await tx.fetch_all("SELECT name FROM sqlite_master WHERE type = 'table'"):
        for row in await tx.fetch_all(f"SELECT * FROM {table['name']}"):
            found += [
                f"{table['name']}.{name}"
                for name, value in dict(row).items()
                if any(needle in str(value) for needle in needles)
            ]
    return sorted(set(found))


@asynccontextmanager
async def open_archive(folder: Path) -> AsyncIterator[Archive]:
    """The archive of that folder, as an earlier process may have left it."""
    url = f"sqlite:///{folder}/bot.db"
    async with Database.open(url) as database:
        yield Archive(database, url, folder / "bot.db")
