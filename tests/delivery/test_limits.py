"""No schedule is ever answered by a 429, growth is even, the end never queues."""

import asyncio
import gc
import itertools
import random
import weakref
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.delivery.limits import (
    CREATE,
    CREATIONS_LIMIT,
    CREATIONS_WINDOW_S,
    EDIT,
    GLOBAL_LIMIT,
    GROWTH_LIMIT,
    GROWTH_WINDOW_S,
    LEARNED_AT_MOST,
    SWEEP_EVERY,
    WEBHOOK,
    Bucket,
    Limiter,
    RateHeaders,
    Route,
    SlidingRate,
)
from bot.delivery.messages import Urgency
from tests.delivery.virtual import FakeBucket, FakeDiscord, run

FINAL, FIRST, GROWTH = Urgency.FINAL, Urgency.FIRST, Urgency.GROWTH


def webhook(name: str = "PATCH original", token: str = "t", creates_in: int | None = None) -> Route:
    return Route(name=name, family=WEBHOOK, major=token, bot=False, creates_in=creates_in)


class Marker:
    """Something that a bucket knows a request by, and that can be watched."""


def channel_edit(channel: int = 1) -> Route:
    return Route(name="PATCH message", family=EDIT, major=str(channel), bot=True)


def jitter(low: float, high: float, seed: int = 0) -> Iterator[float]:
    dice = random.Random(seed)
    while True:
        yield dice.uniform(low, high)


def told(remaining: int, reset_after_s: float, *, limit: int = 5, reset_id: float | None = None) -> RateHeaders:
    return RateHeaders(limit=limit, remaining=remaining, reset_after_s=reset_after_s, reset_id=reset_id)


async def writer(discord: FakeDiscord, route: Route, pauses: list[float], finals: int) -> None:
    """One answer: its first words, growth after each pause, and its end."""
    await discord.request(route, FIRST)
    for pause in pauses:
        await asyncio.sleep(pause)
        await discord.request(route, GROWTH)
    for _ in range(finals):
        await discord.request(route, FINAL)


@settings(max_examples=300, deadline=None)
@given(
    limit=st.integers(1, 10),
    window_s=st.floats(0.5, 10),
    slow=st.floats(0.0, 3.0),
    seed=st.integers(0, 2**16),
    answers=st.lists(
        st.tuples(st.floats(0, 5), st.lists(st.sampled_from([0.0, 0.1, 0.7, 3.0]), max_size=8), st.integers(1, 4)),
        min_size=1,
        max_size=6,
    ),
    loses=st.booleans(),
    routes=st.integers(1, 3),
)
def test_no_schedule_of_writes_is_answered_by_a_429(
    limit: int,
    window_s: float,
    slow: float,
    seed: int,
    answers: list[tuple[float, list[float], int]],
    loses: bool,
    routes: int,
) -> None:
    async def main() -> FakeDiscord:
        bucket = FakeBucket(limit=limit, window_s=window_s, name="b")
        dice = random.Random(seed)
        discord = FakeDiscord(
            limiter=Limiter(),
            bucket_of=lambda _: bucket,
            latency=jitter(0.0, slow, seed),
        )
        await writer(discord, webhook(), [], 0)  # the first answer teaches what the limits are
        discord.lose = lambda: loses and dice.random() < 0.2
        async with asyncio.TaskGroup() as tasks:
            for number, (start, pauses, finals) in enumerate(answers):
                route = webhook(name=f"route {number % routes}")
                tasks.create_task(_later(start, writer(discord, route, pauses, finals)))
        return discord

    discord = run(main())
    assert set(discord.statuses) == {200}


async def _later(delay: float, work: "asyncio.Future[None] | object") -> None:
    await asyncio.sleep(delay)
    await work  # type: ignore[misc]


def _stream(latency: Iterator[float], seconds: float, *, limit: int = 5, window_s: float = 2.0) -> FakeDiscord:
    """One answer that always has something new to show."""

    async def main() -> FakeDiscord:
        bucket = FakeBucket(limit=limit, window_s=window_s, name="b")
        discord = FakeDiscord(limiter=Limiter(), bucket_of=lambda _: bucket, latency=latency)
        end = asyncio.get_running_loop().time() + seconds
        await discord.request(webhook(), FIRST)
        while asyncio.get_running_loop().time() < end:
            await discord.request(webhook(), GROWTH)
        return discord

    return run(main())


