"""What is read from the form of a picture: everything that it shows, and what people write instead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.catalog import Catalog
from bot.errors import BadRequest, ChoiceUnknown, OutOfRange
from bot.guilds import DEFAULTS
from bot.minitoolai.images import SCHEDULERS
from bot.pictures.choosing import Asked, Rules, choose
from bot.pictures.request import Picture
from cogs.imagine_forms import Typed, Wanted

CATALOG = Catalog.load()
RULES = Rules(catalog=CATALOG, guild=DEFAULTS, age_restricted=False)


def read(*, size: str = "", rest: str = "") -> Wanted:
    return Typed(prompt="a cat", negative_prompt="", model="amigo", size=size, rest=rest).wanted()


pictures = st.builds(
    Picture,
    prompt=st.text("abc 𝕏\n:=", min_size=1, max_size=50).map(lambda text: f"a{text}"),
    model=st.sampled_from([model.id for model in CATALOG.image_models]),
    negative_prompt=st.none() | st.just("text, ads"),
    scheduler=st.sampled_from(SCHEDULERS),
    steps=st.integers(1, 8),
    cfg_scale=st.floats(1, 7).map(lambda number: round(number, 3)),
    width=st.integers(256, 1_344),
    height=st.integers(256, 1_344),
)


@given(picture=pictures, count=st.integers(1, 4), spoiler=st.booleans(), private=st.booleans())
def test_a_form_that_nobody_touches_orders_the_same_again(picture: Picture, count: int, spoiler: bool, private: bool):
    wanted = Typed.of(picture, count=count, spoiler=spoiler, private=private).wanted()
    assert choose(wanted.asked, RULES) == picture
    assert (wanted.count, wanted.spoiler, wanted.private) == (count, spoiler, private)


@given(size=st.text(max_size=30), rest=st.text(max_size=300))
def test_whatever_is_typed_is_an_order_or_something_that_can_be_mended(size: str, rest: str):
    try:
        wanted = read(size=size, rest=rest)
    except BadRequest:
        return
    assert 1 <= wanted.count <= 4


def test_what_is_emptied_is_left_open():
    assert read() == Wanted(asked=Asked(prompt="a cat", model="amigo", negative_prompt=""))


@pytest.mark.parametrize(
    ("size", "asked"),
    [
        ("832 × 1216", {"width": 832, "height": 1_216}),
        ("832x1216", {"width": 832, "height": 1_216}),
        (" 832px X 1216px ", {"width": 832, "height": 1_216}),
        ("832, 1216", {"width": 832, "height": 1_216}),
        ("832 1216", {"width": 832, "height": 1_216}),
        ("Portrait", {"shape": "portrait"}),
        (" wide ", {"shape": "wide"}),
    ],
)
def test_a_size_is_a_shape_or_two_sides(size: str, asked: dict[str, object]):
    found = read(size=size).asked
    assert {name: getattr(found, name) for name in ("shape", "width", "height")} == {
        "shape": None,
        "width": None,
        "height": None,
    } | asked


@pytest.mark.parametrize("size", ["round", "1024", "-5 x 300", "1e3 x 300", "² × ³", "1024x1024x3", "٣٠٠ x ٣٠٠"])
def test_another_size_is_refused_with_what_would_do(size: str):
    with pytest.raises(ChoiceUnknown) as refused:
        read(size=size)
    assert refused.value.known == ("square", "portrait", "landscape", "wide", "832 × 1216")


def test_the_lines_are_read_however_they_are_written():
    wanted = read(rest="Steps = 6\n\nCFG scale: 2,5\n SCHEDULER : dpm++ 2m  sde karras\ncount:2\nspoiler: ON\nprivate:")
    assert (wanted.asked.steps, wanted.asked.cfg_scale) == (6, 2.5)
    assert wanted.asked.scheduler == "DPM++ 2M SDE Karras"
    assert (wanted.count, wanted.spoiler, wanted.private) == (2, True, False)


@pytest.mark.parametrize(
    "rest",
    ["steps: nine", "steps: 2.5", "steps: 9", "steps: 0", "count: 5", "count: 0", "count: -1", "cfg_scale: 1e3"],
)
def test_a_number_that_cannot_be_is_refused_with_its_range(rest: str):
    with pytest.raises(OutOfRange) as refused:
        read(rest=rest)
    assert refused.value.option == rest.partition(":")[0]


@pytest.mark.parametrize(
    ("rest", "option"),
    [("colour: red", "More"), ("make it nice", "More"), ("private: maybe", "private"), (": 5", "More")],
)
def test_a_line_that_cannot_be_is_refused_by_name(rest: str, option: str):
    with pytest.raises(ChoiceUnknown) as refused:
        read(rest=rest)
    assert refused.value.option == option
    assert refused.value.known
