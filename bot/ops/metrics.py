"""Counts what happens, for Prometheus. Names follow https://prometheus.io/docs/practices/naming/.

Labels come from closed sets: models of the catalogue, classes of errors, routes without ids. No value of a label names
a person, a server or a message.

Money is counted in nano-dollars, as the ledger does, against the rule of base units: a sample is a double, which holds
whole numbers up to 2^53 exactly (nine million dollars), and a sum of fractions of a dollar not even to the first cent's
thousandth. `rate(bot_charged_nanodollars_total[1h]) * 3600 / 1e9` is dollars an hour.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from bot.credits.values import Entry
from bot.observer import ApiOperation, GatewayEvent, Observer

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

READING_S: Final = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 60.0)
"""What somebody who reads along notices."""
PICTURE_S: Final = (1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
REQUEST_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
DISK_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 10.0)
LAG_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
GROUP: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ROUTES_LIMIT: Final = 100
"""How many routes get a name of their own. discord.py and the bot use some thirty."""
OTHER: Final = "other"

Read = Callable[[], float]


class Metrics(Observer):
    """The counters of one bot, in a registry of their own. For its event loop alone."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives unix seconds."""
        self.registry: Final = CollectorRegistry()
        self.api_succeeded_at: float | None = None
        """Unix seconds of the API's last success; `api_failed_at` those of its last failure."""
        self.api_failed_at: float | None = None
        self._clock = clock
        self._routes: set[str] = set()
        self._make_answer_metrics()
        self._make_money_metrics()
        self._make_discord_metrics()
        self._make_api_metrics()
        self._make_machine_metrics()

    def text(self) -> bytes:
        """Everything in Prometheus' text format, `CONTENT_TYPE`. Takes some milliseconds."""
        return generate_latest(self.registry)

    def watch(
        self,
        *,
        open_answers: Read,
        drawing_orders: Read,
        waiting_orders: Read,
        circuit_open: Read,
        database_queue: Read,
        gateway_latency_s: Read,
        shards: Read,
        shards_up: Read,
    ) -> None:
        """What is read anew at each scrape. `gateway_latency_s` is that of the slowest shard."""
        self._gauge("open_answers", "Answers that are being given.").set_function(open_answers)
        orders = self._gauge("picture_orders", "Picture orders that have not ended, by state.", ("state",))
        orders.labels("drawing").set_function(drawing_orders)
        orders.labels("waiting").set_function(waiting_orders)
        self._gauge("api_circuit_open", "1 while the API is not asked, since it is down.").set_function(circuit_open)
        self._gauge("database_queue_operations", "Writes that wait for their turn.").set_function(database_queue)
        latency = self._gauge("gateway_latency_seconds", "From a heartbeat to its answer, of the slowest shard.")
        latency.set_function(gateway_latency_s)
        self._gauge("gateway_shards", "Shards that the bot has.").set_function(shards)
        self._gauge("gateway_shards_up", "Shards whose session is established.").set_function(shards_up)

    def note_open_holds(self, number: float) -> None:
        """How many requests are on hold in the ledger; NaN where it could not be read."""
        self._open_holds.set(number)

    # Answers

    def first_words_shown(self, after_s: float) -> None:
        self._first_words.observe(max(after_s, 0.0))  # Discord's clock and ours may differ by some milliseconds

    def words_shown(self, age_s: float) -> None:
        self._staleness.observe(age_s)

    def answer_whole(self, after_s: float) -> None:
        self._completion.observe(after_s)

    def failed(self, cause: str) -> None:
        self._errors.labels(cause).inc()

    # Money

    def charged(self, entry: Entry) -> None:
        """A charge is on disk."""
        kind, model, reason = entry.kind or OTHER, entry.model or OTHER, entry.reason
        self._requests.labels(kind, model, reason).inc()
        self._paid.labels(kind, model).inc(entry.user_nano)
        self._provider.labels(kind, model).inc(entry.provider_nano)
        self._lost.labels(kind, reason).inc(max(entry.provider_nano - entry.user_nano, 0))
        if entry.kind == "chat":
            self._tokens.labels(model, "prompt").inc(entry.prompt_tokens)
            self._tokens.labels(model, "completion").inc(entry.completion_tokens)
            return
        self._images.labels(model).inc(entry.images)
        if reason != "crashed":  # that one ended when the bot was started again
            took_s = (entry.written_at - entry.asked_at).total_seconds()
            self._picture_time.labels(model, reason).observe(max(took_s, 0.0))

    # Discord

    def interaction_acknowledged(self, after_s: float) -> None:
        self._acknowledgement.observe(max(after_s, 0.0))

    def discord_answered(self, route: str, status: int, took_s: float) -> None:
        route = self._bounded(route)
        self._discord_requests.labels(route, f"{status // 100}xx" if status else "none").inc()
        self._discord_time.observe(took_s)
        if status == 429:
            self._rate_limited.labels(route).inc()

    def rate_limit_waited(self, urgency: str, waited_s: float) -> None:
        self._rate_waits.labels(urgency).observe(waited_s)

    def gateway(self, event: GatewayEvent) -> None:
        self._gateway.labels(event).inc()

    # The API

    def api_answered(self, operation: ApiOperation, cause: str | None, took_s: float) -> None:
        self._api_requests.labels(operation, cause or "ok").inc()
        self._api_time.labels(operation).observe(took_s)
        if cause is None:
            self.api_succeeded_at = self._clock()
            self._api_success.set(self.api_succeeded_at)
        elif cause != "ProviderDown":  # it was not asked
            self.api_failed_at = self._clock()
            self._api_failure.set(self.api_failed_at)

    # The database and the loop

    def write_waited(self, waited_s: float) -> None:
        self._write_time.observe(waited_s)

    def group_committed(self, operations: int, took_s: float) -> None:
        self._group_size.observe(operations)
        self._commit_time.observe(took_s)

    def loop_lagged(self, lag_s: float) -> None:
        self._lag.observe(lag_s)

    # What there is

    def _make_answer_metrics(self) -> None:
        self._first_words = self._histogram(
            "answer_first_words_seconds", "From a question, by Discord's clock, to the first words shown.", READING_S
        )
        self._staleness = self._histogram(
            "answer_staleness_seconds", "Age of the oldest unshown words when an edit has shown them.", READING_S
        )
        self._completion = self._histogram(
            "answer_completion_seconds", "From the API's last word to the answer as it stays.", READING_S
        )
        self._errors = self._counter("errors_total", "Errors told to people, by class.", ("cause",))

    def _make_money_metrics(self) -> None:
        self._requests = self._counter(
            "requests_total", "Answers (chat) and picture orders (image) that ended.", ("kind", "model", "ending")
        )
        self._tokens = self._counter("tokens_total", "Tokens, as charged.", ("model", "direction"))
        self._images = self._counter("images_total", "Pictures, as charged.", ("model",))
        self._paid = self._counter(
            "charged_nanodollars_total", "What members paid, in nano-dollars.", ("kind", "model")
        )
        self._provider = self._counter(
            "provider_nanodollars_total", "What the API is due, as far as is known, in nano-dollars.", ("kind", "model")
        )
        self._lost = self._counter(
            "lost_nanodollars_total", "What the API is due and nobody paid, in nano-dollars.", ("kind", "ending")
        )
        self._open_holds = self._gauge("open_holds", "Requests whose worst case is set apart in the ledger.")
        self._picture_time = self._histogram(
            "picture_order_seconds", "From an order to its end.", PICTURE_S, ("model", "ending")
        )

    def _make_discord_metrics(self) -> None:
        self._acknowledgement = self._histogram(
            "interaction_acknowledgement_seconds",
            "From an interaction, by Discord's clock, to its response.",
            READING_S,
        )
        self._discord_requests = self._counter(
            "discord_requests_total", "Requests to Discord by the class of their status.", ("route", "status")
        )
        self._discord_time = self._histogram("discord_request_seconds", "Time that Discord took to answer.", REQUEST_S)
        self._rate_limited = self._counter("discord_rate_limited_total", "Answers with status 429.", ("route",))
        self._rate_waits = self._histogram(
            "discord_rate_limit_wait_seconds", "Wait for leave to send, by urgency.", REQUEST_S, ("urgency",)
        )
        self._gateway = self._counter("gateway_events_total", "Sessions begun, resumed, connections lost.", ("event",))

    def _make_api_metrics(self) -> None:
        self._api_requests = self._counter(
            "api_requests_total", "Requests to the API by what became of them.", ("operation", "outcome")
        )
        self._api_time = self._histogram(
            "api_request_seconds",
            "Time that the API took: to the first byte, or for all of it.",
            REQUEST_S,
            ("operation",),
        )
        self._api_success = self._gauge("api_last_success_timestamp_seconds", "When the API last did as it was asked.")
        self._api_failure = self._gauge("api_last_failure_timestamp_seconds", "When the API last failed.")

    def _make_machine_metrics(self) -> None:
        self._write_time = self._histogram(
            "database_write_seconds", "From asking for a write to its being on disk.", DISK_S
        )
        self._commit_time = self._histogram("database_commit_seconds", "Time of a group of writes.", DISK_S)
        self._group_size = self._histogram("database_group_operations", "Writes that shared a commit.", GROUP)
        self._lag = self._histogram("event_loop_lag_seconds", "How late the event loop's timers ring.", LAG_S)
        self._gauge("event_loop_tasks", "Tasks of the event loop that have not ended.").set_function(_tasks)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def _bounded(self, route: str) -> str:
        """`route`, as long as there are few: nothing that Discord sends us can make memory grow here."""
        if route not in self._routes:
            if len(self._routes) >= ROUTES_LIMIT:
                return OTHER
            self._routes.add(route)
        return route

    def _counter(self, name: str, help_: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"bot_{name}", help_, labels, registry=self.registry)

    def _gauge(self, name: str, help_: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"bot_{name}", help_, labels, registry=self.registry)

    def _histogram(self, name: str, help_: str, buckets: Sequence[float], labels: Sequence[str] = ()) -> Histogram:
        return Histogram(f"bot_{name}", help_, labels, buckets=buckets, registry=self.registry)


def _tasks() -> float:
    """How many tasks there are; NaN where the metrics are read outside of an event loop."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return math.nan
