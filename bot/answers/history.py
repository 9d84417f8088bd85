"""What was said before, and what an answer's buttons need after a restart. Owns `turns`, `answers`, `memory_modes`.

The functions take an open transaction, so that a caller can join them with writes of other modules; `History` runs
them one by one. Turns are in order of their time and then of their question's id, so that two questions of one moment
have an order too, the same after a restart.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import orjson

from bot import guilds
from bot.answers.ending import AnswerState, Ended
from bot.answers.question import Asker, AttachmentRef, Place, Question
from bot.answers.tokens import whole_text
from bot.credits.policy import DIRECT_SCOPE
from bot.money import NanoDollars
from bot.storage.database import Database, Row, Tx, Value

log = logging.getLogger(__name__)

Mode = Literal["shared", "personal", "off"]

FILE_TEXT_LIMIT: Final = 200_000
"""The most characters of a file that are kept with its turn. The question itself was answered from the whole file."""

FILE_CUT_NOTE: Final = "\n[the rest of this file is no longer kept]"

NOTHING_ASKED: Final = "null"
"""What is stored in place of a question that was forgotten."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryKey:
    """Whose memory of which channel. `owner` is `shared`, `user:<id>` or `private:<id>`: three that never mix."""

    channel_id: int
    owner: str

    @classmethod
    def shared(cls, channel_id: int) -> "MemoryKey":
        """The memory of everybody in the channel."""
        return cls(channel_id=channel_id, owner="shared")

    @classmethod
    def personal(cls, channel_id: int, user_id: int) -> "MemoryKey":
        """One member's own memory, of answers that everybody may see."""
        return cls(channel_id=channel_id, owner=f"user:{user_id}")

    @classmethod
    def private(cls, channel_id: int, user_id: int) -> "MemoryKey":
        """One member's memory of answers that only they saw."""
        return cls(channel_id=channel_id, owner=f"private:{user_id}")

    @property
    def is_private(self) -> bool:
        """Whether it holds answers that only one person saw."""
        return self.owner.startswith("private:")

    @property
    def is_shared(self) -> bool:
        """Whether several people speak in it."""
        return self.owner == "shared"


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a person said in one question: the words, and what came with them, as the model is shown it."""

    asker: Asker
    prompt: str
    images: tuple[AttachmentRef, ...] = ()
    file_name: str | None = None
    file_text: str | None = None
    quoted: str | None = None
    quoted_author: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """A question with its answer. `question_id` is its identity: storing a turn twice is harmless.

    `finish_reason` is the API's word, None where the stream did not come to one; `complete` is false where the answer
    was stopped or cut off. Tokens and `cost_nano` are sums over everything that made this answer.
    """

    question_id: int
    key: MemoryKey
    guild_id: int | None
    asked_at: datetime
    asked: Asked
    answer: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    cost_nano: NanoDollars
    finish_reason: str | None
    complete: bool

    def __post_init__(self) -> None:
        if self.asked_at.tzinfo is None:
            raise ValueError("asked_at needs its time zone")


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerRecord:
    """An answer on show. `messages` are (channel id, message id), in their order; `turn_id` None: it is not remembered.

    `interaction_token` finishes an answer that the process left running; it is not kept in any other state, and Discord
    forgets it 15 minutes after the question. `ending` is how a running one is to be finished, where that is known.
    `forgotten`: its turn was, so it is not to be repeated; once it has ended, `question` says only who asked and where.
    """

    question: Question
    state: AnswerState
    updated_at: datetime
    messages: tuple[tuple[int, int], ...] = ()
    turn_id: int | None = None
    interaction_token: str | None = None
    ending: Ended | None = None
    forgotten: bool = False

    @property
    def answer_id(self) -> int:
        """The question's id."""
        return self.question.id


@dataclass(frozen=True, kw_only=True, slots=True)
class Forgotten:
    """Announced by transactions in which something was forgotten on request: it may still be in the database's log."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModeChoice:
    """How a channel remembers, and who said so: 0 once they have been erased. `guild_id` is its server's."""

    mode: Mode
    set_by: int
    set_at: datetime
    guild_id: int | None = None


def default_mode(place: Place) -> Mode:
    """Where nobody chose: shared; personal where the bot is not itself in the channel, since its members did not invite
    a common memory, one of them brought the bot along."""
    return "shared" if place.bot_present else "personal"


