"""The rules of cutting Markdown into pages. The judges below are written apart from the code that they judge."""

import re
import string

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.answers.markdown import Pages, reopening, split
from bot.delivery.messages import utf16_length

WORDS = [
    "word",
    "snake_case",
    "2 * 3",
    "2*3*4",
    "naïve",
    "数学",
    "。",
    "👨‍👩‍👧",
    "🇩🇪",
    "👍🏽",
    "é",
    "\\*",
    "\\",
    "Hello.",
    "a<b",
    " ",
]
MARKS = ["*", "**", "***", "_", "__", "~~", "||", "`", "``", "```", "````", "[", "](", ")", "<", ">", "|", "!["]
BLOCKS = [
    "\n",
    "\n\n",
    "\n\n\n",
    "\n- ",
    "\n* ",
    "\n1. ",
    "\n  - ",
    "\n# ",
    "\n> ",
    "\n>>> ",
    "\n-# ",
    "\n---\n",
    "\n```",
    "\n```py\n",
    "\n```\n",
    "\n````md\n",
    "\n````\n",
    "\n  ```js\n",
    "\n> ```\n",
    "\n- ```\n",
    "```\n",
    "\n| a | b |\n|---|---|\n",
    "\n| 1 | 2 |",
    "\t",
    "\r\n",
]
WHOLES = [
    "**bold words**",
    "*it*",
    "`code here`",
    "``a ` b``",
    "[text](https://example.org/a_b)",
    "https://example.org/a*b_c?d=e",
    "<@123>",
    "<:smile:12>",
    "<t:1700000000:R>",
    "<https://example.org>",
    "||secret||",
    "~~old~~",
    "\n```py\nprint(1)\n```\n",
    "\n> quoted words\n> and more\n",
    "x" * 60,
    "word " * 20,
    "code line\n" * 10,
    "\n- item" * 8,
    "Z" + "\u0301" * 30,
    "\0",
    "\ud800",
    "\u200b",
]

tokens = st.sampled_from([*WORDS, *MARKS, *BLOCKS, *WHOLES])
markdown = st.lists(st.one_of(tokens, tokens, st.text(max_size=8)), min_size=10, max_size=150).map("".join)
limits = st.integers(200, 400)
fuzz = settings(max_examples=150, deadline=None)


def clean(text: str) -> str:
    return re.sub("[\ud800-\udfff]", "\ufffd", text.replace("\0", ""))


def fed(text: str, limit: int, sizes: list[int]) -> Pages:
    pages = Pages(limit)
    position, turn = 0, 0
    while position < len(text):
        size = sizes[turn % len(sizes)]
        pages.feed(text[position : position + size])
        position, turn = position + size, turn + 1
    return pages


def states(text: str, limit: int, size: int) -> list[str]:
    """Everything that a reader could see while `text` arrives."""
    pages, seen = Pages(limit), []
    for position in range(0, len(text), size):
        pages.feed(text[position : position + size])
        seen.append(pages.open())
    return seen


def fence_left_open(page: str) -> bool:
    """CommonMark's rule for fences, read line by line, at any indentation and inside of quotes and items.

    As in Discord, any white space may follow the closing backticks.
    """
    open_run, open_quoted = "", False
    for line in page.split("\n"):
        quoted = re.match(r"[ \t]*>(?!>> )", line) is not None
        if open_run and open_quoted and line.strip() and not line.lstrip().startswith(">"):
            open_run = ""
        if open_run:
            closer = re.fullmatch(r"[ \t]*(?:>[ \t]?){0,8}[ \t]*(`{3,16})\s*", line)
            if closer and len(closer[1]) >= len(open_run) and (open_quoted or ">" not in line):
                open_run = ""
        else:
            opener = re.fullmatch(
                r"[ \t]*(?:>[ \t]?){0,8}[ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+){0,4}(`{3,16})[^`]*", line
            )
            if opener:
                open_run, open_quoted = opener[1], quoted
    return bool(open_run)


@given(markdown, limits)
@fuzz
def test_no_page_is_over_the_limit_or_blank(text: str, limit: int) -> None:
    for page in split(text, limit):
        assert utf16_length(page) <= limit
        assert page.strip()


@given(markdown, limits, st.integers(1, 40))
@fuzz
def test_no_state_while_streaming_is_over_the_limit(text: str, limit: int, size: int) -> None:
    for state in states(text, limit, size):
        assert utf16_length(state) <= limit
        assert state == "" or state.strip()


@given(markdown, limits, st.lists(st.integers(1, 50), min_size=1, max_size=5))
@fuzz
def test_any_chunking_gives_the_same_pages(text: str, limit: int, sizes: list[int]) -> None:
    pages, whole = fed(text, limit, sizes), fed(text, limit, [len(text) + 1])
    assert pages.closed == whole.closed
    assert pages.open(final=True) == whole.open(final=True)


