"""SIGTERM: nothing new begins, what was begun may end within its time, and nothing is left looking unfinished."""

import asyncio
import signal

from sandbox.discord.messages import Interaction, Message
from sandbox.minitoolai.script import Script
from tests.e2e.accounting import charged
from tests.e2e.house import House, labels, replies

LEFT_S = 30.0
"""How long a process may take to end that was told to."""


async def begun(house: House, gate: asyncio.Event) -> tuple[Interaction, Message]:
    """An answer of which the first words are shown, and the rest waits for `gate`."""
    house.api.script(Script(["The beginning", " and the end."], stall_after=1, gate=gate))
    interaction = await house.dana.slash(house.channel, "ask", prompt="A long story")
    await house.discord.wait_until(
        lambda: interaction.original is not None and "The beginning" in interaction.original.content
    )
    assert interaction.original is not None
    return interaction, interaction.original


async def told_to_stop(house: House, process: asyncio.subprocess.Process) -> None:
    """SIGTERM has arrived: a question is turned down."""
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(LEFT_S):
        while True:
            late = await house.noam.slash(house.channel, "ask", prompt="One more?", private=True)
            await house.discord.wait_until(lambda late=late: any(reply.content for reply in replies(late)))
            if replies(late)[-1].content == "⚠️ I am being restarted. Please try again in a minute.":
                return


async def test_an_answer_may_end_by_itself_and_nothing_new_begins(empty_house: House) -> None:
    house, gate = empty_house, asyncio.Event()
    async with house.process(SHUTDOWN_GRACE_S="60") as process:
        interaction, shown = await begun(house, gate)
        await told_to_stop(house, process)
        gate.set()
        await house.ended(shown)
        assert await asyncio.wait_for(process.wait(), LEFT_S) == 0
    assert "The beginning and the end." in shown.content
    async with house.running():
        assert (await charged(house, interaction.id)).reason == "finished"


async def test_an_answer_that_does_not_end_in_its_time_is_cut_off_and_costs_nothing(empty_house: House) -> None:
    house = empty_house
    async with house.process(SHUTDOWN_GRACE_S="0.1") as process:
        interaction, shown = await begun(house, asyncio.Event())
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), LEFT_S) == 0
    assert "The beginning\n⚠️ Cut off: I am being restarted." in shown.content
    assert labels(shown) == ["Regenerate", "Delete"]
    async with house.running():
        entry = await charged(house, interaction.id)
    assert (entry.reason, entry.user_nano) == ("shutdown", 0)
