"""A random life: several people ask and order, faults come at random moments, the process dies now and then."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.discord.faults import Fault as Ordered
from sandbox.discord.messages import Interaction, Message
from sandbox.discord.people import ClientRefused, Person
from sandbox.minitoolai.picture_script import PictureOrder, PictureScript, Served, Turn
from sandbox.minitoolai.script import Received, Script
from tests.e2e.accounting import entries
from tests.e2e.house import labels
from tests.e2e.matrix import faults
from tests.e2e.matrix.rules import broken, unfinished, untold
from tests.e2e.matrix.scene import PICTURE, Scene
from tests.e2e.matrix.stages import BEGINNING, END, SERVES

STEPS: Final = (6, 14)
PAUSE_S: Final = 0.03

ANSWERS: Final[Sequence[dict[str, Any]]] = (
    {},
    {},
    {"chunk_delay_s": 0.01},
    {"first_delay_s": 0.03},
    {"status": 500},
    {"status": 429},
    {"hang_up": True},
    {"break_after": 1},
    {"error_after": 1},
    {"usage": None},
)
TURNS: Final[Sequence[Turn]] = (
    Turn(),
    Turn(),
    Turn(delay_s=0.02),
    Turn(status=500),
    Turn(status=429),
    Turn(hang_up=True),
    Turn(status=502, body=faults.PAGE),
)
REST: Final[Sequence[dict[str, Any]]] = (
    {"status": 500},
    {"status": 502, "html": True},
    {"status": 429, "retry_after_s": 0.02},
    {"status": 429, "retry_after_s": 0.02, "global_": True},
    {"drop": True},
    {"drop": True, "carried_out": True},
    {"delay_s": 0.05},
)
COMPLAINTS: Final = (
    "Attempting a reconnect",
    "a payload of the gateway",
    "will be told",
    "Discord was not left properly",
)


@dataclass(kw_only=True)
class Schedule:
    """What is done to a scene, drawn from `rng`; `steps` tells it for people."""

    scene: Scene
    rng: random.Random
    steps: list[str] = field(default_factory=list)
    died: set[int] = field(default_factory=set)

    async def run(self) -> list[str]:
        """Every rule that is broken afterwards."""
        scene = self.scene
        scene.house.api.answer, scene.house.api.picture_answer = self.hear, self.take
        for _ in range(self.rng.randint(*STEPS)):
            deed = self.rng.choices(tuple(DEEDS), weights=tuple(DEEDS.values()))[0]
            await deed(self)
            if self.rng.randrange(3):
                await asyncio.sleep(self.rng.uniform(0, PAUSE_S))
        scene.house.discord.faults.clear()
        await self.settle()
        found = await broken(scene, silent=True, hanging=True)
        return [*found, *await self.unkept()]

    async def settle(self) -> None:
        """All is well again; the bot goes on, ends and starts once more."""
        await self.scene.house.discord.gateway.wait_ready(20)
        await self.scene.quiet(unheard=True)
        await self.restart(self.scene.life.stop)
        await self.scene.quiet(unheard=True)

    async def unkept(self) -> list[str]:
        """Who is owed words reads some, and nothing looks unfinished, as far as it was on disk when a process died."""
        written = await entries(self.scene.house)
        lost = {key for key in self.died if key not in written}
        doors = [door for key, door in self.scene.doors.items() if key in lost]
        known = [each for each in self.scene.messages if each.interaction not in doors and each.reply_to not in doors]
        return [
            *unfinished(known),
            *untold(self.scene, [key for key in written if key in self.scene.asked]),
        ]

    # What the API does

    def hear(self, received: Received) -> Script:
        self.scene.requests.append(received)
        return Script([f"{BEGINNING} @everyone ", END], **self.rng.choice(ANSWERS))

    def take(self, order: PictureOrder) -> PictureScript:
        self.scene.orders.append(order)
        match self.rng.randrange(5):
            case 0:
                return PictureScript(serves=SERVES, submit=self.rng.choice(TURNS))
            case 1:
                return PictureScript(serves=SERVES, polls=self.rng.choices(TURNS, k=3))
            case 2:
                return PictureScript(serves=Served(body=PICTURE, turn=self.rng.choice(TURNS)))
            case 3:
                return PictureScript(serves=SERVES, answer_lost=True)
            case _:
                return PictureScript(serves=SERVES, ready_after_s=self.rng.uniform(0, 0.05))

    # Steps

    def note(self, step: str) -> None:
        self.steps.append(step)

    def somebody(self) -> Person:
        house = self.scene.house
        return self.rng.choice((house.dana, house.noam, house.admin))

    async def ask(self) -> None:
        person = self.somebody()
        self.note(f"{person.user.name} asks")
        await self.scene.ask(by=person)

    async def mention(self) -> None:
        person = self.somebody()
        self.note(f"{person.user.name} mentions the bot")
        await self.scene.mention(by=person)

    async def order(self) -> None:
        person, count = self.somebody(), self.rng.randint(1, 2)
        self.note(f"{person.user.name} orders {count}")
        await self.scene.order(by=person, count=count)

    async def press(self) -> None:
        shown = [(m, label) for m in self.scene.messages if not m.deleted for label in labels(m) if label in PRESSED]
        if not shown:
            return
        message, label = self.rng.choice(shown)
        person = _asker(message) or self.scene.house.dana.user
        self.note(f"{person.name} presses {label}")
        by = next(each for each in self.people if each.user is person)
        with contextlib.suppress(ClientRefused):
            await self.scene.press(message, label, by=by, kind=PRESSED[label])

    @property
    def people(self) -> tuple[Person, ...]:
        house = self.scene.house
        return (house.dana, house.noam, house.admin)

    async def disturb_rest(self) -> None:
        fields = self.rng.choice(REST)
        times = self.rng.randint(1, 3)
        self.note(f"the next {times} requests to Discord: {fields}")
        self.scene.house.discord.faults.add(Ordered(times=times, **fields))

    async def disturb_gateway(self) -> None:
        fault = self.rng.choice(faults.GATEWAY)
        self.note(fault.name)
        self.died |= set(self.scene.asked)  # what was on its way is lost with a session
        await fault.strike(self.scene)

    async def twice(self) -> None:
        if self.scene.doors:
            self.note("the last of what was asked comes again")
            await faults.deliver_again(self.scene)

    async def terminate(self) -> None:
        self.note("SIGTERM, and a start")
        await self.restart(self.scene.life.stop)

    async def kill(self) -> None:
        self.note("kill -9, and a start")
        await self.restart(self.scene.life.kill)

    async def restart(self, end: Callable[[], Awaitable[None]]) -> None:
        ordered = self.scene.house.discord.faults
        self.died |= set(self.scene.asked)
        await end()
        ordered.clear()  # a start that Discord does not let in is for the host to repeat
        await self.scene.begin()


PRESSED: Final = {"Regenerate": "chat", "Again": "image", "Stop": None, "Cancel": None}

DEEDS: Final[dict[Callable[[Schedule], Awaitable[None]], int]] = {
    Schedule.ask: 6,
    Schedule.mention: 3,
    Schedule.order: 5,
    Schedule.press: 4,
    Schedule.disturb_rest: 6,
    Schedule.disturb_gateway: 1,
    Schedule.twice: 2,
    Schedule.terminate: 1,
    Schedule.kill: 1,
}


def _asker(message: Message) -> Any:
    return message.interaction.user if isinstance(message.interaction, Interaction) else None
