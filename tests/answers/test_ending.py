"""How an answer has ended, as the database keeps it."""

from dataclasses import replace

import orjson
import pytest

from bot.answers.ending import Ended
from bot.credits.rules import Consumed, outcome
from bot.money import NanoDollars

ENDED = Ended(
    state="done",
    reason="finished",
    consumed=Consumed(nano=NanoDollars(7), estimated=True, prompt_tokens=1, completion_tokens=2),
    text="In Durango.",
    heading="> Where?\n",
    footer="cost",
    notice=None,
    torn=False,
    may_continue=False,
    remembered=True,
)


@pytest.mark.parametrize("ended", [ENDED, replace(ENDED, notice="⏹️ Stopped.", state="stopped", torn=True)])
def test_what_was_written_down_is_read_again(ended: Ended) -> None:
    assert Ended.from_json(ended.to_json()) == ended


def test_half_a_character_is_no_obstacle() -> None:
    assert Ended.from_json(replace(ENDED, text="a\ud83d").to_json()).text == "a\ufffd"


def test_figures_of_a_mad_api_are_charged_after_a_restart_as_before_it() -> None:
    mad = Consumed(nano=NanoDollars(10**25), estimated=False, prompt_tokens=10**19, completion_tokens=10**19)
    stored = Ended.from_json(replace(ENDED, consumed=mad).to_json()).consumed
    held = NanoDollars(100)
    assert outcome("finished", stored, held_nano=held) == outcome("finished", mad, held_nano=held)


@pytest.mark.parametrize(
    "change",
    [
        {"a field of tomorrow": 1},
        {"consumed": {"nano": 1}},
        {"consumed": None},
        {"consumed": {"nano": "1", "lost_nano": 0, "estimated": False}},
        {"consumed": {"nano": -1, "lost_nano": 0, "estimated": False}},
        {"reason": "bored"},
        {"reason": []},
        {"state": "running away"},
        {"text": None},
        {"torn": "no"},
    ],
    ids=str,
)
def test_what_another_version_wrote_is_refused_as_one_error(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"unreadable|not known"):
        Ended.from_json(orjson.dumps({**orjson.loads(ENDED.to_json()), **change}).decode())


@pytest.mark.parametrize("stored", ["", "{", "[]", "null", "7", "{}"])
def test_what_is_damaged_is_refused_as_one_error(stored: str) -> None:
    with pytest.raises(ValueError, match="unreadable"):
        Ended.from_json(stored)
