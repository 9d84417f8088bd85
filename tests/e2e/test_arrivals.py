"""Replies that were promised when the bot died: the next start fills them, and nothing else leaves a row behind."""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bot.arrivals import Arrivals
from bot.storage.snapshot import snapshot
from sandbox.discord.faults import Fault, Hold
from sandbox.discord.messages import Interaction, Message
from sandbox.minitoolai.script import Script
from tests.e2e.accounting import books_are_right, database_url, entries, until
from tests.e2e.conversing import ask, told
from tests.e2e.drawing import draw, order, pictured, quick
from tests.e2e.house import House, labels

CALLBACK, REPLY = "/interactions/…/callback", "…/messages/…"
ASK_AGAIN = "⚠️ I was interrupted before I could answer. Please ask again."
ORDER_AGAIN = "⚠️ I was interrupted before I could begin to draw. Please order again."
PROMPT = "Where is the treasure of the Sierra Madre?"

Begin = Callable[[House], Awaitable[Interaction]]


async def asking(house: House) -> Interaction:
    return await house.dana.slash(house.channel, "ask", prompt=PROMPT)


async def asking_in_private(house: House) -> Interaction:
    return await house.dana.slash(house.channel, "ask", prompt=PROMPT, private=True)


async def regenerating(house: House) -> Interaction:
    return await house.dana.click(await ask(house, PROMPT), label="Regenerate")


async def ordering(house: House) -> Interaction:
    return await order(house)


async def ordering_again(house: House) -> Interaction:
    return await house.dana.click(await draw(quick(house)), label="Again")


async def promised(house: House) -> list[tuple[Any, ...]]:
    """Every row: the interaction and the kind of what it was promised."""
    async with snapshot(database_url(house)) as tx:
        rows = await tx.fetch_all("SELECT * FROM arrivals")
    return [(row["interaction_id"], row["kind"]) for row in rows]


async def none_left(house: House) -> None:
    async def none() -> bool:
        return await promised(house) == []

    await until(none)


def acknowledging(house: House) -> Hold:
    """Discord takes the next acknowledgement, and is slow to say so. Before anything else is awaited, for one that is
    on its way."""
    return house.discord.faults.hold(Hold(method="POST", template=CALLBACK, answered=True))


def deliver_again(house: House, interaction: Interaction) -> None:
    house.discord.gateway.dispatch_raw("INTERACTION_CREATE", house.discord.world.interaction_payload(interaction))


async def killed(house: House, begin: Begin) -> Interaction:
    """The last interaction of `begin` is acknowledged, and at that moment the bot is killed."""
    async with house.process() as process:
        interaction = await begin(house)
        hold = acknowledging(house)
        await hold.reached.wait()
        process.kill()
        await process.wait()
    hold.let_go()
    assert shown(interaction).loading
    gateway = house.discord.gateway
    await gateway.wait_until(lambda: not any(session.connected for session in gateway.sessions), 5)
    return interaction


def shown(interaction: Interaction) -> Message:
    """The reply."""
    assert interaction.original is not None
    return interaction.original


# Killed between the acknowledgement and the hold


@pytest.mark.parametrize(
    ("begin", "kind", "words", "paid"),
    [
        (asking, "question", ASK_AGAIN, 0),
        (asking_in_private, "question", ASK_AGAIN, 0),
        (regenerating, "question", ASK_AGAIN, 1),
        (ordering, "picture", ORDER_AGAIN, 0),
        (ordering_again, "picture", ORDER_AGAIN, 1),
    ],
)
async def test_a_reply_that_was_only_promised_is_filled_at_the_next_start(
    empty_house: House, begin: Begin, kind: str, words: str, paid: int
) -> None:
    house = empty_house
    interaction = await killed(house, begin)
    assert await promised(house) == [(interaction.id, kind)]
    async with house.running():
        reply = await told(house, interaction)
        assert (reply.content, labels(reply)) == (words, [])
        await none_left(house)
    assert len(await entries(house)) == paid
    await books_are_right(house)


async def test_the_row_holds_neither_who_asked_nor_what(empty_house: House) -> None:
    house = empty_house
    interaction = await killed(house, asking)
    async with snapshot(database_url(house)) as tx:
        [row] = await tx.fetch_all("SELECT * FROM arrivals")
    assert {*dict(row).values()} == {
        interaction.id,
        house.discord.world.bot.id,
        interaction.token,
        "question",
        row["at_us"],
    }


async def test_a_reply_that_no_token_reaches_any_more_is_forgotten(empty_house: House) -> None:
    house = empty_house
    interaction = await killed(house, asking)
    house.discord.clock.advance(15 * 60)
    async with house.running():
        assert await promised(house) == []
        await ask(house, PROMPT)
    assert shown(interaction).loading
    assert not [each for each in house.discord.requests if interaction.token in each.path and each.method == "PATCH"]


async def test_a_reply_that_shows_something_already_is_left_alone(empty_house: House) -> None:
    house = empty_house
    async with house.running():
        reply = await ask(house, PROMPT, answer="In Durango.")
    before = reply.content
    interaction = reply.interaction
    assert interaction is not None
    _leave_a_row(house, interaction)
    async with house.running():
        await none_left(house)
    assert (reply.content, labels(reply)) == (before, ["Regenerate", "Delete"])


