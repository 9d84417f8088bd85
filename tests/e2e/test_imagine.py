"""`/imagine`, "Picture this", and the buttons below pictures, as people use them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from bot.credits.policy import Allowance
from bot.guilds import Target
from bot.money import NanoDollars
from bot.pictures.defaults import PictureDefaults
from sandbox.discord.faults import Fault
from sandbox.discord.messages import Interaction, Message, ResponseType
from sandbox.discord.people import ClientRefused, Person
from sandbox.discord.permissions import Permission
from sandbox.discord.places import Channel
from tests.e2e.accounting import allow, books_are_right, charged, decide, entries, until
from tests.e2e.drawing import ENDED, draw, drawn, order, pictured, quick, refused, texts, told, under_way
from tests.e2e.house import House, labels, replies
from tests.e2e.ordering import is_submitted
from tests.e2e.reading import assert_readable, picture

PICTURE_NANO = 1_500_000
OPTIONS: dict[str, object] = {
    "model": "amigo",
    "negative_prompt": "text",
    "scheduler": "DPM++ 2M SDE Karras",
    "steps": 8,
    "cfg_scale": 6.5,
    "width": 640,
    "height": 1_344,
}
SENT = ["model", "negativePrompt", "scheduler", "steps", "cfgScale", "width", "height"]


@pytest.fixture
async def house(house: House) -> House:
    """With an API that answers with small pictures: what is drawn is not the matter here."""
    return quick(house)


@pytest.fixture
async def empty_house(empty_house: House) -> House:
    return quick(empty_house)


@pytest.fixture
def moderator(house: House) -> Person:
    user = house.discord.world.add_user("Moderator")
    house.guild.join(user, roles=[house.guild.add_role("Moderators", permissions=Permission.MANAGE_MESSAGES)])
    return house.discord.person(user)


@pytest.fixture
def traveller(house: House) -> Person:
    """Has the bot as their own app."""
    return house.discord.person(house.discord.world.add_user("Mira", has_installed_app=True))


def elsewhere(house: House, *people: Person, **options: bool) -> Channel:
    """A channel of a server in which the bot is not."""
    guild = house.discord.world.add_guild("Elsewhere", bot_present=False)
    for person in people:
        guild.join(person.user)
    return guild.add_text_channel("talk", **options)


# Ordering


async def test_a_picture_is_drawn_by_the_apis_own_defaults_and_says_what_it_cost(house: House) -> None:
    reply = await draw(house, "A *lighthouse* at dawn")
    (attachment,) = reply.attachments
    footer = "realvision · 1024 × 1024 · 4 steps · CFG 2 · DPM++ SDE · 1.5 credits ($0.0015)"
    assert reply.content == f"> A \\*lighthouse\\* at dawn\n-# {footer}"
    assert texts(reply) == ["Picture drawn by realvision: A *lighthouse* at dawn"]
    assert attachment.filename.startswith("a-lighthouse-at-dawn-")
    assert (attachment.width, attachment.height) == (16, 16)
    assert drawn(house, "prompt", *SENT) == [
        "A *lighthouse* at dawn", "realvision", None, "DPM++ SDE", 4, 2.0, 1_024, 1_024
    ]  # fmt: skip
    assert labels(reply) == ENDED
    assert_readable(reply)
    assert (await charged(house)).user_nano == PICTURE_NANO


async def test_four_pictures_are_a_gallery_in_one_message(house: House) -> None:
    reply = await draw(house, "A lighthouse", count=4)
    assert texts(reply) == [f"Picture {number} of 4, drawn by realvision: A lighthouse" for number in (1, 2, 3, 4)]
    assert "6 credits ($0.006)" in reply.content
    assert len(house.api.pictures) == 4
    assert (await charged(house)).user_nano == 4 * PICTURE_NANO


async def test_every_option_reaches_the_api(house: House) -> None:
    await draw(house, **OPTIONS)
    assert drawn(house, *SENT) == list(OPTIONS.values())


@pytest.mark.parametrize(
    ("options", "sides"),
    [
        ({"shape": "square"}, [1_024, 1_024]),
        ({"shape": "portrait"}, [832, 1_216]),
        ({"shape": "landscape"}, [1_216, 832]),
        ({"shape": "wide"}, [1_344, 768]),
        ({"shape": "wide", "height": 256}, [1_344, 256]),
        ({"width": 256}, [256, 1_024]),
    ],
)
async def test_a_side_in_pixels_goes_before_the_shapes(
    house: House, options: dict[str, object], sides: list[int]
) -> None:
    await draw(house, **options)
    assert drawn(house, "width", "height") == sides


async def test_the_price_stands_in_the_choices_and_in_the_reply_before_and_after(house: House) -> None:
    registered = house.discord.world.commands.find("imagine", 1, house.guild.id)
    assert registered is not None
    offered = {option["name"]: option for option in registered["options"]}
    models = [choice["name"] for choice in offered["model"]["choices"]]
    assert len(models) == 15
    assert models[0] == "realvision (1.5 credits each)"
    assert len(offered["scheduler"]["choices"]) == 18
    assert "1.5 credits each" in offered["count"]["description"]
    reply = await under_way(house, count=2)
    assert "3 credits ($0.003) set apart for 2 pictures, charged on delivery" in reply.content
    house.api.release_pictures()
    await house.discord.wait_until(lambda: reply.attachments)
    assert "3 credits ($0.003)" in reply.content


async def test_a_spoiler_hides_the_prompt_and_the_pictures(house: House) -> None:
    reply = await draw(house, "The end of the film", count=2, spoiler=True)
    assert reply.content.startswith("> ||The end of the film||\n")
    assert all(attachment.filename.startswith("SPOILER_") for attachment in reply.attachments)


async def test_a_private_order_and_its_like_are_seen_by_their_owner_alone(house: House) -> None:
    reply = await draw(house, private=True)
    assert reply.visible_to is house.dana.user
    again = await pictured(house, await house.dana.click(reply, label="Again"))
    assert again.visible_to is house.dana.user
    pressed = await house.noam.click(reply, label="Again", tampered=True)
    assert "I no longer know this order" in await told(house, pressed)


async def test_who_draws_pings_nobody(house: House) -> None:
    reply = await draw(house, f"@everyone {house.noam.user.mention} <@&{house.guild.id}>")
    assert_readable(reply)
    assert not reply.mentions.everyone


# Where


@pytest.mark.parametrize("kind", ["thread", "voice", "dm"])
async def test_it_draws_wherever_the_bot_is(house: House, kind: str) -> None:
    places: dict[str, Callable[[], Channel]] = {
        "thread": lambda: house.channel.add_thread("art", creator=house.dana.user),
        "voice": lambda: house.guild.add_voice_channel("Studio"),
        "dm": lambda: house.discord.world.dm(house.dana.user),
    }
    reply = await draw(house, at=places[kind]())
    assert len(reply.attachments) == 1


async def test_who_brings_the_bot_along_orders_through_the_interaction_alone(house: House, traveller: Person) -> None:
    reply = await draw(house, by=traveller, at=elsewhere(house, traveller), count=2)
    assert len(reply.attachments) == 2
    again = await pictured(house, await traveller.click(reply, label="Again"))
    assert len(again.attachments) == 2
    deleted = await traveller.click(reply, label="Delete")
    await house.discord.wait_until(lambda: reply.deleted)
    assert replies(deleted) == [reply]


async def test_where_outside_apps_may_not_speak_the_order_is_private(house: House, traveller: Person) -> None:
    channel = elsewhere(house, traveller)
    assert channel.guild is not None
    channel.set_overwrite(channel.guild.everyone, deny=Permission.USE_EXTERNAL_APPS)
    reply = await draw(house, by=traveller, at=channel)
    assert reply.ephemeral
    details = await traveller.click(reply, label="Details")
    assert "private:True" in await told(house, details)


async def test_a_reply_whose_deferral_was_answered_in_vain_is_found_again(house: House) -> None:
    house.discord.faults.add(Fault(method="POST", template="/interactions/…", status=502, carried_out=True))
    reply = await pictured(house, await order(house))
    assert len(reply.attachments) == 1
    assert len(house.api.pictures) == 1


# What a server decides


async def test_a_servers_defaults_draw_where_nobody_says_how(house: House) -> None:
    here = PictureDefaults(
        model="amigo", negative_prompt="text", scheduler="LMS", steps=2, cfg_scale=3.5, width=832, height=1_216
    )
    await decide(house, picture_defaults=here)
    await draw(house)
    assert drawn(house, *SENT) == ["amigo", "text", "LMS", 2, 3.5, 832, 1_216]
    await draw(house, **OPTIONS)
    assert drawn(house, *SENT) == list(OPTIONS.values())
    await draw(house, at=house.discord.world.dm(house.dana.user))
    assert drawn(house, "model", "steps") == ["realvision", 4]


async def test_where_pictures_are_off_nothing_orders_one(house: House) -> None:
    reply = await draw(house)
    message = await house.dana.say(house.channel, "A cat")
    await decide(house, images=False)
    words = "⚠️ Pictures are switched off in this server. Its admins can switch them on, with `/settings images`."
    assert await refused(house) == words
    assert await told(house, await house.dana.message_menu(house.channel, "Picture this", message)) == words
    for label in ("Again", "Edit", "Shape"):
        assert await told(house, await house.dana.click(reply, label=label)) == words
    assert "/imagine prompt:" in await told(house, await house.dana.click(reply, label="Details"))
    assert len(house.api.pictures) == 1


async def test_only_the_models_that_the_server_allows_draw(house: House) -> None:
    reply = await draw(house, model="realism")
    await decide(house, picture_models=("amigo", "dreamshaper"))
    words = "⚠️ `realism` is not among the models that this server's admins allow: `dreamshaper`, `amigo`."
    assert await refused(house, model="realism") == words
    assert await told(house, await house.dana.click(reply, label="Again")) == words
    await draw(house)
    assert drawn(house, "model") == ["dreamshaper"]
    form = await opened(house, await house.dana.click(reply, label="Edit"))
    assert models_in(form) == ["dreamshaper", "amigo"]
    with pytest.raises(ClientRefused):
        await house.dana.submit_modal(form, {})


async def test_an_age_restricted_model_draws_in_age_restricted_channels_and_their_threads_only(house: House) -> None:
    await decide(house, age_restricted_models=("realgirls",))
    adults = house.guild.add_text_channel("adults", nsfw=True)
    words = (
        "⚠️ `realgirls` draws in age-restricted channels only. Please choose another `model`, or go to such a channel."
    )
    open_thread = house.channel.add_thread("open", creator=house.dana.user)
    for place in (house.channel, open_thread):
        assert await refused(house, at=place, model="realgirls") == words
    for place in (adults, adults.add_thread("late", creator=house.dana.user)):
        reply = await draw(house, at=place, model="realgirls")
        assert len(reply.attachments) == 1
    adults.nsfw = False
    house.discord.world.emit_channel("CHANNEL_UPDATE", adults)
    adults.set_overwrite(house.noam.user)
    reply = next(message for message in adults.messages.values() if message.attachments)
    assert await told(house, await house.dana.click(reply, label="Again")) == words


async def test_the_operators_age_restricted_models_are_kept_from_strangers_servers_and_direct_messages(
    empty_house: House,
) -> None:
    house = empty_house
    catalog = house.folder / "mine.toml"
    catalog.write_text("[image.realgirls]\nage_restricted = true")
    mira = house.discord.person(house.discord.world.add_user("Mira", has_installed_app=True))
    async with house.running(CATALOG_FILE=str(catalog)):
        for place in (elsewhere(house, mira), house.discord.world.dm(mira.user)):
            assert "age-restricted channels only" in await refused(house, by=mira, at=place, model="realgirls")
        reply = await draw(house, by=mira, at=elsewhere(house, mira, nsfw=True), model="realgirls")
        assert len(reply.attachments) == 1


async def test_settings_that_are_not_read_in_time_are_said_to_be_so(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = await draw(house)
    assert house.bot is not None
    monkeypatch.setattr(house.bot.extensions["cogs.imagine"], "READ_S", 0.0)
    words = "⚠️ I cannot reach my memory just now. Please try again in a minute."
    assert await refused(house) == words
    assert await told(house, await house.dana.click(reply, label="Again")) == words


# What an altered client sends


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompt": " \u200b\n"}, "There is nothing to draw"),
        ({"prompt": "x" * 2_001}, "at most 2,000 fit. Please shorten it."),
        ({"prompt": 5}, "`prompt` cannot be `5`"),
        ({"model": "gpt-4o"}, "There is no model `gpt-4o` (any more). Please choose one of `realvision`"),
        ({"model": 5}, "`model` cannot be `5`"),
        ({"negative_prompt": "x" * 2_001}, "at most 2,000 fit"),
        ({"scheduler": "Euler b"}, "`scheduler` cannot be `Euler b`. Please choose one of `Euler a`"),
        ({"shape": "<@1> `x`"}, "`shape` cannot be `<@1> x`. Please choose one of `square`"),
        ({"steps": 0}, "`steps` must lie between 1 and 8"),
        ({"steps": 9}, "`steps` must lie between 1 and 8"),
        ({"steps": 2.5}, "`steps` must lie between 1 and 8"),
        ({"cfg_scale": 0.99}, "`cfg_scale` must lie between 1 and 7"),
        ({"cfg_scale": 7.01}, "`cfg_scale` must lie between 1 and 7"),
        ({"width": 255}, "`width` must lie between 256 and 1,344"),
        ({"height": 1_345}, "`height` must lie between 256 and 1,344"),
        ({"height": "512"}, "`height` must lie between 256 and 1,344"),
        ({"count": 5}, "`count` must lie between 1 and 4"),
        ({"count": True}, "`count` must lie between 1 and 4"),
    ],
)
async def test_what_the_api_would_not_take_is_refused_to_the_asker_alone(
    house: House, options: dict[str, Any], words: str
) -> None:
    assert words in await refused(house, **{"prompt": "a cat"} | options)
    assert await entries(house) == {}


@pytest.mark.parametrize(
    "options", [{"steps": 9}, {"width": 2_000}, {"count": 0}, {"model": "gpt-4o"}, {"prompt": " "}]
)
async def test_discords_client_lets_nobody_send_that(house: House, options: dict[str, Any]) -> None:
    with pytest.raises(ClientRefused):
        await house.dana.slash(house.channel, "imagine", **{"prompt": "a cat"} | options)
    assert not house.api.pictures


async def test_what_cannot_be_paid_is_said_in_the_reply_and_nothing_is_drawn(house: House) -> None:
    await allow(house, Target.member(house.dana.user.id), Allowance.of(NanoDollars(PICTURE_NANO), "day"))
    interaction = await order(house, count=2)
    await house.discord.wait_until(lambda: interaction.original and interaction.original.content)
    assert interaction.original is not None
    assert "⚠️ That needs 3 credits, and you have 1.5 left." in interaction.original.content
    assert not interaction.original.loading
    assert not house.api.pictures
    assert len((await draw(house)).attachments) == 1


# Buttons


async def test_cancel_gives_the_credits_back_and_is_for_the_owner_or_a_moderator(
    house: House, moderator: Person
) -> None:
    for who in (house.dana, moderator):
        reply = await under_way(house)
        refusal = await told(house, await house.noam.click(reply, label="Cancel"))
        assert refusal == "⚠️ Only the person who ordered, or a moderator, may do that."
        pressed = await who.click(reply, label="Cancel")
        await house.discord.wait_until(lambda shown=reply: "⏹️ Cancelled. Nothing was charged." in shown.content)
        assert pressed.response_type is ResponseType.DEFERRED_UPDATE
        assert labels(reply) == ["Again", "Edit", "Delete"]
    await books_are_right(house)


async def test_a_cancel_that_comes_after_the_end_says_so(house: House) -> None:
    reply = await under_way(house)
    button = reply.buttons()[0]["custom_id"]
    house.api.release_pictures()
    await house.discord.wait_until(lambda: labels(reply) == ENDED)
    reply.components[0]["components"][0]["custom_id"] = button
    words = await told(house, await house.dana.click(reply, custom_id=button))
    assert words.startswith("⚠️ It is too late for that")
    assert len(reply.attachments) == 1


async def test_again_is_paid_and_owned_by_who_presses(house: House) -> None:
    reply = await draw(house, "A cat", count=2, **OPTIONS)
    await until(lambda: entries(house))
    again = await pictured(house, await house.noam.click(reply, label="Again"))
    assert drawn(house, "prompt", *SENT) == ["A cat", *OPTIONS.values()]
    assert len(again.attachments) == 2

    async def both() -> bool:
        return len(await entries(house)) == 2

    await until(both)
    by = {entry.user_id: entry.user_nano for entry in (await entries(house)).values()}
    assert by == {house.dana.user.id: 2 * PICTURE_NANO, house.noam.user.id: 2 * PICTURE_NANO}
    refusal = await told(house, await house.dana.click(again, label="Delete"))
    assert refusal == "⚠️ Only the person who ordered, or a moderator, may do that."
    await house.noam.click(again, label="Delete")
    await house.discord.wait_until(lambda: again.deleted)
    assert not reply.deleted


async def test_shape_draws_the_same_in_another_shape(house: House) -> None:
    reply = await draw(house, "A cat", steps=6)
    asked = await house.noam.click(reply, label="Shape")
    assert await told(house, asked) == "Draw it again in another shape, for 1.5 credits ($0.0015):"
    assert asked.original is not None
    chosen = await pictured(house, await house.noam.select(asked.original, ["wide"]))
    assert drawn(house, "prompt", "steps", "width", "height") == ["A cat", 6, 1_344, 768]
    assert chosen.visible_to is None
    wrong = await told(house, await house.noam.select(asked.original, ["round"], tampered=True))
    assert "`shape` cannot be `round`" in wrong
    nothing = await told(house, await house.noam.select(asked.original, [], tampered=True))
    assert nothing == "⚠️ Please choose at least one."


async def test_details_can_be_copied_and_only_who_asks_sees_them(house: House) -> None:
    reply = await draw(house, "A ``` cat", spoiler=True, **OPTIONS)
    words = await told(house, await house.noam.click(reply, label="Details"))
    for part in ("model:amigo", "negative_prompt:text", "steps:8", "cfg_scale:6.5", "width:640", "spoiler:True"):
        assert part in words


@pytest.mark.parametrize("who", ["owner", "moderator"])
async def test_delete_removes_the_message_and_forgets_the_order(house: House, moderator: Person, who: str) -> None:
    reply = await draw(house)
    copy = Message(**{name: getattr(reply, name) for name in Message.__slots__ if name != "edits"})
    assert "Only the person who ordered" in await told(house, await house.noam.click(reply, label="Delete"))
    await (house.dana if who == "owner" else moderator).click(reply, label="Delete")
    await house.discord.wait_until(lambda: reply.deleted)
    pressed = await house.dana.click(copy, label="Again", tampered=True)
    assert "I no longer know this order" in await told(house, pressed)
    assert (await charged(house)).user_nano == PICTURE_NANO


async def test_delete_while_it_is_drawn_cancels_it(house: House) -> None:
    reply = await under_way(house)
    button = reply.buttons()[0]
    button["custom_id"] = button["custom_id"].replace("cancel", "delete")
    await house.dana.click(reply, custom_id=button["custom_id"])
    await house.discord.wait_until(lambda: reply.deleted)
    house.api.release_pictures()
    await books_are_right(house)
    assert all(entry.user_nano == 0 for entry in (await entries(house)).values())


async def test_a_button_of_another_channels_order_is_made_up(house: House) -> None:
    reply = await draw(house)
    other = house.guild.add_text_channel("other")
    theirs = await draw(house, at=other)
    for action in ("again", "edit", "shape", "details", "delete", "cancel"):
        button = theirs.buttons()[0]
        button["custom_id"] = f"picture:{action}:{reply.interaction.id if reply.interaction else 0}"
        pressed = await house.dana.click(theirs, custom_id=button["custom_id"])
        assert "I no longer know this order" in await told(house, pressed)
    assert not reply.deleted


async def test_every_button_works_after_a_restart(empty_house: House) -> None:
    house = empty_house
    async with house.running():
        reply = await draw(house, "A cat", steps=6)
        asked = await house.dana.click(reply, label="Shape")
        await told(house, asked)
    async with house.running():
        await pictured(house, await house.noam.click(reply, label="Again"))
        assert drawn(house, "prompt", "steps") == ["A cat", 6]
        assert asked.original is not None
        await pictured(house, await house.dana.select(asked.original, ["portrait"]))
        assert drawn(house, "width", "height") == [832, 1_216]
        form = await opened(house, await house.dana.click(reply, label="Edit"))
        await pictured(house, await house.dana.submit_modal(form, {"prompt": "A dog"}))
        assert drawn(house, "prompt", "steps") == ["A dog", 6]
        assert "prompt:A cat" in await told(house, await house.dana.click(reply, label="Details"))
        await house.dana.click(reply, label="Delete")
        await house.discord.wait_until(lambda: reply.deleted)


async def test_cancel_works_after_a_restart(empty_house: House) -> None:
    house = empty_house
    async with house.running():
        reply = await under_way(house)
        await until(partial(is_submitted, house, 1))
    async with house.running():
        await house.dana.click(reply, label="Cancel")
        await house.discord.wait_until(lambda: "⏹️ Cancelled. Nothing was charged." in reply.content)
        assert labels(reply) == ["Again", "Edit", "Delete"]
        await books_are_right(house)


async def test_the_copy_that_comes_by_direct_message_has_buttons_that_work(house: House) -> None:
    reply = await under_way(house, "A cat", count=2)
    await house.admin.delete(reply)
    house.api.release_pictures()
    dm = house.discord.world.dm(house.dana.user)
    copy = await house.discord.wait_until(
        lambda: next((message for message in dm.messages.values() if len(message.attachments) == 2), None)
    )
    assert copy is not None
    await house.discord.wait_until(lambda: labels(copy) == ENDED)
    again = await pictured(house, await house.dana.click(copy, label="Again"))
    assert again.channel is dm
    assert len(again.attachments) == 2
    form = await opened(house, await house.dana.click(copy, label="Edit"))
    await pictured(house, await house.dana.submit_modal(form, {"prompt": "A dog"}))
    assert "prompt:A cat" in await told(house, await house.dana.click(copy, label="Details"))
    await house.dana.click(copy, label="Delete")
    await house.discord.wait_until(lambda: copy.deleted)


# The forms


async def opened(house: House, interaction: Interaction) -> Interaction:
    """The interaction once a form is open."""
    await house.discord.wait_until(lambda: interaction.modal, what="a form")
    return interaction


def fields(form: Interaction) -> dict[str, Any]:
    """What stands in a form's text fields."""
    assert form.modal is not None
    inner = [each["component"] for each in form.modal["components"]]
    return {each["custom_id"]: each.get("value", "") for each in inner if each["type"] == 4}


