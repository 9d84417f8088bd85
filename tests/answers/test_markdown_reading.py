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
    ],
)
def test_a_line_is_of_the_kind_that_its_beginning_says(line: str, kind: Kind) -> None:
    assert read(f"Before.\n\n{line}").lines[-1].kind is kind


def test_what_a_block_left_open_ends_with_it() -> None:
    reading = read("*a b\n\nc")
    assert [reading.marks_at(place) for place in (0, 1, 4, 5, 7)] == [(), ("*",), ("*",), (), ()]
    assert not any(reading.splits_change(place) for place in (1, 2, 3))


def test_each_block_is_read_once() -> None:
    assert starts(read("**a**\n\n*b*\n- ~~c~~")) == [0, 3, 7, 9, 13, 16]


def test_backticks_without_a_partner_hide_no_emphasis_once_their_block_has_ended() -> None:
    assert marked("a ` **b**\n\nc") == "b**"


def test_a_mark_with_nothing_behind_it_opens_nothing() -> None:
    assert read("a **").changes == []


def test_a_mention_is_not_torn_at_its_edges() -> None:
    reading = read("a <@1> b")
    assert [reading.atom_around(place) for place in (2, 3, 5, 6)] == [None, (2, 6), (2, 6), None]


def test_three_stars_that_close_two_and_open_one_are_not_shown_without_what_they_mark() -> None:
    assert growing("**a***[te") == "**a**"


def test_three_stars_that_only_close_stay_where_they_are() -> None:
    assert [(change.marks, change.opens) for change in read("**a*** b").changes] == [(("**",), True), ((), False)]


@pytest.mark.parametrize("lead", ["> ", "- ", "1. ", "# ", "-# ", "| "])
def test_a_word_that_would_begin_a_block_is_no_place_for_a_cut(lead: str) -> None:
    for number in range(30, 37):
        words = ["word."] * 80
        words[number] = lead.strip()
        assert not any(page.startswith(lead) for page in split(" ".join(words), 200)), number
