"""One request of the API over HTTP: the key's session, what a status stands for, aiohttp's errors by cause.

No error that leaves here holds the API key, and nothing is logged.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Final, Self

import aiohttp
import orjson

from bot.errors import (
    ProviderBusy,
    ProviderError,
    ProviderFailed,
    ProviderKeyRefused,
    ProviderModelGone,
    ProviderOutOfCredit,
    ProviderRejected,
    ProviderUnreachable,
)
from bot.minitoolai.events import error_message, one_line

ERROR_BODY_LIMIT_BYTES: Final = 64 * 1024
"""How much of an error's body is read."""

ERROR_BODY_S: Final = 5.0
"""How long an error's body may take. The status says enough without it."""

Taken = Callable[[bool], None]
"""Told True when a request has gone out, which the API may bill from then on, False when it turned that one down."""


class Transport:
    """Posts JSON for one key over connections of its own. An async context manager: it owns the HTTP session.

    `connections` bounds the requests that are open at the same time; more wait, for at most `connect_s`. Raises
    `ValueError` for a key that cannot stand in a header.
    """

    def __init__(self, api_key: str, *, connections: int, connect_s: float) -> None:
        if not (api_key and api_key.isascii() and api_key.isprintable() and " " not in api_key):
            raise ValueError("the API key must be printable ASCII without spaces")
        self._key = api_key
        self._connections = connections
        self._connect_s = connect_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "Authorization": f"Bearer {self._key}",
                "Content-Type": "application/json",
                "Accept-Encoding": "identity",  # a compressor on the way would hold words back to fill its blocks
            },
            # Reading has its callers' deadlines: aiohttp's would run on while the consumer is busy.
            timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_s, sock_connect=self._connect_s),
            trace_configs=[_telling_what_is_sent()],
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        session, self._session = self._session, None
        assert session is not None
        await session.close()

    async def post(self, url: str, body: bytes, taken: Taken) -> aiohttp.ClientResponse:
        """Send `body`, and return when the status has come. The caller sets the deadline and closes the response.

        A redirect is not followed: the key goes to the configured address only.
        """
        if self._session is None:
            raise RuntimeError("the client is not open")
        return await self._session.post(url, data=body, allow_redirects=False, trace_request_ctx=taken)

    @contextlib.contextmanager
    def translating(self, *, within_s: float) -> Iterator[None]:
        """Turn aiohttp's errors, and a deadline of `within_s` seconds that has passed, into `ProviderError`s."""
        try:
            yield
        except aiohttp.ClientError as error:
            raise self._translated(error) from error
        except TimeoutError as error:
            raise ProviderUnreachable(f"nothing came within {within_s:g} s", sent=True) from error

    async def refusal(self, response: aiohttp.ClientResponse, first: bytes = b"", *, hide: str = "") -> ProviderError:
        """The error that an answer other than the expected one stands for; `first` has been read of its body.

        What `hide` names stays out of it, as the key does.
        """
        detail = self.tidy(error_message(_json_or_none(await _read_some(response, first))), hide=hide)
        status = response.status
        if status == 429:
            wait_s = retry_after_s(response.headers.get("Retry-After"), now=datetime.now(UTC))
            return ProviderBusy(detail, retry_after_s=wait_s)
        if status == 200:
            return ProviderFailed(detail or "status 200 without an event stream", status=status)
        cause = STATUS_CAUSES.get(status, ProviderFailed)
        return cause(detail or f"status {status}", status=status)

    def tidy(self, detail: str, *, hide: str = "") -> str:
        """`detail` fit for a log: one line, bounded, without the key, nor `hide`, should the API echo them."""
        detail = detail.replace(self._key, "[key]")
        return one_line(detail.replace(hide, "[hidden]") if hide else detail)

    def _translated(self, error: aiohttp.ClientError) -> ProviderError:
        cause, _ = verdict(error)
        detail = self.tidy(f"{type(error).__name__}: {error}")
        if cause is ProviderUnreachable:
            return ProviderUnreachable(detail, sent=not isinstance(error, NEVER_SENT))
        return cause(detail)


STATUS_CAUSES: Final[dict[int, type[ProviderError]]] = {
    400: ProviderRejected,
    413: ProviderRejected,
    422: ProviderRejected,
    401: ProviderKeyRefused,
    403: ProviderKeyRefused,
    402: ProviderOutOfCredit,
    404: ProviderModelGone,
}
"""What a status stands for, where it is not `ProviderBusy` (429) or `ProviderFailed` (all others)."""

TRANSLATION: Final[dict[type[aiohttp.ClientError], tuple[type[ProviderError], bool]]] = {
    # (what it is to us, whether the same request may fare better a moment later); before the body's first byte
    aiohttp.ClientError: (ProviderUnreachable, False),
    aiohttp.ClientConnectionError: (ProviderUnreachable, True),
    aiohttp.ClientSSLError: (ProviderUnreachable, False),
    aiohttp.ServerFingerprintMismatch: (ProviderUnreachable, False),
    aiohttp.ClientPayloadError: (ProviderUnreachable, True),
    aiohttp.ClientResponseError: (ProviderFailed, False),
    aiohttp.InvalidURL: (ProviderFailed, False),
    aiohttp.NonHttpUrlClientError: (ProviderFailed, False),
    aiohttp.RedirectClientError: (ProviderFailed, False),
}
"""aiohttp's errors by family. The nearest ancestor decides."""

NEVER_SENT: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ServerFingerprintMismatch)
"""With these no connection came about, so that the API cannot have taken the request."""


def verdict(error: aiohttp.ClientError) -> tuple[type[ProviderError], bool]:
    """The cause that `error` stands for, and whether a retry is worth it."""
    return next(TRANSLATION[kind] for kind in type(error).__mro__ if kind in TRANSLATION)


def retry_after_s(value: str | None, *, now: datetime) -> float | None:
    """The seconds that a `Retry-After` header asks for (RFC 9110, section 10.2.3), or None where it says nothing."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdecimal():
        return float(value[:12])  # 12 digits are 30,000 years
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # a year or a zone beyond reckoning
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())


def _telling_what_is_sent() -> aiohttp.TraceConfig:
    """Tells the `Taken` of a request when its headers have gone out: a wait for a connection costs nothing."""

    async def tell(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx(True)

    tracing = aiohttp.TraceConfig()
    tracing.on_request_headers_sent.append(tell)
    return tracing


async def _read_some(response: aiohttp.ClientResponse, first: bytes) -> bytes:
    """The body as far as it comes, at most `ERROR_BODY_LIMIT_BYTES`. A torn body is as good as a short one."""
    body = bytearray(first)
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with asyncio.timeout(ERROR_BODY_S):
            while len(body) < ERROR_BODY_LIMIT_BYTES and (more := await response.content.readany()):
                body += more
    return bytes(body[:ERROR_BODY_LIMIT_BYTES])


def _json_or_none(body: bytes) -> object:
    try:
        value: object = orjson.loads(body)
    except ValueError:
        return None
    # A bare JSON text is no documented form of an error, and may be anything.
    return value if isinstance(value, dict) else None
