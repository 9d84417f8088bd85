"""The bot ends in the middle of orders, in peace or by force, at each stage: they are delivered once, or paid back."""

import asyncio
import contextlib
import logging
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field

import pytest

from bot.storage.snapshot import snapshot
from sandbox.discord.messages import Interaction
from sandbox.discord.people import ClientRefused, Person
from sandbox.minitoolai.picture_script import PictureScript, Served, Turn
from tests.e2e.accounting import database_url, entries
from tests.e2e.drawing import order
from tests.e2e.house import House
from tests.e2e.ordering import MANY, Plays, copies, on_reply, plays, results, small
from tests.e2e.reading import picture
from tests.e2e.stages import COUNT, STAGES, Scene, in_short, paid, room

log = logging.getLogger(__name__)

STORMY = MANY | {"PICTURE_ORDERS_PER_MEMBER": "8", "PICTURE_LINE_PER_MEMBER": "100"}
AFTERWARDS = dict.fromkeys(STAGES, paid(COUNT)) | {
    "submitting": paid(COUNT, tries=2 * COUNT),  # the API may have taken those that nobody heard the answer of
    "submitting again": paid(COUNT, tries=3 * COUNT),
    "submitted, not written down": paid(COUNT, tries=2 * COUNT),
    "one failed": paid(1),
    "cancelled": paid(0, reason="cancelled"),
}


async def stopped(house: House, scene: Scene) -> None:
    async with house.running(**room(*STAGES)):
        await scene.set_up(*STAGES)
        assert set(await entries(house)) == {scene.ordered["cancelled"].id}, "the others are where they were to be"


async def killed(house: House, scene: Scene) -> None:
    async with house.process(**room(*STAGES)) as process:
        await scene.set_up(*STAGES)
        assert set(await entries(house)) == {scene.ordered["cancelled"].id}, "the others are where they were to be"
        process.kill()
        await process.wait()


async def disconnected(house: House) -> None:
    gateway = house.discord.gateway
    await gateway.wait_until(lambda: not any(session.connected for session in gateway.sessions), 5)


@pytest.mark.parametrize("end", [stopped, killed])
async def test_whatever_the_bot_is_about_when_it_ends_it_goes_on_and_delivers_once(
    empty_house: House, end: Callable[[House, Scene], Awaitable[None]]
) -> None:
    house, scene = empty_house, Scene(house=empty_house)
    await end(house, scene)
    await disconnected(house)
    await scene.go_on()
    async with house.running(**room(*STAGES)):
        ended = await results(house, scene.play, scene.ordered)
        slow = scene.ordered["uploading slowly"]
        await house.discord.wait_until(
            lambda: all(each.finished for each in house.discord.requests if slow.token in each.path)
        )
        assert in_short(ended) == AFTERWARDS
        assert len(copies(house, slow)) == COUNT
        assert "Cancelled" in ended["cancelled"].says
    asked = {stage: len(submissions) for stage, submissions in scene.play.heard.items()}
    assert asked == dict.fromkeys(STAGES, COUNT) | {
        "submitting": 2 * COUNT,
        "submitting again": 3 * COUNT,
        "submitted, not written down": 2 * COUNT,
    }


# At random


@dataclass(kw_only=True)
class Storm:
    """Orders without end, of which some fail, some are cancelled, and some meet a Discord that fails."""

    house: House
    rng: random.Random
    play: Plays = field(init=False)
    ordered: dict[str, Interaction] = field(default_factory=dict)
    cancelling: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.play = plays(self.house)

    def script(self) -> PictureScript:
        rng, later = self.rng, self.rng.choice((0.0, 0.05, 0.4))
        slowly = Served(body=picture().content, chunk_bytes=20, chunk_delay_s=0.02)
        return rng.choice(
            [small(ready_after_s=later)] * 5
            + [PictureScript(serves=slowly)] * 2
            + [
                small(submit=Turn(delay_s=later)),
                small(polls=[Turn(status=500), Turn(body="<html>")]),
                PictureScript(answer_lost=True),
                PictureScript(submit=Turn(hang_up=True)),
                PictureScript(submit=Turn(status=rng.choice((400, 402, 500)))),
                PictureScript(error="no"),
                PictureScript(serves=Served(body=b"<html>")),
            ]
        )

    async def order(self) -> None:
        rng, house, prompt = self.rng, self.house, f"Picture {len(self.ordered)}"
        count = rng.randint(1, 3)
        self.play.scripts[prompt] = [self.script() for _ in range(2 * count)]
        person = rng.choice((house.dana, house.noam, house.admin))
        interaction = self.ordered[prompt] = await order(house, prompt, by=person, count=count)
        if rng.random() < 0.2:
            house.discord.faults.add(on_reply(interaction, times=2, drop=True, carried_out=rng.random() < 0.5))
        if rng.random() < 0.2:
            self.own(self.cancel(person, interaction, after_s=rng.uniform(0, 0.5)))

    async def cancel(self, person: Person, interaction: Interaction, *, after_s: float) -> None:
        await asyncio.sleep(after_s)
        with contextlib.suppress(ClientRefused):  # it has no such button (any more)
            if interaction.original is not None:
                await person.click(interaction.original, label="Cancel")

    def own(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self.cancelling.add(task)
        task.add_done_callback(self.cancelling.discard)

    async def one_life(self) -> None:
        """The bot starts, goes on with what is left, is given orders, and is killed."""
        async with self.house.process(**STORMY) as process:
            for _ in range(self.rng.randint(5, 25)):
                await self.order()
                await asyncio.sleep(self.rng.uniform(0, 0.1))
            await asyncio.sleep(self.rng.uniform(0, 0.6))
            process.kill()
            await process.wait()
        await asyncio.gather(*self.cancelling)
        await disconnected(self.house)

    async def written_down(self) -> dict[str, Interaction]:
        async with snapshot(database_url(self.house)) as tx:
            ids = {row["order_id"] for row in await tx.fetch_all("SELECT order_id FROM picture_orders")}
        return {prompt: each for prompt, each in self.ordered.items() if each.id in ids}


async def weather(house: House, *, kills: int) -> None:
    seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(2**32))
    log.warning("CRASH_SEED=%d", seed)
    storm = Storm(house=house, rng=random.Random(seed))
    for _ in range(kills):
        await storm.one_life()
    house.discord.faults.clear()
    async with house.running(**STORMY):
        ordered = await storm.written_down()
        ended = await results(house, storm.play, ordered, timeout_s=60)
    assert set(storm.play.heard) <= set(ordered), "the API was asked for what nobody had written down"
    assert set(await entries(house)) == {each.id for each in ordered.values()}
    reasons = Counter(one.reason for one in ended.values())
    assert reasons["finished"] > 0
    log.warning(
        "%d kills, %d orders, %d of them written down: %s; billed %d nano-dollars, booked %d, paid %d",
        kills,
        len(storm.ordered),
        len(ordered),
        dict(reasons),
        sum(storm.play.billed_nano(prompt) for prompt in ordered),
        sum(one.provider_nano for one in ended.values()),
        sum(one.user_nano for one in ended.values()),
    )


async def test_killed_under_load_every_order_is_delivered_once_or_paid_back(empty_house: House) -> None:
    await weather(empty_house, kills=4)


@pytest.mark.long
@pytest.mark.parametrize("storm", ["first", "second"])
async def test_killed_30_times_under_load_every_order_is_delivered_once_or_paid_back(
    empty_house: House, storm: str
) -> None:
    """Sixty times in all; in two parts, since no test may take longer than two minutes."""
    await weather(empty_house, kills=30)
