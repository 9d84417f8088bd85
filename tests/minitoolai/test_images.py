"""Pictures from the API, over real sockets against the loopback one: one attempt each, and what every answer means."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import (
    PictureFailed,
    ProviderBusy,
    ProviderError,
    ProviderFailed,
    ProviderKeyRefused,
    ProviderModelGone,
    ProviderOutOfCredit,
    ProviderRejected,
    ProviderUnreachable,
)
from bot.minitoolai.chat import ChatRequest, Message
from bot.minitoolai.client import JOB_BODY_LIMIT_BYTES, MiniToolAI, RetryPolicy, Timeouts
from bot.minitoolai.events import one_line
from bot.minitoolai.images import Failed, ImageRequest, JobRef, Ready, Running
from bot.minitoolai.jobs import JOB_ID_LIMIT, SIGNATURE_LIMIT, URL_LIMIT, read_job, read_state, request_to_json
from sandbox.minitoolai import MiniToolAIServer, PictureScript, Script, Turn

KEY = "mini-key-0123456789"
FOX = ImageRequest(model="dreamshaper", prompt="a fox in the snow")
STATUSES: list[tuple[int, type[ProviderError]]] = [
    (400, ProviderRejected),
    (413, ProviderRejected),
    (422, ProviderRejected),
    (401, ProviderKeyRefused),
    (403, ProviderKeyRefused),
    (402, ProviderOutOfCredit),
    (404, ProviderModelGone),
    (429, ProviderBusy),
    (418, ProviderFailed),
    (204, ProviderFailed),
    (307, ProviderFailed),
    (500, ProviderFailed),
    (503, ProviderFailed),
]


@pytest.fixture
async def api() -> AsyncIterator[MiniToolAIServer]:
    async with MiniToolAIServer(api_key=KEY) as server:
        yield server


@pytest.fixture
async def ai(api: MiniToolAIServer) -> AsyncIterator[MiniToolAI]:
    async with MiniToolAI(api.url, KEY) as opened:
        yield opened


async def fault_of_submit(api: MiniToolAIServer, ai: MiniToolAI, turn: Turn) -> tuple[ProviderError, list[bool]]:
    """The error of a submission that is answered so, and what was told of it."""
    told: list[bool] = []
    api.script_picture(PictureScript(submit=turn))
    with pytest.raises(ProviderError) as caught:
        await ai.submit(FOX, taken=told.append)
    return caught.value, told


async def fault_of_poll(api: MiniToolAIServer, ai: MiniToolAI, turn: Turn) -> ProviderError:
    api.script_picture(PictureScript(polls=[turn]))
    job = await ai.submit(FOX)
    with pytest.raises(ProviderError) as caught:
        await ai.poll(job)
    return caught.value


# What is said


async def test_an_order_is_given_as_documented(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    await ai.submit(
        ImageRequest(
            model="realvision",
            prompt="a fox",
            negative_prompt="snow",
            scheduler="Euler a",
            steps=8,
            cfg_scale=3.5,
            width=832,
            height=1_216,
        )
    )
    [order] = api.pictures
    assert order.body == {
        "model": "realvision",
        "prompt": "a fox",
        "negativePrompt": "snow",
        "scheduler": "Euler a",
        "steps": 8,
        "cfgScale": 3.5,
        "width": 832,
        "height": 1_216,
    }
    assert order.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("nothing", [None, ""])
def test_where_nothing_is_to_be_left_out_nothing_is_said_of_it(nothing: str | None) -> None:
    assert "negativePrompt" not in request_to_json(ImageRequest(model="amigo", prompt="x", negative_prompt=nothing))


async def test_any_prompt_can_be_said(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    await ai.submit(ImageRequest(model="amigo", prompt='"שועל" 🦊\x00 half \ud83d', negative_prompt="\udc00"))
    assert api.pictures[0].body["prompt"] == '"שועל" 🦊\x00 half \ufffd'


async def test_the_documented_defaults_are_the_defaults(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    await ai.submit(FOX)
    said = api.pictures[0].body
    assert (said["scheduler"], said["steps"], said["cfgScale"], said["width"], said["height"]) == (
        "DPM++ SDE",
        4,
        2.0,
        1_024,
        1_024,
    )


# From the order to the address


async def test_a_job_runs_until_it_is_ready(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    gate = asyncio.Event()
    api.script_picture(PictureScript(gate=gate))
    told: list[bool] = []
    job = await ai.submit(FOX, taken=told.append)
    assert told == [True]
    assert await ai.poll(job) == Running()
    gate.set()
    state = await ai.poll(job)
    assert state == Ready(api.pictures[0].url or "")
    assert await ai.poll(job) == state


async def test_a_job_that_ends_with_an_error_has_failed(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    api.script_picture(PictureScript(error="it is\nagainst the rules"))
    assert await ai.poll(await ai.submit(FOX)) == Failed("it is against the rules")


@pytest.mark.parametrize(
    ("answer", "job"),
    [
        ({"status": "success", "jobid": 12345678, "signature": "abcxyz123"}, ("12345678", "abcxyz123")),
        ({"status": "success", "jobid": "12345678", "signature": "abcxyz123"}, ("12345678", "abcxyz123")),
        ({"jobid": 0, "signature": "s", "eta": 4}, ("0", "s")),
        (
            {"jobid": "i" * JOB_ID_LIMIT, "signature": "s" * SIGNATURE_LIMIT},
            ("i" * JOB_ID_LIMIT, "s" * SIGNATURE_LIMIT),
        ),
    ],
)
def test_a_job_id_is_a_number_or_a_text(answer: Any, job: tuple[str, str]) -> None:
    read = read_job(orjson.dumps(answer), tidy=one_line)
    assert (read.job_id, read.signature) == job


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        ({"status": "error", "jobid": None, "signature": None}, "the API took no job"),
        ({"status": "error", "jobid": 1, "signature": "s", "message": "no\nmore"}, "no more"),
        ({"status": "success", "jobid": None, "signature": "s"}, "the API took no job"),
        ({"status": "success", "jobid": 1, "signature": ""}, "the API took no job"),
        ({"error": {"message": "too many"}}, "too many"),
        ({}, "the API took no job"),
    ],
)
async def test_an_answer_without_a_job_is_the_end_of_the_picture_and_costs_nothing(
    api: MiniToolAIServer, ai: MiniToolAI, answer: Any, detail: str
) -> None:
    error, told = await fault_of_submit(api, ai, Turn(body=answer))
    assert type(error) is PictureFailed
    assert error.detail == detail
    assert told == [True, False]
    assert not ai.retry.worth_a_retry(error)


@pytest.mark.parametrize(
    "answer",
    [
        "<html>Maintenance</html>",
        b"",
        b'{"jobid": 1, "signatu',
        b"\xff\xfe",
        b"[" * 50_000,
        b"[1]",
        b'"text"',
        b"null",
        {"jobid": True, "signature": "s"},
        {"jobid": 1.5, "signature": "s"},
        {"jobid": 10**15, "signature": 7},
        {"jobid": "i" * (JOB_ID_LIMIT + 1), "signature": "s"},
        {"jobid": 1, "signature": "s" * (SIGNATURE_LIMIT + 1)},
        {"jobid": "line\nbreak", "signature": "s"},
        {"jobid": 1, "signature": "s\x00"},
        {"jobid": {"id": 1}, "signature": ["s"]},
        b'{"jobid": "\\ud800", "signature": "s"}',
        b'{"jobid": ' + b"9" * 200 + b', "signature": "s"}',
        b'{"jobid": NaN, "signature": "s"}',
    ],
)
async def test_an_answer_that_cannot_be_read_may_have_cost_something_and_is_not_asked_again(
    api: MiniToolAIServer, ai: MiniToolAI, answer: Any
) -> None:
    error, told = await fault_of_submit(api, ai, Turn(body=answer))
    assert type(error) is ProviderFailed
    assert error.status == 200
    assert told == [True]
    assert not ai.retry.worth_a_retry(error)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"status": "processing"},
        {"status": "queued", "image_url": None},
        {"status": "success"},
        {"status": "success", "image_url": None},
        {"status": "success", "image_url": ""},
        {"status": "success", "image_url": "  "},
        {"status": "success", "image_url": 7},
        {"status": "success", "image_url": ["https://example.com/a.png"]},
        {"status": "success", "image_url": "https://example.com/" + "a" * URL_LIMIT},
        {"status": "success", "image_url": "https://example.com/\na"},
        {"status": "processing", "image_url": "https://example.com/a.png"},
        {"status": ["error"]},
        {"status": None, "error": "what?"},
    ],
)
async def test_what_is_neither_a_success_with_an_address_nor_an_error_is_running(
    api: MiniToolAIServer, ai: MiniToolAI, answer: Any
) -> None:
    api.script_picture(PictureScript(polls=[Turn(body=answer)]))
    assert await ai.poll(await ai.submit(FOX)) == Running()


@pytest.mark.parametrize(
    "url", ["https://example.com/a.png", "ftp://example.com", "data:image/png;base64,AA", "x" * 2_048]
)
def test_the_address_is_passed_on_unjudged(url: str) -> None:
    body = orjson.dumps({"status": "success", "image_url": f" {url}\n", "message": "success"})
    assert read_state(b"\xef\xbb\xbf" + body, tidy=one_line) == Ready(url)


@pytest.mark.parametrize("answer", ["<html>", b"", b"{oops", b"\xff", b"[]", b"[" * 50_000, b"1"])
async def test_a_state_that_cannot_be_read_says_nothing_about_the_job(
    api: MiniToolAIServer, ai: MiniToolAI, answer: Any
) -> None:
    assert type(await fault_of_poll(api, ai, Turn(body=answer))) is ProviderFailed


async def test_a_job_that_the_api_does_not_know_has_failed(ai: MiniToolAI) -> None:
    assert await ai.poll(JobRef(job_id="1", signature="abcxyz123")) == Failed("there is no such job")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ANSWERS = JSON | st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["success", "error", "processing"]) | JSON,
        "jobid": JSON,
        "signature": JSON,
        "image_url": JSON,
        "message": JSON,
        "error": JSON,
    },
)


def dumped(value: object) -> bytes:
    """As JSON, also what orjson would not write: lone surrogates, long numbers, NaN."""
    return json.dumps(value).encode()


@given(st.binary(max_size=200) | ANSWERS.map(dumped))
def test_any_answer_about_a_job_is_a_state_or_an_error_of_the_api(body: bytes) -> None:
    try:
        state = read_state(body, tidy=one_line)
    except ProviderFailed:
        return
    assert isinstance(state, Running | Ready | Failed)


@given(st.binary(max_size=200) | ANSWERS.map(dumped))
def test_any_answer_to_an_order_is_a_job_that_can_be_stored_or_an_error_of_the_api(body: bytes) -> None:
    try:
        job = read_job(body, tidy=one_line)
    except (PictureFailed, ProviderFailed):
        return
    assert 0 < len(job.job_id.encode()) <= 4 * JOB_ID_LIMIT
    assert 0 < len(job.signature.encode()) <= 4 * SIGNATURE_LIMIT


# Errors by status


@pytest.mark.parametrize(("status", "cause"), STATUSES)
async def test_each_status_of_a_submission_has_its_cause_and_costs_nothing(
    api: MiniToolAIServer, ai: MiniToolAI, status: int, cause: type[ProviderError]
) -> None:
    error, told = await fault_of_submit(api, ai, Turn(status=status, body={"message": "so it is"}))
    assert type(error) is cause
    assert error.status == status
    assert told == [True, False]


@pytest.mark.parametrize(("status", "cause"), STATUSES)
async def test_each_status_of_a_question_has_its_cause(
    api: MiniToolAIServer, ai: MiniToolAI, status: int, cause: type[ProviderError]
) -> None:
    """`"status": "error"` ends a job only where HTTP says that all is well."""
    assert type(await fault_of_poll(api, ai, Turn(status=status, body={"status": "error"}))) is cause


async def test_a_busy_api_says_how_long(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    error, _ = await fault_of_submit(api, ai, Turn(status=429, headers={"Retry-After": "7"}))
    assert isinstance(error, ProviderBusy)
    assert error.retry_after_s == 7
    assert ai.retry.worth_a_retry(error)
    assert 7 <= ai.retry.pause_s(1, error) <= 7.5


@pytest.mark.parametrize(
    ("turn", "worth_it"),
    [
        (Turn(status=500), True),
        (Turn(hang_up=True), True),
        (Turn(status=429, headers={"Retry-After": "3600"}), False),
        (Turn(status=400), False),
        (Turn(status=402), False),
    ],
)
async def test_one_attempt_is_made_and_the_policy_says_whether_another_is_worth_it(
    api: MiniToolAIServer, ai: MiniToolAI, turn: Turn, worth_it: bool
) -> None:
    error, _ = await fault_of_submit(api, ai, turn)
    assert ai.retry.worth_a_retry(error) is worth_it
    assert len(api.pictures) == 1


@given(st.integers(1, 10_000))
def test_a_pause_stays_within_its_cap_however_often_it_failed(failures: int) -> None:
    assert 0 <= RetryPolicy(base_s=1, cap_s=4).pause_s(failures, None) <= 4


async def test_a_lost_answer_may_have_been_billed(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    told: list[bool] = []
    api.script_picture(PictureScript(answer_lost=True))
    with pytest.raises(ProviderUnreachable) as caught:
        await ai.submit(FOX, taken=told.append)
    assert caught.value.sent
    assert told == [True]
    assert api.pictures[0].billed_nano == 1_500_000


async def test_what_finds_no_connection_has_never_gone_out(unused_tcp_port: int) -> None:
    told: list[bool] = []
    async with MiniToolAI(f"http://127.0.0.1:{unused_tcp_port}/api", KEY) as ai:
        with pytest.raises(ProviderUnreachable) as caught:
            await ai.submit(FOX, taken=told.append)
    assert (told, caught.value.sent) == ([], False)


async def test_a_redirect_is_not_followed(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    async with MiniToolAIServer(api_key=KEY) as elsewhere:
        turn = Turn(status=307, headers={"Location": f"{elsewhere.url}/texttoimage/"}, body=b"")
        error, _ = await fault_of_submit(api, ai, turn)
        assert error.status == 307
        assert not elsewhere.pictures


# Bounds


@pytest.mark.parametrize("turn", [Turn(held=True), Turn(delay_s=600)], ids=["held", "slow"])
async def test_silence_has_a_bound(api: MiniToolAIServer, turn: Turn) -> None:
    async with MiniToolAI(api.url, KEY, timeouts=Timeouts(job_s=0.05)) as ai:
        error, told = await fault_of_submit(api, ai, turn)
        assert isinstance(error, ProviderUnreachable)
        assert (error.sent, told) == (True, [True])


@pytest.mark.parametrize(("length", "is_read"), [(JOB_BODY_LIMIT_BYTES - 2, True), (JOB_BODY_LIMIT_BYTES + 1, False)])
async def test_of_an_answer_no_more_than_the_limit_is_read(
    api: MiniToolAIServer, ai: MiniToolAI, length: int, is_read: bool
) -> None:
    error, _ = await fault_of_submit(api, ai, Turn(body=b"{}" + b" " * (length - 2)))
    assert type(error) is (PictureFailed if is_read else ProviderFailed)


async def test_cancelling_the_caller_hangs_up(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    api.script_picture(PictureScript(submit=Turn(held=True)))
    task = asyncio.create_task(ai.submit(FOX))
    order = await api.wait_for_picture()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await order.until(lambda order: order.ended.is_set())
    assert order.client_left


async def test_pictures_and_answers_do_not_wait_for_each_others_connections(api: MiniToolAIServer) -> None:
    question = ChatRequest(
        model="gpt-4o", messages=(Message(role="user", text="?"),), temperature=1, max_completion_tokens=9
    )
    api.script(Script(["a", "b"], stall_after=1), Script(["c"]))
    api.script_picture(PictureScript(), PictureScript(submit=Turn(held=True)))
    async with MiniToolAI(api.url, KEY, connections=1, image_connections=1, timeouts=Timeouts(connect_s=5)) as ai:
        answer = ai.chat(question)
        await anext(answer)
        await ai.submit(FOX)  # though the only connection for answers is taken
        await answer.aclose()
        held = asyncio.create_task(ai.submit(FOX))
        for _ in range(2):
            await api.wait_for_picture()
        assert [event async for event in ai.chat(question)]  # though the only one for pictures is
        held.cancel()
        with pytest.raises(asyncio.CancelledError):
            await held


async def test_hundreds_of_questions_share_the_connections(api: MiniToolAIServer) -> None:
    async with MiniToolAI(api.url, KEY, image_connections=4) as ai:
        job = await ai.submit(FOX)
        states = await asyncio.gather(*(ai.poll(job) for _ in range(300)))
    assert {type(state) for state in states} == {Ready}


async def test_a_connection_is_used_again(api: MiniToolAIServer, ai: MiniToolAI) -> None:
    for _ in range(3):
        await ai.poll(await ai.submit(FOX))
    assert len({order.peer_port for order in api.pictures}) == 1


# Secrets


@pytest.mark.parametrize("status", [200, 400, 500])
async def test_neither_key_nor_signature_nor_prompt_reaches_an_error_or_a_log(
    api: MiniToolAIServer, ai: MiniToolAI, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="bot")
    quoting = {"status": "error", "message": f"no such key: {KEY}"}
    turn = Turn(status=status, body=quoting)
    error, _ = await fault_of_submit(api, ai, turn)
    api.script_picture(PictureScript(polls=[turn]))
    job = await ai.submit(FOX)
    quoting["message"] += f", signature {job.signature}"
    try:
        answer = repr(await ai.poll(job))
    except ProviderError as fault:
        answer = repr(fault)
    assert "signature [hidden]" in answer
    everything = repr(error) + repr(job) + answer + caplog.text
    assert KEY not in everything
    assert job.signature not in everything
    assert FOX.prompt not in everything


async def test_a_body_torn_in_the_middle_is_unreachable_and_may_have_been_billed(unused_tcp_port: int) -> None:
    async def tear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"jobid": 1')
        writer.close()

    server = await asyncio.start_server(tear, "127.0.0.1", unused_tcp_port)
    async with server, MiniToolAI(f"http://127.0.0.1:{unused_tcp_port}/api", KEY) as ai:
        told: list[bool] = []
        with pytest.raises(ProviderUnreachable) as caught:
            await ai.submit(FOX, taken=told.append)
    assert isinstance(caught.value.__cause__, aiohttp.ClientPayloadError)
    assert told == [True]
