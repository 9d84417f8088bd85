"""What bad input and a failing world get: a clear sentence, nothing stored, and a log line without the text."""

import asyncio
import itertools
import logging
import re
import sqlite3
from typing import Any

import discord
import pytest

import bot.answers.live
import bot.app
from bot.answers.conversing import Conversation
from bot.answers.history import MemoryKey
from bot.app import open_bot, open_services
from bot.client import Bot
from bot.errors import PromptEmpty
from bot.settings import Settings
from sandbox.discord.cdn import Upload
from sandbox.discord.commands import CommandType
from sandbox.discord.faults import Fault, Hold
from sandbox.discord.messages import Interaction, InteractionType, Message
from sandbox.discord.permissions import Permission
from sandbox.minitoolai.script import Script
from tests.e2e.conversing import ask, closed, told, turned_down, turns
from tests.e2e.house import API_KEY, House, discord_py_restored, labels, replies
from tests.e2e.reading import asked, footer_of, picture

PROMPT = "Where is the treasure of the Sierra Madre?"
HEADING = f"> {PROMPT}\n"
TWO_PAGES = "words " * 500 + "end."
NOT_CHARGED = "-# gpt-4o-mini · not charged, not remembered"
WRONG_SETUP = (
    "⚠️ I am set up wrongly, so I cannot reach the AI service. "
    "Please tell the bot's operator; the log says what to mend."
)


def assert_tells_no_secrets(caplog: pytest.LogCaptureFixture) -> None:
    assert "Sierra Madre" not in caplog.text
    assert API_KEY not in caplog.text


async def failed(house: House, script: Script) -> Message:
    """The reply to a question that the API fails to answer; nothing of it is remembered."""
    reply = await ask(house, PROMPT, answer=script)
    assert labels(reply) == ["Regenerate", "Delete"]
    assert await turns(house) == ()
    return reply


# The AI service

PROVIDER = [
    (
        400,
        "⚠️ The AI service would not take this request. Please change it, or leave out what is attached, and try again.",
    ),
    (401, WRONG_SETUP),
    (402, "⚠️ The AI account behind me has run dry. The bot's operator has to top it up."),
    (403, WRONG_SETUP),
    (404, "⚠️ The AI service no longer has this model. Please choose another `model`."),
    (429, "⚠️ The AI service is too busy just now. Please try again in a minute."),
    (500, "⚠️ The AI service has a problem of its own. Please try again in a minute."),
    (503, "⚠️ The AI service has a problem of its own. Please try again in a minute."),
]


@pytest.mark.parametrize(("status", "sentence"), PROVIDER)
async def test_each_refusal_of_the_ai_service_has_its_sentence(
    house: House, caplog: pytest.LogCaptureFixture, status: int, sentence: str
) -> None:
    caplog.set_level(logging.DEBUG, logger="bot")
    body = {"error": {"message": f"refused {API_KEY}: {PROMPT}"}}
    reply = await failed(house, Script(status=status, error_body=body))
    assert reply.content == f"{sentence}\n{NOT_CHARGED}"
    assert_tells_no_secrets(caplog)


@pytest.mark.parametrize(("status", "kind"), [(401, "ProviderKeyRefused"), (402, "ProviderOutOfCredit")])
async def test_what_the_operator_must_mend_is_an_error_in_the_log(
    house: House, caplog: pytest.LogCaptureFixture, status: int, kind: str
) -> None:
    await failed(house, Script(status=status, error_body={"error": {"message": "see your account"}}))
    [line] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert line.getMessage() == f"the AI service refuses the operator's account: {kind} see your account"


async def test_a_busy_service_names_the_time_to_wait(house: House) -> None:
    reply = await failed(house, Script(status=429, headers={"Retry-After": "30"}))
    assert reply.content.startswith("⚠️ The AI service is too busy just now. Please try again in 30 seconds.")


async def test_a_service_that_hangs_up_is_said_to_be_silent(house: House, caplog: pytest.LogCaptureFixture) -> None:
    reply = await failed(house, Script(hang_up=True))
    assert reply.content == f"⚠️ The AI service did not answer. Please try again in a minute.\n{NOT_CHARGED}"
    assert_tells_no_secrets(caplog)


