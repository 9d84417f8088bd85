"""The operator's monthly ceilings: what members read when one is reached, and what the operator hears, once."""

import asyncio
import contextlib
from datetime import UTC, datetime

import pytest

from bot.app import open_bot
from bot.credits.values import HoldRequest
from bot.money import NanoDollars
from bot.settings import Settings
from sandbox.discord.faults import Fault
from sandbox.discord.people import Person
from sandbox.discord.places import Channel
from sandbox.minitoolai.script import Script, Tokens
from tests.e2e.accounting import books_are_right, charged, price
from tests.e2e.conversing import ask, told
from tests.e2e.deciding import KEYS
from tests.e2e.house import House, discord_py_restored

CEILING = "0.01"
NEARLY = Tokens(prompt_tokens=20_000, completion_tokens=8_000)
"""78 % of the ceiling: with the next question's worst case on hold, more than 80 %."""
REST = Tokens(prompt_tokens=10_000, completion_tokens=2_000)
assert price(NEARLY) == 7_800_000
assert price(REST) == 2_700_000


@pytest.fixture
def operator(empty_house: House) -> Person:
    """Whoever runs the bot; a member, so that Discord lets the bot write to them."""
    user = empty_house.discord.world.add_user("Olga")
    empty_house.guild.join(user)
    return empty_house.discord.person(user)


def letters(house: House, operator: Person) -> list[str]:
    """What the operator got as direct messages."""
    return [message.content for message in house.discord.world.dm(operator.user).messages.values()]


async def said_instead(house: House, channel: Channel | None = None) -> str:
    """What Dana reads where no answer can be paid; the API hears nothing."""
    before = len(house.api.requests)
    interaction = await house.dana.slash(channel or house.channel, "ask", prompt="One more?")
    said = (await told(house, interaction)).content
    assert len(house.api.requests) == before
    return said


async def use(house: House, usage: Tokens, channel: Channel | None = None) -> None:
    """One answer that costs so much, settled."""
    house.api.script(Script("An answer.", usage=usage))
    interaction = await house.dana.slash(channel or house.channel, "ask", prompt="A question")
    await house.answer_to(interaction)
    assert (await charged(house, interaction.id)).provider_nano == price(usage)


async def test_a_bot_that_reached_its_ceiling_says_so_and_its_operator_hears_of_it_twice(
    empty_house: House, operator: Person
) -> None:
    house = empty_house
    overrides = {"BOT_MONTHLY_CEILING_USD": CEILING, "OPERATOR_USER_ID": str(operator.user.id)}
    async with house.running(**overrides):
        await use(house, NEARLY)
        assert letters(house, operator) == []
        await use(house, REST)
        await house.discord.wait_until(lambda: len(letters(house, operator)) == 1)
        for _ in range(3):
            assert (await said_instead(house)).startswith(
                "⚠️ I have used up what the bot's operator pays for in a month. It goes on <t:"
            )
        assert (await said_instead(house, house.discord.world.dm(house.dana.user))).startswith("⚠️ I have used up")
        await house.discord.wait_until(lambda: len(letters(house, operator)) == 2)
    async with house.running(**overrides):
        assert "used up" in await said_instead(house)
        await books_are_right(house)
    near, reached = letters(house, operator)
    assert near.startswith("⚠️ 80 % of this month's ceiling for the whole bot ($0.01) are used. It ends <t:")
    assert reached.startswith("🛑 This month's ceiling for the whole bot ($0.01) is reached.")


async def test_a_server_that_reached_its_ceiling_leaves_others_alone(empty_house: House, operator: Person) -> None:
    house = empty_house
    other = house.discord.world.add_guild("Others", owner=house.noam.user)
    other.join(house.dana.user)
    elsewhere = other.add_text_channel("elsewhere")
    async with house.running(SERVER_MONTHLY_CEILING_USD=CEILING, OPERATOR_USER_ID=str(operator.user.id)):
        await use(house, NEARLY)
        await use(house, REST)
        assert (await said_instead(house)).startswith(
            "⚠️ This server has used up what the bot's operator pays for in a month."
        )
        await use(house, REST, elsewhere)
        await ask(house, "And here?", channel=house.discord.world.dm(house.dana.user))
        await house.discord.wait_until(lambda: len(letters(house, operator)) == 2)
    assert all(f"the server {house.guild.id}" in letter for letter in letters(house, operator))


