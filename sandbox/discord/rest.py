"""Discord's REST v10 over HTTP: reading requests, limits, faults, answers and the record of all that."""

import asyncio
import logging
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from aiohttp import BodyPartReader, web

from sandbox.discord.cdn import Upload
from sandbox.discord.faults import Fault, Faults
from sandbox.discord.limits import Call, Limits, Verdict
from sandbox.discord.openapi import OpenApi
from sandbox.discord.refusals import UNAUTHORIZED, Json, Refusal, refusal
from sandbox.discord.routes import Answer, Request, Route, Router
from sandbox.discord.world import World

_log = logging.getLogger(__name__)

PREFIX: Final = "/api/v10"
BODY_LIMIT_BYTES: Final = 256 * 1024 * 1024
"""All files of one request together; each file has its own, smaller limit."""
_FILE_FIELD: Final = re.compile(r"files?\[(\d{1,4})\]")
_USER_AGENT: Final = "DiscordBot ("
"""The documented form goes on with ($url, $versionNumber), but discord.py itself writes it without the comma."""
_JSON: Final = "application/json"
_PAGE: Final = "<html><head><title>502 Bad Gateway</title></head><body><center>cloudflare</center></body></html>"


@dataclass(kw_only=True, slots=True)
class Recorded:
    """One request as it came and was answered. `started` and `finished` are of `time.monotonic`, in seconds.

    `template` is the path as in the OpenAPI document, "" where no route matched; `status` is 0 for a dropped
    connection; `headers` are the rate limit's; `code` is Discord's JSON error code, 0 where there is none.
    `problems` is what the OpenAPI document has against the request, and faults of the sandbox itself.
    """

    method: str
    template: str
    path: str
    query: Mapping[str, str]
    body: Any = None
    filenames: tuple[str, ...] = ()
    status: int = 0
    code: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    started: float = 0.0
    finished: float = 0.0
    faulted: bool = False
    problems: list[str] = field(default_factory=list)


class Rest:
    """Serves everything below /api/v10. `requests`, `refusals` and `rate_limited` keep the newest, oldest first."""

    def __init__(
        self,
        world: World,
        routes: list[Route],
        *,
        limits: Limits,
        openapi: OpenApi | None = None,
        remember: int = 20_000,
        lag_s: float = 0.0,
    ) -> None:
        self._lag_s = lag_s
        self._world = world
        self._router = Router(routes)
        self._limits = limits
        self._openapi = openapi
        self._authorization = f"Bot {world.bot_token}"
        self.faults = Faults()
        self.observers: list[Callable[[Recorded], None]] = []
        """Called at once with each request that was answered. They must neither block nor raise."""
        self.requests: deque[Recorded] = deque(maxlen=remember)
        self.refusals: deque[Recorded] = deque(maxlen=remember)
        self.rate_limited: deque[Recorded] = deque(maxlen=remember)

    async def handle(self, http: web.Request) -> web.StreamResponse:
        path = http.path.removeprefix(PREFIX)
        record = Recorded(method=http.method, template="", path=path, query=dict(http.query), started=time.monotonic())
        self.requests.append(record)
        try:
            response = await self._respond(http, path, record)
        except Refusal as refused:
            response = _refused(refused, record)
        except ConnectionError:
            response = None  # whoever was sending it has left, or was killed, in the middle
        except Exception as broken:  # noqa: BLE001  # a fault of ours must reach the tests, not only the log
            _log.exception("%s %s failed in the sandbox", http.method, record.template or path)
            record.problems.append(f"the sandbox failed: {broken!r}")
            response = _json(500, {"message": "500: Internal Server Error", "code": 0}, {})
        record.status = response.status if response is not None else 0
        record.finished = time.monotonic()
        if record.status >= 400:
            self.refusals.append(record)
        if record.status == 429:
            self.rate_limited.append(record)
        for observer in self.observers:
            observer(record)
        self._world.changes.notify()
        if self._lag_s:
            await asyncio.sleep(self._lag_s)
        if response is None:
            return _drop(http)
        return response

    async def _respond(self, http: web.Request, path: str, record: Recorded) -> web.Response | None:
        """None drops the connection. Raises Refusal."""
        route, params = self._router.find(http.method, path)
        record.template = route.template
        body, files = await _read(http)
        record.body = body
        record.filenames = tuple(upload.name for upload in files.values())
        authorized = self._authorize(http, route)
        self._check(http, route, record, authorized=authorized)
        request = Request(params=params, query=record.query, body=body, files=files)
        response = None
        hold = self.faults.take_hold(http.method, route.template, path)
        if hold is not None:
            if hold.answered:
                response = self._carry_out(route, request, record, authorized=authorized)
            await hold.wait()
        fault = self.faults.take(http.method, route.template, path)
        if fault is None:
            return response or self._carry_out(route, request, record, authorized=authorized)
        record.faulted = True
        if fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        if not fault.answers or fault.carried_out:
            response = response or self._carry_out(route, request, record, authorized=authorized)
            if not fault.answers:
                return response
        return _faulted(fault, record)

    def _authorize(self, http: web.Request, route: Route) -> bool:
        given = http.headers.get("Authorization")
        if given is None:
            if not route.by_token:
                raise Refusal(*UNAUTHORIZED)
            return False
        if not secrets.compare_digest(given.encode(), self._authorization.encode()):
            raise Refusal(*UNAUTHORIZED)
        return True

    def _check(self, http: web.Request, route: Route, record: Recorded, *, authorized: bool) -> None:
        if self._openapi is None:
            return
        record.problems += self._openapi.check(http.method, route.template, dict(record.query), record.body)
        # Interactions' routes are left out: discord.py itself does not name itself there.
        if authorized and not http.headers.get("User-Agent", "").startswith(_USER_AGENT):
            record.problems.append("the User-Agent does not begin with DiscordBot (")

    def _carry_out(self, route: Route, request: Request, record: Recorded, *, authorized: bool) -> web.Response:
        verdict = self._limits.admit(self._call(route, request, authorized=authorized))
        record.headers = verdict.headers
        if verdict.retry_after_s is not None:
            return _too_many(verdict)
        try:
            result = route.handler(self._world, request)
        except Refusal as refused:
            return _refused(refused, record)
        if isinstance(result, Answer):
            return _json(result.status, result.body, verdict.headers)
        if result is None:
            return web.Response(status=204, headers=verdict.headers)
        return _json(200, result, verdict.headers)

    def _call(self, route: Route, request: Request, *, authorized: bool) -> Call:
        params = request.params
        token = params.get("webhook_token") or params.get("interaction_token")
        creates_in = None
        if token is not None and route.method == "POST" and "webhook_token" in params:
            interaction = self._world.interaction(token)
            creates_in = interaction.channel.id if interaction else None
        return Call(
            method=route.method,
            template=route.template,
            major=token or params.get("channel_id") or params.get("guild_id") or "",
            bot_authorized=authorized,
            creates_webhook_message_in=creates_in,
        )


