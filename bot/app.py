"""Opens every resource, hands it down, closes it."""

import asyncio
import contextlib
import logging
import math
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

import aiohttp

from bot.answers.attachments import AttachmentLimits, Attachments
from bot.answers.conversing import Conversation
from bot.answers.history import Forgotten, History
from bot.answers.pictures import PictureAddresses
from bot.answers.preparing import Preparation
from bot.answers.records import Records
from bot.answers.recovery import Recovery
from bot.answers.service import Answers
from bot.answers.tokens import TokenCounter
from bot.arrivals import Arrivals
from bot.catalog import Catalog, ChatModel
from bot.client import Bot, redirect
from bot.credits.allowances import Allowances
from bot.credits.charges import log_charge
from bot.credits.late import LateEnds
from bot.credits.ledger import Ledger
from bot.credits.policy import OperatorLimits
from bot.credits.reports import Reports
from bot.credits.values import CeilingNotice, Entry
from bot.delivery.limits import Limiter
from bot.delivery.rest import DiscordRest
from bot.delivery.tracing import discord_trace
from bot.drafts import Drafts
from bot.errors import SettingsError, UnknownModel
from bot.guilds import Guilds
from bot.minitoolai.client import MiniToolAI, RetryPolicy, Timeouts
from bot.money import CreditUnit, as_dollars
from bot.ops.disk import DiskNotice, DiskWatch
from bot.ops.health import Health, LoopLag, Shard, serving
from bot.ops.memory import giving_back
from bot.ops.metrics import Metrics
from bot.ops.plotter import Plotter
from bot.pictures.drawing import Drawer
from bot.pictures.estimates import Estimates
from bot.pictures.fetching import Fetcher, FetchLimits
from bot.pictures.journal import Journal
from bot.pictures.line import LineLimits
from bot.pictures.polling import PollGate
from bot.pictures.runner import Runner
from bot.pictures.service import Pictures
from bot.pictures.tools import Patience, Tools
from bot.privacy.erasing import Eraser
from bot.privacy.retention import Housekeeper
from bot.privacy.retention import Limits as RetentionLimits
from bot.privacy.service import Privacy
from bot.remembered import Remembered
from bot.settings import Settings
from bot.storage.database import Database
from bot.storage.errors import StorageError

log = logging.getLogger(__name__)

CLOSE_S: Final = 5.0
"""How long leaving Discord may take before the rest is closed all the same."""


DELIVERIES_AT_ONCE: Final = 8
"""How many orders have their pictures' files in memory at a time."""

HOLDS_S: Final = 2.0
"""How long the metrics wait for the number of open holds."""

NOTICES_LIMIT: Final = 100
"""How many words for the operator wait for a connection to Discord."""


Notice = CeilingNotice | DiskNotice
"""What the operator is told of."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the cogs work with. Built once, closed by who opened it."""

    settings: Settings
    catalog: Catalog
    history: History
    rest: DiscordRest
    answers: Answers
    pictures: Pictures
    recovery: Recovery
    arrivals: Arrivals
    drafts: Drafts
    unit: CreditUnit
    guilds: Guilds
    allowances: Allowances
    ledger: Ledger
    reports: Reports
    charts: Plotter
    notices: asyncio.Queue[Notice]
    remembered: Remembered
    privacy: Privacy
    api: MiniToolAI
    database: Database
    metrics: Metrics


@dataclass(frozen=True, kw_only=True)
class _Ground:
    """What the services stand on. `late` writes what could not be written when a charge ended; `forgotten` is set when
    something was that the database's log may still hold."""

    settings: Settings
    catalog: Catalog
    default_model: ChatModel
    limits: OperatorLimits
    unit: CreditUnit
    metrics: Metrics
    now: Callable[[], float]
    database: Database
    forgotten: asyncio.Event
    api: MiniToolAI
    session: aiohttp.ClientSession
    rest: DiscordRest
    notices: asyncio.Queue[Notice]
    late: LateEnds
    ledger: Ledger