def channel_memory(channel_id: int, user_id: int, mode: Mode) -> MemoryKey | None:
    """The memory of what `user_id` asks in the channel for everybody to see; None: there is none."""
    if mode == "off":
        return None
    return MemoryKey.shared(channel_id) if mode == "shared" else MemoryKey.personal(channel_id, user_id)


def memory_key(question: Question, mode: Mode) -> MemoryKey | None:
    """The memory that a question reads and writes; None: neither."""
    channel_id, asker_id = question.place.channel_id, question.asker.id
    if question.private and mode != "off":
        return MemoryKey.private(channel_id, asker_id)
    return channel_memory(channel_id, asker_id, mode)


_TURN_COLUMNS: Final = (
    "question_id",
    "channel_id",
    "owner",
    "guild_id",
    "asker_id",
    "asker_name",
    "asked_at_us",
    "prompt",
    "images",
    "file_name",
    "file_text",
    "quoted",
    "quoted_author",
    "answer",
    "model",
    "prompt_tokens",
    "completion_tokens",
    "cost_nano",
    "finish_reason",
    "complete",
)
_PLACED_COLUMNS: Final = ("question_id", "channel_id", "owner", "guild_id", "asked_at_us")
_REPLACED_COLUMNS: Final = tuple(name for name in _TURN_COLUMNS if name not in _PLACED_COLUMNS)

# The names are this module's own; no text from outside enters a statement.
_INSERT_TURN: Final = (
    f"INSERT INTO turns ({', '.join(_TURN_COLUMNS)}) VALUES ({', '.join('?' * len(_TURN_COLUMNS))}) "  # noqa: S608
    "ON CONFLICT (question_id) DO NOTHING"
)
_REPLACE_TURN: Final = (
    f"UPDATE turns SET {', '.join(f'{name} = ?' for name in _REPLACED_COLUMNS)} WHERE question_id = ?"  # noqa: S608
)


async def append_turn(tx: Tx, turn: Turn) -> bool:
    """Remember `turn`. False: it was there already, and stays as it was."""
    columns = _turn_columns(turn)
    return await tx.execute(_INSERT_TURN, [columns[name] for name in _TURN_COLUMNS]) == 1


async def replace_turn(tx: Tx, turn: Turn) -> bool:
    """Put another answer in the place of the turn with the same question: its memory, place and time stay.

    False: it has been forgotten, and is not brought back.
    """
    columns = _turn_columns(turn)
    values = [columns[name] for name in _REPLACED_COLUMNS]
    return await tx.execute(_REPLACE_TURN, [*values, turn.question_id]) == 1


async def extend_turn(
    tx: Tx,
    question_id: int,
    *,
    text: str,
    prompt_tokens: int,
    completion_tokens: int,
    cost_nano: NanoDollars,
    finish_reason: str | None,
    complete: bool,
) -> bool:
    """Append `text` to a turn's answer, and add what it took. False: the turn has been forgotten."""
    changed = await tx.execute(
        "UPDATE turns SET answer = answer || ?, prompt_tokens = prompt_tokens + ?, "
        "completion_tokens = completion_tokens + ?, cost_nano = cost_nano + ?, finish_reason = ?, complete = ? "
        "WHERE question_id = ?",
        (_clean(text), prompt_tokens, completion_tokens, cost_nano, finish_reason, int(complete), question_id),
    )
    return changed == 1


async def delete_turn(tx: Tx, question_id: int) -> bool:
    """Forget one turn. False: it was not there."""
    return await tx.execute("DELETE FROM turns WHERE question_id = ?", (question_id,)) == 1


async def set_images(tx: Tx, question_id: int, images: Sequence[AttachmentRef]) -> bool:
    """Where a turn's pictures can be read from now on. False: the turn has been forgotten."""
    changed = await tx.execute(
        "UPDATE turns SET images = ? WHERE question_id = ?", (_json([asdict(image) for image in images]), question_id)
    )
    return changed == 1


async def turn(tx: Tx, question_id: int) -> Turn | None:
    """The turn of that question."""
    row = await tx.fetch_one("SELECT * FROM turns WHERE question_id = ?", (question_id,))
    return _turn(row) if row is not None else None


async def newest_turns(tx: Tx, key: MemoryKey, limit: int, *, asker_id: int | None = None) -> tuple[Turn, ...]:
    """The newest `limit` turns of a memory, or those of one asker in it; the newest is last."""
    where, params = _whose(key, asker_id)
    rows = await tx.fetch_all(
        f"SELECT * FROM turns WHERE {where} ORDER BY asked_at_us DESC, question_id DESC LIMIT ?",  # noqa: S608
        (*params, limit),
    )
    return tuple(_turn(row) for row in reversed(rows))


