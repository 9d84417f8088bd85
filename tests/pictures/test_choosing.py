"""What is drawn in a place: options, then the server's defaults, then the API's; and what is not allowed there."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.catalog import Catalog
from bot.errors import AgeRestricted, BadRequest, ChoiceUnknown, ModelNotAllowed, OutOfRange, PicturesOff, UnknownModel
from bot.guilds import DEFAULTS, GuildSettings
from bot.pictures.choosing import Asked, Rules, choose
from bot.pictures.defaults import PictureDefaults
from bot.pictures.request import SHAPES, Picture

CATALOG = Catalog.load()
MODELS = [model.id for model in CATALOG.image_models]


def rules(*, age_restricted: bool = False, catalog: Catalog = CATALOG, **fields: object) -> Rules:
    return Rules(catalog=catalog, guild=replace(DEFAULTS, **fields), age_restricted=age_restricted)


def test_what_is_left_open_is_as_the_api_documents_it():
    picture = choose(Asked(prompt="a cat"), rules())
    assert asdict(picture) == {
        "prompt": "a cat",
        "model": "realvision",
        "negative_prompt": None,
        "scheduler": "DPM++ SDE",
        "steps": 4,
        "cfg_scale": 2.0,
        "width": 1_024,
        "height": 1_024,
    }


SERVER = PictureDefaults(
    model="amigo", negative_prompt="text", scheduler="Euler", steps=8, cfg_scale=3.5, width=832, height=1_216
)


def test_a_servers_defaults_fill_what_is_left_open_and_give_way_to_what_is_chosen():
    here = rules(picture_defaults=SERVER)
    assert choose(Asked(prompt="a cat"), here) == Picture(prompt="a cat", **SERVER.chosen)
    chosen = Asked(
        prompt="a cat", model="realism", negative_prompt="", scheduler="LMS", steps=1, cfg_scale=7, width=256
    )
    assert choose(chosen, here) == Picture(
        prompt="a cat", model="realism", scheduler="LMS", steps=1, cfg_scale=7, width=256, height=1_216
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_both_sides_and_a_side_in_pixels_wins_over_it(shape: str):
    here = rules(picture_defaults=SERVER)
    picture = choose(Asked(prompt="a cat", shape=shape), here)
    assert ((picture.width, picture.height), picture.shape) == (SHAPES[shape], shape)  # type: ignore[index]
    assert choose(Asked(prompt="a cat", shape=shape, height=300), here).height == 300


def test_a_shape_that_does_not_exist_is_refused():
    with pytest.raises(ChoiceUnknown) as refused:
        choose(Asked(prompt="a cat", shape="round"), rules())
    assert refused.value.known == ("square", "portrait", "landscape", "wide")


@pytest.mark.parametrize(
    ("here", "error"),
    [
        (rules(images=False), PicturesOff),
        (rules(picture_models=("amigo", "realism")), ModelNotAllowed),
        (rules(age_restricted_models=("realgirls",)), AgeRestricted),
    ],
)
def test_what_a_server_does_not_allow_is_refused(here: Rules, error: type[Exception]):
    with pytest.raises(error):
        choose(Asked(prompt="a cat", model="realgirls"), here)


def test_an_age_restricted_model_draws_where_everybody_is_of_age():
    here = rules(age_restricted_models=("realgirls",), age_restricted=True)
    assert choose(Asked(prompt="a cat", model="realgirls"), here).model == "realgirls"


def test_the_operators_mark_holds_whatever_the_server_says(tmp_path: Path):
    override = tmp_path / "mine.toml"
    override.write_text("[image.amigo]\nage_restricted = true")
    catalog = Catalog.load(override)
    with pytest.raises(AgeRestricted):
        choose(Asked(prompt="a cat", model="amigo"), rules(catalog=catalog))
    assert choose(Asked(prompt="a cat", model="amigo"), rules(catalog=catalog, age_restricted=True)).model == "amigo"


@pytest.mark.parametrize("model", ["", "gpt-4o", "x" * 5_000, "REALVISION"])
def test_a_model_that_does_not_exist_is_refused(model: str):
    with pytest.raises(UnknownModel):
        choose(Asked(prompt="a cat", model=model), rules())


@pytest.mark.parametrize(
    "here",
    [
        rules(picture_models=("amigo",)),
        rules(age_restricted_models=tuple(name for name in MODELS if name != "amigo")),
        rules(picture_defaults=PictureDefaults(model="gone"), picture_models=("gone", "amigo")),
        rules(
            picture_defaults=PictureDefaults(model="realism"),
            picture_models=("realism", "amigo"),
            age_restricted_models=("realism",),
        ),
    ],
    ids=["left out", "kept to other channels", "retired", "the server's own, kept to other channels"],
)
def test_a_default_that_cannot_draw_here_gives_way_to_the_first_that_can(here: Rules):
    assert choose(Asked(prompt="a cat"), here).model == "amigo"


def test_where_no_model_can_draw_the_default_says_why():
    with pytest.raises(AgeRestricted) as refused:
        choose(Asked(prompt="a cat"), rules(age_restricted_models=tuple(MODELS)))
    assert refused.value.model == "realvision"


def test_the_models_that_are_offered_instead_can_draw_here():
    here = rules(picture_models=("amigo", "realism"), age_restricted_models=("realism",))
    with pytest.raises(ModelNotAllowed) as refused:
        choose(Asked(prompt="a cat", model="dreamshaper"), here)
    assert refused.value.allowed == ("amigo",)


subsets = st.lists(st.sampled_from(MODELS), unique=True).map(tuple)


@given(
    model=st.none() | st.sampled_from([*MODELS, "gone"]),
    allowed=subsets,
    marked=subsets,
    age_restricted=st.booleans(),
    steps=st.none() | st.integers(-1, 10),
    width=st.none() | st.integers(200, 1_400),
)
def test_whatever_is_drawn_is_allowed_and_in_range(
    model: str | None,
    allowed: tuple[str, ...],
    marked: tuple[str, ...],
    age_restricted: bool,
    steps: int | None,
    width: int | None,
):
    guild = GuildSettings(picture_models=allowed, age_restricted_models=marked)
    here = Rules(catalog=CATALOG, guild=guild, age_restricted=age_restricted)
    try:
        picture = choose(Asked(prompt="a cat", model=model, steps=steps, width=width), here)
    except OutOfRange:
        within = 1 <= (4 if steps is None else steps) <= 8 and 256 <= (width or 1_024) <= 1_344
        assert not within
    except BadRequest:
        return
    else:
        assert picture.model in (allowed or MODELS)
        assert age_restricted or picture.model not in marked
        assert 1 <= picture.steps <= 8
        assert 256 <= picture.width <= 1_344


def test_without_any_default_the_first_model_that_can_be_chosen_draws():
    here = rules(catalog=replace(CATALOG, default_image=None), picture_models=("amigo", "realism"))
    assert choose(Asked(prompt="a cat"), here).model == here.offered[0].id
