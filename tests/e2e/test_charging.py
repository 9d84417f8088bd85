"""Who pays for what: each way in which a question can end, from Discord to the ledger's entry."""

import asyncio
import contextlib
import re
import sqlite3
from typing import Any

import pytest

from bot.answers import charge as charging
from bot.credits.policy import BLOCKED, DIRECT_SCOPE, UNLIMITED, Allowance
from bot.credits.rules import Reason
from bot.credits.values import Entry, Hold, HoldRequest
from bot.guilds import Target
from bot.money import NanoDollars
from sandbox.discord.faults import Fault
from sandbox.discord.messages import Interaction, Message
from sandbox.discord.places import Role
from sandbox.minitoolai.script import Script, Tokens
from tests.e2e.accounting import (
    LEAST_CREDITS,
    OUTPUT_NANO,
    USAGE,
    USED_NANO,
    allow,
    books_are_right,
    charged,
    decide,
    entries,
    grant,
    holds,
    price,
)
from tests.e2e.conversing import ask, conversation, told
from tests.e2e.deciding import services
from tests.e2e.house import House
from tests.e2e.reading import footer_of, picture
from tests.e2e.test_buttons import half_an_answer

PAID = Script("An answer.", usage=USAGE)


async def refused(house: House, **options: object) -> str:
    """What Dana reads in place of an answer; the API hears nothing, and nothing is written down."""
    before = len(house.api.requests)
    said = await told(house, await house.dana.slash(house.channel, "ask", prompt="May I?", **options))
    assert len(house.api.requests) == before
    await books_are_right(house)
    return said.content


def assert_paid(entry: Entry, reason: Reason, *, user: int, provider: int, estimated: bool = False) -> None:
    assert (entry.reason, entry.user_nano, entry.provider_nano, entry.estimated) == (reason, user, provider, estimated)


def assert_estimated(entry: Entry, reason: Reason, *, user_pays: bool) -> int:
    """What was counted here is what the API was paid, by its price; the user pays it, or nothing. Returns it."""
    tokens = Tokens(prompt_tokens=entry.prompt_tokens, completion_tokens=entry.completion_tokens)
    assert entry.prompt_tokens > 0
    assert_paid(entry, reason, user=price(tokens) if user_pays else 0, provider=price(tokens), estimated=True)
    return price(tokens)


# Exactly one


REFUSED = re.compile(
    r"⚠️ That needs [0-9.]+ credits, and you have <?[0-9.]+ left\. "
    r"Your allowance starts anew <t:[0-9]+:R>\. This server's admins can raise it, with `/quota`\."
)


async def test_of_200_at_once_one_is_served_where_one_can_be_paid(empty_house: House) -> None:
    house = empty_house
    gate = asyncio.Event()
    house.api.answer = lambda _: Script("It is you.", gate=gate)
    async with house.running(DEFAULT_ALLOWANCE=f"{LEAST_CREDITS}/day"):
        asked = [await house.dana.slash(house.channel, "ask", prompt="Is it me?") for _ in range(200)]

        def turned_down() -> list[Interaction]:
            return [each for each in asked if any(REFUSED.fullmatch(message.content) for message in each.messages)]

        await house.discord.wait_until(lambda: len(turned_down()) == 199, timeout_s=60)
        gate.set()
        (served,) = set(asked) - set(turned_down())
        assert "It is you." in (await house.answer_to(served)).content
        assert await charged(house, served.id)
    assert len(house.api.requests) == 1
    assert list(await entries(house)) == [served.id]