@given(markdown, limits, st.lists(st.integers(1, 50), min_size=1, max_size=5))
@example(text="wordwordwordwordwordwordword```\n||word", limit=200, sizes=[1])
@example(text="| a |\nword ||word", limit=200, sizes=[1])
@example(text="word ~~word \n```py\n", limit=200, sizes=[1])
@example(text="`\n- ```", limit=200, sizes=[7])
@example(text="`a\n`b *c", limit=200, sizes=[8])
@example(text="```\n>\f\n`", limit=200, sizes=[8])
@example(text="``\n\n```\n\n```\n\n```\n\n```", limit=240, sizes=[3])
@fuzz
def test_looking_at_the_open_page_changes_nothing(text: str, limit: int, sizes: list[int]) -> None:
    looked = Pages(limit)
    closed: tuple[str, ...] = ()
    for character in text:
        looked.feed(character)
        looked.open()
        assert looked.closed[: len(closed)] == closed
        closed = looked.closed
    unseen = fed(text, limit, sizes)
    assert looked.open() == unseen.open()
    assert [*closed, looked.open(final=True)] == [*unseen.closed, unseen.open(final=True)]


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("word```\n", "word"),
        ("word```\n|", "word"),
        ("word```\n  |", "word"),
        ("word```\n| ", "word```"),
        ("word```\n||", "word```\n||```"),
        ("word```\n||word", "word```\n||word```"),
        ("word```\n| word", "word```\n| word"),
    ],
)
def test_a_lone_bar_does_not_end_the_paragraph_before_it(text: str, state: str) -> None:
    assert states(text, 200, 1)[-1] == state


def test_white_space_at_the_end_of_a_paragraph_does_not_keep_its_marks_open() -> None:
    text = "word ~~word \n```py\n"
    assert {states(text, 200, size)[-1] for size in (1, 50)} == {"word ~~word"}


def test_a_paragraph_behind_a_table_row_has_spoilers_however_it_arrived() -> None:
    text = "| a `b |\nword ||word"
    assert {states(text, 200, size)[-1] for size in (1, 50)} == {f"{text}||"}


@pytest.mark.parametrize("text", ["a\n```b`c`\n```d`", "a\n```b`c`\n```d` "])
def test_a_line_whose_last_backticks_are_held_back_does_not_become_a_fence(text: str) -> None:
    assert not any(fence_left_open(state) for state in states(text, 200, 1))


@given(markdown, limits, st.integers(1, 40))
@example(text="word\n```word`code here`\n```word`code here`", limit=200, size=1)
@example(text="word\n```js\n\n```\x0c", limit=200, size=1)
@example(text="word\n```\n```👨\u200d👩", limit=200, size=1)
@example(text="wordwordword```\n`\nwordwordwordword", limit=200, size=1)
@fuzz
def test_every_fence_is_closed_in_every_page_and_state(text: str, limit: int, size: int) -> None:
    for page in [*split(text, limit), *states(text, limit, size)]:
        assert not fence_left_open(page)


@given(markdown, limits)
@example(text="> ```py\n" + "> print('a line')\n" * 20 + "> ```\n" + "word " * 80, limit=200)
@fuzz
def test_nothing_is_lost_between_the_pages(text: str, limit: int) -> None:
    pages, source, position = Pages(limit), clean(text), 0
    pages.feed(text)
    last = pages.open(final=True)
    for page, part in zip(pages.closed, pages._parts, strict=True):
        assert page == part.prefix + source[part.start : part.end] + part.suffix
        assert is_droppable(source[position : part.start])
        position = part.end
    rest = source[pages._start :].rstrip() if last else ""
    assert rest in last
    assert is_droppable(source[position : pages._start])
    assert rest or is_droppable(source[position:])


def is_droppable(gap: str) -> bool:
    """White space, and a fence's opening or closing line that the page before or after has in its place."""
    return re.fullmatch(r"\s*([> \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*`{3,16}[^`\n]*\s*){0,2}", gap) is not None


@given(
    st.lists(st.sampled_from(["👨‍👩‍👧‍👦", "🇩🇪", "👍🏽", "e\u0301", "x", "각", "1️⃣"]), min_size=100, max_size=400).map(
        "".join
    ),
    limits,
)
@fuzz
def test_no_grapheme_cluster_is_cut(text: str, limit: int) -> None:
    clusters = [cluster for page in split(text, limit) for cluster in regex.findall(r"\X", page)]
    assert clusters == regex.findall(r"\X", text)


@given(
    st.lists(
        st.sampled_from(["**bold**", "~~old~~", "||no||", "plain", "`a * b`", "2 * 3", "**b *i* c**"]), max_size=60
    )
)
@fuzz
def test_emphasis_is_whole_in_every_page_and_state(words: list[str]) -> None:
    text = " ".join(words)
    for page in [*split(text, 200), *states(text, 200, 3)]:
        for mark in ("**", "~~", "||", "`"):
            assert page.count(mark) % 2 == 0, page
        assert "****" not in page


