"""`/ask` from the command to the answer."""

from sandbox.minitoolai.script import Script
from tests.e2e.house import House, labels


async def test_a_question_is_answered_in_the_reply(house: House) -> None:
    house.api.script(Script("The capital of France is **Paris**."))
    interaction = await house.dana.slash(house.channel, "ask", prompt="What is the capital of France?")
    answer = await house.answer_to(interaction)
    assert answer.content.startswith("The capital of France is **Paris**.")
    assert "gpt-4o-mini" in answer.content
    assert labels(answer) == ["Regenerate", "Delete"]
