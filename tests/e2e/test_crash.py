"""The bot is killed under load, again and again: what the API billed and what the ledger says stay the same."""

import asyncio
import contextlib
import logging
import os
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from bot.credits.values import Entry
from sandbox.discord.messages import Interaction
from sandbox.minitoolai.script import Received, Script
from tests.e2e.accounting import books_are_right, entries, price
from tests.e2e.house import House, has_button, replies

log = logging.getLogger(__name__)

OVERRIDES = {"DEFAULT_ALLOWANCE": "unlimited", "HISTORY_TOKENS": "200"}
LIFE = 120
"""The most questions that the bot puts to the API before it is killed."""
BURST = 3
"""So many questions at once, on average."""
_NUMBER = re.compile(r"Question (\d+)\?")


@dataclass(kw_only=True)
class Storm:
    """Questions without end, numbered, and what the API heard of them."""

    house: House
    rng: random.Random
    asked: dict[int, Interaction] = field(default_factory=dict)
    heard: dict[int, list[Received]] = field(default_factory=dict)
    whole: set[int] = field(default_factory=set)
    """The keys of those whose answer was whole for its reader before the kill."""

    def answer(self, received: Received) -> Script:
        found = _NUMBER.search(received.body["messages"][-1]["content"])
        assert found is not None
        self.heard.setdefault(self.asked[int(found[1])].id, []).append(received)
        return Script(["some words "] * self.rng.randint(1, 20), chunk_delay_s=self.rng.choice((0.0, 0.002, 0.02)))

    async def rage(self) -> None:
        while True:
            number = len(self.asked)
            person = self.rng.choice((self.house.dana, self.house.noam, self.house.admin))
            self.asked[number] = await person.slash(self.house.channel, "ask", prompt=f"Question {number}?")
            if self.rng.randrange(BURST) == 0:
                await asyncio.sleep(self.rng.uniform(0, 0.06))

    @asynccontextmanager
    async def raging(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.rage(), name="storm")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def one_life(self) -> None:
        """The bot starts, finds right books, is asked, and is killed."""
        house = self.house
        async with house.process(**OVERRIDES) as process:
            await books_are_right(house)
            until = len(self.heard) + self.rng.randint(1, LIFE)
            async with self.raging(), asyncio.timeout(30):
                while len(self.heard) < until:  # noqa: ASYNC110 - the kill is to come at any moment, not at an event
                    await asyncio.sleep(self.rng.uniform(0, 0.02))
                process.kill()
                await process.wait()
        self.whole |= {each.id for each in self.asked.values() if is_whole(each)}
        await house.discord.gateway.wait_until(
            lambda: not any(session.connected for session in house.discord.gateway.sessions), 5
        )

    async def calm(self) -> None:
        """Until the API has noticed that nobody listens any more: then it knows what it bills."""
        async with asyncio.timeout(30):
            for received in self.requests():
                await received.ended.wait()

    def requests(self) -> list[Received]:
        return [received for each in self.heard.values() for received in each]


def is_whole(interaction: Interaction) -> bool:
    return any(has_button(message, "Regenerate") for message in replies(interaction))


def assert_accounted(entry: Entry, requests: list[Received]) -> None:
    """What the API billed for the question is what the ledger says, or the crash rule shows and covers it."""
    assert len(requests) <= 1, "a question was asked twice"
    billed = [price(received.billed) for received in requests if received.billed is not None]
    if entry.reason == "crashed":
        assert (entry.user_nano, entry.provider_nano) == (0, entry.held_nano)
        assert entry.estimated
        assert sum(billed) <= entry.provider_nano
    else:
        assert entry.reason == "finished"
        assert [entry.provider_nano] == billed
        assert entry.user_nano == entry.provider_nano
        assert not entry.estimated


async def weather(house: House, *, kills: int) -> None:
    seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(2**32))
    storm = Storm(house=house, rng=random.Random(seed))
    log.warning("CRASH_SEED=%d", seed)
    house.api.answer = storm.answer
    for _ in range(kills):
        await storm.one_life()
    async with house.running(**OVERRIDES):
        await books_are_right(house)
    await storm.calm()

    written = await entries(house)
    assert set(storm.heard) <= set(written), "the API was asked without a hold"
    assert set(written) <= {each.id for each in storm.asked.values()}
    for key, entry in written.items():
        assert_accounted(entry, storm.heard.get(key, []))
    reasons = Counter(entry.reason for entry in written.values())
    assert reasons["finished"] > 0
    assert reasons["crashed"] > 0
    crashed = {key for key, entry in written.items() if entry.reason == "crashed"}
    log.warning(
        "%d kills, %d questions, %d asked of the API: %s; of the crashed %d never reached it, %d were whole; "
        "billed %d nano-dollars, booked %d",
        kills,
        len(storm.asked),
        len(storm.requests()),
        dict(reasons),
        len(crashed - set(storm.heard)),
        len(crashed & storm.whole),
        sum(price(received.billed) for received in storm.requests() if received.billed is not None),
        sum(entry.provider_nano for entry in written.values()),
    )


async def test_killed_under_load_the_books_stay_right(empty_house: House) -> None:
    await weather(empty_house, kills=5)


@pytest.mark.long
async def test_killed_60_times_under_load_the_books_stay_right(empty_house: House) -> None:
    await weather(empty_house, kills=60)