@given(st.lists(st.integers(1, 30).map(lambda length: "w" * length), min_size=1, max_size=100))
@fuzz
def test_words_are_not_cut_where_there_are_spaces(words: list[str]) -> None:
    assert " ".join(split(" ".join(words), 200)).split() == words


@given(
    st.lists(
        st.sampled_from(
            [
                "[a link](https://example.org/x?y=z)",
                "<@123456789>",
                "<:smile:123456>",
                "<t:1700000000:R>",
                "https://example.org/a/b",
                "word",
            ]
        ),
        min_size=30,
        max_size=80,
    )
)
@fuzz
def test_links_and_mentions_are_whole_in_every_page_and_state(words: list[str]) -> None:
    text = " ".join(words)
    assert [word for page in split(text, 200) for word in page.split(" ") if word not in ("[a", "")] == [
        word for word in text.split(" ") if word != "[a"
    ]
    for state in states(text, 200, 3):
        assert state.count("[") == state.count("](") == state.count(")")
        assert state.count("<") == state.count(">")


@given(st.integers(1, 120), limits)
@fuzz
def test_every_page_of_a_table_begins_with_its_header(rows: int, limit: int) -> None:
    header = "| name | value |\n|------|------:|\n"
    pages = split(header + "".join(f"| row {row} | {row} |\n" for row in range(rows)), limit)
    shown = []
    for page in pages:
        assert page.startswith(header)
        shown += page.removeprefix(header).split("\n")
    assert shown == [f"| row {row} | {row} |" for row in range(rows)]


WELL_FORMED = [
    "# A heading",
    "A paragraph with **bold words**, `code`, *some italics* and snake_case_names. " * 3,
    "One line.",
    "Like this:",
    "- an item\n- **another** item\n  - a nested item\n1. `first`",
    "> a quote with **bold**\n> on two lines",
    "```py\n" + "value = compute(2 ** 8)  # **kwargs\n" * 9 + "```",
    "```\nx\n\n\ny\n```",
    "1. An item with code:\n\n   ```bash\n   echo done\n   ```",
    "| a | b |\n|---|---|\n| `1` | **2** |\n| 3 | 4 |",
]
documents = st.lists(st.sampled_from(WELL_FORMED), min_size=3, max_size=25).map("\n\n".join)


@given(documents, limits, st.integers(1, 40))
@fuzz
def test_a_well_formed_document_is_well_formed_in_every_page_and_state(text: str, limit: int, size: int) -> None:
    for page in [*split(text, limit), *states(text, limit, size)]:
        prose, code = page.split("```")[::2], page.split("```")[1::2]
        assert len(prose) == len(code) + 1
        assert all(block.partition("\n")[2].strip() for block in code)
        assert all(part.count("**") % 2 == 0 and part.count("`") % 2 == 0 for part in prose)


@given(documents, limits)
@fuzz
def test_no_page_but_the_last_ends_with_a_heading(text: str, limit: int) -> None:
    for page in split(text, limit)[:-1]:
        assert not page.endswith("# A heading")


def test_a_star_without_a_partner_is_closed_on_no_page() -> None:
    paragraph = "A footnote *mark and " + "some words " * 12 + "end."
    assert split(f"{paragraph}\n\n{paragraph}", 200) == [paragraph, paragraph]


def test_an_address_longer_than_half_a_page_is_whole() -> None:
    address = "https://example.org/" + "a" * 150
    assert split(f"See {'more ' * 10}{address} now.", 200) == [f"See {'more ' * 10}".strip(), f"{address} now."]


def test_a_table_row_is_not_torn() -> None:
    row = "| " + "cell " * 10 + "| b |\n"
    pages = split("| a | b |\n|---|---|\n" + row * 12, 200)
    assert all(line == row.strip() for page in pages for line in page.split("\n")[2:])


def test_a_header_too_long_to_repeat_is_not_repeated() -> None:
    header = "| " + "name " * 15 + "|\n|---|\n"
    assert [page.startswith(header) for page in split(header + "| 1 |\n" * 60, 200)] == [True, False, False]


@pytest.mark.parametrize(("length", "repeated"), [(50, True), (51, False)])
def test_a_header_is_repeated_up_to_a_quarter_of_the_page(length: int, repeated: bool) -> None:
    rule = "\n|---|\n"
    header = f"| {'a' * (length - len(rule) - 4)} |{rule}"
    assert split(header + "| 1 |\n" * 60, 200)[1].startswith(header if repeated else "| 1 |")


def test_a_row_longer_than_half_a_page_is_whole() -> None:
    paragraph, table = "A paragraph. " * 4 + "End.", "| a |\n|---|\n| " + "cell " * 30 + "|"
    assert split(f"{paragraph}\n\n{table}", 200) == [paragraph, table]


def test_rows_without_a_delimiter_have_no_header_to_repeat() -> None:
    assert "\n".join(split("| a | b |\n" * 40, 200)).split("\n") == ["| a | b |"] * 40


