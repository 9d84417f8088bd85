"""While the API is down nothing is sent to it, but for one request at a time that tries."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import ProviderBusy, ProviderDown, ProviderError, ProviderFailed, ProviderRejected, ProviderUnreachable
from bot.minitoolai.circuit import PAUSE_MOST_S, PAUSE_S, PROBE_S, THRESHOLD, Circuit, Permit, tells_of_an_outage


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuit(clock: Clock) -> Circuit:
    return Circuit(clock)


def break_it(circuit: Circuit) -> None:
    for _ in range(THRESHOLD):
        circuit.failed(circuit.enter())


def refusal(circuit: Circuit) -> float:
    with pytest.raises(ProviderDown) as caught:
        circuit.enter()
    return caught.value.retry_after_s


def entered(circuit: Circuit) -> tuple[Permit | None, float]:
    """Leave, or how many seconds to wait for it."""
    try:
        return circuit.enter(), 0.0
    except ProviderDown as down:
        return None, down.retry_after_s


def test_it_opens_after_so_many_failures_in_a_row(circuit: Circuit):
    for _ in range(THRESHOLD - 1):
        circuit.failed(circuit.enter())
    assert not circuit.is_open
    circuit.failed(circuit.enter())
    assert circuit.is_open
    assert refusal(circuit) == PAUSE_S


def test_a_success_between_failures_starts_the_count_anew(circuit: Circuit):
    for _ in range(3):
        for _ in range(THRESHOLD - 1):
            circuit.failed(circuit.enter())
        circuit.succeeded(circuit.enter())
    assert not circuit.is_open


def test_after_the_pause_one_request_tries_and_the_others_still_hear_at_once(circuit: Circuit, clock: Clock):
    break_it(circuit)
    clock.now += PAUSE_S
    assert circuit.enter().probe
    assert refusal(circuit) == PROBE_S


def test_a_try_that_succeeds_closes_it(circuit: Circuit, clock: Clock):
    break_it(circuit)
    clock.now += PAUSE_S
    circuit.succeeded(circuit.enter())
    assert not circuit.is_open
    assert not circuit.enter().probe


def test_each_try_that_fails_doubles_the_pause_up_to_a_bound(circuit: Circuit, clock: Clock):
    break_it(circuit)
    pauses = []
    for _ in range(6):
        pauses.append(refusal(circuit))
        clock.now += pauses[-1]
        circuit.failed(circuit.enter())
    assert pauses == [PAUSE_S, 2 * PAUSE_S, 4 * PAUSE_S, 8 * PAUSE_S, PAUSE_MOST_S, PAUSE_MOST_S]


def test_after_an_outage_the_next_one_begins_with_the_short_pause(circuit: Circuit, clock: Clock):
    break_it(circuit)
    clock.now += PAUSE_S
    circuit.failed(circuit.enter())
    clock.now += 2 * PAUSE_S
    circuit.succeeded(circuit.enter())
    break_it(circuit)
    assert refusal(circuit) == PAUSE_S


def test_a_try_that_never_tells_how_it_ended_does_not_keep_it_open(circuit: Circuit, clock: Clock):
    break_it(circuit)
    clock.now += PAUSE_S
    circuit.enter()
    clock.now += PROBE_S
    assert circuit.enter().probe


def test_a_try_that_was_given_up_lets_another_one_try_at_once(circuit: Circuit, clock: Clock):
    break_it(circuit)
    clock.now += PAUSE_S
    circuit.abandoned(circuit.enter())
    assert circuit.enter().probe


def test_what_was_sent_before_it_opened_neither_closes_nor_prolongs_it(circuit: Circuit, clock: Clock):
    early = [circuit.enter() for _ in range(3)]
    break_it(circuit)
    clock.now += 1
    circuit.succeeded(early[0])
    circuit.failed(early[1])
    circuit.abandoned(early[2])
    assert refusal(circuit) == PAUSE_S - 1


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (ProviderUnreachable(), True),
        (ProviderFailed(status=503), True),
        (ProviderFailed(status=301), False),
        (ProviderRejected(status=400), False),
        (ProviderBusy(), False),
    ],
)
def test_what_tells_of_an_outage(error: ProviderError, outage: bool):
    assert tells_of_an_outage(error) is outage


@pytest.mark.parametrize("error", [ValueError(), asyncio.CancelledError()])
def test_who_leaves_while_trying_lets_another_one_try(circuit: Circuit, clock: Clock, error: BaseException):
    break_it(circuit)
    clock.now += PAUSE_S
    with pytest.raises(type(error)), circuit.watching():
        raise error
    assert circuit.enter().probe


def test_what_is_watched_counts_as_it_ends(circuit: Circuit, clock: Clock):
    for _ in range(THRESHOLD):
        with pytest.raises(ProviderUnreachable), circuit.watching():
            raise ProviderUnreachable
    assert circuit.is_open
    clock.now += PAUSE_S
    with pytest.raises(ProviderRejected), circuit.watching():
        raise ProviderRejected
    assert not circuit.is_open, "who refuses a request is there"


@given(st.lists(st.sampled_from(["enter", "succeed", "fail", "abandon", "wait"]), max_size=200))
def test_however_requests_end_there_is_one_try_at_a_time_and_never_a_wait_beyond_the_bound(steps: list[str]):
    clock = Clock()
    circuit = Circuit(clock)
    permits: list[Permit] = []
    probes: list[tuple[float, Permit]] = []
    ends = {"succeed": circuit.succeeded, "fail": circuit.failed, "abandon": circuit.abandoned}
    for step in steps:
        if step == "wait":
            clock.now += 7.0
        elif step == "enter":
            permit, wait_s = entered(circuit)
            assert 0 <= wait_s <= max(PAUSE_MOST_S, PROBE_S)
            if permit is None:
                continue
            permits.append(permit)
            if permit.probe:
                assert all(clock.now - at >= PROBE_S for at, _ in probes), "two tries at once"
                probes.append((clock.now, permit))
        elif permits:
            permit = permits.pop()
            probes = [probe for probe in probes if probe[1] is not permit]
            ends[step](permit)
