"""The loopback API: what it takes, what it counts, and how it can be told to fail."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.minitoolai import MiniToolAIServer, Script, Tokens, rules, simulation
from sandbox.minitoolai.script import cut
from tests.minitoolai.test_events import DOCUMENTED

KEY = "mini-key"
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/image.jpg", "detail": "auto"}}


def body(**changes: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}], **changes}


def asking(*content: Any) -> dict[str, Any]:
    return body(messages=[{"role": "user", "content": list(content)}])


class Caller:
    """A plain HTTP client, so that the server is not tried through the bot's own."""

    def __init__(self, api: MiniToolAIServer, session: aiohttp.ClientSession) -> None:
        self._url = f"{api.url}/chat-completions/"
        self.session = session

    async def post(self, said: Any = None, *, key: str = KEY, url: str | None = None) -> tuple[int, bytes]:
        data = said if isinstance(said, bytes) else orjson.dumps(said or body())
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        async with self.session.post(url or self._url, data=data, headers=headers) as response:
            return response.status, await response.read()

    async def chunks(self, said: Any = None) -> list[Any]:
        """The objects of an answer, up to `[DONE]`, which must be there."""
        status, answer = await self.post(said)
        assert status == 200
        *events, last, rest = answer.decode().split("\n\n")
        assert (last, rest) == ("data: [DONE]", "")
        return [orjson.loads(event.removeprefix("data: ")) for event in events]


@pytest.fixture
async def api() -> AsyncIterator[MiniToolAIServer]:
    async with MiniToolAIServer(api_key=KEY, pace_s=0) as server:
        yield server


@pytest.fixture
async def caller(api: MiniToolAIServer) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        yield Caller(api, session)