def test_a_header_that_fills_its_page_is_not_repeated() -> None:
    header = "|" + "a" * 197 + "|"
    assert split(f"{header}\n|---|\n| 1 |", 200) == [header, "|---|\n| 1 |"]


def test_no_page_ends_with_the_bar_that_begins_a_row() -> None:
    assert not any(page.endswith("\n|") for page in split("| a |\n|---|\n| " + "x" * 500, 200))


def test_a_row_longer_than_a_page_is_cut_between_its_words() -> None:
    pages = split("| a |\n|---|\n| " + "cell " * 80 + "|", 200)
    assert all(len(page) > 190 and page.endswith("cell") for page in pages[:-1])


def test_a_table_behind_a_cut_begins_with_its_own_header() -> None:
    assert split("word " * 38 + "end\n| a | b |\n|---|---|\n| 1 | 2 |", 200)[1] == "| a | b |\n|---|---|\n| 1 | 2 |"


def test_text_behind_a_cut_table_does_not_get_its_header() -> None:
    table = "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 17
    assert split(table + "\nText. " + "word " * 20, 200)[1].startswith("Text.")


def test_a_short_text_is_one_page() -> None:
    assert split("Hello **there**.\n", 200) == ["Hello **there**."]


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\0", " \t\r\n" * 500])
def test_a_blank_text_has_no_pages(text: str) -> None:
    assert split(text, 200) == []


def test_a_limit_too_small_for_what_is_repeated_is_refused() -> None:
    with pytest.raises(ValueError, match="199"):
        Pages(199)


def test_a_paragraph_end_is_the_best_cut() -> None:
    first, second = "one two. " * 15 + "end", "three four\n" * 8
    assert split(f"{first}\n\n\n{second}", 200) == [first, second.strip()]


def test_a_line_end_is_better_than_a_sentence_end() -> None:
    first = "- " + "an item. " * 16
    assert split(f"{first}\n- {'next. ' * 20}", 200) == [first.strip(), ("- " + "next. " * 20).strip()]


def test_a_sentence_end_is_better_than_a_word() -> None:
    first, second = "word " * 25 + "end.", "next " * 30
    assert split(f"{first} {second}", 200) == [first, second.strip()]


@pytest.mark.parametrize("start", ["Short.\n\n", "A longer one. " * 6 + "\n\n", "Plain words. **", "Code.\n```\n"])
def test_a_page_is_not_left_half_empty_for_a_better_cut(start: str) -> None:
    pages = split(start + "word " * 60, 200)
    assert len(pages[0]) > 190


@pytest.mark.parametrize("announcing", ["These are the things that follow:", "**A title of its own**"])
def test_a_line_that_announces_the_next_one_moves_to_its_page(announcing: str) -> None:
    first, second = "word " * 24 + "end", "some more words " * 6 + "end"
    assert split(f"{first}\n{announcing}\n{second}", 200) == [first, f"{announcing}\n{second}"]


def test_a_word_longer_than_half_a_page_is_whole() -> None:
    assert split("word " * 10 + "x" * 180, 200) == [("word " * 10).strip(), "x" * 180]


@pytest.mark.parametrize("mark", ["", "**"])
def test_a_link_longer_than_half_a_page_is_whole(mark: str) -> None:
    link = f"[{'a long name ' * 13}](https://example.org/)"
    words = ("word " * 10).strip()
    assert split(f"{mark}{words} {link}{mark}", 200) == [f"{mark}{words}{mark}", f"{mark}{link}{mark}"]


def test_a_link_whose_words_end_a_sentence_is_whole_before_a_torn_one() -> None:
    link = "[One. Two](https://example.org/)"
    pages = split("w" * 105 + link + "[three](https://example.org/" + "a" * 60 + ")", 200)
    assert pages[0] == "w" * 105 + link


@pytest.mark.parametrize("whole", ["`words`", "**words**", "||words||"])
def test_a_page_may_end_behind_what_is_marked(whole: str) -> None:
    assert split(f"{'word ' * 37}{whole} {'x' * 30}", 200)[0] == f"{'word ' * 37}{whole}"


def test_a_link_that_ends_at_the_limit_is_whole() -> None:
    link = "[a](https://example.org/)"
    assert split("w" * 175 + link + "y" * 30, 200) == ["w" * 175 + link, "y" * 30]


def test_an_escape_does_not_end_a_word() -> None:
    words, last = ("word " * 36).strip(), "aaaa\\*" + "b" * 30
    assert split(f"{words} {last}", 200) == [words, last]


def test_text_without_spaces_is_cut_behind_its_stops() -> None:
    assert all(page.endswith("。") for page in split(("数" * 33 + "。") * 20, 200))


def test_a_bracket_in_code_begins_no_link() -> None:
    assert len(split("```py\nvalues = [" + "1, " * 150 + "]\n```", 200)[0]) > 190


def test_code_without_spaces_is_cut_and_goes_on_in_its_fence() -> None:
    pages = split("```py\n" + "x" * 500 + "\n```", 200)
    assert "".join(page.removeprefix("```py\n").removesuffix("\n```") for page in pages) == "x" * 500
    assert [len(page) for page in pages] == [200, 200, 130]


