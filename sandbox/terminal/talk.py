"""The conversation: what is typed becomes what a person does in Discord, what follows is shown."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sandbox.discord.cdn import Upload
from sandbox.discord.commands import CommandType, OptionType
from sandbox.discord.events import Event
from sandbox.discord.messages import ACKNOWLEDGE_WITHIN_S, Interaction, Message, walk
from sandbox.discord.people import ClientRefused, Person
from sandbox.discord.places import DEFAULT_UPLOAD_LIMIT_BYTES, Channel
from sandbox.terminal.blocks import pressable
from sandbox.terminal.child import Child
from sandbox.terminal.keys import Line
from sandbox.terminal.screen import Screen
from sandbox.terminal.stage import Stage
from sandbox.terminal.typed import Misunderstood, Order, Press, Slash, Text, offered, understand, value_of
from sandbox.terminal.view import View

FRAME_S: Final = 0.05
"""The screen is drawn at most this often."""
REPLY_BEGINS_S: Final = 70.0
"""How long a script of lines waits for a mention's answer to begin: the bot itself gives up after 60 s."""
REPLY_ENDS_S: Final = 900.0
QUIET_S: Final = 1.0
"""An answer has ended when nothing grows and nothing changed for so long: between two of its messages nothing grows."""
TEXT_INPUT: Final = 4
UPLOAD_MAX_BYTES: Final = DEFAULT_UPLOAD_LIMIT_BYTES

HOW_TO: Final = (
    "/ask What is a fjord?                 a command; options follow: model:gpt-4o private:true image:cat.png",
    "@bot hello                            anything else is said in the channel; a mention is answered",
    ":1   :3.1                             press the first button of the newest message that has any; of message [3]",
    ":as Noam   :in random   :in dm        be another person, go to another channel",
    ":reply 3 and why?   :attach cat.png   reply to message [3]; send a file along with what is said next",
    ":apps 3 Ask about this                the Apps menu of message [3]",
    ":delete 3   :restart   :log           delete message [3]; restart the bot; the end of the bot's log",
    ":help   :quit                         this; end (as Ctrl-D and Ctrl-C do)",
)


class Quit(Exception):
    """The person is done."""


@dataclass(kw_only=True)
class Form:
    """A modal being filled in, a line for each field."""

    interaction: Interaction
    fields: list[tuple[str, str]]
    values: dict[str, object]

    @property
    def prompt(self) -> str:
        return f"{self.fields[len(self.values)][1]} (:cancel)> "


