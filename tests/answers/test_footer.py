"""Rules of the line below an answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.answers.footer import footer, memory_in_words
from bot.answers.history import MemoryKey
from bot.minitoolai.chat import Usage
from bot.money import CreditUnit, NanoDollars

USAGE = Usage(prompt_tokens=1_234, completion_tokens=56)
SHARED = MemoryKey.shared(1)


def line(**changes: object) -> str:
    given: dict[str, object] = {
        "model": "gpt-4o",
        "usage": USAGE,
        "estimated": False,
        "cost": NanoDollars(3_645_000),
        "memory": "no memory",
        "unit": CreditUnit(nano=NanoDollars(1_000_000)),
    }
    return footer(**{**given, **changes})  # type: ignore[arg-type]


def test_it_names_model_tokens_price_and_memory_in_one_line() -> None:
    assert line() == "gpt-4o · 1,234 tokens in, 56 out · 3.645 credits ($0.003645) · no memory"


def test_an_estimate_wears_its_mark_at_every_number() -> None:
    assert line(estimated=True) == "gpt-4o · ≈1,234 tokens in, ≈56 out · ≈3.645 credits ($0.003645) · no memory"


def test_notes_follow_in_their_order() -> None:
    assert line(notes=("first", "second")).endswith(" · no memory · first · second")


@pytest.mark.parametrize(
    ("key", "turns", "words"),
    [
        (None, 0, "no memory"),
        (SHARED, 0, "shared memory"),
        (SHARED, 1, "shared memory, 1 turn"),
        (SHARED, 5, "shared memory, 5 turns"),
        (MemoryKey.personal(1, 2), 2, "Dana's own memory, 2 turns"),
        (MemoryKey.private(1, 2), 1, "private memory, 1 turn"),
    ],
)
def test_it_says_whose_memory_was_used_and_how_much_of_it(key: MemoryKey | None, turns: int, words: str) -> None:
    assert memory_in_words(key, asker_name="Dana", turns=turns) == words


@given(st.text(max_size=80))
def test_no_name_breaks_the_line_or_formats_it(name: str) -> None:
    words = memory_in_words(MemoryKey.personal(1, 2), asker_name=name, turns=0)
    assert len(words.splitlines()) == 1
    for mark in "*_~|`[<":
        assert mark not in words.replace(f"\\{mark}", "")


def test_a_name_is_shown_as_it_is_written() -> None:
    words = memory_in_words(MemoryKey.personal(1, 2), asker_name="__x__ **Dana**", turns=0)
    assert words == r"\_\_x\_\_ \*\*Dana\*\*'s own memory"
