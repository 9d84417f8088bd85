"""Which servers the bot has left, and when. Owns `departures`."""

from collections.abc import Collection

from bot.storage.database import Tx


async def note(tx: Tx, guild_id: int, *, at_us: int) -> None:
    """The bot is not in that server any more; the first word of it counts."""
    await tx.execute(
        "INSERT INTO departures (guild_id, left_at_us) VALUES (?, ?) ON CONFLICT (guild_id) DO NOTHING",
        (guild_id, at_us),
    )


async def forget(tx: Tx, guild_id: int) -> bool:
    """It is back, or nothing of it is left. False: it was not noted."""
    return await tx.execute("DELETE FROM departures WHERE guild_id = ?", (guild_id,)) == 1


async def is_noted(tx: Tx, guild_id: int, *, at_us: int) -> bool:
    """Whether that departure still counts: the bot has not come back since."""
    row = await tx.fetch_one("SELECT 1 FROM departures WHERE guild_id = ? AND left_at_us = ?", (guild_id, at_us))
    return row is not None


async def left_before(tx: Tx, us: int) -> list[tuple[int, int]]:
    """The servers whose grace is over, as (guild id, when it was left)."""
    rows = await tx.fetch_all(
        "SELECT guild_id, left_at_us FROM departures WHERE left_at_us <= ? ORDER BY left_at_us", (us,)
    )
    return [(row["guild_id"], row["left_at_us"]) for row in rows]


async def come_back(tx: Tx, present: Collection[int]) -> int:
    """Cancel the departure of every server that the bot is in. How many there were."""
    rows = await tx.fetch_all("SELECT guild_id FROM departures")
    back = [row["guild_id"] for row in rows if row["guild_id"] in present]
    for guild_id in back:
        await forget(tx, guild_id)
    return len(back)