def test_growth_is_evenly_spaced() -> None:
    discord = _stream(itertools.repeat(0.03), 60)
    times = [time for time, _ in discord.arrivals]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert max(gaps) - min(gaps) < 0.05
    assert set(discord.statuses) == {200}


def test_the_oldest_unseen_text_is_at_most_three_tenths_of_a_second_old_on_average() -> None:
    times = [time for time, _ in _stream(jitter(0.005, 0.03), 60).arrivals]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    average = sum(gap * gap / 2 for gap in gaps) / sum(gaps)
    assert average <= 0.3


def test_growth_leaves_the_last_request_of_every_window() -> None:
    async def main() -> int:
        bucket = FakeBucket(limit=5, window_s=2.0, name="b")
        discord = FakeDiscord(limiter=Limiter(), bucket_of=lambda _: bucket, latency=jitter(0, 0.6))
        await asyncio.gather(*(writer(discord, webhook(), [0.0] * 20, 0) for _ in range(4)))
        return bucket.most_used

    assert run(main()) == 4


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**16), growths=st.integers(0, 30), slow=st.floats(0.0, 0.4))
def test_the_end_does_not_wait_for_a_window(seed: int, growths: int, slow: float) -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        bucket = FakeBucket(limit=5, window_s=2.0, name="b")
        discord = FakeDiscord(limiter=Limiter(), bucket_of=lambda _: bucket, latency=jitter(0, slow, seed))
        await writer(discord, webhook(), [0.0] * growths, 0)
        waiting = asyncio.create_task(discord.request(webhook(), GROWTH))
        await asyncio.sleep(0)
        asked = loop.time()
        granted: list[float] = []
        await discord.request(webhook(), FINAL, lambda: granted.append(loop.time()))
        await waiting
        return granted[0] - asked

    assert run(main()) == 0.0


def test_ten_answers_that_share_a_channel_take_turns() -> None:
    async def main() -> tuple[list[int], FakeDiscord]:
        loop = asyncio.get_running_loop()
        bucket = FakeBucket(limit=5, window_s=5.0, name="b")
        discord = FakeDiscord(limiter=Limiter(), bucket_of=lambda _: bucket, latency=jitter(0.01, 0.2))
        edits = [0] * 10
        end = loop.time() + 120

        async def grow(number: int) -> None:
            while loop.time() < end:
                await discord.request(channel_edit(), GROWTH)
                edits[number] += 1

        await asyncio.gather(*(grow(number) for number in range(10)))
        return edits, discord

    edits, discord = run(main())
    assert max(edits) - min(edits) <= 1
    assert sum(edits) > 90
    assert set(discord.statuses) == {200}


def test_who_waits_is_served_final_first_growth() -> None:
    async def main() -> list[str]:
        bucket = FakeBucket(limit=2, window_s=2.0, name="b")
        discord = FakeDiscord(limiter=Limiter(), bucket_of=lambda _: bucket, latency=itertools.repeat(0.01))
        for _ in range(2):
            await discord.request(webhook(), FINAL)
        served: list[str] = []
        async with asyncio.TaskGroup() as tasks:
            for urgency in (GROWTH, FIRST, FINAL):
                name = urgency.name
                tasks.create_task(discord.request(webhook(), urgency, lambda name=name: served.append(name)))  # type: ignore[misc]
        return served

    assert run(main()) == ["FINAL", "FIRST", "GROWTH"]


def test_a_cancelled_waiter_leaves_no_trace() -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()

        async def third_growth(*, cancel_one: bool) -> float:
            bucket = FakeBucket(limit=5, window_s=2.0, name="b")
            discord = FakeDiscord(limiter=Limiter(), bucket_of=lambda _: bucket, latency=itertools.repeat(0.01))
            begun = loop.time()
            await discord.request(webhook(), FIRST)
            await discord.request(webhook(), GROWTH)
            if cancel_one:
                waiter = asyncio.create_task(discord.limiter.acquire(webhook(), GROWTH))
                await asyncio.sleep(0.1)
                waiter.cancel()
                await asyncio.wait([waiter])
            return await discord.request(webhook(), GROWTH) - begun

        return await third_growth(cancel_one=False), await third_growth(cancel_one=True)

    plain, after_cancelling = run(main())
    assert after_cancelling == pytest.approx(plain, abs=0.001)  # headers are rounded to milliseconds


