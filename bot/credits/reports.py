"""What `/usage` shows: sums over the ledger, made in SQL. Reads the tables of bot/credits/ledger.py."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from bot.credits.values import ChargeKind, Entry
from bot.money import NanoDollars
from bot.storage.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """From `start`, inclusive, to `end`, exclusive; None: without that bound."""

    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DaySpent:
    """What users paid on one day of the calendar for one model. Days without a charge are left out."""

    day: date
    model: str
    user_nano: NanoDollars


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpent:
    """What one model came to. `loss_nano` is what the API was paid and no user was charged."""

    kind: ChargeKind
    model: str
    requests: int
    estimated: int
    user_nano: NanoDollars
    provider_nano: NanoDollars
    prompt_tokens: int
    completion_tokens: int
    images: int

    @property
    def loss_nano(self) -> NanoDollars:
        """May be below zero by nothing: no user pays more than the API was paid."""
        return NanoDollars(self.provider_nano - self.user_nano)


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberSpent:
    """What one member paid, and for how many requests."""

    user_id: int
    requests: int
    user_nano: NanoDollars


@dataclass(frozen=True, kw_only=True, slots=True)
class Trend:
    """Two spans of the same length, one after the other, the later up to now; whole sums of what users paid."""

    days: int
    before_nano: NanoDollars
    now_nano: NanoDollars

    @property
    def per_day_nano(self) -> NanoDollars:
        """The later span's mean, rounded up."""
        return NanoDollars(-(-self.now_nano // self.days))


@dataclass(frozen=True, kw_only=True, slots=True)
class MonthTotal:
    """What a UTC month has cost the operator, and what open holds may add; `ceiling_nano` None: no ceiling."""

    month: int
    provider_nano: NanoDollars
    held_nano: NanoDollars
    ceiling_nano: NanoDollars | None
    resets_at: datetime


class Reports:
    """Reads only. Each may raise StorageError. `user_id` None: everybody in the scope."""

    def __init__(self, database: Database) -> None:
        self._database = database
