"""Rules of people's words inside the bot's sentences."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.answers.plain import as_heading, escaped, excerpt
from cogs.decisions import plain as decided_plain
from cogs.history import excerpt as listed_excerpt
from cogs.usage_text import plain as used_plain


def test_an_excerpt_is_one_line_cut_with_an_ellipsis():
    assert excerpt("one\n\n  two\tthree", 50) == "one two three"
    assert excerpt("abcdefgh", 5) == "abcd…"


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("**bold** _it_ ~~no~~ ||who||", r"\*\*bold\*\* \_it\_ \~\~no\~\~ \|\|who\|\|"),
        ("- a list", r"\- a list"),
        ("1. a list", r"1\. a list"),
        ("# a title", r"\# a title"),
        ("[here](x)", r"\[here\]\(x\)"),
        ("<@1> @here", "\\<@\u200b1\\> @\u200bhere"),
        ("http://a.b www.c.d", "http\u200b://a.b www\u200b.c.d"),
        ("steam://run/1", "steam\u200b://run/1"),
    ],
)
def test_nothing_in_it_is_formatted_links_or_mentions(typed: str, shown: str):
    assert escaped(typed) == shown


def test_characters_that_cannot_be_seen_or_turn_the_line_around_are_left_out():
    assert excerpt("a\u202eb\u200bc\x00d", 50) == "abcd"


def test_marks_pile_up_no_higher_than_letters_need():
    assert excerpt("a" + "\u0301" * 4_000 + "b שָׁ", 50) == "a" + "\u0301" * 4 + "b שָׁ"


def test_an_emoji_of_several_stays_one():
    assert excerpt("👩\u200d👧", 50) == "👩\u200d👧"


def test_a_heading_is_a_quote_and_nothing_where_there_are_no_words():
    assert as_heading("Why?", 50) == "> Why?\n"
    assert as_heading(" \n\u200b", 50) == ""


@given(st.text(), st.integers(min_value=2, max_value=40))
def test_an_excerpt_is_a_bounded_single_line_whatever_was_typed(text: str, limit: int):
    shown = excerpt(text, limit)
    assert len(shown.splitlines()) <= 1
    assert len(shown) <= 3 * limit


@pytest.mark.parametrize("shown", [listed_excerpt, decided_plain, used_plain])
def test_of_two_links_in_a_text_that_others_read_none_hides_its_address(shown: Callable[[str], str]):
    text = shown("[a](b) [your prize](https://c.example) \u202etxt")
    assert not re.search(r"(?<!\\)\[|(?<!\\)\]|https:", text)
    assert "\u202e" not in text