# How it can end


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (PAID, "finished"),
        (Script("It goes on", usage=USAGE, finish_reason="length"), "length"),
        (Script("In Dur", usage=USAGE, finish_reason="content_filter"), "filtered"),
        (Script("", usage=USAGE, finish_reason="content_filter"), "filtered"),
    ],
)
async def test_an_answer_is_paid_by_the_apis_own_figures(house: House, script: Script, reason: Reason) -> None:
    reply = await ask(house, "What does it cost?", answer=script)
    entry = await charged(house)
    assert_paid(entry, reason, user=USED_NANO, provider=USED_NANO)
    assert (entry.prompt_tokens, entry.completion_tokens, entry.model) == (1_000, 200, "gpt-4o-mini")
    assert (entry.scope_id, entry.user_id) == (house.guild.id, house.dana.user.id)
    assert entry.held_nano > USED_NANO
    assert "1,000 tokens in, 200 out · 0.27 credits ($0.00027)" in footer_of(reply)


async def test_without_the_apis_figures_the_tokenizers_count_is_paid_and_marked(house: House) -> None:
    reply = await ask(house, "What does it cost?", answer=Script("In Durango.", usage=None))
    entry = await charged(house)
    assert assert_estimated(entry, "finished", user_pays=True) == price(billed(house))
    assert f"≈{entry.completion_tokens} out" in footer_of(reply)


def billed(house: House) -> Tokens:
    tokens = house.api.requests[-1].billed
    assert tokens is not None
    return tokens


async def test_what_was_used_beyond_the_hold_is_the_operators_loss(house: House) -> None:
    usage = Tokens(prompt_tokens=10_000, completion_tokens=2_000)
    await ask(house, "What does it cost?", answer=Script("A lot.", usage=usage))
    entry = await charged(house)
    assert_paid(entry, "finished", user=entry.held_nano, provider=price(usage))
    assert entry.held_nano < price(usage)


async def test_a_stopped_answer_is_paid_by_estimate(house: House) -> None:
    async with half_an_answer(house) as (shown, received):
        await house.dana.click(shown, label="Stop")
        await house.ended(shown)
        async with asyncio.timeout(30):
            await received.ended.wait()
    assert assert_estimated(await charged(house), "stopped", user_pays=True) == price(billed(house))


@pytest.mark.parametrize(
    "script",
    [
        Script(["In ", "Durango."], break_after=1),
        Script(["In ", "Durango."], error_after=1),
        Script(["In ", "Durango."], stall_after=1),
        Script(["never"], error_after=0),
    ],
    ids=["broken", "error object", "stalled", "error object at once"],
)
async def test_a_stream_that_fails_costs_its_asker_nothing(empty_house: House, script: Script) -> None:
    house = empty_house
    async with house.running(CHAT_GAP_TIMEOUT_S="0.2"):
        reply = await ask(house, "Will it come?", answer=script)
        provider = assert_estimated(await charged(house), "cut", user_pays=False)
        assert "not charged" in footer_of(reply)
        await house.api.requests[-1].ended.wait()
        assert provider == price(billed(house))


async def test_an_answer_without_a_word_costs_its_asker_nothing_and_is_booked(house: House) -> None:
    await ask(house, "Will it come?", answer=Script("", usage=USAGE))
    assert_paid(await charged(house), "cut", user=0, provider=USED_NANO)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 429, 500, 503])
async def test_what_the_api_refuses_costs_nobody_anything(house: House, status: int) -> None:
    reply = await ask(house, "Will you take it?", answer=Script(status=status))
    assert_paid(await charged(house), "refused", user=0, provider=0)
    assert "not charged" in footer_of(reply)


async def test_a_refused_connection_costs_nobody_anything(empty_house: House, unused_tcp_port: int) -> None:
    house = empty_house
    async with house.running(MINITOOLAI_API_URL=f"http://127.0.0.1:{unused_tcp_port}/api"):
        await ask(house, "Is anybody there?")
        assert_paid(await charged(house), "refused", user=0, provider=0)