def test_a_permit_that_was_not_used_leaves_no_trace() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        limiter = Limiter()
        begun = loop.time()
        for _ in range(20):
            (await limiter.acquire(channel_edit(), GROWTH)).unsent()
        return loop.time() - begun

    assert run(main()) == 0.0


def test_the_bot_sends_fewer_than_fifty_requests_in_any_second() -> None:
    async def main() -> list[float]:
        buckets: dict[str, FakeBucket] = {}
        discord = FakeDiscord(
            limiter=Limiter(),
            bucket_of=lambda route: buckets.setdefault(route.major, FakeBucket(5, 5.0, "b")),
            latency=jitter(0.01, 0.4),
        )
        await asyncio.gather(*(discord.request(channel_edit(number), FIRST) for number in range(200)))
        return sorted(time for time, _ in discord.arrivals)

    times = run(main())
    assert all(later - earlier >= 1.0 for earlier, later in zip(times, times[GLOBAL_LIMIT:], strict=False))


def test_growth_of_many_answers_takes_turns_and_nothing_else_waits_for_it() -> None:
    async def main() -> tuple[list[float], float]:
        loop = asyncio.get_running_loop()
        limiter, begun = Limiter(), loop.time()
        passed: list[float] = []

        async def grow(number: int) -> None:
            permit = await limiter.acquire(webhook(token=str(number)), GROWTH)
            passed.append(loop.time() - begun)
            await asyncio.sleep(0.3)
            permit.lost()

        growing = [asyncio.create_task(grow(number)) for number in range(3 * GROWTH_LIMIT)]
        await asyncio.sleep(0)
        for urgency in (FIRST, FINAL):
            await limiter.acquire(webhook(token=urgency.name), urgency)
        waited = loop.time() - begun
        await asyncio.gather(*growing)
        return passed, waited

    passed, waited = run(main())
    assert waited == 0.0
    round_s = 0.3 + GROWTH_WINDOW_S
    assert passed == pytest.approx([number // GROWTH_LIMIT * round_s for number in range(3 * GROWTH_LIMIT)])


def test_interactions_do_not_count_towards_the_global_limit() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        limiter, begun = Limiter(), loop.time()
        for number in range(200):
            await limiter.acquire(webhook(token=str(number)), FIRST)
        return loop.time() - begun

    assert run(main()) == 0.0


def test_webhooks_create_at_most_their_share_of_messages_in_a_channel() -> None:
    async def main() -> list[float]:
        discord = FakeDiscord(
            limiter=Limiter(), bucket_of=lambda route: FakeBucket(5, 2.0, route.major), latency=jitter(0.01, 0.3)
        )
        routes = [webhook("POST followup", str(number), creates_in=7) for number in range(40)]

        async def create(route: Route) -> None:
            try:
                permit = await discord.limiter.acquire(route, FIRST, creation_patience_s=90)
            except TimeoutError:
                return
            await discord.travel(permit)

        await asyncio.gather(*(create(route) for route in routes))
        return sorted(time for time, _ in discord.arrivals)

    times = run(main())
    assert len(times) > CREATIONS_LIMIT
    window = CREATIONS_WINDOW_S
    assert all(later - earlier >= window for earlier, later in zip(times, times[CREATIONS_LIMIT:], strict=False))


def test_a_creation_that_would_wait_beyond_its_patience_is_refused_at_once() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        limiter = Limiter()
        for number in range(CREATIONS_LIMIT):
            permit = await limiter.acquire(webhook("POST followup", str(number), creates_in=7), FIRST)
            permit.answered({})
        asked = loop.time()
        with pytest.raises(TimeoutError):
            await limiter.acquire(webhook("POST followup", "late", creates_in=7), FIRST, creation_patience_s=5)
        await limiter.acquire(webhook("POST followup", "elsewhere", creates_in=8), FIRST, creation_patience_s=5)
        return loop.time() - asked

    assert run(main()) == 0.0


def test_routes_that_turn_out_to_share_a_bucket_share_its_window() -> None:
    async def main() -> FakeDiscord:
        bucket = FakeBucket(limit=4, window_s=3.0, name="shared")
        discord = FakeDiscord(limiter=Limiter(), bucket_of=lambda _: bucket, latency=jitter(0.0, 0.2))
        edit, create = channel_edit(1), Route(name="POST message", family=CREATE, major="1", bot=True)
        await discord.request(edit, FIRST)
        await discord.request(create, FIRST)
        await asyncio.gather(*(discord.request(route, FINAL) for route in (edit, create) * 10))
        return discord

    assert set(run(main()).statuses) == {200}


def test_routes_that_turn_out_to_have_buckets_of_their_own_do_not_wait_for_each_other() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        buckets = {name: FakeBucket(limit=2, window_s=60.0, name=name) for name in ("a", "b")}
        discord = FakeDiscord(
            limiter=Limiter(), bucket_of=lambda route: buckets[route.name], latency=itertools.repeat(0.01)
        )
        await discord.request(webhook("a"), FINAL)
        await discord.request(webhook("b"), FINAL)
        await discord.request(webhook("a"), FINAL)
        asked = loop.time()
        await discord.request(webhook("b"), FINAL)
        return loop.time() - asked

    assert run(main()) < 1


def test_a_limit_that_changes_is_followed() -> None:
    async def main() -> FakeDiscord:
        bucket = FakeBucket(limit=8, window_s=2.0, name="b")
        discord = FakeDiscord(limiter=Limiter(), bucket_of=lambda _: bucket, latency=itertools.repeat(0.02))
        await writer(discord, webhook(), [0.0] * 20, 1)
        bucket.limit, bucket.window_s = 3, 4.0
        await asyncio.sleep(5)
        await writer(discord, webhook(), [0.0] * 20, 1)
        return discord

    assert set(run(main()).statuses) == {200}


def test_what_one_interaction_taught_holds_for_the_next() -> None:
    async def main() -> set[int]:
        buckets: dict[str, FakeBucket] = {}
        discord = FakeDiscord(
            limiter=Limiter(),
            bucket_of=lambda route: buckets.setdefault(route.major, FakeBucket(3, 2.0, "b")),
            latency=itertools.repeat(0.1),
        )
        await discord.request(webhook(token="one"), FIRST)
        await asyncio.gather(*(discord.request(webhook(token="two"), FINAL) for _ in range(6)))
        return set(discord.statuses)

    assert run(main()) == {200}


def test_a_429_is_obeyed() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        limiter = Limiter()
        permit = await limiter.acquire(channel_edit(), FINAL)
        permit.refused({"X-RateLimit-Scope": "user"}, retry_after_s=7.5, everywhere=False)
        begun = loop.time()
        await limiter.acquire(channel_edit(2), FINAL)
        assert loop.time() == begun
        await limiter.acquire(channel_edit(), FINAL)
        return loop.time() - begun

    assert run(main()) >= 7.5


def test_a_global_429_stops_all_the_bots_own_routes_and_no_interaction() -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        limiter = Limiter()
        permit = await limiter.acquire(channel_edit(), FINAL)
        permit.refused({}, retry_after_s=3.0, everywhere=True)
        begun = loop.time()
        await limiter.acquire(webhook(), FINAL)
        interaction = loop.time() - begun
        await limiter.acquire(channel_edit(2), FINAL)
        return interaction, loop.time() - begun

    interaction, channel = run(main())
    assert interaction == 0.0
    assert channel >= 3.0


def test_buckets_of_finished_interactions_are_forgotten() -> None:
    async def main() -> int:
        limiter = Limiter()
        for number in range(SWEEP_EVERY * 4):
            permit = await limiter.acquire(webhook(token=str(number)), FIRST)
            permit.answered(FakeBucket(5, 2.0, "b").arrive(0.0)[1])
            await asyncio.sleep(0.1)
        return limiter.size

    assert run(main()) < SWEEP_EVERY * 4


def test_the_edge_of_a_window_is_where_the_headers_put_it() -> None:
    bucket = Bucket(limit=5, window_s=2.0)
    bucket.take("a", FIRST, 0.0)
    bucket.answered("a", told(0, 1.5, reset_id=9.0), 0.5)
    assert 2.0 < bucket.ready_at(FINAL, 0.6) < 2.05


def test_an_answer_that_was_overtaken_does_not_open_the_window_again() -> None:
    bucket = Bucket(limit=5, window_s=2.0, known=True)
    for token in "ab":
        bucket.take(token, FINAL, 0.0)
    bucket.answered("b", told(0, 2.0, reset_id=9.0), 0.3)
    bucket.answered("a", told(1, 2.0, reset_id=9.0), 0.4)
    assert bucket.ready_at(FINAL, 0.5) > 2.0


def test_a_request_on_its_way_counts_in_the_window_in_which_it_may_arrive() -> None:
    bucket = Bucket(limit=2, window_s=2.0, known=True)
    bucket.take("a", FINAL, 0.0)
    bucket.answered("a", told(1, 2.0, limit=2, reset_id=9.0), 0.0)
    bucket.take("late", FINAL, 1.9)
    bucket.take("b", FINAL, 2.1)
    assert bucket.ready_at(FINAL, 2.2) == float("inf")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-RateLimit-Limit": "5"},
        {"X-RateLimit-Limit": "x", "X-RateLimit-Remaining": "1", "X-RateLimit-Reset-After": "1"},
        {"X-RateLimit-Limit": "0", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "1"},
        {"X-RateLimit-Limit": "5", "X-RateLimit-Remaining": "4", "X-RateLimit-Reset-After": "nan"},
    ],
)
def test_headers_that_make_no_sense_are_not_believed(headers: dict[str, str]) -> None:
    assert RateHeaders.read(headers) is None