async def count_turns(tx: Tx, key: MemoryKey, asker_id: int | None = None) -> int:
    """How many turns a memory holds, or one asker's part of it."""
    where, params = _whose(key, asker_id)
    row = await tx.fetch_one(f"SELECT COUNT(*) AS held FROM turns WHERE {where}", params)  # noqa: S608
    return int(row["held"]) if row is not None else 0


async def clear(tx: Tx, key: MemoryKey, asker_id: int | None = None) -> int:
    """Forget a memory, or one asker's part of it, and what its answers' buttons would repeat. How many turns it was."""
    where, params = _whose(key, asker_id)
    await _forget_answers(tx, f"SELECT question_id FROM turns WHERE {where}", params)  # noqa: S608
    return await tx.execute(f"DELETE FROM turns WHERE {where}", params)  # noqa: S608


async def undo(tx: Tx, key: MemoryKey, asker_id: int | None = None) -> Turn | None:
    """Forget the newest turn of a memory, or of one asker in it, as `clear` would, and return it. None: no turn."""
    newest = await newest_turns(tx, key, 1, asker_id=asker_id)
    if not newest:
        return None
    await _forget_answers(tx, "?", (newest[0].question_id,))
    await delete_turn(tx, newest[0].question_id)
    return newest[0]


async def _forget_answers(tx: Tx, roots: str, params: Sequence[Value]) -> None:
    """Forget what was asked in the answers to those turns, whose ids `roots` selects.

    They can still be deleted. Those not at their end are shown and charged first, and `_blank` is called then.
    """
    mine = f"root_id IN ({roots})"
    await tx.execute(f"UPDATE answers SET forgotten = 1 WHERE {mine}", params)  # noqa: S608
    await _blank(tx, f"{mine} AND state <> 'running'", params)
    tx.announce(Forgotten())


async def _blank(tx: Tx, where: str, params: Sequence[Value]) -> None:
    blanked = await tx.execute(
        f"UPDATE answers SET question = ?, turn_id = NULL WHERE {where} AND forgotten = 1",  # noqa: S608
        (NOTHING_ASKED, *params),
    )
    if blanked:
        tx.announce(Forgotten())


def _whose(key: MemoryKey, asker_id: int | None) -> tuple[str, tuple[Value, ...]]:
    if asker_id is None:
        return "channel_id = ? AND owner = ?", (key.channel_id, key.owner)
    return "channel_id = ? AND owner = ? AND asker_id = ?", (key.channel_id, key.owner, asker_id)


async def save_answer(tx: Tx, record: AnswerRecord, *, root_id: int | None = None) -> None:
    """Write the record down, over what was known of this answer before. Its ending has a function of its own.

    `root_id` is the question whose turn it is to become part of: its own, unless it says otherwise.
    """
    question = record.question
    token = record.interaction_token if record.state == "running" else None
    await tx.execute(
        "INSERT INTO answers (answer_id, asker_id, channel_id, guild_id, private, messages, question, state, turn_id, "
        "interaction_token, updated_at_us, root_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (answer_id) DO UPDATE SET messages = excluded.messages, question = excluded.question, "
        "state = excluded.state, turn_id = excluded.turn_id, interaction_token = excluded.interaction_token, "
        "ending = NULL, updated_at_us = excluded.updated_at_us, root_id = excluded.root_id",
        (
            record.answer_id,
            question.asker.id,
            question.place.channel_id,
            question.place.guild_id,
            int(question.private),
            _json(record.messages),
            _json(asdict(question)),
            record.state,
            record.turn_id,
            token,
            _to_us(record.updated_at),
            root_id or record.turn_id or record.answer_id,
        ),
    )


async def end_answer(tx: Tx, record: AnswerRecord) -> bool:
    """Write down how an answer has ended. False: it has been deleted meanwhile, and is not brought back.

    Of one whose turn has been forgotten nothing is written down that was asked.
    """
    changed = await tx.execute(
        "UPDATE answers SET messages = ?, question = ?, state = ?, turn_id = ?, interaction_token = NULL,"
        " ending = NULL, updated_at_us = ? WHERE answer_id = ?",
        (
            _json(record.messages),
            _json(asdict(record.question)),
            record.state,
            record.turn_id,
            _to_us(record.updated_at),
            record.answer_id,
        ),
    )
    await _blank(tx, "answer_id = ?", (record.answer_id,))
    return changed == 1


