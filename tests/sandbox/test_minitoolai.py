"""The loopback API: what it takes, what it counts, and how it can be told to fail."""

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sandbox.minitoolai import (
    MiniToolAIServer,
    PictureScript,
    Script,
    Served,
    Tokens,
    Turn,
    looking,
    rules,
    simulation,
)
from sandbox.minitoolai.describing import Seen, Unseen, colour_name, describe, examine
from sandbox.minitoolai.faults import pixel_bomb
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


@given(st.text(max_size=500), st.integers(1, 400))
def test_the_simulation_answers_any_question_within_the_limit(question: str, limit: int) -> None:
    script = simulated(question, max_completion_tokens=limit)
    assert isinstance(script.text, str)
    assert rules.count([script.text]) <= limit


# Describing a picture

TURNED = Image.Exif()
TURNED[0x0112] = 6


def file_of(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def halves(left: str, right: str, size: tuple[int, int] = (200, 100)) -> Image.Image:
    image = Image.new("RGB", size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


def seen(data: bytes) -> Seen:
    sight = examine(data)
    assert isinstance(sight, Seen)
    return sight


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_size_and_colours_are_read_from_any_documented_type(form: str) -> None:
    sight = seen(file_of(halves("#102060", "#ff8000"), form))
    assert (sight.format, sight.width, sight.height, sight.frames) == (form, 200, 100, 1)
    (first, share), (second, rest) = sight.colours[:2]
    assert {first, second} == {"dark blue", "orange"}
    assert share + rest >= 90
    assert sight.lighter == "right"


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ("#000000", "black"),
        ("#ffffff", "white"),
        ("#808080", "grey"),
        ("#ff0000", "red"),
        ("#5a3010", "brown"),
        ("#ffe0c0", "beige"),
        ("#00a040", "green"),
        ("#00c8d0", "turquoise"),
        ("#90c0ff", "light blue"),
        ("#8030d0", "purple"),
        ("#ff60c0", "pink"),
        ("#301050", "dark purple"),
    ],
)
def test_colours_have_the_names_that_people_give_them(colour: str, name: str) -> None:
    assert seen(file_of(Image.new("RGB", (8, 8), colour))).colours == ((name, 100),)


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_every_colour_has_a_name(colour: tuple[int, int, int]) -> None:
    assert colour_name(*colour)


@pytest.mark.parametrize(
    ("size", "words"),
    [((100, 100), "square"), ((200, 100), "wider than high"), ((300, 100), "very wide"), ((100, 300), "very tall")],
)
def test_the_shape_is_said(size: tuple[int, int], words: str) -> None:
    text = describe([seen(file_of(Image.new("RGB", size)))])
    assert words in text
    assert f"{size[0]} × {size[1]} pixels" in text


@pytest.mark.parametrize(
    ("level", "words"), [(0, "very dark"), (80, "rather dark"), (128, "medium"), (255, "very bright")]
)
def test_the_brightness_is_said(level: int, words: str) -> None:
    assert words in describe([seen(file_of(Image.new("L", (9, 9), level)))])


def test_a_photograph_is_measured_as_it_is_shown() -> None:
    """EXIF's orientation 6 turns it by a quarter."""
    sight = seen(file_of(Image.new("RGB", (40, 20)), "JPEG", exif=TURNED))
    assert (sight.width, sight.height) == (20, 40)


def test_transparency_and_movement_are_noticed() -> None:
    assert "see-through" in describe([seen(file_of(Image.new("RGBA", (9, 9), (0, 0, 0, 0))))])
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue", "green")]
    moving = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert "animated GIF of 3 frames" in describe([seen(moving)])


def test_a_sight_admits_what_it_is_and_what_was_not_looked_at() -> None:
    text = describe([seen(file_of(Image.new("RGB", (9, 9)))), Unseen("it is not on this machine")])
    assert "2 pictures" in text
    assert "I did not look at it, because it is not on this machine." in text
    assert "this simulation cannot tell" in text
    assert "cannot tell" not in describe([Unseen("it is not on this machine")])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "can be read"),
        (b"<html>", "can be read"),
        (file_of(halves("red", "blue"))[:60], "can be read"),
        (file_of(Image.new("RGB", (9, 9)), "BMP"), "can be read"),
        (pixel_bomb(), "million pixels"),
        (pixel_bomb(10_000, 10_000), "million pixels"),
    ],
)
def test_what_is_no_picture_or_too_large_is_not_looked_at(data: bytes, reason: str) -> None:
    sight = examine(data)
    assert isinstance(sight, Unseen)
    assert reason in sight.reason


