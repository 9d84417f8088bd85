"""What the benchmark calls first words, whole text and age: figures that nobody checks again."""

import pytest

from benchmarks.answers import percentile
from benchmarks.reading import Shown, one_clock_for_all, read, story, words_shown


def test_the_words_shown_are_counted_by_the_last_one_on_the_page() -> None:
    chunks = story(200)
    for count in (1, 39, 40, 41, 120, 200):
        assert words_shown("".join(chunks[:count])) == count
    assert words_shown("-# ✍️ writing…") == 0
    assert words_shown("-# gpt-4o-mini · 312 tokens") == 0


def test_a_page_that_begins_in_the_middle_counts_from_the_storys_beginning() -> None:
    assert words_shown("".join(story(100)[60:])) == 100


def test_first_words_and_whole_text_are_held_against_the_chunks_they_show() -> None:
    reading = read([0.0, 1.0, 2.0], [Shown(0.1, 1), Shown(1.5, 2), Shown(2.3, 3), Shown(2.9, 3)])
    assert reading.first_words_s == pytest.approx(0.1)
    assert reading.whole_text_s == pytest.approx(0.3)


def test_the_age_grows_from_the_moment_at_which_the_oldest_unseen_chunk_was_sent() -> None:
    # Unseen: chunk 0 for 1 s, then nothing for 1 s, then chunk 1 for 2 s: (1/2 + 0 + 4/2) over 4 s.
    assert read([0.0, 2.0], [Shown(1.0, 1), Shown(4.0, 2)]).age_s == pytest.approx(2.5 / 4)


def test_a_chunk_left_out_by_an_edit_goes_on_ageing() -> None:
    # Chunk 1 was sent at 1 s and is not in the edit at 2 s: it is 1 s old then, and 2 s at the end.
    assert read([0.0, 1.0], [Shown(2.0, 1), Shown(3.0, 2)]).age_s == pytest.approx((2.0 + 1.5) / 3)


def test_text_that_was_never_shown_is_no_reading() -> None:
    with pytest.raises(ValueError, match="1 of 2"):
        read([0.0, 1.0], [Shown(0.5, 1)])


def test_one_clock_for_all_lets_answers_wait_for_each_other() -> None:
    alone, crowded = one_clock_for_all([[0.0, 0.5, 1.0, 1.5]]), one_clock_for_all([[0.0, 3.0], [0.1, 3.0]])
    assert alone[0].first_words_s == 0
    assert crowded[0].first_words_s == 0
    assert crowded[1].first_words_s == pytest.approx(2.9)


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 95) == 3.0
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile(range(100), 95) == 94
