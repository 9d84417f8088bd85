"""Channels, their messages and threads, as the bot's token reaches them.

Sources: https://discord.com/developers/docs/resources/channel and .../resources/message.
"""

from collections.abc import Iterable
from typing import Any, Final

from sandbox.discord.messages import Message, MessageFlag
from sandbox.discord.permissions import NONE, Permission
from sandbox.discord.places import DEFAULT_UPLOAD_LIMIT_BYTES, Channel, ChannelType
from sandbox.discord.refusals import Json, Problems, Refusal, refusal, snowflake
from sandbox.discord.routes import Answer, Request, Routes
from sandbox.discord.rules import Draft, read_message
from sandbox.discord.world import World

routes: Final = Routes()

_CHANNEL: Final = "/channels/{channel_id}"
_MESSAGES: Final = f"{_CHANNEL}/messages"
_MESSAGE: Final = f"{_MESSAGES}/{{message_id}}"
_REACTION: Final = f"{_MESSAGE}/reactions/{{emoji_name}}"
HOUR_S: Final = 3_600.0
OLD_EDITS_LIMIT: Final = 3
OLD_EDITS_WINDOW_S: Final = 20.0
"""How often messages older than an hour may be edited in one channel. Discord publishes no figure; bots report this."""
BULK_AGE_LIMIT_S: Final = 14 * 24 * HOUR_S
NONCE_REMEMBERED_S: Final = 5 * 60.0


def _channel(world: World, request: Request, needed: Permission = NONE) -> Channel:
    """Raises Refusal 10003 for none, 50001 where the bot sees nothing, 50013 where it lacks `needed`."""
    channel = world.channels.get(request.id("channel_id"))
    if channel is None or (channel.is_private and world.bot not in channel.recipients):
        raise refusal(10003)
    permissions = channel.permissions_of(world.bot)
    if not permissions & Permission.VIEW_CHANNEL:
        raise refusal(50001)
    if permissions & needed != needed:
        raise refusal(50013)
    return channel


def _message(channel: Channel, message_id: int) -> Message:
    """Raises Refusal 10008; ephemeral messages do not exist for these routes."""
    message = channel.messages.get(message_id)
    if message is None or message.flags & MessageFlag.EPHEMERAL:
        raise refusal(10008)
    return message


def _upload_limit_bytes(channel: Channel) -> int:
    return channel.guild.upload_limit_bytes if channel.guild else DEFAULT_UPLOAD_LIMIT_BYTES


def _writing(channel: Channel) -> Permission:
    return Permission.SEND_MESSAGES_IN_THREADS if channel.is_thread else Permission.SEND_MESSAGES


@routes.on("GET", _CHANNEL)
def read_channel(world: World, request: Request) -> Any:
    return _channel(world, request).payload()


@routes.on("PATCH", _CHANNEL)
def edit_channel(world: World, request: Request) -> Any:
    """A thread's name, archiving and locking; of other channels the name."""
    channel = _channel(world, request)
    body = request.form()
    owns = channel.is_thread and channel.creator is world.bot
    needed = Permission.MANAGE_THREADS if channel.is_thread else Permission.MANAGE_CHANNELS
    if not owns and not channel.permissions_of(world.bot) & needed:
        raise refusal(50013)
    if "name" in body:
        problems = Problems()
        problems.text(("name",), body["name"], low=1, high=100)
        problems.done()
        channel.name = body["name"]
    if channel.is_thread:
        world.set_thread(channel, archived=body.get("archived"), locked=body.get("locked"))
    else:
        world.emit_channel("CHANNEL_UPDATE", channel)
    return channel.payload()


@routes.on("DELETE", _CHANNEL)
def delete_channel(world: World, request: Request) -> Any:
    channel = _channel(world, request)
    if not channel.is_private:
        needed = Permission.MANAGE_THREADS if channel.is_thread else Permission.MANAGE_CHANNELS
        _channel(world, request, needed)
        world.delete_channel(channel)
    return channel.payload()


@routes.on("POST", f"{_CHANNEL}/typing")
def typing(world: World, request: Request) -> Any:
    channel = _channel(world, request)
    _channel(world, request, _writing(channel))
    world.type_in(channel, world.bot)


@routes.on("GET", _MESSAGES)
def list_messages(world: World, request: Request) -> Any:
    """Newest first; none without READ_MESSAGE_HISTORY."""
    channel = _channel(world, request)
    limit = request.number("limit", 50, low=1, high=100)
    if not channel.permissions_of(world.bot) & Permission.READ_MESSAGE_HISTORY:
        return []
    readable = [message for message in channel.messages.values() if not message.ephemeral]
    return [message.payload_for_bot() for message in _page(readable, request, limit)]


