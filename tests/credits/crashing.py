"""A process that holds and settles as fast as it can, until it is killed: `python -m tests.credits.crashing`.

It prints `charged <key> <nano>` when the API has been paid for a request, and `ended <key>` once the ledger says that
its hold has ended. Arguments: the database's URL, the name of the run, the first key.
"""

import asyncio
import os
import random
import sys
from datetime import UTC, datetime

from bot.credits.policy import UNLIMITED
from bot.storage.database import Database
from tests.credits.books import Books, consumed, limits, request

CALLERS = 16
KEYS_PER_CALLER = 1_000_000


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # at once and whole: nothing of it is lost in a buffer by the kill


async def call(books: Books, first_key: int, user_id: int) -> None:
    for key in range(first_key, first_key + KEYS_PER_CALLER):
        await books.ledger.hold(request(key, 500, user_id=user_id, at=datetime.now(UTC)))
        nano = random.randrange(1, 600)
        say(f"charged {key} {nano}")
        await asyncio.sleep(0)
        await books.ledger.end(key, "finished", consumed(nano), at=datetime.now(UTC))
        say(f"ended {key}")


async def main(url: str, run: str, first_key: int) -> None:
    async with Database.open(url) as database:
        books = Books(database, operator=limits(member=UNLIMITED), run=run)
        await books.ledger.resolve_crashed(at=datetime.now(UTC))
        async with asyncio.TaskGroup() as callers:
            for number in range(CALLERS):
                callers.create_task(call(books, first_key + number * KEYS_PER_CALLER, number % 5 + 1))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
