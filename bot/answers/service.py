"""The doors to answers: a question, the buttons below its answer, and the end of them all."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from bot.answers import history as store
from bot.answers.conversing import Conversation
from bot.answers.history import AnswerRecord, History, Turn
from bot.answers.journey import Job, Running, Words, interrupted
from bot.answers.pace import Pace
from bot.answers.preparing import Preparation
from bot.answers.question import Asker, Question
from bot.answers.recovery import Recovery
from bot.answers.tokens import TokenCounter
from bot.answers.window import Window, fit, turn_tokens
from bot.delivery.messages import Outgoing, Surface
from bot.errors import (
    NothingToRepeat,
    NotPermitted,
    OutOfRange,
    Overloaded,
    OwnAnswersOpen,
    PromptEmpty,
    PromptTooLong,
    Restarting,
)
from bot.settings import Settings
from bot.storage.database import Database, Tx

log = logging.getLogger(__name__)

PROMPT_LIMIT: Final = 6_000
"""Characters; Discord's own limit for a text option, held for every door."""
TEMPERATURE_RANGE: Final = (0.0, 2.0)
RECORD_WAIT_S: Final = 2.0
"""How long a button waits until its answer is written down; Discord wants to hear of it within 3 s."""
CLOSE_S: Final = 8.0
"""How long the open answers have for their last edit when the bot stops."""
CANCEL_S: Final = 2.0
"""How long those have to settle that Discord takes no last edit of."""


