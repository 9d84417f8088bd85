"""Make the picture that the project's page opens with: `make picture`, or `python -m sandbox.web.picture`.

Nothing in it is painted: the sandbox is started as anybody starts it, two commands are given as the page gives them,
and Chromium shows what came of it. Answers and pictures of the sandbox follow from the prompt alone; what would still
differ from run to run, the time of day, is set on its way to the page.

It needs what the tests need: Playwright and a Chromium.
"""

import argparse
import asyncio
import contextlib
import io
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
from PIL import Image
from playwright.async_api import Page, Route, WebSocketRoute, async_playwright

ROOT: Final = Path(__file__).parents[2]
DEFAULT_FILE: Final = ROOT / "docs" / "sandbox.png"

WIDTH: Final = 1280
HEIGHT: Final = 1272
SCALE: Final = 2
"""Pixels of the file for each pixel of the page: sharp on screens of high density."""
LIMIT_BYTES: Final = 500_000
BITS: Final = (8, 7, 6, 5, 4)
"""Bits for each of red, green and blue, tried until the file is small enough. PNG stores smooth colours well, and worse
where they are dithered; a palette would leave a sky in bands."""

SHOWN_AT_S: Final = 1_767_268_800.0
"""What every clock in the picture shows: 1 January 2026, 12:00 UTC."""
MOMENTS: Final = frozenset({"created_s", "edited_s", "now_s", "at_s", "until_s"})
"""The names under which the page is told a moment; see PROTOCOL.md."""

START_S: Final = 60.0
SCENE_S: Final = 120.0
STOP_S: Final = 20.0
ADDRESS: Final = re.compile(r"http://(?:127\.0\.0\.1|localhost):\d+(?=/?(?:[\s.,)]|$))")
"""The page's address, as the sandbox prints it. The address of the stand-in for Discord goes on with its path."""

ENDED: Final = frozenset({"Regenerate", "Again"})
"""Labels of the buttons below an answer, and below pictures, that are whole."""

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Act:
    """One command of the scene, with its options by name."""

    command: str
    options: Json = field(default_factory=dict)


SCENE: Final = (
    Act(command="ask", options={"prompt": "How do I get the Fibonacci numbers? Some code, please."}),
    Act(command="imagine", options={"prompt": "a sailing boat on a calm sea at sunset", "count": 4}),
)


class CannotBeMade(Exception):
    """Its text says what is missing or went wrong."""


@dataclass(slots=True)
class Seen:
    """What the server has told of the opened channel, as a page keeps it."""

    person: str = ""
    channel: str = ""
    online: bool = False
    commands: frozenset[str] = frozenset()
    messages: dict[str, Json] = field(default_factory=dict)

    def take(self, frame: Json) -> None:
        """Follow one frame of the live connection; those that the scene does not need are let pass."""
        match frame["op"]:
            case "snapshot":
                self.person, self.online = frame["person"], frame["bot"]["state"] == "online"
            case "bot":
                self.online = frame["bot"]["state"] == "online"
            case "channel":
                self.channel = frame["channel"]
                self.commands = _slash(frame["commands"])
                self.messages = {message["id"]: message for message in frame["messages"]}
            case "commands":
                self.commands = _slash(frame["commands"])
            case "message":
                self.messages[frame["message"]["id"]] = frame["message"]
            case "gone":
                self.messages.pop(frame["id"], None)

    def has_ended(self, command: str) -> bool:
        """Whether a reply to that command is whole."""
        return any(
            message["used"] is not None
            and message["used"]["name"] == command
            and not message["loading"]
            and ENDED & set(_labels(message["components"]))
            for message in self.messages.values()
        )


def _slash(commands: list[Json]) -> frozenset[str]:
    return frozenset(command["name"] for command in commands if command["kind"] == "slash")


def _labels(components: list[Json]) -> Iterator[str]:
    """The labels of all buttons, however deep."""
    for component in components:
        if component["type"] == "button" and component["label"]:
            yield component["label"]
        yield from _labels(component.get("components", []))