def test_an_answer_from_an_earlier_window_says_nothing_about_this_one() -> None:
    bucket = Bucket(limit=5, window_s=2.0, known=True)
    for token in "ab":
        bucket.take(token, FINAL, 0.0)
    bucket.answered("b", told(4, 2.0, reset_id=11.0), 0.3)
    bucket.answered("a", told(0, 0.1, reset_id=9.0), 0.4)
    assert bucket.ready_at(FINAL, 0.5) == 0.5


def test_what_flies_on_a_route_moves_with_it_to_its_own_bucket() -> None:
    presumed, own = Bucket(limit=5, window_s=2.0), Bucket(limit=1, window_s=2.0, known=True)
    presumed.take("a", FINAL, 0.0)
    presumed.hand_over(own, {"a"})
    assert presumed.idle(10.0)
    assert own.ready_at(FINAL, 0.1) == float("inf")


def test_a_bucket_forgets_what_moved_to_another() -> None:
    presumed, own = Bucket(limit=5, window_s=2.0), Bucket(limit=5, window_s=2.0, known=True)
    permits = [Marker() for _ in range(3)]
    remembered = [weakref.ref(permit) for permit in permits]
    for permit, urgency in zip(permits, (FIRST, GROWTH, FINAL), strict=True):
        presumed.take(permit, urgency, 0.0)
    presumed.hand_over(own, set(permits))
    while permits:
        own.answered(permits.pop(), None, 0.1)
    del permit
    gc.collect()
    assert [reference() for reference in remembered] == [None, None, None]


