"""The procedural pictures: the right size, the same for the same order, another for another, and plainly no model's."""

import asyncio
import io
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from sandbox.minitoolai import drawing, faults, picture_rules, scenes
from sandbox.minitoolai.drawing import Studio, draw, scene_of
from sandbox.minitoolai.picture_rules import Asked


def asked(prompt: str = "a fox", **changes: Any) -> Asked:
    return picture_rules.check({"model": "amigo", "prompt": prompt, "width": 256, "height": 256, **changes})


def differ(first: Image.Image, second: Image.Image) -> bool:
    return ImageChops.difference(first, second).getbbox() is not None


@settings(max_examples=25)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300).filter(str.strip),
    st.integers(256, 1_344),
    st.integers(256, 400),
    st.booleans(),
)
def test_any_prompt_is_drawn_in_the_size_asked_for(prompt: str, long: int, short: int, upright: bool) -> None:
    size = (short, long) if upright else (long, short)
    image = draw(asked(prompt, width=size[0], height=size[1]), 0)
    assert (image.size, image.mode) == (size, "RGB")


@pytest.mark.parametrize("name", sorted(scenes.SCENES))
def test_every_scene_uses_its_whole_canvas_and_many_colours(name: str) -> None:
    words = {"orbs": "abstract", "petals": "flower", "hills": "mountains"}
    image = draw(asked(words.get(name, name)), 0)
    assert len(image.getcolors(256 * 256) or ()) > 200
    for corner in (0, 255):
        column = image.crop((corner, 0, corner + 1, 220)).getcolors(256)
        assert column is not None
        assert len(column) > 5


def test_the_same_order_is_the_same_picture() -> None:
    assert not differ(draw(asked(), 0), draw(asked(), 0))


@pytest.mark.parametrize(
    "change", [{"model": "realism"}, {"negativePrompt": "snow"}, {"steps": 5}, {"cfgScale": 3}, {"scheduler": "Euler"}]
)
def test_every_option_makes_another_picture(change: dict[str, Any]) -> None:
    assert differ(draw(asked(), 0), draw(asked(**change), 0))


def test_the_same_order_again_is_a_variation() -> None:
    assert len({drawing.digest(asked(), variation) for variation in range(4)}) == 4
    assert differ(draw(asked(), 0), draw(asked(), 1))


@pytest.mark.parametrize(
    ("prompt", "scene"),
    [
        ("Boats on a lake", "sea"),
        ("a CITY in the rain", "city"),
        ("three foxes, a fox", "forest"),
        ("a bed of roses", "petals"),
        ("sand dunes", "hills"),
        ("starry sky over the sea", "night"),
    ],
)
def test_the_prompts_words_choose_the_scene(prompt: str, scene: str) -> None:
    assert {scene_of(asked(prompt), random.Random(number)) for number in range(20)} == {scene}


def test_without_a_hint_any_scene_may_come() -> None:
    rng = random.Random(7)
    assert {scene_of(asked("qwerty"), rng) for _ in range(200)} == set(scenes.SCENES)


@pytest.mark.parametrize("prompt", ["a fox", "שועל בשלג", "лиса"])
def test_the_strip_shows_the_beginning_of_the_prompt(prompt: str) -> None:
    """Two prompts of the same length leave different strips; one without letters leaves the word alone."""
    with_words, without = (drawing.draw(asked(text), 0).crop((0, 232, 256, 256)) for text in (prompt, "🦊"))

    def bright(strip: Image.Image) -> int:
        return sum(strip.convert("L").histogram()[190:])

    assert bright(with_words) > bright(without) > 0


async def test_a_picture_is_drawn_once_however_many_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def counted(one: Asked, variation: int) -> Image.Image:
        drawn.append(variation)
        return draw(one, variation)

    monkeypatch.setattr(drawing, "draw", counted)
    studio = Studio()
    files = await asyncio.gather(*(studio.picture(asked(), variation=0, form="png") for _ in range(10)))
    assert drawn == [0]
    assert len(set(files)) == 1


async def test_what_is_kept_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "CACHE_BYTES", 100_000)
    studio = Studio()
    files = [await studio.picture(asked(), variation=number, form="png") for number in range(8)]
    assert sum(map(len, files)) > 100_000 >= studio.kept_bytes > 0


@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "gif"])
async def test_each_type_is_what_it_says(form: str) -> None:
    image = Image.open(io.BytesIO(await Studio().picture(asked(), variation=0, form=form)))
    image.load()
    assert (image.format, image.size) == (form.upper(), (256, 256))


def test_a_bomb_is_small_and_claims_to_be_huge() -> None:
    bomb = faults.pixel_bomb()
    assert len(bomb) < 200
    with pytest.raises(Image.DecompressionBombError, match="3600000000 pixels"):
        Image.open(io.BytesIO(bomb))


def test_noise_is_a_true_picture_that_hardly_shrinks() -> None:
    noise = faults.noise_png(100, 50)
    image = Image.open(io.BytesIO(noise))
    image.load()
    assert image.size == (100, 50)
    assert len(noise) > 100 * 50 * 3
