"""An order of two pictures, brought to one stage of its way and kept there: by gates, not by time."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from bot.storage.snapshot import snapshot
from sandbox.discord.faults import Fault
from sandbox.discord.messages import Interaction, Message
from sandbox.discord.people import Person
from sandbox.minitoolai.picture_script import PictureOrder, PictureScript, Served, Turn
from tests.e2e.accounting import database_url, until
from tests.e2e.drawing import order
from tests.e2e.house import House, labels
from tests.e2e.ordering import MANY, PICTURE_NANO, Plays, Result, on_reply, plays, shown, small, until_state, uploads_to
from tests.e2e.reading import picture

COUNT: Final = 2


@dataclass(kw_only=True)
class Scene:
    """Every gate that keeps an order where it is opens with `go_on`."""

    house: House
    after: asyncio.Event = field(default_factory=asyncio.Event)
    ordered: dict[str, Interaction] = field(default_factory=dict)
    play: Plays = field(init=False)

    def __post_init__(self) -> None:
        self.play = plays(self.house)

    async def set_up(self, *stages: str) -> None:
        """An order for each, all at once; but the last ones, when no more can start."""
        triggers = [trigger for stage, trigger in triggers_of().items() if stage in stages]
        await asyncio.to_thread(change_database, self.house, triggers)
        await asyncio.gather(*(STAGES[stage](self, stage) for stage in stages if stage not in LAST))
        for stage in (stage for stage in LAST if stage in stages):
            await STAGES[stage](self, stage)

    async def go_on(self) -> None:
        self.after.set()
        self.house.api.release_pictures()
        self.house.discord.faults.clear()
        await asyncio.to_thread(change_database, self.house, [f"DROP TRIGGER IF EXISTS {each}" for each in NOT_WRITTEN])

    async def order(self, stage: str, *scripts: PictureScript, by: Person | None = None) -> Interaction:
        self.play.scripts[stage] = list(scripts)
        self.ordered[stage] = await order(self.house, stage, by=by, count=COUNT)
        return self.ordered[stage]

    async def heard(self, stage: str, holds: Callable[[PictureOrder], object], *, count: int = COUNT) -> None:
        """Return once that is true of so many submissions of the order."""

        async def there() -> bool:
            return sum(bool(holds(one)) for one in self.play.heard.get(stage, ())) == count

        await until(there)

    async def drawn_but(self, stage: str, *, by: Person | None = None) -> tuple[Message, asyncio.Event]:
        """Drawn, and served once the gate is open. Its progress is shown no more, and no edit is on its way."""
        gate = asyncio.Event()
        served = Served(body=picture().content, turn=Turn(gate=gate))
        interaction = await self.order(stage, *[PictureScript(serves=served)] * COUNT, by=by)
        reply = await shown(self.house, interaction, lambda one: "Cancel" in labels(one))
        await self.heard(stage, lambda one: one.downloaded_at)
        mine = [each for each in self.house.discord.requests if interaction.token in each.path]
        await self.house.discord.wait_until(lambda: all(each.finished for each in mine))
        return reply, gate


async def submitting(scene: Scene, stage: str) -> None:
    await scene.order(stage, *[PictureScript(submit=Turn(gate=scene.after))] * COUNT)
    await scene.heard(stage, lambda _: True)


async def submitting_again(scene: Scene, stage: str) -> None:
    lost, kept = PictureScript(answer_lost=True), PictureScript(submit=Turn(gate=scene.after))
    await scene.order(stage, *[lost] * COUNT, *[kept] * COUNT)
    await scene.heard(stage, lambda _: True, count=2 * COUNT)


async def polling(scene: Scene, stage: str) -> None:
    await scene.order(stage, *[small(gate=scene.after)] * COUNT)
    await polled(scene, stage)


async def waiting_for_a_poll(scene: Scene, stage: str) -> None:
    await scene.order(stage, *[small(polls=[Turn(gate=scene.after)])] * COUNT)
    await polled(scene, stage)


async def polled(scene: Scene, stage: str) -> None:
    await scene.heard(stage, lambda one: one.polls)


async def one_drawn(scene: Scene, stage: str) -> None:
    await scene.order(stage, small(), small(gate=scene.after))
    await pictures_on_disk(scene, stage, "ready")


async def one_failed(scene: Scene, stage: str) -> None:
    await scene.order(stage, PictureScript(error="no"), small(gate=scene.after))
    await pictures_on_disk(scene, stage, "failed")


async def pictures_on_disk(scene: Scene, stage: str, state: str) -> None:
    async def there() -> bool:
        async with snapshot(database_url(scene.house)) as tx:
            sql = "SELECT 1 FROM pictures WHERE order_id = ? AND state = ?"
            return await tx.fetch_one(sql, (scene.ordered[stage].id, state)) is not None

    await until(there)


async def downloading(scene: Scene, stage: str) -> None:
    served = Served(body=picture().content, turn=Turn(gate=scene.after))
    await scene.order(stage, *[PictureScript(serves=served)] * COUNT)
    await scene.heard(stage, lambda one: one.downloaded_at)


async def stalled(scene: Scene, stage: str) -> None:
    served = Served(body=picture().content, stall_after=10)
    await scene.order(stage, *[PictureScript(serves=served)] * COUNT)
    await scene.heard(stage, lambda one: one.bytes_sent == 10)


async def uploading(scene: Scene, stage: str) -> None:
    _, gate = await scene.drawn_but(stage)
    interaction = scene.ordered[stage]
    scene.house.discord.faults.add(on_reply(interaction, drop=True))
    gate.set()
    await scene.house.discord.wait_until(lambda: uploads_to(scene.house, interaction.token))


async def uploading_slowly(scene: Scene, stage: str) -> None:
    """Discord has the files, and takes its time with them: they are shown even if the bot dies meanwhile."""
    _, gate = await scene.drawn_but(stage)
    scene.house.discord.faults.add(on_reply(scene.ordered[stage], delay_s=3.0))
    gate.set()
    await until_state(scene.house, scene.ordered[stage], "uploading")


async def uploaded(scene: Scene, stage: str) -> None:
    reply, gate = await scene.drawn_but(stage)
    interaction = scene.ordered[stage]
    scene.house.discord.faults.add(on_reply(interaction, drop=True, carried_out=True))
    scene.house.discord.faults.add(on_reply(interaction, method="GET", status=503))
    gate.set()
    await scene.house.discord.wait_until(lambda: reply.attachments)


async def sending_directly(scene: Scene, stage: str) -> None:
    dm = scene.house.discord.world.dm(scene.house.noam.user)
    await gone_and_direct(scene, stage, by=scene.house.noam, carried_out=False)
    await scene.house.discord.wait_until(lambda: uploads_to(scene.house, str(dm.id)))


async def sent_directly(scene: Scene, stage: str) -> None:
    dm = scene.house.discord.world.dm(scene.house.dana.user)
    await gone_and_direct(scene, stage, by=scene.house.dana, carried_out=True)
    await scene.house.discord.wait_until(lambda: any(message.attachments for message in dm.messages.values()))


async def gone_and_direct(scene: Scene, stage: str, *, by: Person, carried_out: bool) -> None:
    reply, gate = await scene.drawn_but(stage, by=by)
    house, dm = scene.house, scene.house.discord.world.dm(by.user)
    await house.admin.delete(reply)
    house.discord.faults.add(
        Fault(
            method="POST",
            template="/channels/…/messages",
            when=lambda _, path: str(dm.id) in path,
            times=None,
            drop=True,
            carried_out=carried_out,
        )
    )
    gate.set()


NOT_WRITTEN: Final[dict[str, tuple[str, str, str]]] = {
    "untried": ("before submission", "pictures", "NEW.tries > OLD.tries"),
    "untaken": ("submitted, not written down", "pictures", "NEW.state = 'submitted'"),
    "undrawn": ("drawn, not written down", "pictures", "NEW.state = 'ready'"),
    "unclaimed": ("before the upload", "picture_orders", "NEW.state = 'uploading'"),
    "unsettled": ("uploaded, not settled", "picture_orders", "NEW.state = 'delivered'"),
}
"""What the database does not take, by stages: a trigger's name, the stage, and the write that fails."""


