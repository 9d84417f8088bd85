"""A server's ordinary day, by chance from a seed: what its people do with the bot, and what goes wrong meanwhile."""

import asyncio
import io
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from PIL import Image

from benchmarks.house import House
from benchmarks.reading import story
from sandbox.discord.cdn import Upload
from sandbox.discord.faults import Fault
from sandbox.discord.messages import Interaction, Message
from sandbox.discord.people import ClientRefused, Person
from sandbox.discord.places import Channel
from sandbox.minitoolai.picture_script import PictureOrder, PictureScript, Served, Turn
from sandbox.minitoolai.script import Received, Script

PAUSE_S: Final = 4.0
"""How long a person does nothing between two things, on average."""
PATIENCE_S: Final = 60.0
LOOK_EVERY_S: Final = 0.1
WEATHER_EVERY_S: Final = 15.0
CHUNK_DELAY_S: Final = 0.04
PICTURE_S: Final = 5.0
TROUBLED: Final = 0.06
"""So many of the API's answers fail in one way or another."""
MESSAGES_KEPT: Final = 60
"""In each channel of the sandbox, which is not what is measured."""


@dataclass(kw_only=True)
class Life:
    """What happened: `done` counts ends by name, `lost` has what did not come to an end in a minute."""

    house: House
    channels: list[Channel]
    rng: random.Random
    done: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)

    async def go_on(self, *, seconds: float) -> None:
        """Live for so long, then let everything come to its end."""
        _serve(self)
        until = time.monotonic() + seconds
        people = [
            _Member(life=self, person=person, rng=random.Random(self.rng.random())) for person in self.house.people
        ]
        async with asyncio.TaskGroup() as group:
            for member in people:
                group.create_task(member.live(until), name=member.person.user.name)
            weather = group.create_task(self._weather(), name="weather")
            await asyncio.sleep(seconds)
            weather.cancel()
            self.house.discord.faults.clear()

    async def _weather(self) -> None:
        """Something of Discord's goes wrong now and then, for one request or one connection."""
        discord, gateway = self.house.discord, self.house.discord.gateway
        reply = "/webhooks/…/messages/…"
        happenings: list[tuple[str, Callable[[], Awaitable[object] | object]]] = [
            ("gateway dropped", lambda: gateway.drop()),
            ("gateway closed", lambda: gateway.drop(4000)),
            ("gateway reconnect asked", gateway.request_reconnect),
            ("gateway session invalid", lambda: gateway.invalidate(resumable=self.rng.random() < 0.5)),
            ("500", lambda: discord.faults.add(Fault(template=reply, status=500))),
            ("502 page", lambda: discord.faults.add(Fault(template=reply, status=502, html=True))),
            ("429", lambda: discord.faults.add(Fault(template=reply, status=429, retry_after_s=1.0))),
            (
                "429 global",
                lambda: discord.faults.add(Fault(template="/channels/…", status=429, retry_after_s=1.0, global_=True)),
            ),
            ("slow", lambda: discord.faults.add(Fault(template=reply, delay_s=1.5))),
            ("dropped request", lambda: discord.faults.add(Fault(template=reply, drop=True))),
            ("lost answer", lambda: discord.faults.add(Fault(template=reply, status=500, carried_out=True))),
        ]
        while True:
            await asyncio.sleep(self.rng.expovariate(1 / WEATHER_EVERY_S))
            name, happen = self.rng.choice(happenings)
            happened = happen()
            if isinstance(happened, Awaitable):
                await happened
            self.done[f"weather: {name}"] += 1

    def tidy(self) -> None:
        """Let the sandbox forget what nobody looks at any more, so that it does not grow instead of the bot."""
        self.house.discord.requests.clear()
        self.house.discord.refusals.clear()
        for channel in self.channels:
            for message_id in list(channel.messages)[:-MESSAGES_KEPT]:
                del channel.messages[message_id]