class Spectator:
    """Watches the opened channel and gives commands, as the page does. `address` is the page's, without a slash."""

    def __init__(self, address: str, session: aiohttp.ClientSession, live: aiohttp.ClientWebSocketResponse) -> None:
        self.seen = Seen()
        self._address = address
        self._session = session
        self._live = live

    async def until(self, condition: Callable[[Seen], bool]) -> None:
        """Follow the live connection until `condition` holds. Raises CannotBeMade where it ends before."""
        while not condition(self.seen):
            message = await self._live.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise CannotBeMade(f"the live connection ended with {message.type.name}")
            self.seen.take(json.loads(message.data))

    async def play(self, act: Act) -> None:
        """Give the command and wait for its reply."""
        body: Json = {"person": self.seen.person, "channel": self.seen.channel}
        body |= {"command": act.command, "options": act.options}
        async with self._session.post(
            f"{self._address}/api/command", json=body, headers={"X-Sandbox": "page"}
        ) as response:
            outcome = await response.json()
        if outcome.get("error"):
            raise CannotBeMade(f"/{act.command}: {outcome['error']}")
        await self.until(lambda seen: seen.has_ended(act.command))


@asynccontextmanager
async def watching(address: str) -> AsyncIterator[Spectator]:
    """A spectator, once the bot is online with the scene's first command."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{address}/api/live", origin=address, max_msg_size=0) as live,
    ):
        spectator = Spectator(address, session, live)
        await spectator.until(lambda seen: seen.online and SCENE[0].command in seen.commands)
        yield spectator


@asynccontextmanager
async def running_sandbox(state: Path) -> AsyncIterator[str]:
    """The sandbox as a process of its own; the address of its page. No desktop is told to open it.

    Raises:
        CannotBeMade: it ended, or printed no address within START_S.
    """
    environ = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sandbox", "--fresh", "--port", "0", "--state", str(state)),
        cwd=ROOT,
        env={**environ, "PYTHONUNBUFFERED": "1"},
        stdin=asyncio.subprocess.PIPE,  # kept open: at its end the sandbox may take its leave
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    draining: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(START_S):
            address = await _address_in(process.stdout)
        draining = asyncio.create_task(_drain(process.stdout))  # a full pipe would stop the sandbox
        yield address
    except TimeoutError:
        raise CannotBeMade(f"the sandbox printed no address within {START_S:g} s") from None
    finally:
        await _stop(process)
        if draining is not None:
            await draining


async def _address_in(output: asyncio.StreamReader) -> str:
    told: list[str] = []
    async for line in output:
        told.append(line.decode(errors="replace"))
        if (found := ADDRESS.search(told[-1])) is not None:
            return found[0]
    raise CannotBeMade(f"the sandbox ended:\n{''.join(told[-12:])}")


async def _drain(output: asyncio.StreamReader) -> None:
    while await output.read(65_536):
        pass


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def posed(value: Any, *, emoji: bool = True) -> Any:
    """The same frame with every moment in it at SHOWN_AT_S, and with the buttons' emoji or without."""
    if isinstance(value, list):
        return [posed(one, emoji=emoji) for one in value]
    if not isinstance(value, dict):
        return value
    shown = {key: _at_noon(key, posed(one, emoji=emoji)) for key, one in value.items()}
    return shown if emoji or shown.get("type") != "button" else shown | {"emoji": None}


def _at_noon(key: str, value: Any) -> Any:
    return SHOWN_AT_S if key in MOMENTS and isinstance(value, int | float) else value


