"""The server of the page: PROTOCOL.md over HTTP and a WebSocket, on loopback alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import orjson
from aiohttp import BodyPartReader, WSCloseCode, web
from aiohttp.http_exceptions import HttpProcessingError

from sandbox.discord.people import ClientRefused
from sandbox.discord.refusals import Json
from sandbox.terminal.child import Child
from sandbox.web.asked import FILES_LIMIT, Asked, Problem, problem_json
from sandbox.web.books import Books
from sandbox.web.doing import Action, Doing, as_problem, checked_advance
from sandbox.web.faults import Switches
from sandbox.web.guard import LIVE, guarded
from sandbox.web.live import FRAME_BYTES, SHOWN_MESSAGES, Feed, Hub, converse
from sandbox.web.messages import message_json
from sandbox.web.places import sees
from sandbox.web.scene import Scene, first_channel
from sandbox.web.uploads import Uploads

STATIC: Final = Path(__file__).parent / "static"
BODY_BYTES: Final = 256 * 1024
LOG_LINES: Final = 200
FILES_POLICY: Final = "default-src 'none'; sandbox"
"""A file that somebody attached does nothing of its own, whatever is in it."""
_SHOWN: Final = ("image/png", "image/jpeg", "image/gif", "image/webp", "video/", "audio/")
"""What a browser shows in place; SVG and HTML are not among them."""
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
    ".json": "application/json",
}


class Page:
    """The routes. `child` is the bot's process where there is one to restart; `state` the folder of its database."""

    def __init__(self, scene: Scene, *, child: Child | None, books: Books) -> None:
        self.scene = scene
        self.uploads = Uploads()
        self.switches = Switches(scene.discord, scene.stage.simulation)
        self.hub = Hub(scene, self.switches)
        self._books = books
        self._child = child
        self._doing = Doing(scene)
        self._sockets: set[web.WebSocketResponse] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def application(self) -> web.Application:
        application = web.Application(client_max_size=BODY_BYTES, middlewares=[guarded, _told])
        router = application.router
        router.add_get("/", self._index)
        router.add_get("/static/{path:.+}", self._static)
        router.add_get("/files/{path:.+}", self._file)
        router.add_get(LIVE, self._live)
        router.add_get("/api/messages", self._messages)
        router.add_get("/api/ledger", self._ledger)
        router.add_get("/api/log", self._log)
        router.add_post("/api/upload", self._upload)
        router.add_get("/api/upload/{id}", self._uploaded)
        for name, action in {**self._doing.actions, **self._own_actions()}.items():
            router.add_post(f"/api/{name}", self._carrying_out(action))
        return application

    async def close(self) -> None:
        """Tell every page that it ends here."""
        self.hub.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        closing = [socket.close(code=WSCloseCode.GOING_AWAY) for socket in list(self._sockets)]
        await asyncio.gather(*closing, return_exceptions=True)

    # Actions

    def _own_actions(self) -> Mapping[str, Action]:
        return {"clock": self._advance, "fault": self._fault, "restart": self._restart}

    def _carrying_out(self, action: Action) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def carry_out(request: web.Request) -> web.Response:
            if request.content_type != "application/json":
                raise Problem(400, "The request has to be JSON.")
            try:
                body = orjson.loads(await request.read())
            except orjson.JSONDecodeError:
                raise Problem(400, "The request has to be JSON.") from None
            try:
                return _json(await action(Asked(self.scene, self.uploads, body)))
            except ClientRefused as refused:
                raise as_problem(refused) from refused

        return carry_out

    async def _advance(self, asked: Asked) -> Json:
        self.scene.advance(checked_advance(asked, self.scene))
        self.hub.mark("clock", "typing")
        clock = self.scene.world.clock
        return {"now_s": clock.now(), "advanced_s": clock.advanced_s}

    async def _fault(self, asked: Asked) -> Json:
        try:
            await self.switches.switch(asked.text("name"), on=asked.truth("on"))
        except KeyError:
            raise Problem(404, "There is no such fault.", "name") from None
        self.hub.mark("faults")
        return {"faults": self.switches.json()}

    async def _restart(self, _: Asked) -> Json:
        if self._child is None:
            raise Problem(409, "This bot cannot be restarted from here.")
        if self._tasks:
            raise Problem(409, "The bot is being restarted already.")
        self.hub.set_bot("starting")
        task = asyncio.create_task(self._child.restart(), name="restarting the bot")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return {}

    # Looking

    async def _messages(self, request: web.Request) -> web.Response:
        asked = Asked(self.scene, self.uploads, dict(request.query))
        person = asked.person()
        channel, before = asked.channel(person), asked.identity("before")
        older = [message for message in person.visible(channel) if message.id < before]
        shown = [message_json(message, person, self.scene.guild) for message in older[-SHOWN_MESSAGES:]]
        return _json({"messages": shown, "more": len(older) > SHOWN_MESSAGES})

    async def _ledger(self, request: web.Request) -> web.Response:
        asked = Asked(self.scene, self.uploads, dict(request.query))
        person = asked.person()
        channel = asked.channel(person)
        return _json(await self._books.ledger(person.user, channel, now_s=self.scene.world.clock.now()))

    async def _log(self, request: web.Request) -> web.Response:
        wanted = request.query.get("lines", "")
        lines = min(int(wanted), LOG_LINES) if wanted.isascii() and wanted.isdecimal() and len(wanted) < 6 else 50
        found = await asyncio.to_thread(self._child.tail, lines) if self._child is not None and lines else []
        return _json({"lines": found})

    async def _live(self, request: web.Request) -> web.WebSocketResponse:
        people, channels = self.scene.people, self.scene.world.channels
        person = people.get(_number(request.query.get("person"))) or next(iter(people.values()))
        channel = channels.get(_number(request.query.get("channel")))
        if channel is None or not sees(person, channel):
            channel = first_channel(self.scene)
        socket = web.WebSocketResponse(heartbeat=30.0, max_msg_size=FRAME_BYTES, timeout=2.0)
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            await converse(self.hub, Feed(self.hub, person, channel), socket)
        finally:
            self._sockets.discard(socket)
        return socket

    # Files

    async def _index(self, _: web.Request) -> web.Response:
        return await _served("index.html")

    async def _static(self, request: web.Request) -> web.Response:
        return await _served(request.match_info["path"])

    async def _file(self, request: web.Request) -> web.Response:
        stored = self.scene.world.cdn.at(request.match_info["path"])
        if stored is None:
            raise Problem(404, "This file is no longer available.")
        content, content_type = stored
        name = request.match_info["path"].rpartition("/")[2]
        return _attached(content, content_type, name, download="download" in request.query)

    async def _uploaded(self, request: web.Request) -> web.Response:
        waiting = self.uploads.get(request.match_info["id"])
        if waiting is None:
            raise Problem(404, "This file is no longer available.")
        return _attached(waiting.content, waiting.content_type, waiting.name, download=False)

    async def _upload(self, request: web.Request) -> web.Response:
        if request.content_type != "multipart/form-data":
            raise Problem(400, "Files come as multipart/form-data.")
        try:
            return _json({"uploads": [added async for added in self._parts(request)]})
        except (ValueError, HttpProcessingError):  # what the parser says of bytes that are no form
            raise Problem(400, "This form cannot be read.") from None

    async def _parts(self, request: web.Request) -> AsyncIterator[Json]:
        """Each file as it was put with the others. Raises Problem, and what the parser raises."""
        count = 0
        parts = await request.multipart()
        while (part := await parts.next()) is not None:
            if not isinstance(part, BodyPartReader) or part.name != "file" or part.filename is None:
                raise Problem(400, "Files come in fields named “file”.")
            if count == FILES_LIMIT:
                raise Problem(400, f"At most {FILES_LIMIT} files at once.", "file")
            content = await _read(part, self.scene.guild.upload_limit_bytes)
            content_type = part.headers.get("Content-Type", "application/octet-stream").partition(";")[0]
            try:
                added = self.uploads.add(part.filename, content, content_type)
            except ValueError as problem:
                raise Problem(413, f"{problem}.", "file") from None
            count += 1
            yield added.json()


