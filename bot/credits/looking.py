"""One person's account, read from the file: for who stands beside the bot and may not take part."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot.credits.ledger import read_standing
from bot.credits.policy import OperatorLimits
from bot.credits.reports import recent_entries
from bot.credits.values import Entry, Standing
from bot.storage.snapshot import snapshot

ENTRIES: Final = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """An account as it stands, and its newest entries, the newest first."""

    standing: Standing
    entries: tuple[Entry, ...]


async def look(
    url: str, scope_id: int, user_id: int, role_ids: Collection[int], *, at: datetime, limits: OperatorLimits
) -> Account:
    """The account in one state of the database at `url`. Neither locks nor writes.

    Raises:
        SettingsError, StorageError: what `snapshot` raises.
    """
    async with snapshot(url) as tx:
        return Account(
            standing=await read_standing(tx, scope_id, user_id, role_ids, at=at, limits=limits),
            entries=await recent_entries(tx, scope_id, user_id, ENTRIES),
        )
