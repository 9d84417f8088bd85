"""What a reading of the code with fresh eyes, and mischief, found about pictures: each was wrong once."""

import asyncio
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from bot.catalog import Catalog
from sandbox.discord.commands import CommandType
from sandbox.discord.messages import Message
from sandbox.minitoolai.picture_script import PictureScript, Served
from tests.e2e.accounting import books_are_right, decide, until
from tests.e2e.drawing import draw, drawn, order, pictured, quick, refused, told, under_way
from tests.e2e.house import House, labels
from tests.e2e.ordering import closed, is_submitted
from tests.e2e.reading import picture


@pytest.fixture
async def empty_house(empty_house: House) -> House:
    return quick(empty_house)


@pytest.fixture
def no_models(tmp_path: Path) -> str:
    """The operator's catalogue once they have retired every model that draws."""
    path = tmp_path / "catalog.toml"
    path.write_text("".join(f"[image.{model.id}]\nretired = true\n" for model in Catalog.load().image_models))
    return str(path)


def rewrite_orders(house: House, **picture: Any) -> None:
    """Put other values into what was ordered, as another version may have left them."""
    with sqlite3.connect(house.folder / "bot.db") as database:
        for order_id, asked in database.execute("SELECT order_id, asked FROM picture_orders").fetchall():
            changed = orjson.loads(asked)
            changed["picture"] |= picture
            values = (orjson.dumps(changed).decode(), order_id)
            database.execute("UPDATE picture_orders SET asked = ? WHERE order_id = ?", values)
    database.close()


async def test_a_retired_model_is_not_offered_any_more(empty_house: House, no_models: str) -> None:
    house = empty_house

    def offered() -> object:
        settings = house.discord.world.commands.find("settings", CommandType.CHAT_INPUT, None)
        assert settings is not None
        (defaults,) = [each for each in settings["options"] if each["name"] == "picture-defaults"]
        (model,) = [option for option in defaults["options"] if option["name"] == "model"]
        return model.get("choices")

    async with house.running():
        assert offered()
    async with house.running(CATALOG_FILE=no_models):
        assert not offered()


async def test_orders_and_buttons_outlive_every_model_that_draws(empty_house: House, no_models: str) -> None:
    house = empty_house
    async with house.running():
        old = await draw(house, "A cat")
        left = await under_way(house, "A dog")
    async with house.running(CATALOG_FILE=no_models):
        house.api.release_pictures()
        await house.discord.wait_until(lambda: left.attachments, what="the picture of before")
        assert "prompt:A cat" in await told(house, await house.dana.click(old, label="Details"))
        again = await told(house, await house.dana.click(old, label="Again"))
        assert again == "⚠️ There is no model `realvision` (any more). The bot's operator offers no other."
        for command in ("picture-models", "age-restricted-models"):
            asked = await house.admin.slash(house.channel, f"settings {command}")
            assert await told(house, asked) == "The bot's operator offers no models that draw."
        await house.dana.click(old, label="Delete")
        await house.discord.wait_until(lambda: old.deleted)
        assert house.discord.world.commands.find("imagine", 1, house.guild.id) is None
        assert "/imagine" not in await told(house, await house.dana.slash(house.channel, "help"))
    await books_are_right(house)


async def test_an_order_that_todays_rules_would_refuse_is_finished_shown_changed_and_forgotten(
    empty_house: House,
) -> None:
    house = empty_house
    async with house.running():
        old = await draw(house, "A cat")
        left = await under_way(house, "A dog")
        await until(partial(is_submitted, house, 2))
    rewrite_orders(house, scheduler="Once", steps=50, unheard_of="of a later version")
    async with house.running():
        house.api.release_pictures()
        await house.discord.wait_until(lambda: left.attachments, what="the picture of before")
        again = await told(house, await house.dana.click(old, label="Again"))
        assert again.startswith("⚠️ `scheduler` cannot be `Once`. Please choose one of `Euler a`")
        assert "scheduler:Once steps:50" in await told(house, await house.dana.click(old, label="Details"))
        form = await house.dana.click(old, label="Edit")
        await house.discord.wait_until(lambda: form.modal, what="a form")
        await pictured(house, await house.dana.submit_modal(form, {"rest": "steps: 8"}))
        assert drawn(house, "scheduler", "steps") == ["DPM++ SDE", 8]
        await house.dana.click(old, label="Delete")
        await house.discord.wait_until(lambda: old.deleted)
    await books_are_right(house)


