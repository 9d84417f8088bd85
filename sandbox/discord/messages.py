"""What is said: messages, and interactions with their tokens."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any, Final, NamedTuple

from sandbox.discord.cdn import Attachment
from sandbox.discord.changes import Changes, T
from sandbox.discord.events import without_content
from sandbox.discord.places import Channel, Guild, Role, User, iso
from sandbox.discord.refusals import Json

EDITS_REMEMBERED: Final = 8_192
ACKNOWLEDGE_WITHIN_S: Final = 3.0
TOKEN_LIFETIME_S: Final = 15 * 60.0


class MessageFlag(IntFlag):
    SUPPRESS_EMBEDS = 1 << 2
    EPHEMERAL = 1 << 6
    LOADING = 1 << 7
    SUPPRESS_NOTIFICATIONS = 1 << 12
    COMPONENTS_V2 = 1 << 15


class MessageType(IntEnum):
    DEFAULT = 0
    REPLY = 19
    CHAT_INPUT_COMMAND = 20
    CONTEXT_MENU_COMMAND = 23


class InteractionType(IntEnum):
    COMMAND = 2
    COMPONENT = 3
    AUTOCOMPLETE = 4
    MODAL_SUBMIT = 5


class ResponseType(IntEnum):
    MESSAGE = 4
    DEFERRED_MESSAGE = 5
    DEFERRED_UPDATE = 6
    UPDATE = 7
    AUTOCOMPLETE = 8
    MODAL = 9


class State(NamedTuple):
    """What a message said from a moment on: unix seconds of the sandbox's clock."""

    time: float
    content: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Mentions:
    """Who a text mentions. `pinged` are those whom `allowed_mentions` lets be notified, replied-to author included."""

    users: tuple[User, ...] = ()
    roles: tuple[Role, ...] = ()
    everyone: bool = False


NOBODY: Final = Mentions()


@dataclass(eq=False, kw_only=True, slots=True)
class Message:
    """`mentions` is Discord's field, worked out anew by each edit. `mentions_pinged` is who was notified: edits notify
    nobody, save the first text of a reply that was loading. `edits` are its states, the first included."""

    id: int
    channel: Channel
    author: User
    created_at: float
    type: MessageType = MessageType.DEFAULT
    content: str = ""
    embeds: list[Json] = field(default_factory=list)
    components: list[Json] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    flags: int = 0
    mentions: Mentions = NOBODY
    mentions_pinged: set[User] = field(default_factory=set)
    reply_to: Message | None = None
    interaction: Interaction | None = None
    edited_at: float | None = None
    deleted: bool = False
    pinned: bool = False
    tts: bool = False
    nonce: int | str | None = None
    visible_to: User | None = None
    edits: deque[State] = field(default_factory=lambda: deque(maxlen=EDITS_REMEMBERED))
    reactions: dict[str, set[int]] = field(default_factory=dict)

    @property
    def ephemeral(self) -> bool:
        return bool(self.flags & MessageFlag.EPHEMERAL)

    @property
    def loading(self) -> bool:
        return bool(self.flags & MessageFlag.LOADING)

    @property
    def guild(self) -> Guild | None:
        return self.channel.guild

    @property
    def jump_url(self) -> str:
        return f"https://discord.com/channels/{self.guild.id if self.guild else '@me'}/{self.channel.id}/{self.id}"

    def buttons(self) -> list[Json]:
        """Its buttons, wherever they stand."""
        return [component for component in walk(self.components) if component.get("type") == 2]

    def component(self, custom_id: str) -> Json:
        """Raises KeyError if there is none."""
        for component in walk(self.components):
            if component.get("custom_id") == custom_id:
                return component
        raise KeyError(custom_id)

    def text(self) -> str:
        """All that a reader reads: the content and every text display."""
        displays = [component["content"] for component in walk(self.components) if component.get("type") == 10]
        return "\n".join(filter(None, [self.content, *displays]))

    def payload(self, *, with_reference: bool = True) -> Json:
        """The message object; attachments' addresses are signed now."""
        cdn = self.channel.world.cdn
        payload: Json = {
            "id": str(self.id),
            "channel_id": str(self.channel.id),
            "author": self.author.payload(),
            "content": self.content,
            "timestamp": iso(self.created_at),
            "edited_timestamp": iso(self.edited_at) if self.edited_at is not None else None,
            "tts": self.tts,
            "mention_everyone": self.mentions.everyone,
            "mentions": [user.payload() for user in self.mentions.users],
            "mention_roles": [str(role.id) for role in self.mentions.roles],
            "attachments": [cdn.payload(attachment) for attachment in self.attachments],
            "embeds": self._resolved(self.embeds),
            "components": self._resolved(self.components),
            "pinned": self.pinned,
            "type": int(self.type),
            "flags": self.flags,
        }
        if self.nonce is not None:
            payload["nonce"] = self.nonce
        if self.reactions:
            payload["reactions"] = self._reaction_payloads()
        if self.interaction is not None:
            payload |= self._interaction_fields(self.interaction)
        elif self.author is self.channel.world.bot:
            payload["application_id"] = str(self.channel.world.application_id)
        if self.type is MessageType.REPLY and with_reference:
            payload |= self._reference_fields()
        return payload

    def payload_for_bot(self, *, with_reference: bool = True) -> Json:
        """As REST shows it to the bot: without its text where that takes the privileged intent and the bot has none."""
        payload = self.payload(with_reference=with_reference)
        world = self.channel.world
        if world.has_content_intent or not world.needs_content_intent(self):
            return payload
        return without_content(payload)

    def gateway_payload(self) -> Json:
        """The data of MESSAGE_CREATE and MESSAGE_UPDATE: the message with where it is and who its author is there."""
        payload = self.payload()
        guild = self.guild
        if guild is not None and not self.ephemeral:
            payload["guild_id"] = str(guild.id)
            member = guild.members.get(self.author.id)
            if member is not None:
                payload["member"] = member.payload(with_user=False)
            for user, mentioned in zip(self.mentions.users, payload["mentions"], strict=True):
                if user.id in guild.members:
                    mentioned["member"] = guild.members[user.id].payload(with_user=False)
        payload["channel_type"] = int(self.channel.type)
        return payload

    def _resolved(self, value: Any) -> Any:
        """The same with `attachment://name` replaced by the attachment's address."""
        if not self.attachments or not value:
            return value
        cdn = self.channel.world.cdn
        urls = {f"attachment://{attachment.filename}": cdn.url(attachment) for attachment in self.attachments}
        return _replaced(value, urls)

    def _reaction_payloads(self) -> list[Json]:
        bot = self.channel.world.bot.id
        return [
            {
                "count": len(users),
                "count_details": {"burst": 0, "normal": len(users)},
                "me": bot in users,
                "me_burst": False,
                "burst_colors": [],
                "emoji": {"id": None, "name": name},
            }
            for name, users in self.reactions.items()
        ]

    def _interaction_fields(self, interaction: Interaction) -> Json:
        metadata: Json = {
            "id": str(interaction.id),
            "type": int(interaction.type),
            "user": interaction.user.payload(),
            "authorizing_integration_owners": interaction.authorizing_integration_owners,
        }
        if interaction.original is not None and interaction.original is not self:
            metadata["original_response_message_id"] = str(interaction.original.id)
        fields: Json = {
            "application_id": str(self.channel.world.application_id),
            "webhook_id": str(self.channel.world.application_id),
            "interaction_metadata": metadata,
        }
        if interaction.type is InteractionType.COMMAND:
            metadata["name"] = interaction.data["name"]
            if "target_id" in interaction.data:
                metadata["target_message_id"] = interaction.data["target_id"]
            fields["interaction"] = {
                "id": str(interaction.id),
                "type": int(interaction.type),
                "name": interaction.data["name"],
                "user": interaction.user.payload(),
            }
        elif interaction.message is not None:
            metadata["interacted_message_id"] = str(interaction.message.id)
        return fields

    def _reference_fields(self) -> Json:
        target = self.reply_to
        reference: Json = {"type": 0, "channel_id": str(self.channel.id)}
        if target is not None:
            reference["message_id"] = str(target.id)
        if self.guild is not None:
            reference["guild_id"] = str(self.guild.id)
        gone = target is None or target.deleted
        referenced = None if target is None or gone else target.payload_for_bot(with_reference=False)
        return {"message_reference": reference, "referenced_message": referenced}