TYPES = [file_of(halves("red", "blue", (24, 16)), form, exif=TURNED) for form in ("PNG", "JPEG", "WEBP", "GIF")]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # how Pillow speaks of damage that it can bear
@given(
    st.sampled_from(TYPES),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4),
    st.integers(9, 900),
)
def test_no_damage_to_a_picture_is_worse_than_not_seeing_it(
    data: bytes, changes: list[tuple[int, int]], length: int
) -> None:
    damaged = bytearray(data[:length])
    for place, value in changes:
        damaged[place % len(damaged)] = value
    assert isinstance(examine(bytes(damaged)), Seen | Unseen)


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8000/a.png", True),
        ("https://127.8.9.1/a.png", True),
        ("http://[::1]:80/a.png", True),
        ("http://LOCALHOST/a.png", True),
        ("http://localhost.example.com/a.png", False),
        ("http://127.0.0.1.example.com/", False),
        ("http://127.0.0.1@example.com/", False),
        ("http://10.0.0.1/", False),
        ("http://0.0.0.0/", False),
        ("http://2130706433/", False),
        ("http://127.0.0.1:99999/", False),
        ("http://[::1/", False),
        ("file:///etc/passwd", False),
        ("ftp://127.0.0.1/", False),
        ("", False),
    ],
)
def test_nothing_is_fetched_that_is_not_on_this_machine(url: str, here: bool) -> None:
    assert looking.is_here(url) is here


async def shown(api: MiniToolAIServer, served: Served) -> str:
    """The address of a picture that this server itself serves so."""
    api.script_picture(PictureScript(serves=served))
    headers = {"Authorization": f"Bearer {KEY}"}
    said = {"model": "amigo", "prompt": "sunset over hills", "width": 256, "height": 512}
    async with aiohttp.ClientSession(headers=headers) as session:
        await session.post(f"{api.url}/texttoimage/", json=said)
    return api.pictures[-1].url or ""


async def told_about(api: MiniToolAIServer, caller: Caller, url: str) -> str:
    question = asking({"type": "text", "text": "What's this?"}, {"type": "image_url", "image_url": {"url": url}})
    chunks = await caller.chunks(question)
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1])


async def test_an_attached_picture_is_fetched_and_described(api: MiniToolAIServer, caller: Caller) -> None:
    text = await told_about(api, caller, await shown(api, Served()))
    assert "simulation" in text
    assert "PNG of **256 × 512 pixels**" in text
    assert "main colours" in text


@pytest.mark.parametrize(
    ("served", "reason"),
    [
        (Served(turn=Turn(status=404, body=b"")), "status 404"),
        (Served(redirects=["{next}"]), "status 302"),
        (Served(turn=Turn(hang_up=True)), "ServerDisconnectedError"),
        (Served(break_after=100), "ClientPayloadError"),
        (Served(body=b"<html>"), "can be read"),
        (Served(turn=Turn(held=True)), "within 0.2 seconds"),
        (Served(body=b"x", endless=True), "more than 1 MiB"),
    ],
)
async def test_a_picture_that_cannot_be_had_is_admitted(
    api: MiniToolAIServer, caller: Caller, served: Served, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "LOOK_S", 0.2 if "within" in reason else 5.0)
    monkeypatch.setattr(looking, "LOOK_BYTES", 2**20)
    text = await told_about(api, caller, await shown(api, served))
    assert "did not look" in text
    assert reason in text


async def test_a_picture_elsewhere_is_not_fetched(api: MiniToolAIServer, caller: Caller) -> None:
    assert "not on this machine" in await told_about(api, caller, "https://192.0.2.1/a.png")


async def test_of_many_pictures_some_are_enough() -> None:
    sights = await looking.look(["https://192.0.2.1/a.png"] * 12)
    assert [isinstance(sight, Unseen) and "enough" in sight.reason for sight in sights] == [False] * 10 + [True] * 2