def test_those_who_wait_move_with_their_route_to_its_own_bucket() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        buckets = {"a": FakeBucket(2, 60.0, "a"), "b": FakeBucket(5, 2.0, "b")}
        discord = FakeDiscord(
            limiter=Limiter(), bucket_of=lambda route: buckets[route.name], latency=itertools.repeat(0.01)
        )
        await discord.request(webhook("a"), FINAL)
        begun = loop.time()
        await asyncio.gather(*(discord.request(webhook(name), FINAL) for name in "bab"))
        return loop.time() - begun

    assert run(main()) < 1


def test_a_limit_below_what_is_presumed_is_learned_by_one_request() -> None:
    async def main() -> set[int]:
        bucket = FakeBucket(limit=2, window_s=2.0, name="b")
        discord = FakeDiscord(limiter=Limiter(), bucket_of=lambda _: bucket, latency=itertools.repeat(0.1))
        await asyncio.gather(*(discord.request(webhook(), FIRST) for _ in range(4)))
        return set(discord.statuses)

    assert run(main()) == {200}


def headers(bucket: str, *, limit: int = 5, remaining: int = 4, reset_after_s: float = 2.0) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset-After": str(reset_after_s),
        "X-RateLimit-Bucket": bucket,
    }


def test_a_request_that_lands_twice_counts_once() -> None:
    rate = SlidingRate(limit=2, window_s=10.0)
    rate.take("a", FIRST, 0.0)
    rate.landed("a", 1.0)
    rate.landed("a", 2.0)
    assert rate.ready_at(FIRST, 3.0) == 3.0
    rate.take("b", FIRST, 3.0)
    assert rate.ready_at(FIRST, 3.0) == 11.0