def test_a_fence_is_not_opened_at_the_end_of_a_page() -> None:
    pages = split("# Heading\n```py\n" + "x" * 300, 200)
    assert pages == ["# Heading", f"```py\n{'x' * 190}\n```", f"```py\n{'x' * 110}\n```"]


def test_a_line_of_code_that_is_cut_in_a_quote_goes_on_in_its_fence() -> None:
    pages = split("> ```py\n> " + "word " * 80 + "\n> ```", 200)
    assert len(pages) == 3
    assert all(page.startswith("> ```py\n> word") and page.endswith("\n> ```") for page in pages)


@pytest.mark.parametrize("opener", ["```\n", "> ```\n> ", "`````md\n```\n"])
@pytest.mark.parametrize("rest", ["", "\ny"])
def test_what_closes_a_fence_is_within_the_limit(opener: str, rest: str) -> None:
    for length in range(170, 200):
        for page in split(opener + "x" * length + rest, 200):
            assert len(page) <= 200
            assert not fence_left_open(page)


@pytest.mark.parametrize("lead", ["> ", ">>> ", "- ", "1. ", "- [ ] ", "# ", "-# ", "> **", "> ```\n> "])
def test_a_page_does_not_end_before_the_first_word_of_a_line(lead: str) -> None:
    page = split(f"{lead}{'x' * 500}", 200)[0]
    assert page.startswith(f"{lead}x")
    assert len(page) > 190


def test_a_line_of_exactly_the_limit_fills_a_page() -> None:
    line = "word " * 39 + "words"
    assert split(f"{line}\nmore", 200) == [line, "more"]


def test_a_line_end_at_the_limit_is_no_paragraph_end_yet() -> None:
    first, second = "word " * 24 + "end", "word " * 14 + "ends"
    assert len(f"{first}\n\n{second}") == 199
    assert split(f"{first}\n\n{second}\nand goes on {'word ' * 9}", 200)[0] == first


def test_code_is_cut_at_its_last_blank_line() -> None:
    first, second = "a = 1\n" * 22, "b = 2\n" * 20
    pages = split(f"```py\n{first}\n{second}```", 200)
    assert pages[0] == f"```py\n{first}```"
    assert pages[1].startswith("```py\nb = 2")


def test_a_line_end_of_code_at_the_limit_is_no_blank_line_yet() -> None:
    first, second = "a = 1\n" * 22, "b = 2\n" * 9
    for extra in range(1, 6):
        pages = split(f"```py\n{first}\n{second}{'c' * extra}\n{second * 3}```", 200)
        assert pages[0] == f"```py\n{first}```"


def test_the_end_of_a_table_is_better_than_a_line_end() -> None:
    table = "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 11
    lines = "One line.\n" * 12
    assert split(f"{table}\n{lines}", 200)[0] == table.strip()


def test_a_paragraph_end_is_better_than_the_middle_of_a_table() -> None:
    paragraph, table = "word " * 24 + "end.", "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 12
    assert split(f"{paragraph}\n\n{table}", 200) == [paragraph, table.strip()]


@pytest.mark.parametrize("lead", ["> ", "- ", "* ", "1. ", "# ", "-# ", "| "])
def test_no_page_begins_with_a_word_that_would_begin_a_block_there(lead: str) -> None:
    for number in range(25, 33):
        words = ["word."] * 80
        words[number] = lead.strip()
        assert not any(page.startswith(lead) for page in split(" ".join(words), 200)), number


def test_a_fence_is_reopened_with_its_language() -> None:
    line = "x = 1  # a comment\n"
    assert split(f"```py\n{line * 20}```\nDone.", 200) == [
        f"```py\n{line * 10}```",
        f"```py\n{line * 10}```",
        "Done.",
    ]


def test_a_fence_closed_right_after_the_cut_is_not_opened_again() -> None:
    code = "a line of code\n" * 12
    for extra in range(20):
        pages = split(f"```\n{code}{'y' * extra}\n```\nAfter it, more text follows.", 200)
        assert not any(re.search(r"```\w*\n\s*```", page) for page in pages)
        assert pages[-1].endswith("more text follows.")


@pytest.mark.parametrize("blank", ["", " ", "\r", "\x0c", "\u3000"])
@pytest.mark.parametrize("size", [1, 1_000])
def test_white_space_may_follow_what_closes_a_fence_behind_a_cut(blank: str, size: int) -> None:
    for extra in range(1, 20):
        pages = fed("```\n" + "a line of code\n" * 12 + "y" * extra + f"\n```{blank}\nAfter\nit.", 200, [size])
        shown = [*pages.closed, pages.open(final=True)]
        assert "\n".join(shown).endswith("After\nit.")
        assert not any(re.search(r"```\s*```", page) for page in shown)


