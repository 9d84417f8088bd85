"""Floods from one member: they are told to wait, once, and nobody else notices."""

import asyncio

from sandbox.minitoolai.script import Script
from tests.e2e.conversing import ask, told
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
