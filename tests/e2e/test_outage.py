"""An outage of the API: after a few failures people hear at once, nothing is charged, and it ends by itself."""

import re

import pytest

from bot.minitoolai import circuit
from sandbox.minitoolai.script import Script
from tests.e2e.accounting import charged
from tests.e2e.conversing import ask, told
from tests.e2e.house import House

DOWN = re.compile(r"⚠️ The AI service is down just now\. I try it again in \d seconds?; please ask after that\.")


async def break_it(house: House) -> None:
    for _ in range(circuit.THRESHOLD):
        await ask(house, "Are you there?", answer=Script(status=503))


async def test_after_a_few_failures_in_a_row_people_hear_at_once_and_pay_nothing(house: House) -> None:
    await break_it(house)
    asked = len(house.api.requests)
    interaction = await house.noam.slash(house.channel, "ask", prompt="And now?")
    reply = await told(house, interaction)
    assert DOWN.search(reply.content)
    assert len(house.api.requests) == asked, "nothing was sent"
    entry = await charged(house, interaction.id)
    assert (entry.reason, entry.user_nano, entry.provider_nano) == ("refused", 0, 0)


async def test_it_ends_by_itself_with_the_first_answer(empty_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuit, "PAUSE_S", 0.0)
    house = empty_house
    async with house.running():
        await break_it(house)
        assert "Here I am." in (await ask(house, "Are you back?", answer="Here I am.")).content
        await ask(house, "Really?", answer=Script(status=503))
        assert "Yes." in (await ask(house, "And now?", answer="Yes.")).content


async def test_refusals_of_single_requests_are_no_outage(house: House) -> None:
    for _ in range(2 * circuit.THRESHOLD):
        await ask(house, "Something that is refused", answer=Script(status=400))
    assert "Fine." in (await ask(house, "And this?", answer="Fine.")).content
