"""Who and where: users, roles, members, guilds and channels, and the objects Discord sends for them.

These hold state; whatever must be announced to the gateway goes through `world.World`, which they all know.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from sandbox.discord import events
from sandbox.discord.permissions import (
    EVERYONE_BY_DEFAULT,
    EVERYTHING,
    IN_DIRECT_MESSAGES,
    NONE,
    Overwrite,
    Permission,
    in_channel,
    of_roles,
    with_implicit_denials,
)
from sandbox.discord.refusals import Json

if TYPE_CHECKING:
    from sandbox.discord.messages import Message
    from sandbox.discord.world import World

MEBIBYTE: Final = 1024 * 1024
DEFAULT_UPLOAD_LIMIT_BYTES: Final = 10 * MEBIBYTE


class ChannelType(IntEnum):
    TEXT = 0
    DM = 1
    VOICE = 2
    GROUP_DM = 3
    CATEGORY = 4
    PUBLIC_THREAD = 11
    PRIVATE_THREAD = 12
    FORUM = 15


THREADS: Final = frozenset({ChannelType.PUBLIC_THREAD, ChannelType.PRIVATE_THREAD})
PRIVATE: Final = frozenset({ChannelType.DM, ChannelType.GROUP_DM})


def iso(unix_s: float) -> str:
    """Discord's form of a moment: ISO 8601 with microseconds and an explicit UTC offset."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="microseconds")


@dataclass(eq=False, kw_only=True, slots=True)
class User:
    """`has_installed_app` means that the bot is installed to this user; `accepts_dms` False refuses its messages."""

    id: int
    name: str
    display_name: str
    bot: bool = False
    locale: str = "en-US"
    has_installed_app: bool = False
    accepts_dms: bool = True
    avatar: str | None = None

    @property
    def mention(self) -> str:
        return f"<@{self.id}>"

    def payload(self) -> Json:
        payload: Json = {
            "id": str(self.id),
            "username": self.name,
            "discriminator": "0000" if self.bot else "0",
            "global_name": None if self.bot else self.display_name,
            "avatar": self.avatar,
            "banner": None,
            "accent_color": None,
            "avatar_decoration_data": None,
            "collectibles": None,
            "primary_guild": None,
            "public_flags": 0,
        }
        if self.bot:
            payload["bot"] = True
        return payload


@dataclass(eq=False, kw_only=True, slots=True)
class Role:
    """A guild's @everyone role has the guild's id. `managed` is the role that comes with the bot."""

    id: int
    guild: Guild
    name: str
    permissions: Permission = NONE
    position: int = 1
    managed: bool = False
    mentionable: bool = False

    @property
    def mention(self) -> str:
        return f"<@&{self.id}>"

    def payload(self) -> Json:
        payload: Json = {
            "id": str(self.id),
            "name": self.name,
            "permissions": str(int(self.permissions)),
            "position": self.position,
            "color": 0,
            "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
            "hoist": False,
            "icon": None,
            "unicode_emoji": None,
            "managed": self.managed,
            "mentionable": self.mentionable,
            "flags": 0,
            "description": None,
        }
        if self.managed:
            payload["tags"] = {"bot_id": str(self.guild.world.bot.id)}
        return payload


@dataclass(eq=False, kw_only=True, slots=True)
class Member:
    user: User
    guild: Guild
    roles: list[Role]
    joined_at: float
    nick: str | None = None
    timed_out_until: float | None = None

    @property
    def permissions(self) -> Permission:
        """In the whole guild, before any channel's overwrites."""
        if self.user is self.guild.owner:
            return EVERYTHING
        return of_roles([self.guild.everyone.permissions, *(role.permissions for role in self.roles)])

    def payload(self, *, with_user: bool = True) -> Json:
        payload: Json = {
            "roles": [str(role.id) for role in self.roles],
            "nick": self.nick,
            "avatar": None,
            "banner": None,
            "joined_at": iso(self.joined_at),
            "premium_since": None,
            "deaf": False,
            "mute": False,
            "pending": False,
            "flags": 0,
            "communication_disabled_until": iso(self.timed_out_until) if self.timed_out_until else None,
        }
        if with_user:
            payload["user"] = self.user.payload()
        return payload


