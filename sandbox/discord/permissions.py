"""Discord's permissions and how they add up: https://discord.com/developers/docs/topics/permissions."""

from collections.abc import Iterable
from enum import IntFlag


class Permission(IntFlag):
    CREATE_INSTANT_INVITE = 1 << 0
    KICK_MEMBERS = 1 << 1
    BAN_MEMBERS = 1 << 2
    ADMINISTRATOR = 1 << 3
    MANAGE_CHANNELS = 1 << 4
    MANAGE_GUILD = 1 << 5
    ADD_REACTIONS = 1 << 6
    VIEW_AUDIT_LOG = 1 << 7
    PRIORITY_SPEAKER = 1 << 8
    STREAM = 1 << 9
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    SEND_TTS_MESSAGES = 1 << 12
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    USE_EXTERNAL_EMOJIS = 1 << 18
    CONNECT = 1 << 20
    SPEAK = 1 << 21
    MUTE_MEMBERS = 1 << 22
    USE_VAD = 1 << 25
    CHANGE_NICKNAME = 1 << 26
    MANAGE_NICKNAMES = 1 << 27
    MANAGE_ROLES = 1 << 28
    MANAGE_WEBHOOKS = 1 << 29
    USE_APPLICATION_COMMANDS = 1 << 31
    MANAGE_THREADS = 1 << 34
    CREATE_PUBLIC_THREADS = 1 << 35
    CREATE_PRIVATE_THREADS = 1 << 36
    USE_EXTERNAL_STICKERS = 1 << 37
    SEND_MESSAGES_IN_THREADS = 1 << 38
    MODERATE_MEMBERS = 1 << 40
    SEND_VOICE_MESSAGES = 1 << 46
    SEND_POLLS = 1 << 49
    USE_EXTERNAL_APPS = 1 << 50


NONE = Permission(0)
EVERYTHING = Permission((1 << 53) - 1)
EVERYONE_BY_DEFAULT = (
    Permission.CREATE_INSTANT_INVITE
    | Permission.ADD_REACTIONS
    | Permission.STREAM
    | Permission.VIEW_CHANNEL
    | Permission.SEND_MESSAGES
    | Permission.EMBED_LINKS
    | Permission.ATTACH_FILES
    | Permission.READ_MESSAGE_HISTORY
    | Permission.MENTION_EVERYONE
    | Permission.USE_EXTERNAL_EMOJIS
    | Permission.CONNECT
    | Permission.SPEAK
    | Permission.USE_VAD
    | Permission.CHANGE_NICKNAME
    | Permission.USE_APPLICATION_COMMANDS
    | Permission.CREATE_PUBLIC_THREADS
    | Permission.CREATE_PRIVATE_THREADS
    | Permission.USE_EXTERNAL_STICKERS
    | Permission.SEND_MESSAGES_IN_THREADS
    | Permission.SEND_VOICE_MESSAGES
    | Permission.SEND_POLLS
    | Permission.USE_EXTERNAL_APPS
)
"""What a new server's @everyone may do."""
IN_DIRECT_MESSAGES = EVERYONE_BY_DEFAULT
"""What everybody may do in a direct message, the bot included."""
_WHILE_TIMED_OUT = Permission.VIEW_CHANNEL | Permission.READ_MESSAGE_HISTORY
_NEEDS_SENDING = (
    Permission.MENTION_EVERYONE | Permission.SEND_TTS_MESSAGES | Permission.ATTACH_FILES | Permission.EMBED_LINKS
)


class Overwrite:
    """What a channel allows and denies to one role or member."""

    __slots__ = ("allow", "deny")

    def __init__(self, *, allow: Permission = NONE, deny: Permission = NONE) -> None:
        self.allow = allow
        self.deny = deny


def of_roles(permissions: Iterable[Permission]) -> Permission:
    """What a member may do in the whole server, from the permissions of its roles, @everyone's included."""
    total = NONE
    for permission in permissions:
        total |= permission
    return EVERYTHING if total & Permission.ADMINISTRATOR else total


def in_channel(
    base: Permission, *, everyone: Overwrite | None, roles: Iterable[Overwrite], member: Overwrite | None
) -> Permission:
    """`base` (see `of_roles`) with a channel's overwrites: @everyone's, then all roles' together, then the member's."""
    if base & Permission.ADMINISTRATOR:
        return EVERYTHING
    if everyone is not None:
        base = base & ~everyone.deny | everyone.allow
    allow = deny = NONE
    for overwrite in roles:
        allow |= overwrite.allow
        deny |= overwrite.deny
    base = base & ~deny | allow
    if member is not None:
        base = base & ~member.deny | member.allow
    return base


def with_implicit_denials(permission: Permission, *, in_thread: bool, timed_out: bool) -> Permission:
    """Who cannot see a channel can do nothing there; who cannot write cannot attach or ping either."""
    if permission & Permission.ADMINISTRATOR:
        return EVERYTHING
    if timed_out:
        permission &= _WHILE_TIMED_OUT
    if not permission & Permission.VIEW_CHANNEL:
        return NONE
    writing = Permission.SEND_MESSAGES_IN_THREADS if in_thread else Permission.SEND_MESSAGES
    if not permission & writing:
        permission &= ~_NEEDS_SENDING
    return permission
