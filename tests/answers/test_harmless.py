"""Links in answers say where they lead, and small print is the bot's own."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.answers.markdown import harmless
from bot.delivery.messages import utf16_length

EVIL = "https://elsewhere.example/login"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (f"See [discord.com]({EVIL}).", f"See discord.com <{EVIL}>."),
        (f"[https://discord.com]({EVIL})", f"https://discord.com <{EVIL}>"),
        (f"**[a [b] c]({EVIL})**", f"**a [b] c <{EVIL}>**"),
        (f"![a cat]({EVIL})", f"a cat <{EVIL}>"),
        (f"[words](<{EVIL}>)", f"words <{EVIL}>"),
        (f'[words]({EVIL} "a title")', f"words <{EVIL}>"),
        (f"[{EVIL}]({EVIL})", f"<{EVIL}>"),
        (f"[]({EVIL})", f"<{EVIL}>"),
        ("[Foo](https://en.example/Foo_(bar))", "Foo <https://en.example/Foo_(bar)>"),
        ("[open](steam://run/1)", "open <steam://run/1>"),
        (f"- [x] done\n- [one]({EVIL}) and [two]({EVIL}?2)", f"- [x] done\n- one <{EVIL}> and two <{EVIL}?2>"),
    ],
)
def test_a_masked_link_shows_its_address(written: str, shown: str) -> None:
    assert harmless(written) == shown


@pytest.mark.parametrize(
    "code",
    [f"`[a]({EVIL})`", f"``b ` [a]({EVIL})``", f"```md\n[a]({EVIL})\n```", f"> ```\n> [a]({EVIL})\n> ```"],
)
def test_code_stays_as_it_is_written(code: str) -> None:
    assert harmless(f"Like so: \n{code}\nand [b]({EVIL})") == f"Like so: \n{code}\nand b <{EVIL}>"


@pytest.mark.parametrize(
    "code",
    [
        f"```\nx ``` [a]({EVIL})\n```",
        f"````\n```\n[a]({EVIL})\n````",
        f"```\n\n```\n```\n[a]({EVIL})\n```",
        f"- ```\n[a]({EVIL})\n```",
        f"- b\n  ```\n[a]({EVIL})\n  ```",
        f"> ```\n\n> [a]({EVIL})\n> ```",
        f"b ````\n\n```\n[a]({EVIL})\n```",
        f"b ````c``` [a]({EVIL}) ````",
        f"``b` [a]({EVIL})`",
        f"**b `c** [a]({EVIL}) `",
        f"~~b `c~~ [a]({EVIL}) `",
        f"||b `c|| [a]({EVIL}) `",
        f"__b `c__d [a]({EVIL}) `",
        f"**b `c` d `e** [a]({EVIL}) `",
        f"2**b `[a]({EVIL})**`",
        f"__b\n```\nc__\n[a]({EVIL})\n```",
        f"_b c_d `e_ [a]({EVIL})`",
        f"\\*b*`c* [a]({EVIL})`",
        f"https://b` [a]({EVIL})`",
        f"<`b@c.d> [a]({EVIL})`",
        f"\\` [a]({EVIL})`",
        f"b ` c [a]({EVIL})",
    ],
)
def test_what_discord_may_show_as_no_code_is_not_taken_for_code(code: str) -> None:
    assert harmless(code) == code.replace(f"[a]({EVIL})", f"a <{EVIL}>")


def test_a_link_that_ends_inside_of_what_looks_like_code_is_parted() -> None:
    assert harmless(f"[{'b ' * 200}`]({EVIL})`") == f"[{'b ' * 200}`] {EVIL})`"
    assert harmless(f"[b] {'b ' * 200}`]({EVIL})`") == f"[b] {'b ' * 200}`] {EVIL})`"


@pytest.mark.parametrize(
    "before",
    [
        "",
        "\n",
        "**Links** and a_name:\n",
        "* `snake_case` and 2 < 3\n* https://a.example `b`\n",
        "Tags:\n<b>\n",
        "|a|b|\n",
    ],
)
@pytest.mark.parametrize(
    "code", [f"```md\n**b**\n\n* [a]({EVIL})\n-# c ||\n```", f"`a_b **[a]({EVIL})**`", f"  ```\n  [a]({EVIL})\n  ```"]
)
def test_code_stays_as_it_is_behind_text_with_all_its_marks_in_pairs(before: str, code: str) -> None:
    assert harmless(f"{before}{code}") == f"{before}{code}"


@pytest.mark.parametrize("call", ["calls[0](value: 3)", "calls[at[0]](value:3)", "](a:b", "[Key](a: string): void"])
@pytest.mark.parametrize("behind", ["```", "``` ", "```\r"])
def test_a_call_in_code_is_no_link(call: str, behind: str) -> None:
    page = f"So:\n```swift\nlet x = {call}\n{behind}"
    assert harmless(page) == page


def test_brackets_before_code_are_no_links_beginning_where_the_code_has_its_own() -> None:
    page = "As [1] says, `calls[0](value:3)`"
    assert harmless(page) == page


@pytest.mark.parametrize("lead", ["", "  ", "> ", ">>> ", "- ", "1. ", "> * "])
def test_a_line_of_the_small_print_is_shown_as_it_is_written(lead: str) -> None:
    assert harmless(f"Words\n{lead}-# This answer was free.") == f"Words\n{lead}-#\u200bThis answer was free."


@pytest.mark.parametrize("text", ["f[i](x)", "[a](#below)", "[a](page.html)", "[1] (https://a.example)", "a ](b"])
def test_what_is_no_link_to_discord_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text


@pytest.mark.parametrize(
    "odd",
    [
        f"[{'long words ' * 60}]({EVIL})",
        f"[words]({EVIL}/{'x' * 600})",
        f"[two\nlines]({EVIL})",
        f"[words](\n{EVIL})",
        f"[[[[deep]]]]({EVIL})",
        f"[a\\]({EVIL})",
    ],
)
def test_what_is_too_odd_to_be_read_is_parted_so_that_it_is_no_link(odd: str) -> None:
    assert harmless(odd) == odd.replace("](", "] ")


@pytest.mark.parametrize("piece", ["> ", "- ", "<", "`a`", "*a* `*`", "](a", "[", "](", "](\n", "```\na\n", "`"])
def test_hostile_pages_are_read_without_trying_every_way(piece: str) -> None:
    page = f"{piece * (1_900 // len(piece))}x [a]({EVIL}) -#"
    assert utf16_length(harmless(page)) <= utf16_length(page)


PIECES = ["[", "]", "(", ")", "](", "a:", EVIL, "`", "\n", " ", "<", ">", "\\", "!", "b", "-# "]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_outside_of_code_nothing_harmful_is_left_and_no_page_grows(page: str) -> None:
    shown = harmless(page)
    assert utf16_length(shown) <= utf16_length(page)
    if "`" not in page:
        assert re.search(r"\]\(\s*<?\s*[A-Za-z][\w+.-]*:", shown) is None
        assert re.search(r"^[ \t]*-# ", shown, re.MULTILINE) is None
    assert harmless(shown) == shown