async def test_a_try_that_was_lost_is_the_operators_due_and_never_the_askers(empty_house: House) -> None:
    house = empty_house
    async with house.running(CHAT_RETRIES="1"):
        house.api.script(Script(hang_up=True))
        await ask(house, "Is anybody there?", answer=Script("Here.", usage=USAGE))
        entry = await charged(house)
        lost, answered = house.api.requests
        assert entry.reason == "finished"
        assert entry.user_nano == USED_NANO
        assert entry.estimated
        # The API may want to be paid for the words that it was sent twice; nobody but it can know.
        assert lost.body == answered.body
        assert entry.provider_nano - USED_NANO == entry.held_nano - 1_000 * OUTPUT_NANO
        await books_are_right(house)


async def test_a_try_that_was_lost_is_booked_when_the_next_is_turned_down(empty_house: House) -> None:
    house = empty_house
    async with house.running(CHAT_RETRIES="1"):
        house.api.script(Script(hang_up=True))
        await ask(house, "Is anybody there?", answer=Script(status=400))
        entry = await charged(house)
        assert (entry.reason, entry.user_nano) == ("unanswered", 0)
        assert entry.provider_nano == entry.held_nano - 1_000 * OUTPUT_NANO
        await books_are_right(house)


@pytest.mark.parametrize("script", [Script("Late.", stall_after=0), Script(hang_up=True)], ids=["silent", "hung up"])
async def test_what_the_api_took_and_never_answered_is_booked_as_sent(empty_house: House, script: Script) -> None:
    house = empty_house
    async with house.running(CHAT_FIRST_BYTE_TIMEOUT_S="0.2"):
        await ask(house, "Is anybody there?", answer=script)
        entry = await charged(house)
        assert_estimated(entry, "unanswered", user_pays=False)
        assert entry.completion_tokens == 0


async def test_an_answer_that_is_deleted_as_it_streams_costs_its_asker_nothing(house: House) -> None:
    house.api.script(Script(["On and on. "] * 500, chunk_delay_s=0.02, usage=USAGE))
    interaction = await house.dana.slash(house.channel, "ask", prompt="Where?")
    await house.admin.delete(await told(house, interaction))
    assert_estimated(await charged(house), "deleted", user_pays=False)


async def test_a_bot_that_is_stopped_in_the_middle_charges_nothing(empty_house: House) -> None:
    house = empty_house
    async with house.running(), half_an_answer(house):
        pass
    assert_estimated(await charged(house), "shutdown", user_pays=False)


async def test_what_discord_forbids_to_show_costs_its_asker_nothing(house: House) -> None:
    house.discord.faults.add(Fault(method="POST", template="/channels/…/messages", times=None, error_code=50013))
    house.api.script(PAID)
    await house.dana.say(house.channel, f"{house.discord.world.bot.mention} Where?")
    entry = await charged(house)
    assert (entry.reason, entry.user_nano) == ("undelivered", 0)
    assert entry.provider_nano > 0


async def test_what_discord_refuses_to_show_costs_its_asker_nothing(house: House) -> None:
    house.discord.faults.add(Fault(method="PATCH", template="/webhooks/…/messages/…", times=None, error_code=50035))
    house.api.script(PAID)
    interaction = await house.dana.slash(house.channel, "ask", prompt="Where?")
    entry = await charged(house, interaction.id)
    assert (entry.reason, entry.user_nano) == ("undelivered", 0)
    assert entry.provider_nano > 0


async def test_a_message_that_discord_delivers_again_later_is_charged_and_answered_once(house: House) -> None:
    house.api.answer = lambda _: PAID
    question = await house.dana.say(house.channel, f"{house.discord.world.bot.mention} Where?")
    await house.reply_in(house.channel, question)
    await charged(house, question.id)
    again = question.payload_for_bot() | {"guild_id": str(house.guild.id)}
    house.discord.gateway.dispatch_raw("MESSAGE_CREATE", again)
    await house.reply_in(
        house.channel, await house.noam.say(house.channel, f"{house.discord.world.bot.mention} Twice?")
    )
    assert len(house.api.requests) == 2
    await books_are_right(house)
    assert len(await entries(house)) == 2
    assert len([each for each in house.channel.messages.values() if each.reply_to is question]) == 1


