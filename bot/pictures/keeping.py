"""What is kept of people in the tables of bot/pictures/orders.py, and how it goes: in time, with a server, on request.

An order that has not ended, or whose end its message does not show yet, is left alone: it holds money, or owes words.
Every function takes an open transaction; `_some` as in bot/answers/keeping.py.
"""

from typing import Final

import orjson

from bot.privacy.values import Held, Record
from bot.storage.database import Tx, Value

_OVER: Final = "state NOT IN ('waiting', 'open', 'uploading') AND (untold IS NULL OR ended_at_us < ?)"
_UNTOLD_US: Final = 24 * 3_600 * 1_000_000
"""So long a start tells of an end: bot/pictures/service.py."""


async def held(tx: Tx, user_id: int) -> list[Held]:
    """How many orders there are of somebody, by server."""
    rows = await tx.fetch_all(
        "SELECT guild_id, COUNT(*) AS count, MIN(asked_at_us) AS since_us FROM picture_orders"
        " WHERE user_id = ? GROUP BY guild_id",
        (user_id,),
    )
    return [Held(kind="orders", **dict(row)) for row in rows]


async def export(tx: Tx, user_id: int, *, after: int, limit: int) -> list[tuple[int, Record]]:
    """The next orders of somebody above the id `after`, each with its id and its pictures."""
    rows = await tx.fetch_all(
        "SELECT * FROM picture_orders WHERE user_id = ? AND order_id > ? ORDER BY order_id LIMIT ?",
        (user_id, after, limit),
    )
    found = []
    for row in rows:
        record = {name: value for name, value in dict(row).items() if name != "interaction_token"}
        record["asked"] = orjson.loads(record["asked"]) if record["asked"] else None
        pictures = await tx.fetch_all(
            "SELECT number, state, image_url, took_ms, model, pixels, steps FROM pictures WHERE order_id = ?"
            " ORDER BY number",
            (row["order_id"],),
        )
        found.append((row["order_id"], record | {"pictures": [dict(picture) for picture in pictures]}))
    return found


async def going(tx: Tx, user_id: int, *, before_id: int) -> list[tuple[int, int]]:
    """The orders of somebody that have not ended, as (order id, channel id)."""
    rows = await tx.fetch_all(
        "SELECT order_id, channel_id FROM picture_orders WHERE user_id = ? AND order_id < ?"
        " AND state IN ('waiting', 'open', 'uploading') ORDER BY order_id",
        (user_id, before_id),
    )
    return [(row["order_id"], row["channel_id"]) for row in rows]


async def erase_some(tx: Tx, user_id: int, *, before_id: int, now_us: int, limit: int) -> int:
    """Take away the orders of somebody that are over."""
    return await _delete(tx, "user_id = ? AND order_id < ?", (user_id, before_id), now_us, limit)


async def is_left(tx: Tx, user_id: int, *, before_id: int) -> bool:
    """Whether there is any order of somebody before `before_id`."""
    row = await tx.fetch_one(
        "SELECT 1 FROM picture_orders WHERE user_id = ? AND order_id < ? LIMIT 1", (user_id, before_id)
    )
    return row is not None


async def delete_some(tx: Tx, *, before_us: int, guild_id: int | None = None, now_us: int, limit: int) -> int:
    """Take away what ended before that time, of one server or of all."""
    if guild_id is None:
        return await _delete(tx, "ended_at_us < ?", (before_us,), now_us, limit)
    return await _delete(tx, "guild_id = ? AND ended_at_us < ?", (guild_id, before_us), now_us, limit)


async def count(tx: Tx, *, before_us: int, guild_id: int) -> int:
    """How many orders of a server ended before that time."""
    row = await tx.fetch_one(
        "SELECT COUNT(*) AS count FROM picture_orders WHERE guild_id = ? AND ended_at_us < ?", (guild_id, before_us)
    )
    return int(row["count"]) if row is not None else 0


async def _delete(tx: Tx, where: str, params: tuple[Value, ...], now_us: int, limit: int) -> int:
    rows = await tx.fetch_all(
        f"SELECT order_id FROM picture_orders WHERE {where} AND {_OVER} LIMIT ?",  # noqa: S608 - this module's words
        (*params, now_us - _UNTOLD_US, limit),
    )
    for row in rows:
        await tx.execute("DELETE FROM pictures WHERE order_id = ?", (row["order_id"],))
        await tx.execute("DELETE FROM picture_orders WHERE order_id = ?", (row["order_id"],))
    return len(rows)