async def _open_ground(stack: AsyncExitStack, settings: Settings, now: Callable[[], float]) -> _Ground:
    """Open them; `stack` closes them. Raises as `open_services`."""
    catalog, metrics, forgotten = Catalog.load(settings.catalog_file), Metrics(), asyncio.Event()
    default_model = _default_model(settings, catalog)
    limits, unit = OperatorLimits.load(settings), CreditUnit(nano=settings.credit_nano)
    database = await stack.enter_async_context(
        Database.open(settings.database_url, observer=metrics, hear=partial(_hear, metrics, forgotten))
    )
    api = await stack.enter_async_context(_api(settings, metrics))
    session = await stack.enter_async_context(
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())
    )
    rest = DiscordRest(
        api_url=settings.discord_api_url,
        token=settings.discord_token,
        session=session,
        limiter=Limiter(),
        observer=metrics,
    )
    notices: asyncio.Queue[Notice] = asyncio.Queue(NOTICES_LIMIT)
    late = LateEnds(database)
    stack.push_async_callback(late.close)
    return _Ground(
        settings=settings,
        catalog=catalog,
        default_model=default_model,
        limits=limits,
        unit=unit,
        metrics=metrics,
        now=now,
        database=database,
        forgotten=forgotten,
        api=api,
        session=session,
        rest=rest,
        notices=notices,
        late=late,
        ledger=Ledger(
            database, limits=limits, unit=unit, run_id=uuid.uuid4().hex, notify=partial(_note_ceiling, notices)
        ),
    )


@asynccontextmanager
async def open_services(
    settings: Settings, *, now: Callable[[], float] = time.time, patience: Patience | None = None
) -> AsyncIterator[Services]:
    """Every resource that the bot needs beside its connection to Discord. `now` gives unix seconds by Discord's clock.

    `patience` is what the delivery of pictures has with Discord, its default unless given.

    Raises:
        SettingsError: the catalogue is wrong, or DEFAULT_MODEL is not in it.
        StorageError: the database cannot be opened.
    """
    async with AsyncExitStack() as stack:
        ground = await _open_ground(stack, settings, now)
        database, rest = ground.database, ground.rest
        charts = await stack.enter_async_context(Plotter())
        counter = TokenCounter()
        await asyncio.to_thread(counter.load)
        fetcher = await stack.enter_async_context(Fetcher(_fetch_limits(settings)))
        pictures = _pictures(ground, fetcher, patience or Patience())
        stack.push_async_callback(pictures.close)
        arrivals = Arrivals(database, rest, now=now)
        records = Records(database)
        recovery = Recovery(
            database=database,
            rest=rest,
            ledger=ground.ledger,
            records=records,
            max_messages=settings.max_messages,
            now=now,
        )
        # What an earlier process left is read, and its holds that nobody goes on with end, before anything new begins.
        await pictures.load()
        await arrivals.load()
        await recovery.load()
        await _resolve_crashed(ground.ledger, now)
        privacy = await stack.enter_async_context(_privacy(ground, pictures))
        disk = DiskWatch(database, ground.late, notify=partial(_note, ground.notices))
        await stack.enter_async_context(disk.watching())
        yield Services(
            settings=settings,
            catalog=ground.catalog,
            history=History(database),
            rest=rest,
            answers=_answers(ground, counter, records, recovery),
            pictures=pictures,
            recovery=recovery,
            arrivals=arrivals,
            drafts=Drafts(database, now=now),
            unit=ground.unit,
            guilds=Guilds(database),
            allowances=Allowances(database),
            ledger=ground.ledger,
            reports=Reports(database),
            charts=charts,
            notices=ground.notices,
            remembered=Remembered(database),
            privacy=privacy,
            api=ground.api,
            database=database,
            metrics=ground.metrics,
        )


def _answers(ground: _Ground, counter: TokenCounter, records: Records, recovery: Recovery) -> Answers:
    settings = ground.settings
    return Answers(
        settings=settings,
        database=ground.database,
        counter=counter,
        preparation=Preparation(
            settings=settings,
            catalog=ground.catalog,
            default_model=ground.default_model,
            database=ground.database,
            counter=counter,
            attachments=Attachments(ground.session, _attachment_limits(settings)),
            addresses=PictureAddresses(ground.rest, now=ground.now),
        ),
        conversation=Conversation(
            settings=settings,
            api=ground.api,
            ledger=ground.ledger,
            late=ground.late,
            unit=ground.unit,
            counter=counter,
            records=records,
            owe=recovery.owe,
            now=ground.now,
            observer=ground.metrics,
        ),
        recovery=recovery,
    )