@pytest.mark.parametrize("indent", [2, 61])
@pytest.mark.parametrize("size", [1, 1_000])
def test_white_space_may_stand_before_what_closes_a_fence_behind_a_cut(size: int, indent: int) -> None:
    for extra in range(1, 20):
        pages = fed("```\n" + "a line of code\n" * 12 + "y" * extra + f"\n{' ' * indent}```\nAfter it.", 200, [size])
        assert not any(re.search(r"```\s*```", page) for page in [*pages.closed, pages.open(final=True)])


def test_a_fence_that_its_quote_ends_behind_a_cut_takes_no_line_with_it() -> None:
    for extra in range(1, 20):
        pages = split("> ```\n" + "> a line of code\n" * 10 + f"> {'y' * extra}\nAfter it.\nMore.", 200)
        assert "\n".join(pages).endswith("After it.\nMore.")
        assert not any("> ```\nAfter it." in page for page in pages)


def test_a_quote_to_the_end_of_the_message_goes_on_behind_a_fence_closed_at_the_cut() -> None:
    for extra in range(1, 20):
        pages = split(">>> ```\n" + "a line of code\n" * 11 + "y" * extra + "\n```\nAfter it. " + "word " * 20, 200)
        assert all(page.startswith(">>> ") for page in pages)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("text", ""),
        ("text\n```py a title\nx", "```py\n"),
        (f"```{'l' * 40}\nx", f"```{'l' * 40}\n"),
        (f"```{'l' * 41}\nx", "```\n"),
        ("```\n> ```", "```\n"),
        ("> ```js\n  > x", "> ```js\n"),
        ("> ```js\n> x\nafter", ""),
        ("````\n```\nx", "````\n"),
        ("> ```js\n> x", "> ```js\n"),
        ("```py\nx\n```", ""),
        ("```py\nx\n```\nafter", ""),
    ],
)
def test_an_answer_that_goes_on_opens_the_fence_anew_in_which_it_ended(text: str, line: str) -> None:
    assert reopening(text) == line


def test_a_longer_fence_keeps_shorter_ones_as_content() -> None:
    pages = split("````md\n" + "```py\ncode\n```\ntext\n" * 15 + "````\n", 200)
    assert all(page.startswith("````md\n") and page.endswith("\n````") for page in pages)


def test_a_fence_in_a_quote_is_closed_and_reopened_inside_of_the_quote() -> None:
    pages = split("> ```py\n" + "> print('a line')\n" * 20 + "> ```\n", 200)
    assert len(pages) == 2
    assert all(page.startswith("> ```py\n> print") and page.endswith("\n> ```") for page in pages)


def test_tildes_are_no_fence() -> None:
    assert split("~~~\ncode\n~~~ and more", 200) == ["~~~\ncode\n~~~ and more"]


def test_a_quoted_line_goes_on_as_a_quote() -> None:
    pages = split("> " + "quoted words " * 40, 200)
    assert len(pages) == 3
    assert all(page.startswith(("> quoted", "> words")) for page in pages)


def test_a_quote_to_the_end_of_the_message_goes_on_in_the_next() -> None:
    assert all(page.startswith(">>> ") for page in split(">>> " + "some words\n\n" * 40, 200))


def test_a_growing_page_is_not_shown_before_it_has_more_than_what_it_repeats() -> None:
    header = "| a |\n|---|\n"
    for extra in range(1, 16):
        pages = Pages(200)
        for character in f"{header}| {'b' * extra} |\n" + "| some cells |\n" * 20:
            pages.feed(character)
            assert not pages.closed or pages.open() != header.strip()


def test_subtext_goes_on_as_subtext() -> None:
    assert all(page.startswith("-# ") for page in split("-# " + "small words " * 30, 200))


def test_a_heading_moves_to_the_page_of_its_text() -> None:
    text = "word " * 30 + "end.\n\n## A heading\n\n" + "more " * 30
    assert [page.split("\n")[0] for page in split(text, 200)][1] == "## A heading"


def test_emphasis_longer_than_a_page_is_closed_and_reopened() -> None:
    pages = split("**" + "word " * 60 + "end**", 200)
    assert all(page.startswith("**word") and page.endswith("**") for page in pages)
    assert " ".join(page.strip("*") for page in pages) == "word " * 60 + "end"


def test_a_cluster_longer_than_a_page_is_cut_between_code_points() -> None:
    text = "Z" + "\u0301" * 1000
    pages = split(text, 200)
    assert "".join(pages) == text
    assert [len(page) for page in pages] == [200, 200, 200, 200, 200, 1]


def test_a_mark_is_not_torn_where_there_are_no_spaces() -> None:
    for before in range(180, 202):
        for whole in ("**重要**", "`重要`", "||重要||"):
            pages = split("数" * before + whole + "数" * 100, 200)
            assert sum(whole in page for page in pages) == 1, before


def test_a_mark_does_not_begin_the_page_behind_what_it_marks() -> None:
    for length in range(180, 202):
        for inner in ("", "*重要*数"):
            for page in split("**" + "数" * length + inner + "**" + "数" * 100, 200):
                assert "****" not in page