@dataclass(kw_only=True)
class _Member:
    """One person, who does one thing at a time."""

    life: Life
    person: Person
    rng: random.Random
    last: Message | None = None
    unheard: bool = False
    """The bot had no session when this person last did something: Discord tells nobody of it, then or later."""

    async def live(self, until: float) -> None:
        names = list(_HABITS)
        weights = [weight for weight, _ in _HABITS.values()]
        while (left_s := until - time.monotonic()) > 0:
            await asyncio.sleep(min(self.rng.expovariate(1 / PAUSE_S), left_s))
            if time.monotonic() >= until:
                return
            (name,) = self.rng.choices(names, weights)
            try:
                await _HABITS[name][1](self)
                self.life.done[name] += 1
            except ClientRefused:
                self.life.done["not offered"] += 1
            except TimeoutError as late:
                if self.unheard:
                    self.life.done["came while the bot had no session"] += 1
                else:
                    self.life.lost.append(f"{name}: {late}")

    @property
    def channel(self) -> Channel:
        return self.rng.choice(self.life.channels)

    def acting(self, person: Person | None = None) -> Person:
        """This person, or who acts for them, about to do something that the bot should hear of."""
        self.unheard = not self.life.house.discord.gateway.sessions
        return person or self.person

    async def until(self, look: Callable[[], Message | None], what: str) -> Message:
        """Looked at now and then rather than after each change, of which there are too many. Raises TimeoutError."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := look()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(what)
            await asyncio.sleep(LOOK_EVERY_S)
        return found

    # Questions

    async def ask(self, prompt: str, **options: Any) -> None:
        self.last = await self.ended(await self.acting().slash(self.channel, "ask", prompt=prompt, **options))

    async def ended(self, interaction: Interaction) -> Message:
        """The last message of an answer that has ended or was refused."""
        return await self.until(lambda: _ended(interaction.messages), f"an answer, {_said(interaction)}")

    async def mention(self) -> None:
        channel = self.channel
        asked = await self.acting().say(channel, f"<@{self.life.house.discord.world.bot.id}> a short question")
        await self.until(
            lambda: _ended([each for each in channel.messages.values() if each.reply_to is asked]), "a mention's answer"
        )

    async def stop(self) -> None:
        interaction = await self.acting().slash(self.channel, "ask", prompt="a long question")
        shown = await self.until(
            lambda: _with(interaction.messages, "Stop") or _ended(interaction.messages), "the Stop button"
        )
        if _has(shown, "Stop"):
            await self.acting().click(shown, label="Stop")
        await self.ended(interaction)

    async def press(self, label: str) -> None:
        """A button of this person's last answer, where it has one."""
        last, self.last = self.last, None
        if last is None or not _has(last, label):
            return await self.ask("a short question")
        interaction = await self.acting().click(last, label=label)
        if label != "Delete":
            self.last = await self.ended(interaction)
        return None

    # Pictures

    async def order(self, *, cancelled: bool = False) -> None:
        interaction = await self.acting().slash(
            self.channel, "imagine", prompt="a lighthouse", count=self.rng.choice((1, 1, 2, 3, 4))
        )
        if cancelled:
            shown = await self.until(
                lambda: _with(interaction.messages, "Cancel") or _drawn(interaction.messages), "the Cancel button"
            )
            await asyncio.sleep(self.rng.uniform(0, PICTURE_S))
            if _has(shown, "Cancel"):
                await self.acting().click(shown, label="Cancel")
        await self.until(lambda: _drawn(interaction.messages), f"an order's end, {_said(interaction)}")

    # Commands

    async def command(self, name: str, *, by: Person | None = None, **options: Any) -> None:
        interaction = await self.acting(by).slash(self.channel, name, **options)
        await self.until(lambda: _answered(interaction.messages), f"/{name}, {_said(interaction)}")

    async def decide(self) -> None:
        """What the owner decides about this person."""
        owner = self.life.house.discord.person(self.life.house.guild.owner)
        member = self.person.user
        match self.rng.randrange(5):
            case 0:
                await self.command("quota set", by=owner, credits="5,000", period="day", target=member)
            case 1:
                await self.command("quota grant", by=owner, member=member, credits="10", reason="well done")
            case 2:
                await self.command("quota show", by=owner, member=member)
            case 3:
                await self.command("settings show", by=owner)
            case _:
                await self.command("usage", by=owner, scope="server", period="month")


def _has(message: Message, label: str) -> bool:
    return not message.deleted and any(each.get("label") == label for each in message.buttons())


def _with(messages: list[Message], label: str) -> Message | None:
    return next((each for each in messages if _has(each, label)), None)


def _ended(messages: list[Message]) -> Message | None:
    """The answer's last message once it stays as it is: with its buttons, or as a warning in place of an answer."""
    return _with(messages[::-1], "Regenerate") or next((each for each in messages if _refused(each)), None)


