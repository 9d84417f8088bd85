"""How soon words are read, as the observer hears of it."""

import asyncio

import pytest

from bot.answers.live import Live
from bot.answers.stopwatch import Stopwatch
from bot.delivery.messages import Button
from bot.errors import DeliveryUnavailable
from bot.observer import Observer
from tests.answers.test_live import FakeSurface
from tests.delivery.virtual import run

STOP = Button(custom_id="stop", label="Stop")


def live_on(surface: FakeSurface, ages: list[float], *, max_messages: int = 4) -> Live:
    return Live(surface, max_messages=max_messages, stop=STOP, note_shown=ages.append)


def test_an_edit_tells_the_age_of_its_oldest_words():
    ages: list[float] = []

    async def play() -> None:
        async with live_on(FakeSurface(answer_s=lambda _: 0.5), ages) as live:
            live.add("one ")
            await asyncio.sleep(0.1)  # the first edit is on its way, without the second word
            live.add("two ")
            await asyncio.sleep(2.0)
            live.add("three ")
            await live.finish(footer="", buttons=())

    run(play())
    assert ages == pytest.approx([0.5, 0.9, 0.5])


def test_words_whose_edit_failed_grow_older():
    ages: list[float] = []
    faults = iter([DeliveryUnavailable()])

    async def play() -> None:
        surface = FakeSurface(answer_s=lambda _: 1.0, fault=lambda *_: next(faults, None))
        async with live_on(surface, ages) as live:
            live.add("one ")
            await asyncio.sleep(10)
            await live.finish(footer="", buttons=())

    run(play())
    assert len(ages) == 1
    assert ages[0] > 2.0


def test_an_edit_without_new_words_tells_nothing():
    ages: list[float] = []

    async def play() -> None:
        async with live_on(FakeSurface(), ages) as live:
            live.note("thinking…")
            await asyncio.sleep(1)
            await live.finish(footer="", buttons=())

    run(play())
    assert ages == []


class Heard(Observer):
    def __init__(self) -> None:
        self.first: list[float] = []
        self.ages: list[float] = []
        self.wholes: list[float] = []

    def first_words_shown(self, after_s: float) -> None:
        self.first.append(after_s)

    def words_shown(self, age_s: float) -> None:
        self.ages.append(age_s)

    def answer_whole(self, after_s: float) -> None:
        self.wholes.append(after_s)


def test_the_first_words_count_once_and_from_the_question():
    heard, now = Heard(), [1_002.0]
    stopwatch = Stopwatch(heard, asked_at=1_000.0, now=lambda: now[0])
    stopwatch.shown(0.1)
    now[0] = 1_009.0
    stopwatch.shown(0.2)
    assert (heard.first, heard.ages) == ([2.0], [0.1, 0.2])


def test_an_answer_is_whole_so_long_after_the_apis_last_word():
    heard = Heard()

    async def play() -> None:
        stopwatch = Stopwatch(heard, asked_at=0.0, now=lambda: 0.0)
        stopwatch.said()
        await asyncio.sleep(1.0)
        stopwatch.said()
        await asyncio.sleep(0.5)
        stopwatch.whole()

    run(play())
    assert heard.wholes == pytest.approx([1.5])


def test_an_answer_of_which_the_api_never_said_the_last_word_is_not_timed():
    heard = Heard()
    Stopwatch(heard, asked_at=0.0, now=lambda: 0.0).whole()
    assert heard.wholes == []
