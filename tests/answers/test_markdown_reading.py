"""What a text is read as, where a page shows it only now and then."""

import pytest

from bot.answers.markdown import Pages, reopening, split
from bot.answers.markdown.blocks import Kind, begins_block, fence_tails
from bot.answers.markdown.reading import Reading, read


def growing(text: str) -> str:
    """What is shown of `text` while more is to come."""
    pages = Pages(2_000)
    pages.feed(text)
    return pages.open()


def marked(text: str) -> str:
    """The characters of `text` that stand in emphasis, a spoiler or inline code."""
    reading = read(text, ended=True)
    return "".join(character for place, character in enumerate(text) if reading.marks_at(place))


def starts(reading: Reading) -> list[int]:
    return [change.start for change in reading.changes]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (" \t", Kind.BLANK),
        ("words", Kind.TEXT),
        ("## words", Kind.HEADING),
        ("-# words", Kind.SUBTEXT),
        ("- words", Kind.ITEM),
        ("12) [x] words", Kind.ITEM),
        ("> - words", Kind.ITEM),
        ("> words", Kind.QUOTE),
        (">>> words", Kind.QUOTE),
        ("* * *", Kind.RULE),
        ("| words |", Kind.TABLE_HEAD),
        ("||words||", Kind.TEXT),
        ("- ```py", Kind.FENCE_OPENER),
        ("```\nwords", Kind.FENCE_CONTENT),
        ("```\nwords\n```", Kind.FENCE_CLOSER),
        ("| a |\n|---|", Kind.TABLE_DELIMITER),
        ("| a |\n|---|\n| words |", Kind.TABLE_ROW),
    ],
)
def test_a_line_is_of_the_kind_that_its_beginning_says(line: str, kind: Kind) -> None:
    assert read(f"Before.\n\n{line}").lines[-1].kind is kind


def test_a_rule_has_no_words() -> None:
    rule = read("Before.\n* * *").lines[-1]
    assert (rule.start, rule.words, rule.end) == (8, 13, 13)


def test_what_a_block_left_open_ends_with_it() -> None:
    reading = read("*a b\n\nc")
    assert [reading.marks_at(place) for place in (0, 1, 4, 5, 7)] == [(), ("*",), ("*",), (), ()]
    assert not any(reading.splits_change(place) for place in (1, 2, 3))


def test_each_block_is_read_once() -> None:
    assert starts(read("**a**\n\n*b*\n- ~~c~~")) == [0, 3, 7, 9, 13, 16]


@pytest.mark.parametrize("behind", ["", "\n\nc", "\n- c"])
def test_backticks_without_a_partner_hide_no_emphasis_once_their_block_has_ended(behind: str) -> None:
    assert marked(f"a ` **b**{behind}") == "b**"


def test_a_mark_with_nothing_behind_it_opens_nothing() -> None:
    assert read("a **").changes == []


def test_a_mention_is_not_torn_at_its_edges() -> None:
    reading = read("a <@1> b")
    assert [reading.atom_around(place) for place in (2, 3, 5, 6)] == [None, (2, 6), (2, 6), None]


def test_a_cut_before_a_mark_or_inside_of_it_splits_it() -> None:
    reading = read("a **b**")
    assert [place for place in range(8) if reading.splits_change(place)] == [2, 3, 5, 6]


def test_what_is_unfinished_is_one_stretch_beyond_the_end_of_the_text() -> None:
    reading = read("<@1> <@2> <@3> [te")
    reading.add_unfinished(5)
    assert reading.atoms == [(0, 4), (5, 19)]


def test_reading_can_go_on_behind_the_last_whole_line_with_nothing_open() -> None:
    near = read("One.\nTwo.\nThree")
    assert near.resting_line() is near.lines[1]
    reading = read("One.\nTwo.\n\n*three\nfour")
    assert reading.resting_line() is reading.lines[1]


def test_three_stars_that_close_two_and_open_one_are_not_shown_without_what_they_mark() -> None:
    assert growing("**a***[te") == "**a**"


def test_three_stars_that_only_close_stay_where_they_are() -> None:
    assert [(change.marks, change.opens) for change in read("**a*** b").changes] == [(("**",), True), ((), False)]


def test_reading_on_behind_a_line_gives_that_line_and_those_behind_it() -> None:
    text = "One line.\n- **two**\n```py\nx\n```\n\nThree *stars*"
    rested = read("One line.\n- **two**\n```py\nx").resting_line()
    assert rested is not None
    whole, later = read(text), read(text, after=rested)
    assert later.lines == whole.lines[whole.lines.index(rested) :]
    assert later.changes == [change for change in whole.changes if change.start > rested.end]


def test_a_fence_behind_empty_lines_is_opened_anew() -> None:
    assert reopening("\n\n```py\nx") == "```py\n"


def test_a_fence_counts_from_its_third_backtick_on() -> None:
    assert fence_tails("> ```` x\n```") == [(5, 6), (6, 7), (12, 4)]


def test_a_quote_to_the_end_of_the_message_is_begun_once_on_a_page() -> None:
    pages = split(">>> " + "words " * 60, 200)
    assert [page[:9] for page in pages] == [">>> words"] * 2


def test_a_fence_in_a_quote_to_the_end_of_the_message_is_opened_anew_without_another_quote() -> None:
    pages = split(">>> ```py\n" + "print('a line')\n" * 20 + "```", 200)
    assert len(pages) == 2
    assert all(page.startswith(">>> ```py\nprint") and page.endswith(")\n```") for page in pages)


def test_only_the_beginning_of_a_block_is_taken_for_one() -> None:
    begins = [text for text in ("a", "> a", "- a", "# a", "-# a", "| a", "||a", "-a", ">a") if begins_block(text, 0)]
    assert begins == ["> a", "- a", "# a", "-# a", "| a", ">a"]


@pytest.mark.parametrize("lead", ["> ", "- ", "1. ", "# ", "-# ", "| "])
def test_a_word_that_would_begin_a_block_is_no_place_for_a_cut(lead: str) -> None:
    for number in range(30, 37):
        words = ["word."] * 80
        words[number] = lead.strip()
        assert not any(page.startswith(lead) for page in split(" ".join(words), 200)), number
