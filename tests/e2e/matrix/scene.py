"""One case: fresh people, server, channel and database around the shared Discord and API, and the bot at work in it."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.discord.faults import Hold
from sandbox.discord.messages import Interaction, Message
from sandbox.discord.people import Person
from sandbox.discord.places import Channel, Role
from sandbox.minitoolai.picture_script import PictureOrder, PictureScript, Served
from sandbox.minitoolai.script import Received, Script
from tests.e2e.accounting import holds
from tests.e2e.house import House, labels, open_house
from tests.e2e.matrix.lives import Life
from tests.e2e.reading import picture

SERVER_S = 20.0
"""How long anything here may take before the case has failed."""
PICTURE = picture().content

WORKING = (
    "discord.py: ",
    "CommandTree-invoker",
    "discord-ui-",
    "order ",
    "arrival of order",
    "end of order",
    "last words",
    "a place in line",
    "messages of answer",
    "go on with pictures of before",
)
"""Names of the tasks that something is asked of; the others stand by."""


class Logged(logging.Handler):
    """What the bot and its libraries complain of, as text."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@dataclass(kw_only=True)
class Scene:
    """What a stage brings about, a fault disturbs and the rules look at. `asked` are the keys of all that was asked,
    each with who asked; `doors` the interactions and messages by which it was. `afterwards` is what somebody does once
    the fault has come, where nothing is under way that could go on by itself."""

    house: House
    life: Life
    role: Role
    logged: Logged
    environment: Mapping[str, str] = field(default_factory=dict)
    asked: dict[int, Person] = field(default_factory=dict)
    kinds: dict[int, str] = field(default_factory=dict)
    doors: dict[int, Interaction | Message] = field(default_factory=dict)
    requests: list[Received] = field(default_factory=list)
    orders: list[PictureOrder] = field(default_factory=list)
    chat: Script = field(default_factory=lambda: Script(["Nothing"]))
    drawing: PictureScript = field(default_factory=lambda: PictureScript(serves=Served(body=PICTURE)))
    afterwards: Callable[[], Awaitable[object]] | None = None
    unlock: Callable[[], None] = lambda: None
    stopping: asyncio.Task[None] | None = None
    _release: list[Callable[[], None]] = field(default_factory=list)

    # What is done

    @property
    def channel(self) -> Channel:
        return self.house.channel

    async def ask(self, *, by: Person | None = None) -> Interaction:
        person = by or self.house.dana
        return self.note(person, "chat", await person.slash(self.channel, "ask", prompt="Where is the treasure?"))

    async def mention(self, *, by: Person | None = None) -> Message:
        person = by or self.house.dana
        message = await person.say(self.channel, f"{self.house.discord.world.bot.mention} Where is the treasure?")
        self.asked[message.id], self.kinds[message.id], self.doors[message.id] = person, "chat", message
        return message

    async def order(self, *, by: Person | None = None, **options: object) -> Interaction:
        person = by or self.house.dana
        return self.note(person, "image", await person.slash(self.channel, "imagine", prompt="a lighthouse", **options))

    async def press(
        self, message: Message, label: str, *, by: Person | None = None, kind: str | None = None
    ) -> Interaction:
        """A button; one of `kind` orders something anew."""
        person = by or self.house.dana
        interaction = await person.click(message, label=label)
        return interaction if kind is None else self.note(person, kind, interaction)

    def note(self, person: Person, kind: str, interaction: Interaction) -> Interaction:
        self.asked[interaction.id], self.kinds[interaction.id] = person, kind
        self.doors[interaction.id] = interaction
        return interaction

    # What is held back

    def hold(self, method: str, template: str, *, answered: bool = False) -> Hold:
        """The next such request to Discord waits."""
        hold = self.house.discord.faults.hold(Hold(method=method, template=template, answered=answered))
        self._release.append(hold.let_go)
        return hold

    def gate(self) -> asyncio.Event:
        """Something of the API's that waits for it."""
        gate = asyncio.Event()
        self._release.append(gate.set)
        return gate

    def lock_database(self) -> None:
        """Somebody outside, such as a backup tool, holds the database for itself."""
        connection = sqlite3.connect(self.house.folder / "bot.db", isolation_level=None, check_same_thread=False)
        connection.execute("BEGIN IMMEDIATE")

        def unlock() -> None:
            connection.rollback()
            connection.close()
            self._release.remove(unlock)

        self._release.append(unlock)
        self.unlock = unlock

    def let_go(self) -> None:
        for release in tuple(self._release):
            release()
        self._release.clear()

    async def reached(self, hold: Hold) -> None:
        async with asyncio.timeout(SERVER_S):
            await hold.reached.wait()

    # What is seen

    @property
    def messages(self) -> list[Message]:
        """All that the bot has written in this case, deleted or not, wherever it stands."""
        world = self.house.discord.world
        found: dict[int, Message] = {}
        for door in self.doors.values():
            if isinstance(door, Interaction):
                found |= {message.id: message for message in door.messages}
        places = [*self.house.guild.channels.values(), self.channel]
        places += [world.dm(person.user) for person in (self.house.dana, self.house.noam, self.house.admin)]
        for place in places:
            found |= {message.id: message for message in place.messages.values() if message.author is world.bot}
        return [message for message in found.values() if message.author is world.bot]

    async def shown(self, holds_true: Callable[[Message], object], what: str) -> Message:
        """The first message of the bot's of which that is true."""
        message = await self.house.discord.wait_until(
            lambda: next((each for each in self.messages if not each.deleted and holds_true(each)), None),
            timeout_s=SERVER_S,
            what=what,
        )
        assert message is not None
        return message

    async def ended(self, label: str) -> Message:
        """The first message with that button of something that has ended."""
        return await self.shown(lambda message: label in labels(message), f"a button {label}")

    # How it ends

    async def quiet(self, *, unheard: bool = False) -> None:
        """Until nothing that was asked of the bot is under way: Discord and the API are well again.

        `unheard`: some of it may never have come to the bot.
        """
        try:
            async with asyncio.timeout(SERVER_S):
                await self.house.discord.gateway.wait_ready(SERVER_S)
                await self._idle(unheard=unheard)
        except TimeoutError:
            raise TimeoutError(f"not quiet: {self.unheard()} {self.working()} {await holds(self.house)}") from None

    async def _idle(self, *, unheard: bool) -> None:
        while (not unheard and self.unheard()) or self.working() or await holds(self.house):  # noqa: ASYNC110 - tasks announce nothing
            await asyncio.sleep(0.002)

    def unheard(self) -> list[int]:
        """What was asked, and the bot has not come to yet."""
        tokens = {door.token: key for key, door in self.doors.items() if isinstance(door, Interaction)}
        for request in self.house.discord.requests:
            for token in [token for token in tokens if token in request.path]:
                del tokens[token]
        return list(tokens.values())

    def working(self) -> list[str]:
        names = [task.get_name() for task in self.life.tasks]
        return [*(name for name in names if name.startswith(WORKING)), *self._left()]

    def _left(self) -> list[str]:
        """What an earlier life left, or Discord was out of reach for, and is still to be brought to its end."""
        if self.house.bot is None:
            return []
        services = self.house.bot.services
        left = {"answers": services.recovery.left, "promised replies": services.arrivals.left}
        return [f"{count} {what} left" for what, count in left.items() if count]

    async def begin(self) -> None:
        """A new life on what the last one left."""
        self.life = Life(self.house)
        await self.life.begin(**self.environment)

    def hear(self, received: Received) -> Script:
        self.requests.append(received)
        return self.chat

    def take(self, order: PictureOrder) -> PictureScript:
        self.orders.append(order)
        return self.drawing