def test_what_has_been_sent_cannot_be_called_unsent_any_more() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        limiter = Limiter()
        (await limiter.acquire(webhook(), FINAL)).answered(headers("b", limit=1, remaining=0))
        permit = await limiter.acquire(webhook(), FINAL)
        sent_at = loop.time()
        permit.lost()
        permit.unsent()
        await limiter.acquire(webhook(), FINAL)
        return loop.time() - sent_at

    assert run(main()) >= 2.0


def test_a_429_that_all_webhooks_of_a_channel_share_stops_their_messages_there_and_nothing_else() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        limiter = Limiter()
        permit = await limiter.acquire(webhook("POST followup", "one", creates_in=7), FINAL)
        permit.refused({"X-RateLimit-Scope": "shared"}, retry_after_s=7.5, everywhere=False)
        begun, passed = loop.time(), []
        for route in (
            webhook("PATCH original", "one"),
            webhook("POST followup", "two", creates_in=8),
            webhook("POST followup", "three", creates_in=7),
        ):
            await limiter.acquire(route, FINAL)
            passed.append(loop.time() - begun)
        return passed

    same_token, elsewhere, there = run(main())
    assert (same_token, elsewhere) == (0.0, 0.0)
    assert there >= 7.5


def test_of_too_many_buckets_the_one_learned_first_is_forgotten() -> None:
    """Of a bucket that is not known only one request flies at a time."""

    async def main() -> list[bool]:
        limiter = Limiter()
        for number in range(LEARNED_AT_MOST + 1):
            permit = await limiter.acquire(webhook(f"route {number}", "one"), FIRST)
            permit.answered(headers(f"bucket {number}"))
        known = []
        for number in (0, 1, LEARNED_AT_MOST):
            route = webhook(f"route {number}", f"next {number}")
            await limiter.acquire(route, FIRST)
            try:
                await limiter.acquire(route, FINAL, patience_s=0.0)
                await limiter.acquire(route, FIRST, patience_s=0.0)
            except TimeoutError:
                known.append(False)
            else:
                known.append(True)
        return known

    assert run(main()) == [False, True, True]


def test_channels_in_which_nothing_was_created_lately_are_forgotten() -> None:
    async def main() -> tuple[int, int]:
        limiter = Limiter()
        for channel in range(50):
            (await limiter.acquire(webhook("POST followup", str(channel), creates_in=channel), FIRST)).answered({})
        many = limiter.size
        await asyncio.sleep(CREATIONS_WINDOW_S + 1)
        for _ in range(SWEEP_EVERY):
            (await limiter.acquire(webhook(), FINAL)).unsent()
        return many, limiter.size

    many, left = run(main())
    assert many >= 100
    assert left <= 2


def test_who_gives_up_waiting_at_the_moment_of_their_turn_does_not_use_it_up() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        limiter = Limiter()
        first = await limiter.acquire(webhook(), FIRST)  # nothing is known yet: the others wait for its answer
        waiting = [asyncio.create_task(limiter.acquire(webhook(), FIRST)) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        first.answered(headers("b", limit=3, remaining=2, reset_after_s=60.0))
        begun = loop.time()
        await waiting[1]
        assert (await asyncio.gather(waiting[0], return_exceptions=True))[0].__class__ is asyncio.CancelledError
        return loop.time() - begun

    assert run(main()) == 0.0


def test_who_gives_up_waiting_as_their_route_moves_to_its_own_bucket_leaves_no_trace() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        limiter = Limiter()
        (await limiter.acquire(webhook("a"), FIRST)).answered(headers("a", limit=2, remaining=1, reset_after_s=60.0))
        flying = await limiter.acquire(webhook("b"), FINAL)
        waiting = [asyncio.create_task(limiter.acquire(webhook("b"), FIRST)) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        flying.answered(headers("b", limit=3, remaining=2, reset_after_s=60.0))
        begun = loop.time()
        await waiting[1]
        assert (await asyncio.gather(waiting[0], return_exceptions=True))[0].__class__ is asyncio.CancelledError
        await limiter.acquire(webhook("b"), FINAL)
        return loop.time() - begun

    assert run(main()) == 0.0
