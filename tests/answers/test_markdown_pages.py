"""The rules of how a growing answer's pages begin and end, each at the very place where it begins or ceases to hold."""

import pytest

from bot.answers.markdown import Pages, split
from bot.delivery.messages import utf16_length

CODE = "x" * 191
"""A line that fills a page of 200 with its fence, up to one character."""


def fed(text: str, size: int = 1_000) -> Pages:
    pages = Pages(200)
    for position in range(0, len(text), size):
        pages.feed(text[position : position + size])
    return pages


def pages_of(text: str, size: int) -> list[str]:
    pages = fed(text, size)
    last = pages.open(final=True)
    return [*pages.closed, last] if last else [*pages.closed]


def test_blank_lines_before_an_answer_are_dropped() -> None:
    assert split("\n \n\nword", 200) == ["word"]


@pytest.mark.parametrize("size", [1, 1_000])
def test_the_first_line_keeps_its_indentation(size: int) -> None:
    assert pages_of("  - a\n  - b", size) == ["  - a\n  - b"]


@pytest.mark.parametrize("size", [1, 1_000])
def test_a_line_behind_a_cut_keeps_its_indentation(size: int) -> None:
    assert pages_of("- " + "w" * 198 + "\n  - inner\n", size) == ["- " + "w" * 198, "  - inner"]


@pytest.mark.parametrize("size", [1, 40, 1_000])
def test_of_an_indentation_longer_than_a_page_a_page_is_dropped(size: int) -> None:
    assert pages_of(" " * 250 + "x", size) == [" " * 49 + "x"]


def test_code_units_are_counted_from_the_first_page_on() -> None:
    assert split("😀" * 101, 200) == ["😀" * 100, "😀"]


@pytest.mark.parametrize("rest", ["`", "``", "```", "``` ", "  ``"])
def test_what_may_close_the_fence_on_the_page_before_is_not_shown_yet(rest: str) -> None:
    pages = fed(f"```\n{CODE}\n{rest}")
    assert pages.closed == (f"```\n{CODE}\n```",)
    assert pages.open() == ""


@pytest.mark.parametrize("rest", [">", ">\r", "> `", "> ```\r"])
def test_what_may_close_a_quoted_fence_on_the_page_before_is_not_shown_yet(rest: str) -> None:
    pages = fed(f"> ```\n> {CODE[5:]}\n{rest}")
    assert pages.closed == (f"> ```\n> {CODE[5:]}\n> ```",)
    assert pages.open() == ""


@pytest.mark.parametrize("rest", ["y", "`y", "y\nz"])
def test_code_behind_a_cut_is_shown_from_its_first_line_on(rest: str) -> None:
    pages = fed(f"```\n{CODE}\n{rest}")
    assert pages.open() == f"```\n{rest}\n```"


@pytest.mark.parametrize("rest", ["`", "``", "  ``"])
def test_too_few_backticks_at_the_end_are_shown_as_code(rest: str) -> None:
    assert split(f"```py\n{CODE[2:]}\n{rest}", 200) == [f"```py\n{CODE[2:]}\n```", f"```py\n{rest}\n```"]


@pytest.mark.parametrize("rest", ["```", "````", "  ```", "``` \r", "```\u3000"])
def test_a_fence_closed_by_the_last_line_is_not_opened_again(rest: str) -> None:
    assert split(f"```\n{CODE}\n{rest}", 200) == [f"```\n{CODE}\n```"]


def test_a_fence_whose_first_words_move_to_the_next_page_keeps_its_whole_opening_line() -> None:
    fence = "> ```py " + "title " * 11 + "\n> "
    first = "word " * 9 + "end"
    assert split(f"{first}\n{fence}{'x' * 100}", 200) == [first, f"{fence}{'x' * 100}\n> ```"]


@pytest.mark.parametrize("mark", ["**", "***", "**_", "||", "`", "``", "**`"])
def test_what_a_page_reopens_is_closed_where_the_text_ends(mark: str) -> None:
    words = "word " * 60 + "end"
    pages = split(mark + words, 200)
    assert all(page.startswith(mark) and page.endswith(mark[::-1]) for page in pages)
    assert " ".join(page.removeprefix(mark).removesuffix(mark[::-1]) for page in pages) == words


@pytest.mark.parametrize("end", ["a ` b** c", "a `` b** ` c"])
def test_backticks_without_a_partner_hide_no_mark_on_the_last_page(end: str) -> None:
    assert split("**" + "word " * 50 + end, 200)[-1].endswith(f"word {end}")


def test_backticks_behind_reopened_code_need_a_partner() -> None:
    assert split("`" + "word " * 50 + "end` and ` more", 200)[-1].endswith("word end` and ` more")


