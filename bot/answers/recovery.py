"""Brings answers to their end that were left without it: by a process that died, or while Discord was out of reach.

What is known to have ended is shown whole, and charged then; anything else is closed as cut off.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from bot.answers import history as store
from bot.answers.ending import Ended
from bot.answers.history import AnswerRecord, History
from bot.answers.journey import ending_buttons, interrupted, stop_button
from bot.answers.live import Live
from bot.answers.records import Records, asked_at, shown_again
from bot.credits import ledger as books
from bot.credits.ledger import Ledger
from bot.credits.rules import PAYERS, Reason
from bot.delivery.messages import Outgoing, Sent, SentAttachment, Surface, Urgency
from bot.delivery.rest import DiscordRest
from bot.delivery.surfaces import ChannelSurface, InteractionSurface, first_nonce
from bot.errors import DeliveryError, DeliveryForbidden, DeliveryUnavailable, MessageGone
from bot.storage.database import Database, Tx

log = logging.getLogger(__name__)

AT_MOST: Final = 1_000
"""As many as one process has open at a time, unless it was told otherwise."""
TRIED_FOR: Final = timedelta(days=1)
"""How old an answer may be that is still to be closed."""
TOKEN_LIFE_S: Final = 15 * 60
TRIES_IN_A_ROW: Final = 3
"""After so many answers, one after the other, that Discord did not take, the others need not try now."""
PAUSE_S: Final = 5.0
PAUSE_MOST_S: Final = 300.0
"""Between two rounds while Discord is out of reach: twice as long each time."""
DOUBLED: Final = 10
"""So often at most: what fails for days is counted up to numbers that are no seconds any more."""

_PAID: Final = frozenset(reason for reason, payers in PAYERS.items() if payers.user != "nothing")

Way = Literal["finished", "cut", "over"]
"""How an answer was brought to its end: shown whole, closed as cut off, or it was there already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """How many answers were shown to their end, closed as cut off, found out of reach, and are left for later."""

    finished: int
    cut: int
    unreachable: int
    left: int