def test_an_escape_is_not_torn_where_there_are_no_spaces() -> None:
    for before in range(190, 202):
        pages = split("数" * before + "\\*" + "数" * 100, 200)
        assert sum("\\*" in page for page in pages) == 1, before


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert split("😀" * 150, 201) == ["😀" * 100, "😀" * 50]


def test_nul_is_dropped_and_a_lone_surrogate_replaced() -> None:
    assert split("a\0b\ud83dc", 200) == ["ab\ufffdc"]


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("```py", ""),
        ("```py\n\n", ""),
        ("```\n``", ""),
        ("text ```", "text"),
        ("text\n``", "text"),
        ("text\n```", "text"),
        ("text\n```pyth", "text"),
        ("text\n```python\n", "text"),
        ("text\n```python\n\n", "text"),
        ("text\n```python\nx", "text\n```python\nx\n```"),
        ("text\n> ```\n\n```py\n", "text"),
        ("```\nx\n`", "```\nx\n```"),
        ("```\nx\n``", "```\nx\n```"),
        ("```\nx\n```", "```\nx\n```"),
        ("```\nx\n`` `", "```\nx\n`` `\n```"),
        ("```\nx\n```👨\u200d", "```\nx\n```"),
        ("```\nx\n- 🇩", "```\nx\n-\n```"),
        ("```\nx\n```\nafter", "```\nx\n```\nafter"),
        ("a **", "a"),
        ("a **b", "a **b**"),
        ("a **b*", "a **b**"),
        ("a **b**", "a **b**"),
        ("a **b *c", "a **b *c***"),
        ("a **b**c", "a **b**c"),
        ("a ****b", "a ****b"),
        ("a `b`", "a `b`"),
        ("a `b` ", "a `b`"),
        ("a ```\n```\n", "a ```"),
        (f"a {'`' * 16}b", f"a {'`' * 16}b{'`' * 16}"),
        (f"a {'`' * 17}b", f"a {'`' * 17}b"),
        ("| a |\n|---|\n| b ||c", "| a |\n|---|\n| b ||c"),
        ("| a |\n|---|\n| **b", "| a |\n|---|\n| **b**"),
        ("a ***数***学", "a ***数***学"),
        ("a *b\n\nc", "a *b\n\nc"),
        ("a *b\n\n", "a *b"),
        ("a *b\n- ", "a *b"),
        ("a `b", "a `b`"),
        ("a `b * c", "a `b * c`"),
        ("a ||b", "a ||b||"),
        ("a ~~b ", "a ~~b~~"),
        ("snake_case and _x", "snake_case and _x_"),
        ("snake_case", "snake_case"),
        ("_snake_case x", "_snake_case x_"),
        ("2 * 3 and 4*5 x", "2 * 3 and 4*5 x"),
        ("f*(x", "f*(x"),
        ("f**(x", "f**(x**"),
        ("\\*not", "\\*not"),
        ("* item\n* other", "* item\n* other"),
        ("see [te", "see"),
        ("see [text]", "see"),
        ("see [text](http://exa", "see"),
        ("see [text](http://example.org)", "see [text](http://example.org)"),
        ("see **[te", "see"),
        ("[a](http://example.org)[te", "[a](http://example.org)"),
        ("[a](http://example.org),[b](http://exa", "[a](http://example.org),"),
        ("<http://example.org/[a]>", "<http://example.org/[a]>"),
        ("see http://exa", "see"),
        ("see http://example.org/a_b ok", "see http://example.org/a_b ok"),
        ("hi <@12", "hi"),
        ("hi <@12>", "hi <@12>"),
        ("[1] is", "[1] is"),
        ("family 👨\u200d", "family"),
        ("flag 🇩", "flag"),
        ("🇩", ""),
        ("café", "café"),
        ("- a\n- ", "- a"),
        ("- a\n- [te", "- a"),
        ("- a\n- **", "- a"),
        ("- a\n- **b", "- a\n- **b**"),
        (">>> <@12", ""),
        ("a\n---\n[te", "a\n---"),
        ("a\n\n##", "a"),
    ],
)
def test_a_growing_page_shows_only_what_is_whole(text: str, state: str) -> None:
    pages = Pages(2_000)
    pages.feed(text)
    assert pages.open() == state


@pytest.mark.parametrize("torn", ["[", "<", "https://"])
def test_what_is_held_back_has_a_bound(torn: str) -> None:
    pages = Pages(2_000)
    pages.feed("text " + torn + "x" * 400)
    assert len(pages.open()) > 400


@pytest.mark.parametrize("torn", ["\\", "👨\u200d"])
def test_what_is_held_back_has_a_bound_however_it_goes_on(torn: str) -> None:
    pages = Pages(2_000)
    pages.feed("text " + torn * 400)
    assert len(pages.open()) > 100


def test_a_line_of_code_is_shown_from_its_first_letter() -> None:
    for letter in string.ascii_letters:
        pages = Pages(2_000)
        pages.feed(f"```\n{letter}")
        assert pages.open() == f"```\n{letter}\n```"


