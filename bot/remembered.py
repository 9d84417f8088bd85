"""Small things that a process wants to know of the one before it, by name. Owns `remembered`."""

from bot.storage.database import Database, Tx


class Remembered:
    """Texts by name, each of at most some kilobytes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, name: str) -> str | None:
        """What was put there last; None where nothing was. Raises StorageError."""

        async def read(tx: Tx) -> str | None:
            row = await tx.fetch_one("SELECT value FROM remembered WHERE name = ?", (name,))
            return None if row is None else str(row["value"])

        return await self._database.read(read)

    async def put(self, name: str, value: str) -> None:
        """Keep `value` in place of what was there. Raises StorageError."""

        async def write(tx: Tx) -> None:
            await tx.execute(
                "INSERT INTO remembered (name, value) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, value),
            )

        await self._database.write(write)
