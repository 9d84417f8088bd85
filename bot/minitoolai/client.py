"""The MiniToolAI API over HTTP: one session, deadlines by phase, retries before the first byte, typed errors.

No line that is logged here holds text of a question or an answer, nor the API key.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any, Final, Self

import aiohttp
import orjson
import tenacity

from bot.errors import (
    ProviderBusy,
    ProviderError,
    ProviderFailed,
    ProviderKeyRefused,
    ProviderModelGone,
    ProviderOutOfCredit,
    ProviderRejected,
    ProviderUnreachable,
    StreamBroken,
    StreamEmpty,
    StreamStalled,
)
from bot.minitoolai.chat import ChatEvent, ChatRequest, Finished, Message, TextDelta
from bot.minitoolai.events import ChatDecoder, error_message, one_line, well_formed

log = logging.getLogger(__name__)

ERROR_BODY_LIMIT_BYTES: Final = 64 * 1024
"""How much of an error's body is read."""

ERROR_BODY_S: Final = 5.0
"""How long an error's body may take. The status says enough without it."""

TAIL_S: Final = 5.0
"""How long the usage is awaited once the model has finished: the answer is whole, so its asker should not wait on."""

DRAIN_S: Final = 0.05
"""How long the body's end is awaited after `[DONE]`; it usually is in the same packet, and saves the next handshake."""


