"""Rules of when a job is asked for, and of the gate before all of them."""

import asyncio
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pictures.polling import LONGEST_S, SHORTEST_S, PollGate, pause_s

TIMES = st.floats(0, 10_000)


@given(TIMES, st.none() | st.floats(allow_nan=True, allow_infinity=True))
def test_a_pause_is_never_shorter_or_longer_than_agreed(elapsed_s: float, expected_s: float | None):
    assert SHORTEST_S <= pause_s(elapsed_s, expected_s) <= LONGEST_S


@given(TIMES, TIMES)
def test_without_an_estimate_pauses_grow_with_the_wait(one_s: float, other_s: float):
    earlier, later = sorted((one_s, other_s))
    assert pause_s(earlier, None) <= pause_s(later, None)
    assert pause_s(0, None) == 0.6
    assert pause_s(20, None) == pytest.approx(3.0)


def polls(ready_s: float, expected_s: float | None) -> tuple[int, float]:
    """How many polls a job takes that is ready then, and how long it is ready before the last."""
    at, count = 0.0, 0
    while True:
        at += pause_s(at, expected_s)
        count += 1
        if at >= ready_s:
            return count, at - ready_s


@pytest.mark.parametrize("expected_s", [None, 4.0, 5.0, 6.0])
def test_a_picture_of_five_seconds_is_noticed_at_once_with_few_polls(expected_s: float | None):
    taken = [polls(5.0 + offset / 100, expected_s) for offset in range(-100, 101)]
    assert median(late for _, late in taken) < 0.5
    assert max(count for count, _ in taken) <= 10
    if expected_s == 5.0:
        assert median(late for _, late in taken) <= 0.3
        assert median(count for count, _ in taken) <= 5


def test_a_picture_that_is_early_is_noticed_before_its_time():
    for ready_s in range(8, 20):
        assert polls(float(ready_s), 20.0)[1] <= 3.0


def test_long_before_it_is_expected_a_picture_is_hardly_asked_for():
    assert polls(60.0, 60.0)[0] <= 15
    assert pause_s(0, 60.0) == LONGEST_S


def test_once_it_is_overdue_it_is_asked_for_less_and_less():
    assert pause_s(6.0, 5.0) == SHORTEST_S
    assert pause_s(30.0, 5.0) > 3.0
    assert pause_s(300.0, 5.0) == 8.0


class Clock:
    """Time that passes only by sleeping; several may sleep at once."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, delay_s: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + delay_s, woken))
        await woken

    async def settle(self) -> None:
        """Let everything run that is not asleep."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        await self.settle()
        while due := [one for one in self._sleepers if one[0] <= until]:
            first = min(due, key=lambda one: one[0])
            self._sleepers.remove(first)
            self.now = max(self.now, first[0])
            if not first[1].done():
                first[1].set_result(None)
            await self.settle()
        self.now = until


def gate(clock: Clock, per_second: float) -> PollGate:
    return PollGate(per_second, clock=clock, sleep=clock.sleep)


async def test_polls_pass_evenly_spaced_and_in_the_order_of_their_coming():
    clock, passed = Clock(), []
    line = gate(clock, 10)

    async def poll(number: int) -> None:
        await line.enter(within_s=10)
        passed.append((number, round(clock.now, 6)))

    async with asyncio.TaskGroup() as tasks:
        for number in range(5):
            tasks.create_task(poll(number))
        await clock.pass_time(1)
    assert passed == [(0, 0.0), (1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)]


@given(st.lists(st.floats(0, 0.5), max_size=30))
def test_no_second_sees_more_polls_than_allowed(gaps_s: list[float]):
    async def run() -> list[float]:
        clock, passed = Clock(), []
        line = gate(clock, 8)

        async def poll() -> None:
            await line.enter(within_s=100)
            passed.append(clock.now)

        async with asyncio.TaskGroup() as tasks:
            for gap_s in gaps_s:
                tasks.create_task(poll())
                await clock.pass_time(gap_s)
            await clock.pass_time(100)
        return passed

    passed = asyncio.run(run())
    assert len(passed) == len(gaps_s)
    for number, start in enumerate(passed):
        assert sum(start <= at < start + 1 - 1e-6 for at in passed[number:]) <= 8


async def test_one_that_is_cancelled_while_it_waits_costs_the_next_nothing():
    clock = Clock()
    line = gate(clock, 1)
    await line.enter(within_s=0)
    second = asyncio.create_task(line.enter(within_s=5))
    third = asyncio.create_task(line.enter(within_s=5))
    await clock.settle()
    second.cancel()
    await clock.pass_time(0.99)
    assert second.cancelled()
    assert not third.done()
    await clock.pass_time(0.01)
    assert third.done()


async def test_a_turn_that_would_come_too_late_is_refused_at_once():
    clock = Clock()
    line = gate(clock, 1)
    await line.enter(within_s=0)
    waits = asyncio.create_task(line.enter(within_s=1))
    await clock.settle()
    with pytest.raises(TimeoutError):
        await line.enter(within_s=1.5)
    await clock.pass_time(1)
    assert waits.done()
    await clock.pass_time(1)
    await line.enter(within_s=0)


async def test_by_default_time_is_the_event_loops():
    line = PollGate(1_000)
    before = asyncio.get_running_loop().time()
    for _ in range(3):
        await line.enter(within_s=60)
    assert asyncio.get_running_loop().time() - before >= 0.001


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan")])
def test_a_gate_that_lets_nothing_or_everything_pass_is_refused(rate: float):
    with pytest.raises(ValueError, match="each second"):
        PollGate(rate)