async def is_forgotten(tx: Tx, answer_id: int) -> bool:
    """Whether the turn was forgotten that the answer belongs to."""
    row = await tx.fetch_one("SELECT 1 FROM answers WHERE answer_id = ? AND forgotten = 1", (answer_id,))
    return row is not None


async def adopt_answers(tx: Tx, root_id: int, repeated_id: int) -> None:
    """Let the answers that `repeated_id` is one of go with the turn that `root_id` is to become, if they have none.

    Those failed, or nothing was remembered then; what is asked again has the same words, and is forgotten once.
    """
    await tx.execute(
        "UPDATE answers SET root_id = ? WHERE root_id = (SELECT root_id FROM answers WHERE answer_id = ?)"
        " AND NOT EXISTS (SELECT 1 FROM turns WHERE question_id = answers.root_id)",
        (root_id, repeated_id),
    )


async def is_running(tx: Tx, answer_id: int) -> bool:
    """Whether it is known, and has not ended."""
    row = await tx.fetch_one("SELECT 1 FROM answers WHERE answer_id = ? AND state = 'running'", (answer_id,))
    return row is not None


async def note_messages(tx: Tx, answer_id: int, messages: Sequence[tuple[int, int]]) -> bool:
    """Where an answer stands that is still growing. False: it has ended, and has its messages."""
    changed = await tx.execute(
        "UPDATE answers SET messages = ? WHERE answer_id = ? AND state = 'running'", (_json(list(messages)), answer_id)
    )
    return changed == 1


async def note_ending(
    tx: Tx, answer_id: int, ending: Ended, *, messages: Sequence[tuple[int, int]], turn_id: int | None
) -> bool:
    """How a running answer has ended. It is running until its last edit: till then a later process can finish it.

    False: it is not known any more.
    """
    changed = await tx.execute(
        "UPDATE answers SET ending = ?, messages = ?, turn_id = ? WHERE answer_id = ? AND state = 'running'",
        (ending.to_json(), _json(list(messages)), turn_id, answer_id),
    )
    return changed == 1


async def noted_ending(tx: Tx, answer_id: int) -> Ended | None:
    """What `note_ending` wrote down of an answer that is not at its end; None: nothing, or nothing readable."""
    row = await tx.fetch_one("SELECT ending FROM answers WHERE answer_id = ? AND state = 'running'", (answer_id,))
    return _ending(answer_id, row["ending"]) if row is not None else None


async def note_cut(tx: Tx, answer_id: int, at: datetime) -> bool:
    """A running answer has been closed. False: it has ended otherwise, or is not known any more, and stays so."""
    changed = await tx.execute(
        "UPDATE answers SET state = 'cut', interaction_token = NULL, ending = NULL, updated_at_us = ?"
        " WHERE answer_id = ? AND state = 'running'",
        (_to_us(at), answer_id),
    )
    if changed:
        await _blank(tx, "answer_id = ?", (answer_id,))
    return changed == 1


async def answer(tx: Tx, answer_id: int) -> AnswerRecord | None:
    """The record of an answer; None where it is no longer known."""
    row = await tx.fetch_one("SELECT * FROM answers WHERE answer_id = ?", (answer_id,))
    return _answer(row) if row is not None else None


async def has_later_answer(tx: Tx, turn_id: int, answer_id: int) -> bool:
    """Whether a later answer than `answer_id` is part of the same turn: asked again, or carried on."""
    row = await tx.fetch_one(
        "SELECT answer_id FROM answers WHERE turn_id = ? AND answer_id > ? LIMIT 1", (turn_id, answer_id)
    )
    return row is not None


async def running_answers(tx: Tx, limit: int, *, since: datetime) -> tuple[AnswerRecord, ...]:
    """Up to `limit` answers in state `running` that began after `since`, oldest first: after a start, those a crash
    left unfinished. What is damaged, or another version's, is left out: a start is not to fail for it."""
    rows = await tx.fetch_all(
        "SELECT * FROM answers WHERE state = 'running' AND updated_at_us > ? ORDER BY updated_at_us, answer_id LIMIT ?",
        (_to_us(since), limit),
    )
    return tuple(record for record in map(_readable, rows) if record is not None)


async def take_back_turn(tx: Tx, turn_id: int, answer_id: int) -> bool:
    """Forget a turn whose answer `answer_id` is no more. False: a later answer is part of it, and it stays."""
    return not await has_later_answer(tx, turn_id, answer_id) and await delete_turn(tx, turn_id)


