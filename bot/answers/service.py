"""A question's journey: check it, read what is attached, recall, ask, show it as it streams, remember."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, Literal, TypeVar

from bot import guilds
from bot.answers import history as store
from bot.answers.attachments import Attachments
from bot.answers.charge import Charge
from bot.answers.footer import footer, memory_in_words
from bot.answers.history import AnswerRecord, AnswerState, Asked, History, MemoryKey, Turn
from bot.answers.live import Live
from bot.answers.markdown import reopening
from bot.answers.pictures import MessageReader, PictureAddresses
from bot.answers.plain import as_heading
from bot.answers.question import Asker, AttachmentRef, Question
from bot.answers.tokens import TokenCounter, image_tokens
from bot.answers.window import Prompt, Window, build_messages, fit, turn_tokens
from bot.catalog import Catalog, ChatModel
from bot.credits.ledger import Ledger
from bot.credits.notices import used_notice
from bot.credits.policy import DIRECT_SCOPE
from bot.credits.rules import Consumed, Reason
from bot.credits.values import Hold, HoldRequest
from bot.delivery.messages import Button, Outgoing, Sent, Surface, Upload
from bot.errors import (
    AttachmentRefused,
    DeliveryError,
    DeliveryForbidden,
    MessageGone,
    NothingToRepeat,
    NotPermitted,
    OutOfRange,
    Overloaded,
    PromptEmpty,
    PromptTooLong,
    ProviderError,
    ProviderKeyRefused,
    ProviderOutOfCredit,
    ProviderUnreachable,
    StreamFailed,
    TokenExpired,
)
from bot.guilds import DEFAULTS, GuildSettings
from bot.minitoolai.chat import ChatRequest, Finished, TextDelta, Usage
from bot.minitoolai.client import MiniToolAI
from bot.money import CreditUnit
from bot.settings import Settings
from bot.storage.database import Database, Tx
from bot.storage.errors import StorageError

log = logging.getLogger(__name__)

T = TypeVar("T")

Words = Callable[[BaseException], str]

PROMPT_LIMIT: Final = 6_000
"""Characters; Discord's own limit for a text option, held for every door."""
QUOTE_LIMIT: Final = 6_000
"""Characters of the message asked about that the model is shown; the rest is left out."""
HEADING_LIMIT: Final = 200
"""Characters of the question that its answer repeats."""
TEMPERATURE_RANGE: Final = (0.0, 2.0)
DEFAULT_TEMPERATURE: Final = 1.0
PICTURE_ROOM_TOKENS: Final = image_tokens("gpt-4o")
"""The place of one picture in a model's context. gpt-4o-mini bills a picture as many times more tokens, so that it
costs what it costs with gpt-4o; it does not read more for that."""
TURNS_READ: Final = 200
"""The most turns of a memory that are looked at for one question. The token budget is used up long before."""
USAGE_WAIT_S: Final = 2.0
"""How long the API may take to send its figures, or close, after it has said that the answer is finished."""
FIRST_SHOWN_S: Final = 0.5
"""How long an answer that has ended already waits for its first words to be shown before it is paid."""
SILENCE_S: Final = 4.0
"""After so long without a word the reply says that the model is at it, and offers Stop."""
BEGUN_WAIT_S: Final = 1.0
"""How long the first words wait until the answer is written down, so that a crash leaves none that no button can close.
That is done long before the API answers, unless the disk is in trouble: then the words go first."""
RECORD_WAIT_S: Final = 2.0
"""How long a button waits until its answer is written down; Discord wants to hear of it within 3 s."""
CLOSE_S: Final = 10.0
"""How long the open answers have for their last edit when the bot stops."""
QUOTE_MARK: Final = 12
"""So many characters in a row that stand in the conversation and in the API's words for an error are a quotation."""
CARRY_ON: Final = "Continue your last answer exactly where it stopped. Do not repeat any of it and do not introduce it."

UNPAID: Final = frozenset({"cut", "failed", "restart"})
"""Endings for which the asker pays nothing, as `bot/credits/rules.py` says."""

Ending = Literal["finished", "length", "filtered", "stopped", "restart", "cut", "failed"]

