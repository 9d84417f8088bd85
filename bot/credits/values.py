"""What the ledger takes and gives: values, without I/O. Amounts are nano-dollars, times have their zone."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from bot.credits.policy import InForce
from bot.credits.rules import Reason
from bot.errors import CeilingScope
from bot.money import AMOUNT_LIMIT, NO_MONEY, NanoDollars

ChargeKind = Literal["chat", "image"]
EntryKind = Literal["charge", "grant", "correction"]

USED_NOTICE_PERCENT: Final = 80
"""From here on people are told that their allowance, and the operator that a ceiling, is nearly used."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def to_us(at: datetime) -> int:
    """Microseconds since 1970. ValueError where `at` has no time zone."""
    if at.tzinfo is None:
        raise ValueError("a time needs its time zone")
    return (at - _EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime:
    """The time in UTC."""
    return _EPOCH + us * _MICROSECOND


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldRequest:
    """What a request costs at worst: `fixed_nano` for its input (or its pictures) and `unit_nano` for each token of the
    answer, of which `units_wanted` are asked for and `units_minimum` are of use. Pictures have no units.

    `key` is the snowflake of the interaction or message. `scope_id` is the server, or DIRECT_SCOPE; `role_ids` are the
    roles of the asker there.
    """

    key: int
    scope_id: int
    user_id: int
    role_ids: frozenset[int]
    kind: ChargeKind
    model: str
    fixed_nano: NanoDollars
    at: datetime
    unit_nano: NanoDollars = NO_MONEY
    units_wanted: int = 0
    units_minimum: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.units_minimum <= self.units_wanted or min(self.fixed_nano, self.unit_nano) < 0:
            raise ValueError("costs are never negative, and no more units are of use than are wanted")
        if self.cost(self.units_wanted) > AMOUNT_LIMIT:
            raise ValueError("no request costs more than AMOUNT_LIMIT")
        if self.at.tzinfo is None:
            raise ValueError("a time needs its time zone")

    def cost(self, units: int) -> NanoDollars:
        """The worst case with so many units."""
        return NanoDollars(self.fixed_nano + self.unit_nano * units)


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """An account as it stands. `spent_nano` and `held_nano` are of the allowance, in the period from `starts_at` to
    `ends_at` (None, None for `once`, `unlimited` and `none`); grants are counted apart, over all time.

    `time_zone` is the server's, in which the period runs.
    """

    scope_id: int
    user_id: int
    in_force: InForce
    time_zone: str
    starts_at: datetime | None
    ends_at: datetime | None
    spent_nano: NanoDollars
    held_nano: NanoDollars
    grant_nano: NanoDollars
    held_grant_nano: NanoDollars

    @property
    def limit_nano(self) -> NanoDollars | None:
        """The allowance's amount; 0 for `none`, None for `unlimited`."""
        return None if self.in_force.allowance.kind == "unlimited" else self.in_force.allowance.amount_nano

    @property
    def left_nano(self) -> NanoDollars | None:
        """What is left of the allowance, never below zero; None for `unlimited`."""
        limit = self.limit_nano
        return None if limit is None else NanoDollars(max(0, limit - self.spent_nano - self.held_nano))

    @property
    def over_nano(self) -> NanoDollars:
        """How far spent and held lie above the allowance, after that was lowered."""
        limit = self.limit_nano
        return NanoDollars(0 if limit is None else max(0, self.spent_nano + self.held_nano - limit))

    @property
    def grants_left_nano(self) -> NanoDollars:
        """What is left of grants and not on hold."""
        return NanoDollars(self.grant_nano - self.held_grant_nano)

    @property
    def room_nano(self) -> NanoDollars | None:
        """What can be held now, grants included; 0 for `none`, None for `unlimited`."""
        left = self.left_nano
        if left is None:
            return None
        return NanoDollars(0 if self.in_force.allowance.kind == "none" else left + self.grants_left_nano)

    @property
    def used_percent(self) -> int | None:
        """How much of the allowance is spent or held, rounded down; over 100 is possible. None without an amount."""
        limit = self.limit_nano
        return (self.spent_nano + self.held_nano) * 100 // limit if limit else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """Money set apart for one request, asked `at`. `units` may be fewer than wanted: what can be paid for.

    `standing` is the account with this hold in it.
    """

    key: int
    at: datetime
    units: int
    from_allowance_nano: NanoDollars
    from_grant_nano: NanoDollars
    standing: Standing

    @property
    def amount_nano(self) -> NanoDollars:
        """All that is on hold for the request."""
        return NanoDollars(self.from_allowance_nano + self.from_grant_nano)

    def used_percent_after(self, paid_nano: NanoDollars) -> int | None:
        """`Standing.used_percent` once the user has paid so much, for the footer; other requests are as they were."""
        limit = self.standing.limit_nano
        if not limit:
            return None
        freed = self.from_allowance_nano - min(paid_nano, self.from_allowance_nano)
        return (self.standing.spent_nano + self.standing.held_nano - freed) * 100 // limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One line of the ledger. A charge has the key of its hold; a grant or correction that of the admin's interaction.

    A charge's `reason` is one of `rules.Reason`; the others' is what the admin `by_id` wrote. `asked_at` decides in
    which period it counts.
    """

    key: int
    entry_kind: EntryKind
    scope_id: int
    user_id: int
    asked_at: datetime
    written_at: datetime
    kind: ChargeKind | None
    model: str | None
    reason: Reason | str
    held_nano: NanoDollars
    from_allowance_nano: NanoDollars
    from_grant_nano: NanoDollars
    granted_nano: NanoDollars
    provider_nano: NanoDollars
    estimated: bool
    prompt_tokens: int
    completion_tokens: int
    images: int
    by_id: int | None

    @property
    def user_nano(self) -> NanoDollars:
        """What the user paid."""
        return NanoDollars(self.from_allowance_nano + self.from_grant_nano)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a hold ended. `first` is false where it had ended before: nothing has changed, and `entry` is the old one."""

    first: bool
    entry: Entry


@dataclass(frozen=True, kw_only=True, slots=True)
class CeilingNotice:
    """For the operator, once in a month for each scope and percentage: so much of a ceiling is used or held.

    At 100 it is used up, or has refused a request for which too little was left.

    `scope_id` is the server's id where `scope` is "server".
    """

    scope: CeilingScope
    scope_id: int
    percent: Literal[80, 100]
    ceiling_nano: NanoDollars
    month: int
    resets_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Granted:
    """A grant, or correction, done. `first` is false where that decision was made before: nothing has changed now.

    `before_nano` and `after_nano` are what was and is left of all grants, what is on hold of them included.
    """

    first: bool
    before_nano: NanoDollars
    after_nano: NanoDollars


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """Holds of dead processes that were ended by the crash rule, and what may have been paid for them."""

    count: int
    provider_nano: NanoDollars