def _hear(metrics: Metrics, forgotten: asyncio.Event, fact: object) -> None:
    """What transactions announce, once it is on disk."""
    if isinstance(fact, Forgotten):
        forgotten.set()
    if isinstance(fact, Entry):
        metrics.charged(fact)
        log_charge(fact)


def _api(settings: Settings, metrics: Metrics) -> MiniToolAI:
    return MiniToolAI(
        settings.minitoolai_api_url,
        settings.minitoolai_api_key,
        timeouts=Timeouts(
            connect_s=settings.chat_connect_timeout_s,
            first_byte_s=settings.chat_first_byte_timeout_s,
            gap_s=settings.chat_gap_timeout_s,
            answer_s=settings.chat_total_timeout_s,
        ),
        retry=RetryPolicy(attempts=settings.chat_retries + 1),
        observer=metrics,
    )


def _attachment_limits(settings: Settings) -> AttachmentLimits:
    return AttachmentLimits(
        image_bytes=settings.image_limit_bytes,
        image_pixels=settings.image_limit_pixels,
        text_bytes=settings.file_limit_bytes,
    )


def _fetch_limits(settings: Settings) -> FetchLimits:
    return FetchLimits(
        bytes=settings.picture_limit_bytes,
        pixels=settings.image_limit_pixels,
        private_addresses=settings.picture_private_addresses,
    )


def _pictures(ground: _Ground, fetcher: Fetcher, patience: Patience) -> Pictures:
    settings, database = ground.settings, ground.database
    journal, estimates = Journal(database), Estimates()
    tools = Tools(
        rest=ground.rest,
        ledger=ground.ledger,
        unit=ground.unit,
        journal=journal,
        drawer=Drawer(
            api=ground.api,
            journal=journal,
            gate=PollGate(settings.picture_polls_per_second),
            estimates=estimates,
            timeout_s=settings.picture_timeout_s,
            now=ground.now,
        ),
        fetcher=fetcher,
        slots=asyncio.Semaphore(DELIVERIES_AT_ONCE),
        patience=patience,
        now=ground.now,
    )
    limits = LineLimits(
        per_member=settings.picture_orders_per_member,
        per_server=settings.picture_orders_per_server,
        in_all=settings.picture_orders_open,
    )
    return Pictures(
        settings=settings,
        catalog=ground.catalog,
        database=database,
        ledger=ground.ledger,
        estimates=estimates,
        tools=tools,
        runner=Runner(tools, limits),
    )


@asynccontextmanager
async def _privacy(ground: _Ground, pictures: Pictures) -> AsyncIterator[Privacy]:
    """What is kept of people, with the job that forgets at work."""
    settings, database, limits, now = ground.settings, ground.database, ground.limits, ground.now
    kept = RetentionLimits(
        memory=settings.retention_days, orders=settings.picture_order_days, grace=settings.guild_grace_days
    )
    eraser = Eraser(database, limits=limits, now=now)
    housekeeper = Housekeeper(
        database, url=settings.database_url, limits=kept, eraser=eraser, now=now, woken=ground.forgotten
    )
    async with housekeeper.running():
        yield Privacy(
            database=database, pictures=pictures, eraser=eraser, housekeeper=housekeeper, limits=kept, now=now
        )


async def _resolve_crashed(ledger: Ledger, now: Callable[[], float]) -> None:
    """End what a process that died left on hold, before anything new is held."""
    resolved = await ledger.resolve_crashed(at=datetime.fromtimestamp(now(), UTC))
    if resolved.count:
        log.warning(
            "%d requests were under way when the bot died: their askers pay nothing, the API may have taken up to %s",
            resolved.count,
            as_dollars(resolved.provider_nano),
        )


