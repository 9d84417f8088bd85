"""Who has asked to be erased and is not wholly erased yet. Owns `erasures`."""

import secrets
from dataclasses import dataclass

from bot.storage.database import Row, Tx


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What `user_id` did before the snowflake `erasure_id` is to go. `pseudonym` stands for them in the books: it is
    random, and nothing leads back from it once this row is gone."""

    user_id: int
    erasure_id: int
    asked_at_us: int
    pseudonym: int


def new_pseudonym() -> int:
    """A random number below zero: no snowflake is."""
    return -1 - secrets.randbelow((1 << 62) - 1)


async def make(tx: Tx, user_id: int, *, erasure_id: int, at_us: int) -> Wish:
    """Write the wish down. A later one of the same person takes the place of an earlier one that is not done."""
    await tx.execute(
        "INSERT INTO erasures (user_id, erasure_id, asked_at_us, pseudonym) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (user_id) DO UPDATE SET erasure_id = excluded.erasure_id, asked_at_us = excluded.asked_at_us"
        " WHERE excluded.erasure_id > erasures.erasure_id",
        (user_id, erasure_id, at_us, new_pseudonym()),
    )
    wish = await read(tx, user_id)
    assert wish is not None
    return wish


async def read(tx: Tx, user_id: int) -> Wish | None:
    """The wish of that person; None: they have none that is not done."""
    row = await tx.fetch_one("SELECT * FROM erasures WHERE user_id = ?", (user_id,))
    return None if row is None else _wish(row)


async def read_all(tx: Tx) -> list[Wish]:
    """Every wish that is not done, the oldest first."""
    return [_wish(row) for row in await tx.fetch_all("SELECT * FROM erasures ORDER BY erasure_id")]


async def done(tx: Tx, wish: Wish) -> None:
    """Nothing is left to erase; a later wish of the same person stays."""
    await tx.execute("DELETE FROM erasures WHERE user_id = ? AND erasure_id = ?", (wish.user_id, wish.erasure_id))


def _wish(row: Row) -> Wish:
    return Wish(**dict(row))
