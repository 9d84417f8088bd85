"""`/settings`: what each command stores, what each refusal says, and who hears of it."""

from zoneinfo import ZoneInfo

import pytest

from bot.guilds import DEFAULTS, GuildSettings
from bot.pictures.defaults import PictureDefaults
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
    "settings picture-defaults": {"steps": 8},
    "settings picture-models": {},
    "settings age-restricted-models": {},
    "settings memory": {"mode": "off"},
    "settings blocked-words": {},
}


async def stored(house: House) -> GuildSettings:
    return await services(house).guilds.settings(house.guild.id)


async def choose(house: House, *models: str, tampered: bool = False, menu_of: str = "allowed-models") -> str:
    """What the admin reads after choosing those models in the menu of `/settings allowed-models`, or another one."""
    menu: Message = await ended(house, await house.admin.slash(house.channel, f"settings {menu_of}"))
    return (await ended(house, await house.admin.select(menu, models, tampered=tampered))).content


async def test_show_names_every_setting_and_whose_choice_it_is(house: House) -> None:
    text = await told(house, "settings show")
    assert "Default model: **the operator's** (`gpt-4o-mini`)" in text
    assert "Allowed models: **all that the operator offers**" in text
    for words in (
        "Time zone: **`UTC`**",
        "Log channel: **none**",
        "Pictures: **on**",
        "Memory: **shared",
        "Persona: **the",
    ):
        assert words in text


async def test_what_is_stored_is_shown_after_a_restart(empty_house: House) -> None:
    house = empty_house
    async with house.running():
        assert "Pictures: on → **off**" in await told(house, "settings images", allowed="off")
        assert "→ **`personal`**" in await told(house, "settings memory", mode="personal")
        assert "→ **`gpt-4o`**" in await told(house, "settings default-model", model="gpt-4o")
    async with house.running():
        text = await told(house, "settings show")
        assert "Pictures: **off**" in text
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


# Pictures


async def test_switching_pictures_says_what_holds_for_them_and_what_they_cost(house: House) -> None:
    assert "still delivered" in await told(house, "settings images", allowed="off")
    await told(house, "settings picture-defaults", steps=6)
    text = await told(house, "settings images", allowed="on")
    for words in (
        "Pictures: off → **on**",
        "Picture models: all that the operator offers",
        "Picture defaults: steps `6`",
        "Models for age-restricted channels only: none but the operator's",
        "1.5 credits a picture",
    ):
        assert words in text


async def test_picture_defaults_are_decided_one_by_one_and_forgotten_together(house: House) -> None:
    text = await told(
        house, "settings picture-defaults", model="amigo", shape="portrait", negative_prompt="text, _ads_"
    )
    assert "Picture defaults: the API's own → **model `amigo`, negative_prompt of 11 characters, " in text
    assert "width `832`, height `1216`**" in text
    await told(house, "settings picture-defaults", cfg_scale=2.5, height=300, scheduler="Euler a")
    assert (await stored(house)).picture_defaults == PictureDefaults(
        model="amigo", negative_prompt="text, _ads_", width=832, height=300, cfg_scale=2.5, scheduler="Euler a"
    )
    shown = await told(house, "settings picture-defaults")
    assert "cfg_scale `2.5`" in shown
    assert "Left out of them: text, \\_ads\\_" in shown
    assert "Picture defaults: **model `amigo`" in await told(house, "settings show")
    assert "→ **steps `8`**" in await told(house, "settings picture-defaults", clear=True, steps=8)
    assert "→ **the API's own**" in await told(house, "settings picture-defaults", clear=True)
    assert await stored(house) == DEFAULTS


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "gpt-4o"}, "There is no model `gpt-4o`"),
        ({"model": 5}, "`model` cannot be `5`"),
        ({"steps": 9}, "`steps` must lie between 1 and 8"),
        ({"steps": "4"}, "`steps` must lie between 1 and 8"),
        ({"cfg_scale": 0.5}, "`cfg_scale` must lie between 1 and 7"),
        ({"width": 10**15}, "`width` must lie between 256 and 1,344"),
        ({"height": True}, "`height` must lie between 256 and 1,344"),
        ({"shape": "round"}, "`shape` cannot be `round`. Please choose one of `square`"),
        ({"scheduler": "@everyone"}, "`scheduler` cannot be `@everyone`"),
        ({"negative_prompt": "x" * 2_001}, "at most 2,000 fit. Please shorten it."),
    ],
)
async def test_an_altered_client_decides_no_default_that_the_api_would_not_take(
    house: House, options: dict[str, object], words: str
) -> None:
    assert words in await told_despite(house, "settings picture-defaults", house.admin, **options)
    assert await stored(house) == DEFAULTS


async def test_picture_models_are_chosen_in_a_menu_and_the_servers_default_is_among_them(house: House) -> None:
    text = await choose(house, "realism", "amigo", menu_of="picture-models")
    assert "Picture models: all that the operator offers → **`realism`, `amigo`**" in text
    menu = await ended(house, await house.admin.slash(house.channel, "settings picture-models"))
    options = menu.component("settings:picture-models")["options"]
    assert [option["value"] for option in options if option["default"]] == ["realism", "amigo"]
    assert {option["description"] for option in options} == {"1.5 credits each"}
    refused = await told(house, "settings picture-defaults", model="dreamshaper")
    assert "`dreamshaper` is not among the models that this server's admins allow: `realism`, `amigo`." in refused
    await told(house, "settings picture-defaults", model="amigo")
    refused = await choose(house, "realism", menu_of="picture-models")
    assert "choose another default with `/settings picture-defaults` first" in refused
    every = [model.id for model in services(house).catalog.image_models]
    assert "→ **all that the operator offers**" in await choose(house, *every, menu_of="picture-models")


async def test_models_are_kept_to_age_restricted_channels_beside_the_operators(empty_house: House) -> None:
    house = empty_house
    catalog = house.folder / "mine.toml"
    catalog.write_text("[image.realgirls]\nage_restricted = true")
    async with house.running(CATALOG_FILE=str(catalog)):
        text = await choose(house, "realgirls", "amigo", menu_of="age-restricted-models")
        assert "Models for age-restricted channels only: none but the operator's → **`amigo`**" in text
        shown = await told(house, "settings show")
        assert "channels only: **`amigo`**\n-# By the bot's operator, too: `realgirls`" in shown
        menu = await ended(house, await house.admin.slash(house.channel, "settings age-restricted-models"))
        options = menu.component("settings:age-restricted-models")["options"]
        assert [option["value"] for option in options if option["default"]] == ["realgirls", "amigo"]
        assert "→ **none but the operator's**" in await choose(house, menu_of="age-restricted-models")
        assert await stored(house) == DEFAULTS


async def test_an_altered_client_chooses_no_picture_model_that_does_not_exist(house: House) -> None:
    for menu in ("picture-models", "age-restricted-models"):
        assert "There is no model `gpt-4o`" in await choose(house, "gpt-4o", tampered=True, menu_of=menu)
    assert await choose(house, tampered=True, menu_of="picture-models") == "⚠️ Please choose at least one."
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


async def test_picture_defaults_of_nobodys_choice_are_the_apis_own(house: House) -> None:
    text = await told(house, "settings picture-defaults")
    assert text.splitlines() == [
        "Pictures are drawn with **the API's own** where nobody says how.",
        "-# Give an option to decide it; `clear` goes back to the API's own.",
    ]