def _note_ceiling(notices: asyncio.Queue[Notice], notice: CeilingNotice) -> None:
    """To the log at once, and to the operator in Discord as soon as there is a connection."""
    log.warning("%d %% of the %s's monthly ceiling are used (%d)", notice.percent, notice.scope, notice.scope_id)
    _note(notices, notice)


def _note(notices: asyncio.Queue[Notice], notice: Notice) -> None:
    """To the operator in Discord; the log has it already."""
    with contextlib.suppress(asyncio.QueueFull):  # so many that nobody would read them: the log has it
        notices.put_nowait(notice)


def _default_model(settings: Settings, catalog: Catalog) -> ChatModel:
    if settings.default_model is None:
        return catalog.default
    try:
        return catalog.chat_model(settings.default_model)
    except UnknownModel as error:
        known = ", ".join(error.known)
        raise SettingsError([f"DEFAULT_MODEL must be one of {known}, not {settings.default_model!r}"]) from error


@asynccontextmanager
async def open_bot(settings: Settings, *, now: Callable[[], float] = time.time) -> AsyncIterator[Bot]:
    """The bot with everything it needs, not yet connected; leaving ends its answers, then its connection.

    `now` gives unix seconds by Discord's clock.

    Raises:
        SettingsError, StorageError, DeliveryError: what `open_services` and `redirect` raise.
    """
    await redirect(settings.discord_api_url)
    async with open_services(settings, now=now) as services, AsyncExitStack() as stack:
        trace = discord_trace(services.metrics, api_url=settings.discord_api_url, now=now)
        bot = Bot(services, http_trace=trace)
        health = await _watch(stack, services, bot.gateway)
        await stack.enter_async_context(giving_back())
        try:
            yield bot
        finally:
            health.stopping = True
            services.pictures.turn_away()
            await services.answers.close(grace_s=settings.shutdown_grace_s)
            await services.pictures.close()
            try:
                async with asyncio.timeout(CLOSE_S):
                    await bot.close()
            except TimeoutError:
                log.warning("Discord was not left properly within %g s", CLOSE_S)


async def _watch(stack: AsyncExitStack, services: Services, gateway: Callable[[], tuple[Shard, ...]]) -> Health:
    """Measure, and tell over HTTP where the operator wants it.

    Raises:
        SettingsError: HEALTH_ADDRESS cannot be listened at. The operator asked to be told: no bot goes unwatched then.
    """
    metrics, database, circuit = services.metrics, services.database, services.api.circuit
    lag = LoopLag(metrics)
    await stack.enter_async_context(lag.watching())
    metrics.watch(
        open_answers=lambda: services.answers.open_count,
        drawing_orders=lambda: services.pictures.drawing_count,
        waiting_orders=lambda: services.pictures.waiting_count,
        circuit_open=lambda: circuit.is_open,
        database_queue=lambda: database.waiting,
        gateway_latency_s=lambda: max(
            (one.latency_s for one in gateway() if math.isfinite(one.latency_s)), default=math.nan
        ),
        shards=lambda: len(gateway()),
        shards_up=lambda: sum(shard.up for shard in gateway()),
    )
    health = Health(
        lag=lag,
        writer_alive=lambda: database.is_writing,
        read_database=lambda within_s: database.check(timeout_s=within_s),
        shards=gateway,
        circuit_open=lambda: circuit.is_open,
        metrics=metrics,
    )
    if (address := services.settings.health_address) is not None:
        refresh = partial(_count_holds, services)
        port = await stack.enter_async_context(serving(address, health, metrics, refresh=refresh))
        log.info("telling how I am on %s, port %d: /healthz, /readyz, /metrics", address.host, port)
    return health


async def _count_holds(services: Services) -> None:
    try:
        services.metrics.note_open_holds(await services.ledger.open_holds(timeout_s=HOLDS_S))
    except StorageError:
        services.metrics.note_open_holds(math.nan)  # rather unknown than wrong


async def run(settings: Settings) -> None:
    """Serve until cancelled.

    Raises:
        SettingsError, StorageError, DeliveryError: what `open_bot` and `Bot.serve` raise.
    """
    async with open_bot(settings) as bot:
        await bot.serve(settings.discord_token)