async def draws_emoji() -> bool:
    """Whether a font of this machine has the emoji of the bot's buttons. Without one they would be empty boxes."""
    asking = await asyncio.create_subprocess_exec(
        *("fc-list", ":charset=1f501", "family"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    families, _ = await asking.communicate()
    return bool(families.strip())


@asynccontextmanager
async def open_page(address: str) -> AsyncIterator[Page]:
    """The sandbox's page in Chromium: the system's, else Playwright's own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=_chromium())
        try:
            page = await browser.new_page(
                viewport={"width": WIDTH, "height": HEIGHT},
                device_scale_factor=SCALE,
                color_scheme="dark",
                reduced_motion="reduce",
                locale="en-US",
                timezone_id="UTC",
            )
            emoji = await draws_emoji() if shutil.which("fc-list") else True
            await page.route_web_socket(re.compile(r"/api/live"), partial(_posing, emoji=emoji))
            await page.route(re.compile(rf"^(?!{re.escape(address)}/)"), _refuse)
            await page.goto(address)
            yield page
        finally:
            await browser.close()


def _chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def _posing(socket: WebSocketRoute, *, emoji: bool) -> None:
    """What the server says is put right on its way to the page; what the page says goes as it is."""
    server = socket.connect_to_server()
    server.on_message(lambda frame: socket.send(json.dumps(posed(json.loads(frame), emoji=emoji))))


async def _refuse(route: Route) -> None:
    """Nothing is loaded from elsewhere."""
    await route.abort()


_SETTLE: Final = """async () => {
  document.activeElement?.blur();
  await document.fonts.ready;
  for (const image of document.images) {
    image.decoding = "sync";  // else an image may be loaded, and not painted yet
    await image.decode();
  }
  for (const _ of [1, 2]) await new Promise(requestAnimationFrame);
}"""


async def photograph(page: Page, seen: Seen) -> bytes:
    """The page as PNG, once every message of the channel is there with its pictures loaded."""
    await page.wait_for_function(
        "count => document.querySelectorAll('[role=log] article').length >= count"
        " && [...document.images].every(image => image.complete && image.naturalWidth > 0)",
        arg=len(seen.messages),
    )
    await page.evaluate(_SETTLE)
    return await page.screenshot(animations="disabled", caret="hide")


def small(png: bytes) -> bytes:
    """The picture with as fine colours as LIMIT_BYTES allow, without anything that tells when it was made.

    Raises:
        CannotBeMade: it is too large with the coarsest, too.
    """
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    size = 0
    for bits in BITS:
        file = io.BytesIO()
        picture.point(partial(_rounded, bits=bits)).save(file, format="PNG", optimize=True)
        size = file.tell()
        if size <= LIMIT_BYTES:
            return file.getvalue()
    raise CannotBeMade(f"the picture has {size:,} bytes with {BITS[-1]} bits a colour, over {LIMIT_BYTES:,}")


def _rounded(value: int, *, bits: int) -> int:
    """A part of a colour, 0 to 255, to the nearest of 2^bits evenly spaced ones, black and white among them."""
    top = (1 << bits) - 1
    return round(round(value * top / 255) * 255 / top)


async def make() -> bytes:
    """Play the scene in a sandbox of its own, and take its picture. Raises CannotBeMade."""
    with tempfile.TemporaryDirectory() as state:
        async with running_sandbox(Path(state)) as address:
            try:
                async with asyncio.timeout(SCENE_S), watching(address) as spectator:
                    for act in SCENE:
                        if act.command in spectator.seen.commands:
                            await spectator.play(act)
                    async with open_page(address) as page:
                        return small(await photograph(page, spectator.seen))
            except TimeoutError:
                raise CannotBeMade(f"the scene was not over within {SCENE_S:g} s") from None
            except aiohttp.ClientError as error:
                raise CannotBeMade(f"the sandbox's page does not answer: {error}") from error


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox.web.picture", description="Make the picture of README.")
    parser.add_argument("file", type=Path, nargs="?", default=DEFAULT_FILE, help="where to write it")
    file: Path = parser.parse_args().file
    try:
        png = asyncio.run(make())
    except CannotBeMade as problem:
        print(f"No picture: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    file.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if file.read_bytes() == png:
            print(f"{file} is as it was.")
            return 0
    file.write_bytes(png)
    print(f"{file}: {len(png):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
