"""The disk's weather below the whole bot: who is told what, what the API is asked, and what the books say then."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.answers import charge as charging
from bot.app import open_services
from bot.ops import disk as watch
from bot.pictures import journal
from bot.settings import Settings
from bot.storage import database as storage
from bot.storage.backup import back_up, restore
from bot.storage.errors import StorageDamaged
from sandbox.discord.messages import Message
from sandbox.discord.people import Person
from sandbox.minitoolai.picture_script import PictureScript
from sandbox.minitoolai.script import Script
from tests.e2e.accounting import USAGE, USED_NANO, books_are_right, charged, entries, holds, until
from tests.e2e.conversing import ask, told, turns
from tests.e2e.deciding import services
from tests.e2e.house import REPOSITORY, House, open_house
from tests.e2e.reading import footer_of
from tests.measuring import coverages_variables
from tests.pictures.shop import IMAGE_NANO, Shop, open_shop, words
from tests.storage.disks import SmallDisk, fold_journal, locked_elsewhere, small_disk, spoil, touch_elsewhere

OUT_OF_REACH = "⚠️ I cannot reach my memory just now. Please try again in a minute."


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a disk waits shorter."""
    monkeypatch.setattr(charging, "PAUSES_S", (0.01, 0.01))
    monkeypatch.setattr(journal, "PAUSES_S", (0.01, 0.01))
    monkeypatch.setattr(journal, "PAUSE_S", 0.02)
    monkeypatch.setattr(watch, "PROBE_S", 0.02)
    monkeypatch.setattr(storage, "BUSY_TIMEOUT_MS", 50)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", megabytes=8) as mounted:
        yield mounted


@pytest.fixture
async def small_house(disk: SmallDisk) -> AsyncIterator[House]:
    """The house whose database lies on a small disk; no bot yet."""
    async with open_house(disk.folder) as opened:
        yield opened


@pytest.fixture
async def small_shop(disk: SmallDisk) -> AsyncIterator[Shop]:
    async with open_shop(disk.folder) as opened:
        yield opened


def operator_of(house: House) -> Person:
    """Whoever runs the bot; a member, so that Discord lets the bot write to them."""
    user = house.discord.world.add_user("Olga")
    house.guild.join(user)
    return house.discord.person(user)


def letters(house: House, operator: Person) -> list[str]:
    """What the operator got as direct messages."""
    return [message.content for message in house.discord.world.dm(operator.user).messages.values()]


async def heard(house: House, operator: Person, begins: str) -> str:
    """The letter that begins so, once it is there."""
    found = await house.discord.wait_until(
        lambda: next((letter for letter in letters(house, operator) if letter.startswith(begins)), None)
    )
    assert found is not None
    return found


def database(house: House) -> Path:
    return house.folder / "bot.db"


async def nothing_on_hold(house: House) -> bool:
    return not await holds(house)


async def nothing_open(house: House) -> bool:
    return services(house).answers.open_count == 0


# Nothing can be held


async def refused(house: House) -> str:
    """What Dana reads in place of an answer; the API hears nothing of her question."""
    before = len(house.api.requests)
    said = await told(house, await house.dana.slash(house.channel, "ask", prompt="Is there room?"))
    assert len(house.api.requests) == before
    assert said.visible_to is house.dana.user or not said.loading
    return said.content


async def test_on_a_full_disk_nothing_is_asked_and_it_goes_on_when_there_is_room(
    small_house: House, disk: SmallDisk
) -> None:
    house = small_house
    operator = operator_of(house)
    async with house.running(OPERATOR_USER_ID=str(operator.user.id)):
        await ask(house, "Before", answer=Script("Yes.", usage=USAGE))
        disk.fill()
        for _ in range(3):
            assert await refused(house) == OUT_OF_REACH
        letter = await heard(house, operator, "🛑 The database's disk is full.")
        assert "Free: 0 MB." in letter
        disk.make_room()
        await heard(house, operator, "✅ The database's disk is well again.")
        assert len(letters(house, operator)) == 2
        reply = await ask(house, "After", answer=Script("Yes, again.", usage=USAGE))
        assert reply.content.startswith("> After\nYes, again.")
        assert [turn.answer for turn in await turns(house)] == ["Yes.", "Yes, again."]
        await books_are_right(house)
        assert [entry.provider_nano for entry in (await entries(house)).values()] == [USED_NANO, USED_NANO]


async def test_a_picture_is_not_asked_for_on_a_full_disk(small_house: House, disk: SmallDisk) -> None:
    house = small_house
    async with house.running():
        await ask(house, "Before")  # what a start writes is written by then
        disk.fill()
        interaction = await house.dana.slash(house.channel, "imagine", prompt="a lighthouse")
        assert (await told(house, interaction)).content == OUT_OF_REACH
        assert not house.api.pictures
        disk.make_room()
        await books_are_right(house)


