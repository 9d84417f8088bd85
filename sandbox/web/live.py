"""The WebSocket: to each page what its person sees, as it happens.

A feed remembers only *what* changed and makes frames of how things are when the socket can take them. So a slow page
costs no memory and is never behind: many edits of one message become one frame; too many changes become a snapshot.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Any, Final

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from sandbox.discord import events
from sandbox.discord.events import Event
from sandbox.discord.messages import Message
from sandbox.discord.people import Person
from sandbox.discord.places import Channel
from sandbox.discord.refusals import Json
from sandbox.discord.rest import Recorded
from sandbox.web.asked import FILES_LIMIT
from sandbox.web.faults import Switches
from sandbox.web.messages import message_json
from sandbox.web.offers import commands_json
from sandbox.web.places import channel_json, channels_of, may_json, role_json, sees, user_json
from sandbox.web.scene import Scene, first_channel
from sandbox.web.traffic import Traffic, limits_json

log = logging.getLogger(__name__)

SHOWN_MESSAGES: Final = 50
CHANGES_LIMIT: Final = 200
"""So many changed messages wait for a slow page; more become a snapshot."""
FRAME_S: Final = 0.03
PANEL_S: Final = 0.5
SEND_S: Final = 10.0
TYPING_S: Final = 10.0
FRAME_BYTES: Final = 4_096
FEEDS_LIMIT: Final = 64
_MESSAGE_EVENTS: Final = frozenset(
    {
        events.MESSAGE_CREATE,
        events.MESSAGE_UPDATE,
        events.MESSAGE_DELETE,
        events.MESSAGE_REACTION_ADD,
        events.MESSAGE_REACTION_REMOVE,
    }
)


class Hub:
    """All feeds, and what they show beside messages: who types, whether the bot is there."""

    def __init__(self, scene: Scene, switches: Switches) -> None:
        self.scene = scene
        self.switches = switches
        self.traffic = Traffic(scene.discord, scene.stage.simulation, self._on_traffic)
        self.bot_state = "starting"
        self.typing: dict[int, dict[int, float]] = {}
        """By channel and user: until when, by the sandbox's clock."""
        self.feeds: set[Feed] = set()
        scene.world.listeners.append(self._on_event)
        scene.discord.observers.append(self._on_request)

    def close(self) -> None:
        self.scene.world.listeners.remove(self._on_event)
        self.scene.discord.observers.remove(self._on_request)
        self.traffic.close()

    async def watch_bot(self) -> None:
        """Tell the feeds when the bot comes and goes, until cancelled."""
        gateway = self.scene.discord.gateway

        def is_online() -> bool:
            return any(session.connected for session in gateway.sessions)

        while True:
            await gateway.wait_until(is_online, timeout_s=_FOREVER_S)
            self.set_bot("online")
            self.traffic.note_gateway("connected")
            await gateway.wait_until(lambda: not is_online(), timeout_s=_FOREVER_S)
            self.traffic.note_gateway("disconnected")
            if self.bot_state == "online":
                self.set_bot("offline")

    def set_bot(self, state: str) -> None:
        self.bot_state = state
        self.mark("bot")

    def mark(self, *what: str) -> None:
        """These parts of every page have changed."""
        for feed in self.feeds:
            feed.mark(*what)

    def typists(self, channel: Channel) -> dict[int, float]:
        """Who types there now, and until when."""
        now = self.scene.world.clock.now()
        here = {user: until for user, until in self.typing.get(channel.id, {}).items() if until > now}
        self.typing[channel.id] = here
        return here

    def _on_traffic(self) -> None:
        for feed in self.feeds:
            feed.note_traffic()

    def _on_request(self, record: Recorded) -> None:
        if record.faulted:
            self.mark("faults")
        if record.method != "GET" and "/commands" in record.template and record.status < 400:
            self.mark("commands")

    def _on_event(self, event: Event) -> None:
        channel = self.scene.world.channels.get(event.channel_id or 0)
        if event.name == events.TYPING_START and channel is not None:
            until = self.scene.world.clock.now() + TYPING_S
            self.typing.setdefault(channel.id, {})[int(event.data["user_id"])] = until
            self._mark_in(channel, "typing")
        elif event.name in _MESSAGE_EVENTS and channel is not None:
            self._on_message(event, channel)
        elif event.name.startswith(("CHANNEL_", "THREAD_")):
            self.mark("channels", "commands")
        elif event.name.startswith(("GUILD_ROLE_", "GUILD_MEMBER_")):
            self.mark("channels", "members", "commands")

    def _on_message(self, event: Event, channel: Channel) -> None:
        if event.name == events.MESSAGE_CREATE and self.typing.get(channel.id, {}).pop(event.message_author_id or 0, 0):
            self._mark_in(channel, "typing")
        message_id = int(event.data.get("message_id") or event.data["id"])
        for feed in self.feeds:
            feed.note_message(channel, message_id, created=event.name == events.MESSAGE_CREATE)

    def _mark_in(self, channel: Channel, what: str) -> None:
        for feed in self.feeds:
            if feed.channel is channel:
                feed.mark(what)