@dataclass(eq=False, kw_only=True)
class Interaction:
    """One interaction. `acknowledged` is done with the response's type once the bot has answered in time.

    `original` is the reply, or for a component whose message was updated, that message. `modal` is the shown modal's
    data, `choices` an autocomplete's answer. `forced_ephemeral` is for apps that the channel does not let speak.
    """

    id: int
    token: str
    type: InteractionType
    user: User
    channel: Channel
    data: Json
    created_at: float
    changes: Changes
    authorizing_integration_owners: dict[str, str]
    upload_limit_bytes: int
    acknowledged: asyncio.Future[int]
    message: Message | None = None
    response_type: ResponseType | None = None
    original: Message | None = None
    followups: list[Message] = field(default_factory=list)
    modal: Json | None = None
    choices: list[Json] | None = None
    forced_ephemeral: bool = False

    @property
    def guild(self) -> Guild | None:
        return self.channel.guild

    @property
    def bot_is_member(self) -> bool:
        """Whether the app is installed where this happened, rather than only to the user."""
        return "0" in self.authorizing_integration_owners

    @property
    def messages(self) -> list[Message]:
        """The reply and its follow-ups, in order."""
        return [*([self.original] if self.original else []), *self.followups]

    async def wait_for(self, predicate: Callable[[Interaction], T], *, timeout_s: float = 30.0) -> T:
        """The first true result of `predicate(self)`. Raises TimeoutError."""
        what = f"interaction {self.id}, answered by {self.response_type!r}"
        return await self.changes.wait_until(lambda: predicate(self), timeout_s=timeout_s, what=what)


def walk(components: list[Json]) -> list[Json]:
    """All components, in reading order, those inside others included."""
    found: list[Json] = []
    for component in components:
        found.append(component)
        found += walk(component.get("components") or [])
        for inner in ("accessory", "component"):
            if component.get(inner):
                found += walk([component[inner]])
    return found


def _replaced(value: Any, urls: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(inner, urls) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, urls) for inner in value]
    if isinstance(value, str):
        return urls.get(value, value)
    return value