_STATES: Final[dict[Ending, AnswerState]] = {
    "finished": "done",
    "length": "done",
    "filtered": "done",
    "stopped": "stopped",
    "restart": "cut",
    "cut": "cut",
    "failed": "failed",
}
_NOTICES: Final[dict[Ending, str]] = {
    "filtered": "⚠️ The AI service's content filter ended this answer.",
    "stopped": "⏹️ Stopped.",
    "restart": "⚠️ Cut off: I am being restarted. Please press Regenerate in a minute.",
}
ABANDONED: Final = "⚠️ Cut off: something went wrong on my side."
_WHOLE: Final = frozenset({"finished", "filtered"})
"""Any other broke off, perhaps inside a mark, which is then closed."""
_REMEMBERED: Final = frozenset({"finished", "length", "filtered", "stopped"})
"""What a later question is reminded of. An answer that failed is nobody's fault but ours, and is shown, not kept."""

OPERATOR_MUST_ACT: Final = (ProviderKeyRefused, ProviderOutOfCredit)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """One answer to give. `root_id` is the question whose turn it becomes part of; another one's, where it is asked
    again (`again`) or carried on (`more`)."""

    question: Question
    root_id: int
    kind: Literal["new", "again", "more"] = "new"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Attached:
    """What came with the question: pictures with working addresses, those to show again, and the file's text."""

    images: tuple[AttachmentRef, ...]
    uploads: tuple[Upload, ...]
    file_text: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Prepared:
    """Everything that is known before the API is asked. `reopening` opens the code block anew in which the answer
    stopped that is carried on."""

    job: _Job
    model: ChatModel
    key: MemoryKey | None
    asked: Asked
    prompt: Prompt
    request: ChatRequest
    uploads: tuple[Upload, ...]
    notes: tuple[str, ...]
    reopening: str
    length_note: str = ""

    def within(self, hold: Hold) -> "_Prepared":
        """The same, with an answer no longer than what is on hold pays for."""
        wanted, units = self.request.max_completion_tokens, hold.units
        note = f"ended at the limit of {units:,} tokens"
        if units < wanted:
            note = f"ended at {units:,} of {wanted:,} tokens: your credits pay for no more"
        return replace(self, request=replace(self.request, max_completion_tokens=units), length_note=note)


@dataclass(kw_only=True, slots=True)
class _Open:
    """An answer that is being given. `halt` ends its stream, whose deadline is `scope`; before there is one, it is
    remembered in `halted`, and after it there is nothing to end."""

    asker_id: int
    channel_id: int
    scope: asyncio.Timeout | None = None
    halted: Literal["stopped", "restart"] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def halt(self, why: Literal["stopped", "restart"]) -> None:
        self.halted = self.halted or why
        if self.scope is not None and not self.scope.expired():
            self.scope.reschedule(asyncio.get_running_loop().time())


@dataclass(kw_only=True, slots=True)
class _Heard:
    """What the API said so far."""

    parts: list[str] = field(default_factory=list)
    finish_reason: str | None = None
    usage: Usage | None = None
    error: ProviderError | None = None

    @property
    def text(self) -> str:
        return "".join(self.parts)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Result:
    """How it ended, and what it took. `reason` is the ledger's word for it."""

    ending: Ending
    reason: Reason
    text: str
    finish_reason: str | None
    usage: Usage
    estimated: bool
    consumed: Consumed
    notice: str | None


def button(action: str, answer_id: int, label: str, emoji: str) -> Button:
    """A button that names a stored answer; `cogs.ask` knows it by this form of `custom_id`."""
    return Button(custom_id=f"ask:{action}:{answer_id}", label=label, emoji=emoji)


def ending_buttons(answer_id: int, *, may_continue: bool) -> tuple[Button, ...]:
    """What can be done with an answer that has ended."""
    more = (button("more", answer_id, "Continue", "▶️"),) if may_continue else ()
    return (
        *more,
        button("again", answer_id, "Regenerate", "🔁"),
        button("delete", answer_id, "Delete", "🗑️"),
    )


@contextlib.asynccontextmanager
async def _closed_on_failure(live: Live, answer_id: int) -> AsyncIterator[None]:
    """Leave no reply that looks unfinished, whatever goes wrong; the one door says what it was."""
    try:
        yield
    except (MessageGone, DeliveryForbidden, TokenExpired):
        raise  # there is no message to close any more, or no way to it
    except Exception:
        await live.abandon(notice=ABANDONED, buttons=ending_buttons(answer_id, may_continue=False))
        raise


