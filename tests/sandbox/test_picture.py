"""README's picture: how the scene is followed, that its clock stands still, and that the file stays small."""

import asyncio
import io
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from sandbox.web.picture import (
    ADDRESS,
    LIMIT_BYTES,
    SCALE,
    SCENE,
    SHOWN_AT_S,
    WIDTH,
    Act,
    CannotBeMade,
    Seen,
    open_page,
    photograph,
    posed,
    small,
    watching,
)

PAGE = """<!doctype html><html><body style="background: black; color: white"><div role="log"></div><p></p><script>
const socket = new WebSocket(`ws://${location.host}/api/live`);
socket.onmessage = (event) => {
  const frame = JSON.parse(event.data);
  if (frame.op === "snapshot") document.querySelector("p").textContent = frame.clock.now_s;
  for (const message of frame.messages ?? []) {
    const article = document.createElement("article");
    article.textContent = `${message.text} at ${message.created_s}`;
    document.querySelector("[role=log]").append(article);
  }
};
</script></body></html>"""


def button(label: str) -> dict[str, Any]:
    return {"type": "button", "label": label}


def message(number: int, command: str, *labels: str, loading: bool = False) -> dict[str, Any]:
    """As PROTOCOL.md has it, as far as the scene looks at it."""
    return {
        "id": str(number),
        "text": f"answer to {command}",
        "created_s": 1_800_000_000.5 + number,
        "edited_s": None,
        "used": {"name": command},
        "loading": loading,
        "components": [{"type": "row", "components": [button(label) for label in labels]}],
    }


def snapshot(state: str = "online") -> dict[str, Any]:
    return {"op": "snapshot", "person": "7", "bot": {"state": state}, "clock": {"now_s": 1_800_000_000.0}}


def channel(*messages: dict[str, Any], commands: tuple[str, ...] = ("ask", "imagine")) -> dict[str, Any]:
    offered = [{"kind": "slash", "name": name} for name in commands]
    return {"op": "channel", "channel": "9", "messages": list(messages), "commands": offered}


class Stage:
    """A server with the little of the protocol that the scene uses. It answers a command by its `replies`."""

    def __init__(self, *first: dict[str, Any], ends: bool = False) -> None:
        self.first = first
        self.ends = ends
        self.replies: list[dict[str, Any]] = []
        self.error: str | None = None
        self.commands: list[dict[str, Any]] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.address = ""

    async def page(self, _: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def live(self, request: web.Request) -> web.WebSocketResponse:
        assert request.headers["Origin"] == self.address
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        for frame in self.first:
            await socket.send_json(frame)
        if not self.ends:
            await socket.receive()
        return socket

    async def command(self, request: web.Request) -> web.Response:
        assert request.headers["X-Sandbox"] == "page"
        self.commands.append(await request.json())
        for frame in self.replies:
            await self.sockets[0].send_json(frame)
        return web.json_response({"error": self.error})


@asynccontextmanager
async def served(stage: Stage) -> AsyncIterator[Stage]:
    app = web.Application()
    app.router.add_get("/", stage.page)
    app.router.add_get("/api/live", stage.live)
    app.router.add_post("/api/command", stage.command)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        stage.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield stage
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("line", "address"),
    [
        ("The page: http://127.0.0.1:8080/\n", "http://127.0.0.1:8080"),
        ("Open http://localhost:8080 in your browser.", "http://localhost:8080"),
        ("Discord: http://127.0.0.1:8080/api/v10   memory and log: data", None),
    ],
)
def test_the_pages_address_is_told_from_discords(line: str, address: str | None):
    found = ADDRESS.search(line)
    assert (found and found[0]) == address


def test_a_reply_has_ended_when_it_carries_the_buttons_of_one_that_has():
    seen = Seen()
    for frame, ended in (
        (snapshot("starting"), False),
        (channel(message(1, "ask", loading=True)), False),
        ({"op": "message", "message": message(1, "ask", "Stop")}, False),
        ({"op": "message", "message": message(1, "ask", "Regenerate", "Delete")}, True),
        ({"op": "typing", "people": []}, True),
        ({"op": "gone", "id": "1"}, False),
    ):
        seen.take(frame)
        assert seen.has_ended("ask") is ended
    assert not seen.online
    seen.take({"op": "bot", "bot": {"state": "online"}})
    assert seen.online


