"""`/settings`: what each command stores, what each refusal says, and who hears of it."""

from zoneinfo import ZoneInfo

import pytest

from bot.guilds import DEFAULTS, GuildSettings
from cogs.settings import matching_zones
from sandbox.discord.messages import Message
from sandbox.discord.people import ClientRefused
from sandbox.discord.permissions import Permission
from tests.e2e.deciding import ended, is_posted, services, told, told_despite
from tests.e2e.house import House

COMMANDS: dict[str, dict[str, object]] = {
    "settings show": {},
    "settings log-channel": {},
    "settings time-zone": {"zone": "UTC"},
    "settings default-model": {},
    "settings allowed-models": {},
    "settings persona": {},
    "settings images": {"allowed": "off"},
    "settings memory": {"mode": "off"},
}


async def stored(house: House) -> GuildSettings:
    return await services(house).guilds.settings(house.guild.id)


async def choose(house: House, *models: str, tampered: bool = False) -> str:
    """What the admin reads after choosing those models in the menu of `/settings allowed-models`."""
    menu: Message = await ended(house, await house.admin.slash(house.channel, "settings allowed-models"))
    return (await ended(house, await house.admin.select(menu, models, tampered=tampered))).content


async def test_show_names_every_setting_and_whose_choice_it_is(house: House) -> None:
    text = await told(house, "settings show")
    assert "Default model: **the operator's** (`gpt-4o-mini`)" in text
    assert "Allowed models: **all that the operator offers**" in text
    for words in (
        "Time zone: **`UTC`**",
        "Log channel: **none**",
        "Images: **on**",
        "Memory: **shared",
        "Persona: **the",
    ):
        assert words in text


async def test_what_is_stored_is_shown_after_a_restart(empty_house: House) -> None:
    house = empty_house
    async with house.running():
        assert "Images: on → **off**" in await told(house, "settings images", allowed="off")
        assert "→ **`personal`**" in await told(house, "settings memory", mode="personal")
        assert "→ **`gpt-4o`**" in await told(house, "settings default-model", model="gpt-4o")
    async with house.running():
        text = await told(house, "settings show")
        assert "Images: **off**" in text
        assert "Memory: **`personal`**" in text
        assert "Default model: **`gpt-4o`**" in text
        await told(house, "settings images", allowed="on")
        await told(house, "settings memory")
        await told(house, "settings default-model")
        assert await stored(house) == DEFAULTS


async def test_a_setting_that_is_so_already_is_no_change(house: House) -> None:
    assert "it was so before" in await told(house, "settings images", allowed="on")
    assert await services(house).guilds.log(house.guild.id) == ()


# The log channel


async def test_a_move_of_the_log_is_posted_in_both_channels(house: House) -> None:
    old, new = house.guild.add_text_channel("old"), house.guild.add_text_channel("new")
    text = await told(house, "settings log-channel", channel=old)
    assert f"Log channel: none → **{old.mention}**" in text
    await told(house, "settings log-channel", channel=new)
    moved = f"log channel: {old.mention} → **{new.mention}**"
    await is_posted(house, old, moved)
    await is_posted(house, new, moved)
    await told(house, "settings log-channel")
    await is_posted(house, new, "→ **none**")
    assert (await stored(house)).log_channel_id is None


async def test_a_channel_in_which_the_bot_cannot_write_is_refused(house: House) -> None:
    silent, everyone = house.guild.add_text_channel("silent"), house.guild.roles[house.guild.id]
    silent.set_overwrite(everyone, deny=Permission.SEND_MESSAGES)
    text = await told(house, "settings log-channel", channel=silent)
    assert text == f"⚠️ I may not write in {silent.mention}. There I need: Send Messages."
    thread = house.channel.add_thread("hidden", creator=house.admin.user, private=True)
    text = await told(house, "settings log-channel", channel=thread)
    assert text.startswith(f"⚠️ I do not see {thread.mention}")
    voice = house.guild.add_category("Rooms")
    text = await told_despite(house, "settings log-channel", house.admin, channel=voice)
    assert text.startswith(f"⚠️ I do not see {voice.mention}")
    assert await stored(house) == DEFAULTS


async def test_a_thread_can_be_the_log(house: House) -> None:
    thread = house.channel.add_thread("log", creator=house.admin.user)
    await told(house, "settings log-channel", channel=thread)
    assert (await is_posted(house, thread, "log channel")).channel is thread


# The time zone


async def test_the_time_zone_says_when_periods_now_end(house: House) -> None:
    text = await told(house, "settings time-zone", zone="asia/jerusalem")
    assert "Time zone: `UTC` → **`Asia/Jerusalem`**" in text
    assert [f"this {period}: <t:" in text for period in ("day", "week", "month")] == [True] * 3
    assert (await stored(house)).zone == ZoneInfo("Asia/Jerusalem")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("Jerusalm", "`Jerusalm`. Did you mean `Asia/Jerusalem`?"),
        ("../../etc `x`", "`../../etc x`. They are named like"),
    ],
)
async def test_an_unknown_time_zone_is_refused_with_names_that_look_like_it(
    house: House, typed: str, words: str
) -> None:
    text = await told(house, "settings time-zone", zone=typed)
    assert f"⚠️ I know no time zone {words}" in text
    assert await stored(house) == DEFAULTS


async def test_zones_are_suggested_while_typing(house: House) -> None:
    choices = await house.admin.autocomplete(house.channel, "settings time-zone", option="zone", value="new y")
    assert choices[0]["value"] == "America/New_York"
    assert "there now" in choices[0]["name"]
    everything = await house.admin.autocomplete(house.channel, "settings time-zone", option="zone", value="")
    assert len(everything) == 25
    assert await house.admin.autocomplete(house.channel, "settings time-zone", option="zone", value="zzz") == []