def triggers_of() -> dict[str, str]:
    """The statement for each of these stages."""
    return {
        stage: f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} WHEN {write} AND EXISTS (SELECT 1 FROM picture_orders"
        f' AS mine WHERE mine.order_id = NEW.order_id AND mine.asked LIKE \'%"prompt":"{stage}"%\')'
        " BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        for name, (stage, table, write) in NOT_WRITTEN.items()
    }


def change_database(house: House, statements: Iterable[str]) -> None:
    with contextlib.closing(sqlite3.connect(house.folder / "bot.db", timeout=10)) as database, database:
        for statement in statements:
            database.execute(statement)


async def before_submission(scene: Scene, stage: str) -> None:
    await until_state(scene.house, await scene.order(stage), "open")


async def submitted(scene: Scene, stage: str) -> None:
    await scene.order(stage)
    await scene.heard(stage, lambda one: one.status == 200)


async def drawn(scene: Scene, stage: str) -> None:
    await scene.order(stage)
    await scene.heard(stage, lambda one: one.told_ready_at)


async def before_the_upload(scene: Scene, stage: str) -> None:
    await scene.order(stage)
    await scene.heard(stage, lambda one: one.downloaded_at)


async def not_settled(scene: Scene, stage: str) -> None:
    await shown(scene.house, await scene.order(stage), lambda reply: reply.attachments)