def models_in(form: Interaction) -> list[str]:
    assert form.modal is not None
    return [option["value"] for option in form.modal["components"][2]["component"]["options"]]


async def test_edit_shows_what_was_asked_and_draws_what_was_changed(house: House) -> None:
    reply = await draw(house, "A cat", count=2, spoiler=True, **OPTIONS)
    form = await opened(house, await house.noam.click(reply, label="Edit"))
    assert fields(form) == {
        "prompt": "A cat",
        "negative_prompt": "text",
        "size": "640 × 1344",
        "rest": "steps: 8\ncfg_scale: 6.5\nscheduler: DPM++ 2M SDE Karras\ncount: 2\nspoiler: yes\nprivate: no",
    }
    assert form.modal is not None
    price = [option["description"] for option in form.modal["components"][2]["component"]["options"]]
    assert set(price) == {"1.5 credits each"}
    await pictured(house, await house.noam.submit_modal(form, {}))
    assert drawn(house, "prompt", *SENT) == ["A cat", *OPTIONS.values()]
    form = await opened(house, await house.noam.click(reply, label="Edit"))
    changed = {
        "prompt": "A dog",
        "negative_prompt": "",
        "model": "realism",
        "size": "Landscape",
        "rest": "Scheduler: euler A\n\nCFG scale = 2,5\nprivate: Yes",
    }
    edited = await pictured(house, await house.noam.submit_modal(form, changed))
    assert drawn(house, "prompt", *SENT) == ["A dog", "realism", None, "Euler a", 4, 2.5, 1_216, 832]
    assert len(edited.attachments) == 1
    assert edited.visible_to is house.noam.user


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("prompt", " \u200b ", "There is nothing to draw"),
        ("size", "round", "`size` cannot be `round`. Please choose one of `square`"),
        ("rest", "steps: nine", "`steps` must lie between 1 and 8"),
    ],
)
async def test_what_a_form_cannot_mean_is_said_and_given_back_as_it_was_typed(
    house: House, field: str, value: str, words: str
) -> None:
    reply = await draw(house)
    form = await opened(house, await house.dana.click(reply, label="Edit"))
    sent = await house.dana.submit_modal(form, {"prompt": "A dog"} | {field: value})
    said = await told(house, sent)
    assert words in said
    assert "What you typed is kept" in said
    assert len(house.api.pictures) == 1
    assert sent.original is not None
    back = await opened(house, await house.dana.click(sent.original, label="Back to the form"))
    assert fields(back) | {field: value} == fields(form) | {"prompt": "A dog"} | {field: value}
    assert fields(back)[field] == value
    await pictured(house, await house.dana.submit_modal(back, {field: fields(form)[field]}))
    assert drawn(house, "prompt") == [fields(form)["prompt"] if field == "prompt" else "A dog"]


