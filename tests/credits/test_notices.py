"""The word of warning in an answer's footer."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.credits.notices import notice_for, used_notice
from bot.credits.policy import UNLIMITED, Allowance, InForce
from bot.credits.values import Standing
from bot.money import NanoDollars

MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)


def standing(spent: int, held: int, allowance: Allowance) -> Standing:
    return Standing(
        scope_id=7,
        user_id=1,
        in_force=InForce(allowance=allowance, source="operator"),
        time_zone="UTC",
        starts_at=None,
        ends_at=MIDNIGHT,
        spent_nano=NanoDollars(spent),
        held_nano=NanoDollars(held),
        grant_nano=NanoDollars(0),
        held_grant_nano=NanoDollars(0),
    )


@pytest.mark.parametrize(
    ("percent", "words"),
    [
        (None, None),
        (0, None),
        (79, None),
        (80, "⚠️ 80 % of your allowance used, new <t:1793491200:R>"),
        (99, "⚠️ 99 % of your allowance used, new <t:1793491200:R>"),
        (100, "⚠️ all of your allowance used, new <t:1793491200:R>"),
        (250, "⚠️ all of your allowance used, new <t:1793491200:R>"),
    ],
)
def test_the_notice_begins_at_eighty_per_cent(percent: int | None, words: str | None):
    assert used_notice(percent, MIDNIGHT) == words


def test_an_allowance_that_never_comes_anew_promises_nothing():
    assert used_notice(85, None) == "⚠️ 85 % of your allowance used"


@given(st.integers(1, 10**12), st.integers(0, 10**12), st.integers(0, 10**12))
def test_there_is_a_notice_exactly_when_four_fifths_are_spent_or_held(amount: int, spent: int, held: int):
    notice = notice_for(standing(spent, held, Allowance.of(NanoDollars(amount), "day")))
    assert (notice is not None) == ((spent + held) * 5 >= amount * 4)


def test_no_limit_is_never_nearly_used():
    assert notice_for(standing(10**12, 0, UNLIMITED)) is None
