"""What an open form stands on, for as long as Discord lets a form be answered with it. Owns `drafts`.

Discord keeps what people type in a form and gives it back with the submit; what the form is about, it does not. So that
is on disk, under the id of the interaction that opened the form or was answered with a way back to it: the process may
have been started anew by the time somebody has typed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

from bot.privacy.values import Held, Record
from bot.storage.database import Database, Tx, Value
from bot.storage.errors import StorageBusy

Kind = Literal["question", "picture"]

LIFE_S: Final = 15 * 60
"""How long a draft can be read: as long as an interaction's token lives."""
PATIENCE_S: Final = 1.0
"""How long the database may take to read or write one: Discord gives three seconds until the acknowledgement."""
PER_PERSON: Final = 20
"""How many of one person are kept, the newest: more forms than that nobody has open."""
BODY_LIMIT: Final = 200_000
"""Bytes of a body. A message's text with its embeds and forwards, or the five fields of a form, are a tenth of it."""
_OLD_AT_ONCE: Final = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """`id` is an interaction's snowflake, `guild_id` None outside of servers. `body` is what JSON can hold."""

    id: int
    user_id: int
    guild_id: int | None
    kind: Kind
    body: dict[str, Any] = field(repr=False)


class Drafts:
    """One for each process. `now` gives unix seconds by Discord's clock."""

    def __init__(self, database: Database, *, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def keep(self, draft: Draft) -> None:
        """Write it down. The same one again stays as it was first.

        Raises:
            StorageError: it was not written down, at the latest after PATIENCE_S.
            ValueError: its body is over BODY_LIMIT.
        """
        body = orjson.dumps(draft.body)
        if len(body) > BODY_LIMIT:
            raise ValueError(f"a draft of {len(body)} bytes")
        at_us = int(self._now() * 1_000_000)
        async with _in_time():
            await self._database.write(lambda tx: _keep(tx, draft, body.decode(), at_us=at_us), timeout_s=PATIENCE_S)

    async def get(self, draft_id: int, kind: Kind, *, user_id: int) -> dict[str, Any] | None:
        """The body of that person's draft; None where there is no such one, of that kind, of theirs, that still counts.

        Raises:
            StorageError: it was not read, at the latest after PATIENCE_S.
        """
        since_us = int((self._now() - LIFE_S) * 1_000_000)

        async def read(tx: Tx) -> str | None:
            row = await tx.fetch_one(
                "SELECT body FROM drafts WHERE draft_id = ? AND user_id = ? AND kind = ? AND made_at_us > ?",
                (draft_id, user_id, kind, since_us),
            )
            return None if row is None else str(row["body"])

        async with _in_time():
            body = await self._database.read(read)
        return None if body is None else orjson.loads(body)


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield
    except TimeoutError as error:
        raise StorageBusy("a draft was not read or written in time") from error


async def _keep(tx: Tx, draft: Draft, body: str, *, at_us: int) -> None:
    """And take away what nobody reads any more: that person's beyond the newest, and some of what is too old."""
    await tx.execute(
        "INSERT INTO drafts (draft_id, user_id, guild_id, kind, made_at_us, body) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (draft_id) DO NOTHING",
        (draft.id, draft.user_id, draft.guild_id, draft.kind, at_us, body),
    )
    await tx.execute(
        "DELETE FROM drafts WHERE user_id = ? AND draft_id NOT IN"
        " (SELECT draft_id FROM drafts WHERE user_id = ? ORDER BY draft_id DESC LIMIT ?)",
        (draft.user_id, draft.user_id, PER_PERSON),
    )
    await delete_some(tx, before_us=at_us - LIFE_S * 1_000_000, limit=_OLD_AT_ONCE)


# What is kept of people, and how it goes: in time, with a server, on request. As in bot/answers/keeping.py.


async def held(tx: Tx, user_id: int) -> list[Held]:
    """How many drafts there are of somebody, by server."""
    rows = await tx.fetch_all(
        "SELECT guild_id, COUNT(*) AS count, MIN(made_at_us) AS since_us FROM drafts WHERE user_id = ?"
        " GROUP BY guild_id",
        (user_id,),
    )
    return [Held(kind="drafts", **dict(row)) for row in rows]


async def export(tx: Tx, user_id: int) -> list[Record]:
    """The drafts of somebody: at most PER_PERSON."""
    rows = await tx.fetch_all("SELECT * FROM drafts WHERE user_id = ? ORDER BY draft_id", (user_id,))
    return [dict(row) | {"body": orjson.loads(row["body"])} for row in rows]


async def erase(tx: Tx, user_id: int, *, before_id: int) -> None:
    """Take away the drafts that somebody made before `before_id`."""
    await tx.execute("DELETE FROM drafts WHERE user_id = ? AND draft_id < ?", (user_id, before_id))


async def delete_some(tx: Tx, *, before_us: int, guild_id: int | None = None, limit: int) -> int:
    """Take away what is older, of one server or of all; how many rows that was."""
    where = "" if guild_id is None else "guild_id = ? AND "
    params: tuple[Value, ...] = () if guild_id is None else (guild_id,)
    return await tx.execute(
        f"DELETE FROM drafts WHERE draft_id IN (SELECT draft_id FROM drafts WHERE {where}made_at_us <= ? LIMIT ?)",  # noqa: S608 - this module's words
        (*params, before_us, limit),
    )