async def test_what_was_typed_is_given_back_when_it_cannot_be_paid(house: House) -> None:
    reply = await draw(house)
    form = await opened(house, await house.dana.click(reply, label="Edit"))
    await allow(house, Target.member(house.dana.user.id), Allowance(kind="none"))
    sent = await house.dana.submit_modal(form, {"prompt": "A long story of a dog"})
    await house.discord.wait_until(lambda: sent.followups)
    assert sent.original is not None
    assert "blocked you" in sent.original.content
    (kept,) = sent.followups
    assert kept.visible_to is house.dana.user
    back = await opened(house, await house.dana.click(kept, label="Back to the form"))
    assert fields(back)["prompt"] == "A long story of a dog"


async def test_an_altered_client_chooses_no_model_in_a_form_that_is_not_allowed(house: House) -> None:
    await decide(house, picture_models=("amigo",))
    reply = await draw(house)
    for model, words in (("realism", "is not among the models"), ("gpt-4o", "There is no model `gpt-4o`")):
        form = await opened(house, await house.dana.click(reply, label="Edit"))
        sent = await house.dana.submit_modal(form, {"model": [model]}, tampered=True)
        assert words in await told(house, sent)
    assert len(house.api.pictures) == 1


async def test_a_message_becomes_a_picture_by_its_menu(house: House) -> None:
    await decide(house, picture_defaults=PictureDefaults(model="amigo", steps=6))
    message = await house.noam.say(house.channel, "A cat in a hat")
    form = await opened(house, await house.dana.message_menu(house.channel, "Picture this", message))
    assert form.modal is not None
    assert form.modal["title"] == "Picture this"
    assert fields(form)["prompt"] == "A cat in a hat"
    reply = await pictured(house, await house.dana.submit_modal(form, {}))
    assert drawn(house, "prompt", "model", "steps") == ["A cat in a hat", "amigo", 6]
    assert reply.content.startswith("> A cat in a hat\n")


