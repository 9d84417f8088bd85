"""After a crash: answers that were being written are closed where people see them, so that none looks unfinished."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bot.answers.history import AnswerRecord, History
from bot.answers.journey import interrupted
from bot.answers.records import asked_at
from bot.delivery.messages import Outgoing, Urgency
from bot.delivery.rest import DiscordRest
from bot.delivery.surfaces import first_nonce
from bot.errors import DeliveryError

log = logging.getLogger(__name__)

AT_MOST: Final = 1_000
"""As many as one process has open at a time, unless it was told otherwise."""
TRIED_FOR: Final = timedelta(days=1)
"""How old an answer may be that a start still tries to close."""
TOKEN_LIFE_S: Final = 15 * 60 - 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Closed:
    """How many answers of an earlier process were closed, and how many could not be reached any more."""

    closed: int
    unreachable: int


class Recovery:
    """Closes what an earlier process left open. `now` gives unix seconds by Discord's clock."""

    def __init__(self, history: History, rest: DiscordRest, *, now: Callable[[], float]) -> None:
        self._history = history
        self._rest = rest
        self._now = now
        self._started = datetime.now(UTC)

    async def close_all(self, application_id: int) -> Closed:
        """Close every answer that was running when this was made, which is before this process had any of its own.

        Raises:
            StorageError: they cannot be read, or not be written down as closed.
        """
        closed = unreachable = 0
        for record in await self._history.running_answers(AT_MOST, since=self._started - TRIED_FOR):
            if record.updated_at >= self._started:
                continue
            try:
                await self._close(record, application_id)
            except DeliveryError as error:
                # It stays written down as running: its Stop button closes it still, and the next start tries again.
                unreachable += 1
                log.info("an answer of before could not be closed: %s", type(error).__name__)
                continue
            closed += 1
            await self._history.note_cut(record.answer_id, datetime.now(UTC))
        return Closed(closed=closed, unreachable=unreachable)

    async def _close(self, record: AnswerRecord, application_id: int) -> None:
        """Edit the last message, by the interaction's token as long as that lives, else by the channel's routes.

        Raises:
            DeliveryError: neither reaches it.
        """
        token, place = record.interaction_token, record.question.place
        if token is not None and self._now() - asked_at(record.answer_id).timestamp() < TOKEN_LIFE_S:
            target = record.messages[-1][1] if len(record.messages) > 1 else "@original"
            shown = await self._rest.get_webhook_message(application_id, token, target)
            closing = _closing(record, shown)
            await self._rest.edit_webhook_message(application_id, token, target, lambda: closing, Urgency.FINAL)
        elif record.messages and place.bot_present and not record.question.private:
            channel_id, message_id = record.messages[-1]
            closing = _closing(record, await self._rest.get_message(channel_id, message_id))
            await self._rest.edit_message(channel_id, message_id, lambda: closing)
        elif token is None and not record.messages:
            await self._reply(record)
        else:
            raise DeliveryError("nothing was shown yet, or only the interaction's token reached it")

    async def _reply(self, record: AnswerRecord) -> None:
        """Answer a message whose reply is not known: there is none yet, or the process died before it could note it.

        Raises:
            DeliveryError: the channel does not take it.
        """
        channel_id, asked_in = record.question.place.channel_id, record.answer_id
        new = interrupted("", record.answer_id)
        sent = await self._rest.create_message(channel_id, lambda: new, reply_to=asked_in, nonce=first_nonce(asked_in))
        closing = _closing(record, await self._rest.get_message(channel_id, sent.message_id))
        if closing != new:
            await self._rest.edit_message(channel_id, sent.message_id, lambda: closing)


def _closing(record: AnswerRecord, shown: dict[str, Any]) -> Outgoing:
    return interrupted(str(shown.get("content") or ""), record.answer_id)