async def cancelled(scene: Scene, stage: str) -> None:
    """Cancelled, and Discord takes no word of it."""
    await polling(scene, stage)
    interaction = scene.ordered[stage]
    reply = await shown(scene.house, interaction, lambda one: "Cancel" in labels(one))
    scene.house.discord.faults.add(on_reply(interaction, status=503))
    await (scene.house.dana).click(reply, label="Cancel")
    await until_state(scene.house, interaction, "cancelled")


async def in_line(scene: Scene, stage: str) -> None:
    interaction = await scene.order(stage)
    await shown(scene.house, interaction, lambda reply: "1st in line" in reply.content)


STAGES: Final[dict[str, Callable[[Scene, str], Awaitable[None]]]] = {
    "submitting": submitting,
    "submitting again": submitting_again,
    "polling": polling,
    "waiting for a poll": waiting_for_a_poll,
    "one drawn": one_drawn,
    "one failed": one_failed,
    "downloading": downloading,
    "stalled": stalled,
    "uploading": uploading,
    "uploading slowly": uploading_slowly,
    "uploaded": uploaded,
    "sending directly": sending_directly,
    "sent directly": sent_directly,
    "before submission": before_submission,
    "submitted, not written down": submitted,
    "drawn, not written down": drawn,
    "before the upload": before_the_upload,
    "uploaded, not settled": not_settled,
    "cancelled": cancelled,
    "in line": in_line,
}

LAST: Final = ("waiting for a poll", "uploading slowly", "in line")
"""The first takes the room of the one that was cancelled, so that there is none for the last; the second holds its own
for a few seconds only."""


def room(*stages: str) -> dict[str, str]:
    """The settings in which they can all start, but who waits in line."""
    starting = sum(stage not in ("cancelled", "in line") for stage in stages)
    return MANY | {"PICTURE_ORDERS_OPEN": str(starting)}


def paid(images: int, *, tries: int = COUNT, reason: str = "finished") -> tuple[str, int, int]:
    """Reason, what the user paid, and what the API is due for so many submissions."""
    return reason, images * PICTURE_NANO, tries * PICTURE_NANO


def in_short(ended: dict[str, Result]) -> dict[str, tuple[str, int, int]]:
    return {stage: (one.reason, one.user_nano, one.provider_nano) for stage, one in ended.items()}
