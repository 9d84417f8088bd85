"""The ledger beside a model in plain Python, through whatever order of events Hypothesis finds."""

import asyncio
import shutil
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from bot.credits.ledger import month_of
from bot.credits.policy import BLOCKED, DIRECT_SCOPE, PERIODS, UNLIMITED, Allowance, InForce, in_force, period_bounds
from bot.credits.rules import PAYERS, Reason
from bot.credits.values import HoldRequest
from bot.errors import (
    AmountWrong,
    CeilingReached,
    CreditsError,
    CreditsRefused,
    MemberBlocked,
    NothingToRemove,
    RequestEnded,
)
from bot.guilds import SERVER_DEFAULT, GuildSettings, Target
from bot.money import NanoDollars
from bot.storage.database import Database
from tests.credits.books import NOW, SERVER, Books, a_day, consumed, limits

USERS, ROLES = (1, 2), (31, 32)
SERVER_CEILING, BOT_CEILING = 3_000, 4_000

users = st.sampled_from(USERS)
amounts = st.integers(1, 400)
allowances = st.sampled_from([UNLIMITED, BLOCKED]) | st.builds(a_day, st.integers(1, 1_500), st.sampled_from(PERIODS))
targets = st.sampled_from([SERVER_DEFAULT, *map(Target.member, USERS), *map(Target.role, ROLES)])


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a request, open or ended, has taken, as the model knows it."""

    request: HoldRequest
    from_allowance: int
    from_grant: int
    provider: int = 0


class LedgerMachine(RuleBasedStateMachine):
    keys: Bundle[int] = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        database = self.do(self.stack.enter_async_context(Database.open(f"sqlite:///{self.folder}/bot.db")))
        ceilings = {
            "server_ceiling_nano": NanoDollars(SERVER_CEILING),
            "bot_ceiling_nano": NanoDollars(BOT_CEILING),
        }
        self.books = Books(database, operator=limits(member=a_day(500), direct=a_day(300, "week"), **ceilings))
        self.now, self.zone = NOW, GuildSettings().zone
        self.roles: dict[int, frozenset[int]] = {user: frozenset() for user in USERS}
        self.rules: dict[Target, Allowance] = {}
        self.granted: dict[tuple[int, int], int] = {}
        self.open: dict[int, Part] = {}
        self.ended: dict[int, Part] = {}
        self.next_key, self.runs = 1, 0

    def do(self, work: Any) -> Any:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.do(self.stack.aclose())
        self.runner.close()
        shutil.rmtree(self.folder)

    # What the model says.

    def in_force(self, scope: int, user: int) -> InForce:
        if scope == DIRECT_SCOPE:
            return InForce(allowance=self.books.operator.direct, source="operator")
        return in_force(
            member=self.rules.get(Target.member(user)),
            roles={role: self.rules[Target.role(role)] for role in self.roles[user] if Target.role(role) in self.rules},
            server=self.rules.get(SERVER_DEFAULT),
            operator=self.books.operator.member,
        )

    def parts(self, scope: int, user: int) -> list[Part]:
        every = [*self.open.values(), *self.ended.values()]
        return [part for part in every if (part.request.scope_id, part.request.user_id) == (scope, user)]

    def left(self, scope: int, user: int, allowance: Allowance, at: datetime) -> int:
        zone = self.zone if scope != DIRECT_SCOPE else GuildSettings().zone
        start, end = period_bounds(allowance.period, at, zone)
        used = sum(
            part.from_allowance
            for part in self.parts(scope, user)
            if start is None or end is None or start <= part.request.at < end
        )
        return max(0, allowance.amount_nano - used)

    def grants_left(self, scope: int, user: int) -> int:
        return self.granted.get((scope, user), 0) - sum(part.from_grant for part in self.parts(scope, user))

    def committed(self, at: datetime, scope: int | None = None) -> int:
        held = [(part.request, part.from_allowance + part.from_grant) for part in self.open.values()]
        paid = [(part.request, part.provider) for part in self.ended.values()]
        return sum(
            nano
            for request, nano in held + paid
            if month_of(request.at) == month_of(at) and scope in (None, request.scope_id)
        )

    def expected(self, request: HoldRequest) -> type[CreditsError] | Part:
        scope, user = request.scope_id, request.user_id
        allowance = self.in_force(scope, user).allowance
        if allowance.kind == "none":
            return MemberBlocked
        left = 10**9 if allowance.kind == "unlimited" else self.left(scope, user, allowance, request.at)
        room = 10**9 if allowance.kind == "unlimited" else left + self.grants_left(scope, user)
        least = request.cost(request.units_minimum)
        if least > room:
            return CreditsRefused
        below = BOT_CEILING - self.committed(request.at)
        if scope != DIRECT_SCOPE:
            below = min(below, SERVER_CEILING - self.committed(request.at, scope))
        if least > below:
            return CeilingReached
        units = max(
            units
            for units in range(request.units_minimum, request.units_wanted + 1)
            if request.cost(units) <= min(room, below)
        )
        cost = request.cost(units)
        return Part(request=request, from_allowance=min(cost, left), from_grant=cost - min(cost, left))

    # What happens.

    @initialize(target=keys)
    def first_hold(self) -> int:
        return self.hold(user=1, direct=False, fixed=100, unit=0, wanted=0, least=0)

    @rule(
        target=keys,
        user=users,
        direct=st.booleans(),
        fixed=amounts,
        unit=st.integers(0, 9),
        wanted=st.integers(0, 60),
        least=st.integers(0, 20),
    )
    def hold(self, user: int, direct: bool, fixed: int, unit: int, wanted: int, least: int) -> int:
        key, self.next_key = self.next_key, self.next_key + 1
        request = HoldRequest(
            key=key,
            scope_id=DIRECT_SCOPE if direct else SERVER,
            user_id=user,
            role_ids=self.roles[user],
            kind="chat",
            model="gpt-4o",
            fixed_nano=NanoDollars(fixed),
            unit_nano=NanoDollars(unit),
            units_wanted=wanted,
            units_minimum=min(least, wanted),
            at=self.now,
        )
        expected = self.expected(request)
        if not isinstance(expected, Part):
            with pytest.raises(expected):
                self.do(self.books.ledger.hold(request))
            return key
        hold = self.do(self.books.ledger.hold(request))
        assert (hold.from_allowance_nano, hold.from_grant_nano) == (expected.from_allowance, expected.from_grant)
        self.open[key] = expected
        return key

    @rule(key=keys)
    def hold_again(self, key: int) -> None:
        part = self.open.get(key) or self.ended.get(key)
        if part is None:
            return
        try:
            hold = self.do(self.books.ledger.hold(replace(part.request, role_ids=frozenset(ROLES), at=self.now)))
        except RequestEnded:
            assert key in self.ended
        else:
            assert key in self.open
            assert (hold.from_allowance_nano, hold.from_grant_nano) == (part.from_allowance, part.from_grant)

    @rule(
        key=keys, reason=st.sampled_from([reason for reason in PAYERS if reason != "crashed"]), used=st.integers(0, 600)
    )
    def end(self, key: int, reason: Reason, used: int) -> None:
        if key not in self.open and key not in self.ended:
            return
        ended = self.do(self.books.ledger.end(key, reason, consumed(used), at=self.now))
        assert ended.first == (key in self.open)
        if ended.first:
            part = self.open.pop(key)
            pays = used if PAYERS[reason].user == "consumed" else 0
            pays = min(pays, part.from_allowance + part.from_grant)
            from_allowance = min(pays, part.from_allowance)
            provider = used if PAYERS[reason].provider == "consumed" else 0
            self.ended[key] = Part(
                request=part.request,
                from_allowance=from_allowance,
                from_grant=pays - from_allowance,
                provider=provider,
            )
        part, entry = self.ended[key], ended.entry
        assert (entry.from_allowance_nano, entry.from_grant_nano) == (part.from_allowance, part.from_grant)
        assert entry.provider_nano == part.provider

    @rule(adopted=st.sets(keys, max_size=2))
    def crash(self, adopted: set[int]) -> None:
        self.runs += 1
        self.books.ledger = self.books.as_run(f"run {self.runs}")
        going_on = self.do(self.books.ledger.adopt(adopted))
        assert going_on == adopted & self.open.keys()
        resolved = self.do(self.books.ledger.resolve_crashed(at=self.now))
        lost = self.open.keys() - adopted
        assert resolved.count == len(lost)
        for key in lost:
            part = self.open.pop(key)
            held = part.from_allowance + part.from_grant
            self.ended[key] = Part(request=part.request, from_allowance=0, from_grant=0, provider=held)

    @rule(user=users, direct=st.booleans(), amount=amounts, taken=st.booleans())
    def change_grants(self, user: int, direct: bool, amount: int, taken: bool) -> None:
        scope = DIRECT_SCOPE if direct else SERVER
        ledger, decision = self.books.ledger, self.books.decision(at=self.now)
        change = (ledger.correct if taken else ledger.grant)(scope, user, NanoDollars(amount), decision)
        try:
            self.do(change)
        except AmountWrong:
            assert taken
            assert amount > self.grants_left(scope, user)
        else:
            assert not taken or amount <= self.grants_left(scope, user)
            self.granted[scope, user] = self.granted.get((scope, user), 0) + (-amount if taken else amount)

    @rule(whose=targets, allowance=allowances)
    def set_allowance(self, whose: Target, allowance: Allowance) -> None:
        change = self.do(self.books.allowances.set(SERVER, whose, allowance, self.books.decision(at=self.now)))
        assert change.before == self.rules.get(whose)
        self.rules[whose] = allowance

    @rule(whose=targets)
    def remove_allowance(self, whose: Target) -> None:
        try:
            self.do(self.books.allowances.remove(SERVER, whose, self.books.decision(at=self.now)))
        except NothingToRemove:
            assert whose not in self.rules
        else:
            del self.rules[whose]

    @rule(user=users, roles=st.sets(st.sampled_from(ROLES)))
    def change_roles(self, user: int, roles: set[int]) -> None:
        self.roles[user] = frozenset(roles)

    @rule(hours=st.sampled_from([-30, -1, 1, 5, 13, 24, 100, 700]))
    def step_clock(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule(zone=st.sampled_from(["UTC", "Asia/Jerusalem", "Pacific/Apia", "America/Havana"]))
    def change_zone(self, zone: str) -> None:
        edited = self.books.guilds.change(
            SERVER, lambda now: replace(now, time_zone=zone), self.books.decision(at=self.now)
        )
        self.zone = self.do(edited).after.zone

    # What always holds.

    @invariant()
    def balances_are_what_adds_up(self) -> None:
        checked = self.do(self.books.checked())
        assert checked.differences == ()
        assert checked.open_holds == len(self.open)

    @invariant()
    def every_account_stands_as_the_model_says(self) -> None:
        for scope in (SERVER, DIRECT_SCOPE):
            for user in USERS:
                standing = self.do(self.books.ledger.standing(scope, user, self.roles[user], at=self.now))
                assert standing.in_force == self.in_force(scope, user)
                allowance = standing.in_force.allowance
                if allowance.kind != "unlimited":
                    assert standing.left_nano == self.left(scope, user, allowance, self.now)
                assert standing.grants_left_nano == self.grants_left(scope, user) >= 0

    @invariant()
    def the_operator_hears_of_a_ceiling_once(self) -> None:
        heard = [(notice.scope_id, notice.month, notice.percent) for notice in self.books.notices]
        assert len(heard) == len(set(heard))

    @invariant()
    def every_ended_hold_has_one_entry(self) -> None:
        async def charges() -> dict[int, int]:
            entries = [entry async for entry in self.books.reports.entries() if entry.entry_kind == "charge"]
            assert len(entries) == len({entry.key for entry in entries})
            return {entry.key: entry.provider_nano for entry in entries}

        assert self.do(charges()) == {key: part.provider for key, part in self.ended.items()}


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