# The buttons


async def test_regenerate_and_continue_are_charged_by_themselves(house: House) -> None:
    house.api.script(Script("One,", finish_reason="length", usage=USAGE), PAID, PAID)
    first = await house.dana.slash(house.channel, "ask", prompt="Count")
    answer = await house.answer_to(first)
    more = await house.dana.click(answer, label="Continue")
    await house.answer_to(more)
    again = await house.dana.click(answer, label="Regenerate")
    await house.answer_to(again)
    await charged(house, again.id)
    written = await entries(house)
    assert set(written) == {first.id, more.id, again.id}
    assert [written[key].user_nano for key in sorted(written)] == [USED_NANO] * 3


async def test_a_button_needs_credits_too(empty_house: House) -> None:
    house = empty_house
    async with house.running(DEFAULT_ALLOWANCE=f"{LEAST_CREDITS}/day"):
        answer = await ask(
            house, "Once", answer=Script("Once.", usage=Tokens(prompt_tokens=100, completion_tokens=100))
        )
        assert "⚠️ That needs" in await pressed(house, answer, "Regenerate")
    assert len(house.api.requests) == 1


async def pressed(house: House, answer: Message, label: str) -> str:
    """What a press of that button is answered with, where it is no answer."""
    interaction = await house.dana.click(answer, label=label)
    return (await told(house, interaction)).content


# Whose allowance


async def test_a_private_answer_is_charged_like_any_other(house: House) -> None:
    await ask(house, "Between us", answer=PAID, private=True)
    entry = await charged(house)
    assert_paid(entry, "finished", user=USED_NANO, provider=USED_NANO)
    assert entry.scope_id == house.guild.id


async def test_direct_messages_have_an_allowance_of_their_own(empty_house: House) -> None:
    house = empty_house
    async with house.running(DEFAULT_ALLOWANCE="none", DM_ALLOWANCE="1/day"):
        await ask(house, "Here?", answer=PAID, channel=house.discord.world.dm(house.dana.user))
        assert (await charged(house)).scope_id == DIRECT_SCOPE
        assert "gives no credits here by default" in await refused(house)


async def test_where_a_user_brought_the_bot_along_the_operators_own_allowance_counts(empty_house: House) -> None:
    house = empty_house
    world = house.discord.world
    traveller = house.discord.person(world.add_user("Mira", has_installed_app=True))
    elsewhere = world.add_guild("Elsewhere", bot_present=False)
    elsewhere.join(traveller.user)
    async with house.running(DEFAULT_ALLOWANCE="none", DM_ALLOWANCE="1/day"):
        await ask(house, "Here?", answer=PAID, by=traveller, channel=elsewhere.add_text_channel("talk"))
        entry = await charged(house)
    assert (entry.scope_id, entry.user_id) == (DIRECT_SCOPE, traveller.user.id)


async def test_without_an_allowance_direct_messages_are_refused(empty_house: House) -> None:
    house = empty_house
    async with house.running(DM_ALLOWANCE="none"):
        private = house.discord.world.dm(house.dana.user)
        said = await told(house, await house.dana.slash(private, "ask", prompt="Here?"))
        assert said.content.startswith("⚠️ The bot's operator gives no credits for direct messages.")


def give_roles(house: House, *roles: Role) -> None:
    house.guild.members[house.dana.user.id].roles = list(roles)