async def test_while_another_program_locks_the_database_nothing_is_asked(empty_house: House) -> None:
    house = empty_house
    operator = operator_of(house)
    async with house.running(OPERATOR_USER_ID=str(operator.user.id)):
        with locked_elsewhere(database(house)):
            assert await refused(house) == OUT_OF_REACH
            await heard(house, operator, "🛑 Another program keeps the database locked.")
        await heard(house, operator, "✅ ")
        await ask(house, "After", answer=Script("Yes.", usage=USAGE))
        await books_are_right(house)


# The end cannot be written


async def begun(house: House, prompt: str, gate: asyncio.Event, text: str = "In Durango.") -> Message:
    """An answer of which the API has said the first words."""
    house.api.script(Script([text, " That is all."], stall_after=1, gate=gate, usage=USAGE))
    interaction = await house.dana.slash(house.channel, "ask", prompt=prompt)
    shown = await house.discord.wait_until(
        lambda: next((m for m in interaction.messages if text in m.content), None), what="first words"
    )
    assert shown is not None
    return shown


async def test_a_charge_that_cannot_be_written_stays_on_hold_and_is_written_when_there_is_room(
    small_house: House, disk: SmallDisk, caplog: pytest.LogCaptureFixture
) -> None:
    house, gate = small_house, asyncio.Event()
    operator = operator_of(house)
    async with house.running(OPERATOR_USER_ID=str(operator.user.id)):
        shown = await begun(house, "Where?", gate)
        disk.fill()
        gate.set()
        await house.ended(shown)
        assert shown.content.startswith("> Where?\nIn Durango. That is all.")
        assert "could not be remembered" in footer_of(shown)
        await until(lambda: _said(caplog, "a charge could not be recorded yet"))
        assert len(await holds(house)) == 1
        assert await entries(house) == {}
        await heard(house, operator, "🛑 The database's disk is full.")
        disk.make_room()
        await until(lambda: nothing_on_hold(house))
        entry = await charged(house)
        assert (entry.reason, entry.user_nano, entry.provider_nano) == ("finished", USED_NANO, USED_NANO)
        await heard(house, operator, "✅ ")
    assert "1 charges that were late are in the books now" in caplog.text
    assert [record for record in caplog.records if record.levelno >= logging.ERROR and "disk is full" in record.message]


async def _said(caplog: pytest.LogCaptureFixture, words: str) -> bool:
    return words in caplog.text


async def test_a_bot_that_stops_with_a_charge_on_hold_leaves_it_to_the_next_start(
    small_house: House, disk: SmallDisk, caplog: pytest.LogCaptureFixture
) -> None:
    house, gate = small_house, asyncio.Event()
    async with house.running():
        shown = await begun(house, "Where?", gate)
        disk.fill()
        gate.set()
        await house.ended(shown)
    assert "1 charges stay on hold until the next start" in caplog.text
    disk.make_room()
    async with house.running():
        entry = await charged(house)
        assert (entry.reason, entry.user_nano) == ("crashed", 0)
        assert entry.provider_nano == entry.held_nano


async def test_a_disk_that_fills_and_empties_at_random_loses_and_invents_nothing(
    small_house: House, disk: SmallDisk
) -> None:
    house = small_house
    house.api.answer = lambda _: Script(["some words "] * 20, chunk_delay_s=0.002, usage=USAGE)
    async with house.running(DEFAULT_ALLOWANCE="unlimited"):
        asked = []
        for _ in range(6):
            asked += [await house.dana.slash(house.channel, "ask", prompt="Well?") for _ in range(4)]
            disk.fill()
            asked += [await house.noam.slash(house.channel, "ask", prompt="And now?") for _ in range(2)]
            disk.make_room()
        for interaction in asked:
            await told(house, interaction)
        await until(lambda: nothing_open(house))
        await until(lambda: nothing_on_hold(house))
        await books_are_right(house)
        written = await entries(house)
    assert len(written) == len(house.api.requests)
    assert {entry.provider_nano for entry in written.values()} == {USED_NANO}
    assert {entry.reason for entry in written.values()} == {"finished"}


# Pictures under way


async def test_an_order_under_way_waits_for_room_and_is_delivered_and_paid_once(
    small_shop: Shop, disk: SmallDisk, caplog: pytest.LogCaptureFixture
) -> None:
    shop = small_shop
    script = PictureScript(held=True)
    shop.api.script_picture(script)
    async with shop.running():
        order, message = await shop.place()
        await shop.until("SELECT 1 FROM pictures WHERE state = 'submitted'")
        disk.fill()
        shop.api.release_pictures()
        await until(lambda: _said(caplog, "an order's state is not written yet"))
        assert not message.attachments
        assert await shop.holds() == 1
        disk.make_room()
        await shop.delivered(message)
        await shop.until_state(order, "delivered")
        assert await shop.charge(order) == ("finished", IMAGE_NANO, IMAGE_NANO, 1)
        assert await shop.holds() == 0
    assert len(shop.api.pictures) == 1