Taken = Callable[[bool], None]
"""Told True when a request has gone out, which the API may bill from then on, False when it turned that one down."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """Seconds for each phase.

    `connect_s` includes the wait for a free connection; `first_byte_s` runs from the request of one attempt to the
    first event of its body; `gap_s` lies between two reads after that; `answer_s` bounds everything, retries included.
    """

    connect_s: float = 10.0
    first_byte_s: float = 60.0
    gap_s: float = 30.0
    answer_s: float = 600.0

    def __post_init__(self) -> None:
        if min(self.connect_s, self.first_byte_s, self.gap_s, self.answer_s) <= 0:
            raise ValueError("every timeout must be above 0 s")


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """Retry n waits between 0 and min(`cap_s`, `base_s` x 2^(n-1)) seconds (full jitter), after any `Retry-After`.

    A `Retry-After` beyond `retry_after_limit_s` ends the matter at once: someone is waiting for the answer.
    """

    attempts: int = 3
    base_s: float = 0.5
    cap_s: float = 8.0
    retry_after_limit_s: float = 20.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.base_s, self.cap_s, self.retry_after_limit_s) < 0:
            raise ValueError("at least one attempt, and no negative wait")


class MiniToolAI:
    """The API for one key. An async context manager: it owns the HTTP session.

    `connections` bounds the answers that are streamed at the same time; more wait, for at most `connect_s`.
    Raises `ValueError` for a key that cannot stand in a header.
    """

    def __init__(
        self,
        api_url: str,
        api_key: str,
        *,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        connections: int = 1_000,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if not (api_key and api_key.isascii() and api_key.isprintable() and " " not in api_key):
            raise ValueError("the API key must be printable ASCII without spaces")
        self._chat_url = f"{api_url.rstrip('/')}/chat-completions/"  # the trailing slash is part of the path
        self._key = api_key
        self._timeouts = timeouts or Timeouts()
        self._retry = retry or RetryPolicy()
        self._connections = connections
        self._sleep = sleep
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
            # Reading has its own deadlines, below: aiohttp's would run on while the consumer is busy.
            timeout=aiohttp.ClientTimeout(
                total=None, connect=self._timeouts.connect_s, sock_connect=self._timeouts.connect_s
            ),
            trace_configs=[_telling_what_is_sent()],
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def chat(self, request: ChatRequest, *, taken: Taken = lambda _: None) -> AsyncGenerator[ChatEvent, None]:
        """Ask, and yield the answer as it streams; `taken` hears of each attempt.

        Closing the generator closes the connection at once, so iterate inside `contextlib.aclosing`.
        Raises the `ProviderError`s of `bot.errors`; a `StreamFailed` once the body has begun.
        """
        body = orjson.dumps(to_json(request))
        answer_ends = _now() + self._timeouts.answer_s
        stream = await self._open(body, answer_ends, taken)
        said_something = filtered = False
        try:
            async with contextlib.aclosing(stream.events()) as events:
                async for event in events:
                    said_something |= isinstance(event, TextDelta) and not event.text.isspace()
                    filtered |= isinstance(event, Finished) and event.reason == "content_filter"
                    yield event
        finally:
            stream.close()
        if not (said_something or filtered):
            raise StreamEmpty

    async def _open(self, body: bytes, answer_ends: float, taken: Taken) -> "_Stream":
        """The stream with its first bytes read, after as many attempts as the policy allows."""
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self._retry.attempts),
            wait=self._pause_s,
            retry=tenacity.retry_if_exception(self._is_worth_a_retry),
            before_sleep=_log_retry,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            async with asyncio.timeout_at(answer_ends):
                return await retrying(self._attempt, body, answer_ends, taken)
        except TimeoutError as error:
            raise ProviderUnreachable("no answer within the time for the whole of it", sent=True) from error

    async def _attempt(self, body: bytes, answer_ends: float, taken: Taken) -> "_Stream":
        if self._session is None:
            raise RuntimeError("the client is not open")
        first_event_by = _now() + self._timeouts.first_byte_s
        response: aiohttp.ClientResponse | None = None
        try:
            async with asyncio.timeout_at(first_event_by):
                # A redirect is not followed: the key goes to the configured address only.
                response = await self._session.post(
                    self._chat_url, data=body, allow_redirects=False, trace_request_ctx=taken
                )
                first = await response.content.readany() if response.status == 200 else b""
                if response.status != 200 or _is_no_event_stream(first):
                    taken(False)
                    raise await self._refusal(response, first)
            stream = _Stream(
                response=response,
                first=first,
                decoder=ChatDecoder(tidy=self._tidy),
                timeouts=self._timeouts,
                first_event_by=first_event_by,
                answer_ends=answer_ends,
            )
            response = None  # it belongs to the stream now
            return stream
        except aiohttp.ClientError as error:
            raise self._translated(error) from error
        except TimeoutError as error:
            raise ProviderUnreachable(f"nothing came within {self._timeouts.first_byte_s:g} s", sent=True) from error
        finally:
            if response is not None:
                response.close()

    async def _refusal(self, response: aiohttp.ClientResponse, first: bytes) -> ProviderError:
        """The error that an answer without an event stream stands for."""
        detail = self._tidy(error_message(_json_or_none(await _read_some(response, first))))
        status = response.status
        if status == 429:
            wait_s = retry_after_s(response.headers.get("Retry-After"), now=datetime.now(UTC))
            return ProviderBusy(detail, retry_after_s=wait_s)
        if status == 200:
            return ProviderFailed(detail or "status 200 without an event stream", status=status)
        cause = STATUS_CAUSES.get(status, ProviderFailed)
        return cause(detail or f"status {status}", status=status)

    def _translated(self, error: aiohttp.ClientError) -> ProviderError:
        cause, _ = verdict(error)
        detail = self._tidy(f"{type(error).__name__}: {error}")
        if cause is ProviderUnreachable:
            return ProviderUnreachable(detail, sent=not isinstance(error, NEVER_SENT))
        return cause(detail)

    def _is_worth_a_retry(self, error: BaseException) -> bool:
        if isinstance(error, ProviderBusy):
            return error.retry_after_s is None or error.retry_after_s <= self._retry.retry_after_limit_s
        if isinstance(error, ProviderFailed) and error.status is not None:
            return error.status >= 500
        cause = error.__cause__
        return isinstance(cause, aiohttp.ClientError) and verdict(cause)[1]

    def _pause_s(self, state: tenacity.RetryCallState) -> float:
        jitter: float = tenacity.wait_random_exponential(multiplier=self._retry.base_s, max=self._retry.cap_s)(state)
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_s if isinstance(error, ProviderBusy) else None
        return (asked or 0.0) + jitter

    def _tidy(self, detail: str) -> str:
        """`detail` fit for a log: one line, bounded, without the key should the API echo it."""
        return one_line(detail.replace(self._key, "[key]"))


@dataclass(kw_only=True, slots=True)
class _Stream:
    """An answer that has begun. Times are of the loop's clock."""

    response: aiohttp.ClientResponse
    first: bytes
    decoder: ChatDecoder
    timeouts: Timeouts
    first_event_by: float
    answer_ends: float

    async def events(self) -> AsyncGenerator[ChatEvent, None]:
        data, had_event = self.first, False
        if not data:
            return  # a body without a byte is an empty answer rather than a broken one
        while data and not self.decoder.done:
            for event in self.decoder.feed(data):
                had_event = True
                yield event
            if not self.decoder.done:
                data = await self._read(had_event)
        for event in self.decoder.end():
            yield event
        await self._drain()

    def close(self) -> None:
        """Close the connection, unless the body was read to its end and the connection went back to the pool."""
        self.response.close()

    async def _read(self, had_event: bool) -> bytes:
        """The next bytes, b"" at the end of the body; that is also where a finished answer loses its connection."""
        silent_s, silent_until = self._patience(had_event)
        try:
            async with asyncio.timeout_at(min(silent_until, self.answer_ends)):
                return await self.response.content.readany()
        except (TimeoutError, aiohttp.ClientError) as error:
            if self.decoder.finished:
                return b""
            if isinstance(error, aiohttp.ClientError):
                raise StreamBroken(type(error).__name__) from error
            if self.answer_ends <= silent_until:
                raise StreamBroken(f"the answer was not whole after {self.timeouts.answer_s:g} s") from error
            raise StreamStalled(silent_s=silent_s) from error

    def _patience(self, had_event: bool) -> tuple[float, float]:
        """How many seconds of silence are too many now, and when they are over."""
        if not had_event:
            return self.timeouts.first_byte_s, self.first_event_by
        silent_s = min(self.timeouts.gap_s, TAIL_S) if self.decoder.finished else self.timeouts.gap_s
        return silent_s, _now() + silent_s

    async def _drain(self) -> None:
        with contextlib.suppress(TimeoutError, aiohttp.ClientError):
            async with asyncio.timeout(DRAIN_S):
                while await self.response.content.readany():
                    pass


