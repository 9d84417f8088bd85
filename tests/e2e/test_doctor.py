"""`/doctor`: what an admin reads about this channel and server, and that it is theirs alone."""

import math
from datetime import UTC, datetime

import pytest

from bot.credits.policy import BLOCKED
from bot.delivery.limits import CREATE, Route
from bot.delivery.messages import Urgency
from bot.guilds import SERVER_DEFAULT, Decision
from cogs.doctor import LATENCY_GOOD_S, latency_finding
from sandbox.discord.people import ClientRefused
from sandbox.discord.permissions import Permission
from sandbox.discord.places import Channel
from tests.e2e.deciding import ended, services, spend, told, told_despite
from tests.e2e.house import API_KEY, House

HOST_DETAILS = ("127.0.0.1", "bot.db", "/tmp", "http", API_KEY)


async def doctor(house: House, channel: Channel | None = None) -> str:
    """What the admin reads."""
    return (await ended(house, await house.admin.slash(channel or house.channel, "doctor"))).content


def deny(house: House, channel: Channel, permission: Permission) -> None:
    channel.set_overwrite(house.guild.roles[house.guild.id], deny=permission)


async def test_where_all_is_well_nothing_is_in_the_way(house: House) -> None:
    text = await doctor(house)
    assert "✅ I have every permission that I use here." in text
    assert "✅ The AI service answers and has nothing against my key." in text
    assert "✅ My memory works and has room." in text
    assert "✅ My parts fit together." in text
    assert "commands." in text
    assert "-# Nothing is in the way." in text
    assert "⚠️" not in text
    assert "❌" not in text


async def test_it_costs_nothing(house: House) -> None:
    await doctor(house)
    assert [received.body for received in house.api.requests] == [{}]
    assert house.api.requests[0].billed is None


async def test_no_server_is_told_of_the_host(house: House) -> None:
    text = await doctor(house)
    assert [detail for detail in HOST_DETAILS if detail in text] == []


@pytest.mark.parametrize(
    ("permission", "name"),
    [
        (Permission.SEND_MESSAGES, "Send Messages"),
        (Permission.ATTACH_FILES, "Attach Files"),
        (Permission.EMBED_LINKS, "Embed Links"),
        (Permission.READ_MESSAGE_HISTORY, "Read Message History"),
    ],
)
async def test_a_missing_permission_is_named_as_discords_client_does(
    house: House, permission: Permission, name: str
) -> None:
    closed = house.guild.add_text_channel("closed")
    deny(house, closed, permission)
    text = await doctor(house, closed)
    assert text.count("Without **") == 1
    assert f"Without **{name}** " in text
    assert f"→ Allow me {name}: " in text
    assert "every permission" not in text


async def test_of_a_channel_that_it_does_not_see_it_says_only_that(empty_house: House) -> None:
    hidden = empty_house.guild.add_text_channel("hidden")
    deny(empty_house, hidden, Permission.VIEW_CHANNEL)
    async with empty_house.running():
        text = await doctor(empty_house, hidden)
    assert text.count("Without **") == 1
    assert "⚠️ Without **View Channel** I do not see mentions here" in text


async def test_a_thread_needs_the_permission_of_threads(house: House) -> None:
    deny(house, house.channel, Permission.SEND_MESSAGES_IN_THREADS)
    thread = house.channel.add_thread("talk", creator=house.admin.user)
    assert "Without **Send Messages in Threads** " in await doctor(house, thread)
    assert "Send Messages in Threads" not in await doctor(house)


async def test_members_who_cannot_use_commands_here_are_told_of(house: House) -> None:
    deny(house, house.channel, Permission.USE_APPLICATION_COMMANDS)
    assert "@everyone has no Use Application Commands" in await doctor(house)


async def test_a_log_channel_that_was_closed_since_is_found(house: House) -> None:
    log = house.guild.add_text_channel("log")
    await told(house, "settings log-channel", channel=log)
    assert f"✅ Changes are posted in {log.mention}." in await doctor(house)
    deny(house, log, Permission.SEND_MESSAGES)
    text = await doctor(house)
    assert f"⚠️ Changes of credits and settings cannot be posted in {log.mention}." in text
    assert "Allow me Send Messages there" in text


async def test_a_server_whose_default_is_none_is_a_problem(house: House) -> None:
    assert "✅ Everyone may spend **100 credits a day**" in await doctor(house)
    decision = Decision(key=10**17, by=house.admin.user.id, at=datetime.now(UTC))
    await services(house).allowances.set(house.guild.id, SERVER_DEFAULT, BLOCKED, decision)
    text = await doctor(house)
    assert "❌ Nobody without an allowance of their own can ask me anything" in text
    assert text.index("❌") < text.index("✅"), "what is wrong comes first"


async def test_an_operators_default_of_none_is_told_as_theirs(empty_house: House) -> None:
    async with empty_house.running(DEFAULT_ALLOWANCE="none"):
        assert "(the default of the bot's operator is none)" in await doctor(empty_house)


@pytest.mark.parametrize(
    ("variable", "whose"), [("SERVER_MONTHLY_CEILING_USD", "This server has"), ("BOT_MONTHLY_CEILING_USD", "I have")]
)
async def test_a_month_that_is_used_up_is_a_problem(empty_house: House, variable: str, whose: str) -> None:
    async with empty_house.running(**{variable: "0.01"}):
        await spend(empty_house, empty_house.dana, 9)
        assert "used up" not in await doctor(empty_house)
        await spend(empty_house, empty_house.dana, 1)
        assert f"❌ {whose} used up what the bot's operator pays for" in await doctor(empty_house)