def shape(value: object) -> object:
    """Keys and types of a JSON value, in order."""
    if isinstance(value, dict):
        return [(key, shape(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value)


# The form of an answer


async def test_an_answer_has_the_documented_form_to_the_key(api: MiniToolAIServer, caller: Caller) -> None:
    api.script(Script(["Ok", "."]))
    documented = [
        orjson.loads(line.removeprefix("data: ")) for line in DOCUMENTED.decode().splitlines() if "[DONE]" not in line
    ]
    assert [shape(chunk) for chunk in await caller.chunks()] == [shape(chunk) for chunk in documented]


async def test_the_model_is_named_with_its_date(api: MiniToolAIServer, caller: Caller) -> None:
    api.script(Script("ok"))
    assert {chunk["model"] for chunk in await caller.chunks()} == {"gpt-4o-mini-2024-07-18"}


async def test_usage_is_counted_and_remembered_as_billed(api: MiniToolAIServer, caller: Caller) -> None:
    api.script(Script(["hello", " world"]))
    usage = (await caller.chunks())[-1]["usage"]
    prompt_tokens = 1 + 1 + 3 + 3  # "user", "Hello", around the message, before the answer
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (prompt_tokens, 2, 10)
    assert api.requests[0].billed == Tokens(prompt_tokens=prompt_tokens, completion_tokens=2)


@pytest.mark.parametrize(
    ("model", "detail", "tokens"),
    [
        ("gpt-4o", "low", 85),
        ("gpt-4o", "high", 765),
        ("gpt-4o", "auto", 765),
        ("gpt-4o-mini", "low", 2_833),
        ("gpt-4o-mini", "high", 25_501),
        ("gpt-4.1", "high", 765),
        ("gpt-4.1-mini", "low", 1_659),
    ],
)
def test_a_picture_of_1024_by_1024_costs_what_openai_publishes(model: str, detail: str, tokens: int) -> None:
    assert rules.picture_tokens(detail, rules.MODELS[model]) == tokens


@pytest.mark.parametrize(("width", "height", "tokens"), [(2_048, 4_096, 1_105), (512, 512, 255), (1, 1, 255)])
def test_pictures_are_scaled_down_before_their_tiles_are_counted(width: int, height: int, tokens: int) -> None:
    """The first is OpenAI's own example."""
    assert rules.picture_tokens("high", rules.MODELS["gpt-4o"], width=width, height=height) == tokens


@given(st.text())
def test_a_cut_text_joins_to_itself(text: str) -> None:
    assert "".join(cut(text)) == text


# What is refused


async def test_a_wrong_key_is_refused(caller: Caller, api: MiniToolAIServer) -> None:
    assert (await caller.post(key="another"))[0] == 401
    assert not api.requests


async def test_the_trailing_slash_is_part_of_the_path(caller: Caller, api: MiniToolAIServer) -> None:
    assert (await caller.post(url=f"{api.url}/chat-completions"))[0] == 404


@pytest.mark.parametrize(
    ("said", "about"),
    [
        (b"{oops", "JSON"),
        ([1], "object"),
        (body(model="gpt-5"), "model"),
        (body(model=["gpt-4o"]), "model"),
        ({"messages": []}, "model"),
        (body(stream=True), "stream"),
        (body(temperature=2.01), "temperature"),
        (body(temperature=-0.1), "temperature"),
        (body(temperature="1"), "temperature"),
        (body(temperature=True), "temperature"),
        (body(max_completion_tokens=0), "max_completion_tokens"),
        (body(max_completion_tokens=1.5), "max_completion_tokens"),
        (body(max_completion_tokens=16_385), "max_completion_tokens"),
        (body(messages=None), "messages"),
        (body(messages=[]), "messages"),
        (body(messages=["Hello"]), "messages[0]"),
        (body(messages=[{"role": "user"}]), "messages[0]"),
        (body(messages=[{"role": "system", "content": "x"}]), "messages[0].role"),
        (body(messages=[{"role": [], "content": "x"}]), "messages[0].role"),
        (body(messages=[{"role": "user", "content": None}]), "messages[0].content"),
        (body(messages=[{"role": "assistant", "content": [PICTURE]}]), "messages[0].content"),
        (asking(), "messages[0].content"),
        (asking("Hello"), "messages[0].content[0]"),
        (asking({"type": "audio", "audio": "x"}), "messages[0].content[0]"),
        (asking({"type": "text"}), "messages[0].content[0]"),
        (asking({"type": "image_url", "image_url": "https://example.com/a.jpg"}), "messages[0].content[0]"),
        (asking({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}), "https"),
        (asking({"type": "image_url", "image_url": {"url": "http://example.com/a.jpg"}}), "https"),
        (asking({"type": "image_url", "image_url": {"url": "https://e.com/a.jpg", "detail": "best"}}), "detail"),
        (asking({"type": "image_url", "image_url": {"url": "https://e.com/a.jpg", "detail": {}}}), "detail"),
        (body(messages=[{"role": "user", "content": " a" * 127_500}]), "context length"),
    ],
)
async def test_what_the_guide_does_not_allow_is_a_400_that_says_why(caller: Caller, said: Any, about: str) -> None:
    status, answer = await caller.post(said)
    assert status == 400
    assert about in orjson.loads(answer)["error"]["message"]


@pytest.mark.parametrize(
    "said",
    [
        body(temperature=None, max_completion_tokens=None),
        body(temperature=0, max_completion_tokens=1),
        body(temperature=2.0, max_completion_tokens=16_384),
        asking({"type": "text", "text": "What's this?"}, PICTURE),
        asking({"type": "image_url", "image_url": {"url": "http://127.0.0.1:8000/a.png"}}),
        body(messages=[{"role": role, "content": "x"} for role in ("developer", "user", "assistant", "user")]),
    ],
)
async def test_what_the_guide_allows_is_answered(caller: Caller, said: Any) -> None:
    assert (await caller.post(said))[0] == 200


async def test_a_refused_request_takes_no_script(api: MiniToolAIServer, caller: Caller) -> None:
    api.script(Script("ok"))
    await caller.post(body(temperature=9))
    assert (await caller.chunks())[0]["choices"][0]["delta"] == {"content": "ok"}
    assert [received.status for received in api.requests] == [400, 200]


# Being told what to do


async def test_scripts_are_taken_in_turn_and_then_the_answer_function(api: MiniToolAIServer, caller: Caller) -> None:
    api.answer = lambda received: Script(f"number {received.number}")
    api.script(Script("first"), Script("second"))
    texts = ["".join(c["choices"][0]["delta"].get("content", "") for c in (await caller.chunks())[:-1]) for _ in "123"]
    assert texts == ["first", "second", "number 3"]


async def test_raw_bytes_are_sent_as_they_are_each_by_itself(api: MiniToolAIServer, caller: Caller) -> None:
    api.script(Script(raw=[b"da", b"ta: \xf0\x9f", b"\x98\x80\r"]))
    assert await caller.post() == (200, b"data: \xf0\x9f\x98\x80\r")
    assert len(api.requests[0].sent_at) == 3
    assert api.requests[0].billed is None


@pytest.mark.parametrize("places", [0, 1, 2])
async def test_a_broken_answer_lacks_its_end_and_bills_what_was_sent(
    api: MiniToolAIServer, caller: Caller, places: int
) -> None:
    api.script(Script(["a", "b"], break_after=places))
    with pytest.raises(aiohttp.ClientPayloadError):
        await caller.post()
    received = await api.wait_for_request()
    async with asyncio.timeout(5):
        await received.ended.wait()
    assert received.sent == ["a", "b"][:places]
    assert received.billed == Tokens(prompt_tokens=8, completion_tokens=rules.count(["ab"[:places]]))


async def test_hanging_up_sends_nothing_at_all(api: MiniToolAIServer, caller: Caller) -> None:
    api.script(Script(hang_up=True))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await caller.post()


async def test_an_error_object_takes_the_place_of_the_rest(api: MiniToolAIServer, caller: Caller) -> None:
    api.script(Script(["a", "b"], error_after=1))
    _, answer = await caller.post()
    *_, last, rest = answer.decode().split("\n\n")
    assert "error" in orjson.loads(last.removeprefix("data: "))
    assert rest == ""


@pytest.mark.parametrize("by_gate", [True, False])
async def test_a_stalled_answer_goes_on_when_it_is_let(api: MiniToolAIServer, caller: Caller, by_gate: bool) -> None:
    gate = asyncio.Event() if by_gate else None
    api.script(Script(["a", "b"], stall_after=1, gate=gate))
    task = asyncio.create_task(caller.chunks())
    received = await api.wait_for_request()
    await received.wait_sent(1)
    assert not task.done()
    if gate is not None:
        gate.set()
    else:
        api.release()
    assert len(await task) == 4


async def test_a_gate_alone_holds_back_the_first_chunk(api: MiniToolAIServer, caller: Caller) -> None:
    gate = asyncio.Event()
    api.script(Script(["a"], gate=gate))
    task = asyncio.create_task(caller.chunks())
    received = await api.wait_for_request()
    assert received.sent == []
    gate.set()
    assert len(await task) == 3


async def test_a_client_that_leaves_is_noticed_and_billed_for_what_it_got(
    api: MiniToolAIServer, caller: Caller
) -> None:
    api.script(Script(["a", "b"], stall_after=1))
    task = asyncio.create_task(caller.post())
    received = await api.wait_for_request()
    await received.wait_sent(1)
    task.cancel()
    async with asyncio.timeout(5):
        await received.ended.wait()
    assert received.client_left
    assert received.billed == Tokens(prompt_tokens=8, completion_tokens=1)


async def test_delays_follow_the_schedule_that_the_script_gives(api: MiniToolAIServer, caller: Caller) -> None:
    asked: list[int] = []

    def delay_s(number: int) -> float:
        asked.append(number)
        return 0.001

    api.script(Script(["a", "b", "c"], chunk_delay_s=delay_s))
    await caller.chunks()
    assert asked == [1, 2]
    sent_at = api.requests[0].sent_at
    assert sent_at == sorted(sent_at)
    assert sent_at[-1] - sent_at[0] >= 0.001


@pytest.mark.parametrize(
    ("script", "kind", "content"),
    [
        (Script(status=503, error_body="<h1>Down</h1>"), "text/html; charset=utf-8", b"<h1>Down</h1>"),
        (Script(status=200, error_body={"a": 1}), "application/json", b'{"a":1}'),
        (Script(status=500, headers={"Content-Type": "x/y"}, error_body=b"\xff"), "x/y", b"\xff"),
    ],
)
async def test_an_error_body_is_sent_as_it_is(
    api: MiniToolAIServer, caller: Caller, script: Script, kind: str, content: bytes
) -> None:
    api.script(script)
    async with caller.session.post(
        f"{api.url}/chat-completions/", json=body(), headers={"Authorization": f"Bearer {KEY}"}
    ) as response:
        assert response.headers["Content-Type"] == kind
        assert (response.status, await response.read()) == (script.status, content)


async def test_the_key_is_not_remembered(api: MiniToolAIServer, caller: Caller) -> None:
    await caller.post()
    assert KEY not in repr(api.requests[0])


async def test_the_oldest_requests_make_room(api: MiniToolAIServer) -> None:
    assert api.requests.maxlen == 1_000


async def test_waiting_for_a_request_that_never_comes_has_a_bound(api: MiniToolAIServer) -> None:
    with pytest.raises(TimeoutError):
        await api.wait_for_request(timeout_s=0.01)


async def test_closing_the_server_ends_a_stalled_answer_without_blaming_the_client(caller: Caller) -> None:
    async with MiniToolAIServer(api_key=KEY) as api:
        api.script(Script("a", stall_after=0))
        task = asyncio.create_task(caller.post(url=f"{api.url}/chat-completions/"))
        received = await api.wait_for_request()
    with pytest.raises(aiohttp.ClientError):
        await task
    assert received.ended.is_set()
    assert not received.client_left


# The simulation


def simulated(question: str, **changes: Any) -> Script:
    return simulation.answer(body(messages=[{"role": "user", "content": question}], **changes), pace_s=0.02)


def test_the_simulation_says_what_it_is_and_reflects_the_question() -> None:
    script = simulated("How tall is\nMount Meron?")
    assert "simulation" in script.text
    assert "> How tall is Mount Meron?" in script.text
    assert script.chunk_delay_s == 0.02


@pytest.mark.parametrize(
    ("question", "shown"),
    [
        ("Show me code", "```python"),
        ("a TABLE please", "|---|"),
        ("a list", "1. first"),
        ("a long answer", "## Part 24"),
    ],
)
def test_the_simulation_shows_what_is_asked_for(question: str, shown: str) -> None:
    assert shown in simulated(question, max_completion_tokens=16_000).text
    assert shown not in simulated("Hello").text


def test_the_simulation_keeps_to_the_limit_and_says_that_it_was_cut() -> None:
    script = simulated("a long answer", max_completion_tokens=50)
    assert isinstance(script.text, str)
    assert rules.count([script.text]) <= 50
    assert script.finish_reason == "length"
    assert simulated("Hello").finish_reason == "stop"


def test_the_simulation_counts_pictures_and_admits_that_it_did_not_look() -> None:
    text = simulation.answer(asking({"type": "text", "text": "What's this?"}, PICTURE, PICTURE), pace_s=0).text
    assert "2 pictures" in text
    assert "did not look" in text


@given(st.text(max_size=500), st.integers(1, 400))
def test_the_simulation_answers_any_question_within_the_limit(question: str, limit: int) -> None:
    script = simulated(question, max_completion_tokens=limit)
    assert isinstance(script.text, str)
    assert rules.count([script.text]) <= limit