async def delete_answer(tx: Tx, answer_id: int) -> bool:
    """Forget what the buttons need, not the turn. False: it was not known."""
    return await tx.execute("DELETE FROM answers WHERE answer_id = ?", (answer_id,)) == 1


async def delete_answers_before(tx: Tx, moment: datetime) -> int:
    """Forget the records of ended answers that were last touched before `moment`, so that they do not pile up."""
    return await tx.execute("DELETE FROM answers WHERE state <> 'running' AND updated_at_us < ?", (_to_us(moment),))


async def mode_choice(tx: Tx, channel_id: int) -> ModeChoice | None:
    """What somebody chose for the channel; None: nobody did."""
    row = await tx.fetch_one("SELECT * FROM memory_modes WHERE channel_id = ?", (channel_id,))
    if row is None:
        return None
    return ModeChoice(
        mode=row["mode"], set_by=row["set_by"], set_at=_from_us(row["set_at_us"]), guild_id=row["guild_id"]
    )


async def mode(tx: Tx, place: Place) -> Mode:
    """How the place remembers: as chosen for the channel, else as the server's admins want it, else by default."""
    chosen = await mode_choice(tx, place.channel_id)
    if chosen is not None:
        return chosen.mode
    if place.scope_id == DIRECT_SCOPE:
        return default_mode(place)
    return (await guilds.read_settings(tx, place.scope_id)).memory or default_mode(place)


async def set_mode(tx: Tx, channel_id: int, choice: ModeChoice) -> None:
    """Choose for the channel. What was remembered stays where it is, and is read again when the mode comes back."""
    await tx.execute(
        "INSERT INTO memory_modes (channel_id, mode, set_by, set_at_us, guild_id) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (channel_id) DO UPDATE SET mode = excluded.mode, set_by = excluded.set_by, "
        "set_at_us = excluded.set_at_us, guild_id = excluded.guild_id",
        (channel_id, choice.mode, choice.set_by, _to_us(choice.set_at), choice.guild_id),
    )