async def test_several_who_cancel_at_once_are_all_content(empty_house: House) -> None:
    house = empty_house
    async with house.running():
        reply = await under_way(house)
        pressed = await asyncio.gather(*(house.admin.click(reply, label="Cancel") for _ in range(5)))
        await house.discord.wait_until(lambda: "⏹️ Cancelled. Nothing was charged." in reply.content)
        await asyncio.gather(*(one.acknowledged for one in pressed))
        await draw(house)  # by then they have all been answered
        said = [m.content for one in pressed for m in one.messages if m is not one.message]
        assert said == []
        await books_are_right(house)


async def test_where_nobody_waits_in_line_the_refusal_does_not_speak_of_a_line(empty_house: House) -> None:
    house = empty_house
    house.api.picture_answer = lambda _: PictureScript(held=True, serves=Served(body=picture().content))
    async with house.running(PICTURE_LINE_PER_MEMBER="0", PICTURE_ORDERS_PER_MEMBER="1"):
        first = await order(house)
        await house.discord.wait_until(lambda: first.original and labels(first.original) == ["Cancel"])
        words = await told(house, await order(house))
        assert words == (
            "⚠️ You have as many orders under way as I draw at once. Please try again once a picture has come."
        )
        house.api.release_pictures()
        await closed(house, first)


async def test_a_made_up_model_breaks_no_formatting(empty_house: House) -> None:
    async with empty_house.running():
        words = await refused(empty_house, model="`@everyone` **now**")
        assert words.startswith("⚠️ There is no model `@everyone **now**` (any more).")


async def test_a_message_is_pictured_by_its_words_without_ids_and_footers(empty_house: House) -> None:
    house = empty_house
    async with house.running():
        said = await house.noam.say(house.channel, f"<@{house.dana.user.id}> with a <:cat:1234567890> on <a:sea:12>")
        assert await prompt_in_form(house, said) == "Dana with a cat on sea"
        asked = await house.dana.slash(house.channel, "ask", prompt="What is red?")
        answer = await house.answer_to(asked)
        assert "-# " in answer.content
        assert "-# " not in await prompt_in_form(house, answer)


async def prompt_in_form(house: House, message: Message) -> str:
    """What "Picture this" makes of a message."""
    form = await house.dana.message_menu(house.channel, "Picture this", message)
    await house.discord.wait_until(lambda: form.modal, what="a form")
    assert form.modal is not None
    return str(form.modal["components"][0]["component"]["value"])


async def test_where_every_allowed_model_is_for_other_channels_the_refusal_names_none(empty_house: House) -> None:
    house = empty_house
    async with house.running():
        await decide(house, picture_models=("amigo",), age_restricted_models=("amigo",))
        for options in ({}, {"model": "valhalla"}):
            assert await refused(house, **options) == (
                "⚠️ None of the models that this server's admins allow can draw here. An age-restricted channel may do; "
                "admins change that with `/settings picture-models`."
            )


async def test_numbers_among_a_servers_defaults_read_as_they_were_given(empty_house: House) -> None:
    house = empty_house
    async with house.running():
        words = await told(house, await house.admin.slash(house.channel, "settings picture-defaults", cfg_scale=3))
        assert words == "✅ Picture defaults: the API's own → **cfg_scale `3`**"


async def test_a_line_in_a_form_that_means_nothing_is_answered_with_lines_that_do(empty_house: House) -> None:
    house = empty_house
    async with house.running():
        form = await house.dana.click(await draw(house), label="Edit")
        await house.discord.wait_until(lambda: form.modal, what="a form")
        words = await told(house, await house.dana.submit_modal(form, {"rest": "more cats"}))
        assert words.startswith("⚠️ `More` cannot be `more cats`. Please choose one of `steps: 4`, `cfg_scale: 2`, ")
