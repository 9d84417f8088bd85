"""The loopback API itself."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

import orjson
from aiohttp import web

from sandbox.minitoolai import looking, replies, rules, simulation
from sandbox.minitoolai.picture_script import PictureOrder, PictureScript
from sandbox.minitoolai.pictures import Pictures
from sandbox.minitoolai.script import Received, Script, Tokens
from sandbox.minitoolai.wire import Writer

REMEMBERED: Final = 1_000
"""Requests that are kept; the oldest make room."""


class MiniToolAIServer:
    """The documented API at `url`, for one key. An async context manager.

    An answer is the next of the scripts queued by `script`, else what `answer` returns, else what `bend` makes of the
    simulation at `pace_s` seconds a chunk. A picture follows the next of the scripts queued by `script_picture`, else
    what `picture_answer` returns, else is drawn within `picture_s` seconds; asking about one twice within `poll_gap_s`
    is a 429. A request that breaks a documented rule is refused before any script is taken.
    """

    def __init__(
        self,
        *,
        api_key: str = "sandbox-key",
        host: str = "127.0.0.1",
        port: int = 0,
        pace_s: float = 0.02,
        picture_s: float = 0.0,
        poll_gap_s: float = 0.0,
    ) -> None:
        self.requests: deque[Received] = deque(maxlen=REMEMBERED)
        self.answer: Callable[[Received], Script] | None = None
        self.bend: Callable[[Script], Script] | None = None
        self._authorization = f"Bearer {api_key}"
        self._host = host
        self._port = port
        self.pace_s = pace_s
        self._scripts: deque[Script] = deque()
        self._unseen: asyncio.Queue[Received] = asyncio.Queue(maxsize=REMEMBERED)
        self._released = asyncio.Event()
        self._count = 0
        self._pictures = Pictures(authorization=self._authorization, picture_s=picture_s, poll_gap_s=poll_gap_s)
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        rules.count(["load the tokenizer now, not within the first answer"])
        app = web.Application(client_max_size=32 * 1024 * 1024)
        app.router.add_post("/api/chat-completions/", self._chat)
        self._pictures.add_routes(app.router)
        # With handler_cancellation a handler ends when its client leaves, also while it waits.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        runner, self._runner = self._runner, None
        await self._pictures.close()
        if runner is not None:
            await runner.cleanup()

    @property
    def url(self) -> str:
        """The base address, for `MINITOOLAI_API_URL`. Known once the server is open."""
        return f"http://{self._host}:{self._port}/api"

    def script(self, *scripts: Script) -> None:
        """Queue the next answers."""
        self._scripts.extend(scripts)

    def release(self) -> None:
        """Let every answer go on that stalls without a gate, now and from now on."""
        self._released.set()

    async def wait_for_request(self, *, timeout_s: float = 30.0) -> Received:
        """The oldest request that this has not returned yet. Raises `TimeoutError`."""
        async with asyncio.timeout(timeout_s):
            return await self._unseen.get()

    @property
    def pictures(self) -> deque[PictureOrder]:
        """The submissions of pictures, the oldest first."""
        return self._pictures.orders

    @property
    def picture_answer(self) -> Callable[[PictureOrder], PictureScript] | None:
        """What becomes of an order for which no script is queued."""
        return self._pictures.answer

    @picture_answer.setter
    def picture_answer(self, answer: Callable[[PictureOrder], PictureScript] | None) -> None:
        self._pictures.answer = answer

    @property
    def picture_s(self) -> float:
        """How long the next pictures take where no script says otherwise, in seconds."""
        return self._pictures.picture_s

    @picture_s.setter
    def picture_s(self, seconds: float) -> None:
        self._pictures.picture_s = seconds

    def script_picture(self, *scripts: PictureScript) -> None:
        """Queue what becomes of the next orders."""
        self._pictures.scripts.extend(scripts)

    def release_pictures(self) -> None:
        """Let everything about pictures go on that is held without a gate, now and from now on."""
        self._pictures.released.set()

    async def wait_for_picture(self, *, timeout_s: float = 30.0) -> PictureOrder:
        """The oldest submission that this has not returned yet. Raises `TimeoutError`."""
        async with asyncio.timeout(timeout_s):
            return await self._pictures.unseen.get()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != self._authorization:
            return replies.error(401, "Incorrect API key provided.")
        try:
            body = orjson.loads(await request.read())
            prompt_tokens = rules.check(body)
        except orjson.JSONDecodeError:
            return replies.error(400, "the body is not JSON")
        except rules.Refused as refused:
            self._remember(request, body if isinstance(body, dict) else {}).status = 400
            return replies.error(400, str(refused))
        received = self._remember(request, body)
        try:
            script = await self._next_script(received)
            return await _Answer(request, received, script, prompt_tokens, self._released).give()
        except (asyncio.CancelledError, ConnectionError):
            received.client_left = self._runner is not None  # else it is the server that leaves
            raise
        finally:
            received.ended.set()

    def _remember(self, request: web.Request, body: dict[str, Any]) -> Received:
        self._count += 1
        headers = {name: value for name, value in request.headers.items() if name.lower() != "authorization"}
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        received = Received(
            number=self._count,
            body=body,
            headers=headers,
            peer_port=peer[1] if peer else 0,
            arrived_at=time.monotonic(),
        )
        self.requests.append(received)
        if self._unseen.full():
            self._unseen.get_nowait()
        self._unseen.put_nowait(received)
        return received

    async def _next_script(self, received: Received) -> Script:
        if self._scripts:
            return self._scripts.popleft()
        if self.answer is not None:
            return self.answer(received)
        urls = looking.addresses(received.body["messages"])
        sights = await looking.look(urls) if urls else ()
        script = simulation.answer(received.body, pace_s=self.pace_s, sights=sights)
        return self.bend(script) if self.bend is not None else script


class _Answer:
    """One script on its way over one connection."""

    def __init__(
        self, request: web.Request, received: Received, script: Script, prompt_tokens: int, released: asyncio.Event
    ) -> None:
        self._request = request
        self._received = received
        self._script = script
        self._prompt_tokens = prompt_tokens
        self._released = released
        self._writer = Writer(rules.MODELS[received.body["model"]].dated, line_ending=script.line_ending)
        self._response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache", **script.headers}
        )
        self._due = 0.0

    async def give(self) -> web.StreamResponse:
        script = self._script
        if script.first_delay_s:
            await asyncio.sleep(script.first_delay_s)
        if script.first_gate is not None:
            await script.first_gate.wait()
        if script.hang_up:
            replies.hang_up(self._request)
            return self._response
        self._received.status = script.status
        if script.status != 200 or script.error_body is not None:
            body = {"error": {"message": "as scripted"}} if script.error_body is None else script.error_body
            return replies.plain(script.status, body, script.headers)
        await self._response.prepare(self._request)
        await self._response.write(b"")  # the headers leave now, not with the first chunk
        try:
            if await self._body():
                await self._response.write_eof()
            else:
                replies.hang_up(self._request)
        finally:
            if script.raw is None:
                self._received.billed = self._tokens()
        return self._response

    async def _body(self) -> bool:
        """Send the body; False where the script breaks it off."""
        script = self._script
        pieces: Sequence[str | bytes] = script.chunks() if script.raw is None else script.raw
        self._due = time.monotonic()
        for number, piece in enumerate(pieces):
            await self._wait_at(number)
            if number in (script.break_after, script.error_after):
                return await self._fail(number)
            await self._pause(script.delay_s(number))
            await self._send(piece)
        await self._wait_at(len(pieces))
        if len(pieces) in (script.break_after, script.error_after):
            return await self._fail(len(pieces))
        if script.raw is None:
            await self._response.write(self._tail())
        return True

    async def _send(self, piece: str | bytes) -> None:
        if isinstance(piece, bytes):
            data, text = piece, ""
        else:
            data, text = self._writer.delta(piece), piece
        if self._script.comments:
            data = self._writer.comment("still here") + data
        await self._response.write(data)
        self._received.note(text, at=time.monotonic())

    def _tail(self) -> bytes:
        script, writer = self._script, self._writer
        tail = writer.finish(script.finish_reason) if script.finish_reason is not None else b""
        if script.usage is not None:
            tail += writer.usage(self._tokens())
        return tail + (writer.done() if script.done else b"")

    async def _wait_at(self, number: int) -> None:
        script = self._script
        stall_at = 0 if script.stall_after is None and script.gate is not None else script.stall_after
        if number == stall_at:
            await (script.gate or self._released).wait()
            self._due = time.monotonic()

    async def _pause(self, delay_s: float) -> None:
        """Wait by the schedule, not by the step, so that many answers at once keep their pace."""
        self._due += delay_s
        if delay_s and (left_s := self._due - time.monotonic()) > 0:
            await asyncio.sleep(left_s)

    async def _fail(self, number: int) -> bool:
        if number == self._script.break_after:
            return False
        await self._response.write(self._writer.error("The server had an error while processing your request."))
        return True

    def _tokens(self) -> Tokens:
        if isinstance(self._script.usage, Tokens):
            return self._script.usage
        completion = rules.count(["".join(self._received.sent)])
        return Tokens(prompt_tokens=self._prompt_tokens, completion_tokens=completion)