_FOREVER_S: Final = 10.0 * 365 * 86_400


class Feed:
    """One socket: who looks, where, and what of that has changed since it was last told."""

    def __init__(self, hub: Hub, person: Person, channel: Channel) -> None:
        self.person = person
        self.channel = channel
        self._hub = hub
        self._scene = hub.scene
        self._wake = asyncio.Event()
        self._stale = True
        self._marks: dict[str, None] = {}
        self._messages: dict[int, None] = {}
        self._activity: dict[int, int] = {}
        self._sequence = 0
        self._panel = False
        self._told_log = 0
        self._told_limits: list[Json] = []
        self._limits_due_s = 0.0
        self._problem: str | None = None
        self._wake.set()

    # Being told

    def mark(self, *what: str) -> None:
        self._marks.update(dict.fromkeys(what))
        self._wake.set()

    def note_message(self, channel: Channel, message_id: int, *, created: bool) -> None:
        if channel is self.channel:
            self._messages[message_id] = None
            self._stale = self._stale or len(self._messages) > CHANGES_LIMIT
        elif created and sees(self.person, channel):
            self._activity[channel.id] = message_id
        else:
            return
        self._wake.set()

    def note_traffic(self) -> None:
        if self._panel:
            self.mark("log")

    def note_problem(self, words: str) -> None:
        """What the page said made no sense."""
        self._problem = words
        self._wake.set()

    # Being asked

    def obey(self, data: Any) -> str | None:
        """Do what the page says; words for what made no sense."""
        if not isinstance(data, dict):
            return "A frame has to be a JSON object."
        match data.get("op"):
            case "be":
                return self._be(data.get("person"))
            case "open":
                return self._open(data.get("channel"))
            case "panel":
                self._panel = data.get("on") is True
                self._told_log, self._told_limits, self._limits_due_s = 0, [], 0.0
                self.note_traffic()
            case "resync":
                self._stale = True
            case unknown:
                return f"There is no “{str(unknown)[:40]}”."
        self._wake.set()
        return None

    def _be(self, identity: Any) -> str | None:
        person = self._scene.people.get(_number(identity))
        if person is None:
            return "There is no such person to be."
        here = self.channel
        if here.is_private:
            here = self._scene.world.dm(person.user)
        self.person, self.channel = person, here if sees(person, here) else first_channel(self._scene)
        self._stale = True
        self._wake.set()
        return None

    def _open(self, identity: Any) -> str | None:
        channel = self._scene.world.channels.get(_number(identity))
        if channel is None or not sees(self.person, channel):
            return "There is no such channel for you."
        self.channel = channel
        self._messages.clear()
        self.mark("channel", "typing")
        return None

    # Telling

    async def write(self, socket: web.WebSocketResponse) -> None:
        """Send what changed, until the socket fails, takes nothing for SEND_S (TimeoutError), or we are cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PANEL_S if self._panel else None):
                    await self._wake.wait()
            self._wake.clear()
            if self._panel:
                self._marks["log"] = None
            for frame in self.frames():
                self._sequence += 1
                async with asyncio.timeout(SEND_S):
                    await socket.send_str(orjson.dumps({**frame, "seq": self._sequence}).decode())
            await asyncio.sleep(FRAME_S)

    def frames(self) -> Iterator[Json]:
        """What there is to tell, as it is now. What changes while a frame is sent waits for the next time."""
        if not self._stale and not sees(self.person, self.channel):
            self.channel, self._stale = first_channel(self._scene), True
        if self._stale:
            self._stale = False
            self._marks = {"log": None} if self._panel else {}
            self._messages, self._activity, self._told_log, self._told_limits = {}, {}, 0, []
            yield self._snapshot()
            yield self._opened()
            yield self._typing()
        problem, self._problem = self._problem, None
        if problem is not None:
            yield {"op": "error", "error": problem}
        marks, self._marks = self._marks, {}
        if "channel" in marks:
            self._messages = {}
            yield self._opened()
        messages, self._messages = self._messages, {}
        for message_id in messages:
            yield self._message(message_id)
        activity, self._activity = self._activity, {}
        for channel_id, message_id in activity.items():
            yield from self._active(channel_id, message_id)
        for what in marks:
            yield from self._part(what)
        if self._panel:
            yield from self._limits()

    def _snapshot(self) -> Json:
        scene, guild = self._scene, self._scene.guild
        return {
            "op": "snapshot",
            "person": str(self.person.user.id),
            "people": [user_json(person.user, guild) for person in scene.people.values()],
            "guild": {"id": str(guild.id), "name": guild.name},
            "channels": self._channels(),
            "members": self._members(),
            "roles": [role_json(role) for role in guild.roles.values() if role.position],
            "bot": self._bot(),
            "clock": self._clock(),
            "faults": self._hub.switches.json(),
            "simulated": scene.stage.api.simulated,
            "limits": {"upload_bytes": guild.upload_limit_bytes, "files": FILES_LIMIT, "characters": 2_000},
        }

    def _opened(self) -> Json:
        visible = self.person.visible(self.channel)
        return {
            "op": "channel",
            "channel": str(self.channel.id),
            "messages": [self._shown(message) for message in visible[-SHOWN_MESSAGES:]],
            "more": len(visible) > SHOWN_MESSAGES,
            "commands": commands_json(self.person, self.channel),
            "may": may_json(self.person, self.channel),
        }

    def _message(self, message_id: int) -> Json:
        message = self.channel.messages.get(message_id)
        if message is None or not self.person.sees(message):
            return {"op": "gone", "channel": str(self.channel.id), "id": str(message_id)}
        return {"op": "message", "message": self._shown(message)}

    def _shown(self, message: Message) -> Json:
        return message_json(message, self.person, self._scene.guild)

    def _active(self, channel_id: int, message_id: int) -> Iterator[Json]:
        channel = self._scene.world.channels.get(channel_id)
        message = channel.messages.get(message_id) if channel else None
        if message is not None and self.person.sees(message):
            mention = self.person.user in message.mentions_pinged or (
                message.channel.is_private and message.author is not self.person.user
            )
            yield {"op": "activity", "channel": str(channel_id), "message": str(message_id), "mention": mention}

    def _typing(self) -> Json:
        world, guild = self._scene.world, self._scene.guild
        typists = {user: until for user, until in self._hub.typists(self.channel).items() if user in world.users}
        typists.pop(self.person.user.id, None)
        return {
            "op": "typing",
            "channel": str(self.channel.id),
            "people": [user_json(world.users[user], guild) for user in typists],
            "until_s": max(typists.values(), default=0.0),
        }

    def _channels(self) -> list[Json]:
        return [channel_json(channel, self.person) for channel in channels_of(self.person)]

    def _members(self) -> list[Json]:
        guild = self._scene.guild
        return [user_json(member.user, guild) for member in guild.members.values()]

    def _bot(self) -> Json:
        bot = self._scene.world.bot
        return {"id": str(bot.id), "name": bot.display_name, "state": self._hub.bot_state}

    def _clock(self) -> Json:
        clock = self._scene.world.clock
        return {"now_s": clock.now(), "advanced_s": clock.advanced_s}

    def _commands(self) -> Json:
        commands, may = commands_json(self.person, self.channel), may_json(self.person, self.channel)
        return {"op": "commands", "commands": commands, "may": may}

    def _log(self) -> Iterator[Json]:
        """What happened since it was last told."""
        entries = self._hub.traffic.after(self._told_log)
        if entries and self._panel:
            self._told_log = entries[-1]["n"]
            yield {"op": "log", "entries": entries}

    def _part(self, what: str) -> Iterator[Json]:
        match what:
            case "typing":
                yield self._typing()
            case "channels":
                yield {"op": what, "channels": self._channels()}
            case "members":
                yield {"op": what, "members": self._members()}
            case "commands":
                yield self._commands()
            case "bot":
                yield {"op": what, "bot": self._bot()}
            case "clock":
                yield {"op": what, "clock": self._clock()}
            case "faults":
                yield {"op": what, "faults": self._hub.switches.json()}
            case "log":
                yield from self._log()

    def _limits(self) -> Iterator[Json]:
        """Where they changed, and not too often: every request changes some."""
        now_s = asyncio.get_running_loop().time()
        if now_s < self._limits_due_s:
            return
        self._limits_due_s = now_s + PANEL_S
        buckets = limits_json(self._scene.discord)
        if buckets != self._told_limits:
            self._told_limits = buckets
            yield {"op": "limits", "buckets": buckets}


def _number(value: Any) -> int:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else 0


async def converse(hub: Hub, feed: Feed, socket: web.WebSocketResponse) -> None:
    """One page, until either side ends it."""
    if len(hub.feeds) >= FEEDS_LIMIT:
        await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too many pages")
        return
    hub.feeds.add(feed)
    writer = asyncio.create_task(_write(feed, socket), name="a page")
    try:
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            problem = feed.obey(_parsed(message.data))
            if problem is not None:
                feed.note_problem(problem)
    finally:
        hub.feeds.discard(feed)
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)


async def _write(feed: Feed, socket: web.WebSocketResponse) -> None:
    try:
        await feed.write(socket)
    except TimeoutError:
        await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too slow")
    except ConnectionError:
        pass  # the page has gone; its reader notices too
    except Exception:  # the top of a task: the page shall connect anew, and we shall hear of it
        log.exception("a page could not be told of a change")
        await socket.close(code=WSCloseCode.INTERNAL_ERROR)


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
