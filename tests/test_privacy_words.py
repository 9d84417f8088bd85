"""What `/privacy` writes: it fits, and says what is to come."""

from datetime import UTC, datetime
from typing import get_args

import pytest

from bot.delivery.messages import CONTENT_LIMIT, utf16_length
from bot.money import CreditUnit
from bot.privacy.erasing import Kept, Progress
from bot.privacy.service import KeptFor, Overview
from bot.privacy.values import Held, Kind
from cogs.privacy import ASK_ERASE, WORDS, block, erased, overview

UNIT = CreditUnit(nano=1_000_000)
HERE = 7
THEN = datetime(2026, 12, 1, tzinfo=UTC)
MUCH = [
    Held(kind=kind, guild_id=place, count=999_999_999, since_us=1_700_000_000_000_000)
    for kind in get_args(Kind)
    for place in (HERE, None)
]


def test_every_kind_has_words() -> None:
    assert tuple(WORDS) == get_args(Kind)


@pytest.mark.parametrize("here", [HERE, None])
def test_the_most_that_can_be_kept_fits_into_one_message(here: int | None) -> None:
    text = overview(Overview(held=tuple(MUCH), erasing_since=THEN), here, KeptFor(memory=None, orders=3_650))
    assert text.count("999,999,999") == len(MUCH)
    assert utf16_length(text) <= CONTENT_LIMIT


def test_the_question_before_erasing_fits_into_one_message() -> None:
    assert utf16_length(ASK_ERASE) <= CONTENT_LIMIT


def test_a_block_adds_up_and_names_the_earliest_time() -> None:
    held = [Held(kind="turns", guild_id=place, count=2, since_us=place * 10**12) for place in (5, 3)]
    assert block("there", held) == "**Kept about you there**, since <t:3000000:D>\n- 4 questions with their answers"


def test_what_has_no_time_is_counted_without() -> None:
    held = [Held(kind="allowances", guild_id=HERE, count=1, since_us=None)]
    assert block("here", held) == "**Kept about you here**\n- 1 allowance for you, or set by you"


def test_an_erasure_with_nothing_left_promises_nothing() -> None:
    text = erased(Progress(open_requests=0, kept=(), soon=False), own_allowances=0, unit=UNIT)
    assert [line for line in text.splitlines() if line.startswith("- ")] == []


def test_an_erasure_says_what_is_left_and_until_when() -> None:
    kept = (
        Kept(scope_id=1, until=THEN, grants_nano=5 * UNIT.nano),
        Kept(scope_id=2, until=None, grants_nano=0),
    )
    text = erased(Progress(open_requests=2, kept=kept, soon=True), own_allowances=3, unit=UNIT)
    assert "2 requests of yours are still under way" in text
    assert f"until <t:{int(THEN.timestamp())}:f>" in text
    assert "given once for all time" in text
    assert "5 credits are left until then" in text
    assert "In 3 servers the admins set an allowance" in text
