"""Rules of the line: who is drawn next, and which place everybody has."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.credits.policy import DIRECT_SCOPE
from bot.pictures.line import InLine, LineLimits, Turns, next_up, positions

WIDE = LineLimits(per_member=50, per_server=50, in_all=50)


@st.composite
def lines(draw: st.DrawFn, *, at_most: int = 40) -> tuple[list[InLine], list[InLine], LineLimits]:
    """What waits, what runs, and the limits; what runs may be over limits that were lowered meanwhile."""
    where = st.tuples(st.integers(1, 5), st.sampled_from([DIRECT_SCOPE, 11, 12, 13]))
    places = draw(st.lists(where, max_size=at_most))
    ids = draw(st.permutations(range(1, len(places) + 1)))
    orders = [InLine(order_id, *place) for order_id, place in zip(ids, places, strict=True)]
    running = draw(st.integers(0, min(len(orders), 8)))
    bound = st.integers(1, 6)
    limits = LineLimits(per_member=draw(bound), per_server=draw(bound), in_all=draw(bound))
    return orders[running:], orders[:running], limits


def may_start(one: InLine, running: Sequence[InLine], limits: LineLimits) -> bool:
    """The bounds, in the plainest words."""
    same_scope = sum(other.scope_id == one.scope_id for other in running)
    return (
        len(running) < limits.in_all
        and sum(other.user_id == one.user_id for other in running) < limits.per_member
        and (one.scope_id == DIRECT_SCOPE or same_scope < limits.per_server)
    )


def plain_next(
    waiting: Sequence[InLine], running: Sequence[InLine], limits: LineLimits, served: dict[int, tuple[int, int]]
) -> InLine | None:
    """The rule of the module, said without any thought of speed."""
    under_way = Counter(one.user_id for one in running)
    free = [one for one in waiting if may_start(one, running, limits)]
    return min(
        free,
        key=lambda one: (
            under_way[one.user_id],
            max((oldest_here(one, waiting), 0), served.get(one.user_id, (0, 0))),
            one.order_id,
        ),
        default=None,
    )


def oldest_here(one: InLine, waiting: Sequence[InLine]) -> int:
    same = (other.order_id for other in waiting if (other.user_id, other.scope_id) == (one.user_id, one.scope_id))
    return min(same)


def plain_course(waiting: Sequence[InLine], running: Sequence[InLine], limits: LineLimits) -> list[InLine]:
    """The order in which all start, with the oldest under way ending whenever nothing may start."""
    left, under_way = list(waiting), sorted(running, key=lambda one: one.order_id)
    newest = max((one.order_id for one in waiting), default=0)
    served: dict[int, tuple[int, int]] = {}
    started: list[InLine] = []
    while left:
        one = plain_next(left, under_way, limits, served)
        if one is None:
            under_way.pop(0)
            continue
        left.remove(one)
        under_way.append(one)
        started.append(one)
        served[one.user_id] = (newest, len(started))
    return started


@given(lines())
def test_no_bound_is_passed_and_nothing_that_may_start_waits(case: tuple[list[InLine], list[InLine], LineLimits]):
    waiting, running, limits = case
    started = next_up(waiting, running, limits)
    assert len(set(started)) == len(started)
    assert set(started) <= set(waiting)
    for number, one in enumerate(started):
        assert may_start(one, [*running, *started[:number]], limits)
    after = [*running, *started]
    assert not [one for one in waiting if one not in started and may_start(one, after, limits)]


@given(lines())
def test_who_starts_now_are_the_first_in_line(case: tuple[list[InLine], list[InLine], LineLimits]):
    waiting, running, limits = case
    places = positions(waiting, running, limits)
    started = [one.order_id for one in next_up(waiting, running, limits)]
    assert [places[order_id] for order_id in started] == list(range(1, len(started) + 1))


@given(lines())
def test_the_places_are_those_of_the_rule_followed_step_by_step(case: tuple[list[InLine], list[InLine], LineLimits]):
    waiting, running, limits = case
    expected = [one.order_id for one in plain_course(waiting, running, limits)]
    places = positions(waiting, running, limits)
    assert sorted(places, key=places.__getitem__) == expected
    assert sorted(places.values()) == list(range(1, len(waiting) + 1))


@given(lines(), st.randoms(use_true_random=False))
def test_how_the_line_is_handed_over_makes_no_difference(
    case: tuple[list[InLine], list[InLine], LineLimits], random: Random
):
    waiting, running, limits = case
    mixed = random.sample(waiting, len(waiting))
    assert positions(mixed, running[::-1], limits) == positions(waiting, running, limits)
    assert next_up(mixed, running[::-1], limits) == next_up(waiting, running, limits)


@given(lines())
def test_a_later_order_moves_nobody_who_was_before_it(case: tuple[list[InLine], list[InLine], LineLimits]):
    waiting, running, limits = case
    if not waiting:
        return
    before = positions(waiting, running, limits)
    model = waiting[0]
    later = InLine(1_000, model.user_id, model.scope_id)
    after = positions([*waiting, later], running, limits)
    place = after[later.order_id]
    assert {order: at for order, at in before.items() if at < place} == {
        order: at for order, at in after.items() if at < place
    }


@given(lines())
def test_one_members_orders_in_one_server_start_as_they_came(case: tuple[list[InLine], list[InLine], LineLimits]):
    waiting, running, limits = case
    places = positions(waiting, running, limits)
    for one in waiting:
        same = [other for other in waiting if (other.user_id, other.scope_id) == (one.user_id, one.scope_id)]
        assert all(places[one.order_id] < places[other.order_id] for other in same if other.order_id > one.order_id)


def test_a_member_with_one_order_does_not_wait_behind_twenty():
    crowd = [InLine(number, 1, 11) for number in range(1, 21)]
    single = InLine(21, 2, 11)
    limits = LineLimits(per_member=1, per_server=1, in_all=1)
    assert positions([*crowd, single], [], limits)[single.order_id] == 2


def test_who_has_fewer_under_way_goes_first_though_they_came_later():
    running = [InLine(1, 1, 11)]
    first, second = InLine(2, 1, 11), InLine(3, 2, 11)
    assert next_up([first, second], running, WIDE) == (second, first)


def test_a_member_at_their_bound_holds_up_nobody_else():
    running = [InLine(1, 1, 11)]
    held, free = InLine(2, 1, 11), InLine(3, 2, 11)
    assert next_up([held, free], running, LineLimits(per_member=1, per_server=9, in_all=9)) == (free,)


def test_a_full_server_does_not_hold_up_its_members_orders_elsewhere():
    running = [InLine(1, 2, 11)]
    held, free = InLine(2, 1, 11), InLine(3, 1, 12)
    assert next_up([held, free], running, LineLimits(per_member=9, per_server=1, in_all=9)) == (free,)


def test_direct_messages_are_bound_by_no_server():
    orders = [InLine(number, number, DIRECT_SCOPE) for number in range(1, 6)]
    assert next_up(orders, [], LineLimits(per_member=1, per_server=1, in_all=9)) == tuple(orders)


@pytest.mark.parametrize("member", [1, 2, 3])
def test_when_one_at_a_time_is_drawn_members_take_turns_over_many_calls(member: int):
    limits = LineLimits(per_member=1, per_server=1, in_all=1)
    waiting = [InLine(user * 100 + number, user, 11) for user in (1, 2, 3) for number in range(20)]
    turns, drawn = Turns(), []
    while waiting:
        (one,) = next_up(waiting, [], limits, turns.served)
        waiting.remove(one)
        turns.note([one], waiting)
        drawn.append(one.user_id)
    at = [number for number, user in enumerate(drawn) if user == member]
    assert [later - earlier for earlier, later in pairwise(at)] == [3] * 19


def test_newcomers_do_not_starve_a_member_with_many_orders():
    limits = LineLimits(per_member=1, per_server=1, in_all=1)
    crowd = [InLine(number, 1, 11) for number in range(1, 21)]
    waiting, turns, drawn, others = list(crowd), Turns(), [], 0
    for call in range(40):
        others = others if drawn and drawn[-1] != 1 else len({one.user_id for one in waiting} - {1})
        (one,) = next_up(waiting, [], limits, turns.served)
        waiting.remove(one)
        waiting.append(InLine(100 + call, 100 + call, 11))  # somebody new comes while each is drawn
        turns.note([one], waiting)
        drawn.append(one.user_id)
        assert 1 in drawn[-others - 1 :], "only who was there when they were last served goes before them"


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4), st.integers(1, 3)), max_size=60))
def test_the_memory_of_turns_is_no_larger_than_the_line(steps: list[tuple[bool, int, int]]):
    waiting: list[InLine] = []
    turns, number = Turns(), 0
    for comes, user, room in steps:
        if comes:
            number += 1
            waiting.append(InLine(number, user, 11))
            continue
        started = next_up(waiting, [], LineLimits(per_member=room, per_server=room, in_all=room), turns.served)
        waiting = [one for one in waiting if one not in started]
        turns.note(started, waiting)
        assert set(turns.served) <= {one.user_id for one in waiting}


@pytest.mark.parametrize("limits", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_limits_that_let_nothing_start_are_refused(limits: tuple[int, int, int]):
    per_member, per_server, in_all = limits
    with pytest.raises(ValueError, match="at least one"):
        LineLimits(per_member=per_member, per_server=per_server, in_all=in_all)