def _telling_what_is_sent() -> aiohttp.TraceConfig:
    """Tells the `Taken` of a request when its headers have gone out: a wait for a connection costs nothing."""

    async def tell(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx(True)

    tracing = aiohttp.TraceConfig()
    tracing.on_request_headers_sent.append(tell)
    return tracing


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


def to_json(request: ChatRequest) -> dict[str, Any]:
    """The documented body of `POST /chat-completions/`."""
    return {
        "model": request.model,
        "messages": [_message_to_json(message) for message in request.messages],
        "temperature": request.temperature,
        "max_completion_tokens": request.max_completion_tokens,
    }


def _message_to_json(message: Message) -> dict[str, Any]:
    text = well_formed(message.text)
    if not message.images:
        return {"role": message.role, "content": text}
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    parts += [
        {"type": "image_url", "image_url": {"url": image.url, "detail": image.detail}} for image in message.images
    ]
    return {"role": message.role, "content": parts}


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


async def _read_some(response: aiohttp.ClientResponse, first: bytes) -> bytes:
    """The body as far as it comes, at most `ERROR_BODY_LIMIT_BYTES`. A torn body is as good as a short one."""
    body = bytearray(first)
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with asyncio.timeout(ERROR_BODY_S):
            while len(body) < ERROR_BODY_LIMIT_BYTES and (more := await response.content.readany()):
                body += more
    return bytes(body[:ERROR_BODY_LIMIT_BYTES])


def _is_no_event_stream(first: bytes) -> bool:
    """Whether the body begins like HTML or JSON.

    The API does not document its Content-Type, so the bytes decide: no line of an event stream begins like that.
    """
    return first.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"<", b"{", b"[")


def _json_or_none(body: bytes) -> object:
    try:
        value: object = orjson.loads(body)
    except ValueError:
        return None
    # A bare JSON text is no documented form of an error, and may be anything.
    return value if isinstance(value, dict) else None


def _now() -> float:
    """The running loop's clock, in seconds."""
    return asyncio.get_running_loop().time()


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    pause_s = state.next_action.sleep if state.next_action else 0.0
    # Its kind and status alone: the API's own words may quote the question.
    status = getattr(error, "status", None)
    log.warning("attempt %d failed, next in %.2f s: %s %s", state.attempt_number, pause_s, type(error).__name__, status)