async def _read(http: web.Request) -> tuple[Any, dict[int, Upload]]:
    """The JSON body, None if there is none, and the files by their number. Raises Refusal 50109 or 40005."""
    if http.content_type == "multipart/form-data":
        return await _read_multipart(http)
    if not http.can_read_body:
        return None, {}
    return _parsed(await http.read()), {}


def _parsed(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise refusal(50109) from None


async def _read_multipart(http: web.Request) -> tuple[Any, dict[int, Upload]]:
    body: Any = None
    files: dict[int, Upload] = {}
    taken_bytes = 0
    parts = await http.multipart()
    while (part := await parts.next()) is not None:
        if not isinstance(part, BodyPartReader):
            continue
        content = bytes(await part.read())
        taken_bytes += len(content)
        if taken_bytes > BODY_LIMIT_BYTES:
            raise refusal(40005)
        if part.name == "payload_json":
            body = _parsed(content)
        elif part.filename is not None:
            found = _FILE_FIELD.fullmatch(part.name or "")
            # The type that a client claims is not used: Discord goes by the name.
            files[int(found[1]) if found else len(files)] = Upload(part.filename, content)
    return body, files


def _json(status: int, body: Any, headers: Mapping[str, str]) -> web.Response:
    """With exactly `application/json`: after a charset discord.py hands back text."""
    return web.Response(status=status, body=orjson.dumps(body), headers={**headers, "Content-Type": _JSON})


def _refused(refused: Refusal, record: Recorded) -> web.Response:
    record.code = refused.code
    headers = {**record.headers}
    if refused.status == 429:
        headers |= {"Retry-After": "20", "Via": "1.1 google"}
        body = refused.body() | {"retry_after": 20.0, "global": False}
        return _json(429, body, headers)
    return _json(refused.status, refused.body(), headers)


def _too_many(verdict: Verdict) -> web.Response:
    """discord.py takes a 429 without `Via` for a ban by Cloudflare."""
    body = {
        "message": "You are being rate limited.",
        "retry_after": verdict.retry_after_s,
        "global": verdict.scope == "global",
    }
    return _json(429, body, {"Via": "1.1 google", **verdict.headers})


def _faulted(fault: Fault, record: Recorded) -> web.Response | None:
    if fault.drop:
        return None
    if fault.html:
        status = fault.status or 502
        return web.Response(status=status, text=_PAGE, content_type="text/html")
    if fault.error_code is not None:
        refused = _coded(fault)
        record.code = refused.code
        return _json(refused.status, refused.body(), {})
    if fault.status == 429:
        return _ordered_rate_limit(fault)
    status = fault.status or 500
    return _json(status, {"message": f"{status}: ordered by a test", "code": 0}, {})


def _coded(fault: Fault) -> Refusal:
    code = fault.error_code or 0
    try:
        known = refusal(code)
    except KeyError:
        return Refusal(fault.status or 400, code, "Ordered by a test")
    return Refusal(fault.status or known.status, code, known.message)


def _ordered_rate_limit(fault: Fault) -> web.Response:
    headers: dict[str, str] = {}
    if fault.headers:
        scope = "global" if fault.global_ else "shared"
        headers = {"Via": "1.1 google", "Retry-After": str(int(fault.retry_after_s) + 1), "X-RateLimit-Scope": scope}
        if fault.global_:
            headers["X-RateLimit-Global"] = "true"
    body: Json = {"message": "You are being rate limited.", "retry_after": fault.retry_after_s, "global": fault.global_}
    return _json(429, body, headers)


def _drop(http: web.Request) -> web.Response:
    if http.transport is not None:
        http.transport.abort()
    return web.Response(status=500)
