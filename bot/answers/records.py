"""What is written down of an answer: before its last edit how it has ended, and after it its charge and its place."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from bot import arrivals
from bot.answers import history as store
from bot.answers.charge import Charge
from bot.answers.ending import Ended
from bot.answers.history import AnswerRecord, MemoryKey, Turn
from bot.answers.journey import Job, Prepared, Result, is_remembered
from bot.answers.live import FILE_NAME
from bot.answers.question import AttachmentRef, Question
from bot.delivery.messages import Sent
from bot.errors import NothingToRepeat
from bot.storage.database import Database, Tx
from bot.storage.errors import StorageError

log = logging.getLogger(__name__)


class Records:
    """Writes down answers as they begin and end."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noting: set[asyncio.Task[None]] = set()

    def note_messages(self, answer_id: int, sent: tuple[Sent, ...]) -> None:
        """Write down, beside the stream, where the answer stands, for a process that has to finish it after a crash."""
        task = asyncio.create_task(self._note_messages(answer_id, sent), name=f"messages of answer {answer_id}")
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    async def _note_messages(self, answer_id: int, sent: tuple[Sent, ...]) -> None:
        try:
            await self._database.write(lambda tx: store.note_messages(tx, answer_id, _places(sent)))
        except StorageError as error:
            log.warning("an answer's messages could not be noted: %s", error)

    async def take_back(self, job: Job, *, remembered: bool, sent: tuple[Sent, ...]) -> None:
        """Forget a turn whose answer nobody can read: deleted by somebody, or not taken by Discord.

        `sent` are the messages that are there and closed, for Delete. An answer that was asked again or carried on is
        in the place of the one before, which is kept nowhere else.
        """

        async def forget(tx: Tx) -> None:
            if remembered and job.root_id == job.question.id:
                await store.take_back_turn(tx, job.root_id, job.question.id)
            await store.end_answer(tx, replace(_record(job), state="failed", messages=_places(sent)))

        try:
            await self._database.write(forget)
        except StorageError as error:
            log.error("a turn could not be taken back: %s", error)

    async def note_ending(
        self, prepared: Prepared, result: Result, sent: tuple[Sent, ...], *, make: Callable[[bool], Ended]
    ) -> tuple[Ended, bool]:
        """Remember the turn and write down how the answer is to be finished, in one transaction, before its last edit.

        `make` is told whether it is remembered. The second value: whether another process could finish it now. What
        the database does not take is finished by this process alone, and not remembered.
        """
        job = prepared.job

        async def note(tx: Tx) -> tuple[Ended, bool]:
            known = await store.is_running(tx, job.question.id)  # else it was deleted, and is not to be remembered
            remembered = known and is_remembered(prepared, result) and await _remember(tx, prepared, result)
            ended = make(remembered)
            turn_id = job.root_id if remembered else None
            places = _places(sent)
            return ended, await store.note_ending(tx, job.question.id, ended, messages=places, turn_id=turn_id)

        try:
            return await self._database.write(note)
        except StorageError as error:
            log.error("a turn could not be stored: %s", error)
            return make(False), False

    async def noted_ending(self, answer_id: int) -> Ended | None:
        """How the running answer is to be finished, by every `note_ending` that began before; None: it is not known.

        Raises:
            StorageError: it could not be read.
        """
        # By the writer, which works off what waits in order: a reader may be quicker than what is being written.
        return await self._database.write(lambda tx: store.noted_ending(tx, answer_id))

    async def settle(self, prepared: Prepared, ended: Ended, charge: Charge, sent: tuple[Sent, ...]) -> None:
        """Charge the answer that is shown, and write down where it stands, for its buttons, and where its pictures can
        be read again: in one transaction.

        What the database does not take is the caller's to charge later; without its record an answer's buttons know
        nothing, or the next start finishes it once more, and no more is lost.
        """
        job = prepared.job
        images = shown_again(job.question, sent) if prepared.uploads else job.question.images
        record = AnswerRecord(
            question=replace(job.question, images=images),
            state=ended.state,
            updated_at=now(),
            messages=_places(sent),
            turn_id=job.root_id if ended.remembered else None,
        )

        charge.owe(ended.reason, ended.consumed)

        async def write(tx: Tx) -> None:
            await charge.end_in(tx)
            await store.end_answer(tx, record)
            if ended.remembered and prepared.uploads:
                await store.set_images(tx, job.root_id, images)

        try:
            await self._database.write(write)
        except StorageError as error:
            log.error("an answer's record could not be stored: %s", error)
            return
        charge.ended = True


