"""An answer while it grows: what a reader sees, edit by edit, and inside which limits."""

import asyncio
import re

import pytest

from sandbox.discord.faults import Fault
from sandbox.discord.messages import Message
from sandbox.minitoolai.script import Script
from tests.e2e.house import House, labels, replies
from tests.e2e.reading import WRITING, assert_readable, footer_of, picture, without_subtext

PROGRAM = "\n".join(f"    total += rows[{number}]  # adds row {number}" for number in range(60))
TABLE = "\n".join(f"| item {number} | {number * 7} 🧮 |" for number in range(30))
REPORT = (
    "# Report\n\nThe **main** points, with [a link](https://example.com/a/long/path) and @everyone named:\n\n"
    + "\n".join(f"{number}. point {number} is *emphasised* 👩‍👩‍👧‍👦" for number in range(1, 25))
    + f"\n\n```python\ndef total(rows):\n    total = 0\n{PROGRAM}\n    return total\n```\n\n"
    + f"| name | number |\n| --- | --- |\n{TABLE}\n\nThat was all. <@1> <@&2>"
)


async def test_the_first_words_are_shown_while_the_api_still_writes(house: House) -> None:
    gate = asyncio.Event()
    house.api.script(Script(["The first", " and the last words."], stall_after=1, gate=gate))
    interaction = await house.dana.slash(house.channel, "ask", prompt="Tell me")
    shown = await house.discord.wait_until(lambda: shown_reply(interaction.original))
    received = house.api.requests[0]
    assert shown.content == f"> Tell me\nThe first\n-# {WRITING} writing…"
    assert labels(shown) == ["Stop"]
    assert not received.ended.is_set()
    gate.set()
    answer = await house.answer_to(interaction)
    assert without_subtext(answer.content) == "> Tell me\nThe first and the last words."
    assert WRITING not in answer.content
    assert "Stop" not in labels(answer)


@pytest.mark.parametrize(
    ("finish_reason", "words"), [("length", "The **main**"), ("stop", "The **main"), ("content_filter", "The **main")]
)
async def test_an_answer_that_its_limit_ended_inside_a_mark_closes_it(
    house: House, finish_reason: str, words: str
) -> None:
    house.api.script(Script("The **main", finish_reason=finish_reason))
    answer = await house.answer_to(await house.dana.slash(house.channel, "ask", prompt="Tell me"))
    assert answer.content.splitlines()[1] == words


def shown_reply(message: Message | None) -> Message | None:
    return message if message is not None and message.content else None


async def test_an_answer_grows_by_edits_that_stand_alone_and_ping_nobody(house: House) -> None:
    house.api.script(Script(REPORT, chunk_delay_s=0.004))
    interaction = await house.dana.slash(house.channel, "ask", prompt="A report")
    await house.answer_to(interaction)
    messages = replies(interaction)
    assert len(messages) > 1
    assert len(messages[0].edits) > 3
    for message in messages:
        assert_readable(message)
    assert [labels(message) for message in messages[:-1]] == [[]] * (len(messages) - 1)


async def test_an_answer_too_long_for_one_message_continues_whole_in_the_next(house: House) -> None:
    house.api.script(Script(REPORT))
    interaction = await house.dana.slash(house.channel, "ask", prompt="A report")
    answer = await house.answer_to(interaction)
    shown = "\n".join(message.content for message in replies(interaction))
    for number in range(1, 25):
        assert shown.count(f"point {number} is") == 1
    for number in range(60):
        assert shown.count(f"# adds row {number}\n") == 1
    for number in range(30):
        assert shown.count(f"| item {number} |") == 1
    assert footer_of(answer).startswith("-# gpt-4o-mini")
    assert sum("-# gpt-4o-mini" in message.content for message in replies(interaction)) == 1


async def test_beyond_the_stated_number_of_messages_the_whole_answer_comes_as_a_file(empty_house: House) -> None:
    house = empty_house
    text = "\n\n".join(f"Paragraph {number}: " + "some more words " * 20 for number in range(60))
    async with house.running(MAX_MESSAGES="2"):
        house.api.script(Script(text))
        interaction = await house.dana.slash(house.channel, "ask", prompt="Everything")
        answer = await house.answer_to(interaction)
        assert len(replies(interaction)) == 2
        (attachment,) = answer.attachments
        assert attachment.filename == "answer.md"
        assert house.discord.world.cdn.content(attachment) == text.encode()
        assert "answer.md" in answer.content
        for message in replies(interaction):
            assert_readable(message)


async def test_pictures_that_discord_does_not_take_back_cost_no_word_of_the_answer(house: House) -> None:
    gate = asyncio.Event()
    house.api.script(Script(["A red", " square."], stall_after=1, gate=gate))
    interaction = await house.dana.slash(house.channel, "ask", prompt="What is this?", image=picture())
    await house.discord.wait_until(lambda: shown_reply(interaction.original))
    refusal = Fault(method="PATCH", template="/webhooks/…", error_code=40005, times=None, when=lambda *_: with_files())
    house.discord.faults.add(refusal)

    def with_files() -> bool:
        return interaction.original is not None and not interaction.original.attachments and refusal.hits == 0

    gate.set()
    answer = await house.answer_to(interaction)
    assert refusal.hits == 1
    assert without_subtext(answer.content) == "> What is this?\nA red square."


