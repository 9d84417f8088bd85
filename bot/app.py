"""Opens every resource, hands it down, closes it."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp

from bot.answers.attachments import AttachmentLimits, Attachments
from bot.answers.history import History
from bot.answers.service import Answers
from bot.answers.tokens import TokenCounter
from bot.catalog import Catalog, ChatModel
from bot.client import Bot, redirect
from bot.delivery.limits import Limiter
from bot.delivery.rest import DiscordRest
from bot.errors import SettingsError, UnknownModel
from bot.minitoolai.client import MiniToolAI, RetryPolicy, Timeouts
from bot.settings import Settings
from bot.storage.database import Database

log = logging.getLogger(__name__)

CLOSE_S: Final = 10.0
"""How long leaving Discord may take before the rest is closed all the same."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the cogs work with. Built once, closed by who opened it."""

    settings: Settings
    catalog: Catalog
    history: History
    rest: DiscordRest
    answers: Answers


@asynccontextmanager
async def open_services(settings: Settings, *, now: Callable[[], float] = time.time) -> AsyncIterator[Services]:
    """Every resource that the bot needs beside its connection to Discord. `now` gives unix seconds by Discord's clock.

    Raises:
        SettingsError: the catalogue is wrong, or DEFAULT_MODEL is not in it.
        StorageError: the database cannot be opened.
    """
    catalog = Catalog.load(settings.catalog_file)
    default_model = _default_model(settings, catalog)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database.open(settings.database_url))
        api = await stack.enter_async_context(
            MiniToolAI(
                settings.minitoolai_api_url,
                settings.minitoolai_api_key,
                timeouts=Timeouts(
                    connect_s=settings.chat_connect_timeout_s,
                    first_byte_s=settings.chat_first_byte_timeout_s,
                    gap_s=settings.chat_gap_timeout_s,
                    answer_s=settings.chat_total_timeout_s,
                ),
                retry=RetryPolicy(attempts=settings.chat_retries + 1),
            )
        )
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())
        )
        counter = TokenCounter()
        await asyncio.to_thread(counter.load)
        rest = DiscordRest(
            api_url=settings.discord_api_url, token=settings.discord_token, session=session, limiter=Limiter()
        )
        answers = Answers(
            settings=settings,
            catalog=catalog,
            default_model=default_model,
            api=api,
            database=database,
            counter=counter,
            attachments=Attachments(
                session,
                AttachmentLimits(
                    image_bytes=settings.image_limit_bytes,
                    image_pixels=settings.image_limit_pixels,
                    text_bytes=settings.file_limit_bytes,
                ),
            ),
            reader=rest,
            now=now,
        )
        yield Services(settings=settings, catalog=catalog, history=History(database), rest=rest, answers=answers)


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
    async with open_services(settings, now=now) as services:
        bot = Bot(services)
        try:
            yield bot
        finally:
            await services.answers.close()
            try:
                async with asyncio.timeout(CLOSE_S):
                    await bot.close()
            except TimeoutError:
                log.warning("Discord was not left properly within %g s", CLOSE_S)


async def run(settings: Settings) -> None:
    """Serve until cancelled.

    Raises:
        SettingsError, StorageError, DeliveryError: what `open_bot` and `Bot.serve` raise.
    """
    async with open_bot(settings) as bot:
        await bot.serve(settings.discord_token)