class Answers:
    """Answers questions. One for each bot and process."""

    def __init__(
        self,
        *,
        settings: Settings,
        catalog: Catalog,
        default_model: ChatModel,
        api: MiniToolAI,
        database: Database,
        ledger: Ledger,
        unit: CreditUnit,
        counter: TokenCounter,
        attachments: Attachments,
        reader: MessageReader,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`now` gives unix seconds, by which the signatures of Discord's addresses end and allowances begin anew."""
        self._settings = settings
        self._catalog = catalog
        self._default_model = default_model
        self._api = api
        self._database = database
        self._history = History(database)
        self._ledger = ledger
        self._unit = unit
        self._now = now
        self._counter = counter
        self._attachments = attachments
        self._addresses = PictureAddresses(reader, now=now)
        self._open: dict[int, _Open] = {}
        self._all_ended = asyncio.Event()
        self._all_ended.set()
        self._closing = False

    # What can be refused at first sight

    def check(self, question: Question) -> None:
        """Refuse what needs no look at attachments or memory, before anything is promised to the asker.

        Raises:
            BadRequest: its kind says what is wrong.
            Overloaded: as many answers as configured are open, or the bot is stopping.
        """
        if not (question.prompt.strip() or question.images or question.file or question.quoted):
            raise PromptEmpty
        if len(question.prompt) > PROMPT_LIMIT:
            raise PromptTooLong(length=len(question.prompt), limit=PROMPT_LIMIT, unit="characters")
        if question.temperature is not None and not _within(question.temperature, *TEMPERATURE_RANGE):
            raise OutOfRange("temperature", low=TEMPERATURE_RANGE[0], high=TEMPERATURE_RANGE[1])
        model = self._model(question)
        longest = min(self._settings.max_answer_tokens_limit, model.output_tokens)
        if question.max_tokens is not None and not _within(question.max_tokens, 1, longest):
            raise OutOfRange("max_tokens", low=1, high=longest)
        self._check_load()

    def _check_load(self) -> None:
        if self._closing or len(self._open) >= self._settings.max_open_answers:
            raise Overloaded

    def _model(self, question: Question, guild: GuildSettings = DEFAULTS) -> ChatModel:
        """The model asked for, else the server's, else the operator's, else the first that the server allows.

        Raises:
            UnknownModel: the catalogue has it no more.
        """
        name = question.model or guild.default_model
        if name is not None:
            return self._catalog.chat_model(name)
        if guild.allowed_models and self._default_model.id not in guild.allowed_models:
            return self._catalog.chat_model(guild.allowed_models[0])
        return self._default_model

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)

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
        await self._give(_Job(question=question, root_id=question.id), surface, words)

    async def again(self, record: AnswerRecord, *, new_id: int, asker: Asker, surface: Surface, words: Words) -> None:
        """Ask the same question once more; the new answer takes the old one's place in the memory.

        Raises:
            As `answer`.
        """
        question = replace(record.question, id=new_id, asker=asker)
        job = _Job(question=question, root_id=record.turn_id or new_id, kind="again")
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
        job = _Job(question=question, root_id=record.turn_id, kind="more")
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
            NothingToRepeat: it is not known any more, or not in this channel.
            NotPermitted: `by` is somebody else.
        """
        record = await self._record(answer_id, at)
        if record.question.asker.id != by:
            raise NotPermitted("the person who asked")
        return record

    def is_open(self, answer_id: int) -> bool:
        """Whether the answer is being given right now, by this process."""
        return answer_id in self._open

    def stop(self, answer_id: int, *, by: int, at: int, moderator: bool) -> None:
        """End an open answer; what was said stays. One that has ended already is fine.

        Raises:
            NothingToRepeat: it is not in this channel.
            NotPermitted: neither who asked nor a moderator.
        """
        opened = self._open.get(answer_id)
        if opened is None:
            return
        if opened.channel_id != at:
            raise NothingToRepeat
        _require(by == opened.asker_id or moderator)
        opened.halt("stopped")

    async def close_forgotten(
        self, answer_id: int, *, by: int, at: int, moderator: bool, shown: str
    ) -> Outgoing | None:
        """What to show in place of an answer that looks unfinished, though no process is writing it any more.

        None: it got its last edit while the press was on its way, and `shown` is older than that.

        Raises:
            NothingToRepeat, NotPermitted.
        """
        record = await self._record(answer_id, at)
        _require(by == record.question.asker.id or moderator)
        if record.messages:  # known only once the last edit is done
            return None
        if record.state == "running":
            record = replace(record, state="cut", updated_at=_now())
            await self._database.write(lambda tx: store.save_answer(tx, record))
        text = "\n".join(line for line in shown.splitlines() if not line.startswith("-# "))
        notice = "⚠️ Cut off: I was interrupted while writing this."
        return Outgoing(content=f"{text}\n{notice}".strip(), buttons=ending_buttons(answer_id, may_continue=False))

    async def delete(self, answer_id: int, *, by: int, at: int, moderator: bool) -> tuple[tuple[int, int], ...]:
        """Forget an answer and its turn; returns its messages as (channel id, message id) for the caller to delete.

        Raises:
            NothingToRepeat, NotPermitted.
        """
        record = await self._record(answer_id, at)
        _require(by == record.question.asker.id or moderator)
        self.stop(answer_id, by=by, at=at, moderator=moderator)

        async def forget(tx: Tx) -> None:
            await store.delete_answer(tx, answer_id)
            # The turn may hold another answer by now, one asked again or carried on: then it stays with that one.
            if record.turn_id is not None and not await store.has_later_answer(tx, record.turn_id, answer_id):
                await store.delete_turn(tx, record.turn_id)

        await self._database.write(forget)
        return record.messages

    async def close(self) -> None:
        """Take no more questions, end the open answers with a word about why, and wait for their last edits."""
        self._closing = True
        for opened in self._open.values():
            opened.halt("restart")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._all_ended.wait()

    async def _record(self, answer_id: int, channel_id: int) -> AnswerRecord:
        """What is stored of an answer; its buttons can be pressed a moment before that is written."""
        if opened := self._open.get(answer_id):
            if opened.channel_id != channel_id:
                raise NothingToRepeat
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RECORD_WAIT_S):
                    await opened.ended.wait()
        record = await self._history.answer(answer_id)
        if record is None or record.question.place.channel_id != channel_id:
            raise NothingToRepeat
        return record

    # The journey

    async def _give(self, job: _Job, surface: Surface, words: Words) -> None:
        question = job.question
        if question.id in self._open:
            log.info("the same question came twice: it is being answered already")
            return
        self._check_load()
        opened = self._open[question.id] = _Open(asker_id=question.asker.id, channel_id=question.place.channel_id)
        self._all_ended.clear()
        try:
            prepared = await self._prepare(job)
            charge = Charge(self._ledger, await self._hold(prepared), now=self._moment)
            await self._converse(prepared.within(charge.hold), charge, opened, surface, words)
        finally:
            del self._open[question.id]
            opened.ended.set()
            if not self._open:
                self._all_ended.set()

    async def _prepare(self, job: _Job) -> _Prepared:
        question = job.question
        recalled = await self._database.read(lambda tx: _recall(tx, job))
        guild = recalled.guild
        wanted = self._model(question, guild)
        guild.check_model(wanted.id)
        attached = await self._read_attached(job, recalled.root)
        model = (self._catalog.for_images(wanted) or wanted) if attached.images else wanted
        guild.check_model(model.id)
        asked = Asked(
            asker=question.asker,
            prompt=CARRY_ON if job.kind == "more" else question.prompt,
            images=attached.images,
            file_name=question.file.name if question.file and attached.file_text is not None else None,
            file_text=attached.file_text,
            quoted=question.quoted[:QUOTE_LIMIT] if question.quoted and job.kind != "more" else None,
            quoted_author=question.quoted_author,
        )
        answer_tokens = min(question.max_tokens or self._settings.max_answer_tokens, model.output_tokens)
        prompt = await self._build(asked, recalled, model, answer_tokens)
        return _Prepared(
            job=job,
            model=model,
            key=recalled.key,
            asked=asked,
            prompt=prompt,
            request=ChatRequest(
                model=model.id,
                messages=prompt.messages,
                temperature=DEFAULT_TEMPERATURE if question.temperature is None else question.temperature,
                max_completion_tokens=answer_tokens,
            ),
            uploads=attached.uploads,
            notes=_notes(wanted, model, prompt),
            reopening=reopening(recalled.root.answer) if recalled.root is not None and job.kind == "more" else "",
        )

    async def _read_attached(self, job: _Job, root: Turn | None) -> _Attached:
        """Read pictures and file at once. Where a button asks anew, the turn still knows the file's text.

        Raises:
            AttachmentRefused: the first that is not what it should be.
        """
        if job.kind == "more":
            return _Attached(images=(), uploads=(), file_text=None)
        question = job.question
        known_text = root.asked.file_text if root is not None else None
        unread = question.file if known_text is None else None
        images = await self._readdressed(question.images)
        async with asyncio.TaskGroup() as group:
            pictures = [group.create_task(_settled(self._attachments.fetch_image(image))) for image in images]
            file = group.create_task(_settled(self._attachments.read_text(unread))) if unread else None
        fetched = [_value(picture.result()) for picture in pictures]
        return _Attached(
            images=images,
            # What belongs to no message could never be read again: the answer shows it, and so keeps it.
            uploads=tuple(
                Upload(name=image.name, content=content, description=f"Picture {number} of the question")
                for number, (image, (_, content)) in enumerate(zip(images, fetched, strict=True), start=1)
                if image.message_id is None
            ),
            file_text=_value(file.result()) if file is not None else known_text,
        )

    async def _readdressed(self, images: Sequence[AttachmentRef]) -> tuple[AttachmentRef, ...]:
        """The pictures under addresses that work now; one that has none keeps its old one, and is refused when read."""
        working = await self._addresses.working(images)
        return tuple(replace(image, url=working.get(image.id, image.url)) for image in images)

    async def _build(self, asked: Asked, recalled: "_Recalled", model: ChatModel, answer_tokens: int) -> Prompt:
        """The request's messages: the question, and what of the memory fits beside it.

        Raises:
            PromptTooLong: the question alone leaves the model no room for its answer.
        """
        turns, key = recalled.turns, recalled.key
        recent = [image for turn in reversed(turns) for image in reversed(turn.asked.images)]
        working = await self._addresses.working(recent[: self._settings.history_images]) if model.sees_images else {}
        own = {image.id: image.url for image in asked.images}

        def build(turns: Sequence[Turn], budget_tokens: int) -> Prompt:
            return build_messages(
                persona=recalled.guild.persona or self._settings.persona,
                question=asked,
                turns=turns,
                shared=key is not None and key.is_shared,
                budget_tokens=budget_tokens,
                counter=self._counter,
                image_url=lambda image: own.get(image.id) or working.get(image.id),
                sees_images=model.sees_images,
                max_images=max(self._settings.history_images, len(asked.images)),
            )

        pictures = len(own) + len(working) if model.sees_images else 0
        room = model.context_tokens - answer_tokens - pictures * PICTURE_ROOM_TOKENS
        alone = build((), 0)
        if alone.text_tokens > room:
            raise PromptTooLong(length=alone.text_tokens, limit=max(room, 0), unit="tokens")
        return build(turns, min(room, alone.text_tokens + self._settings.history_tokens))

    async def _hold(self, prepared: _Prepared) -> Hold:
        """Set the worst case apart: all that is sent, and the longest answer, or as much of it as can be paid.

        Raises:
            CreditsError: not even a short answer can be paid. StorageError: nothing is held.
        """
        question, model = prepared.job.question, prepared.model
        wanted = prepared.request.max_completion_tokens
        return await self._ledger.hold(
            HoldRequest(
                key=question.id,
                scope_id=question.place.scope_id,
                user_id=question.asker.id,
                role_ids=frozenset(question.asker.role_ids),
                kind="chat",
                model=model.id,
                fixed_nano=model.price(input_tokens=prepared.prompt.tokens(image_tokens(model.id)), output_tokens=0),
                unit_nano=model.price(input_tokens=0, output_tokens=1),
                units_wanted=wanted,
                units_minimum=min(self._settings.min_answer_tokens, wanted),
                at=self._moment(),
            )
        )

    async def _converse(
        self, prepared: _Prepared, charge: Charge, opened: _Open, surface: Surface, words: Words
    ) -> None:
        """Ask, show as it streams, end it, settle and remember. Whatever happens, the hold ends.

        Raises:
            DeliveryError: see `answer`. The question is not remembered then.
        """
        heard = _Heard()
        begun = asyncio.create_task(self._save_begun(prepared.job), name=f"answer {prepared.job.question.id} begun")
        reason: Reason = "cut"
        try:
            await self._show(prepared, charge, heard, opened, surface, words, begun)
        except DeliveryError as error:
            reason = "deleted" if isinstance(error, MessageGone) else "undelivered"
            raise
        except asyncio.CancelledError:
            reason = "shutdown"
            raise
        finally:
            begun.cancel()
            if not charge.ended:
                await charge.end(reason, self._consumed(prepared, heard))

    async def _show(
        self,
        prepared: _Prepared,
        charge: Charge,
        heard: _Heard,
        opened: _Open,
        surface: Surface,
        words: Words,
        begun: asyncio.Task[None],
    ) -> None:
        answer_id = prepared.job.question.id
        stop = replace(button("stop", answer_id, "Stop", "⏹️"), style="danger")
        remembered = False
        try:
            async with (
                Live(
                    surface, max_messages=self._settings.max_messages, stop=stop, heading=_heading(prepared.job)
                ) as live,
                _closed_on_failure(live, answer_id),
            ):
                live.attach(prepared.uploads)
                await self._listen(prepared, heard, live, opened, begun)
                result = self._result(prepared, heard, opened, words)
                await begun
                live.check()
                # What is being read is paid and remembered before its last edit, so that its buttons, and the next
                # question, find it. What nobody could see a word of yet is shown first: it may never be delivered.
                begun_to_show = await live.begins_to_show(FIRST_SHOWN_S) if heard.parts else True
                if begun_to_show:
                    remembered = await self._write_down(prepared, result, charge)
                remember = remembered if begun_to_show else _is_remembered(prepared, result)
                sent = await live.finish(
                    footer=self._footer(prepared, result, charge, remembered=remember),
                    buttons=ending_buttons(answer_id, may_continue=remember and result.ending == "length"),
                    notice=result.notice,
                    torn=result.ending not in _WHOLE,
                )
                if not begun_to_show:
                    remembered = await self._write_down(prepared, result, charge)
            await self._save_place(prepared, result, sent, remembered=remembered)
        except Exception:
            await self._take_back(prepared.job, remembered=remembered)
            raise
        log.info("answered (%s) by %s, %d + %d tokens", result.ending, prepared.model.id, *_counts(result.usage))

    async def _listen(
        self, prepared: _Prepared, heard: _Heard, live: Live, opened: _Open, begun: asyncio.Task[None]
    ) -> None:
        """Pull the stream to its end, a halt, or an error of the API's, which is part of what was heard."""
        loop = asyncio.get_running_loop()
        silence = loop.call_later(SILENCE_S, live.note, "thinking…")
        try:
            async with asyncio.timeout(None) as opened.scope, aclosing(self._api.chat(prepared.request)) as events:
                if opened.halted:
                    opened.scope.reschedule(loop.time())
                async for event in events:
                    if isinstance(event, TextDelta):
                        silence.cancel()
                        if not heard.parts:
                            await asyncio.wait({begun}, timeout=BEGUN_WAIT_S)
                        if not heard.parts and not event.text.lstrip().startswith("`"):  # else the model does it
                            live.add(prepared.reopening)
                        heard.parts.append(event.text)
                        live.add(event.text)
                    elif isinstance(event, Finished):
                        heard.finish_reason = event.reason
                        opened.scope.reschedule(loop.time() + USAGE_WAIT_S)
                    else:
                        heard.usage = event
        except TimeoutError:
            if not (opened.halted or heard.finish_reason):
                raise
        except ProviderError as error:
            heard.error = error
            detail = unquoting(error.detail, prepared.request)
            if isinstance(error, OPERATOR_MUST_ACT):
                log.error("the AI service refuses the operator's account: %s %s", type(error).__name__, detail)
            else:
                log.warning("the AI service failed: %s %s", type(error).__name__, detail)
        finally:
            silence.cancel()
            opened.scope = None  # what comes now ends nothing: a deadline that is over cannot be moved

    def _result(self, prepared: _Prepared, heard: _Heard, opened: _Open, words: Words) -> _Result:
        ending = _ending(heard, opened)
        return _Result(
            ending=ending,
            reason=_reason(ending, heard.error),
            text=heard.text,
            finish_reason=heard.finish_reason,
            usage=self._usage(prepared, heard),
            estimated=heard.usage is None,
            consumed=self._consumed(prepared, heard),
            notice=_cut_off(words(heard.error), ending) if heard.error is not None else _NOTICES.get(ending),
        )

    def _usage(self, prepared: _Prepared, heard: _Heard) -> Usage:
        """The API's own figures, or the tokenizer's."""
        return heard.usage or Usage(
            prompt_tokens=prepared.prompt.tokens(image_tokens(prepared.model.id)),
            completion_tokens=self._counter.count(heard.text),
        )

    def _consumed(self, prepared: _Prepared, heard: _Heard) -> Consumed:
        usage = self._usage(prepared, heard)
        return Consumed(
            nano=prepared.model.price(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens),
            estimated=heard.usage is None,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
        )

    def _footer(self, prepared: _Prepared, result: _Result, charge: Charge, *, remembered: bool) -> str:
        if result.ending in UNPAID:
            return f"{prepared.model.id} · not charged, not remembered"
        paid = charge.paid(result.reason, result.consumed)
        standing = charge.hold.standing
        notes = list(prepared.notes)
        if result.ending == "length":
            notes.append(prepared.length_note)
        if prepared.key is not None and not remembered and result.text.strip():
            notes.append("could not be remembered")
        if (used := used_notice(charge.hold.used_percent_after(paid), standing.ends_at)) is not None:
            notes.append(used)
        return footer(
            model=prepared.model.id,
            usage=result.usage,
            estimated=result.estimated,
            cost=paid,
            unit=self._unit,
            memory=memory_in_words(
                prepared.key, asker_name=prepared.asked.asker.name, turns=prepared.prompt.turns_used
            ),
            notes=notes,
        )

    # What is written down

    async def _save_begun(self, job: _Job) -> None:
        """So that the Stop button of an answer that a crash left open finds something to close."""
        await self._save_record(_record(job))

    async def _save_record(self, record: AnswerRecord) -> None:
        """Best effort: without its record an answer's buttons say that they know nothing, and no more is lost."""
        try:
            await self._history.save_answer(record)
        except StorageError as error:
            log.error("an answer's record could not be stored: %s", error)

    async def _take_back(self, job: _Job, *, remembered: bool) -> None:
        """Forget a turn whose answer nobody can read: deleted by somebody, or not taken by Discord.

        An answer that was asked again or carried on is in the place of the one before, which is kept nowhere else.
        """
        if remembered and job.root_id == job.question.id:
            try:
                await self._history.delete_turn(job.root_id)
            except StorageError as error:
                log.error("a turn could not be taken back: %s", error)
        await self._save_record(replace(_record(job), state="failed"))

    async def _write_down(self, prepared: _Prepared, result: _Result, charge: Charge) -> bool:
        """Settle the charge and remember the turn, in one transaction. False: it is not remembered, but charged.

        What the database does not take now is charged once the answer is whole: its reader need not wait for that.
        """
        if not _is_remembered(prepared, result):
            await charge.try_to_end(result.reason, result.consumed)
            return False

        async def settle_and_remember(tx: Tx) -> bool:
            await charge.end_in(tx, result.reason, result.consumed)
            return await _remember(tx, prepared, result)

        try:
            remembered = await self._database.write(settle_and_remember)
        except StorageError as error:
            log.error("a turn could not be stored: %s", error)
            await charge.try_to_end(result.reason, result.consumed)
            return False
        charge.ended = True
        return remembered

    async def _save_place(
        self, prepared: _Prepared, result: _Result, sent: tuple[Sent, ...], *, remembered: bool
    ) -> None:
        """Where the answer stands, for its buttons, and where its pictures can be read again."""
        job = prepared.job
        images = _shown_again(prepared, sent)
        record = AnswerRecord(
            question=replace(job.question, images=images),
            state=_STATES[result.ending],
            updated_at=_now(),
            messages=tuple((one.channel_id, one.message_id) for one in sent),
            turn_id=job.root_id if remembered else None,
        )

        async def place(tx: Tx) -> None:
            await store.save_answer(tx, record)
            if remembered and prepared.uploads:
                await store.set_images(tx, job.root_id, images)

        try:
            await self._database.write(place)
        except StorageError as error:
            log.error("an answer's record could not be stored: %s", error)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Recalled:
    """What is known for a question before it is asked. `root` is the turn that it repeats or carries on."""

    guild: GuildSettings
    key: MemoryKey | None
    turns: tuple[Turn, ...]
    root: Turn | None


