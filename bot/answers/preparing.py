"""Before the API is asked: what the memory holds, what is attached, which model answers, and what it is told."""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from bot import guilds
from bot.answers import history as store
from bot.answers.attachments import Attachments
from bot.answers.history import Asked, MemoryKey, Turn
from bot.answers.journey import Job, Prepared
from bot.answers.markdown import reopening
from bot.answers.pictures import PictureAddresses
from bot.answers.question import AttachmentRef, Question
from bot.answers.tokens import TokenCounter, image_tokens
from bot.answers.window import Prompt, build_messages
from bot.catalog import Catalog, ChatModel
from bot.credits.policy import DIRECT_SCOPE
from bot.delivery.messages import Upload
from bot.errors import (
    AttachmentRefused,
    NothingToRepeat,
    Overloaded,
    PromptTooLong,
    WordBlocked,
)
from bot.guilds import DEFAULTS, GuildSettings
from bot.minitoolai.chat import ChatRequest
from bot.settings import Settings
from bot.storage.database import Database, Tx

log = logging.getLogger(__name__)

T = TypeVar("T")

QUOTE_LIMIT: Final = 6_000
"""Characters of the message asked about that the model is shown; the rest is left out."""
DEFAULT_TEMPERATURE: Final = 1.0
PICTURE_ROOM_TOKENS: Final = image_tokens("gpt-4o")
"""The place of one picture in a model's context. gpt-4o-mini bills a picture as many times more tokens, so that it
costs what it costs with gpt-4o; it does not read more for that."""
TURNS_READ: Final = 200
"""The most turns of a memory that are looked at for one question. The token budget is used up long before."""
HELD_BYTES: Final = 256_000_000
"""Of pictures that the open answers show again: a member's three answers can hold 180 MB of them."""
CARRY_ON: Final = "Continue your last answer exactly where it stopped. Do not repeat any of it and do not introduce it."


@dataclass(frozen=True, kw_only=True, slots=True)
class Attached:
    """What came with the question: pictures with working addresses, those to show again, and the file's text."""

    images: tuple[AttachmentRef, ...]
    uploads: tuple[Upload, ...]
    file_text: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Recalled:
    """What is known for a question before it is asked. `root` is the turn that it repeats or carries on."""

    guild: GuildSettings
    key: MemoryKey | None
    turns: tuple[Turn, ...]
    root: Turn | None


class Preparation:
    """Makes a request of a question."""

    def __init__(
        self,
        *,
        settings: Settings,
        catalog: Catalog,
        default_model: ChatModel,
        database: Database,
        counter: TokenCounter,
        attachments: Attachments,
        addresses: PictureAddresses,
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._default_model = default_model
        self._database = database
        self._counter = counter
        self._attachments = attachments
        self._addresses = addresses
        self._held_bytes: dict[int, int] = {}

    def model(self, question: Question, guild: GuildSettings = DEFAULTS) -> ChatModel:
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

    async def prepare(self, job: Job) -> Prepared:
        """What is needed before the API is asked. `release` the question once its answer has ended, or this failed."""
        question = job.question
        recalled = await self._database.read(lambda tx: recall(tx, job))
        guild = recalled.guild
        names = [each.name for each in (*question.images, *([question.file] if question.file is not None else []))]
        if guild.word_list.finds(question.prompt, question.quoted, *names):
            raise WordBlocked
        wanted = self.model(question, guild)
        guild.check_model(wanted.id)
        attached = await self._read_attached(job, recalled.root)
        if await asyncio.to_thread(guild.word_list.finds, attached.file_text):  # a long text takes a while to compare
            raise WordBlocked
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
        return Prepared(
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
            notes=_notes(job, wanted, model, prompt),
            words=guild.word_list,
            reopening=reopening(recalled.root.answer) if recalled.root is not None and job.kind == "more" else "",
        )

    async def _read_attached(self, job: Job, root: Turn | None) -> Attached:
        """Read pictures and file at once. Where a button asks anew, the turn still knows the file's text.

        Raises:
            AttachmentRefused: the first that is not what it should be.
        """
        if job.kind == "more":
            return Attached(images=(), uploads=(), file_text=None)
        question = job.question
        known_text = root.asked.file_text if root is not None else None
        unread = question.file if known_text is None else None
        images = await self._readdressed(question.images)
        async with asyncio.TaskGroup() as group:
            pictures = [group.create_task(_settled(self._attachments.fetch_image(image))) for image in images]
            file = group.create_task(_settled(self._attachments.read_text(unread))) if unread else None
        fetched = [_value(picture.result()) for picture in pictures]
        return Attached(
            images=images,
            # What belongs to no message could never be read again: the answer shows it, and so keeps it.
            uploads=self._held(
                question.id,
                tuple(
                    Upload(name=image.name, content=content, description=f"Picture {number} of the question")
                    for number, (image, (_, content)) in enumerate(zip(images, fetched, strict=True), start=1)
                    if image.message_id is None
                ),
            ),
            file_text=_value(file.result()) if file is not None else known_text,
        )

    def _held(self, question_id: int, uploads: tuple[Upload, ...]) -> tuple[Upload, ...]:
        """Count what the answer holds until its `release`. One question's pictures are always taken.

        Raises:
            Overloaded: together with those of other answers they are more than HELD_BYTES.
        """
        held, size = sum(self._held_bytes.values()), sum(len(upload.content) for upload in uploads)
        if held and size and held + size > HELD_BYTES:
            raise Overloaded
        if size:
            self._held_bytes[question_id] = size
        return uploads

    def release(self, question_id: int) -> None:
        """The answer has ended, or will never begin: what `prepare` counted as held for it is free again."""
        self._held_bytes.pop(question_id, None)

    async def _readdressed(self, images: Sequence[AttachmentRef]) -> tuple[AttachmentRef, ...]:
        """The pictures under addresses that work now; one that has none keeps its old one, and is refused when read."""
        working = await self._addresses.working(images)
        return tuple(replace(image, url=working.get(image.id, image.url)) for image in images)

    async def _build(self, asked: Asked, recalled: Recalled, model: ChatModel, answer_tokens: int) -> Prompt:
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


async def recall(tx: Tx, job: Job) -> Recalled:
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
    return Recalled(guild=guild, key=key, turns=turns, root=root)


def _notes(job: Job, wanted: ChatModel, model: ChatModel, prompt: Prompt) -> tuple[str, ...]:
    notes: list[str] = []
    if job.question.left_out and job.kind != "more":
        notes.append(f"{job.question.left_out} more attached than I read: three pictures and one file")
    if model.id != wanted.id:
        notes.append(f"{wanted.id} cannot see pictures, so {model.id} answered")
    if prompt.images_gone:
        gone, it = ("a picture", "it") if prompt.images_gone == 1 else (f"{prompt.images_gone} pictures", "them")
        notes.append(f"{gone} of before can no longer be read: attach {it} again to ask about {it}")
    elif not model.sees_images and prompt.images_dropped:
        notes.append(f"{model.id} cannot see the pictures of before")
    return tuple(notes)


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
