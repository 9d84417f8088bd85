"""Everything about one person as JSON, page by page: whoever has written a lot costs no more memory than a part."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Final

import orjson

from bot import drafts, guilds
from bot.answers import keeping as answers
from bot.credits import allowances
from bot.credits import keeping as books
from bot.pictures import keeping as orders
from bot.privacy import wishes
from bot.privacy.values import Record
from bot.storage.database import Database, Tx

PAGE: Final = 50
"""Rows that are read at a time."""

Page = Callable[..., Awaitable[list[tuple[int, Record]]]]

_PAGED: Final[dict[str, Page]] = {
    "turns": partial(answers.export, kind="turns"),
    "answers": partial(answers.export, kind="answers"),
    "memory_modes": partial(answers.export, kind="memory_modes"),
    "picture_orders": orders.export,
    "entries": books.export,
    "policy_log": guilds.decisions,
}
_NOTE: Final = (
    "Everything this bot has stored about you, one record for each row of its database. Times ending in _us are"
    " microseconds since 1970 in UTC, amounts ending in _nano are billionths of a dollar. Left out are the tokens with"
    " which the bot answers Discord: they are no use after 15 minutes, and dangerous before."
)


async def records(database: Database, user_id: int) -> AsyncIterator[Record]:
    """Each row that is about somebody, with the name of its table under `table`.

    What is written or erased while it runs may be missing.

    Raises:
        StorageError.
    """
    small = {"accounts": books.accounts, "allowances": allowances.export, "drafts": drafts.export, "erasures": _wishes}
    for table, read in small.items():
        for record in await database.read(partial(read, user_id=user_id)):
            yield {"table": table, **record}
    for table, page in _PAGED.items():
        after = -1
        while found := await database.read(partial(page, user_id=user_id, after=after, limit=PAGE)):
            for _, record in found:
                yield {"table": table, **record}
            after = found[-1][0]


async def parts(database: Database, user_id: int, *, at: datetime, part_bytes: int) -> AsyncIterator[bytes]:
    """The records as JSON documents of at most `part_bytes` each, one after the other; at least one.

    A record that is larger than that alone is cut out and named: none is lost without a word.
    """
    number, lines = 1, list[bytes]()
    room = part_bytes - _FRAME_BYTES
    size = 0
    async for record in records(database, user_id):
        line = orjson.dumps(record)
        if len(line) > room:
            line = orjson.dumps({"table": record["table"], "left_out": f"{len(line)} bytes, too large for a file"})
        if lines and size + len(line) + 2 > room:
            yield _document(user_id, at, number, lines)
            number, lines, size = number + 1, [], 0
        lines.append(line)
        size += len(line) + 2
    yield _document(user_id, at, number, lines)


_FRAME_BYTES: Final = 1_000
"""More than what stands around the records."""


def _document(user_id: int, at: datetime, number: int, lines: list[bytes]) -> bytes:
    head = orjson.dumps({"about": _NOTE, "user_id": str(user_id), "made_at": at.isoformat(), "part": number})
    return head[:-1] + b',"records":[\n' + b",\n".join(lines) + b"\n]}\n"


async def _wishes(tx: Tx, user_id: int) -> list[Record]:
    wish = await wishes.read(tx, user_id)
    return [] if wish is None else [{"erasure_id": wish.erasure_id, "asked_at_us": wish.asked_at_us}]