@asynccontextmanager
async def open_page(
    scene: Scene, *, books: Books, child: Child | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """The page at the address that this yields, until the end of the block. `port` 0 takes a free one.

    Raises:
        OSError: the port is taken or may not be used.
    """
    page = Page(scene, child=child, books=books)
    runner = web.AppRunner(page.application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    watching = asyncio.create_task(page.hub.watch_bot(), name="whether the bot is there")
    try:
        await web.TCPSite(runner, host, port).start()
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await page.close()
        await runner.cleanup()


@web.middleware
async def _told(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turns a Problem into its answer."""
    try:
        return await handler(request)
    except Problem as problem:
        return _json(problem_json(problem), status=problem.status)
    except web.HTTPRequestEntityTooLarge:
        return _json({"error": "That is too large.", "field": None}, status=413)


def _json(body: Json, *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def _number(value: str | None) -> int:
    return int(value) if value and value.isascii() and value.isdecimal() and len(value) <= 20 else 0


async def _read(part: BodyPartReader, limit: int) -> bytes:
    """Up to a byte more than `limit`: so much is enough to refuse it."""
    content = bytearray()
    while len(content) <= limit and (chunk := await part.read_chunk(64 * 1024)):
        content += chunk
    if len(content) > limit:
        raise Problem(413, f"{part.filename} is larger than the {limit // 1024**2} MiB that Discord takes.", "file")
    return bytes(content)


def _attached(content: bytes, content_type: str, name: str, *, download: bool) -> web.Response:
    shown = content_type.startswith(_SHOWN) and not download
    place = "inline" if shown else "attachment"
    headers = {
        "Content-Type": content_type if shown else "application/octet-stream",
        "Content-Disposition": f"{place}; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": FILES_POLICY,
    }
    return web.Response(body=content, headers=headers)


async def _served(name: str) -> web.Response:
    """A file of the page; read anew each time, so that who works on it reloads and sees."""
    try:
        path = (STATIC / name).resolve()
        content_type = _TYPES.get(path.suffix)
        if not path.is_relative_to(STATIC) or content_type is None:
            raise Problem(404, "There is no such file.")
        content = await asyncio.to_thread(path.read_bytes)
    except (OSError, ValueError):  # the latter for a name with a NUL in it
        raise Problem(404, "There is no such file.") from None
    return web.Response(body=content, headers={"Content-Type": content_type})
