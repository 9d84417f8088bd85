"""One request, and what its failure means: shared by the checks that ask Discord and the MiniToolAI API."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson

ANSWER_LIMIT_BYTES: Final = 64 * 1024
TIMEOUT: Final = aiohttp.ClientTimeout(total=10, sock_connect=5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """`body` is the JSON object of the answer, empty where it is none."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """No answer. `what` follows the name of the other side; `cure` uses the name of the variable with its address."""

    what: str
    cure: str


async def ask(
    method: str, url: str, *, variable: str, headers: Mapping[str, str] | None = None, data: bytes | None = None
) -> Answer | Failure:
    """The answer to one request, redirects not followed: a secret goes to the configured address only.

    `variable` is the setting that the address comes from. No text here repeats a header or the address's password.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(method, url, headers=headers, data=data, allow_redirects=False) as response,
        ):
            begun = await response.content.read(ANSWER_LIMIT_BYTES) if response.status != 200 else b""
            if response.status == 200 and response.content_type == "application/json":
                begun = await _whole(response)
            return Answer(status=response.status, headers=dict(response.headers), body=_object(begun))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return _failure(error, variable)


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """The body, cut where it is longer than an answer of this kind can be."""
    read = bytearray()
    async for chunk in response.content.iter_any():
        read += chunk
        if len(read) > ANSWER_LIMIT_BYTES:
            break
    return bytes(read)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _failure(error: Exception, variable: str) -> Failure:
    check = f"Check {variable}, and that this machine may reach it (firewall, proxy)."
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Failure(what="has an address whose name cannot be resolved", cure=f"{check} Is its DNS working?")
        case aiohttp.ClientConnectorCertificateError() | ssl.SSLCertVerificationError():
            cure = "Set this machine's clock, and install its certificate authorities (the package ca-certificates)."
            return Failure(what="shows a certificate that this machine does not trust", cure=cure)
        case aiohttp.ClientSSLError():
            return Failure(what="does not speak TLS at that address", cure=f"{check} Is it https where it should be?")
        case TimeoutError():
            return Failure(what=f"did not answer within {TIMEOUT.total:g} seconds", cure=check)
        case aiohttp.ClientConnectorError():
            return Failure(what="takes no connection", cure=check)
        case _:
            return Failure(what=f"broke the connection off ({type(error).__name__})", cure=check)