class Recovery:
    """Finishes or closes what was left. `now` gives unix seconds by Discord's clock, `max_messages` are an answer's."""

    def __init__(
        self,
        *,
        database: Database,
        rest: DiscordRest,
        ledger: Ledger,
        records: Records,
        max_messages: int,
        now: Callable[[], float],
    ) -> None:
        self._database = database
        self._history = History(database)
        self._rest = rest
        self._ledger = ledger
        self._records = records
        self._max_messages = max_messages
        self._now = now
        self._left: dict[int, Ended | None] = {}
        self._hurried = asyncio.Event()

    async def load(self) -> None:
        """Read what an earlier process left running, and keep the holds of what is still to be shown and charged.

        Before this process has answers of its own, and before the holds of dead processes are resolved.

        Raises:
            StorageError: it cannot be read.
        """
        found = await self._history.running_answers(AT_MOST, since=self._moment() - TRIED_FOR)
        self._left = {record.answer_id: record.ending for record in found}
        await self._ledger.adopt([key for key, ending in self._left.items() if ending is not None])

    def __contains__(self, answer_id: int) -> bool:
        """Whether it is still to be brought to its end."""
        return answer_id in self._left

    @property
    def left(self) -> int:
        """How many are still to be brought to their end."""
        return len(self._left)

    def owe(self, answer_id: int, ended: Ended) -> bool:
        """Discord was out of reach for the last edit of this process's own answer: it is to come later.

        False: as many as can wait are waiting already.
        """
        if len(self._left) >= AT_MOST:
            log.error("%d answers wait for Discord: no further one can", AT_MOST)
            return False
        self._left[answer_id] = ended
        self._hurried.set()
        return True

    def hurry(self) -> None:
        """Somebody waits: begin a round now."""
        self._hurried.set()

    async def wait(self, failures: int) -> None:
        """Until the next round may be worth it: after a pause, where rounds have failed and something is left, or when
        there is something new."""
        pause_s = min(PAUSE_S * 2 ** min(failures - 1, DOUBLED), PAUSE_MOST_S) if failures else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._hurried.wait()
        self._hurried.clear()

    async def close_all(self, application_id: int) -> Round:
        """Try each that is left once; what Discord is out of reach for stays for the next time.

        Raises:
            StorageError: they cannot be read, or not be written down as closed.
        """
        finished = cut = unreachable = in_a_row = 0
        for answer_id in list(self._left):
            if in_a_row >= TRIES_IN_A_ROW:
                break
            self._left[answer_id] = self._left.pop(answer_id)  # whatever happens to it, next time it is the last
            try:
                way = await self._close(answer_id, application_id)
            except DeliveryError as error:
                if isinstance(error, DeliveryUnavailable) and self._may_be_tried(answer_id):
                    in_a_row += 1
                    log.info("an answer could not be closed yet: %s", type(error).__name__)
                    continue
                unreachable += 1
                log.info("an answer could not be closed: %s", type(error).__name__)
            else:
                finished, cut = finished + (way == "finished"), cut + (way == "cut")
            in_a_row = 0
            del self._left[answer_id]
        return Round(finished=finished, cut=cut, unreachable=unreachable, left=len(self._left))

    async def _close(self, answer_id: int, application_id: int) -> Way:
        """Bring it to its end.

        Raises:
            DeliveryError: it is out of reach; DeliveryUnavailable: for now.
        """
        record = await self._history.answer(answer_id)
        ended = self._left[answer_id] if record is None else record.ending
        if ended is None:
            if record is None or record.state != "running":
                return "over"
            await self._cut_off(record, application_id)
            await self._history.note_cut(answer_id, self._moment())
            return "cut"
        if record is None:  # deleted by who asked
            await self._settle(answer_id, "deleted", ended)
            return "over"
        try:
            sent = await self._finish(record, ended, application_id)
        except DeliveryUnavailable:
            if self._may_be_tried(answer_id):
                raise
            await self._give_up(record, ended, "undelivered")
            raise DeliveryError("Discord was out of reach for a day") from None
        except DeliveryError as error:
            unshown = await self._give_up(record, ended, "deleted" if isinstance(error, MessageGone) else "undelivered")
            if unshown and record.messages:
                await self._close_rest(record, application_id)
            raise
        places = tuple((one.channel_id, one.message_id) for one in sent)
        turn_id = record.turn_id if ended.remembered else None
        images = shown_again(record.question, sent)
        over = replace(
            record,
            question=replace(record.question, images=images),
            state=ended.state,
            messages=places,
            turn_id=turn_id,
            updated_at=self._moment(),
        )
        await self._settle(answer_id, ended.reason, ended, over, relocated=images != record.question.images)
        return "finished"

    # What has ended, and was not shown to its end

    async def _finish(self, record: AnswerRecord, ended: Ended, application_id: int) -> tuple[Sent, ...]:
        """Show it as it was to be shown: its pictures and files as far as they are there already.

        Raises:
            DeliveryError: it does not get there.
        """
        answer_id = record.answer_id
        known = await self._known(record, application_id)
        async with Live(
            self._surface(record, application_id, known),
            max_messages=self._max_messages,
            stop=stop_button(answer_id),
            heading=ended.heading,
            known=known,
            note_messages=lambda sent: self._records.note_messages(answer_id, sent),
        ) as live:
            if ended.text:
                live.add(ended.text)
            buttons = ending_buttons(answer_id, may_continue=ended.may_continue)
            return await live.finish(footer=ended.footer, buttons=buttons, notice=ended.notice, torn=ended.torn)

    async def _known(self, record: AnswerRecord, application_id: int) -> tuple[Sent, ...]:
        """The answer's messages as they are now. A mention's first one is made where it was not known: it may exist."""
        if not record.messages and record.interaction_token is None:
            return (await self._reply(record),)
        return tuple([await self._one_known(record, number, application_id) for number in range(len(record.messages))])

    async def _one_known(self, record: AnswerRecord, number: int, application_id: int) -> Sent:
        place = record.messages[number]
        try:
            shown = await self._get(record, number, application_id)
        except DeliveryForbidden:  # to read a message takes a permission more than to edit one's own
            shown = {}
        return _as_sent(shown, place)

    def _surface(self, record: AnswerRecord, application_id: int, known: tuple[Sent, ...]) -> Surface:
        question, token = record.question, record.interaction_token
        if token is None:
            return ChannelSurface(self._rest, channel_id=question.place.channel_id, known=known)
        return InteractionSurface(
            self._rest,
            application_id=application_id,
            token=token,
            channel_id=question.place.channel_id,
            ephemeral=question.private,
            bot_present=question.place.bot_present,
            expires_at=asked_at(record.answer_id).timestamp() + TOKEN_LIFE_S,
            clock=self._now,
            known=known,
        )

    async def _close_rest(self, record: AnswerRecord, application_id: int) -> None:
        """Of several messages one may be gone, and the last look unfinished: best effort, Stop closes it, too."""
        with contextlib.suppress(DeliveryError):
            await self._cut_off(record, application_id)
            closed = replace(record, state="failed", updated_at=self._moment())
            await self._database.write(lambda tx: store.end_answer(tx, closed))

    async def _give_up(self, record: AnswerRecord, ended: Ended, reason: Reason) -> bool:
        """Nobody can read it: it costs nothing, and is not remembered. False: it had been shown before.

        One that was asked again or carried on is in the place of the one before, which is kept nowhere else. One that
        was charged before had been shown whole: it lacked its record alone.
        """
        answer_id = record.answer_id
        # Its messages are forgotten, so that Stop closes it where it can still be pressed.
        over = replace(record, state="failed", messages=(), updated_at=self._moment())
        shown = replace(record, state=ended.state, updated_at=self._moment())

        async def write(tx: Tx) -> bool:
            if await self._end(tx, answer_id, reason, ended):
                await store.end_answer(tx, shown)
                return False
            await store.end_answer(tx, over)
            if ended.remembered and record.turn_id == answer_id:
                await store.take_back_turn(tx, answer_id, answer_id)
            return True

        return await self._database.write(write)

    async def _settle(
        self,
        answer_id: int,
        reason: Reason,
        ended: Ended,
        record: AnswerRecord | None = None,
        *,
        relocated: bool = False,
    ) -> None:
        """`relocated`: the question's pictures are read from the answer's message from now on."""

        async def write(tx: Tx) -> None:
            await self._end(tx, answer_id, reason, ended)
            if record is not None:
                await store.end_answer(tx, record)
                if relocated and record.turn_id is not None:
                    await store.set_images(tx, record.turn_id, record.question.images)

        await self._database.write(write)

    async def _end(self, tx: Tx, answer_id: int, reason: Reason, ended: Ended) -> bool:
        """End the hold. Whether it had ended before as one that the asker pays for."""
        try:
            done = await books.end(tx, answer_id, reason, ended.consumed, at=self._moment())
        except LookupError:  # so old that the books do not know it by this number any more
            return False
        return not done.first and done.entry.reason in _PAID

    # What was cut off

    async def _cut_off(self, record: AnswerRecord, application_id: int) -> None:
        """Edit the last message, by the interaction's token as long as that lives, else by the channel's routes.

        Raises:
            DeliveryError: neither reaches it.
        """
        token = record.interaction_token
        if token is None and not record.messages:
            await self._reply(record)
            return
        number = max(len(record.messages) - 1, 0)
        closing = _closing(record, await self._get(record, number, application_id))
        if self._by_token(record):
            target = _target(record, number)
            await self._rest.edit_webhook_message(application_id, token or "", target, lambda: closing, Urgency.FINAL)
        else:
            await self._rest.edit_message(*record.messages[number], lambda: closing)

    async def _reply(self, record: AnswerRecord) -> Sent:
        """Answer a message whose reply is not known: there is none yet, or the process died before it could note it.

        Raises:
            DeliveryError: the channel does not take it.
        """
        channel_id, asked_in = record.question.place.channel_id, record.answer_id
        new = interrupted("", record.answer_id)
        sent = await self._rest.create_message(channel_id, lambda: new, reply_to=asked_in, nonce=first_nonce(asked_in))
        # At once: Discord knows the nonce for some minutes only, and what comes now may have to be tried again later.
        place = (sent.channel_id, sent.message_id)
        await self._database.write(lambda tx: store.note_messages(tx, asked_in, (place,)))
        closing = _closing(record, await self._rest.get_message(channel_id, sent.message_id))
        if closing != new:
            await self._rest.edit_message(channel_id, sent.message_id, lambda: closing)
        return sent

    async def _get(self, record: AnswerRecord, number: int, application_id: int) -> dict[str, Any]:
        """Message `number` as Discord has it.

        Raises:
            DeliveryError: it is out of reach, or there is none.
        """
        token, place = record.interaction_token, record.question.place
        if self._by_token(record):
            return await self._rest.get_webhook_message(application_id, token or "", _target(record, number))
        if record.messages and place.bot_present and not record.question.private:
            return await self._rest.get_message(*record.messages[number])
        raise DeliveryError("nothing was shown yet, or only the interaction's token reached it")

    def _by_token(self, record: AnswerRecord) -> bool:
        age_s = self._now() - asked_at(record.answer_id).timestamp()
        return record.interaction_token is not None and age_s < TOKEN_LIFE_S - 5

    def _may_be_tried(self, answer_id: int) -> bool:
        return self._now() - asked_at(answer_id).timestamp() < TRIED_FOR.total_seconds()

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)


def _target(record: AnswerRecord, number: int) -> int | str:
    return record.messages[number][1] if number > 0 else "@original"


def _closing(record: AnswerRecord, shown: dict[str, Any]) -> Outgoing:
    return interrupted(str(shown.get("content") or ""), record.answer_id)


def _as_sent(shown: dict[str, Any], place: tuple[int, int]) -> Sent:
    kept = tuple(
        SentAttachment(id=int(each["id"]), name=str(each["filename"]), url=str(each["url"]))
        for each in shown.get("attachments") or ()
    )
    return Sent(channel_id=place[0], message_id=place[1], attachments=kept)
