"""The MiniToolAI API: answers and pictures, with deadlines by phase, typed errors and bounded retries.

No line that is logged here holds text of a question, an answer or a prompt, nor the API key.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

import aiohttp
import orjson
import tenacity

from bot.errors import (
    PictureFailed,
    ProviderBusy,
    ProviderError,
    ProviderFailed,
    ProviderUnreachable,
    StreamBroken,
    StreamEmpty,
    StreamStalled,
)
from bot.minitoolai import jobs
from bot.minitoolai.chat import ChatEvent, ChatRequest, Finished, Message, TextDelta
from bot.minitoolai.circuit import Circuit
from bot.minitoolai.events import ChatDecoder, well_formed
from bot.minitoolai.images import ImageRequest, JobRef, JobState
from bot.minitoolai.transport import Taken, Transport, verdict
from bot.observer import SILENT, ApiOperation, Observer

log = logging.getLogger(__name__)

JOB_BODY_LIMIT_BYTES: Final = 64 * 1024
"""The longest answer about an image job; the guide's have 100 bytes."""

TAIL_S: Final = 5.0
"""How long the usage is awaited once the model has finished: the answer is whole, so its asker should not wait on."""

DRAIN_S: Final = 0.05
"""How long the body's end is awaited after `[DONE]`; it usually is in the same packet, and saves the next handshake."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """Seconds for each phase.

    `connect_s` includes the wait for a free connection; `first_byte_s` runs from the request of one attempt to the
    first event of its body; `gap_s` lies between two reads after that; `answer_s` bounds everything, retries included.
    `job_s` bounds one submission of a picture, and one question about it, with its answer.
    """

    connect_s: float = 10.0
    first_byte_s: float = 60.0
    gap_s: float = 30.0
    answer_s: float = 600.0
    job_s: float = 30.0

    def __post_init__(self) -> None:
        if min(self.connect_s, self.first_byte_s, self.gap_s, self.answer_s, self.job_s) <= 0:
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

    def worth_a_retry(self, error: BaseException) -> bool:
        """Whether the same request may fare better a moment later. How often is the caller's to count."""
        if isinstance(error, ProviderBusy):
            return error.retry_after_s is None or error.retry_after_s <= self.retry_after_limit_s
        if isinstance(error, ProviderFailed) and error.status is not None:
            return error.status >= 500
        cause = error.__cause__
        return isinstance(cause, aiohttp.ClientError) and verdict(cause)[1]

    def pause_s(self, failures: int, error: BaseException | None) -> float:
        """The seconds to wait before the next attempt, after `failures` (1 or more) of which `error` was the last."""
        jitter_s = random.uniform(0.0, min(self.cap_s, self.base_s * 2.0 ** min(failures - 1, 64)))
        asked_s = error.retry_after_s if isinstance(error, ProviderBusy) else None
        return (asked_s or 0.0) + jitter_s


