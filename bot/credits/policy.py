"""Which allowance applies to whom, and for how long. Pure: the clock and the rules are arguments."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Final, Literal
from zoneinfo import ZoneInfo, available_timezones

from bot.errors import AllowanceSource, AmountWrong, SettingsError
from bot.money import AMOUNT_LIMIT, NO_MONEY, CreditUnit, NanoDollars
from bot.settings import Settings

Period = Literal["day", "week", "month", "once"]
Kind = Literal["amount", "unlimited", "none"]

PERIODS: Final[tuple[Period, ...]] = ("day", "week", "month", "once")

DIRECT_SCOPE: Final = 0
"""The scope of direct messages and of places into which a user brought the bot along; a server's is its id."""

_PER_210_DAYS: Final[Mapping[Period, int]] = {"day": 210, "week": 30, "month": 7, "once": 7}
"""How often a period counts when allowances of several roles are compared: a month as 30 days, once as a month."""

_SECOND: Final = timedelta(seconds=1)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """`amount_nano` is 0 unless the kind is `amount`; the period then says how often it comes anew."""

    kind: Kind
    amount_nano: NanoDollars = NO_MONEY
    period: Period = "once"

    def __post_init__(self) -> None:
        if self.kind == "amount" and not 0 < self.amount_nano <= AMOUNT_LIMIT:
            raise ValueError("an allowance is above zero and within AMOUNT_LIMIT")
        if self.kind != "amount" and (self.amount_nano != 0 or self.period != "once"):
            raise ValueError(f"{self.kind} has neither an amount nor a period")

    @classmethod
    def of(cls, amount_nano: NanoDollars, period: Period) -> "Allowance":
        """So much in each period. ValueError where it is not above zero and within AMOUNT_LIMIT."""
        return cls(kind="amount", amount_nano=amount_nano, period=period)

    @property
    def text(self) -> str:
        """For storage and logs: `100000000/day` in nano-dollars, `unlimited` or `none`."""
        return f"{self.amount_nano}/{self.period}" if self.kind == "amount" else self.kind

    @classmethod
    def from_text(cls, text: str) -> "Allowance":
        """What `text` wrote."""
        amount, _, written = text.partition("/")
        period = next((period for period in PERIODS if period == written), None)
        if period is not None:
            return cls.of(NanoDollars(int(amount)), period)
        return {"unlimited": UNLIMITED, "none": BLOCKED}[text]


UNLIMITED: Final = Allowance(kind="unlimited")
BLOCKED: Final = Allowance(kind="none")


@dataclass(frozen=True, kw_only=True, slots=True)
class InForce:
    """The allowance that applies, and the rule that says so; `role_id` where that is a role's."""

    allowance: Allowance
    source: AllowanceSource
    role_id: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatorLimits:
    """What the operator decides. A ceiling of None is no limit; the server's holds for each server by itself."""

    member: Allowance
    direct: Allowance
    bot_ceiling_nano: NanoDollars | None = None
    server_ceiling_nano: NanoDollars | None = None

    @classmethod
    def load(cls, settings: Settings) -> "OperatorLimits":
        """The limits as the environment has them.

        Raises:
            SettingsError: an allowance's amount is zero, too large, or finer than a nano-dollar.
        """
        unit = CreditUnit(nano=settings.credit_nano)
        return cls(
            member=_from_settings("DEFAULT_ALLOWANCE", settings.default_allowance, unit),
            direct=_from_settings("DM_ALLOWANCE", settings.dm_allowance, unit),
            bot_ceiling_nano=settings.bot_monthly_ceiling_nano,
            server_ceiling_nano=settings.server_monthly_ceiling_nano,
        )


def _from_settings(name: str, text: str, unit: CreditUnit) -> Allowance:
    credits_text, _, written = text.partition("/")
    period = next((period for period in PERIODS if period == written), None)
    if period is None:
        return Allowance.from_text(text)
    try:
        return Allowance.of(unit.parse(credits_text), period)
    except AmountWrong as error:
        words = f"{name}: {credits_text} credits is {error.problem}; from {error.finest} to {error.largest} can be set"
        raise SettingsError([words]) from error


def in_force(
    *,
    member: Allowance | None,
    roles: Mapping[int, Allowance],
    server: Allowance | None,
    operator: Allowance,
) -> InForce:
    """The member's own allowance, else the best of their roles', else the server's, else the operator's.

    `roles` has the allowances of those roles only that the member holds, by role id.
    """
    if member is not None:
        return InForce(allowance=member, source="member")
    if roles:
        best = max(roles, key=lambda role_id: (*_worth(roles[role_id]), -role_id))
        return InForce(allowance=roles[best], source="role", role_id=best)
    if server is not None:
        return InForce(allowance=server, source="server")
    return InForce(allowance=operator, source="operator")


def _worth(allowance: Allowance) -> tuple[int, int, int]:
    """Ordered from worst to best: none, amounts by what they come to in the same time, unlimited.

    Of two equal ones the shorter period is better, since what is used up is back sooner.
    """
    rank = ("none", "amount", "unlimited").index(allowance.kind)
    return rank, allowance.amount_nano * _PER_210_DAYS[allowance.period], -PERIODS.index(allowance.period)


@cache
def zone_names() -> frozenset[str]:
    """The names of the IANA database, as installed."""
    return frozenset(available_timezones())


def period_bounds(period: Period, now: datetime, zone: ZoneInfo) -> tuple[datetime | None, datetime | None]:
    """The period that `now` lies in, start inclusive and end exclusive, in UTC; (None, None) for `once`.

    Days are the calendar's in `zone`, weeks begin on Monday, months on the 1st. A day begins at the first instant at
    which a clock there shows its date: where midnight is skipped, at the end of the gap; where it comes twice, at the
    first. An hour that is shown again after it belongs to the new day.
    """
    if period == "once":
        return None, None
    today = local_day(now, zone)
    match period:
        case "day":
            first, after = today, today + _DAY
        case "week":
            first = today - timedelta(days=today.weekday())
            after = first + timedelta(weeks=1)
        case _:  # "month"
            first = today.replace(day=1)
            after = (first + timedelta(days=31)).replace(day=1)
    return day_start(first, zone), day_start(after, zone)


def local_day(now: datetime, zone: ZoneInfo) -> date:
    """The day of `period_bounds` that `now` lies in. ValueError where `now` has no time zone."""
    if now.tzinfo is None:
        raise ValueError("now needs its time zone")
    day = now.astimezone(zone).date()
    while now >= day_start(day + _DAY, zone):  # clocks went back over midnight: yesterday's date is shown again
        day += _DAY
    return day


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """The first instant, in UTC, at which a clock in `zone` shows `day` or a later date."""
    midnight = datetime.combine(day, time(), zone)
    instant = midnight.astimezone(UTC)
    if instant.astimezone(zone) == midnight:  # in one zone, readings of the clock are compared
        return instant
    # Midnight is skipped. With the offset from after the gap the same reading lies before it: the gap is in between.
    before = midnight.replace(fold=1).astimezone(UTC)
    while instant - before > _SECOND:
        middle = before + (instant - before) // (2 * _SECOND) * _SECOND
        if middle.astimezone(zone).date() < day:
            before = middle
        else:
            instant = middle
    return instant


def days(first: date, last: date, zone: ZoneInfo) -> Iterator[tuple[date, datetime, datetime]]:
    """Each day from `first` to `last`, both included, with its start and its end in UTC."""
    day = first
    while day <= last:
        yield day, day_start(day, zone), day_start(day + _DAY, zone)
        day += _DAY