async def _recall(tx: Tx, job: _Job) -> _Recalled:
    """The memory as it stood before this answer.

    Raises:
        NothingToRepeat: an answer that is no longer remembered cannot be carried on.
    """
    root = await store.turn(tx, job.root_id)
    if root is None and job.kind == "more":
        raise NothingToRepeat
    key = root.key if root is not None else store.memory_key(job.question, await store.mode(tx, job.question.place))
    turns = await store.newest_turns(tx, key, TURNS_READ) if key is not None else ()
    if root is not None:
        place = (root.asked_at, root.question_id)
        # Carrying on, the model needs the answer that it carries on; asking again, it must not see the old one.
        turns = tuple(
            turn
            for turn in turns
            if (turn.asked_at, turn.question_id) < place or (job.kind == "more" and turn.question_id == job.root_id)
        )
    scope_id = job.question.place.scope_id
    guild = await guilds.read_settings(tx, scope_id) if scope_id != DIRECT_SCOPE else DEFAULTS
    return _Recalled(guild=guild, key=key, turns=turns, root=root)


def _heading(job: _Job) -> str:
    """Discord shows who used a command, not what they asked: the answer says it, unless its only reader knows."""
    question = job.question
    repeats = not (question.is_message or question.private or job.kind == "more")
    return as_heading(question.prompt, HEADING_LIMIT) if repeats else ""


