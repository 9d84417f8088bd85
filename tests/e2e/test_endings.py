"""Between an answer's last word and its last edit: it is shown to its end and charged then, or neither, and once."""

import asyncio
import contextlib
import logging
import signal
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
import pytest

import bot.answers.live
import bot.answers.recovery
import bot.answers.service
from bot.answers import conversing
from bot.answers import history as store
from bot.answers.conversing import Conversation
from bot.answers.history import MemoryKey
from bot.answers.journey import Result
from bot.client import Bot
from bot.storage.database import Tx
from bot.storage.snapshot import snapshot
from sandbox.discord.faults import Fault, Hold
from sandbox.discord.messages import Interaction, Message
from sandbox.discord.permissions import Permission
from sandbox.minitoolai.script import Script, Tokens
from tests.e2e.accounting import USAGE, USED_NANO, books_are_right, charged, database_url, entries, until
from tests.e2e.conversing import ask, told, turns
from tests.e2e.house import House, has_button, labels, replies
from tests.e2e.reading import WRITING, footer_of, picture, without_subtext
from tests.privacy.archive import mentions

TEXT = ("The treasure lies", " in Durango.")
WHOLE = "".join(TEXT)
LONG = "\n\n".join(f"Paragraph {number}: " + "some more words " * 20 for number in range(20))
EDIT = "/webhooks/…/messages/…"
Asks = Callable[[House], Awaitable[object]]


async def by_slash(house: House) -> object:
    return await house.dana.slash(house.channel, "ask", prompt="Where?")


async def in_private(house: House) -> object:
    return await house.dana.slash(house.channel, "ask", prompt="Where?", private=True)


async def by_mention(house: House) -> object:
    return await house.dana.say(house.channel, f"{house.discord.world.bot.mention} Where?")


def messages_of(house: House, asked: object) -> list[Message]:
    """What it was answered with and is still there."""
    found = replies(asked) if isinstance(asked, Interaction) else house.channel.messages.values()
    return [m for m in found if not m.deleted and (isinstance(asked, Interaction) or m.reply_to is asked)]


async def last_edit_on_its_way(house: House, asks: Asks, *, answered: bool = False) -> tuple[object, Message, Hold]:
    """All words are shown, and the edit that shows the footer waits: before it is carried out, or `answered`, after."""
    gate = asyncio.Event()
    house.api.script(Script([WHOLE], stall_after=1, gate=gate, usage=USAGE))
    asked = await asks(house)
    shown = await house.discord.wait_until(
        lambda: next((m for m in messages_of(house, asked) if WHOLE in m.content), None)
    )
    hold = house.discord.faults.hold(Hold(method="PATCH", template="…/messages/…", answered=answered))
    gate.set()
    async with asyncio.timeout(30):
        await hold.reached.wait()
    return asked, shown, hold


async def killed(house: House, process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGKILL)
    await process.wait()
    gateway = house.discord.gateway
    await gateway.wait_until(lambda: not any(session.connected for session in gateway.sessions), 5)
    house.discord.faults.clear()


@pytest.mark.parametrize("asks", [by_slash, in_private, by_mention])
@pytest.mark.parametrize("answered", [False, True], ids=["not carried out", "carried out"])
async def test_killed_before_its_last_edit_is_answered_it_is_shown_whole_charged_once_and_remembered(
    empty_house: House, asks: Asks, answered: bool
) -> None:
    house = empty_house
    async with house.process() as process:
        asked, shown, _ = await last_edit_on_its_way(house, asks, answered=answered)
        await killed(house, process)
    assert await entries(house) == {}, "nobody pays for what they may not have been shown"
    async with house.running():
        await house.ended(shown)
        entry = await charged(house)
        assert (entry.reason, entry.user_nano, entry.provider_nano) == ("finished", USED_NANO, USED_NANO)
        key = MemoryKey.private(house.channel.id, house.dana.user.id) if asks is in_private else None
        assert [turn.answer for turn in await turns(house, key)] == [WHOLE]
    assert WHOLE in without_subtext(shown.content)
    assert "Cut off" not in shown.content
    assert WRITING not in shown.content
    assert "1,000 tokens in, 200 out" in footer_of(shown)
    assert labels(shown) == ["Regenerate", "Delete"]
    assert messages_of(house, asked) == [shown]


async def test_what_no_memory_keeps_is_shown_whole_all_the_same(empty_house: House) -> None:
    house = empty_house
    async with house.running():
        await told(house, await house.admin.slash(house.channel, "history mode", mode="off"))
    async with house.process() as process:
        _, shown, _ = await last_edit_on_its_way(house, by_slash)
        await killed(house, process)
    async with house.running():
        await house.ended(shown)
        assert (await charged(house)).reason == "finished"
        assert await turns(house) == ()
    assert WHOLE in shown.content