class Answers:
    """Answers questions. One for each bot and process."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: Database,
        counter: TokenCounter,
        preparation: Preparation,
        conversation: Conversation,
        recovery: Recovery,
    ) -> None:
        self._settings = settings
        self._database = database
        self._history = History(database)
        self._counter = counter
        self._preparation = preparation
        self._conversation = conversation
        self._recovery = recovery
        self._pace = Pace(settings.questions_per_minute)
        self._running: dict[int, Running] = {}
        self._all_ended = asyncio.Event()
        self._all_ended.set()
        self._closing = False

    # What can be refused at first sight

    def check(self, question: Question) -> None:
        """Refuse what needs no look at attachments or memory, before anything is promised to the asker.

        Raises:
            BadRequest: its kind says what is wrong.
            TooFast, Overloaded, Restarting: see `admit`.
        """
        if not (question.prompt.strip() or question.images or question.file or question.quoted):
            raise PromptEmpty
        if len(question.prompt) > PROMPT_LIMIT:
            raise PromptTooLong(length=len(question.prompt), limit=PROMPT_LIMIT, unit="characters")
        if question.temperature is not None and not _within(question.temperature, *TEMPERATURE_RANGE):
            raise OutOfRange("temperature", low=TEMPERATURE_RANGE[0], high=TEMPERATURE_RANGE[1])
        model = self._preparation.model(question)
        longest = min(self._settings.max_answer_tokens_limit, model.output_tokens)
        if question.max_tokens is not None and not _within(question.max_tokens, 1, longest):
            raise OutOfRange("max_tokens", low=1, high=longest)
        self.admit(question.asker.id)

    def admit(self, asker_id: int) -> None:
        """Count one question of that member, before anything is promised to them.

        Raises:
            TooFast: it comes too soon after those before.
            Overloaded: as many answers as configured are open, or as many of theirs.
            Restarting: the bot is stopping.
        """
        self._check_load(asker_id)
        self._pace.enter(asker_id, time.monotonic())

    def _check_load(self, asker_id: int) -> None:
        if self._closing:
            raise Restarting
        if len(self._running) >= self._settings.max_open_answers:
            raise Overloaded
        limit = self._settings.max_open_answers_per_member
        if sum(running.asker_id == asker_id for running in self._running.values()) >= limit:
            raise OwnAnswersOpen(limit)

    # The doors

    async def answer(self, question: Question, surface: Surface, words: Words) -> None:
        """Answer a new question on `surface`; `words` turns an error into what the asker reads.

        Raises:
            BadRequest: an attachment is not what it should be, all of it is more than the model can read, or the
                server's admins do not allow the model.
            CreditsError: the asker, the server or the bot cannot pay for it.
            DeliveryError: the answer could not be shown, or its message was deleted.
            StorageError: the memory is out of reach. Nothing was asked of the API.
        """
        await self._give(Job(question=question, root_id=question.id), surface, words)

    async def again(self, record: AnswerRecord, *, new_id: int, asker: Asker, surface: Surface, words: Words) -> None:
        """Ask the same question once more; the new answer takes the old one's place in the memory.

        Raises:
            NothingToRepeat: it has been forgotten since `record_for`.
            As `answer`.
        """
        question = replace(record.question, id=new_id, asker=asker)
        job = Job(question=question, root_id=record.turn_id or new_id, kind="again", repeats=record.answer_id)
        await self._give(job, surface, words)

    async def carry_on(
        self, record: AnswerRecord, *, new_id: int, asker: Asker, surface: Surface, words: Words
    ) -> None:
        """Let the model go on where its limit ended it; the memory holds one answer.

        Raises:
            NothingToRepeat: the answer is no longer remembered.
            As `answer`.
        """
        if record.turn_id is None:
            raise NothingToRepeat
        question = replace(record.question, id=new_id, asker=asker)
        job = Job(question=question, root_id=record.turn_id, kind="more", repeats=record.answer_id)
        await self._give(job, surface, words)

    def fitting(self, turns: Sequence[Turn]) -> Window[Turn]:
        """Which of `turns` (newest last) go along with the next question, by the configured budget alone."""
        return fit(
            turns,
            budget_tokens=self._settings.history_tokens,
            count=lambda turn: turn_tokens(turn, self._counter),
        )

    # The buttons. `at` is the channel in which one was pressed: one of another channel's answer is made up, and whoever
    # moderates here has no say there.

    async def record_for(self, answer_id: int, *, by: int, at: int) -> AnswerRecord:
        """The stored answer, for the person who asked for it: it is their memory and their money.

        Raises:
            NothingToRepeat: it is not known any more, or not in this channel, or its turn was forgotten.
            NotPermitted: `by` is somebody else.
        """
        record = await self._record(answer_id, at)
        if record.question.asker.id != by:
            raise NotPermitted("the person who asked")
        if record.forgotten:
            raise NothingToRepeat
        return record

    @property
    def open_count(self) -> int:
        """How many answers are being given."""
        return len(self._running)

    def is_open(self, answer_id: int) -> bool:
        """Whether the answer is being given right now, by this process."""
        return answer_id in self._running

    def stop(self, answer_id: int, *, by: int, at: int, moderator: bool) -> None:
        """End an open answer; what was said stays. One that has ended already is fine.

        Raises:
            NothingToRepeat: it is not in this channel.
            NotPermitted: neither who asked nor a moderator.
        """
        running = self._running.get(answer_id)
        if running is None:
            return
        if running.channel_id != at:
            raise NothingToRepeat
        _require(by == running.asker_id or moderator)
        running.halt("stopped")

    async def close_forgotten(
        self, answer_id: int, *, by: int, at: int, moderator: bool, message_id: int, shown: str
    ) -> Outgoing | None:
        """What to show in place of an answer's message that looks unfinished, though no process is writing it any more.

        None: it got its last edit while the press was on its way, and `shown` is older than that; or it is about to.
        A message of which the answer knows nothing is one whose creation was never answered, and gets no edit.

        Raises:
            NothingToRepeat, NotPermitted.
        """
        record = await self._record(answer_id, at)
        _require(by == record.question.asker.id or moderator)
        if record.ending is not None and answer_id in self._recovery:
            self._recovery.hurry()
            return None
        if record.state != "running" and any(message_id == known for _, known in record.messages):
            return None  # an ended answer's messages are known once its last edit is done
        if record.state == "running":
            record = replace(record, state="cut", updated_at=_now())
            await self._database.write(lambda tx: store.end_answer(tx, record))
        return interrupted(shown, answer_id)

    async def delete(self, answer_id: int, *, by: int, at: int, moderator: bool) -> tuple[tuple[int, int], ...]:
        """Forget an answer and its turn; returns its messages as (channel id, message id) for the caller to delete.

        Raises:
            NothingToRepeat, NotPermitted.
        """
        record = await self._record(answer_id, at)
        _require(by == record.question.asker.id or moderator)
        self.stop(answer_id, by=by, at=at, moderator=moderator)

        async def forget(tx: Tx) -> None:
            now = await store.answer(tx, answer_id) or record  # it may have been remembered since
            await store.delete_answer(tx, answer_id)
            if now.turn_id is not None:
                await store.take_back_turn(tx, now.turn_id, answer_id)

        await self._database.write(forget)
        return record.messages

    async def close(self, *, grace_s: float = 0.0) -> None:
        """Take no more questions, and let the open answers end by themselves for `grace_s` seconds.

        What is left then ends with a word about why; its last edit is waited for, `CLOSE_S` at most.
        """
        self._closing = True
        if grace_s > 0 and self._running:
            log.info("stopping: %d answers have %g s to end by themselves", len(self._running), grace_s)
            await self._wait_for_all(grace_s)
        self._halt_all()
        await self._wait_for_all(CLOSE_S)
        self._cancel_all()  # Discord takes no last edit: the charge at least is to be settled
        await self._wait_for_all(CANCEL_S)

    def _halt_all(self) -> None:
        for running in self._running.values():
            running.halt("restart")

    def _cancel_all(self) -> None:
        for task in [running.task for running in self._running.values() if running.task is not None]:
            task.cancel()

    async def _wait_for_all(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._all_ended.wait()

    async def _record(self, answer_id: int, channel_id: int) -> AnswerRecord:
        """What is stored of an answer; its buttons can be pressed a moment before that is written."""
        if running := self._running.get(answer_id):
            if running.channel_id != channel_id:
                raise NothingToRepeat
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RECORD_WAIT_S):
                    await running.ended.wait()
        record = await self._history.answer(answer_id)
        if record is None or record.question.place.channel_id != channel_id:
            raise NothingToRepeat
        return record

    async def _give(self, job: Job, surface: Surface, words: Words) -> None:
        question = job.question
        if question.id in self._running or question.id in self._recovery:
            log.info("the same question came twice: it is being answered already")
            return
        self._check_load(question.asker.id)  # others may have begun since it was admitted
        running = self._running[question.id] = Running(
            asker_id=question.asker.id, channel_id=question.place.channel_id, task=asyncio.current_task()
        )
        self._all_ended.clear()
        try:
            prepared = await self._preparation.prepare(job)
            await self._conversation.give(prepared, running, surface, words)
        finally:
            self._preparation.release(question.id)
            del self._running[question.id]
            running.ended.set()
            if not self._running:
                self._all_ended.set()


def _within(value: float, low: float, high: float) -> bool:
    return low <= value <= high  # False for NaN, too


def _require(allowed: bool) -> None:
    if not allowed:
        raise NotPermitted("the person who asked, or a moderator,")


def _now() -> datetime:
    return datetime.now(UTC)