class MiniToolAI:
    """The API for one key. An async context manager: it owns the HTTP sessions.

    `connections` bounds the answers that are streamed at the same time, `image_connections` the requests about
    pictures; more wait, for at most `connect_s`. They are apart, so that neither keeps the other waiting. Raises
    `ValueError` for a key that cannot stand in a header.
    """

    def __init__(
        self,
        api_url: str,
        api_key: str,
        *,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        connections: int = 1_000,
        image_connections: int = 100,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        observer: Observer = SILENT,
    ) -> None:
        self._observer = observer
        base = api_url.rstrip("/")
        self._chat_url = f"{base}/chat-completions/"  # the trailing slashes are part of the paths
        self._submit_url = f"{base}/texttoimage/"
        self._poll_url = f"{base}/texttoimage/jobs/"
        self._timeouts = timeouts or Timeouts()
        self.retry: Final = retry or RetryPolicy()
        """For those who try a submission again: its verdict and its pauses."""
        self._sleep = sleep
        self.circuit: Final = Circuit(time.monotonic)
        """Open while the API is down: then `chat` and `submit` raise `ProviderDown` at once."""
        connect_s = self._timeouts.connect_s
        self._chats = Transport(api_key, connections=connections, connect_s=connect_s)
        self._images = Transport(api_key, connections=image_connections, connect_s=connect_s)
        self._closing = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        for transport in (self._chats, self._images):
            await self._closing.enter_async_context(transport)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._closing.aclose()

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
            with self._observed("stream"):
                async with contextlib.aclosing(stream.events()) as events:
                    async for event in events:
                        said_something |= isinstance(event, TextDelta) and not event.text.isspace()
                        filtered |= isinstance(event, Finished) and event.reason == "content_filter"
                        yield event
                if not (said_something or filtered):
                    raise StreamEmpty
        finally:
            stream.close()

    async def submit(self, request: ImageRequest, *, taken: Taken = lambda _: None) -> JobRef:
        """Order one picture, in one attempt. Whoever tries again asks `retry`, and writes down each try before it.

        `taken` hears of the attempt: after True without False the API may have made a job, and bill it, whatever is
        raised here.

        Raises:
            PictureFailed: the API would not make a picture of it.
            ProviderError: the other causes of `bot.errors`; `ProviderFailed` with status 200 for an unreadable answer.
        """
        with self.circuit.watching(), self._observed("submit"):
            answer = await self._ask(self._submit_url, jobs.request_to_json(request), taken)
        try:
            return jobs.read_job(answer, tidy=self._images.tidy)
        except PictureFailed:
            taken(False)
            raise

    async def poll(self, job: JobRef) -> JobState:
        """Ask once how far a job is. Any `ProviderError` says nothing about the job: ask again later."""
        hide = job.signature
        with self._observed("poll"):
            answer = await self._ask(self._poll_url, jobs.job_to_json(job), hide=hide)
        return jobs.read_state(answer, tidy=lambda words: self._images.tidy(words, hide=hide))

    async def _ask(self, url: str, said: dict[str, Any], taken: Taken = lambda _: None, *, hide: str = "") -> bytes:
        """One request about a picture, and the body of its answer with status 200."""
        within_s = self._timeouts.job_s
        with self._images.translating(within_s=within_s):
            async with asyncio.timeout(within_s):
                response = await self._images.post(url, orjson.dumps(said), taken)
                async with response:
                    if response.status != 200:
                        taken(False)
                        raise await self._images.refusal(response, hide=hide)
                    return await _read_whole(response)

    @contextlib.contextmanager
    def _observed(self, operation: ApiOperation) -> Iterator[None]:
        """Tell the observer how a request ended, unless nobody waited for its end."""
        began = _now()
        try:
            yield
        except ProviderError as error:
            self._observer.api_answered(operation, type(error).__name__, _now() - began)
            raise
        self._observer.api_answered(operation, None, _now() - began)

    async def _open(self, body: bytes, answer_ends: float, taken: Taken) -> "_Stream":
        """The stream with its first bytes read, after as many attempts as the policy allows."""
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self.retry.attempts),
            wait=lambda state: self.retry.pause_s(state.attempt_number, _error_of(state)),
            retry=tenacity.retry_if_exception(self.retry.worth_a_retry),
            before_sleep=_log_retry,
            sleep=self._sleep,
            reraise=True,
        )
        with self.circuit.watching():
            try:
                async with asyncio.timeout_at(answer_ends):
                    return await retrying(self._attempt, body, answer_ends, taken)
            except TimeoutError as error:
                raise ProviderUnreachable("no answer within the time for the whole of it", sent=True) from error

    async def _attempt(self, body: bytes, answer_ends: float, taken: Taken) -> "_Stream":
        first_event_by = _now() + self._timeouts.first_byte_s
        response: aiohttp.ClientResponse | None = None
        try:
            with self._observed("chat"), self._chats.translating(within_s=self._timeouts.first_byte_s):
                async with asyncio.timeout_at(first_event_by):
                    response = await self._chats.post(self._chat_url, body, taken)
                    first = await self._first_bytes(response, taken)
            stream = _Stream(
                response=response,
                first=first,
                decoder=ChatDecoder(tidy=self._chats.tidy),
                timeouts=self._timeouts,
                first_event_by=first_event_by,
                answer_ends=answer_ends,
            )
            response = None  # it belongs to the stream now
            return stream
        finally:
            if response is not None:
                response.close()

    async def _first_bytes(self, response: aiohttp.ClientResponse, taken: Taken) -> bytes:
        """The first of an event stream. Raises the `ProviderError` that any other answer stands for."""
        first = await response.content.readany() if response.status == 200 else b""
        if response.status != 200 or _is_no_event_stream(first):
            taken(False)
            raise await self._chats.refusal(response, first)
        return first


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


async def _read_whole(response: aiohttp.ClientResponse) -> bytes:
    """The body. Raises `ProviderFailed` for one over `JOB_BODY_LIMIT_BYTES`, of which no more is read."""
    body = bytearray()
    while more := await response.content.readany():
        body += more
        if len(body) > JOB_BODY_LIMIT_BYTES:
            raise ProviderFailed(f"an answer of more than {JOB_BODY_LIMIT_BYTES} bytes", status=response.status)
    return bytes(body)


def _is_no_event_stream(first: bytes) -> bool:
    """Whether the body begins like HTML or JSON.

    The API does not document its Content-Type, so the bytes decide: no line of an event stream begins like that.
    """
    return first.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"<", b"{", b"[")


def _now() -> float:
    """The running loop's clock, in seconds."""
    return asyncio.get_running_loop().time()


def _error_of(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = _error_of(state)
    pause_s = state.next_action.sleep if state.next_action else 0.0
    # Its kind and status alone: the API's own words may quote the question.
    status = getattr(error, "status", None)
    log.warning("attempt %d failed, next in %.2f s: %s %s", state.attempt_number, pause_s, type(error).__name__, status)
