"""A ledger over a real database, and the shortest words for what tests do with it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from bot.credits.allowances import Allowances
from bot.credits.check import Checked, check
from bot.credits.ledger import Ledger
from bot.credits.policy import Allowance, OperatorLimits, Period
from bot.credits.reports import Reports
from bot.credits.rules import Consumed
from bot.credits.values import CeilingNotice, HoldRequest
from bot.guilds import SERVER_DEFAULT, Decision, Guilds, Target
from bot.money import CreditUnit, NanoDollars
from bot.storage.database import Database

NOW = datetime(2026, 12, 31, 12, 0, tzinfo=UTC)
SERVER = 7_000
ANN, BEN = 1, 2
UNIT = CreditUnit(nano=1_000_000)
MUCH = Allowance.of(NanoDollars(1_000), "day")


def a_day(amount: int, period: Period = "day") -> Allowance:
    return Allowance.of(NanoDollars(amount), period)


def consumed(nano: int, **more: Any) -> Consumed:
    return Consumed(nano=NanoDollars(nano), estimated=more.pop("estimated", False), **more)


def limits(**changes: Any) -> OperatorLimits:
    return replace(OperatorLimits(member=MUCH, direct=MUCH), **changes)


def request(key: int, cost: int = 100, **changes: Any) -> HoldRequest:
    """A request of Ann's in the server that costs so many nano-dollars, with nothing to shorten."""
    values: dict[str, Any] = {
        "key": key,
        "scope_id": SERVER,
        "user_id": ANN,
        "role_ids": frozenset(),
        "kind": "chat",
        "model": "gpt-4o-mini",
        "fixed_nano": NanoDollars(cost),
        "at": NOW,
    }
    return HoldRequest(**values | changes)


@dataclass
class Books:
    """`run` names the process that the ledger believes to be."""

    database: Database
    operator: OperatorLimits = field(default_factory=limits)
    run: str = "this run"
    notices: list[CeilingNotice] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.allowances = Allowances(self.database)
        self.guilds = Guilds(self.database)
        self.reports = Reports(self.database)
        self.ledger = self.as_run(self.run)
        self._decisions = 900_000

    def as_run(self, run: str, **changes: Any) -> Ledger:
        """A ledger as another process would have it over the same database."""
        notify: Callable[[CeilingNotice], None] = self.notices.append
        operator = replace(self.operator, **changes)
        return Ledger(self.database, limits=operator, unit=UNIT, run_id=run, notify=notify)

    def decision(self, reason: str = "because", at: datetime = NOW) -> Decision:
        self._decisions += 1
        return Decision(key=self._decisions, by=99, at=at, reason=reason)

    async def allow(self, allowance: Allowance, target: Target = SERVER_DEFAULT) -> None:
        await self.allowances.set(SERVER, target, allowance, self.decision())

    async def grant(self, amount: int, user_id: int = ANN) -> None:
        await self.ledger.grant(SERVER, user_id, NanoDollars(amount), self.decision())

    async def left(self, user_id: int = ANN, at: datetime = NOW) -> tuple[int | None, int]:
        """What is left of the allowance and of grants."""
        standing = await self.ledger.standing(SERVER, user_id, frozenset(), at=at)
        return standing.left_nano, standing.grants_left_nano

    async def checked(self) -> Checked:
        return await self.database.read(check)