async def test_a_refused_connection_is_said_to_be_silence(
    empty_house: House, unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    house = empty_house
    async with house.running(MINITOOLAI_API_URL=f"http://127.0.0.1:{unused_tcp_port}/api"):
        reply = await ask(house, PROMPT)
        assert reply.content.startswith("⚠️ The AI service did not answer.")
        assert await turns(house) == ()
    assert_tells_no_secrets(caplog)


@pytest.mark.parametrize("first", [Script(status=500), Script(status=429), Script(hang_up=True)])
async def test_a_failure_before_the_first_byte_is_repeated_in_silence(empty_house: House, first: Script) -> None:
    house = empty_house
    house.api.script(first)
    async with house.running(CHAT_RETRIES="1"):
        reply = await ask(house, PROMPT, answer="In Durango.")
        assert len(house.api.requests) == 2
        assert "⚠️" not in "".join(state.content for state in reply.edits)
        assert reply.content.startswith(f"{HEADING}In Durango.\n-# gpt-4o-mini · ")
        assert len(await turns(house)) == 1


async def test_a_repeated_attempt_is_logged_without_the_text(
    empty_house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house = empty_house
    house.api.script(Script(status=500, error_body={"error": {"message": f"no answer to {PROMPT}"}}))
    async with house.running(CHAT_RETRIES="1"):
        await ask(house, PROMPT)
    assert "attempt 1 failed" in caplog.text
    assert_tells_no_secrets(caplog)


async def test_a_failure_after_the_first_byte_is_not_repeated(empty_house: House) -> None:
    house = empty_house
    async with house.running(CHAT_RETRIES="2"):
        await failed(house, Script(["In ", "Durango."], break_after=1))
    assert len(house.api.requests) == 1


CUT = [
    (Script(["In ", "Durango."], break_after=1), "The connection to the AI service was lost."),
    (Script(["In ", "Durango."], error_after=1), "The AI service reported an error instead of going on."),
]


@pytest.mark.parametrize(("script", "sentence"), CUT)
async def test_a_partial_answer_stays_and_is_marked_as_cut_off(
    house: House, caplog: pytest.LogCaptureFixture, script: Script, sentence: str
) -> None:
    reply = await failed(house, script)
    assert reply.content == f"{HEADING}In\n⚠️ Cut off. {sentence}\n{NOT_CHARGED}"
    assert_tells_no_secrets(caplog)
    after = await ask(house, "Go on")
    assert "Durango" not in asked(house.api.requests[-1].body)
    assert "turn" not in footer_of(after)


async def test_an_answer_that_stalls_is_cut_off(empty_house: House) -> None:
    house = empty_house
    async with house.running(CHAT_GAP_TIMEOUT_S="0.1"):
        reply = await failed(house, Script(["In ", "Durango."], stall_after=1))
    assert reply.content == f"{HEADING}In\n⚠️ Cut off. The AI service said nothing for 1 second.\n{NOT_CHARGED}"


async def test_a_service_that_never_begins_is_left_at_the_deadline(empty_house: House) -> None:
    house = empty_house
    async with house.running(CHAT_FIRST_BYTE_TIMEOUT_S="0.1"):
        reply = await failed(house, Script(["In ", "Durango."], stall_after=0))
    assert reply.content == f"⚠️ The AI service did not answer. Please try again in a minute.\n{NOT_CHARGED}"


@pytest.mark.parametrize(
    "script", [Script(""), Script([" \n", "\n "]), Script(raw=[b"data: [DONE]\n\n"]), Script(raw=[])]
)
async def test_an_answer_without_a_word_says_so(house: House, script: Script) -> None:
    reply = await failed(house, script)
    words = reply.content.removeprefix(HEADING)
    assert words.startswith("⚠️ The AI service answered without a word. Please try again")


async def test_an_error_object_before_any_word_is_not_called_cut_off(house: House) -> None:
    reply = await failed(house, Script(["never"], error_after=0))
    assert reply.content == f"⚠️ The AI service reported an error instead of going on.\n{NOT_CHARGED}"


async def test_a_filtered_answer_says_what_ended_it(house: House) -> None:
    reply = await ask(house, PROMPT, answer=Script("In Dur", finish_reason="content_filter"))
    assert "⚠️ The AI service's content filter ended this answer." in reply.content


async def test_a_private_failure_is_told_to_the_asker_alone(house: House) -> None:
    reply = await ask(house, PROMPT, answer=Script(status=500), private=True)
    assert reply.visible_to is house.dana.user


# The question


async def first_words(house: House, interaction: Interaction) -> Message:
    message = await told(house, interaction)
    assert message.visible_to is interaction.user
    assert not house.api.requests
    assert await turns(house) == ()
    return message


async def test_an_empty_question_is_refused(house: House) -> None:
    interaction = await house.dana.slash(house.channel, "ask", prompt="   ", tampered=True)
    said = await first_words(house, interaction)
    assert said.content == "⚠️ There is nothing to answer: please write a question, or attach a picture or a file."


async def test_a_bare_mention_is_answered_with_what_is_missing(house: House) -> None:
    mine = await house.dana.say(house.channel, f"<@{house.discord.world.bot.id}>")
    reply = await house.discord.wait_until(
        lambda: next((m for m in house.channel.messages.values() if m.reply_to is mine), None)
    )
    assert reply.content.startswith("⚠️ There is nothing to answer")
    assert not house.api.requests


async def test_a_question_over_the_limit_is_refused(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    interaction = await house.dana.slash(house.channel, "ask", prompt="treasure " * 700, tampered=True)
    said = await first_words(house, interaction)
    assert said.content == (
        "⚠️ That is too long: 6,300 characters, and at most 6,000 fit. Please shorten it, or attach it as a `file`."
    )
    assert "told the asker: PromptTooLong" in caplog.text
    assert "treasure" not in caplog.text


async def test_an_unknown_or_retired_model_is_refused_with_those_there_are(house: House) -> None:
    interaction = await house.dana.slash(house.channel, "ask", prompt=PROMPT, model="gpt-3", tampered=True)
    said = await first_words(house, interaction)
    assert said.content.startswith("⚠️ There is no model `gpt-3` (any more). Please choose one of `gpt-4o-mini`, ")


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("temperature", 2.5, "`temperature` must lie between 0 and 2"),
        ("max_tokens", 4_001, "`max_tokens` must lie between 1 and 4,000"),
        ("max_tokens", 0, "`max_tokens` must lie between 1 and 4,000"),
    ],
)
async def test_an_option_out_of_its_range_is_refused(house: House, option: str, value: float, sentence: str) -> None:
    interaction = await house.dana.slash(house.channel, "ask", prompt=PROMPT, tampered=True, **{option: value})
    assert (await first_words(house, interaction)).content == f"⚠️ {sentence}."


async def test_a_refused_attachment_leaves_a_log_line_without_its_name(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await turned_down(house, PROMPT, file=Upload(name="diary.txt", content=b"\0\1\2"))
    assert "told the asker: AttachmentRefused" in caplog.text
    assert "diary" not in caplog.text
    assert_tells_no_secrets(caplog)


async def test_a_cdn_that_cannot_be_reached_is_not_called_an_expired_address(empty_house: House) -> None:
    house = empty_house
    async with house.running():
        house.discord.world.cdn.base_url = "http://127.0.0.1:9/cdn"
        said = await turned_down(house, PROMPT, image=picture())
        assert said.content == "⚠️ `cat.png` could not be fetched from Discord just now. Please try again."


async def test_beyond_the_configured_number_of_answers_one_is_told_to_wait(empty_house: House) -> None:
    house = empty_house
    gate = asyncio.Event()
    async with house.running(MAX_OPEN_ANSWERS="1"):
        house.api.script(Script("First.", gate=gate))
        first = await house.dana.slash(house.channel, "ask", prompt=PROMPT)
        await house.api.wait_for_request()
        second = await told(house, await house.noam.slash(house.channel, "ask", prompt="And I?"))
        assert second.content == "⚠️ I am at work on as much as I can take. Please try again in a minute."
        gate.set()
        await house.answer_to(first)


# Discord


async def test_where_the_bot_may_not_post_the_asker_is_told_directly(house: House) -> None:
    closed = house.guild.add_text_channel("closed")
    closed.set_overwrite(house.discord.world.bot, deny=Permission.SEND_MESSAGES)
    await house.dana.say(closed, f"<@{house.discord.world.bot.id}> {PROMPT}")
    private = house.discord.world.dm(house.dana.user)
    message = await house.discord.wait_until(lambda: next(iter(private.messages.values()), None))
    assert message.content.startswith(f"You asked me something in <#{closed.id}>, but I may not write there.")
    assert not house.api.requests


async def test_an_answer_whose_message_is_deleted_ends_and_is_not_remembered(house: House) -> None:
    gate = asyncio.Event()
    house.api.script(Script(["In ", "Durango."], stall_after=1, gate=gate))
    interaction = await house.dana.slash(house.channel, "ask", prompt=PROMPT)
    shown = await told(house, interaction)
    await house.admin.delete(shown)
    gate.set()
    await house.api.requests[-1].ended.wait()
    said = await house.discord.wait_until(lambda: next((m for m in interaction.followups if m.content), None))
    assert said.content == "The message was deleted, so I stopped writing it."
    assert said.visible_to is house.dana.user
    assert await turns(house) == ()


async def test_a_deleted_channel_ends_the_answer_and_nothing_is_remembered(house: House) -> None:
    doomed = house.guild.add_text_channel("doomed")
    gate = asyncio.Event()
    house.api.script(Script(["In ", "Durango."], stall_after=1, gate=gate))
    interaction = await house.dana.slash(doomed, "ask", prompt=PROMPT)
    await told(house, interaction)
    doomed.delete()
    gate.set()
    await house.api.requests[-1].ended.wait()
    assert house.bot is not None
    await house.bot.services.answers.close()
    assert await turns(house, MemoryKey.shared(doomed.id)) == ()


async def test_what_discord_fails_at_for_a_moment_is_tried_again(house: House) -> None:
    house.discord.faults.add(Fault(method="PATCH", template="/webhooks/…/messages/…", status=500, times=1))
    reply = await ask(house, PROMPT, answer="In Durango.")
    assert reply.content.startswith(f"{HEADING}In Durango.")
    assert len(await turns(house)) == 1


@pytest.mark.parametrize("status", [200, 500])
async def test_an_acknowledgement_whose_answer_is_lost_leaves_no_reply_loading(house: House, status: int) -> None:
    lost = Fault(method="POST", template="/interactions/…/callback", status=502, html=True, carried_out=True)
    house.discord.faults.add(lost)
    reply = await ask(house, PROMPT, answer=Script("In Durango.", status=status))
    assert lost.hits == 1
    assert reply.content.startswith(HEADING if status == 200 else "⚠️ The AI service has a problem")
    assert not reply.loading


async def test_what_is_wrong_is_said_where_the_acknowledgements_answer_was_lost(house: House) -> None:
    house.discord.faults.add(
        Fault(method="POST", template="/interactions/…/callback", status=502, html=True, carried_out=True)
    )
    notes = Upload(name="notes.txt", content=b"\0")
    interaction = await house.dana.slash(house.channel, "ask", prompt=PROMPT, file=notes)
    assert "is not a text file" in (await told(house, interaction)).content
    assert interaction.original is not None
    assert not interaction.original.loading


# The database


async def test_an_answer_that_cannot_be_remembered_is_shown_and_says_so(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    with sqlite3.connect(house.folder / "bot.db", timeout=10) as database:
        database.execute("CREATE TRIGGER full BEFORE INSERT ON turns BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    database.close()
    reply = await ask(house, PROMPT, answer="In Durango.")
    assert reply.content.startswith(f"{HEADING}In Durango.")
    assert "could not be remembered" in footer_of(reply)
    assert await turns(house) == ()
    assert "a turn could not be stored" in caplog.text
    assert_tells_no_secrets(caplog)


async def test_the_unforeseen_gets_a_reference_that_stands_in_the_log(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise LookupError("a fault of ours")

    assert house.bot is not None
    monkeypatch.setattr(house.bot.services.answers, "check", broken)
    said = await told(house, await house.dana.slash(house.channel, "ask", prompt=PROMPT))
    reference = re.search(r"this reference: `([0-9a-f]{8})`", said.content)
    assert reference is not None
    assert reference[1] in caplog.text
    assert "LookupError" not in said.content


async def test_the_unforeseen_leaves_no_reply_that_looks_unfinished(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise LookupError("a fault of ours")

    monkeypatch.setattr(Conversation, "_footer", broken)
    gate = asyncio.Event()
    house.api.script(Script(["In ", "Durango."], stall_after=1, gate=gate))
    interaction = await house.dana.slash(house.channel, "ask", prompt=PROMPT)
    shown = await told(house, interaction)
    gate.set()
    await house.ended(shown)
    assert shown.content.startswith(f"{HEADING}In")
    assert shown.content.endswith("\n⚠️ Cut off: something went wrong on my side.")
    said = await house.discord.wait_until(lambda: next((m for m in interaction.followups if m.content), None))
    assert "this reference" in said.content
    assert said.visible_to is house.dana.user
    assert await turns(house) == ()


@pytest.mark.parametrize("comes", [True, False], ids=["its answer comes", "its answer never comes"])
@pytest.mark.parametrize("mention", [False, True], ids=["command", "mention"])
async def test_the_unforeseen_before_the_first_edit_is_answered_leaves_no_reply_that_looks_unfinished(
    house: House, monkeypatch: pytest.MonkeyPatch, mention: bool, comes: bool
) -> None:
    failing = asyncio.Event()

    def broken(*_: object, **__: object) -> None:
        failing.set()
        raise LookupError("a fault of ours")

    monkeypatch.setattr(Conversation, "_footer", broken)
    if not comes:
        monkeypatch.setattr(bot.answers.live, "ABANDON_S", 4.0)  # half of it is waited
    method, template = ("POST", "/channels/…/messages") if mention else ("PATCH", "/webhooks/…/messages/…")
    hold = house.discord.faults.hold(Hold(method=method, template=template, answered=True))
    gate = asyncio.Event()
    house.api.script(Script(["In ", "Durango."], stall_after=1, gate=gate))
    if mention:
        await house.dana.say(house.channel, f"{house.discord.world.bot.mention} {PROMPT}")
    else:
        await house.dana.slash(house.channel, "ask", prompt=PROMPT)
    async with asyncio.timeout(30):
        await hold.reached.wait()
    shown = await house.discord.wait_until(lambda: next((m for m in mine(house) if labels(m) == ["Stop"]), None))
    gate.set()
    async with asyncio.timeout(30):
        await failing.wait()
    if comes:
        hold.let_go()
    await house.ended(shown)
    assert shown.content.endswith("\n⚠️ Cut off: something went wrong on my side.")
    said = await house.discord.wait_until(lambda: next((m for m in mine(house) if "this reference" in m.content), None))
    assert said is not shown
    assert await turns(house) == ()
    hold.let_go()
    assert [m for m in mine(house) if "In" in m.content] == [shown]


@pytest.fixture
def broken_end(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Something unforeseen ends each answer after its last word; the event says when."""
    failing = asyncio.Event()

    def broken(*_: object, **__: object) -> None:
        failing.set()
        raise LookupError("a fault of ours")

    monkeypatch.setattr(Conversation, "_footer", broken)
    return failing


async def all_but_ended(house: House, text: str, **options: object) -> tuple[Interaction, asyncio.Event]:
    """All of `text` is shown, and the API ends its answer with the event."""
    gate = asyncio.Event()
    house.api.script(Script([text], stall_after=1, gate=gate))
    interaction = await house.dana.slash(house.channel, "ask", prompt=PROMPT, **options)
    end = text.rpartition(" ")[2]
    await house.discord.wait_until(lambda: any(end in message.content for message in replies(interaction)))
    return interaction, gate


@pytest.mark.usefixtures("broken_end")
async def test_delete_takes_all_messages_of_an_answer_that_the_unforeseen_ended(house: House) -> None:
    interaction, gate = await all_but_ended(house, TWO_PAGES)
    first, last = replies(interaction)
    gate.set()
    await house.ended(last)
    await closed(house, interaction)
    await house.dana.click(last, label="Delete")
    await house.discord.wait_until(lambda: first.deleted and last.deleted)
    assert not {first, last} & set(mine(house))


async def test_where_one_of_several_messages_is_deleted_the_last_does_not_look_unfinished(house: House) -> None:
    """With the last edit it would have got its picture."""
    interaction, gate = await all_but_ended(house, TWO_PAGES, image=picture())
    first, last = replies(interaction)
    await house.admin.delete(first)
    gate.set()
    await house.ended(last)
    assert last.content.endswith("\n⚠️ Cut off: a part of this answer was deleted.")
    await closed(house, interaction)
    assert await turns(house) == ()
    await house.dana.click(last, label="Delete")
    await house.discord.wait_until(lambda: last.deleted)


async def test_stop_closes_again_what_an_edit_has_opened_that_came_after_the_last(
    house: House, monkeypatch: pytest.MonkeyPatch, broken_end: asyncio.Event
) -> None:
    monkeypatch.setattr(bot.answers.live, "ABANDON_S", 4.0)  # half of it is waited
    gate, edits = asyncio.Event(), itertools.count(1)
    second = Hold(method="PATCH", template="/webhooks/…/messages/…", when=lambda *_: next(edits) == 2)
    late = house.discord.faults.hold(second)
    house.api.script(Script(["In ", "Durango, ", "or not."], stall_after=2, chunk_delay_s=0.3, gate=gate))
    interaction = await house.dana.slash(house.channel, "ask", prompt=PROMPT)
    shown = await told(house, interaction)
    async with asyncio.timeout(30):
        await late.reached.wait()
    gate.set()
    async with asyncio.timeout(30):
        await broken_end.wait()
    await house.ended(shown)
    await closed(house, interaction)
    late.let_go()
    await house.discord.wait_until(lambda: labels(shown) == ["Stop"])
    await house.dana.click(shown, label="Stop")
    await house.ended(shown)
    assert "Stop" not in labels(shown)
    assert shown.content == f"{HEADING}In Durango,\n⚠️ Cut off: I was interrupted while writing this."


async def test_stop_closes_a_message_of_which_the_bot_never_heard_that_it_is_there(house: House) -> None:
    house.discord.faults.add(Fault(method="POST", template="/webhooks/…", drop=True, carried_out=True))
    interaction, gate = await all_but_ended(house, TWO_PAGES)
    whole, stray = replies(interaction)
    gate.set()
    await house.ended(whole)
    await closed(house, interaction)
    assert labels(stray) == ["Stop"]
    before = whole.content
    await house.dana.click(stray, label="Stop")
    await house.ended(stray)
    assert stray.content.endswith("⚠️ Cut off: I was interrupted while writing this.")
    assert whole.content == before
    assert [turn.answer for turn in await turns(house)] == [TWO_PAGES]


async def test_a_reply_that_no_edit_could_close_shows_what_went_wrong_and_no_stop(
    house: House, monkeypatch: pytest.MonkeyPatch, broken_end: asyncio.Event
) -> None:
    monkeypatch.setattr(bot.answers.live, "ABANDON_S", 0.5)
    edit = "/webhooks/…/messages/…"
    first = house.discord.faults.hold(Hold(method="PATCH", template=edit, answered=True))
    gate = asyncio.Event()
    house.api.script(Script(["In ", "Durango."], stall_after=1, gate=gate))
    interaction = await house.dana.slash(house.channel, "ask", prompt=PROMPT)
    async with asyncio.timeout(30):
        await first.reached.wait()
    closing = house.discord.faults.hold(Hold(method="PATCH", template=edit))
    gate.set()
    async with asyncio.timeout(30):
        await broken_end.wait()
        await closing.reached.wait()
    shown = await house.discord.wait_until(
        lambda: interaction.original if interaction.original and "reference" in interaction.original.content else None
    )
    assert labels(shown) == []


def mine(house: House) -> list[Message]:
    """What the bot has said in the general channel, to everybody or to one."""
    return [m for m in house.channel.messages.values() if m.author is house.discord.world.bot and not m.deleted]


async def test_a_message_that_discord_delivers_twice_is_answered_once(house: House) -> None:
    gate = asyncio.Event()
    house.api.script(Script("In Durango.", gate=gate))
    question = await house.dana.say(house.channel, f"<@{house.discord.world.bot.id}> {PROMPT}")
    await house.discord.wait_until(lambda: bool(house.api.requests))
    again = question.payload_for_bot() | {"guild_id": str(house.guild.id)}
    house.discord.gateway.dispatch_raw("MESSAGE_CREATE", again)
    later = await ask(house, "Did it come?", answer="Yes.", by=house.noam)
    gate.set()
    await house.reply_in(house.channel, question)
    replies_to_it = [m for m in house.channel.messages.values() if m.reply_to is question]
    assert len(replies_to_it) == 1
    assert len(house.api.requests) == 2
    assert later.content.startswith("> Did it come?\nYes.")


async def test_a_discord_that_cannot_be_left_keeps_nothing_else_open(
    empty_house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def hanging(_: Bot) -> None:
        await asyncio.Event().wait()

    settings = Settings.load(empty_house.environment())
    with monkeypatch.context() as patched, discord_py_restored():
        patched.setattr(Bot, "close", hanging)
        patched.setattr(bot.app, "CLOSE_S", 0.01)
        async with open_bot(settings):
            pass
    assert "Discord was not left properly" in caplog.text
    async with open_services(settings):
        pass  # the database was closed, or it would be in use


async def heard(house: House, bot: Bot) -> tuple[Any, discord.Message]:
    """The cog that answers messages, and one that it heard."""
    hearing = asyncio.create_task(bot.wait_for("message", timeout=30))
    await asyncio.sleep(0)  # it listens from its first step on
    question = await house.dana.say(house.channel, f"<@{house.discord.world.bot.id}>")
    message = await hearing
    await house.discord.wait_until(lambda: any(m.reply_to is question for m in house.channel.messages.values()))
    return bot.get_cog("Ask"), message


async def test_a_message_that_comes_while_the_bot_ends_is_left_and_one_that_finds_discords_door_shut_is_not(
    empty_house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async with empty_house.running() as bot:
        cog, message = await heard(empty_house, bot)
        await bot.http.close()  # it is not the bot that ends
        with pytest.raises(RuntimeError, match="Session is closed"):
            await cog._say(message, "Words.")
        assert "while the bot was ending" not in caplog.text
    with caplog.at_level(logging.INFO):
        await cog._say(message, "Words.")
    assert "a message came while the bot was ending" in caplog.text
    assert "Words." not in [m.content for m in empty_house.channel.messages.values()]


async def test_an_error_that_finds_discords_door_shut_is_raised_as_long_as_the_bot_does_not_end(
    empty_house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async with empty_house.running() as bot:
        hearing = asyncio.create_task(bot.wait_for("interaction", timeout=30))
        await asyncio.sleep(0)  # it listens from its first step on
        await told(empty_house, await empty_house.dana.slash(empty_house.channel, "help"))
        interaction = await hearing
        await bot.http.close()  # it is not the bot that ends
        with pytest.raises(RuntimeError, match="Session is closed"):
            await bot.report(interaction, PromptEmpty())
        assert "could not be shown" not in caplog.text


async def test_a_subcommand_that_comes_without_a_list_of_options_is_answered(house: House) -> None:
    known = house.discord.world.commands.find("history", CommandType.CHAT_INPUT, None)
    assert known is not None
    data = {"id": known["id"], "name": "history", "type": 1, "options": [{"name": "show", "type": 1}]}
    interaction = house.discord.world.create_interaction(InteractionType.COMMAND, house.dana.user, house.channel, data)
    assert (await told(house, interaction)).content.endswith("Nothing is remembered yet.")