class Conversation:
    """One terminal. `run` shows and listens until the input ends or `:quit`."""

    def __init__(self, stage: Stage, child: Child, screen: Screen) -> None:
        self.stage = stage
        self.world = stage.discord.world
        self.child = child
        self.screen = screen
        first_person, first_channel = next(iter(stage.people.values())), next(iter(stage.channels.values()))
        self.view = View(screen, first_person, first_channel)
        self.line = Line()
        self._form: Form | None = None
        self._staged: list[Upload] = []
        self._changed = asyncio.Event()
        self._stirred = asyncio.Event()
        self._following: set[asyncio.Task[None]] = set()
        self._orders: dict[str, Callable[[str], Awaitable[None]]] = {
            "help": self._help,
            "quit": self._quit,
            "as": self._as,
            "in": self._in,
            "reply": self._reply,
            "attach": self._attach,
            "apps": self._apps,
            "delete": self._delete,
            "log": self._log,
            "restart": self._restart,
            "cancel": self._cancel,
        }

    # Showing

    async def show(self) -> None:
        """Keep the screen up to date until cancelled."""
        self.world.listeners.append(self._on_event)
        try:
            while True:
                self._draw()
                await self._changed.wait()
                self._changed.clear()
                self._draw()
                await asyncio.sleep(FRAME_S)
        finally:
            self.world.listeners.remove(self._on_event)

    def touch(self) -> None:
        """Something that is shown has changed."""
        self._changed.set()

    def _on_event(self, _: Event) -> None:
        self._stirred.set()
        self.touch()

    def _draw(self) -> None:
        prompt = self._form.prompt if self._form else f"{self.view.person.user.display_name} {self.view.place}> "
        self.view.refresh(prompt, self.line.text)

    # Listening

    async def type(self, chunks: AsyncIterator[bytes]) -> None:
        """Take keys as they come, until the input ends. Raises Quit, keys.Closed."""
        async for chunk in chunks:
            for line in self.line.feed(chunk):
                await self.take(line)
            self.touch()

    async def read(self, lines: AsyncIterator[str]) -> None:
        """Take whole lines, each once what the one before it began has ended. Raises Quit."""
        async for line in lines:
            await self.take(line)
            await self._settle()

    async def take(self, line: str) -> None:
        """Do what one line says; what cannot be done is told. Raises Quit."""
        # What is said in the channel is seen there anyhow.
        if line.strip() and (self._form or not self.screen.grows or line.lstrip().startswith(("/", ":"))):
            self.screen.print([f"> {line}"])
        try:
            if self._form is not None and line.strip() != ":cancel":
                await self._fill(self._form, line)
            elif line.strip():
                await self._do(line)
        except Misunderstood as problem:
            self.screen.print([f"-- {problem}."])
        except ClientRefused as refusal:
            self.screen.print([f"-- Discord's client does not let you: {refusal}."])
        finally:
            self.touch()

    async def _settle(self) -> None:
        if not self._following:
            self._draw()
            return
        while self._following:
            await asyncio.wait(self._following)
        try:
            async with asyncio.timeout(REPLY_ENDS_S):
                await self._quiet()
        except TimeoutError:
            self.screen.print(["-- This is still being written; going on."])
        self._draw()

    async def _quiet(self) -> None:
        while True:
            await self.world.changes.wait_until(lambda: not self.view.at_work(), timeout_s=REPLY_ENDS_S)
            self._stirred.clear()
            try:
                async with asyncio.timeout(QUIET_S):
                    await self._stirred.wait()
            except TimeoutError:
                return

    async def close(self) -> None:
        """Let go of what is being followed."""
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)

    def _follow(self, waiting: Callable[[], Awaitable[None]]) -> None:
        async def follow() -> None:
            await waiting()

        task = asyncio.create_task(follow())
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    # Doing

    async def _do(self, line: str) -> None:
        match understand(line, self.world.commands.all()):
            case Slash() as slash:
                options: dict[str, Any] = {name: self._value(slash, name, text) for name, text in slash.options.items()}
                interaction = await self.view.person.slash(self.view.channel, slash.command, **options)
                self._follow(lambda: self._acknowledgement(interaction))
            case Press() as press:
                await self._press(press)
            case Text(text=text):
                await self._say(text, None)
            case Order(word=word, rest=rest):
                order = self._orders.get(word)
                if order is None:
                    raise Misunderstood(f"There is no :{word}; :help lists what there is")
                await order(rest)

    async def _acknowledgement(self, interaction: Interaction) -> None:
        try:
            await interaction.wait_for(lambda it: it.acknowledged.done(), timeout_s=ACKNOWLEDGE_WITHIN_S + 0.5)
        except TimeoutError:
            self.screen.print([f"-- The bot did not respond within {ACKNOWLEDGE_WITHIN_S:g} s."])
            return
        if interaction.modal is not None:
            self._open(interaction, interaction.modal)

    async def _say(self, text: str, reply_to: Message | None) -> None:
        files, self._staged = self._staged, []
        said = await self.view.person.say(self.view.channel, self._with_mentions(text), files=files, reply_to=reply_to)
        if self.world.bot in said.mentions.users or said.channel.is_private:
            self._follow(lambda: self._reply_begins(said))

    async def _reply_begins(self, question: Message) -> None:
        def begun() -> bool:
            messages = question.channel.messages.values()
            return any(m.author is self.world.bot and m.id > question.id for m in messages)

        if self.screen.grows:
            return  # whoever looks on sees for themselves
        try:
            await self.world.changes.wait_until(begun, timeout_s=REPLY_BEGINS_S)
        except TimeoutError:
            self.screen.print([f"-- The bot said nothing within {REPLY_BEGINS_S:g} s."])

    def _with_mentions(self, text: str) -> str:
        users = {"bot": self.world.bot, self.world.bot.display_name.casefold(): self.world.bot}
        users |= {name.casefold(): person.user for name, person in self.stage.people.items()}

        def mention(found: re.Match[str]) -> str:
            user = users.get(found[1].casefold())
            return user.mention if user else found[0]

        return re.sub(r"(?<!\w)@(\w+)", mention, text)

    def _value(self, slash: Slash, name: str, text: str) -> object:
        option = next(option for option in slash.specification["options"] if option["name"] == name)
        match option["type"]:
            case OptionType.ATTACHMENT:
                return upload(text)
            case OptionType.USER | OptionType.MENTIONABLE:
                return self._person(text.removeprefix("@")).user
            case OptionType.CHANNEL:
                return self._channel(text.removeprefix("#"))
            case OptionType.ROLE:
                raise Misunderstood(f"{name} takes a role, and the sandbox's terminal knows none")
        return value_of(option, text)

    async def _press(self, press: Press) -> None:
        if press.message is not None:
            message = self._message(press.message)
        else:
            found = next((message for message in self.view.newest() if pressable(message)), None)
            if found is None:
                raise Misunderstood("No message here has buttons")
            message = found
        buttons = pressable(message)
        if not 1 <= press.button <= len(buttons):
            raise Misunderstood(f"That message has {len(buttons) or 'no'} buttons")
        interaction = await self.view.person.click(message, custom_id=buttons[press.button - 1]["custom_id"])
        self._follow(lambda: self._acknowledgement(interaction))

    # Forms

    def _open(self, interaction: Interaction, modal: Mapping[str, Any]) -> None:
        fields: list[tuple[str, str]] = []
        label = ""
        for component in walk(modal["components"]):
            label = component.get("label") or label
            if component["type"] == TEXT_INPUT:
                fields.append((component["custom_id"], label))
        if not fields:
            self.screen.print([f"-- {modal['title']}: a form that this terminal cannot fill in."])
            return
        asked = ", then ".join(label for _, label in fields)
        self.screen.print([f"-- {modal['title']}: a form. Type: {asked}. What else it has is left as it is."])
        self._form = Form(interaction=interaction, fields=fields, values={})
        self.touch()

    async def _fill(self, form: Form, line: str) -> None:
        form.values[form.fields[len(form.values)][0]] = line or None
        if len(form.values) < len(form.fields):
            return
        self._form = None
        submitted = await self.view.person.submit_modal(form.interaction, form.values)
        self._follow(lambda: self._acknowledgement(submitted))

    async def _cancel(self, _: str) -> None:
        if self._form is None and not self._staged:
            raise Misunderstood("There is nothing to cancel")
        self._form, self._staged = None, []

    # Orders

    async def _help(self, _: str) -> None:
        commands = offered(self.world.commands.all())
        menus = [c["name"] for c in self.world.commands.all() if c["type"] == CommandType.MESSAGE]
        lines = [f"-- {line}" for line in HOW_TO]
        lines += [f"--   /{name:<16} {each['description']}" for name, each in commands.items()]
        lines += [f"--   :apps N {name}" for name in menus]
        self.screen.print(lines)

    async def _quit(self, _: str) -> None:
        raise Quit

    async def _as(self, name: str) -> None:
        self._go(self._person(name.removeprefix("@")).user.display_name, self.view.channel)

    async def _in(self, name: str) -> None:
        self._go(self.view.person.user.display_name, self._channel(name.removeprefix("#")))

    def _go(self, name: str, channel: Channel) -> None:
        person = self.stage.people[name]
        if channel.is_private:
            channel = self.world.dm(person.user)
        self.view.turn_to(person, channel)
        self.screen.print([f"-- You are {name} in {self.view.place}."])

    async def _reply(self, rest: str) -> None:
        message, text = self._message_and(rest, ":reply 3 and why?")
        await self._say(text, message)

    async def _apps(self, rest: str) -> None:
        message, name = self._message_and(rest, ":apps 3 Ask about this")
        interaction = await self.view.person.message_menu(self.view.channel, name, message)
        self._follow(lambda: self._acknowledgement(interaction))

    async def _delete(self, rest: str) -> None:
        if not rest.strip().isdecimal():
            raise Misunderstood("Write it so: :delete 3")
        await self.view.person.delete(self._message(int(rest)))

    async def _attach(self, path: str) -> None:
        self._staged.append(upload(path))
        self.screen.print([f"-- {self._staged[-1].name} goes with what you say next; :cancel takes it back."])

    async def _log(self, _: str) -> None:
        self.screen.print([f"-- {self.child.log}:", *(f"--   {line}" for line in self.child.tail(20))])

    async def _restart(self, _: str) -> None:
        self.screen.print(["-- Restarting the bot…"])
        await self.child.restart()
        try:
            await self.stage.discord.gateway.wait_ready(REPLY_BEGINS_S)
        except TimeoutError:
            raise Misunderstood("The bot is not back yet; :log says what it is doing") from None
        self.screen.print(["-- The bot is back."])

    # Finding

    def _person(self, name: str) -> Person:
        for known, person in self.stage.people.items():
            if known.casefold() == name.casefold():
                return person
        raise Misunderstood(f"The people here are {', '.join(self.stage.people)}")

    def _channel(self, name: str) -> Channel:
        if name.casefold() == "dm":
            return self.world.dm(self.view.person.user)
        for known, channel in self.stage.channels.items():
            if known.casefold() == name.casefold():
                return channel
        raise Misunderstood(f"The channels here are {', '.join(self.stage.channels)} and dm")

    def _message(self, number: int) -> Message:
        message = self.view.message(number)
        if message is None:
            raise Misunderstood(f"There is no message [{number}] to see")
        return message

    def _message_and(self, rest: str, example: str) -> tuple[Message, str]:
        found = re.fullmatch(r"(\d{1,9})\s+(.+)", rest, re.DOTALL)
        if found is None:
            raise Misunderstood(f"Write it so: {example}")
        return self._message(int(found[1])), found[2]


def upload(path: str) -> Upload:
    """The file at `path`. Raises Misunderstood."""
    file = Path(path).expanduser()
    try:
        if file.stat().st_size > UPLOAD_MAX_BYTES:
            raise Misunderstood(f"{file} is larger than the {UPLOAD_MAX_BYTES // 1024**2} MiB that Discord takes")
        return Upload(file.name, file.read_bytes())
    except OSError as error:
        raise Misunderstood(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in the path
        raise Misunderstood("That is no path") from error