def _page(messages: list[Message], request: Request, limit: int) -> list[Message]:
    """`messages` are oldest first; the page is newest first."""
    marks = {name: snowflake(request.query.get(name)) for name in ("before", "after", "around")}
    before, after, around = marks["before"], marks["after"], marks["around"]
    if around is not None:
        older = [message for message in messages if message.id < around][-(limit // 2) :]
        newer = [message for message in messages if message.id >= around][: limit - limit // 2]
        page = [*older, *newer]
    elif after is not None:
        page = [message for message in messages if message.id > after][:limit]
    else:
        page = [message for message in messages if before is None or message.id < before][-limit:]
    return page[::-1]


@routes.on("GET", _MESSAGE)
def read_message_(world: World, request: Request) -> Any:
    channel = _channel(world, request, Permission.READ_MESSAGE_HISTORY)
    return _message(channel, request.id("message_id")).payload_for_bot()


@routes.on("POST", _MESSAGES)
def create_message(world: World, request: Request) -> Any:
    channel = _channel(world, request)
    _refuse_speech(world, channel)
    _channel(world, request, _writing(channel))
    if request.files:
        _channel(world, request, Permission.ATTACH_FILES)
    body = request.form()
    if body.get("enforce_nonce") and (known := _same_nonce(world, channel, body.get("nonce"))):
        return known.payload()
    draft = read_message(body, request.files, upload_limit_bytes=_upload_limit_bytes(channel))
    _check_reply(world, channel, draft)
    if channel.archived:
        if channel.locked and not channel.permissions_of(world.bot) & Permission.MANAGE_THREADS:
            raise refusal(50083)
        world.set_thread(channel, archived=False)
    return world.create_message(channel, world.bot, draft).payload()


def _refuse_speech(world: World, channel: Channel) -> None:
    if channel.type is ChannelType.FORUM:
        raise refusal(40058)
    if channel.type is ChannelType.CATEGORY:
        raise refusal(50008)
    if channel.is_private and not all(user.accepts_dms for user in channel.recipients if user is not world.bot):
        raise refusal(50007)


def _same_nonce(world: World, channel: Channel, nonce: object) -> Message | None:
    if nonce is None:
        return None
    oldest = world.clock.now() - NONCE_REMEMBERED_S
    for message in reversed(channel.messages.values()):
        if message.created_at < oldest:
            return None
        if message.author is world.bot and message.nonce == nonce:
            return message
    return None


def _check_reply(world: World, channel: Channel, draft: Draft) -> None:
    if draft.reply_to_id is None:
        return
    if not channel.permissions_of(world.bot) & Permission.READ_MESSAGE_HISTORY:
        raise refusal(160002)
    target = channel.messages.get(draft.reply_to_id)
    if draft.reply_must_exist and (target is None or target.ephemeral):
        problems = Problems()
        problems.add(("message_reference",), "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
        problems.done()


@routes.on("PATCH", _MESSAGE)
def edit_message(world: World, request: Request) -> Any:
    channel = _channel(world, request)
    message = _message(channel, request.id("message_id"))
    if message.author is not world.bot:
        raise refusal(50005)
    if channel.archived:
        raise refusal(50083)
    if request.files:
        _channel(world, request, Permission.ATTACH_FILES)
    limit = _upload_limit_bytes(channel)
    draft = read_message(request.form(), request.files, upload_limit_bytes=limit, editing=message)
    _count_old_edit(world, channel, message)
    world.edit_message(message, draft)
    return message.payload()


def _count_old_edit(world: World, channel: Channel, message: Message) -> None:
    now = world.clock.now()
    if now - message.created_at <= HOUR_S:
        return
    channel.old_edits = [moment for moment in channel.old_edits if now - moment < OLD_EDITS_WINDOW_S]
    if len(channel.old_edits) >= OLD_EDITS_LIMIT:
        raise refusal(30046)
    channel.old_edits.append(now)


@routes.on("DELETE", _MESSAGE)
def delete_message(world: World, request: Request) -> Any:
    channel = _channel(world, request)
    message = _message(channel, request.id("message_id"))
    if message.author is not world.bot:
        if channel.is_private:
            raise refusal(50003)
        _channel(world, request, Permission.MANAGE_MESSAGES)
    world.delete_message(message)


@routes.on("POST", f"{_MESSAGES}/bulk-delete")
def delete_messages(world: World, request: Request) -> Any:
    channel = _channel(world, request)
    if channel.is_private:
        raise refusal(50003)
    _channel(world, request, Permission.MANAGE_MESSAGES)
    ids = [snowflake(value) for value in request.form().get("messages") or []]
    problems = Problems()
    problems.length(("messages",), ids, low=2, high=100)
    problems.done()
    messages = [channel.messages[key] for key in ids if key is not None and key in channel.messages]
    if any(world.clock.now() - message.created_at > BULK_AGE_LIMIT_S for message in messages):
        raise refusal(50034)
    for message in messages:
        world.delete_message(message)


@routes.on("PUT", f"{_REACTION}/@me")
def add_reaction(world: World, request: Request) -> Any:
    channel = _channel(world, request, Permission.READ_MESSAGE_HISTORY)
    message = _message(channel, request.id("message_id"))
    emoji = request.params["emoji_name"]
    if emoji not in message.reactions:
        _channel(world, request, Permission.ADD_REACTIONS)
    world.react(message, world.bot, emoji)


@routes.on("DELETE", f"{_REACTION}/@me")
def remove_reaction(world: World, request: Request) -> Any:
    message = _message(_channel(world, request), request.id("message_id"))
    emoji = request.params["emoji_name"]
    if world.bot.id not in message.reactions.get(emoji, ()):
        raise refusal(10014)
    world.react(message, world.bot, emoji, add=False)


@routes.on("GET", _REACTION)
def list_reactions(world: World, request: Request) -> Any:
    message = _message(_channel(world, request), request.id("message_id"))
    users = message.reactions.get(request.params["emoji_name"], set())
    return [world.users[user_id].payload() for user_id in sorted(users)]


@routes.on("GET", f"{_CHANNEL}/pins")
def list_pins(world: World, request: Request) -> Any:
    return _pinned(_channel(world, request).messages.values())


def _pinned(messages: Iterable[Message]) -> list[Json]:
    return [message.payload_for_bot() for message in messages if message.pinned]


@routes.on("POST", f"{_CHANNEL}/threads")
def create_thread(world: World, request: Request) -> Any:
    """In a text channel a thread without a message; in a forum a post with its first message."""
    channel = _channel(world, request)
    body = request.form()
    problems = Problems()
    problems.text(("name",), body.get("name"), low=1, high=100)
    problems.done()
    if channel.is_thread or channel.is_private:
        raise refusal(50024)
    if channel.type is ChannelType.FORUM:
        _channel(world, request, Permission.SEND_MESSAGES)
        first = body.get("message")
        if not isinstance(first, dict):
            problems.required(("message",))
            problems.done()
        limit = _upload_limit_bytes(channel)
        draft = read_message(first or {}, request.files, upload_limit_bytes=limit)
        post = world.add_thread(channel, body["name"], creator=world.bot)
        message = world.create_message(post, world.bot, draft)
        return Answer(201, post.payload() | {"message": message.payload()})
    private = body.get("type", ChannelType.PRIVATE_THREAD) == ChannelType.PRIVATE_THREAD
    needed = Permission.CREATE_PRIVATE_THREADS if private else Permission.CREATE_PUBLIC_THREADS
    _channel(world, request, needed)
    return Answer(201, world.add_thread(channel, body["name"], creator=world.bot, private=private).payload())


@routes.on("POST", f"{_MESSAGE}/threads")
def create_thread_from_message(world: World, request: Request) -> Any:
    """The thread has the message's id."""
    channel = _channel(world, request, Permission.CREATE_PUBLIC_THREADS)
    message = _message(channel, request.id("message_id"))
    if channel.guild is None or channel.is_thread:
        raise refusal(50024)
    if message.id in world.channels:
        raise refusal(160004)
    body = request.form()
    problems = Problems()
    problems.text(("name",), body.get("name"), low=1, high=100)
    problems.done()
    return Answer(201, world.add_thread(channel, body["name"], creator=world.bot, thread_id=message.id).payload())


@routes.on("PUT", f"{_CHANNEL}/thread-members/@me")
def join_thread(world: World, request: Request) -> Any:
    _thread(world, request).thread_members.add(world.bot.id)


@routes.on("DELETE", f"{_CHANNEL}/thread-members/@me")
def leave_thread(world: World, request: Request) -> Any:
    _thread(world, request).thread_members.discard(world.bot.id)


def _thread(world: World, request: Request) -> Channel:
    channel = _channel(world, request)
    if not channel.is_thread:
        raise refusal(50024)
    return channel


@routes.on("POST", "/users/@me/channels")
def open_dm(world: World, request: Request) -> Any:
    recipient = snowflake(request.form().get("recipient_id"))
    user = world.users.get(recipient) if recipient is not None else None
    if user is None:
        problems = Problems()
        problems.add(("recipient_id",), "NUMBER_TYPE_COERCE", "Value is not snowflake.")
        problems.done()
        raise AssertionError("a problem was found")
    if user is world.bot:
        raise Refusal(400, 50007, "Cannot send messages to this user")
    return world.dm(user).payload()
