"""`/privacy`: what is kept is shown, given along and erased; it goes in time, and with a server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from bot.credits.policy import BLOCKED
from bot.guilds import Decision, Target
from bot.storage.snapshot import snapshot
from cogs.privacy import KEPT_INSTEAD
from sandbox.discord import events
from sandbox.discord.events import Event
from sandbox.discord.messages import Interaction, Message
from sandbox.discord.people import Person
from sandbox.minitoolai.picture_script import PictureScript
from sandbox.minitoolai.script import Script
from tests.e2e.accounting import allow, books_are_right, database_url, entries, grant, until
from tests.e2e.conversing import ask, told, turns
from tests.e2e.deciding import CREDIT, services, spend
from tests.e2e.deciding import told as admin_told
from tests.e2e.house import House, labels
from tests.privacy.archive import mentions

DAY_S = 86_400
MARKER = "where the treasure lies"


async def command(house: House, name: str, *, by: Person | None = None, direct: bool = False) -> Message:
    """What `/privacy name` says, which only its asker sees."""
    person = by or house.dana
    channel = house.discord.world.dm(person.user) if direct else house.channel
    message = await told(house, await person.slash(channel, f"privacy {name}"))
    assert message.visible_to is person.user
    return message


async def erase(house: House, *, by: Person | None = None) -> str:
    """What is said once somebody has asked for it and pressed the button."""
    question = await command(house, "erase", by=by)
    return await pressed(house, question, by=by)


async def pressed(house: House, question: Message, *, by: Person | None = None) -> str:
    before = question.content
    await (by or house.dana).click(question, label="Erase")
    await house.discord.wait_until(lambda: question.content not in (before, "Erasing…"))
    assert labels(question) == []
    return question.content


async def places_of(house: House, *needles: object) -> list[str]:
    """The columns in which an id or a text is found anywhere in the database."""
    async with snapshot(database_url(house)) as tx:
        return await mentions(tx, needles=[str(needle) for needle in needles])


async def rows(house: House, sql: str, *params: int) -> list[Any]:
    async with snapshot(database_url(house)) as tx:
        return [tuple(row) for row in await tx.fetch_all(sql, params)]


async def sums(house: House) -> list[Any]:
    return await rows(
        house,
        "SELECT scope_id, SUM(from_allowance_nano), SUM(granted_nano), SUM(provider_nano) FROM entries"
        " GROUP BY scope_id UNION ALL SELECT scope_id, month, provider_nano, held_nano FROM month_totals",
    )


async def later(house: House, days: float) -> None:
    """So many days on, the job has run."""
    house.discord.clock.advance(days * DAY_S)
    services(house).privacy.forget_soon()


# Show


async def test_show_says_what_is_kept_here_and_elsewhere_and_who_sees_it(house: House) -> None:
    await ask(house, "One")
    await ask(house, "Two")
    await ask(house, "Elsewhere", channel=house.discord.world.dm(house.dana.user))
    await ask(house, "Somebody else's", by=house.noam)
    text = (await command(house, "show")).content
    here, elsewhere = text.split("**Kept about you in other servers and outside of them**")
    assert here.startswith("**Kept about you in this server**, since <t:")
    assert "- 2 questions with their answers\n" in here
    assert "- 2 lines in the ledger of credits" in here
    assert "- 1 question with its answer\n" in elsewhere
    assert "questions and answers 180 days, orders of pictures 730 days" in text
    for told_of in ("shared memory", "admins", "operator", "MiniToolAI API", "Never kept"):
        assert told_of in text


async def test_show_of_a_stranger_is_empty(house: House) -> None:
    assert (await command(house, "show")).content.count("- nothing") == 2


async def test_show_works_in_direct_messages(house: House) -> None:
    await ask(house, "Alone", channel=house.discord.world.dm(house.dana.user))
    text = (await command(house, "show", direct=True)).content
    assert text.startswith("**Kept about you outside of servers**, since <t:")
    assert ":D>\n- 1 question with its answer\n" in text


# Export


async def test_export_is_a_file_with_everything_of_oneself_alone(house: House) -> None:
    await ask(house, MARKER, answer="Under the oak.")
    await ask(house, "not Dana's", by=house.noam)
    message = await command(house, "export")
    [file] = message.attachments
    assert file.filename == "privacy.json"
    content = house.discord.world.cdn.content(file)
    assert content is not None
    document = json.loads(content)
    [turn] = [record for record in document["records"] if record["table"] == "turns"]
    assert (turn["prompt"], turn["answer"]) == (MARKER, "Under the oak.")
    assert b"not Dana's" not in content
    assert {record["table"] for record in document["records"]} >= {"turns", "answers", "entries", "accounts"}


async def test_an_export_that_is_too_large_for_one_file_comes_in_parts(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert house.bot is not None
    monkeypatch.setattr(house.bot.extensions["cogs.privacy"], "PART_BYTES", 5_000)
    for number in range(6):
        await ask(house, f"{number} {MARKER}", answer="word " * 200)
    interaction = await house.dana.slash(house.channel, "privacy export")
    await house.discord.wait_until(lambda: len([m for m in interaction.messages if m.attachments]) >= 3)
    names = [message.attachments[0].filename for message in interaction.messages if message.attachments]
    assert names[:3] == ["privacy.json", "privacy-2.json", "privacy-3.json"]
    assert all(message.visible_to is house.dana.user for message in interaction.messages)


async def test_an_export_beyond_what_can_be_given_says_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    assert house.bot is not None
    cog = house.bot.extensions["cogs.privacy"]
    monkeypatch.setattr(cog, "PART_BYTES", 5_000)
    monkeypatch.setattr(cog, "PARTS_LIMIT", 1)
    for number in range(6):
        await ask(house, f"{number} {MARKER}", answer="word " * 200)
    interaction = await house.dana.slash(house.channel, "privacy export")
    await house.discord.wait_until(
        lambda: any("more than the 1 files" in message.content for message in interaction.messages)
    )
    assert len([message for message in interaction.messages if message.attachments]) == 1


# Erase


async def test_erased_people_are_nowhere_and_the_books_add_up(house: House) -> None:
    """In any column of any table, and in the bytes of the file."""
    await ask(house, MARKER, answer=f"I know {MARKER}.")
    await ask(house, MARKER, channel=house.discord.world.dm(house.dana.user))
    await ask(house, "Somebody else's", by=house.noam)
    await grant(house, house.dana.user.id, 5_000_000)
    before = await sums(house)
    said = await erase(house)
    assert "✅ Erased" in said
    assert await places_of(house, MARKER) == []
    assert await sums(house) == before
    await books_are_right(house)
    house.discord.clock.advance(40 * DAY_S)
    services(house).privacy.forget_soon()

    async def nowhere() -> bool:
        return await places_of(house, house.dana.user.id, MARKER) == []

    await until(nowhere)
    assert await sums(house) == before
    await books_are_right(house)
    assert [turn.asked.prompt for turn in await turns(house)] == ["Somebody else's"]
    await bytes_are_clean(house)


async def bytes_are_clean(house: House) -> None:
    file = house.folder / "bot.db"

    async def clean() -> bool:
        content = file.read_bytes() + file.with_name("bot.db-wal").read_bytes()
        ids = (house.dana.user.id.to_bytes(8, "big"), str(house.dana.user.id).encode())
        return not any(needle in content for needle in (MARKER.encode(), *ids))

    assert await until(clean)


async def test_buttons_of_what_was_erased_say_that_they_know_nothing(house: House) -> None:
    answer = await ask(house, MARKER)
    await erase(house)
    press = await house.dana.click(answer, label="Regenerate")
    assert "I no longer know this answer" in (await told(house, press)).content


async def test_erasing_gives_no_fresh_allowance_and_says_until_when(house: House) -> None:
    await spend(house, house.dana, 99)
    said = await erase(house)
    assert "stays in the ledger under your id until <t:" in said
    at = datetime.fromtimestamp(house.discord.clock.now(), UTC)
    standing = await services(house).ledger.standing(house.guild.id, house.dana.user.id, frozenset(), at=at)
    assert standing.left_nano == CREDIT
    await books_are_right(house)


async def test_a_block_stays_and_the_blocked_one_is_told(house: House) -> None:
    await allow(house, Target.member(house.dana.user.id), BLOCKED)
    assert "In one server the admins set an allowance for you by name" in await erase(house)
    refused = await told(house, await house.dana.slash(house.channel, "ask", prompt="Am I free?"))
    assert "blocked you" in refused.content


async def test_nothing_goes_without_the_button(house: House) -> None:
    await ask(house, "To be kept")
    question = await command(house, "erase")
    assert labels(question) == ["Erase"]
    assert len(await turns(house)) == 1


async def test_an_old_button_erases_nothing(house: House) -> None:
    await ask(house, "To be kept")
    question = await command(house, "erase")
    house.discord.clock.advance(11 * 60)
    assert await pressed(house, question) == KEPT_INSTEAD
    assert len(await turns(house)) == 1


async def test_a_button_made_for_somebody_else_erases_nothing(house: House) -> None:
    await ask(house, "To be kept", by=house.noam)
    question = await command(house, "erase")
    [row] = question.components
    [button] = row["components"]
    button["custom_id"] = button["custom_id"].replace(str(house.dana.user.id), str(house.noam.user.id))
    assert await pressed(house, question) == KEPT_INSTEAD
    assert len(await turns(house)) == 1


async def test_a_second_time_is_harmless(house: House) -> None:
    await ask(house, MARKER)
    first = await erase(house)
    assert (await erase(house)).split("until")[0] == first.split("until")[0]
    await books_are_right(house)


async def forgotten(house: House, *needles: object) -> None:
    """Wait until the job has taken away every trace."""

    async def look() -> bool:
        services(house).privacy.forget_soon()
        return await places_of(house, *needles) == []

    await until(look)


async def test_pictures_under_way_are_cancelled_and_paid_back(house: House) -> None:
    house.api.script_picture(PictureScript(held=True))
    order = await house.dana.slash(house.channel, "imagine", prompt=MARKER)
    await house.discord.wait_until(lambda: "Drawing your picture" in shown(order))
    assert "✅ Erased" in await erase(house)
    await house.discord.wait_until(lambda: "Cancelled. Nothing was charged." in shown(order))
    await forgotten(house, MARKER)
    assert await rows(house, "SELECT order_id FROM picture_orders") == []
    await books_are_right(house)


def shown(interaction: Interaction) -> str:
    return "".join(message.text() for message in interaction.messages)


async def test_an_answer_that_is_being_written_is_finished_first_and_goes_then(house: House) -> None:
    gate = asyncio.Event()
    house.api.script(Script("A long", gate=gate))
    question = await house.dana.slash(house.channel, "ask", prompt=MARKER)
    await house.discord.wait_until(lambda: bool(house.api.requests))
    assert "1 request of yours is still under way" in await erase(house)
    gate.set()
    assert "A long" in (await house.answer_to(question)).content
    await forgotten(house, MARKER)
    await books_are_right(house)


async def test_erasing_goes_on_after_a_restart(empty_house: House) -> None:
    house = empty_house
    async with house.running():
        await ask(house, MARKER)
        await spend(house, house.dana, 5)
        await erase(house)
        before = await sums(house)
    house.discord.clock.advance(40 * DAY_S)
    async with house.running():

        async def nowhere() -> bool:
            return await places_of(house, house.dana.user.id) == []

        await until(nowhere)
        assert await sums(house) == before
        await books_are_right(house)


# Retention


async def test_what_is_too_old_is_forgotten_and_its_buttons_say_so(house: House) -> None:
    answer = await ask(house, MARKER)
    await later(house, 181)
    await forgotten(house, MARKER)
    press = await house.dana.click(answer, label="Regenerate")
    assert "I no longer know this answer" in (await told(house, press)).content
    assert len(await entries(house)) == 1
    await books_are_right(house)


async def test_an_admin_decides_how_long_and_hears_what_goes(house: House) -> None:
    await ask(house, MARKER)
    house.discord.clock.advance(40 * DAY_S)
    said = await admin_told(house, "settings retention", days=30)
    assert "Kept for: the operator's → **30 days**" in said
    assert "1 question or order is older than that: deleted now" in said
    await forgotten(house, MARKER)
    assert "questions and answers 30 days, orders of pictures 30 days" in (await command(house, "show")).content


async def test_a_server_keeps_nothing_longer_than_the_operator(house: House) -> None:
    said = await admin_told(house, "settings retention", days=181)
    assert said == "⚠️ `days` must lie between 1 and 180."
    assert "Nothing here is older" in await admin_told(house, "settings retention")


# Servers that come and go


async def departures(house: House) -> list[Any]:
    return await rows(house, "SELECT guild_id FROM departures")


@asynccontextmanager
async def left(house: House) -> AsyncIterator[None]:
    """The bot is thrown out, and has noted it."""
    house.discord.world.kick_bot(house.guild)

    async def noted() -> bool:
        return await departures(house) == [(house.guild.id,)]

    await until(noted)
    yield


async def test_a_left_server_is_erased_after_its_grace(house: House) -> None:
    await ask(house, MARKER)
    await allow(house, Target.member(house.noam.user.id), BLOCKED)
    before = await sums(house)
    async with left(house):
        await later(house, 31)

        async def forgotten() -> bool:
            return await departures(house) == []

        await until(forgotten)
    assert await places_of(house, house.dana.user.id, house.noam.user.id, house.admin.user.id, MARKER) == []
    assert await sums(house) == before
    await books_are_right(house)


async def test_who_comes_back_in_time_finds_everything(house: House) -> None:
    await ask(house, MARKER)
    async with left(house):
        house.discord.world.invite_bot(house.guild)

        async def back() -> bool:
            return await departures(house) == []

        await until(back)
    await later(house, 40)
    assert len(await turns(house)) == 1


async def test_a_server_left_while_the_bot_was_down_is_found_at_the_start(empty_house: House) -> None:
    house = empty_house
    other = house.discord.world.add_guild("Another")
    async with house.running():
        await ask(house, MARKER)
    house.discord.world.kick_bot(house.guild)
    async with house.running():

        async def noted() -> bool:
            return await departures(house) == [(house.guild.id,)]

        await until(noted)
    assert other.bot_present


async def test_an_outage_is_no_departure(house: House) -> None:
    await ask(house, MARKER)
    world = house.discord.world
    data = {"id": str(house.guild.id), "unavailable": True}
    world.emit(Event(name=events.GUILD_DELETE, data=data, guild_id=house.guild.id))
    await until(partial(is_out_of_reach, house))
    await ask(house, "Still there?", channel=world.dm(house.dana.user))
    assert await departures(house) == []


async def is_out_of_reach(house: House) -> bool:
    assert house.bot is not None
    return house.bot.guilds[0].unavailable


async def test_nothing_counts_as_left_while_a_server_is_out_of_reach(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who does not tell of one server may not tell of others either."""
    assert house.bot is not None
    await house.bot.wait_until_ready()
    monkeypatch.setattr(house.bot.extensions["cogs.privacy"], "RECONCILE_S", 0.01)
    world, guild, gone = house.discord.world, house.guild, house.guild.id + 1
    data = {"id": str(guild.id), "unavailable": True}
    world.emit(Event(name=events.GUILD_DELETE, data=data, guild_id=guild.id))
    await until(partial(is_out_of_reach, house))
    decided = Decision(key=gone, by=house.admin.user.id, at=datetime.now(UTC))
    await services(house).guilds.change(gone, lambda now: replace(now, images=False), decided)
    house.bot.dispatch("ready")
    await ask(house, "Meanwhile", channel=world.dm(house.dana.user))
    assert await departures(house) == []
    world.emit(Event(name=events.GUILD_CREATE, data=world.guild_create_payload(guild), guild_id=guild.id))

    async def noted() -> bool:
        return await departures(house) == [(gone,)]

    await until(noted)
    assert await departures(house) == [(gone,)]
