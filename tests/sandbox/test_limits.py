"""The rules of Discord's rate limits, by an injected clock."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.discord.limits import Call, Limits, Verdict


@dataclass
class Clock:
    now_s: float = 1_000.0

    def __call__(self) -> float:
        return self.now_s


FOLLOWUP = Call(
    method="POST",
    template="/webhooks/{webhook_id}/{webhook_token}",
    major="token",
    bot_authorized=False,
)
EDIT_ORIGINAL = Call(
    method="PATCH",
    template="/webhooks/{webhook_id}/{webhook_token}/messages/@original",
    major="token",
    bot_authorized=False,
)
EDIT_FOLLOWUP = Call(
    method="PATCH",
    template="/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}",
    major="token",
    bot_authorized=False,
)


def create(channel: int = 1) -> Call:
    return Call(method="POST", template="/channels/{channel_id}/messages", major=str(channel), bot_authorized=True)


def edit(channel: int = 1) -> Call:
    return Call(
        method="PATCH",
        template="/channels/{channel_id}/messages/{message_id}",
        major=str(channel),
        bot_authorized=True,
    )


def webhook_create(token: int, channel: int = 1) -> Call:
    return Call(
        method="POST",
        template="/webhooks/{webhook_id}/{webhook_token}",
        major=f"token {token}",
        bot_authorized=False,
        creates_webhook_message_in=channel,
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> Limits:
    return Limits(clock, unix_now=lambda: 1_700_000_000.0)


def admit(limits: Limits, call: Call, times: int) -> list[Verdict]:
    return [limits.admit(call) for _ in range(times)]


def test_headers_count_down_and_name_the_end_of_the_window(limits: Limits, clock: Clock) -> None:
    first = limits.admit(create()).headers
    clock.now_s += 1.25
    second = limits.admit(create()).headers
    assert first["X-RateLimit-Limit"] == "5"
    assert (first["X-RateLimit-Remaining"], second["X-RateLimit-Remaining"]) == ("4", "3")
    assert (first["X-RateLimit-Reset-After"], second["X-RateLimit-Reset-After"]) == ("5.000", "3.750")
    assert first["X-RateLimit-Reset"] == "1700000005.000"
    assert "Retry-After" not in first


def test_the_call_after_the_last_one_gets_a_429_of_scope_user(limits: Limits, clock: Clock) -> None:
    assert all(verdict.admitted for verdict in admit(limits, create(), 5))
    clock.now_s += 1.8
    refused = limits.admit(create())
    assert refused.scope == "user"
    assert refused.retry_after_s == pytest.approx(3.2)
    assert refused.headers["X-RateLimit-Scope"] == "user"
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert refused.headers["Retry-After"] == "4"
    assert limits.refused["channel_message_create"] == 1


def test_a_window_opens_with_its_first_call_and_then_all_of_it_is_free_again(limits: Limits, clock: Clock) -> None:
    limits.admit(create())
    clock.now_s += 4.9
    assert [verdict.admitted for verdict in admit(limits, create(), 5)] == [True] * 4 + [False]
    clock.now_s += 0.1
    assert [verdict.admitted for verdict in admit(limits, create(), 6)] == [True] * 5 + [False]


def test_creating_and_editing_and_each_channel_have_their_own_windows(limits: Limits) -> None:
    admit(limits, create(1), 5)
    assert not limits.admit(create(1)).admitted
    assert limits.admit(create(2)).admitted
    assert limits.admit(edit(1)).admitted
    assert limits.admit(create(2)).headers["X-RateLimit-Bucket"] != limits.admit(edit(1)).headers["X-RateLimit-Bucket"]


def test_everything_of_one_interactions_webhook_shares_five_in_two_seconds(limits: Limits, clock: Clock) -> None:
    verdicts = [limits.admit(call) for call in (FOLLOWUP, EDIT_ORIGINAL, EDIT_FOLLOWUP, FOLLOWUP, EDIT_ORIGINAL)]
    assert [verdict.headers["X-RateLimit-Remaining"] for verdict in verdicts] == ["4", "3", "2", "1", "0"]
    assert len({verdict.headers["X-RateLimit-Bucket"] for verdict in verdicts}) == 1
    assert not limits.admit(EDIT_FOLLOWUP).admitted
    clock.now_s += 2.0
    assert limits.admit(EDIT_FOLLOWUP).admitted


def test_another_interaction_has_its_own_window(limits: Limits) -> None:
    admit(limits, webhook_create(1, channel=1), 5)
    assert not limits.admit(webhook_create(1, channel=1)).admitted
    assert limits.admit(webhook_create(2, channel=2)).admitted


def test_fifty_calls_of_the_bot_in_a_second_are_the_global_limit(limits: Limits, clock: Clock) -> None:
    assert all(limits.admit(create(channel)).admitted for channel in range(50))
    refused = limits.admit(create(99))
    assert refused.scope == "global"
    assert refused.headers == {"X-RateLimit-Scope": "global", "X-RateLimit-Global": "true", "Retry-After": "1"}
    clock.now_s += 1.0
    assert limits.admit(create(99)).admitted


def test_interaction_webhooks_are_outside_the_global_limit_even_with_the_bots_token(limits: Limits) -> None:
    for channel in range(50):
        limits.admit(create(channel))
    authorized = Call(method="PATCH", template=EDIT_ORIGINAL.template, major="token", bot_authorized=True)
    assert limits.admit(authorized).admitted
    assert limits.admit(FOLLOWUP).admitted


def test_interaction_callbacks_are_unlimited_and_carry_no_headers(limits: Limits) -> None:
    callback = Call(
        method="POST",
        template="/interactions/{interaction_id}/{interaction_token}/callback",
        major="token",
        bot_authorized=True,
    )
    assert admit(limits, callback, 500) == [Verdict(headers={})] * 500


def test_the_thirty_first_webhook_message_in_a_channel_is_refused_without_warning(limits: Limits, clock: Clock) -> None:
    verdicts = [limits.admit(webhook_create(token)) for token in range(30)]
    assert {verdict.headers["X-RateLimit-Remaining"] for verdict in verdicts} == {"4"}
    clock.now_s += 20.0
    refused = limits.admit(webhook_create(30))
    assert refused.scope == "shared"
    assert refused.retry_after_s == 40.0
    assert refused.headers["X-RateLimit-Scope"] == "shared"
    assert refused.headers["X-RateLimit-Remaining"] == "5"
    assert limits.admit(webhook_create(30, channel=2)).admitted
    assert limits.admit(EDIT_ORIGINAL).admitted
    clock.now_s += 40.0
    assert limits.admit(webhook_create(31)).admitted


def test_a_refused_call_uses_up_nothing_elsewhere(limits: Limits) -> None:
    for _ in range(40):
        limits.admit(create(1))
    assert all(limits.admit(create(channel)).admitted for channel in range(2, 47))
    assert limits.admit(create(99)).scope == "global"


def test_a_rule_can_change_under_a_running_client(limits: Limits) -> None:
    before = limits.admit(create()).headers
    limits.set_rule("channel_message_create", limit=2, window_s=10.0, bucket="feedbeef")
    after = limits.admit(create()).headers
    assert before["X-RateLimit-Bucket"] != "feedbeef" == after["X-RateLimit-Bucket"]
    assert (after["X-RateLimit-Limit"], after["X-RateLimit-Remaining"]) == ("2", "1")
    assert after["X-RateLimit-Reset-After"] == "10.000"


def test_a_hidden_rule_sends_no_headers_until_the_429(limits: Limits) -> None:
    limits.set_rule("channel_message_create", limit=1, hidden=True)
    assert limits.admit(create()).headers == {}
    assert limits.admit(create()).headers == {"X-RateLimit-Scope": "user", "Retry-After": "5"}


def test_a_lifted_rule_admits_everything(limits: Limits) -> None:
    limits.lift()
    assert all(verdict.admitted for verdict in admit(limits, create(), 1_000))


def test_a_rule_must_exist_and_admit_something(limits: Limits) -> None:
    with pytest.raises(ValueError, match="no rule"):
        limits.set_rule("nonsense")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one"):
        limits.set_rule("global", limit=0)
    with pytest.raises(ValueError, match="longer"):
        limits.set_rule("global", window_s=0.0)


def test_other_routes_have_a_bucket_each(limits: Limits) -> None:
    guild = Call(method="GET", template="/guilds/{guild_id}", major="1", bot_authorized=False)
    roles = Call(method="GET", template="/guilds/{guild_id}/roles", major="1", bot_authorized=False)
    admit(limits, guild, 50)
    assert not limits.admit(guild).admitted
    assert limits.admit(roles).admitted


def test_ended_windows_are_forgotten(limits: Limits, clock: Clock) -> None:
    limits.lift(["global"])
    for channel in range(10_000):
        clock.now_s += 0.01
        limits.admit(create(channel))
    # Windows last 5 s, in which 500 of these calls fit.
    assert len(limits._buckets["channel_message_create"].windows) <= 501


@given(st.lists(st.floats(min_value=0.0, max_value=3.0), max_size=60))
def test_no_window_ever_admits_more_than_its_limit_and_waiting_as_told_always_helps(pauses: list[float]) -> None:
    clock = Clock()
    limits = Limits(clock)
    admitted: list[float] = []
    for pause_s in pauses:
        clock.now_s += pause_s
        verdict = limits.admit(EDIT_ORIGINAL)
        if verdict.retry_after_s is not None:
            clock.now_s += verdict.retry_after_s
            verdict = limits.admit(EDIT_ORIGINAL)
            assert verdict.admitted
        admitted.append(clock.now_s)
    # Two neighbouring fixed windows may touch, so any 2 s hold at most two windows' worth.
    assert all(later - earlier >= 2.0 for earlier, later in zip(admitted, admitted[10:], strict=False))
