"""The API client, over real sockets against the loopback API."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    StreamReported,
    StreamStalled,
)
from bot.minitoolai import client as client_module
from bot.minitoolai.chat import ChatEvent, ChatRequest, Finished, ImagePart, Message, Role, TextDelta, Usage
from bot.minitoolai.client import MiniToolAI, RetryPolicy, Timeouts, to_json
from bot.minitoolai.transport import ERROR_BODY_LIMIT_BYTES, TRANSLATION, retry_after_s, verdict
from sandbox.minitoolai import MiniToolAIServer, Script, Tokens
from tests.minitoolai.test_events import DOCUMENTED, DOCUMENTED_EVENTS, chunk, stream

KEY = "mini-key-0123456789"
AT_ONCE = RetryPolicy(base_s=0, cap_s=0)
FINISHED = stream(chunk("ok"), chunk(reason="stop"))


def ask(text: str = "What's the largest U.S. state by area?", **changes: object) -> ChatRequest:
    values = {
        "model": "gpt-4o-mini",
        "messages": (Message(role="user", text=text),),
        "temperature": 1.0,
        "max_completion_tokens": 1_000,
    }
    return ChatRequest(**{**values, **changes})  # type: ignore[arg-type]


async def all_of(ai: MiniToolAI, request: ChatRequest | None = None) -> tuple[list[ChatEvent], ProviderError | None]:
    """Every event, and the error that ended them if one did."""
    events: list[ChatEvent] = []
    try:
        async for event in ai.chat(request or ask()):
            events.append(event)  # noqa: PERF401 - what came before an error must be kept
    except ProviderError as error:
        return events, error
    return events, None


def text_of(events: list[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@pytest.fixture
async def api() -> AsyncIterator[MiniToolAIServer]:
    async with MiniToolAIServer(api_key=KEY) as server:
        yield server


@pytest.fixture
async def ai(api: MiniToolAIServer) -> AsyncIterator[MiniToolAI]:
    async with MiniToolAI(api.url, KEY, retry=AT_ONCE) as opened:
        yield opened


# What is said


async def test_a_question_is_asked_as_documented_and_its_answer_streams(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    api.script(Script(["Al", "aska", "."], usage=Tokens(prompt_tokens=30, completion_tokens=3, cached_tokens=10)))
    events, error = await all_of(ai)
    assert error is None
    assert events == [
        TextDelta("Al"),
        TextDelta("aska"),
        TextDelta("."),
        Finished("stop"),
        Usage(prompt_tokens=30, completion_tokens=3, cached_tokens=10),
    ]
    [received] = api.requests
    assert received.body == {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "What's the largest U.S. state by area?"}],
        "temperature": 1.0,
        "max_completion_tokens": 1_000,
    }
    assert received.headers["Content-Type"] == "application/json"


def test_images_become_parts_after_the_text_with_their_detail() -> None:
    image = ImagePart(url="https://example.com/image.jpg", detail="low")
    assert to_json(ask(messages=(Message(role="user", text="What's this?", images=(image,)),)))["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What's this?"},
                {"type": "image_url", "image_url": {"url": "https://example.com/image.jpg", "detail": "low"}},
            ],
        }
    ]


def test_an_image_without_text_is_a_part_alone() -> None:
    image = ImagePart(url="https://example.com/image.jpg")
    [message] = to_json(ask(messages=(Message(role="user", text="", images=(image,)),)))["messages"]
    assert [part["type"] for part in message["content"]] == ["image_url"]


async def test_every_role_and_any_text_is_taken(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    api.script(Script("ok"))
    messages = (
        Message(role="developer", text="Be brief. שלום 😀"),
        Message(role="assistant", text='"quoted"\n\x00'),
        Message(role="user", text="half a pair: \ud83d"),
    )
    _, error = await all_of(ai, ask(messages=messages))
    assert error is None
    assert [message["content"] for message in api.requests[0].body["messages"]] == [
        "Be brief. שלום 😀",
        '"quoted"\n\x00',
        "half a pair: \ufffd",
    ]


@pytest.mark.parametrize("base", ["{}", "{}/"])
async def test_the_address_may_end_with_a_slash(api: MiniToolAIServer, base: str) -> None:
    api.script(Script("ok"))
    async with MiniToolAI(base.format(api.url), KEY) as ai:
        assert text_of((await all_of(ai))[0]) == "ok"


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "ключ"])
def test_a_key_that_cannot_stand_in_a_header_is_refused_without_being_quoted(key: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        MiniToolAI("http://127.0.0.1:1/api", key)
    assert not key or key not in str(caught.value)


# What comes back


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
async def test_an_answer_with_comments_and_any_line_ending_is_read(
    api: MiniToolAIServer, ai: MiniToolAI, ending: str
) -> None:
    api.script(Script(["a", "b"], comments=True, line_ending=ending))  # type: ignore[arg-type]
    events, error = await all_of(ai)
    assert error is None
    assert text_of(events) == "ab"


async def test_the_guides_own_example_is_read_from_the_socket_byte_by_byte(
    api: MiniToolAIServer, ai: MiniToolAI
) -> None:
    api.script(Script(raw=[DOCUMENTED[i : i + 1] for i in range(len(DOCUMENTED))]))
    assert await all_of(ai) == (DOCUMENTED_EVENTS, None)


async def test_the_content_type_is_not_relied_upon(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    api.script(Script("ok", headers={"Content-Type": "text/html; charset=UTF-8"}))
    assert text_of((await all_of(ai))[0]) == "ok"


async def test_an_answer_is_whole_without_usage_and_done(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    api.script(Script("ok", usage=None, done=False))
    assert await all_of(ai) == ([TextDelta("ok"), Finished("stop")], None)


async def test_an_answer_without_any_end_is_broken(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    api.script(Script("ok", usage=None, done=False, finish_reason=None))
    events, error = await all_of(ai)
    assert events == [TextDelta("ok")]
    assert type(error) is StreamBroken


@pytest.mark.parametrize("fault", [{"break_after": 1}, {"stall_after": 1}], ids=str)
async def test_a_connection_that_fails_after_the_finish_reason_takes_nothing_away(
    api: MiniToolAIServer, fault: dict[str, int]
) -> None:
    api.script(Script(raw=[FINISHED], **fault))  # type: ignore[arg-type]
    async with MiniToolAI(api.url, KEY, timeouts=Timeouts(gap_s=0.05)) as ai:
        assert await all_of(ai) == ([TextDelta("ok"), Finished("stop")], None)


@pytest.mark.parametrize("text", ["", [""], "  \n "])
async def test_an_answer_without_a_word_is_empty(api: MiniToolAIServer, ai: MiniToolAI, text: str) -> None:
    api.script(Script(text))
    assert type((await all_of(ai))[1]) is StreamEmpty


async def test_a_body_without_a_byte_is_empty_and_not_asked_again(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    api.script(Script(raw=[]))
    assert type((await all_of(ai))[1]) is StreamEmpty
    assert len(api.requests) == 1


async def test_the_content_filter_may_leave_no_word(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    api.script(Script("", finish_reason="content_filter", usage=None))
    assert await all_of(ai) == ([Finished("content_filter")], None)


async def test_deltas_arrive_while_the_rest_is_still_held_back(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    gate = asyncio.Event()
    api.script(Script(["first", "second"], stall_after=1, gate=gate))
    async with contextlib.aclosing(ai.chat(ask())) as events:
        assert await anext(events) == TextDelta("first")
        gate.set()
        assert await anext(events) == TextDelta("second")


async def test_connections_are_used_again_after_a_whole_answer(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    ports = []
    api.answer = lambda received: ports.append(received.peer_port) or Script("ok")  # type: ignore[func-returns-value]
    for _ in range(3):
        await all_of(ai)
    assert len(set(ports)) == 1


async def test_the_bodys_end_is_awaited_for_the_sake_of_the_connection(
    api: MiniToolAIServer, ai: MiniToolAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "DRAIN_S", 10.0)
    gate = asyncio.Event()
    api.script(Script(raw=[FINISHED + b"data: [DONE]\n\n"], stall_after=1, gate=gate), Script("ok"))
    async for event in ai.chat(ask()):
        if isinstance(event, Finished):
            gate.set()
    await all_of(ai)
    assert len({received.peer_port for received in api.requests}) == 1


async def test_what_follows_the_end_of_an_answer_is_read_away_for_the_sake_of_the_connection(
    api: MiniToolAIServer, ai: MiniToolAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "DRAIN_S", 10.0)
    gate = asyncio.Event()
    body = [FINISHED + b"data: [DONE]\n\n", stream(chunk("never"))]
    api.script(Script(raw=body, stall_after=1, gate=gate), Script("ok"))
    events = []
    async for event in ai.chat(ask()):
        events.append(event)
        if isinstance(event, Finished):
            gate.set()
    assert events == [TextDelta("ok"), Finished("stop")]
    await all_of(ai)
    assert len({received.peer_port for received in api.requests}) == 1


async def test_a_last_event_without_its_line_end_is_heard(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    api.script(Script(raw=[stream(chunk("ok")) + f"data: {chunk(reason='length')}".encode()]))
    assert await all_of(ai) == ([TextDelta("ok"), Finished("length")], None)


async def test_a_client_that_is_not_open_asks_nothing(api: MiniToolAIServer) -> None:
    with pytest.raises(RuntimeError, match="not open"):
        await all_of(MiniToolAI(api.url, KEY))
    assert not api.requests


@pytest.mark.parametrize("role", ["developer", "assistant"])
def test_pictures_are_shown_by_users_alone(role: Role) -> None:
    picture = ImagePart(url="https://cdn.example/a.png")
    with pytest.raises(ValueError, match="user"):
        Message(role=role, text="look", images=(picture,))
    assert Message(role="user", text="look", images=(picture,)).images == (picture,)


async def test_nobody_waits_long_for_the_end_of_a_body_that_is_done(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    api.script(Script(raw=[FINISHED + b"data: [DONE]\n\n"], stall_after=1))
    assert await all_of(ai) == ([TextDelta("ok"), Finished("stop")], None)


async def test_a_hundred_answers_stream_at_once(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    gate = asyncio.Event()
    api.answer = lambda received: Script(["a"] * 20, gate=gate)
    tasks = [asyncio.create_task(all_of(ai)) for _ in range(100)]
    for _ in tasks:
        await api.wait_for_request()
    gate.set()
    assert {text_of(events) for events, _ in await asyncio.gather(*tasks)} == {"a" * 20}


# Leaving


async def test_closing_the_generator_hangs_up_at_once(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    api.script(Script(["one", "two"], stall_after=1))
    events = ai.chat(ask())
    assert await anext(events) == TextDelta("one")
    await events.aclose()
    received = await api.wait_for_request()
    async with asyncio.timeout(5):
        await received.ended.wait()
    assert received.client_left
    assert received.sent == ["one"]


async def test_cancelling_the_asker_before_the_first_byte_hangs_up_too(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    api.script(Script("never", first_delay_s=600))
    task = asyncio.create_task(all_of(ai))
    received = await api.wait_for_request()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        await received.ended.wait()
    assert received.client_left


async def test_cancelling_the_asker_in_the_stream_hangs_up_too(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    api.script(Script("never", stall_after=0))
    task = asyncio.create_task(all_of(ai))
    received = await api.wait_for_request()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        await received.ended.wait()
    assert received.client_left


# Errors by status


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (400, ProviderRejected),
        (413, ProviderRejected),
        (422, ProviderRejected),
        (401, ProviderKeyRefused),
        (403, ProviderKeyRefused),
        (402, ProviderOutOfCredit),
        (404, ProviderModelGone),
        (405, ProviderFailed),
        (418, ProviderFailed),
        (204, ProviderFailed),
        (500, ProviderFailed),
        (503, ProviderFailed),
    ],
)
async def test_each_status_has_its_cause(api: MiniToolAIServer, status: int, cause: type[ProviderError]) -> None:
    api.script(Script(status=status, error_body={"error": {"message": "so it is"}}))
    async with MiniToolAI(api.url, KEY, retry=RetryPolicy(attempts=1)) as ai:
        events, error = await all_of(ai)
    assert events == []
    assert type(error) is cause
    assert error.status == status
    assert error.detail == ("so it is" if status != 204 else "status 204")


async def test_a_wrong_key_is_the_operators_matter(api: MiniToolAIServer) -> None:
    async with MiniToolAI(api.url, "another-key") as ai:
        assert type((await all_of(ai))[1]) is ProviderKeyRefused


async def test_a_request_that_breaks_a_documented_rule_is_rejected(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    _, error = await all_of(ai, ask(temperature=2.5))
    assert type(error) is ProviderRejected
    assert "temperature" in error.detail


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"error": {"message": "in an object"}}, "in an object"),
        ({"error": "as a text"}, "as a text"),
        ({"message": "at the top\nof it"}, "at the top of it"),
        ({"code": 7}, "status 400"),
        ("<html><h1>Bad gateway</h1></html>", "status 400"),
        (b"\xff\xfe", "status 400"),
        (b"", "status 400"),
    ],
)
async def test_the_detail_is_the_apis_own_message(
    api: MiniToolAIServer, ai: MiniToolAI, body: object, detail: str
) -> None:
    api.script(Script(status=400, error_body=body))
    _, error = await all_of(ai)
    assert error is not None
    assert error.detail == detail


@pytest.mark.parametrize(("length", "is_read"), [(ERROR_BODY_LIMIT_BYTES - 100, True), (5_000_000, False)])
async def test_of_an_errors_body_no_more_than_the_limit_is_read(
    api: MiniToolAIServer, ai: MiniToolAI, length: int, is_read: bool
) -> None:
    """A longer body is torn at the limit, so the message in it is not found."""
    api.script(Script(status=400, error_body={"padding": "x" * length, "message": "found"}))
    _, error = await all_of(ai)
    assert type(error) is ProviderRejected
    assert error.detail == ("found" if is_read else "status 400")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"error": {"message": "no stream today"}}, "no stream today"),
        ({"status": "error", "message": "no credit"}, "no credit"),
        ("<!DOCTYPE html><html>Maintenance</html>", "status 200 without an event stream"),
        ("\ufeff  <html>", "status 200 without an event stream"),
        ([1], "status 200 without an event stream"),
    ],
)
async def test_a_200_without_an_event_stream_is_a_failure_and_not_asked_again(
    api: MiniToolAIServer, ai: MiniToolAI, body: object, detail: str
) -> None:
    api.script(Script(error_body=body))
    _, error = await all_of(ai)
    assert type(error) is ProviderFailed
    assert error.detail == detail
    assert len(api.requests) == 1


async def test_a_redirect_is_not_followed(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    async with MiniToolAIServer(api_key=KEY) as elsewhere:
        location = f"{elsewhere.url}/chat-completions/"
        api.script(Script(status=307, headers={"Location": location}, error_body=b""))
        _, error = await all_of(ai)
        assert type(error) is ProviderFailed
        assert error.status == 307
        assert not elsewhere.requests


@pytest.mark.parametrize(
    "script",
    [
        Script(status=401, error_body={"error": {"message": f"Incorrect API key: {KEY}"}}),
        Script(status=500, error_body={"error": f"{KEY}{KEY}"}),
        Script(error_body={"message": f"no such key {KEY}"}),
        Script(raw=[b'data: {"error":{"message":"no such key ' + KEY.encode() + b'"}}\n\n']),
        Script(raw=[b"data: " + KEY.encode() + b"\n\n"]),
    ],
)
async def test_a_key_that_the_api_echoes_reaches_neither_error_nor_log(
    api: MiniToolAIServer, ai: MiniToolAI, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    api.answer = lambda received: script
    _, error = await all_of(ai)
    assert error is not None
    cause: BaseException | None = error
    while cause is not None:
        assert KEY not in repr(cause)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    assert KEY not in caplog.text


# Retries


async def test_what_fails_before_the_first_byte_is_asked_again(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    api.script(Script(status=500), Script(hang_up=True), Script("ok"))
    events, error = await all_of(ai)
    assert error is None
    assert text_of(events) == "ok"
    assert len(api.requests) == 3


@pytest.mark.parametrize(
    "script", [Script(status=429), Script(status=502), Script(hang_up=True), Script("x", break_after=0)]
)
async def test_the_attempts_are_bounded(api: MiniToolAIServer, ai: MiniToolAI, script: Script) -> None:
    api.answer = lambda received: script
    _, error = await all_of(ai)
    assert error is not None
    assert type(error) is {429: ProviderBusy, 502: ProviderFailed, 200: ProviderUnreachable}[script.status]
    assert len(api.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422, 418])
async def test_what_will_not_change_is_not_asked_again(api: MiniToolAIServer, ai: MiniToolAI, status: int) -> None:
    api.script(Script(status=status))
    await all_of(ai)
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        (Script(["a", "b"], break_after=1), StreamBroken),
        (Script(["a", "b"], error_after=1), StreamReported),
        (Script(raw=[b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {oops\n\n']), StreamBroken),
    ],
)
async def test_after_the_first_byte_nothing_is_asked_again_and_what_came_is_kept(
    api: MiniToolAIServer, ai: MiniToolAI, script: Script, cause: type[ProviderError]
) -> None:
    api.script(script)
    events, error = await all_of(ai)
    assert events == [TextDelta("a")]
    assert type(error) is cause
    assert len(api.requests) == 1


async def test_nobody_listening_is_unreachable_after_the_retries() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        pauses: list[float] = []

        async def sleep(pause_s: float) -> None:
            pauses.append(pause_s)

        async with MiniToolAI(f"http://127.0.0.1:{unused.getsockname()[1]}/api", KEY, sleep=sleep) as ai:
            _, error = await all_of(ai)
    assert type(error) is ProviderUnreachable
    assert isinstance(error.__cause__, aiohttp.ClientConnectorError)
    assert len(pauses) == 2


async def test_pauses_are_jittered_within_a_growing_and_capped_bound(api: MiniToolAIServer) -> None:
    pauses: list[float] = []

    async def sleep(pause_s: float) -> None:
        pauses.append(pause_s)

    api.answer = lambda received: Script(status=503)
    async with MiniToolAI(api.url, KEY, retry=RetryPolicy(attempts=20, base_s=1, cap_s=4), sleep=sleep) as ai:
        await all_of(ai)
    bounds = [1, 2] + [4] * 17
    assert len(pauses) == len(bounds)
    assert all(0 <= pause_s <= bound for pause_s, bound in zip(pauses, bounds, strict=True))
    assert len(set(pauses)) > 10


async def test_what_goes_out_may_be_billed_until_the_api_turns_it_down(api: MiniToolAIServer) -> None:
    told: list[bool] = []
    api.script(Script(status=503), Script("ok"))
    async with (
        MiniToolAI(api.url, KEY, retry=AT_ONCE) as ai,
        contextlib.aclosing(ai.chat(ask(), taken=told.append)) as events,
    ):
        async for _ in events:
            pass
    assert told == [True, False, True]


async def test_what_finds_no_connection_has_never_gone_out(unused_tcp_port: int) -> None:
    told: list[bool] = []
    async with MiniToolAI(f"http://127.0.0.1:{unused_tcp_port}/api", KEY, retry=AT_ONCE) as ai:
        with pytest.raises(ProviderUnreachable):
            await anext(ai.chat(ask(), taken=told.append))
    assert told == []


async def test_a_busy_api_is_given_the_time_it_asks_for(api: MiniToolAIServer) -> None:
    pauses: list[float] = []

    async def sleep(pause_s: float) -> None:
        pauses.append(pause_s)

    api.script(Script(status=429, headers={"Retry-After": "7"}), Script("ok"))
    async with MiniToolAI(api.url, KEY, sleep=sleep) as ai:
        events, _ = await all_of(ai)
    assert text_of(events) == "ok"
    assert 7 <= pauses[0] <= 7.5


async def test_an_api_that_asks_for_too_long_is_not_waited_for(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    api.script(Script(status=429, headers={"Retry-After": "3600"}))
    _, error = await all_of(ai)
    assert type(error) is ProviderBusy
    assert error.retry_after_s == 3600
    assert len(api.requests) == 1


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        (" 120 ", 120),
        ("1.5", None),
        ("-3", None),
        ("soon", None),
        ("", None),
        ("²", None),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0),
        ("Thu, 01 Jan 2026 00:00:30 -0000", 30),
        ("Thu, 99 Jan 2026 00:00:30 GMT", None),
        (f"Thu, 01 Jan {10**20} 00:00:30 GMT", None),
        (f"Thu, 01 Jan 2026 00:00:30 +{10**20}", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, now=NOW) == seconds


@given(st.text(max_size=40) | st.integers().map(str))
def test_no_retry_after_is_negative_or_an_exception(value: str) -> None:
    seconds = retry_after_s(value, now=NOW)
    assert seconds is None or seconds >= 0


# Deadlines: each test waits for the one it is about, set as short as it can be.


async def test_silence_before_the_first_byte_is_unreachable_and_not_asked_again(api: MiniToolAIServer) -> None:
    for script in (Script("never", first_delay_s=600), Script("never", stall_after=0)):
        api.script(script)
        async with MiniToolAI(api.url, KEY, retry=AT_ONCE, timeouts=Timeouts(first_byte_s=0.05)) as ai:
            assert type((await all_of(ai))[1]) is ProviderUnreachable
    assert len(api.requests) == 2


async def test_comments_do_not_pass_for_a_first_event(api: MiniToolAIServer) -> None:
    api.script(Script(raw=[b": ping\n\n", b""], stall_after=1))
    async with MiniToolAI(api.url, KEY, timeouts=Timeouts(first_byte_s=0.05)) as ai:
        _, error = await all_of(ai)
    assert type(error) is StreamStalled
    assert error.silent_s == 0.05


async def test_a_gap_between_chunks_is_a_stall_and_what_came_is_kept(api: MiniToolAIServer) -> None:
    api.script(Script(["a", "b"], stall_after=1))
    async with MiniToolAI(api.url, KEY, timeouts=Timeouts(gap_s=0.05)) as ai:
        events, error = await all_of(ai)
    assert events == [TextDelta("a")]
    assert type(error) is StreamStalled
    assert error.silent_s == 0.05


async def test_the_consumers_own_pause_is_no_gap(api: MiniToolAIServer) -> None:
    api.script(Script(["a", "b"]))
    async with MiniToolAI(api.url, KEY, timeouts=Timeouts(gap_s=0.05)) as ai:
        events = []
        async for event in ai.chat(ask()):
            events.append(event)
            received = api.requests[0]
            await received.ended.wait()
            await asyncio.sleep(0.06)  # longer than the gap, which counts only while nothing is there to read
    assert text_of(events) == "ab"


async def test_the_whole_answer_has_a_bound(api: MiniToolAIServer) -> None:
    api.script(Script(["a"] * 1_000, chunk_delay_s=0.01))
    async with MiniToolAI(api.url, KEY, timeouts=Timeouts(answer_s=0.1)) as ai:
        events, error = await all_of(ai)
    assert events
    assert type(error) is StreamBroken
    assert "0.1 s" in error.detail


async def test_retries_count_towards_the_whole_answer(api: MiniToolAIServer) -> None:
    api.script(Script(status=429, headers={"Retry-After": "15"}))
    async with MiniToolAI(api.url, KEY, timeouts=Timeouts(answer_s=0.1)) as ai:
        assert type((await all_of(ai))[1]) is ProviderUnreachable
    assert len(api.requests) == 1


async def test_waiting_for_a_free_connection_has_a_bound(api: MiniToolAIServer) -> None:
    api.script(Script(["a", "b"], stall_after=1))
    async with (
        MiniToolAI(api.url, KEY, connections=1, retry=RetryPolicy(attempts=1), timeouts=Timeouts(connect_s=0.05)) as ai,
        contextlib.aclosing(ai.chat(ask())) as first,
    ):
        await anext(first)
        assert type((await all_of(ai))[1]) is ProviderUnreachable


@pytest.mark.parametrize("phase", ["connect_s", "first_byte_s", "gap_s", "answer_s", "job_s"])
def test_no_phase_is_without_a_bound(phase: str) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Timeouts(**{phase: 0})


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"base_s": -1}, {"cap_s": -1}, {"retry_after_limit_s": -1}])
def test_a_policy_has_an_attempt_and_no_negative_wait(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least one attempt"):
        RetryPolicy(**wrong)  # type: ignore[arg-type]


# aiohttp's errors


def kinds_of_client_error() -> list[type[aiohttp.ClientError]]:
    known = [aiohttp.ClientError]
    for kind in known:
        known += [child for child in kind.__subclasses__() if child not in known]
    return [kind for kind in known if kind.__module__.startswith("aiohttp.")]


@pytest.mark.parametrize("kind", kinds_of_client_error(), ids=lambda kind: kind.__name__)
def test_every_error_of_aiohttp_has_a_cause(kind: type[aiohttp.ClientError]) -> None:
    cause, _ = verdict(kind.__new__(kind))
    assert cause in (ProviderUnreachable, ProviderFailed)


@pytest.mark.parametrize(
    ("kind", "worth_it"),
    [
        (aiohttp.ServerDisconnectedError, True),
        (aiohttp.ClientConnectorError, True),
        (aiohttp.ClientConnectorDNSError, True),
        (aiohttp.ConnectionTimeoutError, True),
        (aiohttp.ClientPayloadError, True),
        (aiohttp.ClientConnectorCertificateError, False),
        (aiohttp.ClientConnectorSSLError, False),
        (aiohttp.ServerFingerprintMismatch, False),
        (aiohttp.TooManyRedirects, False),
        (aiohttp.InvalidURL, False),
        (aiohttp.NonHttpUrlRedirectClientError, False),
    ],
)
def test_a_broken_line_is_worth_a_retry_and_a_wrong_certificate_or_address_is_not(
    kind: type[aiohttp.ClientError], worth_it: bool
) -> None:
    assert verdict(kind.__new__(kind))[1] is worth_it


def test_the_table_names_nothing_twice_in_vain() -> None:
    """Every entry decides otherwise than its nearest ancestor's, so none can be left out."""
    for kind, decision in TRANSLATION.items():
        if kind is not aiohttp.ClientError:
            ancestor = next(TRANSLATION[parent] for parent in kind.__mro__[1:] if parent in TRANSLATION)
            assert decision != ancestor


async def test_an_address_that_is_none_is_a_failure_with_its_cause() -> None:
    async with MiniToolAI("ftp://127.0.0.1/api", KEY) as ai:
        _, error = await all_of(ai)
    assert type(error) is ProviderFailed
    assert isinstance(error.__cause__, aiohttp.ClientError)


async def test_what_is_no_http_is_a_failure_with_its_cause() -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-babble\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with MiniToolAI(f"http://127.0.0.1:{port}/api", KEY, retry=AT_ONCE) as ai:
            _, error = await all_of(ai)
    assert isinstance(error, ProviderFailed | ProviderUnreachable)
    assert isinstance(error.__cause__, aiohttp.ClientError)


# Logs


async def test_no_log_line_holds_text_of_question_or_answer(
    api: MiniToolAIServer, ai: MiniToolAI, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    api.script(Script(status=503), Script(["secret answer", "x"], break_after=1))
    await all_of(ai, ask("secret question"))
    mine = [record.getMessage() for record in caplog.records if record.name.startswith("bot.")]
    assert mine
    assert not [message for message in mine if "secret" in message]
