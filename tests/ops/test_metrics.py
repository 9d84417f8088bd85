"""What is counted, under which names, and how little of it can be told apart."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from bot.credits.rules import PAYERS
from bot.credits.values import Entry
from bot.delivery.tracing import made_at_s, route_name
from bot.money import NO_MONEY, NanoDollars
from bot.ops.metrics import OTHER, ROUTES_LIMIT, Metrics

ASKED = datetime(2026, 12, 31, 12, 0, tzinfo=UTC)
BASE_UNITS = ("_seconds", "_bytes", "_nanodollars", "_operations", "_tokens")


def entry(**changes: Any) -> Entry:
    values: dict[str, Any] = {
        "key": 1_574_056_013_403_783_168,
        "entry_kind": "charge",
        "scope_id": 7_000,
        "user_id": 9_000,
        "asked_at": ASKED,
        "written_at": ASKED + timedelta(seconds=3),
        "kind": "chat",
        "model": "gpt-4o-mini",
        "reason": "finished",
        "held_nano": NanoDollars(900),
        "from_allowance_nano": NanoDollars(500),
        "from_grant_nano": NanoDollars(100),
        "granted_nano": NO_MONEY,
        "provider_nano": NanoDollars(600),
        "estimated": False,
        "prompt_tokens": 20,
        "completion_tokens": 5,
        "images": 0,
        "by_id": None,
    }
    return Entry(**values | changes)


def read(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"bot_{name}", labels)


def used() -> Metrics:
    """One with something of everything."""
    metrics = Metrics(clock=lambda: 1_000.0)
    metrics.watch(
        open_answers=lambda: 3,
        drawing_orders=lambda: 2,
        waiting_orders=lambda: 1,
        circuit_open=lambda: False,
        database_queue=lambda: 0,
        gateway_latency_s=lambda: 0.1,
        shards=lambda: 1,
        shards_up=lambda: 1,
    )
    metrics.note_open_holds(4)
    metrics.first_words_shown(0.5)
    metrics.words_shown(0.2)
    metrics.answer_whole(0.4)
    metrics.failed("CreditsRefused")
    metrics.charged(entry())
    metrics.charged(entry(kind="image", model="realvision", images=2))
    metrics.interaction_acknowledged(0.1)
    metrics.discord_answered("PATCH webhook original", 429, 0.1)
    metrics.rate_limit_waited("growth", 0.3)
    metrics.gateway("resumed")
    metrics.api_answered("chat", None, 0.3)
    metrics.api_answered("poll", "ProviderFailed", 0.3)
    metrics.write_waited(0.01)
    metrics.group_committed(7, 0.01)
    metrics.loop_lagged(0.001)
    return metrics


def families(metrics: Metrics) -> Mapping[str, Any]:
    return {one.name: one for one in text_string_to_metric_families(metrics.text().decode())}


def test_every_name_follows_the_conventions():
    for name, family in families(used()).items():
        if not name.startswith("bot_") or name.endswith("_created"):
            continue
        assert family.documentation
        if family.type == "counter":
            assert all(sample.name.endswith(("_total", "_created")) for sample in family.samples)
        if family.type == "histogram":
            assert name.endswith(BASE_UNITS), name
        assert not re.search(r"_(ms|milliseconds|minutes|kb|percent)\b", name)


def test_no_label_names_a_person_a_server_or_a_request():
    labels = re.findall(r"\{.*\}", used().text().decode())  # not the figures behind them, which may be any
    assert any("gpt-4o-mini" in each for each in labels)
    for number in ("9000", "7000", "1574056013403783168"):
        assert not [each for each in labels if number in each]


def test_two_bots_do_not_count_into_each_other_nor_into_what_everybody_shares():
    first, second = used(), Metrics()
    assert read(first, "errors_total", cause="CreditsRefused") == 1
    assert read(second, "errors_total", cause="CreditsRefused") is None
    assert not any(family.name.startswith("bot_") for family in REGISTRY.collect())


def test_money_is_exact_far_beyond_what_floats_of_dollars_hold():
    metrics = Metrics()
    metrics.charged(entry(from_allowance_nano=NanoDollars(2**52), from_grant_nano=NO_MONEY))
    metrics.charged(entry(from_allowance_nano=NanoDollars(1), from_grant_nano=NO_MONEY))
    assert read(metrics, "charged_nanodollars_total", kind="chat", model="gpt-4o-mini") == 2**52 + 1


@pytest.mark.parametrize("reason", PAYERS)
def test_what_the_operator_loses_is_what_the_api_is_due_and_nobody_paid(reason: str):
    metrics = Metrics()
    metrics.charged(entry(reason=reason, from_allowance_nano=NO_MONEY, from_grant_nano=NO_MONEY))
    metrics.charged(entry(reason=reason, from_allowance_nano=NanoDollars(700)))
    assert read(metrics, "lost_nanodollars_total", kind="chat", ending=reason) == 600
    assert read(metrics, "requests_total", kind="chat", model="gpt-4o-mini", ending=reason) == 2


def test_a_chat_counts_tokens_and_a_picture_images_and_its_time():
    metrics = used()
    assert read(metrics, "tokens_total", model="gpt-4o-mini", direction="prompt") == 20
    assert read(metrics, "tokens_total", model="gpt-4o-mini", direction="completion") == 5
    assert read(metrics, "images_total", model="realvision") == 2
    assert read(metrics, "picture_order_seconds_sum", model="realvision", ending="finished") == 3.0
    assert read(metrics, "images_total", model="gpt-4o-mini") is None


def test_an_order_that_a_crash_left_took_no_time_worth_counting():
    metrics = Metrics()
    metrics.charged(entry(kind="image", model="realvision", reason="crashed"))
    assert read(metrics, "picture_order_seconds_count", model="realvision", ending="crashed") is None
    assert read(metrics, "requests_total", kind="image", model="realvision", ending="crashed") == 1


def test_a_429_is_counted_by_its_route():
    metrics = used()
    assert read(metrics, "discord_rate_limited_total", route="PATCH webhook original") == 1
    assert read(metrics, "discord_requests_total", route="PATCH webhook original", status="4xx") == 1


def test_a_request_without_an_answer_is_counted_as_such():
    metrics = Metrics()
    metrics.discord_answered("POST message", 0, 10.0)
    assert read(metrics, "discord_requests_total", route="POST message", status="none") == 1


@given(routes=st.lists(st.text(), max_size=300))
def test_whatever_routes_there_are_their_number_is_bounded(routes: list[str]):
    metrics = Metrics()
    for route in (*routes, *map(str, range(ROUTES_LIMIT))):
        metrics.discord_answered(route, 200, 0.0)
    metrics.discord_answered("one more", 200, 0.0)
    [family] = [one for one in metrics.registry.collect() if one.name == "bot_discord_requests"]
    seen = {sample.labels["route"] for sample in family.samples}
    assert len(seen) <= ROUTES_LIMIT + 1
    assert OTHER in seen


def test_the_api_is_seen_to_do_well_and_to_fail_but_not_while_it_is_not_asked():
    metrics = Metrics(clock=lambda: 1_000.0)
    metrics.api_answered("chat", "ProviderDown", 0.0)
    assert (metrics.api_succeeded_at, metrics.api_failed_at) == (None, None)
    metrics.api_answered("chat", "ProviderFailed", 0.0)
    assert (metrics.api_succeeded_at, metrics.api_failed_at) == (None, 1_000.0)
    metrics.api_answered("poll", None, 0.0)
    assert metrics.api_succeeded_at == 1_000.0


def test_clocks_that_differ_a_little_make_no_negative_time():
    metrics = Metrics()
    metrics.first_words_shown(-0.003)
    metrics.interaction_acknowledged(-0.003)
    metrics.charged(entry(kind="image", written_at=ASKED - timedelta(seconds=1)))
    assert read(metrics, "answer_first_words_seconds_sum") == 0.0
    assert read(metrics, "interaction_acknowledgement_seconds_sum") == 0.0


def test_the_process_is_measured_too():
    text = Metrics().text().decode()
    assert "process_cpu_seconds_total" in text
    assert "python_gc_collections_total" in text


TOKEN = "aW50ZXJhY3Rpb246MTIz"


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", f"interactions/123456789012345678/{TOKEN}/callback", "POST interactions callback"),
        ("PATCH", f"webhooks/123456789012345678/{TOKEN}/messages/@original", "PATCH webhooks messages @original"),
        ("POST", "webhooks/123456789012345678/letters", "POST webhooks"),
        ("POST", "channels/123456789012345678/messages", "POST channels messages"),
        ("GET", "users/@me", "GET users @me"),
        ("GET", "gateway/bot", "GET gateway bot"),
        ("PUT", "applications/123456789012345678/commands", "PUT applications commands"),
        ("GET", "", "GET"),
    ],
)
def test_a_route_is_named_without_ids_and_tokens(method: str, path: str, name: str):
    assert route_name(method, path) == name


@given(token=st.from_regex(r"[A-Za-z0-9_-]{1,200}", fullmatch=True))
def test_no_interactions_token_becomes_a_label(token: str):
    assert route_name("POST", f"interactions/1/{token}/callback") == "POST interactions callback"


def test_an_id_tells_when_it_was_made():
    """Discord's own example, in its reference under "Snowflakes"."""
    assert made_at_s(175_928_847_299_117_063) == 1_462_015_105.796