async def test_the_roles_count_that_the_asker_has_when_they_ask_or_press(house: House) -> None:
    rich, poor = house.guild.add_role("Rich"), house.guild.add_role("Poor")
    await allow(house, Target.role(rich.id), UNLIMITED)
    await allow(house, Target.role(poor.id), BLOCKED)
    give_roles(house, poor)
    assert f"your role <@&{poor.id}>" in await refused(house)
    give_roles(house, poor, rich)
    answer = await ask(house, "And now?", answer=PAID)
    give_roles(house, poor)
    assert f"your role <@&{poor.id}>" in await pressed(house, answer, "Regenerate")
    give_roles(house, rich)
    house.api.script(PAID)
    await house.answer_to(await house.dana.click(answer, label="Regenerate"))
    assert len(house.api.requests) == 2


async def test_a_blocked_member_is_refused_while_others_are_served(house: House) -> None:
    await allow(house, Target.member(house.dana.user.id), BLOCKED)
    assert await refused(house) == (
        "⚠️ This server's admins have blocked you from spending credits. Only they can change that."
    )
    await ask(house, "And I?", answer=PAID, by=house.noam)
    assert (await charged(house)).user_id == house.noam.user.id


async def test_grants_are_spent_after_the_allowance(house: House) -> None:
    await allow(house, Target.member(house.dana.user.id), Allowance.of(NanoDollars(200_000), "week"))
    await grant(house, house.dana.user.id, 1_000_000)
    house.api.script(PAID)
    interaction = await house.dana.slash(house.channel, "ask", prompt="On whose account?")
    await house.answer_to(interaction)
    entry = await charged(house, interaction.id)
    assert (entry.from_allowance_nano, entry.from_grant_nano) == (200_000, USED_NANO - 200_000)


# How long an answer may be


async def test_an_answer_is_shortened_to_what_can_be_paid_and_says_so(empty_house: House) -> None:
    house = empty_house
    async with house.running(DEFAULT_ALLOWANCE="0.3/day"):
        reply = await ask(house, "At length", answer=Script("It goes", finish_reason="length"))
        units = house.api.requests[-1].body["max_completion_tokens"]
        entry = await charged(house)
    assert 300_000 - OUTPUT_NANO < entry.held_nano <= 300_000
    assert 100 < units < 500
    assert f"ended at {units} of 1,000 tokens: your credits pay for no more" in footer_of(reply)


async def test_below_the_useful_minimum_a_question_is_refused(empty_house: House) -> None:
    house = empty_house
    async with house.running(DEFAULT_ALLOWANCE="0.05/once"):
        said = await refused(house)
        assert re.fullmatch(
            r"⚠️ That needs 0\.0[0-9]+ credits, and you have 0\.05 left\. "
            r"This server's admins can raise it, with `/quota`\.",
            said,
        )
        house.api.script(Script("Yes.", usage=None))
        await house.answer_to(await house.dana.slash(house.channel, "ask", prompt="Briefly?", max_tokens=20))
    assert house.api.requests[-1].body["max_completion_tokens"] == 20


async def test_the_footer_says_so_once_80_percent_are_used(empty_house: House) -> None:
    house = empty_house
    usage = Tokens(prompt_tokens=2_000, completion_tokens=500)
    async with house.running(DEFAULT_ALLOWANCE="0.7/day"):
        reply = await ask(house, "How much?", answer=Script("This much.", usage=usage))
        assert re.search(r"⚠️ 85 % of your allowance used, new <t:[0-9]+:R>$", footer_of(reply))
    async with house.running(DEFAULT_ALLOWANCE="100/day"):
        reply = await ask(house, "And now?", answer=Script("This much.", usage=usage))
        assert "of your allowance used" not in footer_of(reply)


# What a server's admins decide


async def test_the_servers_default_model_answers_and_is_paid_at_its_price(house: House) -> None:
    await decide(house, default_model="gpt-4o")
    await ask(house, "Who?", answer=PAID)
    entry = await charged(house)
    assert (house.api.requests[-1].body["model"], entry.model) == ("gpt-4o", "gpt-4o")
    assert entry.user_nano == 1_000 * 2_500 + 200 * 10_000