async def test_a_long_message_fills_the_form_as_far_as_it_takes(house: House) -> None:
    message = await house.noam.say(house.channel, "🐈" * 1_000)
    form = await opened(house, await house.dana.message_menu(house.channel, "Picture this", message))
    assert fields(form)["prompt"] == "🐈" * 1_000


async def test_a_message_without_words_is_no_prompt(house: House) -> None:
    message = await house.noam.say(house.channel, "", files=[picture()])
    words = await told(house, await house.dana.message_menu(house.channel, "Picture this", message))
    assert words == "⚠️ There is nothing to draw: I draw from words alone. Please describe the picture."


async def test_the_menu_works_where_the_bot_is_no_member(house: House, traveller: Person) -> None:
    channel = elsewhere(house, traveller)
    message = await traveller.say(channel, "A cat in a hat")
    form = await opened(house, await traveller.message_menu(channel, "Picture this", message))
    reply = await pictured(house, await traveller.submit_modal(form, {}))
    assert len(reply.attachments) == 1


async def test_what_only_the_asker_saw_is_pictured_for_them_alone(house: House) -> None:
    reply = await draw(house, "A secret", private=True)
    form = await opened(house, await house.dana.message_menu(house.channel, "Picture this", reply))
    assert fields(form)["rest"].endswith("private: yes")
    assert (await pictured(house, await house.dana.submit_modal(form, {}))).visible_to is house.dana.user


async def test_help_says_how_to_draw_and_what_it_costs(house: House) -> None:
    words = await told(house, await house.dana.slash(house.channel, "help"))
    assert "`/imagine` draws one to four pictures of what you describe, for 1.5 credits each" in words