async def begin(job: Job, token: str | None, tx: Tx) -> None:
    """Write down that an answer is under way, no mere promise any more, and how a later process could finish it.

    Raises:
        NothingToRepeat: what it would repeat was forgotten between the press of the button and now.
    """
    if job.repeats is not None:
        if await store.is_forgotten(tx, job.repeats):
            raise NothingToRepeat
        if job.root_id == job.question.id:
            await store.adopt_answers(tx, job.root_id, job.repeats)
    await arrivals.take_up(tx, job.question.id)
    await store.save_answer(tx, replace(_record(job), interaction_token=token), root_id=job.root_id)


async def _remember(tx: Tx, prepared: Prepared, result: Result) -> bool:
    """The turn, in its place. False: the one that was asked again or carried on has been forgotten meanwhile."""
    assert prepared.key is not None
    turn = _turn(prepared, result, prepared.key)
    match prepared.job.kind:
        case "more":
            return await store.extend_turn(
                tx,
                turn.question_id,
                text=turn.answer,
                prompt_tokens=turn.prompt_tokens,
                completion_tokens=turn.completion_tokens,
                cost_nano=turn.cost_nano,
                finish_reason=turn.finish_reason,
                complete=turn.complete,
            )
        case "again" if prepared.job.root_id != prepared.job.question.id:
            return await store.replace_turn(tx, turn)
        case _:
            return await store.append_turn(tx, turn)


def _turn(prepared: Prepared, result: Result, key: MemoryKey) -> Turn:
    return Turn(
        question_id=prepared.job.root_id,
        key=key,
        guild_id=prepared.job.question.place.guild_id,
        asked_at=asked_at(prepared.job.root_id),
        asked=prepared.asked,
        answer=result.text,
        model=prepared.model.id,
        prompt_tokens=result.usage.prompt_tokens,
        completion_tokens=result.usage.completion_tokens,
        cost_nano=prepared.model.price(
            input_tokens=result.usage.prompt_tokens, output_tokens=result.usage.completion_tokens
        ),
        finish_reason=result.finish_reason,
        complete=result.ending == "finished",
    )


def _record(job: Job) -> AnswerRecord:
    return AnswerRecord(question=job.question, state="running", updated_at=now())


def _places(sent: tuple[Sent, ...]) -> tuple[tuple[int, int], ...]:
    return tuple((one.channel_id, one.message_id) for one in sent)


def shown_again(question: Question, sent: tuple[Sent, ...]) -> tuple[AttachmentRef, ...]:
    """The question's pictures, those that the answer shows again under the answer's own attachments.

    A private answer's message can be read by nobody but the asker: its attachments end with their addresses.
    """
    if not sent:
        return question.images
    shown = iter([attachment for attachment in sent[0].attachments if attachment.name != FILE_NAME])
    located: list[AttachmentRef] = []
    for image in question.images:
        again = next(shown, None) if image.message_id is None else None
        if again is None:
            located.append(image)
            continue
        where = (None, None) if question.private else (sent[0].channel_id, sent[0].message_id)
        located.append(replace(image, id=again.id, url=again.url, channel_id=where[0], message_id=where[1]))
    return tuple(located)


def asked_at(snowflake: int) -> datetime:
    """When Discord made an id. Source: Discord's reference, "Snowflakes"."""
    return datetime.fromtimestamp(((snowflake >> 22) + 1_420_070_400_000) / 1_000, UTC)


def now() -> datetime:
    return datetime.now(UTC)