async def test_an_answer_of_several_messages_is_whole_after_a_kill_and_none_is_there_twice(empty_house: House) -> None:
    house = empty_house
    async with house.process() as process:
        gate = asyncio.Event()
        house.api.script(Script([LONG], stall_after=1, gate=gate, usage=USAGE))
        asked = await by_slash(house)
        await house.discord.wait_until(
            lambda: any("Paragraph 19" in m.content for m in messages_of(house, asked)), timeout_s=30
        )
        before = [m.id for m in messages_of(house, asked)]
        hold = house.discord.faults.hold(Hold(method="PATCH", template="…/messages/…"))
        gate.set()
        async with asyncio.timeout(30):
            await hold.reached.wait()
        await until(partial(are_noted, house, before))
        await killed(house, process)
    async with house.running():
        await house.ended(messages_of(house, asked)[-1])
        assert (await charged(house)).reason == "finished"
    after = messages_of(house, asked)
    assert [m.id for m in after] == before
    for number in range(20):
        assert sum(f"Paragraph {number}:" in m.content for m in after) == 1
    assert [labels(m) for m in after[:-1]] == [[]] * (len(after) - 1)


async def are_noted(house: House, message_ids: list[int]) -> bool:
    """Whether it is on disk in which messages the only answer stands, which follows Discord's answers."""
    async with snapshot(database_url(house)) as tx:
        row = await tx.fetch_one("SELECT messages FROM answers")
    return row is not None and [message_id for _, message_id in orjson.loads(row["messages"])] == message_ids


async def test_an_answer_that_nobody_can_be_shown_any_more_costs_nothing_and_is_not_remembered(
    empty_house: House,
) -> None:
    house = empty_house
    async with house.process() as process:
        await last_edit_on_its_way(house, in_private)
        await killed(house, process)
    house.discord.clock.advance(16 * 60)
    async with house.running():
        entry = await charged(house)
        assert (entry.reason, entry.user_nano, entry.provider_nano) == ("undelivered", 0, USED_NANO)
        assert await turns(house, MemoryKey.private(house.channel.id, house.dana.user.id)) == ()


async def test_an_answer_that_is_deleted_before_its_last_edit_costs_nothing_and_is_not_remembered(
    house: House,
) -> None:
    _, shown, hold = await last_edit_on_its_way(house, by_slash)
    await house.admin.delete(shown)
    hold.let_go()
    entry = await charged(house)
    assert (entry.reason, entry.user_nano, entry.provider_nano) == ("deleted", 0, USED_NANO)
    assert await turns(house) == ()


async def test_who_has_deleted_their_answer_by_a_button_pays_for_it_as_if_stopped(house: House) -> None:
    """Else everybody would press Delete where they now press Stop."""
    house.api.script(Script([TEXT[0], TEXT[1]], stall_after=1, gate=asyncio.Event()))
    interaction = await house.dana.slash(house.channel, "ask", prompt="Where?")
    shown = await house.discord.wait_until(
        lambda: interaction.original if interaction.original and has_button(interaction.original, "Stop") else None
    )
    made_up = shown.components[0]["components"][0]
    made_up["custom_id"] = made_up["custom_id"].replace("stop", "delete")
    await house.dana.click(shown, label="Stop", tampered=True)
    entry = await charged(house, interaction.id)
    assert entry.reason == "stopped"
    assert entry.user_nano == entry.provider_nano > 0


# Cancelled while it is written down how it has ended


@dataclass(frozen=True)
class Doorway:
    """Stops the database's writer in one transaction until it may `go_on`."""

    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    async def stand(self, _: Tx) -> None:
        self.reached.set()
        assert self.go_on.wait(30)

    async def until_reached(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, 30)


async def all_said_but_the_end(house: House) -> tuple[Interaction, Message, asyncio.Event]:
    """All words are shown, where is on disk, and the API ends its answer with the event."""
    gate = asyncio.Event()
    house.api.script(Script([WHOLE], stall_after=1, gate=gate, usage=USAGE))
    asked = await house.dana.slash(house.channel, "ask", prompt="Where?")
    shown = await house.discord.wait_until(lambda: next((m for m in replies(asked) if WHOLE in m.content), None))

    async def placed() -> bool:
        async with snapshot(database_url(house)) as tx:
            return await tx.fetch_one("SELECT 1 FROM answers WHERE messages <> '[]'") is not None

    await until(placed)
    return asked, shown, gate