async def test_an_order_on_a_damaged_database_says_that_it_is_paused(tmp_path: Path) -> None:
    async with open_shop(tmp_path) as shop:
        shop.api.script_picture(PictureScript(held=True))
        async with shop.running():
            order, message = await shop.place()
            await shop.until("SELECT 1 FROM pictures WHERE state = 'submitted'")
            spoil(tmp_path / "bot.db")
            touch_elsewhere(tmp_path / "bot.db")
            shop.api.release_pictures()
            await shop.said(message, "⏸️ Paused: my memory does not take anything in.")
            assert not message.attachments
            second, _ = await shop.order()
            with pytest.raises(StorageDamaged):
                await shop.services.pictures.order(second, words)
        assert len(shop.api.pictures) == 1
        assert order.id


# A file that is damaged, or gone


async def test_damage_found_while_running_ends_new_work_and_is_told(empty_house: House) -> None:
    house = empty_house
    operator = operator_of(house)
    async with house.running(OPERATOR_USER_ID=str(operator.user.id)):
        await ask(house, "Before", answer=Script("Yes.", usage=USAGE))
        spoil(database(house))
        touch_elsewhere(database(house))
        damaged = "🛑 My memory is damaged, so I take nothing new until my operator has mended it. Nothing was charged."
        assert await refused(house) == damaged
        interaction = await house.dana.slash(house.channel, "imagine", prompt="a lighthouse")
        assert (await told(house, interaction)).content == damaged
        letter = await heard(house, operator, "🛑 The database is damaged.")
        assert "restore a backup with `python -m bot restore FILE`" in letter
        before = database(house).read_bytes()
        assert await refused(house) == damaged
        assert database(house).read_bytes() == before
        assert len(letters(house, operator)) == 1
    assert not house.api.pictures


async def test_an_answer_under_way_when_the_database_is_damaged_ends_for_its_reader(
    empty_house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house, gate = empty_house, asyncio.Event()
    async with house.running():
        shown = await begun(house, "Where?", gate)
        spoil(database(house))
        touch_elsewhere(database(house))
        gate.set()
        await house.ended(shown)
        assert shown.content.startswith("> Where?\nIn Durango. That is all.")
        assert "could not be remembered" in footer_of(shown)
    assert "charges stay on hold until the next start" in caplog.text


@pytest.mark.parametrize("taken", ["bot.db-wal", "bot.db"])
async def test_a_database_that_is_deleted_under_the_bot_is_told_and_ends_new_work(
    empty_house: House, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_S", 0.02)
    house = empty_house
    operator = operator_of(house)
    async with house.running(OPERATOR_USER_ID=str(operator.user.id)):
        await ask(house, "Before", answer=Script("Yes.", usage=USAGE))
        (house.folder / taken).unlink()
        await heard(house, operator, "🛑 The database's files were deleted or replaced")
        assert (await refused(house)).startswith("🛑 My memory is damaged")
    if taken == "bot.db-wal":
        async with house.running():
            assert [turn.answer for turn in await turns(house)] == ["Yes."]
            await books_are_right(house)


# At the start


def started(house: House) -> "subprocess.CompletedProcess[str]":
    """`python -m bot`, which refuses to serve."""
    return subprocess.run(
        [sys.executable, "-m", "bot"],
        cwd=REPOSITORY,
        env=house.environment(**coverages_variables()),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


async def test_a_damaged_file_ends_the_start_with_words_and_code_1(empty_house: House) -> None:
    house = empty_house
    async with open_services(Settings.load(house.environment())):
        pass
    fold_journal(database(house))
    spoil(database(house))
    done = await asyncio.to_thread(started, house)
    assert done.returncode == 1
    assert "bot.db is damaged" in done.stderr
    assert "python -m bot restore FILE" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_damaged_database_is_brought_back_from_its_backup(empty_house: House, tmp_path: Path) -> None:
    house, backup = empty_house, tmp_path / "backup.db"
    async with house.running():
        await ask(house, "Before", answer=Script("Yes.", usage=USAGE))
        await charged(house)
        await asyncio.to_thread(back_up, database(house), backup)
    spoil(database(house))
    with pytest.raises(StorageDamaged):
        async with open_services(Settings.load(house.environment())):
            pass
    await asyncio.to_thread(restore, backup, database(house), now=datetime.now(UTC))
    async with house.running():
        assert [turn.answer for turn in await turns(house)] == ["Yes."]
        await ask(house, "After", answer=Script("Yes, again.", usage=USAGE))
        await books_are_right(house)


async def test_a_full_disk_ends_the_start_with_words_and_code_1(small_house: House, disk: SmallDisk) -> None:
    disk.fill()
    done = await asyncio.to_thread(started, small_house)
    assert done.returncode == 1
    assert "its disk is full: make room and start again" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_locked_database_ends_the_start_with_who_holds_it_and_code_1(empty_house: House) -> None:
    house = empty_house
    async with open_services(Settings.load(house.environment())):
        pass
    with locked_elsewhere(database(house)) as pid:
        done = await asyncio.to_thread(started, house)
    assert done.returncode == 1
    assert f"(process {pid}): close that first" in done.stderr
    assert "Traceback" not in done.stderr
