"""The state of the sandbox's Discord, and the only place where it changes and is announced."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from sandbox.clock import Clock
from sandbox.discord import events
from sandbox.discord.cdn import Cdn, Upload
from sandbox.discord.changes import Changes
from sandbox.discord.commands import Commands
from sandbox.discord.events import Event, Listener
from sandbox.discord.messages import (
    ACKNOWLEDGE_WITHIN_S,
    NOBODY,
    TOKEN_LIFETIME_S,
    Interaction,
    InteractionType,
    Message,
    MessageFlag,
    MessageType,
    State,
)
from sandbox.discord.permissions import EVERYONE_BY_DEFAULT, Permission
from sandbox.discord.places import (
    DEFAULT_UPLOAD_LIMIT_BYTES,
    Channel,
    ChannelType,
    Guild,
    Member,
    Role,
    User,
)
from sandbox.discord.refusals import Json
from sandbox.discord.rules import Draft, mentions_in

EPOCH_MS: Final = 1_420_070_400_000
INTERACTIONS_REMEMBERED: Final = 20_000
CONTENT_INTENT_FLAG: Final = 1 << 19
"""GATEWAY_MESSAGE_CONTENT_LIMITED: the application has the message-content intent enabled."""


class World:
    """Users, guilds, messages and interactions around one bot.

    `has_content_intent` says whether the bot's owner enabled the privileged message-content intent, which decides what
    REST shows; on the gateway the intents of IDENTIFY decide.
    """

    def __init__(self, clock: Clock, *, bot_name: str = "MiniToolAI", has_content_intent: bool = False) -> None:
        self.clock = clock
        self.changes = Changes()
        self.cdn = Cdn(clock)
        self.listeners: list[Listener] = []
        self.has_content_intent = has_content_intent
        self._last_id = 0
        self.users: dict[int, User] = {}
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self._dms: dict[frozenset[int], Channel] = {}
        self._interactions: OrderedDict[int, Interaction] = OrderedDict()
        self._by_token: dict[str, Interaction] = {}
        self.bot = self.add_user(bot_name, bot=True)
        self.application_id = self.bot.id
        self.bot_token = f"sandbox.{secrets.token_urlsafe(18)}"
        self.app_owner = self.add_user("Owner")
        self.commands = Commands(self.application_id, self.new_id)

    def new_id(self) -> int:
        """A snowflake of now, greater than all before it."""
        from_clock = (int(self.clock.now() * 1000) - EPOCH_MS) << 22
        self._last_id = max(self._last_id + 1, from_clock)
        return self._last_id

    def ids_from(self, last_id: int) -> None:
        """Give out only ids above `last_id`, which an earlier run gave."""
        self._last_id = max(self._last_id, last_id)

    # Users and places

    def add_user(
        self,
        display_name: str,
        *,
        bot: bool = False,
        has_installed_app: bool = False,
        locale: str = "en-US",
        accepts_dms: bool = True,
    ) -> User:
        user = User(
            id=self.new_id(),
            name="".join(display_name.lower().split()),
            display_name=display_name,
            bot=bot,
            locale=locale,
            has_installed_app=has_installed_app,
            accepts_dms=accepts_dms,
        )
        self.users[user.id] = user
        return user

    def add_guild(
        self,
        name: str,
        *,
        owner: User | None = None,
        bot_present: bool = True,
        bot_permissions: Permission = EVERYONE_BY_DEFAULT,
        upload_limit_bytes: int = DEFAULT_UPLOAD_LIMIT_BYTES,
    ) -> Guild:
        """A guild; `bot_permissions` go to the role that comes with the bot."""
        guild = Guild(
            id=self.new_id(),
            world=self,
            name=name,
            owner=owner or self.add_user(f"Owner of {name}"),
            bot_present=False,
            upload_limit_bytes=upload_limit_bytes,
            created_at=self.clock.now(),
        )
        self.guilds[guild.id] = guild
        guild.join(guild.owner)
        if bot_present:
            self.invite_bot(guild, permissions=bot_permissions)
        return guild

    def invite_bot(self, guild: Guild, *, permissions: Permission = EVERYONE_BY_DEFAULT) -> None:
        guild.bot_present = True
        role = guild.add_role(self.bot.display_name, permissions=permissions)
        role.managed = True
        guild.join(self.bot, roles=[role])
        self.emit(Event(name=events.GUILD_CREATE, data=self.guild_create_payload(guild), guild_id=guild.id))

    def kick_bot(self, guild: Guild) -> None:
        data = {"id": str(guild.id)}
        event = Event(name=events.GUILD_DELETE, data=data, guild_id=guild.id, user_ids=frozenset({self.bot.id}))
        guild.bot_present = False
        guild.members.pop(self.bot.id, None)
        self.commands.forget_guild(guild.id)
        self.emit(event)

    def dm(self, user: User, other: User | None = None) -> Channel:
        """The direct messages between `user` and `other`, who is the bot if not given; opened if there is none."""
        pair = (user, other or self.bot)
        key = frozenset(each.id for each in pair)
        channel = self._dms.get(key)
        if channel is None or channel.deleted:
            channel = self._dms[key] = self._add_private(ChannelType.DM, pair)
        return channel

    def add_group_dm(self, users: Iterable[User], name: str = "") -> Channel:
        return self._add_private(ChannelType.GROUP_DM, tuple(users), name)

    def _add_private(self, kind: ChannelType, recipients: tuple[User, ...], name: str = "") -> Channel:
        channel = Channel(
            id=self.new_id(),
            type=kind,
            world=self,
            name=name,
            recipients=recipients,
            created_at=self.clock.now(),
        )
        self.channels[channel.id] = channel
        if self.bot in recipients:
            self.emit_channel(events.CHANNEL_CREATE, channel)
        return channel

    def add_thread(
        self, parent: Channel, name: str, *, creator: User, private: bool = False, thread_id: int | None = None
    ) -> Channel:
        thread = Channel(
            id=thread_id or self.new_id(),
            type=ChannelType.PRIVATE_THREAD if private else ChannelType.PUBLIC_THREAD,
            world=self,
            name=name,
            guild=parent.guild,
            parent=parent,
            creator=creator,
            thread_members={creator.id},
            created_at=self.clock.now(),
        )
        self.channels[thread.id] = thread
        if parent.guild is not None:
            parent.guild.channels[thread.id] = thread
        if parent.type is ChannelType.FORUM:
            parent.last_message_id = thread.id
        self._emit_in(thread, events.THREAD_CREATE, thread.payload() | {"newly_created": True})
        return thread

    def set_thread(self, thread: Channel, *, archived: bool | None = None, locked: bool | None = None) -> None:
        thread.archived = thread.archived if archived is None else archived
        thread.locked = thread.locked if locked is None else locked
        self._emit_in(thread, events.THREAD_UPDATE, thread.payload())

    def delete_channel(self, channel: Channel) -> None:
        """With its threads; the bot's later requests get 10003."""
        guild = channel.guild
        for thread in [thread for thread in guild.threads if thread.parent is channel] if guild else []:
            self.delete_channel(thread)
        name = events.THREAD_DELETE if channel.is_thread else events.CHANNEL_DELETE
        event = Event(name=name, data=channel.payload(), guild_id=guild.id if guild else None, channel_id=channel.id)
        sees = self.bot_receives(event)
        channel.deleted = True
        for message in channel.messages.values():
            message.deleted = True
        self.channels.pop(channel.id, None)
        if guild is not None:
            guild.channels.pop(channel.id, None)
        if sees:
            # Nobody can see the channel any more, so the event may not ask for that.
            self.emit(Event(name=name, data=event.data, guild_id=event.guild_id))

    # Messages

    def create_message(
        self,
        channel: Channel,
        author: User,
        draft: Draft,
        *,
        interaction: Interaction | None = None,
        visible_to: User | None = None,
        kind: MessageType = MessageType.DEFAULT,
        flags: int = 0,
    ) -> Message:
        """Stores and announces it. `visible_to` makes it ephemeral."""
        now = self.clock.now()
        reply_to = channel.messages.get(draft.reply_to_id) if draft.reply_to_id else None
        message = Message(
            id=self.new_id(),
            channel=channel,
            author=author,
            created_at=now,
            type=MessageType.REPLY if reply_to else kind,
            content=draft.content or "",
            embeds=draft.embeds or [],
            components=draft.components or [],
            flags=(draft.flags or 0) | flags,
            reply_to=reply_to,
            interaction=interaction,
            tts=draft.tts,
            nonce=draft.nonce,
            visible_to=visible_to,
        )
        self._attach(message, draft.uploads)
        self._mention(message, draft)
        message.mentions_pinged = self._notified(message)
        message.edits.append(State(now, message.content))
        channel.messages[message.id] = message
        if channel.is_thread:
            channel.thread_members.add(author.id)
        channel.last_message_id = message.id
        self._emit_message(events.MESSAGE_CREATE, message)
        return message

    def edit_message(self, message: Message, draft: Draft) -> None:
        """A reply that was loading gets its first text and no edit's mark."""
        now = self.clock.now()
        first = message.loading
        message.flags &= ~MessageFlag.LOADING
        if draft.flags is not None:
            kept = message.flags & (MessageFlag.EPHEMERAL | MessageFlag.SUPPRESS_NOTIFICATIONS)
            message.flags = kept | (draft.flags & ~MessageFlag.EPHEMERAL)
        if draft.content is not None:
            message.content = draft.content
        if draft.embeds is not None:
            message.embeds = draft.embeds
        if draft.components is not None:
            message.components = draft.components
        if draft.kept is not None:
            message.attachments = [kept for kept in message.attachments if kept.id in draft.kept]
        self._attach(message, draft.uploads)
        self._mention(message, draft)
        if first:
            message.mentions_pinged = self._notified(message)
        else:
            message.edited_at = now
        message.edits.append(State(now, message.content))
        self._emit_message(events.MESSAGE_UPDATE, message)

    def delete_message(self, message: Message) -> None:
        message.deleted = True
        message.channel.messages.pop(message.id, None)
        data: Json = {"id": str(message.id), "channel_id": str(message.channel.id)}
        if message.guild is not None:
            data["guild_id"] = str(message.guild.id)
        self._emit_in(
            message.channel,
            events.MESSAGE_DELETE,
            data,
            user_ids=frozenset({message.visible_to.id}) if message.visible_to else None,
            message_author_id=message.author.id,
        )

    def needs_content_intent(self, message: Message) -> bool:
        """Whether the bot sees this message's text only with the privileged intent."""
        if message.author is self.bot or message.channel.is_private:
            return False
        return self.bot not in message.mentions.users

    def _attach(self, message: Message, uploads: Iterable[Upload]) -> None:
        for upload in uploads:
            stored = self.cdn.store(upload, attachment_id=self.new_id(), owner_id=message.channel.id)
            message.attachments = [*message.attachments, stored]

    def _mention(self, message: Message, draft: Draft) -> None:
        text = message.text()
        if "@" not in text and message.reply_to is None:
            message.mentions = NOBODY
            return
        allowed = bool(message.channel.permissions_of(message.author) & Permission.MENTION_EVERYONE)
        message.mentions = mentions_in(
            text,
            message.channel,
            draft.allowed_mentions,
            may_mention_everyone=allowed,
            replied_to=message.reply_to.author if message.reply_to else None,
        )

    def _notified(self, message: Message) -> set[User]:
        """All whom a new message notifies: mentioned, of a mentioned role, or everyone; only who can see it."""
        mentions, guild = message.mentions, message.guild
        if mentions is NOBODY:
            return set()
        users = set(mentions.users)
        if guild is not None and (mentions.everyone or mentions.roles):
            for member in guild.members.values():
                if mentions.everyone or any(role in member.roles for role in mentions.roles):
                    users.add(member.user)
        if message.visible_to is not None:
            users &= {message.visible_to}
        users.discard(message.author)
        return {user for user in users if message.channel.permissions_of(user) & Permission.VIEW_CHANNEL}

    # Interactions

    def create_interaction(
        self, kind: InteractionType, user: User, channel: Channel, data: Json, *, message: Message | None = None
    ) -> Interaction:
        """Stores it and sends it to the bot."""
        guild = channel.guild
        interaction = Interaction(
            id=self.new_id(),
            token=secrets.token_urlsafe(96),
            type=kind,
            user=user,
            channel=channel,
            data=data,
            created_at=self.clock.now(),
            changes=self.changes,
            authorizing_integration_owners=self._owners(user, channel),
            upload_limit_bytes=guild.upload_limit_bytes if guild else DEFAULT_UPLOAD_LIMIT_BYTES,
            acknowledged=asyncio.get_running_loop().create_future(),
            message=message,
        )
        # Where the app is not installed and outside apps are not welcome, only the user sees what it says.
        interaction.forced_ephemeral = (
            guild is not None
            and not interaction.bot_is_member
            and not channel.permissions_of(user) & Permission.USE_EXTERNAL_APPS
        )
        self.remember(interaction)
        self.emit(
            Event(
                name=events.INTERACTION_CREATE,
                data=self.interaction_payload(interaction),
                guild_id=guild.id if guild else None,
                channel_id=channel.id,
                user_ids=frozenset({self.bot.id}),
            )
        )
        return interaction

    def remember(self, interaction: Interaction) -> None:
        """Let its token open what it opens."""
        self._interactions[interaction.id] = interaction
        self._by_token[interaction.token] = interaction
        if len(self._interactions) > INTERACTIONS_REMEMBERED:
            _, oldest = self._interactions.popitem(last=False)
            del self._by_token[oldest.token]

    def interaction_by_id(self, interaction_id: int) -> Interaction | None:
        return self._interactions.get(interaction_id)

    def interaction(self, token: str) -> Interaction | None:
        return self._by_token.get(token)

    def may_acknowledge(self, interaction: Interaction) -> bool:
        return self.clock.now() - interaction.created_at <= ACKNOWLEDGE_WITHIN_S

    def token_expired(self, interaction: Interaction) -> bool:
        return self.clock.now() - interaction.created_at > TOKEN_LIFETIME_S

    def app_permissions(self, user: User, channel: Channel) -> Permission:
        """What the app may do there: its own permissions, or where it is no member, what any outside app may."""
        if channel.is_private or (channel.guild is not None and channel.guild.bot_present):
            return channel.permissions_of(self.bot) or EVERYONE_BY_DEFAULT
        outside = Permission.EMBED_LINKS | Permission.ATTACH_FILES | Permission.USE_EXTERNAL_EMOJIS
        return channel.permissions_of(user) & (outside | Permission.MENTION_EVERYONE)

    def _owners(self, user: User, channel: Channel) -> dict[str, str]:
        owners: dict[str, str] = {}
        if channel.guild is not None and channel.guild.bot_present:
            owners["0"] = str(channel.guild.id)
        if channel.type is ChannelType.DM and self.bot in channel.recipients:
            owners["0"] = "0"
        if user.has_installed_app:
            owners["1"] = str(user.id)
        return owners

    def interaction_payload(self, interaction: Interaction) -> Json:
        """The data of INTERACTION_CREATE."""
        channel, user, guild = interaction.channel, interaction.user, interaction.guild
        channel_payload = channel.payload() | {"permissions": str(int(channel.permissions_of(user)))}
        payload: Json = {
            "id": str(interaction.id),
            "application_id": str(self.application_id),
            "type": int(interaction.type),
            "token": interaction.token,
            "version": 1,
            "data": interaction.data,
            "channel_id": str(channel.id),
            "channel": channel_payload,
            "locale": user.locale,
            "app_permissions": str(int(self.app_permissions(user, channel))),
            "attachment_size_limit": interaction.upload_limit_bytes,
            "authorizing_integration_owners": interaction.authorizing_integration_owners,
            "context": self.context(channel),
            "entitlements": [],
            "entitlement_sku_ids": [],
        }
        if interaction.message is not None:
            payload["message"] = interaction.message.payload()
        if guild is None:
            return payload | {"user": user.payload()}
        member = guild.members[user.id].payload() | {"permissions": str(int(channel.permissions_of(user)))}
        return payload | {
            "member": member,
            "guild_id": str(guild.id),
            "guild_locale": guild.locale,
            "guild": {"id": str(guild.id), "locale": guild.locale, "features": []},
        }

    def context(self, channel: Channel) -> int:
        """Discord's interaction context: 0 a guild, 1 direct messages with the bot, 2 other private channels."""
        if channel.guild is not None:
            return 0
        return 1 if channel.type is ChannelType.DM and self.bot in channel.recipients else 2

    # What the gateway needs, and announcing

    def ready_user(self) -> Json:
        return self.bot.payload() | {"verified": True, "mfa_enabled": True, "email": None, "flags": 0, "bio": ""}

    def application_payload(self) -> Json:
        return {
            "id": str(self.application_id),
            "name": self.bot.display_name,
            "icon": None,
            "description": "",
            "bot_public": True,
            "bot_require_code_grant": False,
            "verify_key": "0" * 64,
            "owner": self.app_owner.payload(),
            "team": None,
            "flags": CONTENT_INTENT_FLAG if self.has_content_intent else 0,
            "tags": [],
            "hook": True,
            "storefront_available": False,
            "is_monetized": False,
            "summary": "",
            "redirect_uris": [],
            "interactions_endpoint_url": None,
            "approximate_guild_count": len(self.guilds_of_bot()),
            "approximate_user_install_count": sum(user.has_installed_app for user in self.users.values()),
            "integration_types_config": {"0": {}, "1": {}},
            "bot": self.bot.payload(),
        }

    def guilds_of_bot(self) -> list[Guild]:
        return [guild for guild in self.guilds.values() if guild.bot_present]

    def guild_create_payload(self, guild: Guild) -> Json:
        return guild.create_payload()

    def bot_receives(self, event: Event) -> bool:
        """By membership, VIEW_CHANNEL and `user_ids`; intents come on top."""
        if event.user_ids is not None:
            return self.bot.id in event.user_ids
        if event.guild_id is not None and not self.guilds[event.guild_id].bot_present:
            return False
        channel = self.channels.get(event.channel_id) if event.channel_id is not None else None
        return channel is None or bool(channel.permissions_of(self.bot) & Permission.VIEW_CHANNEL)

    def emit(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)
        self.changes.notify()

    def _emit_in(
        self,
        channel: Channel,
        name: str,
        data: Json,
        *,
        user_ids: frozenset[int] | None = None,
        message_author_id: int | None = None,
    ) -> None:
        if channel.is_private and user_ids is None:
            user_ids = frozenset(user.id for user in channel.recipients)
        self.emit(
            Event(
                name=name,
                data=data,
                guild_id=channel.guild.id if channel.guild else None,
                channel_id=channel.id,
                user_ids=user_ids,
                message_author_id=message_author_id,
            )
        )

    def _emit_message(self, name: str, message: Message) -> None:
        if not self.listeners:
            self.changes.notify()
            return
        channel = message.channel
        user_ids = frozenset({message.visible_to.id}) if message.visible_to else None
        if user_ids is None and channel.is_private:
            user_ids = frozenset(user.id for user in channel.recipients)
        self.emit(
            Event(
                name=name,
                data=message.gateway_payload(),
                guild_id=channel.guild.id if channel.guild else None,
                channel_id=channel.id,
                user_ids=user_ids,
                message_author_id=message.author.id,
                needs_content_intent=self.needs_content_intent(message),
            )
        )

    def emit_channel(self, name: str, channel: Channel) -> None:
        self._emit_in(channel, name, channel.payload())

    def emit_role(self, name: str, role: Role) -> None:
        guild_id = role.guild.id
        self.emit(Event(name=name, data={"guild_id": str(guild_id), "role": role.payload()}, guild_id=guild_id))

    def emit_role_removed(self, role: Role) -> None:
        data: Json = {"guild_id": str(role.guild.id), "role_id": str(role.id)}
        self.emit(Event(name=events.GUILD_ROLE_DELETE, data=data, guild_id=role.guild.id))

    def emit_member(self, name: str, member: Member) -> None:
        data: Json = {"guild_id": str(member.guild.id)}
        data |= {"user": member.user.payload()} if name == events.GUILD_MEMBER_REMOVE else member.payload()
        self.emit(Event(name=name, data=data, guild_id=member.guild.id))

    def type_in(self, channel: Channel, user: User) -> None:
        data: Json = {"channel_id": str(channel.id), "user_id": str(user.id), "timestamp": int(self.clock.now())}
        if channel.guild is not None:
            data["guild_id"] = str(channel.guild.id)
            member = channel.guild.members.get(user.id)
            if member is not None:
                data["member"] = member.payload()
        self._emit_in(channel, events.TYPING_START, data)

    def react(self, message: Message, user: User, emoji: str, *, add: bool = True) -> None:
        users = message.reactions.setdefault(emoji, set())
        if add:
            users.add(user.id)
        else:
            users.discard(user.id)
        if not users:
            del message.reactions[emoji]
        data: Json = {
            "user_id": str(user.id),
            "channel_id": str(message.channel.id),
            "message_id": str(message.id),
            "emoji": {"id": None, "name": emoji},
            "burst": False,
            "type": 0,
        }
        if message.guild is not None:
            data["guild_id"] = str(message.guild.id)
            if add and user.id in message.guild.members:
                data["member"] = message.guild.members[user.id].payload()
        name = events.MESSAGE_REACTION_ADD if add else events.MESSAGE_REACTION_REMOVE
        self._emit_in(message.channel, name, data, message_author_id=message.author.id)
