"""Cancel and Delete, pressed at each stage of an order: it is delivered or paid back, never both."""

import asyncio
from typing import Final

import pytest

from sandbox.discord.messages import Interaction
from sandbox.discord.people import Person
from sandbox.discord.permissions import Permission
from tests.e2e.accounting import books_are_right, entries, until
from tests.e2e.drawing import told
from tests.e2e.house import House
from tests.e2e.ordering import assert_once_or_paid_back, closed, copies, direct, press, results, until_state
from tests.e2e.stages import COUNT, STAGES, Scene, in_short, paid, room

TOO_LATE: Final = (
    "uploading",
    "uploading slowly",
    "uploaded",
    "uploaded, not settled",
    "sending directly",
    "sent directly",
)
STOPPED: Final = tuple(stage for stage in STAGES if stage not in (*TOO_LATE, "cancelled"))
UNTAKEN: Final = paid(0, tries=0, reason="cancelled")
"""Nobody was asked for anything."""


@pytest.fixture
def moderator(empty_house: House) -> Person:
    house = empty_house
    user = house.discord.world.add_user("Moderator")
    house.guild.join(user, roles=[house.guild.add_role("Moderators", permissions=Permission.MANAGE_MESSAGES)])
    return house.discord.person(user)


def submissions(scene: Scene) -> dict[str, int]:
    return {stage: len(scene.play.heard.get(stage, ())) for stage in scene.ordered}


@pytest.mark.parametrize("who", ["owner", "moderator"])
async def test_cancel_stops_an_order_at_each_stage_before_its_upload(
    empty_house: House, moderator: Person, who: str
) -> None:
    house, scene = empty_house, Scene(house=empty_house)
    async with house.running(**room(*STOPPED)):
        await scene.set_up(*STOPPED)
        for interaction in scene.ordered.values():
            stranger = await press("cancel", interaction, house.noam)
            assert "Only the person who ordered, or a moderator" in await told(house, stranger)
        assert await entries(house) == {}
        by = moderator if who == "moderator" else house.dana
        for stage in reversed(STOPPED):  # who waits in line first, before there is room
            await press("cancel", scene.ordered[stage], by)
            await until_state(house, scene.ordered[stage], "cancelled")
        await scene.go_on()
        ended = await results(house, scene.play, scene.ordered)
        assert {one.says for one in ended.values()} == {"⏹️ Cancelled. Nothing was charged."}
        expected = dict.fromkeys(STOPPED, paid(0, reason="cancelled")) | {
            "submitting again": paid(0, tries=2 * COUNT, reason="cancelled"),
            "before submission": UNTAKEN,
            "in line": UNTAKEN,
        }
        assert in_short(ended) == expected
        asked = {"submitting again": 2 * COUNT, "before submission": 0, "in line": 0}
        assert submissions(scene) == dict.fromkeys(STOPPED, COUNT) | asked, "nothing was asked for afterwards"


async def test_cancel_comes_too_late_once_the_pictures_are_on_their_way(empty_house: House) -> None:
    house, scene = empty_house, Scene(house=empty_house)
    stages = [stage for stage in TOO_LATE if not stage.endswith("directly")]
    async with house.running(**room(*stages)):
        await scene.set_up(*stages)
        for interaction in scene.ordered.values():
            pressed = await press("cancel", interaction, house.dana)
            assert "It is too late for that" in await told(house, pressed)
        await scene.go_on()
        ended = await results(house, scene.play, scene.ordered)
        assert in_short(ended) == dict.fromkeys(stages, paid(COUNT))
        for interaction in scene.ordered.values():
            pressed = await press("cancel", interaction, house.dana)
            assert "It is too late for that" in await told(house, pressed)
        assert direct(house) == []


async def test_delete_removes_an_order_at_each_stage_and_nothing_comes_after_it(empty_house: House) -> None:
    house, scene = empty_house, Scene(house=empty_house)
    async with house.running(**room(*STOPPED)):
        await scene.set_up(*STOPPED)
        for stage in reversed(STOPPED):
            await press("delete", scene.ordered[stage], house.dana)
            await until_state(house, scene.ordered[stage], "deleted")
        await scene.go_on()
        written = await closed(house, *scene.ordered.values())
        for stage, interaction in scene.ordered.items():
            await house.discord.wait_until(lambda reply=interaction.original: reply.deleted)
            assert_once_or_paid_back(house, interaction, written[interaction.id], scene.play.billed_nano(stage))
            assert written[interaction.id].reason == "cancelled"
        assert direct(house) == []


async def test_delete_during_the_upload_waits_for_the_pictures_and_removes_them(empty_house: House) -> None:
    house, scene = empty_house, Scene(house=empty_house)
    stages = ("uploading", "uploaded", "uploading slowly")
    async with house.running(**room(*stages)):
        await scene.set_up(*stages)
        pressed = [await press("delete", each, house.dana) for each in scene.ordered.values()]
        await house.discord.wait_until(lambda: all(each.response_type for each in pressed))
        await scene.go_on()
        written = await closed(house, *scene.ordered.values())
        assert {entry.reason for entry in written.values()} == {"finished"}
        for interaction, asked in zip(scene.ordered.values(), pressed, strict=True):

            def there(interaction: Interaction = interaction, asked: Interaction = asked) -> bool:
                return bool(interaction.original and interaction.original.deleted) or bool(asked.followups)

            await house.discord.wait_until(there)
            if asked.followups:
                assert "In a moment, **Delete** removes it" in await told(house, asked)
                await press("delete", interaction, house.dana)
            await until_state(house, interaction, "deleted")

            async def gone(interaction: Interaction = interaction) -> bool:
                return not copies(house, interaction)

            await until(gone)
        await books_are_right(house)


async def test_cancel_and_the_upload_race_and_one_of_them_wins(empty_house: House) -> None:
    house, scene = empty_house, Scene(house=empty_house)
    stages = [f"race {number}" for number in range(6)]
    async with house.running(**room(*stages)):
        for stage in stages:
            await STAGES["downloading"](scene, stage)
        early, late = stages[:2], stages[2:]
        for stage in early:
            await press("cancel", scene.ordered[stage], house.dana)
            await until_state(house, scene.ordered[stage], "cancelled")
        await scene.go_on()
        for stage in late:
            await press("cancel", scene.ordered[stage], house.dana)
        ended = await results(house, scene.play, scene.ordered)
        assert {ended[stage].reason for stage in early} == {"cancelled"}
        assert {ended[stage].reason for stage in late} <= {"finished", "cancelled"}


async def test_what_is_cancelled_while_the_bot_is_ending_is_told_by_the_next_start(empty_house: House) -> None:
    """A task begun then would outlive what it works with."""
    house, scene = empty_house, Scene(house=empty_house)
    async with house.running(**room("submitting again")) as bot:
        await scene.set_up("submitting again")
        [interaction] = scene.ordered.values()
        reply = interaction.original
        assert reply is not None
        await bot.services.pictures.close()
        before = asyncio.all_tasks()
        await bot.services.pictures.cancel(interaction.id, by=house.dana.user.id, at=house.channel.id, moderator=False)
        begun = {task.get_name() for task in asyncio.all_tasks() - before}
        assert not [name for name in begun if "order" in name], begun
        assert "Cancelled" not in reply.content
    await scene.go_on()
    async with house.running():
        await house.discord.wait_until(lambda: "⏹️ Cancelled. Nothing was charged." in reply.content)
        await books_are_right(house)