@pytest.mark.parametrize("mark", ["*", "**", "***", "`"])
def test_what_closes_reopened_marks_is_within_the_limit(mark: str) -> None:
    for length in range(185, 200):
        for page in split(f"{mark}{'w' * 150} {'x' * length}", 200):
            assert utf16_length(page) <= 200, length


def test_what_closes_a_fence_behind_reopened_marks_is_within_the_limit() -> None:
    for length in range(170, 200):
        for page in split(f"**{'w' * 150} {'x' * 60}**\n```\n{'y' * (length - 70)}", 200):
            assert utf16_length(page) <= 200, length


@pytest.mark.parametrize("size", [1, 1_000])
def test_marks_are_not_reopened_behind_a_paragraph_whose_end_was_not_seen_at_the_cut(size: int) -> None:
    first, second = "w" * 196, "x" * 196
    assert pages_of(f"**{first} {second}\n\nAfter.", size) == [f"**{first}**", f"**{second}**", "After."]


TABLE = "| a | b |\n|---|---|\n"


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_a_second_table_behind_a_cut_does_not_get_the_header_of_the_first(size: int) -> None:
    for extra in range(1, 11):
        first = TABLE + "| 1 | 2 |\n" * 17 + f"| {'c' * extra} |"
        second = "| d |\n|---|\n" + "| 3 |\n" * 4 + "| 3 |"
        pages = pages_of(f"{first}\n\n{second}", size)
        assert "\n".join(pages).count(TABLE.strip()) == len(pages) - pages[-1].startswith("| d |"), extra
        assert "\n".join(pages).endswith(second)


def test_a_line_right_behind_a_table_does_not_get_its_header() -> None:
    table = TABLE + "| 1 | 2 |\n" * 18
    assert split(f"{table}After it.", 200) == [table.strip(), "After it."]


@pytest.mark.parametrize("size", [1, 1_000])
def test_the_header_is_repeated_before_rows_that_are_indented(size: int) -> None:
    header, row = "  | a | b |\n  |---|---|\n", "  | 1 | 2 |\n"
    pages = pages_of(header + row * 30, size)
    assert len(pages) == 3
    assert all(page.startswith(header + row) for page in pages)


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_a_repeated_header_counts_as_a_part_of_its_page(size: int) -> None:
    header, row = f"| {'a' * 39} |\n|---|\n", "| 1 |\n"
    first = header + row * 25
    second = f"{row * 2}\n{'w' * 60}\n\n"
    pages = pages_of(first + second + "word " * 40, size)
    assert pages[:2] == [first.strip(), header + second.strip()]


def test_a_link_right_behind_a_word_is_whole_wherever_the_limit_falls_in_it() -> None:
    link = "[link](https://example.org/" + "a" * 60 + ")"
    for length in range(5, 20):
        words = "word " * 36 + "x" * length
        assert split(words + link, 200) == [words, link], length


def test_a_link_longer_than_a_page_has_room_for_moves_behind_a_single_letter() -> None:
    link = f"https://example.org/{'a' * 180}"
    assert split(f"数{link} end.", 200) == ["数", link, "end."]


def test_a_page_of_which_exactly_half_is_filled_is_full_enough() -> None:
    first, second = "w" * 50, "x" * 48
    link = "[link](https://example.org/" + "a" * 120 + ")"
    assert split(f"{first}\n\n{second}{link}", 200) == [f"{first}\n\n{second}", link]


def test_a_page_is_not_left_half_empty_where_there_are_stops_but_no_spaces() -> None:
    assert len(split("Short.\n\n" + ("数" * 9 + "。") * 40, 200)[0]) > 190


def test_no_page_ends_right_behind_an_opening_mark() -> None:
    for length in range(180, 202):
        pages = split("**" + "数" * length + "~~重要~~" + "数" * 100 + "**", 200)
        assert any("~~重" in page for page in pages), length


def test_the_page_of_a_torn_text_may_fill_the_limit_with_what_closes_it() -> None:
    pages = fed("**" + "x" * 196)
    assert pages.open(final=True, torn=True) == f"**{'x' * 196}**"


@pytest.mark.parametrize("letter", ["Z", "  Z"])
def test_a_cluster_longer_than_a_page_keeps_what_stands_before_it(letter: str) -> None:
    assert split(letter + "\u0301" * 300, 200)[0] == letter + "\u0301" * (200 - len(letter))


@pytest.mark.parametrize("size", [1, 1_000])
def test_a_closing_fence_with_more_space_behind_it_than_fits_a_page_closes_all_the_same(size: int) -> None:
    pages = pages_of(f"```\n{CODE}\n```{' ' * 300}\nafter", size)
    assert (pages[0], pages[-1]) == (f"```\n{CODE}\n```", "after")
    assert all(utf16_length(page) <= 200 for page in pages)
