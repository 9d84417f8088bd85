"""The progress of an order in its reply: what keeps it going, what ends it."""

import asyncio
from datetime import UTC, datetime

import aiohttp
import pytest

import bot.pictures.delivery
from bot.delivery.limits import Limiter
from bot.delivery.messages import Outgoing, Urgency
from bot.delivery.rest import ATTEMPTS, DiscordRest
from bot.money import NanoDollars
from bot.pictures.delivery import FAILURES_BORNE, Display, Progress
from bot.pictures.orders import Stored
from tests.delivery.server import ROOM, discord, problem
from tests.pictures.test_showing import an_order


async def nobody_asks(_: int) -> None:
    raise AssertionError("nothing goes to direct messages here")


def display(rest: DiscordRest) -> Display:
    order = an_order()
    asked_at = datetime.fromtimestamp(0, UTC)
    stored = Stored(order=order, state="open", image_nano=NanoDollars(1), asked_at=asked_at)
    return Display(rest, stored, now=lambda: 0.0, note_dm=nobody_asks)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bot.pictures.delivery, "BUSY_S", 0.0)


PLENTY = ROOM | {"X_RateLimit_Limit": "10000", "X_RateLimit_Remaining": "9999"}
"""Room for growth without end, so that nothing is spaced."""


async def test_a_progress_that_could_not_be_shown_once_goes_on() -> None:
    async with discord() as (server, rest):
        server.answers = [problem(503, **PLENTY)] * ATTEMPTS[Urgency.FIRST]
        shown = iter(range(1_000))
        enough = asyncio.Event()

        def render() -> Outgoing:
            if (number := next(shown)) > ATTEMPTS[Urgency.FIRST]:
                enough.set()
            return Outgoing(content=str(number))

        async with asyncio.timeout(30), Progress(display(rest), render):
            await enough.wait()
    assert server.asked[ATTEMPTS[Urgency.FIRST]].json["content"] == str(ATTEMPTS[Urgency.FIRST])


async def test_a_progress_that_can_never_be_shown_is_given_up() -> None:
    async with discord() as (server, rest):
        server.always = problem(503, **PLENTY)
        progress = Progress(display(rest), lambda: Outgoing(content="on its way"))
        async with asyncio.timeout(30), progress:
            assert progress._task is not None
            await progress._task
        assert not progress.overdue
    assert len(server.asked) == ATTEMPTS[Urgency.FIRST] + FAILURES_BORNE * ATTEMPTS[Urgency.GROWTH]


async def test_an_edit_that_failed_is_not_repeated_once_the_progress_is_to_be_quiet() -> None:
    async with discord() as (server, reachable), aiohttp.ClientSession() as session:
        server.always = problem(503, **PLENTY)
        between, go_on = asyncio.Event(), asyncio.Event()

        async def pause(_: float) -> None:
            between.set()
            await go_on.wait()

        rest = DiscordRest(reachable._api_url, "bot-token", session, Limiter(), sleep=pause)
        async with asyncio.timeout(30), Progress(display(rest), lambda: Outgoing(content="on its way")) as progress:
            await between.wait()
            quieting = asyncio.create_task(progress.quiet())
            await asyncio.sleep(0)
            go_on.set()
            await quieting
            assert not progress.overdue
    assert len(server.asked) == 1