@dataclass(eq=False, kw_only=True)
class Channel:
    """Any channel: text, voice, forum, thread (a forum's post is one), direct message.

    `recipients` belongs to direct messages; `parent`, `creator`, `archived` and `locked` to threads (`parent` also to
    a channel in a category). `messages` holds what was not deleted, oldest first.
    """

    id: int
    type: ChannelType
    world: World
    name: str = ""
    guild: Guild | None = None
    nsfw: bool = False
    topic: str | None = None
    position: int = 0
    parent: Channel | None = None
    creator: User | None = None
    recipients: tuple[User, ...] = ()
    overwrites: dict[int, Overwrite] = field(default_factory=dict)
    messages: dict[int, Message] = field(default_factory=dict)
    thread_members: set[int] = field(default_factory=set)
    archived: bool = False
    locked: bool = False
    deleted: bool = False
    created_at: float = 0.0
    last_message_id: int | None = None
    old_edits: list[float] = field(default_factory=list)

    @property
    def mention(self) -> str:
        return f"<#{self.id}>"

    @property
    def is_thread(self) -> bool:
        return self.type in THREADS

    @property
    def is_private(self) -> bool:
        return self.type in PRIVATE

    @property
    def age_restricted(self) -> bool:
        return self.nsfw or (self.is_thread and self.parent is not None and self.parent.nsfw)

    def permissions_of(self, user: User) -> Permission:
        """What `user` may do here; nothing for who is no member or no recipient."""
        if self.is_private:
            return IN_DIRECT_MESSAGES if user in self.recipients else NONE
        guild = self.guild
        member = guild.members.get(user.id) if guild else None
        if guild is None or member is None:
            return NONE
        place = self.parent if self.is_thread and self.parent is not None else self
        permission = in_channel(
            member.permissions,
            everyone=place.overwrites.get(guild.id),
            roles=[place.overwrites[role.id] for role in member.roles if role.id in place.overwrites],
            member=place.overwrites.get(user.id),
        )
        if self.type is ChannelType.PRIVATE_THREAD and not self._admits(user, permission):
            return NONE
        timed_out = member.timed_out_until is not None and member.timed_out_until > self.world.clock.now()
        return with_implicit_denials(permission, in_thread=self.is_thread, timed_out=timed_out)

    def _admits(self, user: User, permission: Permission) -> bool:
        return user.id in self.thread_members or bool(permission & Permission.MANAGE_THREADS)

    def set_overwrite(self, target: User | Role, *, allow: Permission = NONE, deny: Permission = NONE) -> None:
        """Replaces what this channel allows and denies to a member or role."""
        self.overwrites[target.id] = Overwrite(allow=allow, deny=deny)
        self.world.emit_channel(events.CHANNEL_UPDATE, self)

    def add_thread(self, name: str, *, creator: User, private: bool = False, thread_id: int | None = None) -> Channel:
        """A thread of this text channel, or a post of this forum (which still lacks its first message)."""
        return self.world.add_thread(self, name, creator=creator, private=private, thread_id=thread_id)

    def delete(self) -> None:
        self.world.delete_channel(self)

    def payload(self) -> Json:
        if self.is_private:
            return self._private_payload()
        payload: Json = {
            "id": str(self.id),
            "type": int(self.type),
            "guild_id": str(self.guild.id) if self.guild else None,
            "name": self.name,
            "parent_id": str(self.parent.id) if self.parent else None,
            "last_message_id": str(self.last_message_id) if self.last_message_id else None,
            "rate_limit_per_user": 0,
            "flags": 0,
        }
        if self.is_thread:
            return payload | self._thread_fields()
        payload |= {
            "position": self.position,
            "nsfw": self.nsfw,
            "topic": self.topic,
            "permission_overwrites": self._overwrite_payloads(),
        }
        if self.type is ChannelType.VOICE:
            payload |= {"bitrate": 64000, "user_limit": 0, "rtc_region": None}
        if self.type is ChannelType.FORUM:
            payload |= {"available_tags": [], "default_reaction_emoji": None, "default_sort_order": None}
            payload |= {"default_forum_layout": 0, "default_thread_rate_limit_per_user": 0}
        return payload

    def _overwrite_payloads(self) -> list[Json]:
        is_role = self.guild.roles if self.guild else {}
        return [
            {
                "id": str(key),
                "type": 0 if key in is_role else 1,
                "allow": str(int(overwrite.allow)),
                "deny": str(int(overwrite.deny)),
            }
            for key, overwrite in self.overwrites.items()
        ]

    def _thread_fields(self) -> Json:
        creator = self.creator or self.world.bot
        payload: Json = {
            "owner_id": str(creator.id),
            "message_count": len(self.messages),
            "total_message_sent": len(self.messages),
            "member_count": min(len(self.thread_members), 50),
            "thread_metadata": {
                "archived": self.archived,
                "locked": self.locked,
                "auto_archive_duration": 1440,
                "archive_timestamp": iso(self.created_at),
                "create_timestamp": iso(self.created_at),
            },
        }
        if self.parent is not None and self.parent.type is ChannelType.FORUM:
            payload["applied_tags"] = []
        if self.world.bot.id in self.thread_members:
            payload["member"] = self.thread_member_payload(self.world.bot)
        return payload

    def thread_member_payload(self, user: User) -> Json:
        return {"id": str(self.id), "user_id": str(user.id), "join_timestamp": iso(self.created_at), "flags": 0}

    def _private_payload(self) -> Json:
        """As the bot sees it: itself is not among the recipients."""
        payload: Json = {
            "id": str(self.id),
            "type": int(self.type),
            "last_message_id": str(self.last_message_id) if self.last_message_id else None,
            "recipients": [user.payload() for user in self.recipients if user is not self.world.bot],
            "flags": 0,
        }
        if self.type is ChannelType.GROUP_DM:
            payload |= {"name": self.name or None, "icon": None, "owner_id": str(self.recipients[0].id)}
        return payload


