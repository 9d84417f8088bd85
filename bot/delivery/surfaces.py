"""Places that show an answer: an interaction's reply, or messages in a channel."""

import time
from collections.abc import Callable
from typing import Final

from bot import errors
from bot.delivery.messages import Outgoing, Sent, Urgency
from bot.delivery.rest import DiscordRest, new_nonce

Render = Callable[[], Outgoing]

EXPIRY_MARGIN_S: Final = 5.0
"""So long before its end an interaction's token is not used any more."""


def first_nonce(reply_to: int) -> str:
    """The nonce of the first message of an answer to message `reply_to`: who does not know whether it was posted, such
    as a process after a crash, posts it again with this, and Discord makes one message of the two."""
    return f"r{reply_to}"


class ChannelSurface:
    """Messages in a channel where the bot may write; message 0 replies to `reply_to`.

    `known` are messages that exist already, from 0 on: they are edited, not created.
    """

    def __init__(
        self,
        rest: DiscordRest,
        *,
        channel_id: int,
        reply_to: int | None = None,
        ping_asker: bool = False,
        known: tuple[Sent, ...] = (),
    ) -> None:
        self._rest = rest
        self._channel_id = channel_id
        self._reply_to = reply_to
        self._ping_asker = ping_asker
        self._messages = list(known)
        # Kept until the message exists: who tries again after a lost answer gets the same message.
        self._nonces: dict[int, str] = {} if reply_to is None else {0: first_nonce(reply_to)}
        self._begun: int | None = None

    @property
    def token(self) -> str | None:
        return None

    async def write(self, number: int, render: Render, urgency: Urgency) -> Sent:
        if number < len(self._messages):
            old = self._messages[number]
            sent = await self._rest.edit_message(
                old.channel_id, old.message_id, render, urgency, keep=_ids(old), ping_asker=self._pings(number)
            )
            self._messages[number] = sent
            return sent
        _check_next(number, len(self._messages))
        begun, self._begun = self._begun, number
        sent = await self._rest.create_message(
            self._channel_id,
            render,
            urgency,
            reply_to=self._reply_to if number == 0 else None,
            ping_asker=self._pings(number),
            nonce=self._nonces.setdefault(number, new_nonce()),
        )
        self._messages.append(sent)
        # Of a nonce that it knows Discord returns the message that there is: it shows what was sent first.
        return await self.write(number, render, urgency) if begun == number else sent

    async def delete(self, number: int) -> None:
        if number >= len(self._messages):
            return
        old = self._messages[number]
        try:
            await self._rest.delete_message(old.channel_id, old.message_id)
        except errors.MessageGone:
            return

    def _pings(self, number: int) -> bool:
        return self._ping_asker and number == 0


class InteractionSurface:
    """The reply to an interaction that was deferred already: message 0 is its original response.

    `expires_at` is when the token ends, by `clock` (seconds; by default since 1970). After that it carries on through
    the channel's routes where `bot_present` and not `ephemeral`, once it has written a message; else it raises
    TokenExpired. `known` are messages that it has written already, by an earlier process perhaps, from 0 on.
    """

    def __init__(
        self,
        rest: DiscordRest,
        *,
        application_id: int,
        token: str,
        channel_id: int,
        ephemeral: bool,
        expires_at: float,
        bot_present: bool = True,
        clock: Callable[[], float] = time.time,
        known: tuple[Sent, ...] = (),
    ) -> None:
        self._rest = rest
        self._application_id = application_id
        self._token = token
        self._channel_id = channel_id
        self._ephemeral = ephemeral
        self._expires_at = expires_at
        self._bot_present = bot_present
        self._clock = clock
        self._messages = list(known)
        self._channel: ChannelSurface | None = None

    @property
    def has_written(self) -> bool:
        """Whether the reply shows anything; until then Discord shows it as loading."""
        return bool(self._messages)

    @property
    def by_token(self) -> bool:
        """Whether the interaction's token is still used, whose edits count in no other message's limits."""
        return self._channel is None and self._clock() < self._expires_at - EXPIRY_MARGIN_S

    @property
    def token(self) -> str | None:
        return self._token

    async def write(self, number: int, render: Render, urgency: Urgency) -> Sent:
        if self.by_token:
            try:
                return await self._write_by_token(number, render, urgency)
            except errors.TokenExpired:
                self._expires_at = float("-inf")
        return await self._in_channel().write(number, render, urgency)

    async def delete(self, number: int) -> None:
        if number >= max(len(self._messages), 1):
            return
        try:
            await self._delete(number)
        except errors.MessageGone:
            return

    async def _write_by_token(self, number: int, render: Render, urgency: Urgency) -> Sent:
        where = (self._application_id, self._token)
        if number < len(self._messages):
            old = self._messages[number]
            target = "@original" if number == 0 else old.message_id
            sent = await self._rest.edit_webhook_message(*where, target, render, urgency, keep=_ids(old))
            self._messages[number] = sent
            return sent
        _check_next(number, len(self._messages))
        if number == 0:
            sent = await self._rest.edit_original(*where, render, urgency)
        else:
            sent = await self._rest.create_followup(
                *where, render, urgency, channel_id=self._channel_id, ephemeral=self._ephemeral
            )
        self._messages[number:] = [sent]
        return sent

    async def _delete(self, number: int) -> None:
        if self.by_token:
            target = "@original" if number == 0 else self._messages[number].message_id
            try:
                await self._rest.delete_webhook_message(self._application_id, self._token, target)
                return
            except errors.TokenExpired:
                self._expires_at = float("-inf")
        await self._in_channel().delete(number)

    def _in_channel(self) -> ChannelSurface:
        """The same messages through the bot's own routes. Raises TokenExpired where those do not reach."""
        if self._channel is None:
            if self._ephemeral or not self._bot_present or not self._messages:
                raise errors.TokenExpired("the interaction's token has ended, and only it reached this message")
            self._channel = ChannelSurface(self._rest, channel_id=self._channel_id, known=tuple(self._messages))
        return self._channel


def _ids(sent: Sent) -> tuple[int, ...]:
    return tuple(attachment.id for attachment in sent.attachments)


def _check_next(number: int, existing: int) -> None:
    if number != existing:
        raise ValueError(f"message {number} cannot follow {existing} messages")
