"""A member may ask a few questions at once, then so many a minute; whoever floods is told once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.answers import pace
from bot.answers.pace import BURST, Pace
from bot.errors import TooFast

DANA, NOAM = 1, 2


def refused(paced: Pace, user_id: int, now: float) -> TooFast | None:
    try:
        paced.enter(user_id, now)
    except TooFast as error:
        return error
    return None


def test_a_few_questions_may_come_at_once_and_then_one_each_share_of_a_minute():
    paced = Pace(10)
    assert [refused(paced, DANA, 0.0) for _ in range(BURST)] == [None] * BURST
    error = refused(paced, DANA, 0.0)
    assert error is not None
    assert error.retry_after_s == pytest.approx(6.0)
    assert refused(paced, DANA, 5.9) is not None
    assert refused(paced, DANA, 6.1) is None


def test_one_members_flood_is_nothing_to_another():
    paced = Pace(10)
    for _ in range(50):
        refused(paced, DANA, 0.0)
    assert refused(paced, NOAM, 0.0) is None


def test_a_flood_is_answered_once_until_its_member_may_ask_again():
    paced = Pace(10)
    for _ in range(BURST):
        paced.enter(DANA, 0.0)
    firsts = [error.first for error in (refused(paced, DANA, n / 10) for n in range(100)) if error]
    assert firsts[0]
    assert sum(firsts) == 2, "the second after six seconds, when a question had passed in between"


def test_a_bound_below_the_burst_is_kept():
    paced = Pace(2)
    assert [refused(paced, DANA, 0.0) is None for _ in range(3)] == [True, True, False]


def test_without_a_bound_everything_passes():
    paced = Pace(0)
    assert all(refused(paced, DANA, 0.0) is None for _ in range(1_000))


def test_only_so_many_members_are_remembered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pace, "REMEMBERED", 3)
    paced = Pace(10)
    for user_id in range(10):
        paced.enter(user_id, 0.0)
    assert list(paced._askers) == [7, 8, 9]


@given(
    st.integers(1, 120),
    st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=100),
)
def test_in_any_stretch_of_time_no_more_pass_than_the_burst_and_its_share(per_minute: int, gaps: list[float]):
    paced, now, passed = Pace(per_minute), 0.0, []
    for gap in gaps:
        now += gap
        if refused(paced, DANA, now) is None:
            passed.append(now)
    for first, start in enumerate(passed):
        for count, end in enumerate(passed[first:], 1):
            assert count <= min(BURST, per_minute) + (end - start) * per_minute / 60 + 1e-6
