"""Fetches the pictures of a question for the simulation: from this machine alone, and within bounds."""

import asyncio
import ipaddress
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from sandbox.minitoolai.describing import Sight, Unseen, examine

LOOK_BYTES: Final = 16 * 1024 * 1024
LOOK_S: Final = 5.0
"""For one picture, with its decoding."""

AT_MOST: Final = 10
"""Pictures of one question that are looked at."""


def addresses(messages: Sequence[dict[str, Any]]) -> list[str]:
    """The addresses of the pictures in the newest user message of a checked request."""
    content = next((message["content"] for message in reversed(messages) if message["role"] == "user"), "")
    if isinstance(content, str):
        return []
    return [part["image_url"]["url"] for part in content if part["type"] == "image_url"]


async def look(urls: Sequence[str]) -> list[Sight]:
    """A sight for each address, in their order. Raises nothing but `CancelledError`."""
    timeout = aiohttp.ClientTimeout(total=LOOK_S)
    async with aiohttp.ClientSession(
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,  # what is bounded are the bytes that come
    ) as session:
        sights = await asyncio.gather(*(_look(session, url) for url in urls[:AT_MOST]))
    return [*sights, *(Unseen(f"{AT_MOST} are enough for one question") for _ in urls[AT_MOST:])]


def is_here(url: str) -> bool:
    """Whether an address is http(s) on this machine, by its own words: asking a name server would leave it."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port  # a port that is none raises
    except ValueError:
        return False
    if parts.scheme not in ("http", "https"):
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _look(session: aiohttp.ClientSession, url: str) -> Sight:
    if not is_here(url):
        return Unseen("it is not on this machine, and this simulation fetches nothing from elsewhere")
    try:
        async with asyncio.timeout(LOOK_S):
            data = await _fetch(session, url)
            return data if isinstance(data, Unseen) else await asyncio.to_thread(examine, data)
    except TimeoutError:
        return Unseen(f"it was not there within {LOOK_S:g} seconds")
    except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: an address that aiohttp cannot take
        return Unseen(f"fetching it failed ({type(error).__name__})")


async def _fetch(session: aiohttp.ClientSession, url: str) -> bytes | Unseen:
    """The bytes there. A redirect is not followed: it may lead off the machine."""
    async with session.get(url, allow_redirects=False) as response:
        if response.status != 200:
            return Unseen(f"its address answers with status {response.status}")
        data = bytearray()
        async for piece in response.content.iter_any():
            data += piece
            if len(data) > LOOK_BYTES:
                return Unseen(f"it has more than {LOOK_BYTES // 2**20} MiB")
        return bytes(data)