async def cancelled(running: Bot, asked: Interaction) -> None:
    """As when the bot stops and an answer does not end in time."""
    task = running.services.answers._running[asked.id].task
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)  # to where it is cancelled


async def over(running: Bot) -> None:
    async def ended() -> bool:
        return running.services.answers.open_count == 0

    await until(ended)


@pytest.mark.parametrize("known", [True, False], ids=["known in time", "not known in time"])
async def test_cancelled_while_its_ending_is_written_it_is_charged_by_the_start_that_shows_it_whole(
    empty_house: House, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    house, doorway, note_ending = empty_house, Doorway(), store.note_ending

    async def standing(tx: Tx, *args: Any, **more: Any) -> bool:
        await doorway.stand(tx)
        return await note_ending(tx, *args, **more)

    if not known:
        monkeypatch.setattr(conversing, "LEARN_S", 0.05)
    async with house.running() as running:
        asked, shown, gate = await all_said_but_the_end(house)
        with monkeypatch.context() as patched:
            patched.setattr(store, "note_ending", standing)
            gate.set()
            await doorway.until_reached()
            await cancelled(running, asked)
            if not known:
                await over(running)
            doorway.go_on.set()
        await over(running)
    assert await entries(house) == {}, "nobody pays for what they were not shown"
    async with house.running():
        await house.ended(shown)
        entry = await charged(house)
        assert (entry.reason, entry.user_nano) == ("finished", USED_NANO)
        assert [turn.answer for turn in await turns(house)] == [WHOLE]
    assert WHOLE in shown.content
    assert "1,000 tokens in, 200 out" in footer_of(shown)


async def test_cancelled_before_its_ending_is_written_it_is_cut_off_and_costs_nothing(
    empty_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, doorway, queued = empty_house, Doorway(), asyncio.Event()
    result_of = Conversation._result

    def about_to_write(*args: Any) -> Result:
        queued.set()
        return result_of(*args)

    monkeypatch.setattr(Conversation, "_result", about_to_write)
    async with house.running() as running:
        asked, shown, gate = await all_said_but_the_end(house)
        standing = asyncio.create_task(running.services.database.write(doorway.stand))
        await doorway.until_reached()
        gate.set()
        async with asyncio.timeout(30):
            await queued.wait()
        await cancelled(running, asked)
        doorway.go_on.set()
        await standing
        entry = await charged(house)
        assert (entry.reason, entry.user_nano, entry.provider_nano) == ("shutdown", 0, USED_NANO)
    async with house.running():
        await house.ended(shown)
        assert await turns(house) == ()
    assert shown.content.endswith("⚠️ Cut off: I was interrupted while writing this.")


async def test_what_costs_nothing_is_charged_so_at_once_when_it_is_cancelled_while_its_ending_is_written(
    empty_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, doorway, note_ending = empty_house, Doorway(), store.note_ending

    async def standing(tx: Tx, *args: Any, **more: Any) -> bool:
        await doorway.stand(tx)
        return await note_ending(tx, *args, **more)

    async with house.running() as running:
        gate = asyncio.Event()
        house.api.script(Script([WHOLE, " and"], stall_after=1, break_after=2, gate=gate))
        asked = await house.dana.slash(house.channel, "ask", prompt="Where?")
        shown = await house.discord.wait_until(lambda: next((m for m in replies(asked) if WHOLE in m.content), None))
        monkeypatch.setattr(store, "note_ending", standing)
        gate.set()
        await doorway.until_reached()
        await cancelled(running, asked)
        doorway.go_on.set()
        entry = await charged(house)
        assert (entry.reason, entry.user_nano) == ("shutdown", 0)
    async with house.running():
        await house.ended(shown)
    assert "not charged" in footer_of(shown)


# Discord is out of reach


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bot.answers.live, "INSIST_S", 0.1)
    monkeypatch.setattr(bot.answers.live, "PAUSE_S", 0.01)
    monkeypatch.setattr(bot.answers.recovery, "PAUSE_S", 0.05)
    monkeypatch.setattr(bot.answers.service, "CLOSE_S", 0.3)


async def out_of_reach(
    house: House, asks: Asks, *, text: str = WHOLE, last: str = WHOLE
) -> tuple[object, Message, Fault]:
    """All words are shown, the `last` of them in the message that is returned, and Discord takes no edit until the
    fault is removed; the last edit has been given up."""
    gate = asyncio.Event()
    house.api.script(Script([text], stall_after=1, gate=gate, usage=USAGE))
    asked = await asks(house)
    shown = await house.discord.wait_until(
        lambda: next((m for m in messages_of(house, asked) if last in m.content), None), timeout_s=30
    )
    fault = house.discord.faults.add(Fault(method="PATCH", status=502, html=True, times=None))
    gate.set()
    assert house.bot is not None
    answers, recovery = house.bot.services.answers, house.bot.services.recovery
    async with asyncio.timeout(30):
        while answers.open_count or asked.id not in recovery:  # noqa: ASYNC110 - neither announces it
            await asyncio.sleep(0.01)
    return asked, shown, fault


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("asks", [by_slash, by_mention])
async def test_while_discord_is_out_of_reach_the_last_edit_waits_and_the_charge_with_it(
    house: House, asks: Asks
) -> None:
    asked, shown, fault = await out_of_reach(house, asks)
    assert await entries(house) == {}
    fault.times = 0
    await house.ended(shown)
    entry = await charged(house)
    assert (entry.reason, entry.user_nano) == ("finished", USED_NANO)
    assert [turn.answer for turn in await turns(house)] == [WHOLE]
    assert messages_of(house, asked) == [shown], "nothing else had to be said"


@pytest.mark.usefixtures("impatient")
async def test_an_answer_for_which_there_is_no_room_to_wait_costs_nothing_and_is_not_remembered(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot.answers.recovery, "AT_MOST", 0)
    gate = asyncio.Event()
    house.api.script(Script([WHOLE], stall_after=1, gate=gate, usage=USAGE))
    asked = await house.dana.slash(house.channel, "ask", prompt="Where?")
    await house.discord.wait_until(lambda: any(WHOLE in m.content for m in messages_of(house, asked)))
    house.discord.faults.add(Fault(method="PATCH", status=502, html=True, times=None))
    gate.set()
    entry = await charged(house)
    assert (entry.reason, entry.user_nano, entry.provider_nano) == ("undelivered", 0, USED_NANO)
    assert await turns(house) == ()
    await books_are_right(house)


@pytest.mark.usefixtures("impatient")
async def test_a_press_of_stop_hurries_an_answer_that_waits_for_its_last_edit(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(bot.answers.recovery, "PAUSE_S", 3_600.0)
    monkeypatch.setattr(bot.answers.recovery, "PAUSE_MOST_S", 3_600.0)
    _, shown, fault = await out_of_reach(house, by_slash)
    async with asyncio.timeout(30):  # the one round that begins at once
        while "an answer could not be closed yet" not in caplog.text:  # noqa: ASYNC110 - a log announces nothing
            await asyncio.sleep(0.01)
    fault.times = 0
    assert labels(shown) == ["Stop"]
    await house.dana.click(shown, label="Stop")
    await house.ended(shown)
    assert WHOLE in shown.content
    assert (await charged(house)).reason == "finished"


@pytest.mark.usefixtures("impatient")
async def test_a_question_that_comes_again_while_its_answer_waits_is_not_asked_twice(house: House) -> None:
    question, shown, fault = await out_of_reach(house, by_mention)
    assert isinstance(question, Message)
    house.discord.gateway.dispatch_raw("MESSAGE_CREATE", question.payload_for_bot() | {"guild_id": str(house.guild.id)})
    fault.times = 0
    await house.ended(shown)
    await charged(house)
    await ask(house, "And then?", answer="Dig.")
    assert len(house.api.requests) == 2
    assert len(messages_of(house, question)) == 1


@pytest.mark.usefixtures("impatient")
async def test_an_answer_that_waits_when_the_bot_is_stopped_is_finished_by_the_next_start(empty_house: House) -> None:
    house = empty_house
    async with house.running():
        _, shown, _ = await out_of_reach(house, by_slash)
    assert labels(shown) == ["Stop"]
    house.discord.faults.clear()
    async with house.running():
        await house.ended(shown)
        entry = await charged(house)
    assert (entry.reason, entry.user_nano) == ("finished", USED_NANO)
    assert WHOLE in shown.content


@pytest.mark.usefixtures("impatient")
async def test_a_start_that_cannot_reach_discord_tries_again_until_it_can(empty_house: House) -> None:
    house = empty_house
    async with house.process() as process:
        house.api.script(Script(TEXT, stall_after=1, gate=asyncio.Event()))
        interaction = await house.dana.slash(house.channel, "ask", prompt="Where?")
        shown = await house.discord.wait_until(
            lambda: interaction.original if interaction.original and TEXT[0] in interaction.original.content else None
        )
        await killed(house, process)
    fault = house.discord.faults.add(Fault(method="GET", template=EDIT, status=500, times=None))
    async with house.running():
        await house.discord.wait_until(lambda: fault.hits >= 4)
        fault.times = 0
        await house.ended(shown)
        assert shown.content.endswith("⚠️ Cut off: I was interrupted while writing this.")
        await books_are_right(house)


@pytest.mark.usefixtures("impatient")
async def test_an_owed_answer_whose_message_is_deleted_meanwhile_costs_nothing(house: House) -> None:
    _, shown, fault = await out_of_reach(house, by_slash)
    await house.admin.delete(shown)
    fault.times = 0
    entry = await charged(house)
    assert (entry.reason, entry.user_nano, entry.provider_nano) == ("deleted", 0, USED_NANO)
    assert await turns(house) == ()


# What is left is not what it was

STUCK = (
    "CREATE TRIGGER stuck BEFORE UPDATE OF state ON answers WHEN NEW.state = 'done'"
    " BEGIN SELECT RAISE(ABORT, 'stuck'); END"
)


def write_below(house: House, statement: str) -> None:
    """Change the database while no bot has it open."""
    with contextlib.closing(sqlite3.connect(house.folder / "bot.db")) as database, database:
        database.execute(statement)


async def left_by_a_stop(house: House, asks: Asks) -> Message:
    """The bot has been stopped while Discord was out of reach for the last edit of this answer; now Discord is back."""
    async with house.running():
        _, shown, _ = await out_of_reach(house, asks)
    house.discord.faults.clear()
    assert labels(shown) == ["Stop"]
    return shown


async def records(house: House) -> list[str]:
    async with snapshot(database_url(house)) as tx:
        return [row["state"] for row in await tx.fetch_all("SELECT state FROM answers")]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("ending", ["{", '{"written by": "another version"}'])
async def test_a_start_cuts_an_answer_off_whose_ending_it_cannot_read(empty_house: House, ending: str) -> None:
    house = empty_house
    shown = await left_by_a_stop(house, by_slash)
    write_below(house, f"UPDATE answers SET ending = '{ending}'")
    async with house.running():
        await house.ended(shown)
        entry = await charged(house)
    assert (entry.reason, entry.user_nano) == ("crashed", 0)
    assert shown.content.endswith("⚠️ Cut off: I was interrupted while writing this.")


@pytest.mark.usefixtures("impatient")
async def test_stop_closes_an_answer_that_was_left_more_than_a_day_ago(empty_house: House) -> None:
    house = empty_house
    shown = await left_by_a_stop(house, by_slash)
    house.discord.clock.advance(25 * 3_600)
    async with house.running():
        assert (await charged(house)).user_nano == 0
        await house.dana.click(shown, label="Stop")
        await house.ended(shown)
    assert shown.content.endswith("⚠️ Cut off: I was interrupted while writing this.")


@pytest.mark.usefixtures("impatient")
async def test_stop_closes_an_answer_that_could_not_be_finished(empty_house: House) -> None:
    house = empty_house
    shown = await left_by_a_stop(house, in_private)
    house.discord.clock.advance(16 * 60)
    async with house.running():
        assert (await charged(house)).reason == "undelivered"
        await house.dana.click(shown, label="Stop")
        await house.ended(shown)
    assert shown.content.endswith("⚠️ Cut off: I was interrupted while writing this.")


@pytest.mark.usefixtures("impatient")
async def test_an_answer_that_took_the_place_of_one_given_up_stays_remembered(house: House) -> None:
    """Discord carries the last edits out, and their answers are lost: the old one can be regenerated meanwhile."""
    gate = asyncio.Event()
    house.api.script(Script([WHOLE], stall_after=1, gate=gate, usage=USAGE))
    asked = await by_mention(house)
    shown = await house.discord.wait_until(
        lambda: next((m for m in messages_of(house, asked) if WHOLE in m.content), None)
    )
    fault = Fault(
        method="PATCH", when=lambda _, path: str(shown.id) in path, status=502, html=True, carried_out=True, times=None
    )
    house.discord.faults.add(fault)
    gate.set()
    await until(lambda: is_owed(house, asked))
    house.api.script(Script(["Not in Durango."], usage=USAGE))
    again = await house.dana.click(shown, label="Regenerate")
    await house.answer_to(again)
    await charged_with(house, again.id)
    await house.admin.delete(shown)
    fault.times = 0
    await until(lambda: nothing_owed(house))
    assert (await charged(house, asked.id)).reason == "deleted"
    assert [turn.answer for turn in await turns(house)] == ["Not in Durango."]


async def test_an_answer_that_was_charged_without_its_record_stays_remembered_when_it_is_gone(
    empty_house: House,
) -> None:
    house = empty_house
    async with house.running() as bot:
        await bot.services.database.write(lambda tx: tx.execute(STUCK))
        shown = await ask(house, "Where?", answer=Script(TEXT, usage=USAGE))
        assert (await charged(house)).reason == "finished"
        await bot.services.database.write(lambda tx: tx.execute("DROP TRIGGER stuck"))
    await house.admin.delete(shown)
    async with house.running():
        await until(lambda: nothing_owed(house))
        assert [turn.answer for turn in await turns(house)] == [WHOLE]
        assert (await charged(house)).reason == "finished"
    assert await records(house) == ["done"]


@pytest.mark.usefixtures("impatient")
async def test_an_owed_answer_without_a_message_gets_one_however_often_its_edit_fails(house: House) -> None:
    faults = house.discord.faults
    created = faults.add(
        Fault(method="POST", template="/channels/{channel_id}/messages", status=502, html=True, times=None)
    )
    edited = faults.add(Fault(method="PATCH", status=502, html=True, times=None))
    house.api.script(Script(TEXT, usage=USAGE))
    asked = await by_mention(house)
    await until(lambda: is_owed(house, asked))
    created.times = 0
    for _ in range(2):
        before = edited.hits
        await house.discord.wait_until(lambda before=before: edited.hits > before + 1)
        house.discord.clock.advance(3_600)
    edited.times = 0
    await until(lambda: nothing_owed(house))
    assert (await charged(house)).reason == "finished"
    [shown] = messages_of(house, asked)
    assert WHOLE in shown.content


@pytest.mark.usefixtures("impatient")
async def test_what_is_deleted_while_it_is_finished_does_not_come_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, shown, fault = await out_of_reach(house, by_slash)
    monkeypatch.setattr(bot.answers.live, "INSIST_S", 30.0)  # the last edit is to wait for all of what follows
    hold = house.discord.faults.hold(Hold(method="PATCH", template="…/messages/…", answered=True))
    fault.times = 0
    async with asyncio.timeout(30):
        await hold.reached.wait()
    await house.ended(shown)
    await house.dana.click(shown, label="Delete")
    await house.discord.wait_until(lambda: shown.deleted)
    hold.let_go()
    assert (await charged(house)).reason == "finished"
    assert await turns(house) == ()
    assert await records(house) == []


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("stopped", [False, True], ids=["by this process", "by the next start"])
async def test_what_is_forgotten_before_its_last_edit_is_shown_and_charged_and_gone_then(
    empty_house: House, stopped: bool
) -> None:
    house = empty_house
    async with house.running() as bot:
        _, shown, fault = await out_of_reach(house, by_slash)
        assert await bot.services.history.clear(MemoryKey.shared(house.channel.id)) == 1
        assert await entries(house) == {}
        if not stopped:
            fault.times = 0
            await house.ended(shown)
            await charged(house)
    house.discord.faults.clear()
    async with house.running():
        await house.ended(shown)
        entry = await charged(house)
        assert (entry.reason, entry.user_nano) == ("finished", USED_NANO)
        assert WHOLE in shown.content
        assert await turns(house) == ()
        pressed = await house.dana.click(shown, label="Regenerate")
        said = await house.discord.wait_until(
            lambda: next((m for m in pressed.messages if m is not shown and m.content), None)
        )
        assert "I no longer know this answer" in said.content
    async with snapshot(database_url(house)) as tx:
        assert await mentions(tx, needles=["Where?", WHOLE]) == []


@pytest.mark.usefixtures("impatient")
async def test_stop_closes_what_was_forgotten_and_could_not_be_finished(empty_house: House) -> None:
    house = empty_house
    async with house.running() as bot:
        _, shown, _ = await out_of_reach(house, in_private)
        key = MemoryKey.private(house.channel.id, house.dana.user.id)
        assert await bot.services.history.clear(key) == 1
    house.discord.faults.clear()
    house.discord.clock.advance(16 * 60)
    async with house.running():
        assert (await charged(house)).reason == "undelivered"
        await house.dana.click(shown, label="Stop")
        await house.ended(shown)
    async with snapshot(database_url(house)) as tx:
        assert await mentions(tx, needles=["Where?", WHOLE]) == []


async def test_what_is_deleted_while_it_is_given_does_not_come_back(house: House) -> None:
    """The press stops it, and its last edit may be quicker than Discord's deletion of the message."""
    house.api.script(Script([TEXT[0], TEXT[1]], stall_after=1, gate=asyncio.Event()))
    interaction = await house.dana.slash(house.channel, "ask", prompt="Where?")
    shown = await house.discord.wait_until(
        lambda: interaction.original if interaction.original and has_button(interaction.original, "Stop") else None
    )
    hold = house.discord.faults.hold(Hold(method="DELETE"))
    made_up = shown.components[0]["components"][0]
    made_up["custom_id"] = made_up["custom_id"].replace("stop", "delete")
    await house.dana.click(shown, label="Stop", tampered=True)
    assert (await charged(house, interaction.id)).reason == "stopped"
    hold.let_go()
    await house.discord.wait_until(lambda: shown.deleted)
    assert await turns(house) == ()
    assert await records(house) == []


@pytest.mark.parametrize("mode", ["shared", "off"])
async def test_figures_that_no_database_can_add_up_end_no_answer(house: House, mode: str) -> None:
    await told(house, await house.admin.slash(house.channel, "history mode", mode=mode))
    mad = Tokens(prompt_tokens=10**18, completion_tokens=10**18)
    shown = await ask(house, "Where?", answer=Script(TEXT, usage=mad))
    entry = await charged(house)
    assert (entry.reason, entry.user_nano) == ("finished", entry.held_nano)
    assert WHOLE in shown.content
    assert "went wrong" not in shown.content


async def is_owed(house: House, asked: object) -> bool:
    assert house.bot is not None
    return house.bot.services.answers.open_count == 0 and asked.id in house.bot.services.recovery


async def nothing_owed(house: House) -> bool:
    assert house.bot is not None
    return house.bot.services.recovery.left == 0


async def charged_with(house: House, key: int) -> None:
    """Other requests may still be on hold."""

    async def found() -> bool:
        return key in await entries(house)

    await until(found)


@pytest.mark.usefixtures("impatient")
async def test_where_one_of_several_messages_is_gone_the_last_does_not_look_unfinished(house: House) -> None:
    asked, last, fault = await out_of_reach(house, by_slash, text=LONG, last="Paragraph 19")
    await house.admin.delete(messages_of(house, asked)[0])
    fault.times = 0
    await house.ended(last)
    assert last.content.endswith("⚠️ Cut off: I was interrupted while writing this.")
    entry = await charged(house)
    assert (entry.reason, entry.user_nano) == ("deleted", 0)
    assert await turns(house) == ()
    await until(lambda: nothing_owed(house))
    await house.dana.click(last, label="Delete")
    await house.discord.wait_until(lambda: messages_of(house, asked) == [])


@pytest.mark.usefixtures("impatient")
async def test_an_answer_that_was_charged_without_its_record_is_not_cut_off_for_one_message_that_is_gone(
    empty_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = empty_house
    monkeypatch.setattr("bot.answers.live.INSIST_S", 30.0)  # the last edits of several messages take their time
    async with house.running() as bot:
        await bot.services.database.write(lambda tx: tx.execute(STUCK))
        house.api.script(Script(LONG, usage=USAGE))
        interaction = await house.dana.slash(house.channel, "ask", prompt="Where?")
        last = await house.answer_to(interaction)
        await charged(house)
        await bot.services.database.write(lambda tx: tx.execute("DROP TRIGGER stuck"))
    before = last.content
    await house.admin.delete(messages_of(house, interaction)[0])
    async with house.running():
        await until(lambda: nothing_owed(house))
        assert [turn.answer for turn in await turns(house)] == [LONG]
    assert last.content == before
    assert await records(house) == ["done"]


@pytest.mark.usefixtures("impatient")
async def test_an_unfinished_answer_that_discord_does_not_give_out_for_a_day_is_let_go(empty_house: House) -> None:
    house = empty_house
    await left_by_a_stop(house, by_mention)
    write_below(house, "UPDATE answers SET ending = NULL")
    house.discord.faults.add(Fault(method="GET", template="/channels/…/messages/…", status=500, times=None))
    async with house.running() as bot:
        assert not await nothing_owed(house)
        house.discord.clock.advance(25 * 3_600)
        bot.services.recovery.hurry()
        await until(lambda: nothing_owed(house))


@pytest.mark.usefixtures("impatient")
async def test_an_answer_is_finished_where_the_bot_may_not_read_it(empty_house: House) -> None:
    house = empty_house
    shown = await left_by_a_stop(house, by_slash)
    house.discord.clock.advance(16 * 60)
    house.channel.set_overwrite(house.discord.world.bot, deny=Permission.READ_MESSAGE_HISTORY)
    async with house.running():
        await house.ended(shown)
        assert (await charged(house)).reason == "finished"
    assert WHOLE in shown.content


@pytest.mark.usefixtures("impatient")
async def test_stop_cuts_an_answer_off_at_once_that_a_start_cannot_reach(empty_house: House) -> None:
    house = empty_house
    async with house.process() as process:
        house.api.script(Script(TEXT, stall_after=1, gate=asyncio.Event()))
        interaction = await house.dana.slash(house.channel, "ask", prompt="Where?")
        shown = await house.discord.wait_until(
            lambda: interaction.original if interaction.original and TEXT[0] in interaction.original.content else None
        )
        await killed(house, process)
    fault = house.discord.faults.add(Fault(method="GET", template=EDIT, status=500, times=None))
    async with house.running():
        await house.discord.wait_until(lambda: fault.hits >= 4)
        await house.dana.click(shown, label="Stop")
        await house.ended(shown)
        fault.times = 0
        await until(lambda: nothing_owed(house))
    assert shown.content.count("⚠️ Cut off: I was interrupted while writing this.") == 1


async def test_rounds_that_fail_for_days_do_not_end_the_waiting(house: House) -> None:
    assert house.bot is not None
    recovery = house.bot.services.recovery
    recovery.hurry()
    await recovery.wait(5_000)


@pytest.mark.parametrize("answered", [False, True], ids=["not carried out", "carried out"])
async def test_an_answer_too_long_for_its_messages_has_its_file_once_after_a_kill(
    empty_house: House, answered: bool
) -> None:
    house = empty_house
    async with house.process(MAX_MESSAGES="1") as process:
        gate = asyncio.Event()
        house.api.script(Script([LONG], stall_after=1, gate=gate, usage=USAGE))
        asked = await by_slash(house)
        await house.discord.wait_until(lambda: any("as a file" in m.content for m in messages_of(house, asked)))
        hold = house.discord.faults.hold(Hold(method="PATCH", template="…/messages/…", answered=answered))
        gate.set()
        async with asyncio.timeout(30):
            await hold.reached.wait()
        await killed(house, process)
    [shown] = messages_of(house, asked)
    async with house.running(MAX_MESSAGES="1"):
        await house.ended(shown)
        assert (await charged(house)).reason == "finished"
    assert [each.filename for each in shown.attachments] == ["answer.md"]


@pytest.mark.usefixtures("impatient")
async def test_a_picture_that_a_finished_answer_shows_is_read_from_there(house: House) -> None:
    """The address of what came with a command is signed for a day, and no message tells of another."""
    gate = asyncio.Event()
    house.api.script(Script([*TEXT, "\n"], stall_after=2, chunk_delay_s=0.3, gate=gate, usage=USAGE))
    asked = await house.dana.slash(house.channel, "ask", prompt="Where?", image=picture())
    shown = await house.discord.wait_until(  # its picture comes with the second edit
        lambda: asked.original if asked.original and asked.original.attachments else None
    )
    fault = house.discord.faults.add(Fault(method="PATCH", status=502, html=True, times=None))
    gate.set()
    await until(lambda: is_owed(house, asked))
    fault.times = 0
    await house.ended(shown)
    await charged(house)
    [turn] = await turns(house)
    assert [image.message_id for image in turn.asked.images] == [shown.id]
    assert len(shown.attachments) == 1


async def test_a_stop_while_the_last_edit_hangs_ends_in_time_and_the_next_start_finishes_it(empty_house: House) -> None:
    house = empty_house
    async with house.process(SHUTDOWN_GRACE_S="0.1") as process:
        _, shown, _ = await last_edit_on_its_way(house, by_slash)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
    house.discord.faults.clear()
    assert await entries(house) == {}
    async with house.running():
        await house.ended(shown)
        assert (await charged(house)).reason == "finished"
    assert WHOLE in shown.content


@pytest.mark.usefixtures("impatient")
async def test_a_stop_while_an_answer_of_before_is_finished_ends_in_time_and_leaves_it_to_the_next_start(
    empty_house: House,
) -> None:
    house = empty_house
    shown = await left_by_a_stop(house, by_slash)
    hold = house.discord.faults.hold(Hold(method="PATCH", template="…/messages/…", answered=True))
    async with house.process() as process:
        async with asyncio.timeout(30):
            await hold.reached.wait()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
    house.discord.faults.clear()
    assert await entries(house) == {}
    async with house.running():
        assert (await charged(house)).reason == "finished"
    assert WHOLE in shown.content
