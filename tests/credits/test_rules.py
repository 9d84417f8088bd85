"""Who pays, ending by ending."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.credits.rules import NOTHING, PAYERS, Consumed, Reason, outcome
from bot.money import NanoDollars
from tests.credits.books import consumed


@pytest.mark.parametrize(
    ("reason", "user", "provider"),
    [
        ("finished", 70, 70),
        ("length", 70, 70),
        ("filtered", 70, 70),
        ("stopped", 70, 70),
        ("cut", 0, 70),
        ("deleted", 0, 70),
        ("shutdown", 0, 70),
        ("refused", 0, 0),
        ("unsent", 0, 0),
        ("unanswered", 0, 70),
        ("failed", 0, 70),
        ("cancelled", 0, 70),
        ("undelivered", 0, 70),
        ("crashed", 0, 100),
    ],
)
def test_each_ending_has_its_payers(reason: Reason, user: int, provider: int):
    ended = outcome(reason, consumed(70), held_nano=NanoDollars(100))
    assert (ended.reason, ended.user_nano, ended.provider_nano) == (reason, user, provider)


def test_every_ending_has_a_rule_and_says_when_it_applies():
    assert set(PAYERS) == set(get_args(Reason))
    assert all(payers.when for payers in PAYERS.values())


@given(st.sampled_from(list(PAYERS)), st.integers(0, 10**20), st.integers(0, 10**15), st.booleans())
def test_no_user_pays_more_than_was_held_or_than_the_api_was_paid(
    reason: Reason, used: int, held: int, estimated: bool
):
    ended = outcome(reason, consumed(used, estimated=estimated), held_nano=NanoDollars(held))
    assert 0 <= ended.user_nano <= min(held, ended.provider_nano)
    assert PAYERS[reason].provider == "consumed" or ended.provider_nano in (0, held)


def test_an_estimate_is_marked_unless_nothing_was_paid():
    guess = consumed(70, estimated=True)
    assert outcome("stopped", guess, held_nano=NanoDollars(100)).estimated
    assert not outcome("refused", guess, held_nano=NanoDollars(100)).estimated
    assert not outcome("finished", consumed(70), held_nano=NanoDollars(100)).estimated
    assert outcome("crashed", NOTHING, held_nano=NanoDollars(100)).estimated


@pytest.mark.parametrize("field", ["nano", "lost_nano", "prompt_tokens", "completion_tokens", "images"])
def test_nothing_is_consumed_below_zero(field: str):
    with pytest.raises(ValueError):
        Consumed(**{"nano": NanoDollars(0), "estimated": False} | {field: -1})  # type: ignore[arg-type]


def test_what_a_lost_try_may_have_cost_is_the_providers_due_alone():
    used = Consumed(nano=NanoDollars(50), estimated=False, lost_nano=NanoDollars(20))
    ended = outcome("finished", used, held_nano=NanoDollars(100))
    assert (ended.user_nano, ended.provider_nano, ended.estimated) == (50, 70, True)
    assert outcome("refused", used, held_nano=NanoDollars(100)).provider_nano == 0
    assert outcome("crashed", used, held_nano=NanoDollars(100)).provider_nano == 100


def test_a_lost_try_makes_an_estimate_of_what_was_known_exactly_however_little_it_cost():
    used = Consumed(nano=NanoDollars(50), estimated=False, lost_nano=NanoDollars(1))
    assert outcome("finished", used, held_nano=NanoDollars(100)).estimated