async def test_a_reply_that_was_deleted_meanwhile_is_forgotten(empty_house: House) -> None:
    house = empty_house
    interaction = await killed(house, asking)
    await house.admin.delete(shown(interaction))
    async with house.running():
        await none_left(house)
    assert shown(interaction).deleted, "nothing was posted in its place"


async def test_one_that_discord_fails_on_waits_for_the_next_start(
    empty_house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house = empty_house
    interaction = await killed(house, asking)
    caplog.set_level(logging.INFO)
    broken = house.discord.faults.add(Fault(method="GET", template=REPLY, status=500, times=None))
    async with house.running():

        async def tried() -> bool:
            return "a promised reply of before could not be closed" in caplog.text

        await until(tried)
    assert await promised(house) == [(interaction.id, "question")]
    assert interaction.token not in caplog.text
    broken.times = 0
    async with house.running():
        assert (await told(house, interaction)).content == ASK_AGAIN


def _leave_a_row(house: House, interaction: Interaction) -> None:
    at_us = int(house.discord.clock.now() * 1_000_000)
    row = (interaction.id, house.discord.world.bot.id, interaction.token, "question", at_us)
    with contextlib.closing(sqlite3.connect(house.folder / "bot.db")) as connection:
        connection.execute("INSERT INTO arrivals VALUES (?, ?, ?, ?, ?)", row)
        connection.commit()


# What leaves no row


@pytest.mark.parametrize(("begin", "kind"), [(asking, "question"), (ordering, "picture")])
async def test_a_row_is_there_before_the_acknowledgement_and_gone_with_the_answer(
    house: House, begin: Begin, kind: str
) -> None:
    quick(house).api.script(Script("In Durango."))
    interaction = await begin(house)
    hold = acknowledging(house)
    await hold.reached.wait()
    assert await promised(house) == [(interaction.id, kind)]
    hold.let_go()
    await (house.answer_to(interaction) if kind == "question" else pictured(house, interaction))
    assert await promised(house) == []


@pytest.mark.parametrize("begin", [asking, ordering])
async def test_the_row_goes_in_the_transaction_that_writes_the_rest_down(
    house: House, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed_before(_: Arrivals, interaction_id: int) -> None:
        """What comes after that transaction, and mends a row that stayed, does not come."""

    monkeypatch.setattr(Arrivals, "told", killed_before)
    quick(house).api.script(Script("In Durango."))
    interaction = await begin(house)
    await house.discord.wait_until(lambda: interaction.original and labels(interaction.original))
    assert await promised(house) == []


async def test_a_running_answer_is_no_promise_any_more(house: House) -> None:
    gate = asyncio.Event()
    house.api.script(Script(["In ", "Durango."], stall_after=0, gate=gate))
    interaction = await asking(house)
    await house.discord.wait_until(lambda: house.api.requests)
    assert await promised(house) == []
    gate.set()
    await house.answer_to(interaction)


async def test_what_is_refused_after_its_acknowledgement_leaves_no_row(empty_house: House) -> None:
    house = empty_house
    async with house.running(DEFAULT_ALLOWANCE="none"):
        for begin in (asking, ordering):
            interaction = await begin(house)
            assert (await told(house, interaction)).content.startswith("⚠️")
            await none_left(house)


async def test_a_form_that_is_given_back_after_its_acknowledgement_failed_leaves_no_row(house: House) -> None:
    reply = await draw(quick(house))
    pressed = await house.dana.click(reply, label="Edit")
    await house.discord.wait_until(lambda: pressed.modal, what="a form")
    house.discord.faults.add(Fault(method="POST", template=CALLBACK, error_code=10_003))
    sent = await house.dana.submit_modal(pressed, {"prompt": "A dog"})
    assert labels(await told(house, sent)) == ["Back to the form"]
    await none_left(house)


async def test_what_is_refused_at_first_sight_is_promised_nothing(house: House) -> None:
    interaction = await house.dana.slash(house.channel, "ask", prompt=" ", tampered=True)
    assert (await told(house, interaction)).content.startswith("⚠️")
    assert await promised(house) == []


async def test_an_interaction_that_comes_twice_leaves_no_row(house: House) -> None:
    house.api.script(Script("In Durango."))
    interaction = await asking(house)
    hold = acknowledging(house)
    await hold.reached.wait()
    deliver_again(house, interaction)
    hold.let_go()
    reply = await house.answer_to(interaction)
    said = reply.content
    deliver_again(house, interaction)
    await ask(house, "Another question")
    await none_left(house)
    assert reply.content == said
    assert len(house.api.requests) == 2


async def test_no_answer_fails_for_a_row_that_the_database_does_not_take(house: House) -> None:
    house.api.script(Script("In Durango."))
    with contextlib.closing(sqlite3.connect(house.folder / "bot.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        interaction = await asking(house)
        await house.discord.wait_until(lambda: interaction.original is not None)
        other.rollback()
    assert "In Durango." in (await house.answer_to(interaction)).content
    await none_left(house)
