"""The image half of the loopback API: orders, jobs, and a place where finished pictures are served."""

import asyncio
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import web

from sandbox.minitoolai import picture_rules, replies
from sandbox.minitoolai.drawing import Studio
from sandbox.minitoolai.picture_rules import Asked
from sandbox.minitoolai.picture_script import PictureOrder, PictureScript, Served, Turn
from sandbox.minitoolai.rules import Refused

REMEMBERED: Final = 1_000
"""Orders that are kept for tests to read; the oldest make room."""

JOBS: Final = 10_000
"""Jobs that can be asked about; the oldest make room."""

_ENDINGS: Final = {"png": "png", "jpeg": "jpg", "webp": "webp", "gif": "gif"}
_NO_JOB: Final = {"status": "error", "jobid": None, "signature": None}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """An order that was taken. `due` is of `time.monotonic`; `variation` tells it from earlier orders of the same."""

    order: PictureOrder
    asked: Asked
    script: PictureScript
    signature: str
    due: float
    variation: int


class Pictures:
    """Routes for one server. `picture_s` is how long a picture takes unless a script says otherwise.

    Asking about one job twice within `poll_gap_s` seconds is a 429; 0 allows any pace.
    """

    def __init__(self, *, authorization: str, picture_s: float, poll_gap_s: float) -> None:
        self.orders: deque[PictureOrder] = deque(maxlen=REMEMBERED)
        self.answer: Callable[[PictureOrder], PictureScript] | None = None
        self.unseen: asyncio.Queue[PictureOrder] = asyncio.Queue(maxsize=REMEMBERED)
        self.scripts: deque[PictureScript] = deque()
        self.released = asyncio.Event()
        self.closing = False
        self._authorization = authorization
        self._picture_s = picture_s
        self._poll_gap_s = poll_gap_s
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        self._times_asked: OrderedDict[Asked, int] = OrderedDict()
        self._studio = Studio()
        self._count = 0
        self._next_job = 10_000_000 + secrets.randbelow(80_000_000)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """The two documented endpoints, and the pictures outside of `/api`."""
        router.add_post("/api/texttoimage/", self._submit)
        router.add_post("/api/texttoimage/jobs/", self._poll)
        router.add_get("/pictures/{name}", self._serve, allow_head=False)

    # Submitting

    async def _submit(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != self._authorization:
            return replies.plain(401, {**_NO_JOB, "message": "Incorrect API key provided."})
        body: Any = None
        try:
            body = orjson.loads(await request.read())
            asked = picture_rules.check(body)
        except (orjson.JSONDecodeError, Refused) as refused:
            why = str(refused) if isinstance(refused, Refused) else "the body is not JSON"
            self._remember(request, body if isinstance(body, dict) else {}).finish(400)
            return replies.plain(400, {**_NO_JOB, "message": why})
        order = self._remember(request, body)
        try:
            return await self._take(request, order, asked, self._next_script(order))
        except (asyncio.CancelledError, ConnectionError):
            order.client_left = not self.closing  # else it is the server that leaves
            raise
        finally:
            order.finish(order.status)

    async def _take(
        self, request: web.Request, order: PictureOrder, asked: Asked, script: PictureScript
    ) -> web.StreamResponse:
        if (instead := await self._instead(request, script.submit)) is not None:
            order.status = instead.status
            return instead
        order.status = 200
        if script.refused:
            return replies.plain(200, _NO_JOB)
        job = self._begin(request, order, asked, script)
        if script.answer_lost:
            replies.hang_up(request)
            return web.Response()
        return replies.plain(
            200,
            {"status": "success", "jobid": int(order.job_id or 0), "signature": job.signature},
            script.submit.headers,
        )

    def _begin(self, request: web.Request, order: PictureOrder, asked: Asked, script: PictureScript) -> _Job:
        """Make the job, and bill it."""
        after_s = self._picture_s if script.ready_after_s is None else script.ready_after_s
        job = _Job(
            order=order,
            asked=asked,
            script=script,
            signature=secrets.token_hex(16),
            due=time.monotonic() + after_s,
            variation=self._variation(asked),
        )
        self._next_job += 1
        order.job_id = str(self._next_job)
        order.url = f"http://{request.host}/pictures/{order.job_id}.{_ENDINGS[script.serves.format]}"
        order.billed_nano = picture_rules.IMAGE_NANO
        self._jobs[order.job_id] = job
        if len(self._jobs) > JOBS:
            self._jobs.popitem(last=False)
        return job

    def _variation(self, asked: Asked) -> int:
        """How often the same was asked for before: the four pictures of one order must not be one."""
        times = self._times_asked.pop(asked, 0)
        self._times_asked[asked] = times + 1
        if len(self._times_asked) > JOBS:
            self._times_asked.popitem(last=False)
        return times

    def _remember(self, request: web.Request, body: dict[str, Any]) -> PictureOrder:
        self._count += 1
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        order = PictureOrder(
            number=self._count,
            body=body,
            headers={name: value for name, value in request.headers.items() if name.lower() != "authorization"},
            peer_port=peer[1] if peer else 0,
            arrived_at=time.monotonic(),
        )
        self.orders.append(order)
        if self.unseen.full():
            self.unseen.get_nowait()
        self.unseen.put_nowait(order)
        return order

    def _next_script(self, order: PictureOrder) -> PictureScript:
        if self.scripts:
            return self.scripts.popleft()
        return self.answer(order) if self.answer is not None else PictureScript()

    # Asking how far it is

    async def _poll(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != self._authorization:
            return replies.plain(401, {"status": "error", "message": "Incorrect API key provided."})
        try:
            job_id, signature = picture_rules.check_poll(orjson.loads(await request.read()))
        except orjson.JSONDecodeError:
            return replies.plain(400, {"status": "error", "message": "the body is not JSON"})
        except Refused as refused:
            return replies.plain(400, {"status": "error", "message": str(refused)})
        job = self._jobs.get(job_id)
        if job is None or not secrets.compare_digest(job.signature.encode(), signature.encode("utf-8", "replace")):
            return replies.plain(200, {"status": "error", "image_url": None, "message": "there is no such job"})
        return await self._tell(request, job)

    async def _tell(self, request: web.Request, job: _Job) -> web.StreamResponse:
        order, script, now = job.order, job.script, time.monotonic()
        hasty = bool(order.polled_at) and now - order.polled_at[-1] < self._poll_gap_s
        number = order.polls
        order.note(order.polled_at, now)
        if hasty:
            order.hasty += 1
            return replies.plain(429, {"status": "error", "message": "asked too soon"}, {"Retry-After": "1"})
        turn = script.polls[number] if number < len(script.polls) else Turn()
        if (instead := await self._instead(request, turn)) is not None:
            return instead
        if not self._is_done(job):
            return replies.plain(200, script.running)
        order.told_ready_at = order.told_ready_at or time.monotonic()
        if script.error is not None:
            return replies.plain(200, {"status": "error", "image_url": None, "message": script.error})
        url = None if script.url is None else script.url.replace("{url}", order.url or "")
        return replies.plain(200, {"status": "success", "image_url": url, "message": "success"})

    def _is_done(self, job: _Job) -> bool:
        order, script, now = job.order, job.script, time.monotonic()
        if order.ready_at is None:
            gate = script.gate or (self.released if script.held else None)
            if now < job.due or (gate is not None and not gate.is_set()):
                return False
            order.ready_at = job.due if gate is None else now
            if script.error is not None:
                order.billed_nano = 0
        return True

    # Serving

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        job = self._jobs.get(request.match_info["name"].partition(".")[0])
        if job is None or not self._is_done(job) or job.script.error is not None:
            return replies.plain(404, "<h1>Not found</h1>")
        order, served = job.order, job.script.serves
        hops = request.query.get("hop", "")
        hop = int(hops[:6]) if hops.isdecimal() else 0
        if hop == 0:
            order.note(order.downloaded_at, time.monotonic())
        if hop < len(served.redirects):
            onward = served.redirects[hop].replace("{next}", f"{order.url}?hop={hop + 1}")
            return web.Response(status=302, headers={"Location": onward})
        if (instead := await self._instead(request, served.turn)) is not None:
            return instead
        try:
            return await self._send(request, job, served)
        except (asyncio.CancelledError, ConnectionError):
            if not self.closing:
                order.leave()
            raise

    async def _send(self, request: web.Request, job: _Job, served: Served) -> web.StreamResponse:
        body = served.body
        if body is None:
            body = await self._studio.picture(job.asked, variation=job.variation, form=served.format)
        body = body[: served.cut_to].ljust(served.padded_to, b"\0")
        if served.endless:
            body = (body or b"\0") * (served.chunk_bytes // max(len(body), 1) + 1)
        response = web.StreamResponse(
            headers={"Content-Type": served.content_type or f"image/{served.format}", **served.turn.headers}
        )
        if not served.endless:
            response.content_length = len(body)
        await response.prepare(request)
        if await self._pour(response, body, job.order, served):
            await response.write_eof()
        else:
            replies.hang_up(request)
        return response

    async def _pour(self, response: web.StreamResponse, body: bytes, order: PictureOrder, served: Served) -> bool:
        """Write the body as scripted; False where the script breaks it off."""
        sent = 0
        while served.endless or sent < len(body):
            for stop in (served.break_after, served.stall_after):
                if stop is not None and sent >= stop:
                    if stop == served.break_after:
                        return False
                    await self.released.wait()
            at = sent % len(body)
            piece = body[at : at + _room(sent, served)]
            await response.write(piece)
            sent += len(piece)
            order.bytes_sent += len(piece)
            if served.chunk_delay_s:
                await asyncio.sleep(served.chunk_delay_s)
        return True

    async def _instead(self, request: web.Request, turn: Turn) -> web.Response | None:
        """The scripted answer in place of the documented one, which may be given where this is None."""
        if turn.delay_s:
            await asyncio.sleep(turn.delay_s)
        if turn.gate is not None or turn.held:
            await (turn.gate or self.released).wait()
        if not turn.replaces:
            return None
        if turn.hang_up:
            replies.hang_up(request)
            return web.Response(status=turn.status)
        body = {"status": "error", "message": "as scripted"} if turn.body is None else turn.body
        return replies.plain(turn.status, body, turn.headers)


def _room(sent: int, served: Served) -> int:
    """How many bytes go out next, so that the script's places are hit exactly."""
    stops = [stop - sent for stop in (served.break_after, served.stall_after) if stop is not None and stop > sent]
    return min([served.chunk_bytes, *stops])