async def test_words_that_are_shown_stay_when_discord_refuses_the_rest(house: House) -> None:
    gate = asyncio.Event()
    house.api.script(Script(["The beginning", " of much more."], stall_after=1, gate=gate))
    interaction = await house.dana.slash(house.channel, "ask", prompt="Tell me")
    shown = await house.discord.wait_until(lambda: shown_reply(interaction.original))
    house.discord.faults.add(Fault(method="PATCH", template="/webhooks/…", error_code=50035, times=None))
    gate.set()
    told = await house.discord.wait_until(lambda: interaction.followups and interaction.followups[0])
    assert told.content == "⚠️ Discord refused what I wanted to show. Please tell the bot's operator."
    assert told.visible_to is house.dana.user
    assert shown.content.startswith("> Tell me\nThe beginning")
    house.discord.faults.clear()
    await house.dana.click(shown, label="Stop")
    await house.ended(shown)
    assert shown.content.startswith("> Tell me\nThe beginning\n⚠️ Cut off")


async def test_a_deleted_reply_stops_the_stream_and_is_told_to_the_asker_alone(house: House) -> None:
    gate = asyncio.Event()
    house.api.script(Script(["Some "] * 2_000, stall_after=1, gate=gate, chunk_delay_s=0.005))
    interaction = await house.dana.slash(house.channel, "ask", prompt="Tell me")
    shown = await house.discord.wait_until(lambda: shown_reply(interaction.original))
    await house.admin.delete(shown)
    gate.set()
    told = await house.discord.wait_until(lambda: interaction.followups and interaction.followups[0])
    assert told.content == "The message was deleted, so I stopped writing it."
    assert told.visible_to is house.dana.user
    received = house.api.requests[0]
    async with asyncio.timeout(30):
        await received.ended.wait()
    assert received.client_left
    following = await house.answer_to(await house.dana.slash(house.channel, "ask", prompt="Again?"))
    assert footer_of(following).endswith("shared memory"), "nothing was remembered"


async def test_a_deleted_answer_to_a_mention_stops_the_stream_without_another_message(house: House) -> None:
    gate = asyncio.Event()
    house.api.script(Script(["Some "] * 2_000, stall_after=1, gate=gate, chunk_delay_s=0.005))
    question = await house.dana.say(house.channel, f"{house.discord.world.bot.mention} Tell me")
    shown = await house.discord.wait_until(lambda: reply_to(house, question))
    await house.admin.delete(shown)
    gate.set()
    received = house.api.requests[0]
    async with asyncio.timeout(30):
        await received.ended.wait()
    assert received.client_left
    await house.answer_to(await house.dana.slash(house.channel, "ask", prompt="Again?"))
    assert reply_to(house, question) is None


def reply_to(house: House, question: Message) -> Message | None:
    return next((m for m in house.channel.messages.values() if m.reply_to is question), None)


async def test_ten_answers_at_once_in_one_channel_are_all_whole(house: House) -> None:
    house.api.answer = lambda received: Script(
        [f"word{number} " for number in range(100)], chunk_delay_s=0.01, finish_reason="stop"
    )
    asking = [await house.dana.slash(house.channel, "ask", prompt=f"Question {number}") for number in range(10)]
    for interaction in asking:
        answer = await house.answer_to(interaction)
        assert re.findall(r"word\d+", answer.content) == [f"word{number}" for number in range(100)]
        assert_readable(answer)


async def test_ten_mentions_at_once_in_one_channel_are_all_answered(house: House) -> None:
    # A tenth of Discord's real windows: what matters is that the limits, whatever they are, hold everybody back.
    for rule in ("channel_message_create", "channel_message_edit", "channel_typing"):
        house.discord.limits.set_rule(rule, window_s=0.5)  # type: ignore[arg-type]  # literals, each a rule's name
    house.api.answer = lambda received: Script([f"word{number} " for number in range(50)], chunk_delay_s=0.01)
    mention = house.discord.world.bot.mention
    questions = [await house.dana.say(house.channel, f"{mention} question {number}") for number in range(10)]
    for question in questions:
        answer = await house.reply_in(house.channel, question)
        assert "word49" in answer.content
        assert_readable(answer)


async def test_thirty_answers_at_once_in_thirty_channels_are_all_whole(house: House) -> None:
    house.api.answer = lambda received: Script([f"word{number} " for number in range(60)], chunk_delay_s=0.015)
    channels = [house.guild.add_text_channel(f"channel-{number}") for number in range(30)]
    asking = [await house.dana.slash(channel, "ask", prompt="Question") for channel in channels]
    for interaction in asking:
        answer = await house.answer_to(interaction)
        assert "word59" in answer.content
        assert len(answer.edits) > 2


async def test_an_answer_outlives_the_fifteen_minutes_of_its_token(house: House) -> None:
    gate = asyncio.Event()
    house.api.script(Script(["Before, ", "after."], stall_after=1, gate=gate))
    interaction = await house.dana.slash(house.channel, "ask", prompt="Take your time")
    shown = await house.discord.wait_until(lambda: shown_reply(interaction.original))
    house.discord.clock.advance(15 * 60 + 1)
    gate.set()
    await house.ended(shown)
    assert without_subtext(shown.content) == "> Take your time\nBefore, after."
    assert any(each.template == "/channels/{channel_id}/messages/{message_id}" for each in house.discord.requests)


async def test_edit_limits_that_change_in_the_middle_of_an_answer_are_obeyed(house: House) -> None:
    gate = asyncio.Event()
    words = [f"word{number} " for number in range(200)]
    house.api.script(Script(words, stall_after=1, gate=gate, chunk_delay_s=0.01))
    interaction = await house.dana.slash(house.channel, "ask", prompt="Go on")
    await house.discord.wait_until(lambda: shown_reply(interaction.original))
    house.discord.limits.set_rule("interaction_webhook", limit=3, window_s=1.0, bucket="another")
    gate.set()
    answer = await house.answer_to(interaction)
    assert "word199" in answer.content
    assert house.discord.limits.refused["interaction_webhook"] == 0