def _is_remembered(prepared: _Prepared, result: _Result) -> bool:
    return prepared.key is not None and result.ending in _REMEMBERED and bool(result.text.strip())


async def _remember(tx: Tx, prepared: _Prepared, result: _Result) -> bool:
    """The turn, in its place; and the record, so that a crash before the last edit leaves no button that knows nothing.

    False: the turn that was asked again or carried on has been forgotten meanwhile.
    """
    assert prepared.key is not None
    turn = _turn(prepared, result, prepared.key)
    await store.save_answer(tx, replace(_record(prepared.job), state=_STATES[result.ending], turn_id=turn.question_id))
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


def _reason(ending: Ending, error: ProviderError | None) -> Reason:
    """The ledger's word for an ending; what the API may have taken without an answer is recorded as its due."""
    match ending:
        case "restart":
            return "shutdown"
        case "failed" if isinstance(error, StreamFailed):
            return "cut"
        case "failed" if isinstance(error, ProviderUnreachable) and error.sent:
            return "unanswered"
        case "failed":
            return "refused"
        case _:
            return ending


def _ending(heard: _Heard, opened: _Open) -> Ending:
    if heard.error is not None:
        return "cut" if heard.text.strip() else "failed"
    if heard.finish_reason is None and opened.halted is not None:
        return opened.halted
    match heard.finish_reason:
        case "length":
            return "length"
        case "content_filter":
            return "filtered"
        case _:
            return "finished"


