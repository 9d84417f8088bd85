"""Floods from one member: they are told to wait, once, and nobody else notices."""

import asyncio

import pytest

from bot.pictures import cancels
from sandbox.minitoolai.script import Script
from tests.e2e.conversing import ask, told
from tests.e2e.drawing import draw, quick, refused, under_way
from tests.e2e.drawing import told as told_of_picture
from tests.e2e.house import House, replies


async def test_a_flood_of_commands_is_told_how_long_to_wait_each_to_the_asker_alone(empty_house: House) -> None:
    house = empty_house
    async with house.running(QUESTIONS_PER_MINUTE="1"):
        await ask(house, "First?", answer="Yes.")
        second = await house.dana.slash(house.channel, "ask", prompt="Second?")
        await told(house, second)
        (refusal,) = replies(second)
        assert refusal.content.startswith("⚠️ That was quick. Please wait ")
        assert refusal.ephemeral
        other = await house.noam.slash(house.channel, "ask", prompt="Me too?")
        await house.answer_to(other)
    assert len(house.api.requests) == 2


async def test_a_flood_of_mentions_is_answered_once(empty_house: House) -> None:
    house = empty_house
    async with house.running(QUESTIONS_PER_MINUTE="1") as bot:
        assert bot.user is not None
        for number in range(6):
            await house.dana.say(house.channel, f"<@{bot.user.id}> Question {number}?")
        calm = await house.noam.say(house.channel, f"<@{bot.user.id}> And I?")
        await house.reply_in(house.channel, calm)
        said = [m.content for m in house.channel.messages.values() if m.author.id == bot.user.id]
    assert sum("That was quick" in words for words in said) == 1
    assert len(said) == 3, "an answer to each of the two, and one word to who was too fast"


async def test_a_member_has_so_many_answers_at_once_and_others_theirs(empty_house: House) -> None:
    house, gate = empty_house, asyncio.Event()
    async with house.running(MAX_OPEN_ANSWERS_PER_MEMBER="2"):
        house.api.script(*(Script(["Well", "…"], stall_after=1, gate=gate) for _ in range(2)))
        open_ones = [await house.dana.slash(house.channel, "ask", prompt=f"{number}?") for number in range(2)]
        for one in open_ones:
            await told(house, one)
        third = await house.dana.slash(house.channel, "ask", prompt="Third?")
        await told(house, third)
        assert replies(third)[-1].content.startswith("⚠️ 2 answers are being written for you already.")
        await ask(house, "And I?", answer="You, yes.", by=house.noam)
        gate.set()
        for one in open_ones:
            await house.answer_to(one)


async def test_a_flood_of_orders_is_told_how_long_to_wait(empty_house: House) -> None:
    house = empty_house
    async with house.running(QUESTIONS_PER_MINUTE="1"):
        reply = await draw(quick(house))
        assert (await refused(house)).startswith("⚠️ That was quick. Please wait ")
        again = await house.dana.click(reply, label="Again")
        assert (await told_of_picture(house, again)).startswith("⚠️ That was quick. Please wait ")
        await draw(house, by=house.noam)
    assert len(house.api.pictures) == 2


async def test_who_cancels_again_and_again_what_the_api_draws_already_has_to_wait(
    empty_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = empty_house
    monkeypatch.setattr(cancels, "FREE", 2)
    async with house.running(QUESTIONS_PER_MINUTE="1000"):
        for label in ("Cancel", "Cancel"):
            reply = await under_way(house)
            await house.discord.wait_until(lambda: house.api.pictures)
            await house.dana.click(reply, label=label)
            await house.discord.wait_until(lambda reply=reply: "⏹️ Cancelled." in reply.content)
        assert (await refused(house)).startswith("⚠️ That was quick. Please wait 60 minutes")
        await under_way(house, by=house.noam)
