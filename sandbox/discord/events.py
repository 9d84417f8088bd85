"""What happens in the sandbox's Discord: the values that the world hands to its listeners, such as the gateway.

Names and payloads are those of https://discord.com/developers/docs/events/gateway-events. A payload is complete, as a
connection with every intent sees it; `Event.needs_content_intent` tells who has to call `without_content` first.
Payloads are shared between listeners and must not be changed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

INTERACTION_CREATE: Final = "INTERACTION_CREATE"
MESSAGE_CREATE: Final = "MESSAGE_CREATE"
MESSAGE_UPDATE: Final = "MESSAGE_UPDATE"
MESSAGE_DELETE: Final = "MESSAGE_DELETE"
MESSAGE_DELETE_BULK: Final = "MESSAGE_DELETE_BULK"
MESSAGE_REACTION_ADD: Final = "MESSAGE_REACTION_ADD"
MESSAGE_REACTION_REMOVE: Final = "MESSAGE_REACTION_REMOVE"
TYPING_START: Final = "TYPING_START"
CHANNEL_CREATE: Final = "CHANNEL_CREATE"
CHANNEL_UPDATE: Final = "CHANNEL_UPDATE"
CHANNEL_DELETE: Final = "CHANNEL_DELETE"
THREAD_CREATE: Final = "THREAD_CREATE"
THREAD_UPDATE: Final = "THREAD_UPDATE"
THREAD_DELETE: Final = "THREAD_DELETE"
GUILD_CREATE: Final = "GUILD_CREATE"
GUILD_UPDATE: Final = "GUILD_UPDATE"
GUILD_DELETE: Final = "GUILD_DELETE"
GUILD_ROLE_CREATE: Final = "GUILD_ROLE_CREATE"
GUILD_ROLE_UPDATE: Final = "GUILD_ROLE_UPDATE"
GUILD_ROLE_DELETE: Final = "GUILD_ROLE_DELETE"
GUILD_MEMBER_ADD: Final = "GUILD_MEMBER_ADD"
GUILD_MEMBER_UPDATE: Final = "GUILD_MEMBER_UPDATE"
GUILD_MEMBER_REMOVE: Final = "GUILD_MEMBER_REMOVE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One dispatch.

    `guild_id` and `channel_id` say where it happened; `guild_id` is None in direct messages. `user_ids` None means
    everybody who may see that place; a set means these users only (a direct message, an ephemeral message, an
    interaction, which concerns the bot's user alone). `message_author_id` is set for messages.
    `needs_content_intent` is True for a message whose text the bot receives only with the privileged intent: it is
    neither the bot's own, nor a direct message to it, nor does it mention the bot.
    """

    name: str
    data: dict[str, Any]
    guild_id: int | None = None
    channel_id: int | None = None
    user_ids: frozenset[int] | None = None
    message_author_id: int | None = None
    needs_content_intent: bool = False


Listener: TypeAlias = Callable[[Event], None]
"""Called at once, in the order of events, in the event loop's thread. It must neither block nor raise."""


class GatewaySource(Protocol):
    """What a gateway needs to know of the world."""

    listeners: list[Listener]

    @property
    def application_id(self) -> int: ...

    @property
    def bot_token(self) -> str: ...

    def ready_user(self) -> dict[str, Any]:
        """The bot's own user object, as in READY."""
        ...

    def guilds_of_bot(self) -> list[Any]:
        """The guilds whose member the bot is; each has an integer `id`, from which its shard follows."""
        ...

    def guild_create_payload(self, guild: Any) -> dict[str, Any]:
        """The data of GUILD_CREATE for `guild`, as it is now."""
        ...

    def bot_receives(self, event: Event) -> bool:
        """Whether the bot may know of `event` at all: by membership, VIEW_CHANNEL, `user_ids`. Intents come on top."""
        ...


def without_content(message: dict[str, Any]) -> dict[str, Any]:
    """The message as sent without the message-content intent: the same, with the four fields empty."""
    stripped = {**message, "content": "", "embeds": [], "attachments": [], "components": []}
    stripped.pop("poll", None)
    return stripped