@dataclass(eq=False, kw_only=True)
class Guild:
    """`bot_present` False is a guild whose members may bring the bot along as their own app, without it being there."""

    id: int
    world: World
    name: str
    owner: User
    bot_present: bool = True
    upload_limit_bytes: int = DEFAULT_UPLOAD_LIMIT_BYTES
    locale: str = "en-US"
    created_at: float = 0.0
    roles: dict[int, Role] = field(default_factory=dict)
    members: dict[int, Member] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.everyone = Role(id=self.id, guild=self, name="@everyone", permissions=EVERYONE_BY_DEFAULT, position=0)
        self.roles[self.id] = self.everyone

    @property
    def threads(self) -> list[Channel]:
        return [channel for channel in self.channels.values() if channel.is_thread]

    def add_role(self, name: str, *, permissions: Permission = NONE, mentionable: bool = False) -> Role:
        role = Role(
            id=self.world.new_id(),
            guild=self,
            name=name,
            permissions=permissions,
            position=len(self.roles),
            mentionable=mentionable,
        )
        self.roles[role.id] = role
        self.world.emit_role(events.GUILD_ROLE_CREATE, role)
        return role

    def set_permissions(self, role: Role, permissions: Permission) -> None:
        role.permissions = permissions
        self.world.emit_role(events.GUILD_ROLE_UPDATE, role)

    def remove_role(self, role: Role) -> None:
        """Raises KeyError for one that is not there."""
        del self.roles[role.id]
        for member in self.members.values():
            member.roles = [kept for kept in member.roles if kept is not role]
        for channel in self.channels.values():
            channel.overwrites.pop(role.id, None)
        self.world.emit_role_removed(role)

    def join(self, user: User, *, roles: Iterable[Role] = (), nick: str | None = None) -> Member:
        member = Member(user=user, guild=self, roles=list(roles), joined_at=self.world.clock.now(), nick=nick)
        self.members[user.id] = member
        self.world.emit_member(events.GUILD_MEMBER_ADD, member)
        return member

    def leave(self, user: User) -> None:
        """Raises KeyError for who is no member."""
        member = self.members.pop(user.id)
        self.world.emit_member(events.GUILD_MEMBER_REMOVE, member)

    def set_roles(self, user: User, roles: Iterable[Role]) -> None:
        member = self.members[user.id]
        member.roles = list(roles)
        self.world.emit_member(events.GUILD_MEMBER_UPDATE, member)

    def add_text_channel(
        self, name: str, *, nsfw: bool = False, topic: str | None = None, parent: Channel | None = None
    ) -> Channel:
        return self._add_channel(ChannelType.TEXT, name, nsfw=nsfw, topic=topic, parent=parent)

    def add_voice_channel(self, name: str, *, nsfw: bool = False, parent: Channel | None = None) -> Channel:
        return self._add_channel(ChannelType.VOICE, name, nsfw=nsfw, parent=parent)

    def add_forum(self, name: str, *, nsfw: bool = False, topic: str | None = None) -> Channel:
        return self._add_channel(ChannelType.FORUM, name, nsfw=nsfw, topic=topic)

    def add_category(self, name: str) -> Channel:
        return self._add_channel(ChannelType.CATEGORY, name)

    def _add_channel(
        self,
        kind: ChannelType,
        name: str,
        *,
        nsfw: bool = False,
        topic: str | None = None,
        parent: Channel | None = None,
    ) -> Channel:
        channel = Channel(
            id=self.world.new_id(),
            type=kind,
            world=self.world,
            name=name,
            guild=self,
            nsfw=nsfw,
            topic=topic,
            parent=parent,
            position=len(self.channels),
            created_at=self.world.clock.now(),
        )
        self.channels[channel.id] = channel
        self.world.channels[channel.id] = channel
        self.world.emit_channel(events.CHANNEL_CREATE, channel)
        return channel

    def payload(self) -> Json:
        """The guild object of REST, without channels and members."""
        return {
            "id": str(self.id),
            "name": self.name,
            "icon": None,
            "splash": None,
            "discovery_splash": None,
            "banner": None,
            "description": None,
            "owner_id": str(self.owner.id),
            "afk_channel_id": None,
            "afk_timeout": 300,
            "widget_enabled": False,
            "verification_level": 1,
            "default_message_notifications": 1,
            "explicit_content_filter": 0,
            "roles": [role.payload() for role in self.roles.values()],
            "emojis": [],
            "stickers": [],
            "features": [],
            "mfa_level": 0,
            "application_id": None,
            "system_channel_id": None,
            "system_channel_flags": 0,
            "rules_channel_id": None,
            "public_updates_channel_id": None,
            "safety_alerts_channel_id": None,
            "vanity_url_code": None,
            "max_members": 500000,
            "max_presences": None,
            "max_video_channel_users": 25,
            "max_stage_video_channel_users": 50,
            "premium_tier": 0,
            "premium_subscription_count": 0,
            "premium_progress_bar_enabled": False,
            "preferred_locale": self.locale,
            "nsfw_level": 0,
            "nsfw": False,
            "incidents_data": None,
        }

    def create_payload(self) -> Json:
        """The data of GUILD_CREATE, as a bot without the members and presences intents gets it: itself as a member."""
        bot = self.members.get(self.world.bot.id)
        visible = [
            channel
            for channel in self.channels.values()
            if channel.permissions_of(self.world.bot) & Permission.VIEW_CHANNEL
        ]
        return self.payload() | {
            "joined_at": iso(bot.joined_at if bot else self.created_at),
            "large": False,
            "unavailable": False,
            "member_count": len(self.members),
            "members": [bot.payload()] if bot else [],
            "channels": [channel.payload() for channel in self.channels.values() if not channel.is_thread],
            "threads": [channel.payload() for channel in visible if channel.is_thread and not channel.archived],
            "voice_states": [],
            "presences": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "soundboard_sounds": [],
        }