@asynccontextmanager
async def open_stage(folder: Path) -> AsyncIterator[House]:
    """Discord and the API, for many cases one after the other."""
    async with open_house(folder) as house:
        house.discord.world.kick_bot(house.guild)
        house.discord.limits.set_rule("global", limit=1_000)  # so many bots start in a second that is not theirs alone
        house.discord.limits.set_rule("interaction_webhook", limit=50, window_s=1.0)
        house.discord.limits.set_rule("channel_message_create", limit=50, window_s=1.0)
        house.discord.limits.set_rule("channel_message_edit", limit=50, window_s=1.0)
        yield house


@asynccontextmanager
async def open_scene(stage: House, folder: Path, **environment: str) -> AsyncIterator[Scene]:
    """A case of its own; the bot is at work, and has stopped afterwards."""
    house = _fresh(stage, folder)
    logged = Logged()
    scene = Scene(
        house=house,
        life=Life(house),
        role=house.guild.add_role("Seekers"),
        logged=logged,
        environment={"PICTURE_PRIVATE_ADDRESSES": "on", **environment},
    )
    house.guild.set_roles(house.dana.user, [scene.role])
    house.api.answer, house.api.picture_answer = scene.hear, scene.take
    logging.getLogger().addHandler(logged)
    try:
        await scene.begin()
        yield scene
    finally:
        scene.let_go()
        house.discord.faults.clear()
        await scene.life.stop()
        logging.getLogger().removeHandler(logged)
        if house.guild.bot_present:
            house.discord.world.kick_bot(house.guild)
        for past in (house.discord.requests, house.discord.refusals, house.discord.rate_limited):
            past.clear()


def _fresh(stage: House, folder: Path) -> House:
    world = stage.discord.world
    owner = world.add_user("Ruth")
    guild = world.add_guild("Makers", owner=owner)
    people = [world.add_user(name) for name in ("Dana", "Noam")]
    for user in people:
        guild.join(user)
    return House(
        discord=stage.discord,
        api=stage.api,
        folder=folder,
        guild=guild,
        channel=guild.add_text_channel("general"),
        admin=stage.discord.person(owner),
        dana=stage.discord.person(people[0]),
        noam=stage.discord.person(people[1]),
    )
