"""What the rooms of the house tell about what they keep of people: values, without I/O."""

from dataclasses import dataclass
from typing import Any, Final, Literal

Kind = Literal["turns", "answers", "orders", "drafts", "memory_modes", "entries", "allowances", "decisions"]
Record = dict[str, Any]
"""A row as it is exported: its columns by name, without the keys that only machines can use."""

BATCH: Final = 25
"""Rows that one transaction takes away: a turn may carry a file of 200,000 characters, whose pages are overwritten."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """How much of a kind is kept of somebody in a server, or None: elsewhere, and since when.

    `since_us` is in microseconds since 1970, None where the kind has no time.
    """

    kind: Kind
    guild_id: int | None
    count: int
    since_us: int | None