def unquoting(detail: str, request: ChatRequest) -> str:
    """The API's own words fit for a log: withheld where they repeat what people wrote.

    A run of `QUOTE_MARK` characters in common counts as a quotation, or the whole of a shorter text.
    """
    written = [message.text for message in request.messages if message.role != "developer"]
    runs = {detail[start : start + QUOTE_MARK] for start in range(len(detail) - QUOTE_MARK + 1)}
    if any((len(text) < QUOTE_MARK and text in detail) or any(run in text for run in runs) for text in written):
        return "(its words are withheld: they quote the conversation)"
    return detail


def _cut_off(words: str, ending: Ending) -> str:
    """`words` about an error, which say first that an answer stands above them in part."""
    return f"⚠️ Cut off. {words.removeprefix('⚠️ ')}" if ending == "cut" else words


def _turn(prepared: _Prepared, result: _Result, key: MemoryKey) -> Turn:
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


def _record(job: _Job) -> AnswerRecord:
    return AnswerRecord(question=job.question, state="running", updated_at=_now())


def _shown_again(prepared: _Prepared, sent: tuple[Sent, ...]) -> tuple[AttachmentRef, ...]:
    """The question's pictures, those that the answer shows again under the answer's own attachments.

    A private answer's message can be read by nobody but the asker: its attachments end with their addresses.
    """
    question = prepared.job.question
    if not prepared.uploads or not sent:
        return question.images
    shown = iter(sent[0].attachments)
    located: list[AttachmentRef] = []
    for image in question.images:
        again = next(shown, None) if image.message_id is None else None
        if again is None:
            located.append(image)
            continue
        where = (None, None) if question.private else (sent[0].channel_id, sent[0].message_id)
        located.append(replace(image, id=again.id, url=again.url, channel_id=where[0], message_id=where[1]))
    return tuple(located)