async def test_an_api_that_is_not_there_is_found(empty_house: House) -> None:
    async with empty_house.running(MINITOOLAI_API_URL="http://127.0.0.1:9/api"):
        text = await doctor(empty_house)
    assert "❌ The AI service does not serve me just now." in text
    assert "127.0.0.1" not in text


async def test_pictures_switched_off_an_upload_limit_and_an_age_restriction_are_told(house: House) -> None:
    assert "Pictures are on; files of up to 10 MiB fit here, and this channel is not age-restricted." in await doctor(
        house
    )
    await told(house, "settings images", allowed="off")
    adults = house.guild.add_text_channel("adults", nsfw=True)
    text = await doctor(house, adults)
    assert "ℹ️ Pictures are off for this server" in text
    assert "this channel is age-restricted" in text


async def test_a_key_that_the_api_refuses_is_the_operators_matter(empty_house: House) -> None:
    async with empty_house.running(MINITOOLAI_API_KEY="another"):
        text = await doctor(empty_house)
    assert "❌ The AI service does not serve me just now.\n-# → Please tell the bot's operator" in text
    assert "another" not in text


async def test_the_api_is_asked_once_a_minute_however_many_ask(house: House) -> None:
    for _ in range(3):
        await doctor(house)
    assert len(house.api.requests) == 1


async def test_a_clock_that_is_behind_discords_is_found(house: House) -> None:
    assert "My clock" not in await doctor(house)
    house.discord.clock.advance(60)
    text = await doctor(house)
    assert "⚠️ My clock disagrees with Discord's" in text


async def test_messages_that_discord_held_up_here_are_counted(house: House) -> None:
    limiter = services(house).rest._limiter
    route = Route(name="POST message", family=CREATE, major=str(house.channel.id), bot=True)
    permit = await limiter.acquire(route, Urgency.FINAL)
    permit.refused({}, retry_after_s=0.01, everywhere=False)
    assert "⚠️ In the last hour Discord held my messages here up 1 time." in await doctor(house)
    assert "✅ No message limit was hit here" in await doctor(house, house.guild.add_text_channel("calm"))


async def test_a_command_that_discord_does_not_know_is_named(house: House) -> None:
    await house.bot.tree.fetch_commands()  # type: ignore[union-attr]  # the bot runs
    known = house.discord.world.commands
    ask = known.find("ask", 1, None)  # type: ignore[arg-type]  # an IntEnum
    known.delete(None, int(ask["id"]))
    text = await doctor(house)
    assert "⚠️ Discord does not know `ask` yet." in text


async def test_only_those_who_manage_the_server_may(house: House) -> None:
    with pytest.raises(ClientRefused):
        await house.dana.slash(house.channel, "doctor")
    said = await told_despite(house, "doctor", house.dana)
    assert said == "⚠️ Only members who can manage this server may do that."


async def test_where_it_was_only_brought_along_it_says_so(house: House) -> None:
    traveller = house.discord.person(house.discord.world.add_user("Mira", has_installed_app=True))
    guild = house.discord.world.add_guild("Elsewhere", bot_present=False, owner=traveller.user)
    text = (await ended(house, await traveller.slash(guild.add_text_channel("talk"), "doctor"))).content
    assert "ℹ️ I am not a member of this server: you brought me along." in text
    assert "✅ The AI service answers" in text
    assert "every permission" not in text


async def test_who_brought_it_along_where_files_are_not_allowed_is_told(house: House) -> None:
    traveller = house.discord.person(house.discord.world.add_user("Mira", has_installed_app=True))
    guild = house.discord.world.add_guild("Elsewhere", bot_present=False, owner=house.admin.user)
    guild.join(traveller.user)
    talk = guild.add_text_channel("talk")
    assert "attach files" not in (await ended(house, await traveller.slash(talk, "doctor", tampered=True))).content
    talk.set_overwrite(guild.roles[guild.id], deny=Permission.ATTACH_FILES)
    text = (await ended(house, await traveller.slash(talk, "doctor", tampered=True))).content
    assert "⚠️ I may not attach files here, so long answers cannot come as a file." in text


async def test_it_works_in_servers_only(house: House) -> None:
    dm = house.discord.world.dm(house.admin.user)
    assert not house.admin.offers(dm, "doctor")
    assert await told_despite(house, "doctor", house.admin, dm) == "⚠️ That works in servers only."


@pytest.mark.parametrize(
    ("latency_s", "level", "words"),
    [
        (math.inf, "note", "I have been connected to Discord for some seconds only."),
        (math.nan, "note", "I have been connected to Discord for some seconds only."),
        (0.04, "ok", "Discord and I reach each other in 40 ms."),
        (LATENCY_GOOD_S, "ok", f"Discord and I reach each other in {LATENCY_GOOD_S * 1_000:,.0f} ms."),
        (2.5, "warning", "Discord and I reach each other in 2,500 ms."),
    ],
)
def test_a_slow_way_to_discord_is_a_warning_and_an_unknown_one_is_none(
    latency_s: float, level: str, words: str
) -> None:
    finding = latency_finding(latency_s)
    assert (finding.level, finding.what) == (level, words)
    assert ("My answers may come late" in (finding.cure or "")) == (level == "warning")
