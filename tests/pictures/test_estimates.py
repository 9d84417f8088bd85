"""Rules of what a picture is expected to take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.pictures import estimates
from bot.pictures.estimates import KINDS, REMEMBERED, Estimates

SQUARE = 1_024 * 1_024


def test_nothing_is_expected_before_the_first_picture():
    assert Estimates().expected_s("realvision", SQUARE, 4) is None


def test_what_is_expected_is_the_median_of_the_last_of_that_model_and_size():
    known = Estimates()
    for took_s in (5.0, 6.0, 90.0):
        known.note("realvision", SQUARE, 4, took_s)
    assert known.expected_s("realvision", SQUARE, 4) == 6.0


def test_what_was_long_ago_is_forgotten():
    known = Estimates()
    for took_s in [100.0] * 50 + [5.0] * REMEMBERED:
        known.note("realvision", SQUARE, 4, took_s)
    assert known.expected_s("realvision", SQUARE, 4) == 5.0


def test_another_size_is_scaled_by_pixels_and_steps():
    known = Estimates()
    known.note("realvision", SQUARE, 4, 8.0)
    assert known.expected_s("realvision", SQUARE // 2, 4) == pytest.approx(4.0)
    assert known.expected_s("realvision", SQUARE, 8) == pytest.approx(16.0)


def test_another_model_stands_in_until_there_is_one_of_its_own():
    known = Estimates()
    known.note("realvision", SQUARE, 4, 8.0)
    assert known.expected_s("amigo", SQUARE, 2) == pytest.approx(4.0)
    known.note("amigo", SQUARE, 4, 2.0)
    assert known.expected_s("amigo", SQUARE, 2) == pytest.approx(1.0)


@pytest.mark.parametrize("took_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_that_makes_no_sense_is_ignored(took_s: float):
    known = Estimates()
    known.note("realvision", SQUARE, 4, took_s)
    assert known.expected_s("realvision", SQUARE, 4) is None


NOTES = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from([65_536, SQUARE]), st.integers(1, 8), st.floats(0.1, 100))
)


@given(NOTES)
def test_the_same_notes_give_the_same_answers(notes: list[tuple[str, int, int, float]]):
    one, other = Estimates(), Estimates()
    for note in notes:
        one.note(*note)
        other.note(*note)
        asked = one.expected_s(*note[:3])
        assert asked is not None
        assert asked > 0
        assert one.expected_s(*note[:3]) == other.expected_s(*note[:3]) == asked


def test_however_many_kinds_of_pictures_there_are_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(estimates, "KINDS", 10)
    known = Estimates()
    for pixels in range(1, 40):
        known.note("realvision", pixels, 4, 1.0)
    assert len(known._samples) == 10
    assert KINDS > 10
    assert known.expected_s("realvision", 39, 4) == 1.0


def test_a_kind_that_is_still_drawn_outlives_those_that_are_not(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(estimates, "KINDS", 10)
    known = Estimates()
    for pixels in range(1, 40):
        known.note("realvision", SQUARE, 4, 7.0 if pixels < 32 else 100.0)
        known.note("amigo", pixels, 4, 0.001)
    assert known.expected_s("realvision", SQUARE, 4) == 7.0