def test_buttons_inside_a_container_count():
    pictures = message(2, "imagine")
    pictures["components"] = [{"type": "container", "components": [{"type": "row", "components": [button("Again")]}]}]
    seen = Seen()
    seen.take(channel(pictures))
    assert seen.has_ended("imagine")


def test_every_moment_of_a_frame_is_noon_and_nothing_else_changes():
    frame = {"op": "channel", "messages": [message(1, "ask")], "limits": {"window_s": 2.0}, "clock": {"now_s": 5}}
    shown = posed(frame)
    assert shown["messages"][0]["created_s"] == shown["clock"]["now_s"] == SHOWN_AT_S
    assert shown["messages"][0]["edited_s"] is None
    assert shown["limits"] == frame["limits"]
    assert shown["messages"][0]["text"] == "answer to ask"


def test_an_emoji_that_no_font_has_is_left_out_and_its_label_stays():
    buttons = [button("Again") | {"emoji": "🔁"}]
    assert posed(buttons) == buttons
    assert posed(buttons, emoji=False) == [button("Again") | {"emoji": None}]
    reaction = {"emoji": "🔁", "count": 1}
    assert posed(reaction, emoji=False) == reaction


def test_a_picture_is_made_small_enough_and_the_same_each_time():
    size = (WIDTH * SCALE // 4, 300)
    gradient = Image.linear_gradient("L").resize(size)
    colourful = Image.merge("RGB", (gradient, gradient.rotate(180), Image.effect_mandelbrot(size, (-2, -2, 1, 1), 40)))
    written = io.BytesIO()
    colourful.save(written, format="PNG")
    made = small(written.getvalue())
    assert Image.open(io.BytesIO(made)).size == size
    assert len(made) <= LIMIT_BYTES
    assert made == small(written.getvalue())


def test_a_picture_that_cannot_be_made_small_is_refused():
    noise = io.BytesIO()
    Image.frombytes("RGB", (1200, 1200), os.urandom(1200 * 1200 * 3)).save(noise, format="PNG")
    with pytest.raises(CannotBeMade, match="over 500,000"):
        small(noise.getvalue())


async def test_an_act_is_given_as_the_page_gives_it_and_awaited_to_its_end():
    stage = Stage(snapshot(), channel())
    stage.replies = [
        {"op": "message", "message": message(3, "ask", "Stop")},
        {"op": "message", "message": message(3, "ask", "Regenerate")},
    ]
    async with served(stage), asyncio.timeout(10), watching(stage.address) as spectator:
        await spectator.play(SCENE[0])
    assert stage.commands == [{"person": "7", "channel": "9", "command": "ask", "options": SCENE[0].options}]
    assert spectator.seen.has_ended("ask")


async def test_a_command_that_is_refused_ends_the_scene_with_its_reason():
    stage = Stage(snapshot(), channel())
    stage.error = "The application did not respond."
    async with served(stage), asyncio.timeout(10), watching(stage.address) as spectator:
        with pytest.raises(CannotBeMade, match="/ask: The application did not respond"):
            await spectator.play(Act(command="ask"))


async def test_a_sandbox_that_ends_meanwhile_ends_the_scene():
    stage = Stage(snapshot("starting"), channel(), ends=True)
    async with served(stage), asyncio.timeout(10):
        with pytest.raises(CannotBeMade, match="connection ended"):
            await watching(stage.address).__aenter__()


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium on this machine")
async def test_the_page_is_photographed_sharply_with_its_clock_at_noon():
    stage = Stage(snapshot(), channel(message(1, "ask", "Regenerate"), message(2, "imagine", "Again")))
    async with (
        served(stage),
        asyncio.timeout(60),
        watching(stage.address) as spectator,
        open_page(stage.address) as page,
    ):
        png = await photograph(page, spectator.seen)
        texts = await page.locator("article").all_inner_texts()
        clock = await page.locator("p").inner_text()
    assert Image.open(io.BytesIO(png)).width == WIDTH * SCALE
    assert clock == f"{SHOWN_AT_S:.0f}"
    assert texts == [f"answer to {name} at {SHOWN_AT_S:.0f}" for name in ("ask", "imagine")]
