"""What is shown in Discord: values, and the protocol of a place that shows them."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal, Protocol

CONTENT_LIMIT: Final = 2_000
"""Discord's limit for a bot's message, which we count in UTF-16 code units: never fewer than code points, so it holds
however Discord counts."""


def utf16_length(text: str) -> int:
    """The length of `text` in UTF-16 code units."""
    # Each edit measures its whole text a few times: both ways leave the loop over its characters to C.
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Button:
    """`custom_id` up to 100 characters, `label` up to 80."""

    custom_id: str
    label: str
    emoji: str | None = None
    style: Literal["primary", "secondary", "success", "danger"] = "secondary"
    disabled: bool = False


@dataclass(frozen=True, kw_only=True, slots=True, weakref_slot=True)
class Upload:
    """A file to attach. `description` is its alt text, up to 1,024 characters. Who counts what is held refers to it."""

    name: str
    content: bytes
    description: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outgoing:
    """One whole state of a message; pings nobody.

    `uploads` None leaves the attachments as they are; a tuple adds these and keeps those that are there.
    """

    content: str
    buttons: tuple[Button, ...] = ()
    uploads: tuple[Upload, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SentAttachment:
    """An attachment as Discord stored it; `url` is signed and expires within about a day."""

    id: int
    name: str
    url: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """A message as Discord has it now."""

    channel_id: int
    message_id: int
    attachments: tuple[SentAttachment, ...] = ()


class Urgency(IntEnum):
    """Who goes first where a rate limit makes them wait; the last request of a window is kept for FINAL."""

    FINAL = 0
    FIRST = 1
    GROWTH = 2


class Surface(Protocol):
    """A place that shows one answer as a run of messages, numbered from 0.

    The surface owns everything about Discord: routes, rate limits, retries. Its errors are `DeliveryError`s. `token` is
    the interaction's, by which a later process can finish the answer for 15 minutes; None in a channel.
    """

    @property
    def token(self) -> str | None: ...

    async def write(self, number: int, render: Callable[[], Outgoing], urgency: Urgency) -> Sent:
        """Show message `number`, creating it if it is the next that does not exist yet.

        Waits until the limits allow a request of that urgency, and only then calls `render`, so that what is sent is
        what is newest. Cancelled while it waits, it has sent nothing.
        """
        ...

    async def delete(self, number: int) -> None:
        """Delete message `number`; one that is gone already is fine."""
        ...