async def test_a_model_that_is_not_allowed_is_refused(house: House) -> None:
    await decide(house, allowed_models=("gpt-4.1", "gpt-4.1-nano"))
    assert await refused(house, model="gpt-4o") == (
        "⚠️ `gpt-4o` is not among the models that this server's admins allow: `gpt-4.1`, `gpt-4.1-nano`."
    )


async def test_where_the_operators_default_is_not_allowed_the_first_allowed_answers(house: House) -> None:
    await decide(house, allowed_models=("gpt-4.1", "gpt-4.1-nano"))
    await ask(house, "Who?")
    assert house.api.requests[-1].body["model"] == "gpt-4.1"


async def test_a_stand_in_for_pictures_has_to_be_allowed_too(house: House) -> None:
    await decide(house, allowed_models=("gpt-4.1",))
    assert "`gpt-4o` is not among the models" in await refused(house, image=picture())


async def test_the_servers_persona_begins_the_conversation(house: House) -> None:
    await decide(house, persona="You are a pirate.")
    await ask(house, "Who are you?")
    developer = house.api.requests[-1].body["messages"][0]
    assert developer["role"] == "developer"
    assert developer["content"].startswith("You are a pirate.")


async def test_the_servers_memory_is_the_default_of_its_channels(house: House) -> None:
    await decide(house, memory="personal")
    reply = await ask(house, "Mine")
    assert "Dana's own memory" in footer_of(reply)
    await ask(house, "Theirs", by=house.noam)
    assert [said.text for said in conversation(house.api.requests[-1].body)] == ["Theirs"]


# The database fails


FAIL = "CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'disk is full'); END"


async def run_sql(house: House, statement: str) -> None:
    """Beside the bot, which may be writing: in a thread, so that it can go on and let go of the file."""

    def run() -> None:
        with contextlib.closing(sqlite3.connect(house.folder / "bot.db", timeout=10)) as database, database:
            database.execute(statement)

    await asyncio.to_thread(run)


async def test_what_cannot_be_charged_is_answered_all_the_same_and_is_charged_by_the_next_start(
    empty_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = empty_house
    monkeypatch.setattr(charging, "PAUSES_S", (0.01, 0.01))
    async with house.running():
        await run_sql(house, FAIL)
        house.api.script(PAID)
        interaction = await house.dana.slash(house.channel, "ask", prompt="Where?")
        assert "An answer." in (await house.answer_to(interaction)).content
    assert await holds(house) == [interaction.id]
    assert await entries(house) == {}
    await run_sql(house, "DROP TRIGGER full")
    async with house.running():
        entry = await charged(house, interaction.id)
    assert_paid(entry, "finished", user=USED_NANO, provider=USED_NANO)


async def test_a_database_that_recovers_gets_the_charge_as_it_was(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charging, "PAUSES_S", (0.05,) * 200)
    await run_sql(house, FAIL)
    house.api.script(PAID)
    interaction = await house.dana.slash(house.channel, "ask", prompt="Where?")
    await house.answer_to(interaction)
    assert await holds(house) == [interaction.id]
    await run_sql(house, "DROP TRIGGER full")
    assert_paid(await charged(house, interaction.id), "finished", user=USED_NANO, provider=USED_NANO)


async def test_a_bot_that_is_stopped_before_it_asks_books_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, answers = services(house).ledger, services(house).answers
    holding, gate = asyncio.Event(), asyncio.Event()
    hold = ledger.hold

    async def slow(request: HoldRequest, **along: Any) -> Hold:
        held = await hold(request, **along)
        holding.set()
        await gate.wait()
        return held

    monkeypatch.setattr(ledger, "hold", slow)
    await house.dana.slash(house.channel, "ask", prompt="Too late?")
    await holding.wait()
    closing = asyncio.create_task(answers.close())
    await asyncio.sleep(0)
    gate.set()
    await closing
    assert_paid(await charged(house), "shutdown", user=0, provider=0)
    assert not house.api.requests