def _notes(wanted: ChatModel, model: ChatModel, prompt: Prompt) -> tuple[str, ...]:
    notes: list[str] = []
    if model.id != wanted.id:
        notes.append(f"{wanted.id} cannot see pictures, so {model.id} answered")
    if prompt.images_gone:
        gone, it = ("a picture", "it") if prompt.images_gone == 1 else (f"{prompt.images_gone} pictures", "them")
        notes.append(f"{gone} of before can no longer be read: attach {it} again to ask about {it}")
    elif not model.sees_images and prompt.images_dropped:
        notes.append(f"{model.id} cannot see the pictures of before")
    return tuple(notes)


def asked_at(snowflake: int) -> datetime:
    """When Discord made an id. Source: Discord's reference, "Snowflakes"."""
    return datetime.fromtimestamp(((snowflake >> 22) + 1_420_070_400_000) / 1_000, UTC)


def _counts(usage: Usage) -> tuple[int, int]:
    return usage.prompt_tokens, usage.completion_tokens


def _within(value: float, low: float, high: float) -> bool:
    return low <= value <= high  # False for NaN, too


def _require(allowed: bool) -> None:
    if not allowed:
        raise NotPermitted("the person who asked, or a moderator,")


def _now() -> datetime:
    return datetime.now(UTC)


async def _settled(reading: Awaitable[T]) -> T | AttachmentRefused:
    """As a value, so that in a group one refusal does not hide behind the others' cancellation."""
    try:
        return await reading
    except AttachmentRefused as refusal:
        return refusal


def _value(outcome: T | AttachmentRefused) -> T:
    if isinstance(outcome, AttachmentRefused):
        raise outcome
    return outcome