def _refused(message: Message) -> bool:
    return not message.loading and not _has(message, "Stop") and "⚠️" in message.text()


def _drawn(messages: list[Message]) -> Message | None:
    return _with(messages, "Again") or next((each for each in messages if _refused(each)), None)


def _answered(messages: list[Message]) -> Message | None:
    return next((each for each in messages if not each.loading), None)


def _said(interaction: Interaction) -> str:
    return f"interaction {interaction.id}, answered by {interaction.response_type!r}"


async def _with_picture(member: _Member) -> None:
    await member.ask("a short question about it", image=Upload("cat.jpg", _picture(256)))


async def _with_file(member: _Member) -> None:
    text = "\n".join(f"line {number} = {number * number}" for number in range(200))
    await member.ask("a short question about it", file=Upload("notes.txt", text.encode()))


_HABITS: Final[dict[str, tuple[int, Callable[[_Member], Awaitable[None]]]]] = {
    "short answer": (24, lambda member: member.ask("a short question")),
    "long answer": (10, lambda member: member.ask("a long question")),
    "private answer": (5, lambda member: member.ask("a short question", private=True)),
    "answer about a picture": (3, _with_picture),
    "answer about a file": (3, _with_file),
    "mention": (8, _Member.mention),
    "stop": (5, _Member.stop),
    "regenerate": (6, lambda member: member.press("Regenerate")),
    "delete": (2, lambda member: member.press("Delete")),
    "pictures": (7, _Member.order),
    "pictures, cancelled": (2, lambda member: member.order(cancelled=True)),
    "usage": (4, lambda member: member.command("usage")),
    "history": (4, lambda member: member.command("history show")),
    "privacy": (1, lambda member: member.command("privacy show")),
    "help": (1, lambda member: member.command("help")),
    "decisions": (4, _Member.decide),
}
"""What people do, how often by comparison."""


# The API


def _serve(life: Life) -> None:
    """Have the API answer by chance, and fail now and then."""
    rng = random.Random(life.rng.random())
    short, middle, long = story(40), story(150), story(700)
    body = _picture(512)

    def answer(request: Received) -> Script:
        asked = str(request.body["messages"][-1]["content"])
        text = long if "a long question" in asked else rng.choice((short, short, middle))
        if rng.random() >= TROUBLED:
            return Script(text, chunk_delay_s=CHUNK_DELAY_S, first_delay_s=rng.uniform(0.1, 0.8))
        trouble = rng.choice(_TROUBLES)
        life.done[f"API: {trouble[0]}"] += 1
        return trouble[1](text)

    def draw(_: PictureOrder) -> PictureScript:
        chance = rng.random()
        if chance < TROUBLED:
            life.done["API: picture failed"] += 1
            return rng.choice(
                (
                    PictureScript(error="the picture could not be made"),
                    PictureScript(submit=Turn(status=500)),
                    PictureScript(
                        polls=(Turn(status=502), Turn(hang_up=True)), serves=Served(body=body, format="jpeg")
                    ),
                    PictureScript(serves=Served(body=b"no picture")),
                )
            )
        after_s = PICTURE_S * rng.uniform(0.5, 2)
        return PictureScript(serves=Served(body=body, format="jpeg"), ready_after_s=after_s)

    life.house.api.answer = answer
    life.house.api.picture_answer = draw


_TROUBLES: Final[list[tuple[str, Callable[[list[str]], Script]]]] = [
    ("500", lambda _: Script(status=500, error_body={"error": {"message": "The server had an error."}})),
    (
        "429",
        lambda _: Script(status=429, headers={"Retry-After": "1"}, error_body={"error": {"message": "Slow down."}}),
    ),
    ("hung up", lambda _: Script(hang_up=True)),
    ("broke off", lambda text: Script(text, chunk_delay_s=CHUNK_DELAY_S, break_after=20)),
    ("error in the stream", lambda text: Script(text, chunk_delay_s=CHUNK_DELAY_S, error_after=20)),
    ("no usage", lambda text: Script(text, chunk_delay_s=CHUNK_DELAY_S, usage=None)),
    ("cut by length", lambda text: Script(text, chunk_delay_s=CHUNK_DELAY_S, finish_reason="length")),
]


def _picture(side_px: int) -> bytes:
    encoded = io.BytesIO()
    Image.effect_noise((side_px, side_px), 20).convert("RGB").save(encoded, "JPEG", quality=60)
    return encoded.getvalue()
