"""Rules of an order's message, and of the names and words that go with its pictures."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.answers.question import Asker, Place
from bot.delivery.messages import CONTENT_LIMIT, Outgoing, utf16_length
from bot.money import CreditUnit, NanoDollars
from bot.pictures import showing
from bot.pictures.request import PROMPT_LIMIT, Order, Picture
from bot.pictures.showing import ENDINGS, Progress, bar, ordinal

UNIT = CreditUnit(nano=1_000_000)
PRICE = "6 credits ($0.006)"
ID = 1_310_000_000_000_000_000

NASTY = [
    "`" * 2_000,
    "@everyone " * 200,
    "👩\u200d👧" * 600,
    "𝔸" * 2_000,
    "||\\" * 600,
    "מגדלור " * 280,
    "http://" * 280,
]


def an_order(prompt: str = "a lighthouse", *, count: int = 1, spoiler: bool = False, **picture: Any) -> Order:
    return Order(
        id=ID,
        asker=Asker(id=1, name="Ann"),
        place=Place(channel_id=5, guild_id=9),
        picture=Picture(**{"prompt": prompt, "model": "realvision", **picture}),
        count=count,
        spoiler=spoiler,
        private=False,
        application_id=3,
        token="t",
        message_id=4,
        upload_limit_bytes=10_485_760,
    )


def has_words(prompt: str) -> bool:
    return any(one.isalnum() for one in prompt)


PROMPTS = st.one_of(
    st.text(min_size=1, max_size=PROMPT_LIMIT).filter(has_words),
    st.text(alphabet="`*_|@<>#\\h.:/ \n𝔸é", min_size=1, max_size=PROMPT_LIMIT).filter(has_words),
    st.sampled_from(NASTY).map(lambda text: f"a{text}"[:PROMPT_LIMIT]),
)
ORDERS = st.builds(
    lambda prompt, negative, count, spoiler: an_order(prompt, negative_prompt=negative, count=count, spoiler=spoiler),
    PROMPTS,
    st.none() | PROMPTS,
    st.integers(1, 4),
    st.booleans(),
)


def states(order: Order, words: str = "⚠️ No.") -> Iterator[Outgoing]:
    yield showing.waiting(order, position=3, price=PRICE)
    for expected_s in (None, 8.0):
        yield showing.drawing(order, Progress(elapsed_s=500.0, expected_s=expected_s, drawn=1, failed=1), price=PRICE)
    lead = showing.dm_words(order, "forbidden")
    cost = NanoDollars(6_000_000)
    yield showing.delivered(order, images=1, cost=cost, unit=UNIT, notes=(words, words), lead=lead, why=words)
    yield showing.ended(order, words=words)


@given(ORDERS, st.text(max_size=3_000) | st.just("𝔸" * 3_000))
def test_every_state_fits_into_a_message_whatever_was_asked_for(order: Order, words: str):
    for state in states(order, words):
        assert 0 < utf16_length(state.content) <= CONTENT_LIMIT
        assert 0 < len(state.buttons) <= 5
        assert all(len(button.custom_id) <= 100 and len(button.label) <= 80 for button in state.buttons)


@pytest.mark.parametrize("words", ["𝔸" * 3_000, "x" * 3_000])
def test_the_longest_of_everything_together_fits(words: str):
    order = an_order("@" * PROMPT_LIMIT, count=4, spoiler=True)
    state = showing.delivered(order, images=1, cost=NanoDollars(1), unit=UNIT, notes=(words,), lead=words, why=words)
    assert utf16_length(state.content) <= CONTENT_LIMIT


@given(ORDERS)
def test_the_prompt_stays_in_its_quote_and_is_shown_as_it_was_written(order: Order):
    for state in states(order):
        first, *others = state.content.split("\n")
        assert first.startswith("> ")
        assert not [line for line in others if line.startswith((">", "#"))]
        quoted = first.removeprefix("> ")
        if order.spoiler:
            assert quoted.startswith("||")
            assert quoted.endswith("||")
            quoted = quoted[2:-2]
        marks = re.sub(r"\\.", "", quoted)  # what is left is not escaped
        assert not re.search(r"[*_~|`<>#\[\]()\\]", marks)
        assert not re.search("@(?!\u200b)|(?i:https?|www)[:.]", quoted)


def test_a_prompt_that_cannot_be_shown_leaves_an_ellipsis():
    assert showing.waiting(an_order("\ud800"), position=1, price=PRICE).content.startswith("> …\n")


@pytest.mark.parametrize("state", list(states(an_order())), ids=lambda state: state.content.split("\n")[1][:30])
def test_every_button_names_the_stored_order(state: Outgoing):
    assert state.buttons
    for button in state.buttons:
        assert re.fullmatch(rf"picture:[a-z]+:{ID}", button.custom_id)


def actions(state: Outgoing) -> list[str]:
    return [button.custom_id.split(":")[1] for button in state.buttons if not button.disabled]


def test_what_can_be_done_depends_on_how_far_it_is():
    order = an_order()
    assert actions(showing.waiting(order, position=1, price=PRICE)) == ["cancel"]
    assert actions(showing.drawing(order, Progress(elapsed_s=1), price=PRICE)) == ["cancel"]
    assert actions(a_delivery(order)) == ["again", "edit", "shape", "details", "delete"]
    assert actions(showing.ended(order, words="No.")) == ["again", "edit", "delete"]


def a_delivery(order: Order, images: int | None = None, **more: Any) -> Outgoing:
    cost = NanoDollars(1_500_000 * (images or order.count))
    return showing.delivered(order, images=images or order.count, cost=cost, unit=UNIT, **more)


# ------------------------------------------------------------------------------------------------ what is said


def test_in_line_the_place_and_the_price_are_said():
    assert showing.waiting(an_order(), position=3, price="1.5 credits ($0.0015)").content == (
        "> a lighthouse\n"
        "⏳ 3rd in line. I start as soon as it is your turn.\n"
        "-# realvision · 1.5 credits ($0.0015) set apart for the picture, charged on delivery"
    )


@pytest.mark.parametrize(
    ("number", "words"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (13, "13th"), (21, "21st"),
     (112, "112th"), (1_003, "1,003rd")],
)  # fmt: skip
def test_places_are_counted_in_words_of_english(number: int, words: str):
    assert ordinal(number) == words


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (Progress(elapsed_s=5.2, expected_s=8.4), "▰▰▰▰▰▰▱▱▱▱ 0:05 of about 0:09"),
        (Progress(elapsed_s=8.5, expected_s=8.4), "▰▰▰▰▰▰▰▰▰▱ 0:08, any moment now (usually 0:09)"),
        (
            Progress(elapsed_s=75, expected_s=8.4),
            "▰▰▰▰▰▰▰▰▰▱ 1:15, longer than the usual 0:09. I keep waiting; cancelling costs nothing.",
        ),
        (Progress(elapsed_s=4), "▱▱▱▱▰▰▰▱▱▱ 0:04 so far"),
        (
            Progress(elapsed_s=3_661),
            "▱▰▰▰▱▱▱▱▱▱ 1:01:01 so far, longer than most. I keep waiting; cancelling costs nothing.",
        ),
    ],
)
def test_beside_the_bar_stand_words(progress: Progress, line: str):
    assert showing.drawing(an_order(), progress, price=PRICE).content.split("\n")[2] == line


@given(st.floats(0, 1e6), st.none() | st.floats(0, 1e4), st.integers(0, 4))
def test_a_bar_has_ten_cells_and_is_never_full(elapsed_s: float, expected_s: float | None, drawn: int):
    shown = bar(Progress(elapsed_s=elapsed_s, expected_s=expected_s, drawn=drawn))
    assert len(shown) == 10
    assert set(shown) <= {"▰", "▱"}
    assert shown.count("▰") < 10


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0.1, 60))
def test_a_bar_with_an_estimate_never_goes_back(one_s: float, other_s: float, expected_s: float):
    earlier, later = (bar(Progress(elapsed_s=at, expected_s=expected_s)).count("▰") for at in sorted((one_s, other_s)))
    assert earlier <= later


@given(st.integers(0, 1_000))
def test_a_bar_without_an_estimate_moves(elapsed_s: int):
    assert bar(Progress(elapsed_s=elapsed_s)) != bar(Progress(elapsed_s=elapsed_s + 1))


@pytest.mark.parametrize(
    ("count", "progress", "words"),
    [
        (1, Progress(elapsed_s=1), "🎨 Drawing your picture."),
        (4, Progress(elapsed_s=1), "🎨 Drawing 4 pictures."),
        (4, Progress(elapsed_s=1, drawn=2), "🎨 2 of 4 drawn."),
        (4, Progress(elapsed_s=1, drawn=2, failed=1), "🎨 2 of 4 drawn, 1 failed."),
    ],
)
def test_of_several_it_is_said_how_many_are_there(count: int, progress: Progress, words: str):
    assert showing.drawing(an_order(count=count), progress, price=PRICE).content.split("\n")[1] == words


def test_the_footer_of_what_was_delivered_says_how_it_was_drawn_and_what_it_cost():
    assert a_delivery(an_order(steps=1, cfg_scale=3.5), notes=("⚠️ 84 % of your allowance used",)).content == (
        "> a lighthouse\n"
        "-# realvision · 1024 × 1024 · 1 step · CFG 3.5 · DPM++ SDE · 1.5 credits ($0.0015)"
        " · ⚠️ 84 % of your allowance used"
    )


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (3, "⚠️ 1 of 4 failed, its credits came back. The AI service took too long."),
        (1, "⚠️ 3 of 4 failed, their credits came back. The AI service took too long."),
    ],
)
def test_where_some_are_missing_it_says_that_their_credits_came_back(images: int, words: str):
    assert words in a_delivery(an_order(count=4), images, why="The AI service took too long.").content.split("\n")


@pytest.mark.parametrize("words", ENDINGS.values())
def test_an_ending_without_a_picture_says_plainly_that_nothing_was_charged(words: str):
    assert f"\n{words} Nothing was charged.\n" in showing.ended(an_order(), words=words).content


@pytest.mark.parametrize(
    ("nano", "words"),
    [(1_500_000, "1.5 credits ($0.0015)"), (1_000_000, "1 credit ($0.001)"), (6_000_000, "6 credits ($0.006)")],
)
def test_a_price_is_told_in_credits_and_dollars(nano: int, words: str):
    assert showing.price_in_words(NanoDollars(nano), UNIT) == words


def test_a_direct_message_says_why_it_comes():
    assert showing.dm_words(an_order(), "gone") == "📬 Your picture: my reply in <#5> was deleted, so here it is."
    assert showing.dm_words(an_order(count=2), "forbidden") == (
        "📬 Your pictures: I may not show pictures in <#5> any more, so here they are."
    )


# ------------------------------------------------------------------------------------------- files and the order


def test_the_alt_text_says_which_picture_it_is_and_what_was_asked_for():
    assert showing.alt_text(an_order(), 1) == "Picture drawn by realvision: a lighthouse"
    assert showing.alt_text(an_order(count=4), 2) == "Picture 2 of 4, drawn by realvision: a lighthouse"


@given(ORDERS)
def test_an_alt_text_fits_and_is_one_line(order: Order):
    for number in range(1, order.count + 1):
        text = showing.alt_text(order, number)
        assert utf16_length(text) <= 1_024
        assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("prompt", "kind", "name"),
    [
        ("a lighthouse", "png", f"a-lighthouse-{ID}-1.png"),
        ("Crème brûlée, ../../etc!", "jpeg", f"creme-brulee-etc-{ID}-1.jpg"),
        ("מגדלור", "webp", f"picture-{ID}-1.webp"),
        ("one two three four five six seven eight nine tenth", "png",
         f"one-two-three-four-five-six-seven-eight-nine-{ID}-1.png"),
        (f"{'x' * 40} seventh eighth", "png", f"{'x' * 40}-seventh-{ID}-1.png"),
        ("x" * 100, "png", f"{'x' * 48}-{ID}-1.png"),
    ],
)  # fmt: skip
def test_a_file_is_named_after_its_prompt_and_order(prompt: str, kind: str, name: str):
    assert showing.file_name(an_order(prompt), 1, kind) == name


def test_a_spoilers_file_begins_with_discords_word_for_it():
    assert showing.file_name(an_order(spoiler=True), 1, "png") == f"SPOILER_a-lighthouse-{ID}-1.png"


@given(ORDERS, st.sampled_from(["png", "jpeg", "webp"]))
def test_an_order_knows_its_own_files_again(order: Order, kind: str):
    for number in range(1, order.count + 1):
        name = showing.file_name(order, number, kind)
        assert re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", name)
        assert showing.is_own_file(order, name)
        assert showing.file_number(order, name) == number
        assert showing.file_number(order, name.removeprefix("SPOILER_")) == number


@pytest.mark.parametrize(
    "name",
    ["a.png", f"a-lighthouse-{ID}-2.png", f"a-{ID}0-1.png", f"a-1{ID}-1.png", f"a-{ID}-1.png.exe.html", f"{ID}.png"],
)
def test_another_file_is_not_taken_for_the_orders(name: str):
    assert not showing.is_own_file(an_order(), name)


def test_the_command_has_every_option():
    order = an_order(negative_prompt="people,\nboats", steps=8, cfg_scale=2.5, width=512, height=640, count=2)
    assert showing.command_text(order) == (
        "/imagine prompt:a lighthouse model:realvision negative_prompt:people, boats scheduler:DPM++ SDE steps:8 "
        "cfg_scale:2.5 width:512 height:640 count:2 spoiler:False private:False"
    )
    assert " shape:wide " in showing.command_text(an_order(width=1_344, height=768))


@given(ORDERS)
def test_the_details_fit_and_nothing_breaks_out_of_their_code_block(order: Order):
    body = showing.details(order)
    assert utf16_length(body) <= CONTENT_LIMIT
    before, inside, after = body.split("```")
    assert before == "This is the order, to be copied:\n"
    assert inside.startswith("\n/imagine prompt:")
    assert inside.endswith(f"count:{order.count} spoiler:{order.spoiler} private:False\n")
    assert after.startswith("\n-# Ordered <t:1732398738:f>")


def test_backticks_are_kept_apart_and_not_lost():
    assert "prompt:a `\u200b`\u200b` b model:" in showing.details(an_order("a ``` b"))


def test_details_say_when_they_are_not_the_whole_prompt():
    assert "Edit shows all of it" not in showing.details(an_order("a lighthouse"))
    long = showing.details(an_order("word " * 400, negative_prompt="people " * 200))
    assert "shortened here: Edit shows all of it" in long
    assert 1_900 < utf16_length(long) <= CONTENT_LIMIT