class History:
    """The same, each call in a transaction of its own. Raises what `Database.read` and `Database.write` raise."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest_turns(self, key: MemoryKey, limit: int, *, asker_id: int | None = None) -> tuple[Turn, ...]:
        """See `newest_turns` above, as with every method."""
        return await self._database.read(lambda tx: newest_turns(tx, key, limit, asker_id=asker_id))

    async def count_turns(self, key: MemoryKey, asker_id: int | None = None) -> int:
        return await self._database.read(lambda tx: count_turns(tx, key, asker_id))

    async def append_turn(self, turn: Turn) -> bool:
        return await self._database.write(lambda tx: append_turn(tx, turn))

    async def delete_turn(self, question_id: int) -> bool:
        return await self._database.write(lambda tx: delete_turn(tx, question_id))

    async def turn(self, question_id: int) -> Turn | None:
        return await self._database.read(lambda tx: turn(tx, question_id))

    async def clear(self, key: MemoryKey, asker_id: int | None = None) -> int:
        return await self._database.write(lambda tx: clear(tx, key, asker_id))

    async def undo(self, key: MemoryKey, asker_id: int | None = None) -> Turn | None:
        return await self._database.write(lambda tx: undo(tx, key, asker_id))

    async def save_answer(self, record: AnswerRecord) -> None:
        await self._database.write(lambda tx: save_answer(tx, record))

    async def answer(self, answer_id: int) -> AnswerRecord | None:
        return await self._database.read(lambda tx: answer(tx, answer_id))

    async def note_cut(self, answer_id: int, at: datetime) -> bool:
        return await self._database.write(lambda tx: note_cut(tx, answer_id, at))

    async def running_answers(self, limit: int, *, since: datetime) -> tuple[AnswerRecord, ...]:
        return await self._database.read(lambda tx: running_answers(tx, limit, since=since))

    async def delete_answers_before(self, moment: datetime) -> int:
        return await self._database.write(lambda tx: delete_answers_before(tx, moment))

    async def mode(self, place: Place) -> Mode:
        return await self._database.read(lambda tx: mode(tx, place))

    async def mode_choice(self, channel_id: int) -> ModeChoice | None:
        return await self._database.read(lambda tx: mode_choice(tx, channel_id))

    async def set_mode(self, channel_id: int, choice: ModeChoice) -> None:
        await self._database.write(lambda tx: set_mode(tx, channel_id, choice))


def _turn_columns(turn: Turn) -> dict[str, Value]:
    asked = turn.asked
    return {
        "question_id": turn.question_id,
        "channel_id": turn.key.channel_id,
        "owner": turn.key.owner,
        "guild_id": turn.guild_id,
        "asker_id": asked.asker.id,
        "asker_name": _clean(asked.asker.name),
        "asked_at_us": _to_us(turn.asked_at),
        "prompt": _clean(asked.prompt),
        "images": _json([asdict(image) for image in asked.images]),
        "file_name": _clean_or_none(asked.file_name),
        "file_text": _clean_or_none(_bounded(asked.file_text)),
        "quoted": _clean_or_none(asked.quoted),
        "quoted_author": _clean_or_none(asked.quoted_author),
        "answer": _clean(turn.answer),
        "model": turn.model,
        "prompt_tokens": turn.prompt_tokens,
        "completion_tokens": turn.completion_tokens,
        "cost_nano": turn.cost_nano,
        "finish_reason": turn.finish_reason,
        "complete": int(turn.complete),
    }


def _turn(row: Row) -> Turn:
    return Turn(
        question_id=row["question_id"],
        key=MemoryKey(channel_id=row["channel_id"], owner=row["owner"]),
        guild_id=row["guild_id"],
        asked_at=_from_us(row["asked_at_us"]),
        asked=Asked(
            asker=Asker(id=row["asker_id"], name=row["asker_name"]),
            prompt=row["prompt"],
            images=tuple(AttachmentRef(**image) for image in orjson.loads(row["images"])),
            file_name=row["file_name"],
            file_text=row["file_text"],
            quoted=row["quoted"],
            quoted_author=row["quoted_author"],
        ),
        answer=row["answer"],
        model=row["model"],
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        cost_nano=NanoDollars(row["cost_nano"]),
        finish_reason=row["finish_reason"],
        complete=bool(row["complete"]),
    )


def _answer(row: Row) -> AnswerRecord:
    return AnswerRecord(
        question=_question(orjson.loads(row["question"])) if row["question"] != NOTHING_ASKED else _bare_question(row),
        state=row["state"],
        updated_at=_from_us(row["updated_at_us"]),
        messages=tuple((channel_id, message_id) for channel_id, message_id in orjson.loads(row["messages"])),
        turn_id=row["turn_id"],
        interaction_token=row["interaction_token"],
        ending=_ending(row["answer_id"], row["ending"]),
        forgotten=bool(row["forgotten"]),
    )


def _readable(row: Row) -> AnswerRecord | None:
    try:
        return _answer(row)
    except (KeyError, TypeError, ValueError) as error:
        log.error("answer %d cannot be read: %s", row["answer_id"], type(error).__name__)
        return None


def _ending(answer_id: int, stored: str | None) -> Ended | None:
    """None also where it is damaged, or another version's: one such answer is cut off, and nobody else's affair."""
    if stored is None:
        return None
    try:
        return Ended.from_json(stored)
    except ValueError as error:
        log.error("how answer %d ended cannot be read: %s", answer_id, error)
        return None


def _question(stored: Mapping[str, Any]) -> Question:
    file = stored["file"]
    nested = {
        "asker": Asker(**{**stored["asker"], "role_ids": tuple(stored["asker"].get("role_ids", ()))}),
        "place": Place(**stored["place"]),
        "images": tuple(AttachmentRef(**image) for image in stored["images"]),
        "file": AttachmentRef(**file) if file is not None else None,
    }
    return Question(**{**stored, **nested})


def _bare_question(row: Row) -> Question:
    return Question(
        id=row["answer_id"],
        asker=Asker(id=row["asker_id"], name=""),
        place=Place(channel_id=row["channel_id"], guild_id=row["guild_id"]),
        prompt="",
        private=bool(row["private"]),
    )


def _bounded(file_text: str | None) -> str | None:
    if file_text is None or len(file_text) <= FILE_TEXT_LIMIT:
        return file_text
    return file_text[:FILE_TEXT_LIMIT] + FILE_CUT_NOTE


def _clean(text: str) -> str:
    """What every engine stores: no lone surrogates (SQLite refuses them), no NUL (PostgreSQL does)."""
    return whole_text(text).replace("\0", "\ufffd")


def _clean_or_none(text: str | None) -> str | None:
    return _clean(text) if text is not None else None


def _json(value: object) -> str:
    return orjson.dumps(_cleaned(value)).decode()


def _cleaned(value: object) -> object:
    """`value` with every text in it cleaned: orjson refuses lone surrogates."""
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, dict):
        return {key: _cleaned(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(item) for item in value]
    return value


def _to_us(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _from_us(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
