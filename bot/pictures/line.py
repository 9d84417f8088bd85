"""Who is drawn next, where more is ordered than may be drawn at once. Pure.

The rule: first the member with the fewest orders under way; among equals the one who has gone unserved for longest,
since their oldest order came or since they were last served, whichever is later; among one member's orders the oldest
that may start. So a member with twenty orders takes turns with a member with one, and newcomers take turns with both.
What cannot start (its member or its server is at a bound) holds up nobody else.
"""

import heapq
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from bot.credits.policy import DIRECT_SCOPE

Turn = tuple[int, int]
"""Since when a member has gone unserved: an order's id, and a count of starts that tells equals apart."""

_NOBODY: Final[Mapping[int, Turn]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class InLine:
    """An order, waiting or under way. Its id is a snowflake: the lower, the older. `scope_id` is `DIRECT_SCOPE` where
    no server's bound applies."""

    order_id: int
    user_id: int
    scope_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LineLimits:
    """How many orders may be under way at once: of one member (in all servers together), in one server, in all."""

    per_member: int
    per_server: int
    in_all: int

    def __post_init__(self) -> None:
        if min(self.per_member, self.per_server, self.in_all) < 1:
            raise ValueError("every limit lets at least one order start")


def next_up(
    waiting: Collection[InLine],
    running: Collection[InLine],
    limits: LineLimits,
    served: Mapping[int, Turn] = _NOBODY,
) -> tuple[InLine, ...]:
    """All that may start now, in the order in which they should. None of `waiting` is in `running`.

    `served` is `Turns.served`; without it, a member whose last order has just ended is taken for unserved.
    """
    course = _Course(waiting, running, limits, served)
    started = []
    while (one := course.start()) is not None:
        started.append(one)
    return tuple(started)


def positions(
    waiting: Collection[InLine],
    running: Collection[InLine],
    limits: LineLimits,
    served: Mapping[int, Turn] = _NOBODY,
) -> dict[int, int]:
    """The place in line of each waiting order, by its id: 1 to `len(waiting)`.

    It is the order in which they would start by the rule of this module if nobody came or went, and if those under way
    ended one at a time, the oldest first and then in the order in which they started, each only when nothing more may
    start. A later order of the same member and server changes no place before its own.
    """
    course = _Course(waiting, running, limits, served)
    ending = deque(sorted(running, key=lambda one: one.order_id))
    places: dict[int, int] = {}
    while len(places) < len(waiting):
        one = course.start()
        if one is None:
            course.end(ending.popleft())
            continue
        places[one.order_id] = len(places) + 1
        ending.append(one)
    return places


class Turns:
    """Remembers who was served while they have more in line, so that fairness spans many calls of `next_up`.

    Its size is bounded by what waits. Forgetting it, as a restart does, costs a member at most one turn.
    """

    def __init__(self) -> None:
        self._served: dict[int, Turn] = {}
        self._newest = 0
        self._starts = 0

    @property
    def served(self) -> Mapping[int, Turn]:
        """When each member with orders in line was last served."""
        return self._served

    def note(self, started: Iterable[InLine], waiting: Collection[InLine]) -> None:
        """`started` have started, in this order; `waiting` still wait."""
        started = tuple(started)
        self._newest = max((self._newest, *(one.order_id for one in (*started, *waiting))))
        for one in started:
            self._starts += 1
            self._served[one.user_id] = (self._newest, self._starts)
        # Whoever has nothing in line will come with a newer order than any of now: the memory would change nothing.
        still = {one.user_id for one in waiting}
        self._served = {user: turn for user, turn in self._served.items() if user in still}


_Rank = tuple[int, Turn, int, int]
"""Orders of the member under way, since when unserved, the order's id, the member's id: the least goes first."""


class _Course:
    """The line as it moves. A step costs the logarithm of what waits, times the servers in which its member waits.

    Every server has a heap of its members' oldest orders, and one heap over all holds what heads the servers with room.
    Neither is cleaned when a rank changes: the new rank is pushed beside the old, which is dropped when it comes up.
    Two thousand orders in line, their places and all, take about 15 ms; plain searching would take seconds.
    """

    def __init__(
        self,
        waiting: Collection[InLine],
        running: Collection[InLine],
        limits: LineLimits,
        served: Mapping[int, Turn],
    ) -> None:
        self._limits = limits
        self._of_member = Counter(one.user_id for one in running)
        self._of_scope = Counter(one.scope_id for one in running)
        self._total = len(running)
        self._served = dict(served)
        newest = max((one.order_id for one in waiting), default=0)
        self._newest, self._starts = max(((newest, 0), *served.values()))
        self._queues: dict[tuple[int, int], deque[InLine]] = {}
        self._scopes_of: dict[int, list[int]] = {}
        for one in sorted(waiting, key=lambda one: one.order_id):
            queue = self._queues.get((one.user_id, one.scope_id))
            if queue is None:
                queue = self._queues[one.user_id, one.scope_id] = deque()
                self._scopes_of.setdefault(one.user_id, []).append(one.scope_id)
            queue.append(one)
        self._in_scope: dict[int, list[_Rank]] = {}
        self._heads: list[tuple[_Rank, int]] = []
        self._offered: dict[int, _Rank | None] = {}
        for user_id in self._scopes_of:
            self._rank_anew(user_id)

    def start(self) -> InLine | None:
        """Start who is next; None where nothing may start."""
        while self._heads and self._total < self._limits.in_all:
            rank, scope_id = heapq.heappop(self._heads)
            if self._offered.get(scope_id) == rank:
                return self._started(rank[3], scope_id)
        return None

    def end(self, one: InLine) -> None:
        """An order that was under way has ended."""
        self._total -= 1
        self._of_member[one.user_id] -= 1
        self._of_scope[one.scope_id] -= 1
        self._rank_anew(one.user_id)
        self._offer(one.scope_id)

    def _started(self, user_id: int, scope_id: int) -> InLine:
        queue = self._queues[user_id, scope_id]
        one = queue.popleft()
        if not queue:
            del self._queues[user_id, scope_id]
            self._scopes_of[user_id].remove(scope_id)
        self._total += 1
        self._of_member[user_id] += 1
        self._of_scope[scope_id] += 1
        self._starts += 1
        self._served[user_id] = (self._newest, self._starts)
        self._rank_anew(user_id)
        self._offer(scope_id)
        return one

    def _rank_anew(self, user_id: int) -> None:
        """The member's rank has changed, in every server where they wait."""
        for scope_id in self._scopes_of.get(user_id, ()):
            rank = self._rank(user_id, scope_id)
            if rank is not None:
                heapq.heappush(self._in_scope.setdefault(scope_id, []), rank)
            self._offer(scope_id)  # without a rank of theirs, somebody else heads that server now

    def _offer(self, scope_id: int) -> None:
        """Let the server's next order, if it has room for one, compete with the other servers'."""
        best = self._best(scope_id) if self._has_room(scope_id) else None
        if best != self._offered.get(scope_id):
            self._offered[scope_id] = best
            if best is not None:
                heapq.heappush(self._heads, (best, scope_id))

    def _best(self, scope_id: int) -> _Rank | None:
        """Who is next in the server, of the members that have room."""
        ranks = self._in_scope.get(scope_id, [])
        while ranks:
            if ranks[0] == self._rank(ranks[0][3], scope_id):
                return ranks[0]
            heapq.heappop(ranks)
        return None

    def _rank(self, user_id: int, scope_id: int) -> _Rank | None:
        """The rank of a member's oldest order in a server; None where there is none or the member has no room."""
        queue = self._queues.get((user_id, scope_id))
        under_way = self._of_member[user_id]
        if queue is None or under_way >= self._limits.per_member:
            return None
        order_id = queue[0].order_id
        served = self._served.get(user_id)
        since = served if served is not None and served > (order_id, 0) else (order_id, 0)
        return under_way, since, order_id, user_id

    def _has_room(self, scope_id: int) -> bool:
        return scope_id == DIRECT_SCOPE or self._of_scope[scope_id] < self._limits.per_server
