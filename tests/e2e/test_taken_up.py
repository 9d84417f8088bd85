"""What Discord or a crash makes of the moments around an answer: defects that the fault matrix found, by name."""

import asyncio
import logging
import signal

import pytest

import bot.answers.service
from bot.app import open_bot
from bot.settings import Settings
from sandbox.discord import events
from sandbox.discord.events import Event
from sandbox.discord.faults import Fault, Hold
from sandbox.minitoolai.script import Script
from tests.e2e.accounting import books_are_right, entries
from tests.e2e.conversing import ask
from tests.e2e.house import House, discord_py_restored, labels

CUT_OFF = "⚠️ Cut off: I was interrupted while writing this."


async def test_an_interaction_that_comes_again_after_its_end_leaves_the_answer_as_it_is(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    reply = await ask(house, "Where is the treasure?", answer="In Durango.")
    interaction = reply.interaction
    assert interaction is not None
    caplog.set_level(logging.INFO)
    assert house.bot is not None
    while house.bot.services.answers.open_count:  # noqa: ASYNC110 - its last steps come after what people see
        await asyncio.sleep(0)
    world = house.discord.world
    data = world.interaction_payload(interaction)
    users = frozenset({world.bot.id})
    world.emit(Event(name=events.INTERACTION_CREATE, data=data, guild_id=house.guild.id, user_ids=users))
    before = reply.content
    async with asyncio.timeout(30):
        while "came again after its answer had ended" not in caplog.text:  # noqa: ASYNC110 - a log announces nothing
            await asyncio.sleep(0.01)
    assert reply.content == before
    assert "In Durango." in before


@pytest.mark.parametrize("fault", [Fault(drop=True), Fault(error_code=50001)])
async def test_an_acknowledgement_that_discord_does_not_take_is_nothing_unexpected(
    house: House, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    fault.template = "/interactions/…/callback"
    house.discord.faults.add(fault)
    interaction = await house.dana.slash(house.channel, "ask", prompt="Where is the treasure?")
    told = await house.discord.wait_until(lambda: next(iter(interaction.messages), None))
    assert told.content.startswith("⚠️ Discord does not take what I want to show just now.")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_signal_is_felt_while_a_shard_connects_anew(empty_house: House) -> None:
    house = empty_house
    gateway = house.discord.gateway
    with discord_py_restored():
        async with open_bot(Settings.load(house.environment())) as opened:
            disconnected = asyncio.Event()

            async def on_disconnect() -> None:
                disconnected.set()

            opened.add_listener(on_disconnect)
            serving = asyncio.create_task(opened.serve(house.discord.bot_token))
            await gateway.wait_ready(30)
            await gateway.invalidate(resumable=False)
            await gateway.wait_until(lambda: not gateway.sessions, 10)
            await disconnected.wait()
            serving.cancel()
            done, _ = await asyncio.wait({serving}, timeout=3)
            assert done


async def test_an_answer_whose_last_edit_discord_does_not_take_is_settled_before_the_bot_ends(
    empty_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot.answers.service, "CLOSE_S", 0.2)
    house = empty_house
    async with house.running():
        house.api.script(Script(["In Durango", " it is."], stall_after=1, gate=asyncio.Event()))
        interaction = await house.dana.slash(house.channel, "ask", prompt="Where is the treasure?")
        await house.discord.wait_until(lambda: interaction.original and "In Durango" in interaction.original.content)
        house.discord.faults.add(Fault(method="PATCH", status=500, times=None))
    entry = (await entries(house))[interaction.id]
    assert (entry.reason, entry.user_nano) == ("shutdown", 0)
    await books_are_right(house)


async def killed(house: House, process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGKILL)
    await process.wait()
    gateway = house.discord.gateway
    await gateway.wait_until(lambda: not any(session.connected for session in gateway.sessions), 5)


async def test_a_mention_that_a_crash_leaves_without_a_reply_is_answered_with_that(empty_house: House) -> None:
    house = empty_house
    async with house.process() as process:
        house.api.script(Script("In Durango.", gate=asyncio.Event()))
        question = await house.dana.say(house.channel, f"{house.discord.world.bot.mention} Where is the treasure?")
        await house.api.wait_for_request()
        await killed(house, process)
    async with house.running():
        reply = await house.reply_in(house.channel, question)
        assert reply.content == CUT_OFF
        await books_are_right(house)


async def test_a_mentions_reply_that_a_crash_did_not_let_us_note_is_closed_and_not_doubled(empty_house: House) -> None:
    house = empty_house
    async with house.process() as process:
        hold = house.discord.faults.hold(Hold(method="POST", template="/channels/…/messages", answered=True))
        house.api.script(Script(["In Durango", " it is."], stall_after=1, gate=asyncio.Event()))
        question = await house.dana.say(house.channel, f"{house.discord.world.bot.mention} Where is the treasure?")
        await hold.reached.wait()
        await killed(house, process)
        house.discord.faults.clear()
    async with house.running():
        reply = await house.reply_in(house.channel, question)
        assert reply.content == f"In Durango\n{CUT_OFF}"
        assert labels(reply) == ["Regenerate", "Delete"]
        assert len([each for each in house.channel.messages.values() if each.reply_to is question]) == 1