async def test_below_a_ceiling_answers_are_shortened_to_what_it_leaves(empty_house: House) -> None:
    house = empty_house
    async with house.running(BOT_MONTHLY_CEILING_USD=CEILING):
        await use(house, NEARLY)
        await use(house, Tokens(prompt_tokens=10_000, completion_tokens=600))
        await ask(house, "Briefly, then")
    assert 100 <= house.api.requests[-1].body["max_completion_tokens"] < 1_000


async def test_a_direct_message_that_is_lost_on_the_way_is_sent_again(
    empty_house: House, operator: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = empty_house
    fault = house.discord.faults.add(Fault(method="POST", template="/users/@me/channels", times=1, drop=True))
    async with house.running(BOT_MONTHLY_CEILING_USD=CEILING, OPERATOR_USER_ID=str(operator.user.id)) as bot:
        monkeypatch.setattr(bot.extensions["cogs.operator"], "PAUSES_S", (0.01,) * 3)
        await use(house, NEARLY)
        await use(house, REST)
        await house.discord.wait_until(lambda: len(letters(house, operator)) == 1)
    assert fault.hits == 1


async def test_an_operator_who_takes_no_direct_messages_does_not_silence_the_next_notice(
    empty_house: House, operator: Person
) -> None:
    house = empty_house
    operator.user.accepts_dms = False
    async with house.running(BOT_MONTHLY_CEILING_USD=CEILING, OPERATOR_USER_ID=str(operator.user.id)):
        await use(house, NEARLY)
        await use(house, REST)
        await house.discord.wait_until(lambda: bool(house.discord.refusals))
        operator.user.accepts_dms = True
        await said_instead(house)
        await house.discord.wait_until(lambda: len(letters(house, operator)) == 1)
    assert letters(house, operator)[0].startswith("🛑")


async def test_what_is_reached_before_the_bot_is_connected_is_told_afterwards(
    empty_house: House, operator: Person
) -> None:
    house = empty_house
    settings = Settings.load(house.environment(BOT_MONTHLY_CEILING_USD=CEILING, OPERATOR_USER_ID=str(operator.user.id)))
    with discord_py_restored():
        async with open_bot(settings) as bot:
            await bot.services.ledger.hold(almost_all(house))
            serving = asyncio.create_task(bot.serve(settings.discord_token))
            try:
                await house.discord.wait_until(lambda: len(letters(house, operator)) == 1, timeout_s=30)
            finally:
                await bot.close()
                serving.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await serving
    assert letters(house, operator)[0].startswith("⚠️ 80 %")


def almost_all(house: House) -> HoldRequest:
    """A request that takes nine tenths of the ceiling at worst."""
    return HoldRequest(
        key=next(KEYS),
        scope_id=house.guild.id,
        user_id=house.dana.user.id,
        role_ids=frozenset(),
        kind="chat",
        model="gpt-4o-mini",
        fixed_nano=NanoDollars(9_000_000),
        at=datetime.now(UTC),
    )


async def test_an_operator_whom_discord_does_not_find_for_long_is_given_up_and_hears_the_next_notice(
    empty_house: House, operator: Person, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    house = empty_house
    fault = house.discord.faults.add(Fault(method="GET", template="/users/{user_id}", times=3, status=400))
    async with house.running(BOT_MONTHLY_CEILING_USD=CEILING, OPERATOR_USER_ID=str(operator.user.id)) as bot:
        monkeypatch.setattr(bot.extensions["cogs.operator"], "PAUSES_S", (0.0, 0.0))
        await use(house, NEARLY)
        await use(house, REST)
        await house.discord.wait_until(lambda: fault.hits == 3)
        await said_instead(house)
        await house.discord.wait_until(lambda: len(letters(house, operator)) == 1)
    assert letters(house, operator)[0].startswith("🛑"), "the notice before it was given up"
    assert caplog.text.count("the operator could not be told: HTTPException") == 3