def test_cities_that_begin_with_what_was_typed_come_first() -> None:
    assert matching_zones("par")[:2] == ["America/Paramaribo", "Europe/Paris"]


# The models


async def test_allowed_models_are_chosen_in_a_menu_and_all_of_them_means_no_limit(house: House) -> None:
    text = await choose(house, "gpt-4o", "gpt-4o-mini")
    assert "Allowed models: all that the operator offers → **`gpt-4o-mini`, `gpt-4o`**" in text
    assert (await stored(house)).allowed_models == ("gpt-4o-mini", "gpt-4o")
    every = [model.id for model in services(house).catalog.chat_models]
    assert "→ **all that the operator offers**" in await choose(house, *every)
    assert (await stored(house)).allowed_models == ()


async def test_the_menu_has_the_allowed_models_chosen(house: House) -> None:
    await choose(house, "gpt-4o-mini")
    menu = await ended(house, await house.admin.slash(house.channel, "settings allowed-models"))
    options = menu.component("settings:models")["options"]
    assert [option["value"] for option in options if option["default"]] == ["gpt-4o-mini"]


async def test_the_default_model_has_to_be_among_the_allowed_ones(house: House) -> None:
    assert "`gpt-4o-mini` is this server's default model" in await choose(house, "gpt-4o")
    assert await stored(house) == DEFAULTS
    await told(house, "settings default-model", model="gpt-4o")
    assert "→ **`gpt-4o`**" in await choose(house, "gpt-4o")
    refused = "is not among the models that this server's admins allow: `gpt-4o`."
    assert f"`gpt-4.1` {refused}" in await told(house, "settings default-model", model="gpt-4.1")
    assert f"`gpt-4o-mini` {refused}" in await told(house, "settings default-model"), "the operator's is left out"
    assert (await stored(house)).default_model == "gpt-4o"


async def test_an_altered_client_chooses_no_model_that_does_not_exist(house: House) -> None:
    assert "There is no model `gpt-9`" in await choose(house, "gpt-9", tampered=True)
    assert await choose(house, tampered=True) == "⚠️ Please choose at least one."
    text = await told_despite(house, "settings default-model", house.admin, model="gpt-9")
    assert "There is no model `gpt-9`" in text
    assert await stored(house) == DEFAULTS


async def test_a_menu_answers_nobody_who_may_no_longer_decide(house: House) -> None:
    admins = house.guild.add_role("Admins", permissions=Permission.MANAGE_GUILD)
    house.guild.set_roles(house.dana.user, [admins])
    menu = await ended(house, await house.dana.slash(house.channel, "settings allowed-models"))
    house.guild.set_roles(house.dana.user, [])
    refused = await ended(house, await house.dana.select(menu, ["gpt-4o-mini"]))
    assert refused.content == "⚠️ Only members who can manage this server may do that."
    assert await stored(house) == DEFAULTS


# The persona


async def persona(house: House, text: str | None, *, tampered: bool = False) -> str:
    """What the admin reads after sending the form; None sends it as it was shown."""
    opened = await house.admin.slash(house.channel, "settings persona")
    await opened.wait_for(lambda interaction: interaction.modal)
    values = {} if text is None else {"persona": text}
    return (await ended(house, await house.admin.submit_modal(opened, values, tampered=tampered))).content


async def test_the_persona_is_written_in_a_form_that_shows_the_present_one(house: House) -> None:
    text = await persona(house, "You are *Bob*.\nBe brief.")
    assert "Persona: the operator's → **24 characters of the server's own**" in text
    assert "sent, and paid for, with every question" in text
    assert (await stored(house)).persona == "You are *Bob*.\nBe brief."
    assert "> You are \\*Bob\\*.\n> Be brief." in await told(house, "settings show")
    assert "it was so before" in await persona(house, None)


async def test_an_empty_persona_is_the_operators(house: House) -> None:
    await persona(house, "You are Bob.")
    assert "→ **the operator's**" in await persona(house, "  ")
    assert await stored(house) == DEFAULTS


async def test_a_persona_is_bounded_and_its_words_are_not_logged_in_public(house: House) -> None:
    with pytest.raises(ClientRefused):
        await persona(house, "x" * 4_001)
    assert "at most 4,000 fit" in await persona(house, "x" * 4_001, tampered=True)
    assert await stored(house) == DEFAULTS
    log = house.guild.add_text_channel("log")
    await told(house, "settings log-channel", channel=log)
    await persona(house, "You are a secret.")
    posted = await is_posted(house, log, "persona")
    assert "secret" not in posted.content


# Who may


@pytest.mark.parametrize("command", COMMANDS)
async def test_without_manage_server_nothing_happens_whatever_the_client_says(house: House, command: str) -> None:
    with pytest.raises(ClientRefused):
        await house.dana.slash(house.channel, command, **COMMANDS[command])
    text = await told_despite(house, command, house.dana, **COMMANDS[command])
    assert text == "⚠️ Only members who can manage this server may do that."
    assert await stored(house) == DEFAULTS


async def test_it_works_in_servers_only(house: House) -> None:
    dm = house.discord.world.dm(house.admin.user)
    assert not house.admin.offers(dm, "settings")
    text = await told_despite(house, "settings images", house.admin, dm, allowed="off")
    assert text == "⚠️ That works in servers only."
