"""What the tests of money share: the ledger as the command line reads it, beside the bot or after it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

from bot.credits.check import Checked, check
from bot.credits.ledger import entry_of
from bot.credits.policy import Allowance
from bot.credits.values import Entry
from bot.guilds import Decision, Target
from bot.money import NanoDollars
from bot.storage.snapshot import snapshot
from sandbox.minitoolai.script import Tokens
from tests.e2e.deciding import KEYS, services
from tests.e2e.house import House

T = TypeVar("T")

INPUT_NANO, OUTPUT_NANO = 150, 600
"""What a token of gpt-4o-mini, the default model, costs."""
USAGE = Tokens(prompt_tokens=1_000, completion_tokens=200)
"""Less than the worst case of a short question, so that it is paid as it is."""
USED_NANO = 1_000 * INPUT_NANO + 200 * OUTPUT_NANO
LEAST_CREDITS = "0.1"
"""Pays for the shortest useful answer to a short question once, and not twice."""


def price(tokens: Tokens) -> int:
    """In nano-dollars, by the default model."""
    return tokens.prompt_tokens * INPUT_NANO + tokens.completion_tokens * OUTPUT_NANO


def database_url(house: House) -> str:
    return house.environment()["DATABASE_URL"]


async def entries(house: House) -> dict[int, Entry]:
    """Every line of the ledger, by its key."""
    async with snapshot(database_url(house)) as tx:
        return {row["entry_id"]: entry_of(row) for row in await tx.fetch_all("SELECT * FROM entries")}


async def holds(house: House) -> list[int]:
    """The keys of what is on hold."""
    async with snapshot(database_url(house)) as tx:
        return [row["request_id"] for row in await tx.fetch_all("SELECT request_id FROM holds")]


async def books_are_right(house: House) -> Checked:
    """What `ledger check` finds: no difference, and here no hold that is left open either.

    An answer is charged once it has been shown to its end, so a moment after its last edit.
    """

    async def without_holds() -> Checked | None:
        async with snapshot(database_url(house)) as tx:
            checked = await check(tx)
        assert not checked.differences
        return checked if checked.open_holds == 0 else None

    return await until(without_holds)


async def until(look: Callable[[], Awaitable[T]], *, timeout_s: float = 30.0) -> T:
    """The first true result; each look reads the database, which nobody announces changes of."""
    async with asyncio.timeout(timeout_s):
        while not (found := await look()):  # noqa: ASYNC110 - what happens in a database sets no event
            await asyncio.sleep(0.01)
        return found


async def charged(house: House, key: int | None = None) -> Entry:
    """The charge of that request, or the only one there is, once the hold has ended; the books are right then."""

    async def found() -> Entry | None:
        written = await entries(house)
        if key is not None:
            return written.get(key)
        return next(iter(written.values()), None)

    entry = await until(found)
    assert entry.entry_kind == "charge"
    await books_are_right(house)
    return entry


async def allow(house: House, target: Target, allowance: Allowance) -> None:
    """As `/quota` does it."""
    await services(house).allowances.set(house.guild.id, target, allowance, decision(house))


async def grant(house: House, user_id: int, nano: int) -> None:
    await services(house).ledger.grant(house.guild.id, user_id, NanoDollars(nano), decision(house))


async def decide(house: House, **fields: object) -> None:
    """As `/settings` does it."""
    await services(house).guilds.change(house.guild.id, lambda before: replace(before, **fields), decision(house))


def decision(house: House) -> Decision:
    return Decision(key=next(KEYS), by=house.admin.user.id, at=datetime.now(UTC), reason="a test")
