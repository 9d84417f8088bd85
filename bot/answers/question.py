"""A question as it arrives, freed from Discord's objects."""

from dataclasses import dataclass

from bot.credits.policy import DIRECT_SCOPE


@dataclass(frozen=True, kw_only=True, slots=True)
class Asker:
    """`name` is what the server shows, cleaned of control and bidirectional characters by who builds it.

    `role_ids` are the asker's roles in the server at the moment of asking.
    """

    id: int
    name: str
    role_ids: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where it was asked. A thread is a channel of its own.

    `guild_id` is None in direct messages. `bot_present` says whether the bot itself is in that channel (not so where a
    user brought it along): only then can it read messages there again.
    """

    channel_id: int
    guild_id: int | None
    bot_present: bool = True

    @property
    def scope_id(self) -> int:
        """Whose admins decide: the server's where the bot is a member, else nobody's."""
        return self.guild_id if self.guild_id is not None and self.bot_present else DIRECT_SCOPE


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachmentRef:
    """A file that Discord holds.

    `url` is signed and expires within about a day. `message_id` names the message that carries it, None for a slash
    command's attachment, which belongs to no message. `content_type` and `name` are the uploader's claims.
    """

    id: int
    name: str
    url: str
    size_bytes: int
    content_type: str | None = None
    channel_id: int | None = None
    message_id: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What was asked. `id` is the interaction's or message's snowflake and keys everything the question causes.

    `quoted` is the text of the message that is asked about or replied to. `temperature` 0 to 2 and `max_tokens` (of the
    answer) are None where the asker left them open. `is_message` says that the question itself can be read in the
    channel, so that its answer need not repeat it. `left_out` counts the files that came with it beyond what is read.
    """

    id: int
    asker: Asker
    place: Place
    prompt: str
    images: tuple[AttachmentRef, ...] = ()
    file: AttachmentRef | None = None
    quoted: str | None = None
    quoted_author: str | None = None
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    private: bool = False
    is_message: bool = False
    left_out: int = 0
