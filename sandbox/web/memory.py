"""What the sandbox's Discord remembers from run to run: messages, threads, files, registered commands, and the time.

People, roles and channels are founded anew each time with the same ids (sandbox/terminal/stage.py), so only what came
later is written: `world.json`, replaced as a whole, and the files' bytes in a folder beside it.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import orjson

from sandbox.discord.cdn import Attachment
from sandbox.discord.events import Event
from sandbox.discord.messages import Interaction, InteractionType, Mentions, Message, MessageType, ResponseType, State
from sandbox.discord.places import Channel, ChannelType
from sandbox.discord.refusals import Json
from sandbox.discord.server import DiscordServer
from sandbox.web.clock import TOTAL_LIMIT_S

log = logging.getLogger(__name__)

VERSION: Final = 1
WORLD: Final = "world.json"
FILES: Final = "files"
MESSAGES_KEPT: Final = 500
"""In each channel, the newest."""
FILES_KEPT_BYTES: Final = 256 * 1024 * 1024
_WRONG: Final = (LookupError, TypeError, ValueError, AttributeError, OverflowError)
"""What reading values of the wrong shape ends in."""
PAUSE_S: Final = 1.0
"""How long changes gather before they are written."""


class Unusable(Exception):
    """What an earlier run wrote does not have the shape that it writes."""


class Memory:
    """One folder, one world. `restore` once, before the bot connects; then `kept` for as long as it lives."""

    def __init__(self, discord: DiscordServer, folder: Path) -> None:
        self._discord = discord
        self._world = discord.world
        self._folder = folder
        self._changed = asyncio.Event()
        self._writing = asyncio.Lock()

    def touch(self) -> None:
        """Something changed that no event tells of, such as the time."""
        self._changed.set()

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Write what changes, soon after it does and at the end. Raises OSError at the end where that is impossible."""
        self._world.listeners.append(self._on_event)
        writer = asyncio.create_task(self._write_on(), name="the sandbox's memory")
        try:
            yield
        finally:
            self._world.listeners.remove(self._on_event)
            async with self._writing:  # never in the middle of a write: the last one must not run beside it
                writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            if self._changed.is_set():
                await self.save()

    def _on_event(self, _: Event) -> None:
        self._changed.set()

    async def _write_on(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(PAUSE_S)
            try:
                await self.save()
            except OSError as error:  # a full disk may have room again later; at the end the error is raised
                log.error("the sandbox's memory could not be written: %s", error)
                await asyncio.sleep(10 * PAUSE_S)

    async def save(self) -> None:
        """Write the world as it is now. Raises OSError."""
        async with self._writing:
            self._changed.clear()
            try:
                self._trim()
                files = self._files()
                content = orjson.dumps(self._captured(files))
                # To its end even where we are cancelled meanwhile: the next one must not write beside it.
                await asyncio.shield(asyncio.to_thread(_write, self._folder, content, files))
            except BaseException:
                self._changed.set()
                raise

    # Writing

    def _trim(self) -> None:
        """Forget what is too old, here too: nothing grows without an end. Open pages show it until they reload."""
        for channel in self._world.channels.values():
            for message_id in list(channel.messages)[:-MESSAGES_KEPT]:
                channel.messages.pop(message_id).deleted = True

    def _files(self) -> dict[str, tuple[str, bytes, str]]:
        """The newest files by the name they have in the folder: path, bytes, type."""
        kept: dict[str, tuple[str, bytes, str]] = {}
        total = 0
        for path, content, content_type in reversed(self._world.cdn.stored()):
            total += len(content)
            if total > FILES_KEPT_BYTES:
                break
            kept[path.split("/")[2]] = (path, content, content_type)
        return dict(reversed(kept.items()))

    def _captured(self, files: dict[str, tuple[str, bytes, str]]) -> Json:
        world = self._world
        messages = [message for channel in world.channels.values() for message in channel.messages.values()]
        interactions = {message.interaction.id: message.interaction for message in messages if message.interaction}
        return {
            "version": VERSION,
            "advanced_s": world.clock.advanced_s,
            "last_id": world.new_id(),
            "port": self._discord.port,
            "key": world.cdn.key.hex(),
            "commands": {"" if place is None else str(place): each for place, each in world.commands.by_place()},
            "threads": [_thread(channel) for channel in world.channels.values() if channel.is_thread],
            "interactions": [_interaction(each) for each in interactions.values()],
            "messages": [_message(message) for message in messages],
            "files": [{"name": name, "path": path, "type": kind} for name, (path, _, kind) in files.items()],
        }

    # Reading

    def restore(self, saved: Json) -> None:
        """Put back what `read` found. What belongs to a place or person that is no more is left out.

        Raises:
            Unusable: it is not what `save` writes; the world is half of it then, and of no use any more.
        """
        try:
            self._put_back(saved)
        except _WRONG as error:
            raise Unusable from error

    def _put_back(self, saved: Json) -> None:
        world = self._world
        if saved["advanced_s"] > TOTAL_LIMIT_S:
            raise ValueError("further ahead than time can be put")
        world.clock.advance(float(saved["advanced_s"]))
        world.ids_from(int(saved["last_id"]))
        world.cdn.key = bytes.fromhex(saved["key"])
        for place, commands in saved["commands"].items():
            world.commands.put_back(int(place) if place else None, commands)
        for thread in saved["threads"]:
            self._put_thread(thread)
        for file in saved["files"]:
            with contextlib.suppress(OSError):  # somebody tidied the folder: the file is gone, its message is not
                content = (self._folder / FILES / Path(file["name"]).name).read_bytes()
                world.cdn.put_back(file["path"], content, file["type"])
        _Messages(self._discord, saved).put_back()

    def _put_thread(self, saved: Json) -> None:
        world = self._world
        thread = world.channels.get(saved["id"])
        parent, creator = world.channels.get(saved["parent"]), world.users.get(saved["creator"])
        if thread is None and parent is not None and creator is not None:
            private = saved["type"] == ChannelType.PRIVATE_THREAD
            thread = world.add_thread(parent, saved["name"], creator=creator, private=private, thread_id=saved["id"])
        if thread is not None:
            thread.thread_members |= set(saved["members"]) & world.users.keys()
            thread.archived, thread.locked = saved["archived"], saved["locked"]
            thread.created_at = saved["created_at"]


class _Messages:
    """The second half of restoring: messages and interactions name each other, so all are made before any is tied."""

    def __init__(self, discord: DiscordServer, saved: Json) -> None:
        self._world = discord.world
        self._saved = saved
        self._messages: dict[int, Message] = {}
        self._interactions: dict[int, Interaction] = {}

    def put_back(self) -> None:
        for each in self._saved["messages"]:
            self._make_message(each)
        for each in self._saved["interactions"]:
            self._make_interaction(each)
        for each in self._saved["messages"]:
            if (message := self._messages.get(each["id"])) is not None:
                message.reply_to = self._messages.get(each["reply_to"])
                message.interaction = self._interactions.get(each["interaction"])

    def _make_message(self, saved: Json) -> None:
        users = self._world.users
        channel, author = self._world.channels.get(saved["channel"]), users.get(saved["author"])
        reader = users.get(saved["visible_to"]) if saved["visible_to"] else None
        if channel is None or author is None or (saved["visible_to"] and reader is None):
            return
        message = Message(
            id=saved["id"],
            channel=channel,
            author=author,
            created_at=saved["created_at"],
            type=MessageType(saved["type"]),
            content=saved["content"],
            embeds=saved["embeds"],
            components=saved["components"],
            attachments=[Attachment(**each) for each in saved["attachments"]],
            flags=saved["flags"],
            mentions=self._mentions(channel, saved["mentions"]),
            edited_at=saved["edited_at"],
            pinned=saved["pinned"],
            visible_to=reader,
            reactions={emoji: set(those) for emoji, those in saved["reactions"].items()},
        )
        message.edits.append(State(message.edited_at or message.created_at, message.content))
        self._messages[message.id] = message
        channel.messages[message.id] = message
        channel.last_message_id = max(channel.last_message_id or 0, message.id)

    def _mentions(self, channel: Channel, saved: Json) -> Mentions:
        users = tuple(self._world.users[each] for each in saved["users"] if each in self._world.users)
        known = channel.guild.roles if channel.guild else {}
        roles = tuple(known[each] for each in saved["roles"] if each in known)
        return Mentions(users=users, roles=roles, everyone=saved["everyone"])

    def _make_interaction(self, saved: Json) -> None:
        user, channel = self._world.users.get(saved["user"]), self._world.channels.get(saved["channel"])
        if user is None or channel is None:
            return
        interaction = Interaction(
            id=saved["id"],
            token=saved["token"],
            type=InteractionType(saved["type"]),
            user=user,
            channel=channel,
            data=saved["data"],
            created_at=saved["created_at"],
            changes=self._world.changes,
            authorizing_integration_owners=saved["owners"],
            upload_limit_bytes=saved["upload_limit_bytes"],
            acknowledged=asyncio.get_running_loop().create_future(),
            message=self._messages.get(saved["message"]),
            original=self._messages.get(saved["original"]),
            followups=[self._messages[each] for each in saved["followups"] if each in self._messages],
        )
        if saved["response_type"] is not None:
            interaction.response_type = ResponseType(saved["response_type"])
            interaction.acknowledged.set_result(saved["response_type"])
        self._interactions[interaction.id] = interaction
        self._world.remember(interaction)


def read(folder: Path) -> Json | None:
    """What an earlier run wrote; None where there is nothing. What cannot be read is put aside, under another name."""
    path = folder / WORLD
    try:
        saved: Any = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except orjson.JSONDecodeError:
        saved = None
    if isinstance(saved, dict) and saved.get("version") == VERSION:
        return saved
    put_aside(folder)
    return None


def put_aside(folder: Path) -> None:
    """Give what cannot be used another name, and say so. Raises OSError."""
    path = folder / WORLD
    log.warning("%s cannot be used: the sandbox begins anew, and keeps it as %s.old", path, WORLD)
    path.replace(path.with_name(f"{WORLD}.old"))


def port(saved: Json) -> int:
    """Where that run's Discord listened; 0 where that is no port."""
    found = saved.get("port")
    return found if isinstance(found, int) and 0 < found < 65_536 else 0


def forget(folder: Path) -> None:
    """Delete what earlier runs left, by name: the folder may be anybody's. Raises OSError."""
    (folder / WORLD).unlink(missing_ok=True)
    if (folder / FILES).is_dir():
        for file in (folder / FILES).iterdir():
            if file.name.isdecimal():
                file.unlink()


def _write(folder: Path, content: bytes, files: dict[str, tuple[str, bytes, str]]) -> None:
    """New files first, then the world that names them, then away with files that it names no more."""
    place = folder / FILES
    place.mkdir(exist_ok=True)
    there = {file.name for file in place.iterdir() if file.name.isdecimal()}
    for name in files.keys() - there:
        _replace(place / name, files[name][1])
    _replace(folder / WORLD, content)
    for name in there - files.keys():
        (place / name).unlink(missing_ok=True)


def _replace(path: Path, content: bytes) -> None:
    """All of it or nothing, whatever stops us."""
    unfinished = path.with_name(f".{path.name}.new")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _thread(thread: Channel) -> Json:
    return {
        "id": thread.id,
        "type": int(thread.type),
        "parent": thread.parent.id if thread.parent else 0,
        "name": thread.name,
        "creator": thread.creator.id if thread.creator else 0,
        "members": sorted(thread.thread_members),
        "archived": thread.archived,
        "locked": thread.locked,
        "created_at": thread.created_at,
    }


def _interaction(interaction: Interaction) -> Json:
    return {
        "id": interaction.id,
        "token": interaction.token,
        "type": int(interaction.type),
        "user": interaction.user.id,
        "channel": interaction.channel.id,
        "data": interaction.data,
        "created_at": interaction.created_at,
        "owners": interaction.authorizing_integration_owners,
        "upload_limit_bytes": interaction.upload_limit_bytes,
        "response_type": None if interaction.response_type is None else int(interaction.response_type),
        "message": interaction.message.id if interaction.message else 0,
        "original": interaction.original.id if interaction.original else 0,
        "followups": [message.id for message in interaction.followups],
    }


def _message(message: Message) -> Json:
    return {
        "id": message.id,
        "channel": message.channel.id,
        "author": message.author.id,
        "created_at": message.created_at,
        "type": int(message.type),
        "content": message.content,
        "embeds": message.embeds,
        "components": message.components,
        "attachments": [_attachment(attachment) for attachment in message.attachments],
        "flags": int(message.flags),
        "mentions": {
            "users": [user.id for user in message.mentions.users],
            "roles": [role.id for role in message.mentions.roles],
            "everyone": message.mentions.everyone,
        },
        "reply_to": message.reply_to.id if message.reply_to else 0,
        "interaction": message.interaction.id if message.interaction else 0,
        "edited_at": message.edited_at,
        "pinned": message.pinned,
        "visible_to": message.visible_to.id if message.visible_to else 0,
        "reactions": {emoji: sorted(users) for emoji, users in message.reactions.items()},
    }


def _attachment(attachment: Attachment) -> Json:
    return {name: getattr(attachment, name) for name in Attachment.__slots__}
