"""A server's words are found as people read them, standing alone, and masked however a text comes in pieces."""

import gc
import weakref

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import WordListRefused
from bot.wordlist import HELD_LIMIT, KEPT_LEAST, MASK, WORD_LIMIT, WORDS_LIMIT, Masker, WordList, WordLists, parse_words


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("darn", "Oh DARN it"),
        ("darn", "darn"),
        ("darn", "(darn!)"),
        ("darn", "that darn's word"),
        ("darn", "d\u200barn"),
        ("darn", "d\u0301arn"),
        ("darn", "ｄａｒｎ"),
        ("darn", "\u202edarn\u202c"),
        ("straße", "STRASSE"),
        ("café", "cafe"),
        ("two words", "these two\n  words"),
        ("שלום", "שָׁלוֹם לכם"),
        ("كتاب", "كِتَاب"),
        ("дурак", "ДУРАК!"),
        ("傻瓜", "你这个傻瓜啊"),
        ("ばか", "おまえはばかだ"),
        ("คนโง่", "เขาเป็นคนโง่มาก"),
        ("바보", "바보 같은"),
        ("c++", "I like c++ a lot"),
        ("darn", "d\ufe0farn"),
        ("darn", "da\u3164rn"),
        ("darn", "dar\u2800n"),
        ("darn", "darn\U000e0100"),
        ("darn", "d\u20ddarn"),
        ("darn", "da\u0489rn"),
        ("darn", "dar\u1dc4n\ufe20"),
        ("darn", "d**ar**n"),
        ("darn", "||d||arn"),
        ("darn", "da``rn"),
        ("darn", "so _darn_ hot"),
        ("darn", "so __darn__ hot"),
        ("f**k", "F**K!"),
        ("傻瓜", "傻**瓜**"),
        ("darn", "这个darn吧"),
        ("كتاب", "كـــتاب"),
        ("ספר", "בית־ספר"),
    ],
)
def test_a_word_is_found_as_people_read_it(word: str, text: str):
    assert WordList([word]).finds(text)


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("ass", "a class of grass"),
        ("darn", "darned"),
        ("darn", "_darn_it"),
        ("two words", "two more words"),
        ("שלום", "ושלום"),
        ("नम", "नमस्ते"),
        ("바보", "바보야"),
        ("darn", ""),
        ("か", "が"),
    ],
)
def test_a_part_of_another_word_is_not_that_word(word: str, text: str):
    assert not WordList([word]).finds(text)


def test_an_empty_list_finds_and_masks_nothing():
    words = WordList([])
    assert not words.finds("anything", None)
    assert words.masked("anything") == "anything"


def test_a_masked_text_keeps_its_length_and_everything_else():
    assert WordList(["darn", "two words"]).masked("Oh Darn, two  words.") == f"Oh {MASK * 4}, {MASK * 3}  {MASK * 5}."


def test_the_longer_of_two_words_is_masked_whole():
    assert WordList(["bad", "bad apple"]).masked("a bad apple, bad") == f"a {MASK * 3} {MASK * 5}, {MASK * 3}"


def test_a_word_that_is_not_listed_is_not_held_back():
    masker = Masker(WordList(["darn"]))
    assert masker.feed("Hello wor") == "Hello wor"
    assert masker.feed("ld d") == "ld "
    assert masker.feed("ad") == "dad"
    assert masker.end() == ""


def test_what_may_become_a_listed_word_is_held_back_until_that_is_known():
    masker = Masker(WordList(["darn"]))
    assert masker.feed("Oh da") == "Oh "
    assert masker.feed("rn") == ""
    assert masker.feed("ed") == "darned"
    assert masker.feed(" darn") == " "
    assert masker.feed(" it") == f"{MASK * 4} it"


def test_what_was_shown_is_no_beginning_of_a_word():
    masker = Masker(WordList(["dad"]))
    assert masker.feed("DD") + masker.feed("aD") + masker.end() == "DDaD"


def test_what_cannot_be_seen_between_pieces_parts_no_word():
    masker = Masker(WordList(["dad"]))
    assert masker.feed("x\u200b") + masker.feed("dad") + masker.end() == "x\u200bdad"


def test_what_is_held_back_has_a_bound():
    masker = Masker(WordList(["darn", "darn it"]))
    shown = masker.feed("darn") + "".join(masker.feed("\u200b") for _ in range(HELD_LIMIT + 1))
    assert shown == MASK * 4 + "\u200b" * (len(shown) - 4)
    assert len(shown) >= HELD_LIMIT


ALPHABET = "dDarné \u200b\u0301nx.\n*_"


@settings(max_examples=500)
@given(st.lists(st.text(ALPHABET, max_size=8), max_size=12))
def test_however_a_text_comes_in_pieces_it_is_masked_as_a_whole(pieces: list[str]):
    words = WordList(["darn", "dad", "arn x"])
    masker = Masker(words)
    shown = "".join([masker.feed(piece) for piece in pieces] + [masker.end()])
    assert shown == words.masked("".join(pieces))
    assert not words.finds(shown)


@given(st.text(max_size=200), st.lists(st.text(min_size=1, max_size=6), max_size=5))
def test_any_text_and_any_list_keeps_its_length_and_loses_its_words(text: str, listed: list[str]):
    words = WordList(listed)
    masked = words.masked(text)
    assert len(masked) == len(text)
    assert not words.finds(masked) or any(MASK in word for word in listed)


def test_a_list_is_read_by_lines_and_commas_each_word_once():
    assert parse_words(" darn, DARN \n\ntwo   words,") == ("darn", "two words")


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("x" * (WORD_LIMIT + 1), "too long"),
        ("!!!", "unreadable"),
        ("\u200b", "unreadable"),
        ("\n".join(f"word{n}" for n in range(WORDS_LIMIT + 1)), "too many"),
    ],
)
def test_a_list_that_cannot_be_kept_says_why(typed: str, problem: str):
    with pytest.raises(WordListRefused) as caught:
        parse_words(typed)
    assert caught.value.problem == problem


# What is kept


def test_a_list_is_made_once() -> None:
    lists = WordLists()
    assert lists.of(("darn", "heck")) is lists.of(("darn", "heck"))
    assert len(lists) == 1


def test_lists_are_kept_by_what_they_weigh_and_those_asked_for_last() -> None:
    lists = WordLists(kept_characters=3 * KEPT_LEAST)
    first, second = lists.of(("first",)), lists.of(("second",))
    lists.of(("third",))
    assert lists.of(("first",)) is first
    lists.of(("fourth",))
    assert len(lists) == 3
    assert lists.of(("first",)) is first
    assert lists.of(("second",)) is not second
    lists.of(tuple(f"word{number}" for number in range(3 * KEPT_LEAST)))
    assert len(lists) == 1, "one that outweighs all others stays alone"


def test_a_list_that_is_forgotten_is_kept_nowhere_else() -> None:
    lists = WordLists(kept_characters=0)
    word = "a phrase that stands in no other list"
    pattern = weakref.ref(lists.of((word,))._pattern)
    assert pattern() is not None
    lists.of(("another",))
    gc.collect()
    assert pattern() is None
    assert word not in repr(vars(regex._main))


def test_where_no_word_is_listed_nothing_is_held_back() -> None:
    empty, masker = WordList(["", "\u200b"]), Masker(WordList([]))
    assert empty.is_empty
    assert empty.undecided_from("dar") == 3
    assert WordList(["darn"]).undecided_from("dar") == 0
    assert (masker.feed("dar"), masker.end()) == ("dar", "")
