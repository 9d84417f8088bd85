"""Tells the observer of the requests that discord.py sends, which no code of ours sees, acknowledgements among them."""

import asyncio
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Final

import aiohttp
from yarl import URL

from bot.observer import Observer

EPOCH_MS: Final = 1_420_070_400_000
"""Source: Discord's reference, "Snowflakes"."""
SECRET_AT: Final = {"webhooks": 2, "interactions": 2}
"""Where a path that begins so carries its token."""
ACKNOWLEDGEMENT: Final = "POST interactions callback"

_WORD: Final = re.compile(r"[a-z@][a-z@_-]{0,30}")


def made_at_s(snowflake: int) -> float:
    """When Discord made an id, in unix seconds."""
    return ((snowflake >> 22) + EPOCH_MS) / 1_000


def route_name(method: str, path: str) -> str:
    """`POST channels messages` of `POST /channels/123/messages`: no id and no token."""
    parts = path.strip("/").split("/")
    secret_at = SECRET_AT.get(parts[0])
    words = [part for place, part in enumerate(parts) if place != secret_at and _WORD.fullmatch(part)]
    return " ".join((method, *words))


def discord_trace(observer: Observer, *, api_url: str, now: Callable[[], float]) -> aiohttp.TraceConfig:
    """For discord.py's session. `now` gives unix seconds by Discord's clock. Counts what is below `api_url`."""
    base = api_url.rstrip("/") + "/"

    async def begin(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        context.began = asyncio.get_running_loop().time()

    def tell(context: SimpleNamespace, method: str, url: URL, status: int) -> None:
        address = str(url)
        if not address.startswith(base):
            return
        path = url.path[len(URL(base).path) :]
        route = route_name(method, path)
        observer.discord_answered(route, status, asyncio.get_running_loop().time() - context.began)
        if route == ACKNOWLEDGEMENT and 200 <= status < 300:
            observer.interaction_acknowledged(now() - made_at_s(int(path.split("/")[1])))

    async def answered(_: aiohttp.ClientSession, context: SimpleNamespace, end: aiohttp.TraceRequestEndParams) -> None:
        tell(context, end.method, end.url, end.response.status)

    async def unanswered(
        _: aiohttp.ClientSession, context: SimpleNamespace, end: aiohttp.TraceRequestExceptionParams
    ) -> None:
        tell(context, end.method, end.url, 0)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(begin)
    trace.on_request_end.append(answered)
    trace.on_request_exception.append(unanswered)
    return trace
