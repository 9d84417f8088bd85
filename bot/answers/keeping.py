"""What is kept of people in the tables of bot/answers/history.py, and how it goes: in time, with a server, on request.

Every function takes an open transaction. Those that end in `_some` take a batch away and return how many rows it was;
0 says that nothing is left. A batch is its own progress: whoever starts after a crash just goes on.
"""

from typing import Final

import orjson

from bot.answers.history import MemoryKey
from bot.privacy.values import Held, Kind, Record
from bot.storage.database import Tx, Value

EXPORTED: Final[tuple[Kind, ...]] = ("turns", "answers", "memory_modes")

_ID: Final[dict[Kind, str]] = {"turns": "question_id", "answers": "answer_id", "memory_modes": "channel_id"}
_WHO: Final[dict[Kind, str]] = {"turns": "asker_id", "answers": "asker_id", "memory_modes": "set_by"}
_WHEN: Final[dict[Kind, str]] = {"turns": "asked_at_us", "answers": "updated_at_us", "memory_modes": "set_at_us"}
_JSON: Final = ("images", "messages", "question", "ending")

# The names above are this module's own; no text from outside enters a statement.


async def held(tx: Tx, user_id: int) -> list[Held]:
    """How much there is of somebody, by kind and server."""
    found = []
    for kind in EXPORTED:
        rows = await tx.fetch_all(
            f"SELECT guild_id, COUNT(*) AS count, MIN({_WHEN[kind]}) AS since_us FROM {kind}"  # noqa: S608
            f" WHERE {_WHO[kind]} = ? GROUP BY guild_id",
            (user_id,),
        )
        found += [Held(kind=kind, **dict(row)) for row in rows]
    return found


async def export(tx: Tx, kind: Kind, user_id: int, *, after: int, limit: int) -> list[tuple[int, Record]]:
    """The next rows of somebody above the id `after`, each with its id. Tokens are nobody's to read."""
    rows = await tx.fetch_all(
        f"SELECT * FROM {kind} WHERE {_WHO[kind]} = ? AND {_ID[kind]} > ? ORDER BY {_ID[kind]} LIMIT ?",  # noqa: S608
        (user_id, after, limit),
    )
    return [(row[_ID[kind]], _record(dict(row))) for row in rows]


def _record(row: Record) -> Record:
    row.pop("interaction_token", None)
    return {name: orjson.loads(value) if name in _JSON and value is not None else value for name, value in row.items()}


async def erase_some(tx: Tx, user_id: int, *, before_id: int, stuck_before_us: int, limit: int) -> int:
    """Take away what somebody asked before `before_id`.

    An answer that is being given is left to the next time, unless it was last touched before `stuck_before_us`: then
    nobody is giving it any more.
    """
    turns = await _delete(tx, "turns", "asker_id = ? AND question_id < ?", (user_id, before_id), limit)
    answers = await _delete(
        tx,
        "answers",
        "asker_id = ? AND answer_id < ? AND (state <> 'running' OR updated_at_us < ?)",
        (user_id, before_id, stuck_before_us),
        limit,
    )
    return turns + answers


async def erase_name(tx: Tx, user_id: int, *, before_us: int) -> None:
    """How channels remember stays; who said so goes, where it was until that time."""
    await tx.execute("UPDATE memory_modes SET set_by = 0 WHERE set_by = ? AND set_at_us <= ?", (user_id, before_us))


async def is_left(tx: Tx, user_id: int, *, before_id: int) -> bool:
    """Whether there is anything that somebody asked before `before_id`."""
    row = await tx.fetch_one(
        "SELECT 1 FROM turns WHERE asker_id = ? AND question_id < ?"
        " UNION ALL SELECT 1 FROM answers WHERE asker_id = ? AND answer_id < ? LIMIT 1",
        (user_id, before_id, user_id, before_id),
    )
    return row is not None


async def delete_some(tx: Tx, *, before_us: int, guild_id: int | None = None, limit: int) -> int:
    """Take away what is older, of one server or of all. No answer is given for a day, which is the least that is kept:
    one that still counts as running then is nobody's any more."""
    where, params = _older(guild_id)
    turns = await _delete(tx, "turns", f"{where} asked_at_us < ?", (*params, before_us), limit)
    answers = await _delete(tx, "answers", f"{where} updated_at_us < ?", (*params, before_us), limit)
    return turns + answers


async def count(tx: Tx, *, before_us: int, guild_id: int) -> int:
    """How many turns of a server are older."""
    row = await tx.fetch_one(
        "SELECT COUNT(*) AS count FROM turns WHERE guild_id = ? AND asked_at_us < ?", (guild_id, before_us)
    )
    return int(row["count"]) if row is not None else 0


async def length_of(tx: Tx, key: MemoryKey) -> int:
    """How many characters the turns of a memory hold, with their files."""
    row = await tx.fetch_one(
        "SELECT SUM(LENGTH(prompt) + LENGTH(answer) + COALESCE(LENGTH(quoted), 0) + COALESCE(LENGTH(file_text), 0))"
        " AS length FROM turns WHERE channel_id = ? AND owner = ?",
        (key.channel_id, key.owner),
    )
    return int(row["length"] or 0) if row is not None else 0


async def forget_modes(tx: Tx, guild_id: int) -> None:
    """How the channels of a server remember: as where nobody chose. Before its turns go, which tell of channels whose
    choice was made before servers were written down with it."""
    await tx.execute(
        "DELETE FROM memory_modes WHERE guild_id = ?"
        " OR guild_id IS NULL AND channel_id IN (SELECT channel_id FROM turns WHERE guild_id = ?)",
        (guild_id, guild_id),
    )


def _older(guild_id: int | None) -> tuple[str, tuple[Value, ...]]:
    return ("", ()) if guild_id is None else ("guild_id = ? AND", (guild_id,))


async def _delete(tx: Tx, kind: Kind, where: str, params: tuple[Value, ...], limit: int) -> int:
    return await tx.execute(
        f"DELETE FROM {kind} WHERE {_ID[kind]} IN (SELECT {_ID[kind]} FROM {kind} WHERE {where} LIMIT ?)",  # noqa: S608
        (*params, limit),
    )
