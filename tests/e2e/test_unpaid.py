"""What an answer is not paid for, or not given for: what the API never took, and what a ceiling left out."""

import pytest

from sandbox.minitoolai.script import Script, Tokens
from tests.e2e.accounting import charged, until
from tests.e2e.conversing import ask
from tests.e2e.deciding import services
from tests.e2e.house import House
from tests.e2e.reading import footer_of


async def test_who_stops_while_a_refused_question_waits_to_be_put_again_pays_nothing(
    empty_house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house = empty_house

    async def waits() -> bool:
        return "attempt 1 failed" in caplog.text

    house.api.answer = lambda _: Script(status=429, headers={"Retry-After": "15"})
    async with house.running(CHAT_RETRIES="1"):
        interaction = await house.dana.slash(house.channel, "ask", prompt="Will you take it?")
        await until(waits)
        services(house).answers.stop(interaction.id, by=house.dana.user.id, at=house.channel.id, moderator=False)
        entry = await charged(house)
    assert (entry.reason, entry.user_nano, entry.provider_nano, entry.prompt_tokens) == ("stopped", 0, 0, 0)


async def test_an_answer_that_a_ceiling_shortened_does_not_blame_the_askers_credits(empty_house: House) -> None:
    house = empty_house
    async with house.running(BOT_MONTHLY_CEILING_USD="0.01", DEFAULT_ALLOWANCE="unlimited"):
        await ask(house, "Much", answer=Script("Much.", usage=Tokens(prompt_tokens=64_000, completion_tokens=0)))
        reply = await ask(house, "At length", answer=Script("It goes", finish_reason="length"))
        units = house.api.requests[-1].body["max_completion_tokens"]
    assert 100 < units < 1_000
    assert f"ended at {units} of 1,000 tokens: the bot's operator pays for no more" in footer_of(reply)
