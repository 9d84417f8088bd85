"""People, roles and channels as the page gets them. The shapes are those of PROTOCOL.md."""

from sandbox.discord.messages import Message
from sandbox.discord.people import Person
from sandbox.discord.permissions import Permission
from sandbox.discord.places import Channel, ChannelType, Guild, Role, User
from sandbox.discord.refusals import Json
from sandbox.discord.world import World
from sandbox.web.markdown import Names

_KINDS = {
    ChannelType.TEXT: "text",
    ChannelType.DM: "dm",
    ChannelType.GROUP_DM: "dm",
    ChannelType.PUBLIC_THREAD: "thread",
    ChannelType.PRIVATE_THREAD: "thread",
    ChannelType.FORUM: "forum",
    ChannelType.VOICE: "voice",
    ChannelType.CATEGORY: "category",
}
_GOLDEN_ANGLE = 137.508
"""Degrees: hues so far apart stay apart, however many there are."""


def user_json(user: User, guild: Guild | None) -> Json:
    member = guild.members.get(user.id) if guild else None
    roles = [] if member is None else [role for role in member.roles if not role.managed]
    return {
        "id": str(user.id),
        "name": (member.nick if member else None) or user.display_name,
        "username": user.name,
        "bot": user.bot,
        "hue": _hue(user.id),
        "roles": [role_json(role) for role in roles],
        "note": "owns the server" if guild is not None and guild.owner is user else None,
    }


def role_json(role: Role) -> Json:
    return {"id": str(role.id), "name": role.name, "hue": _hue(role.id)}


def _hue(identity: int) -> int:
    return int(((identity & 0xFFF) + (identity >> 22)) * _GOLDEN_ANGLE) % 360


def channel_json(channel: Channel, person: Person) -> Json:
    newest = next((message for message in reversed(channel.messages.values()) if person.sees(message)), None)
    return {
        "id": str(channel.id),
        "name": channel_name(channel, person.user),
        "kind": _KINDS[channel.type],
        "parent": str(channel.parent.id) if channel.parent else None,
        "age_restricted": channel.age_restricted,
        "topic": channel.topic,
        "archived": channel.archived,
        "last_message": str(newest.id) if newest else None,
    }


def channel_name(channel: Channel, reader: User) -> str:
    """A direct message is called after who else is in it."""
    if channel.is_private and not channel.name:
        return ", ".join(user.display_name for user in channel.recipients if user is not reader)
    return channel.name


def channels_of(person: Person) -> list[Channel]:
    """What that person sees, as Discord lists it: each channel followed by its threads, direct messages last."""
    seen = [channel for channel in person.world.channels.values() if sees(person, channel)]
    top = [channel for channel in seen if not channel.is_private and not channel.is_thread]
    top.sort(key=lambda channel: (channel.position, channel.id))
    listed: list[Channel] = []
    for channel in top:
        listed += [channel, *(thread for thread in seen if thread.is_thread and thread.parent is channel)]
    return listed + [channel for channel in seen if channel.is_private]


def sees(person: Person, channel: Channel) -> bool:
    return bool(channel.permissions_of(person.user) & Permission.VIEW_CHANNEL)


def may_json(person: Person, channel: Channel) -> Json:
    """What that person may do in a channel."""
    mine = channel.permissions_of(person.user)
    writing = Permission.SEND_MESSAGES_IN_THREADS if channel.is_thread else Permission.SEND_MESSAGES
    writes = bool(mine & writing) and channel.type not in (ChannelType.FORUM, ChannelType.CATEGORY)
    return {
        "see": bool(mine & Permission.VIEW_CHANNEL),
        "write": writes,
        "attach": writes and bool(mine & Permission.ATTACH_FILES),
        "use_commands": bool(mine & Permission.USE_APPLICATION_COMMANDS),
        "react": bool(mine & Permission.ADD_REACTIONS) and bool(mine & Permission.READ_MESSAGE_HISTORY),
        "why": None if writes else "You do not have permission to send messages in this channel.",
    }


def message_may_json(person: Person, message: Message) -> Json:
    mine = message.author is person.user
    own = mine or message.visible_to is person.user
    moderates = bool(message.channel.permissions_of(person.user) & Permission.MANAGE_MESSAGES)
    writes = bool(may_json(person, message.channel)["write"])
    return {
        "edit": mine and not message.ephemeral,
        "delete": own or (moderates and not message.channel.is_private),
        "reply": writes and not message.ephemeral and not message.loading,
        "use": not message.loading,
    }


def names_for(person: Person, guild: Guild) -> Names:
    """What mentions are called before that person's eyes."""
    world: World = person.world
    member = guild.members.get(person.user.id)
    return Names(
        users={str(user.id): user_json(user, guild)["name"] for user in world.users.values()},
        roles={str(role.id): role.name for role in guild.roles.values()},
        channels={str(channel.id): channel_name(channel, person.user) for channel in channels_of(person)},
        reader=str(person.user.id),
        reader_roles=frozenset(str(role.id) for role in member.roles) if member else frozenset(),
    )