def test_a_growing_page_is_shown_up_to_the_limit_with_what_closes_it() -> None:
    pages = Pages(200)
    pages.feed("**" + "x" * 196)
    assert pages.open() == f"**{'x' * 196}**"


def test_a_growing_page_without_room_for_its_closing_shows_less_of_its_text() -> None:
    pages = Pages(200)
    pages.feed("**" + "x" * 197)
    assert re.fullmatch(r"\*\*x{100,196}\*\*", pages.open())


@pytest.mark.parametrize("text", ["a **b", "see [te", "a\n- ", "hi <@12", "flag 🇩", "a ``"])
def test_the_final_page_shows_everything(text: str) -> None:
    assert split(text, 200) == [text.strip()]


def torn_pages(text: str, limit: int) -> list[str]:
    pages = Pages(limit)
    pages.feed(text)
    last = pages.open(final=True, torn=True)
    return [*pages.closed, last] if last else [*pages.closed]


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("a **b", "a **b**"),
        ("a **b*", "a **b**"),
        ("a **b**", "a **b**"),
        ("a **b *c", "a **b *c***"),
        ("a ***b*", "a ***b***"),
        ("**a word", "**a word**"),
        ("a **b `c", "a **b `c`**"),
        ("a ``b`", "a ``b``"),
        ("a ||b|", "a ||b||"),
        ("**a `b`", "**a `b`**"),
        ("**a `", "**a** `"),
        ("**a *", "**a** *"),
        ("**a\\", "**a**\\"),
        ("**a\\\\", "**a\\\\**"),
        ("**a\\\\\\", "**a**\\\\\\"),
        ("`a \\", "`a \\`"),
        ("`a *", "`a *`"),
        ("- **a\n-", "- **a**\n-"),
        ("a *b\n", "a *b*"),
        ("a *b\n\n", "a *b"),
        ("2 * 3 and **", "2 * 3 and **"),
        ("see **[te", "see **[te**"),
        ("hi <@12", "hi <@12"),
        ("flag 🇩", "flag 🇩"),
        ("```py\nx", "```py\nx\n```"),
        ("```py\nx\n", "```py\nx\n```"),
        ("```py\nx\ny", "```py\nx\ny\n```"),
        ("```py\nx\n``", "```py\nx\n```"),
        ("```py\nx\n`` \n", "```py\nx\n```"),
        ("```py\na `b`", "```py\na `b`\n```"),
        ("> ```py\n> x\n> `", "> ```py\n> x\n> ```"),
    ],
)
def test_a_page_that_broke_off_shows_everything_and_closes_what_is_open(text: str, page: str) -> None:
    assert torn_pages(text, 200) == [page]


@given(markdown, limits)
@fuzz
def test_a_text_that_broke_off_is_within_the_limit_and_loses_nothing(text: str, limit: int) -> None:
    torn, whole = torn_pages(text, limit), split(text, limit)
    assert torn[:-1] == whole[:-1]
    assert [bool(page.strip()) for page in torn] == [True] * len(whole)
    for page, same in zip(torn[-1:], whole[-1:], strict=True):
        assert utf16_length(page) <= limit
        assert not fence_left_open(page)
        assert re.sub(r"[*_~|`\s\\>]", "", page) == re.sub(r"[*_~|`\s\\>]", "", same)


@given(
    st.lists(st.sampled_from(["**bold**", "~~old~~", "||no||", "plain", "`a * b`", "**b *i* c**"]), max_size=40),
    st.integers(0, 400),
)
@fuzz
def test_emphasis_is_whole_wherever_a_text_broke_off(words: list[str], length: int) -> None:
    text = " ".join(words)[:length]
    for page in torn_pages(re.sub(r"(?<!\S)[*~|`]+$", "", text), 400):
        for mark in ("**", "~~", "||", "`"):
            assert page.count(mark) % 2 == 0, page


def test_a_page_without_room_for_closing_its_emphasis_is_shown_without() -> None:
    text = "**" + "word " * 34 + "x" * 28
    assert torn_pages(text, 200) == [text]


def test_the_final_page_closes_its_fence() -> None:
    assert split("```py\nx", 200) == ["```py\nx\n```"]


@pytest.mark.parametrize(
    "text",
    [
        "`" * 100_000,
        "[" * 100_000,
        "x" * 50_000,
        "> " * 20_000,
        ">" * 50_000,
        "*_" * 30_000,
        "` `` " * 10_000,
        "<" * 50_000,
        "😀" * 30_000,
        " " * 100_000,
        "```\n" * 10_000,
        "|" * 50_000,
        "[a](" * 20_000,
        "**a " * 20_000,
        "\\" * 50_000,
    ],
)
def test_hostile_texts_are_cut_like_any_other(text: str) -> None:
    for page in split(text, 2_000):
        assert utf16_length(page) <= 2_000
        assert page.strip()
