"""A small Discord on a real socket, which answers what a test scripts and remembers what it was asked."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.delivery.limits import Limiter
from bot.delivery.rest import DiscordRest

TOKEN = "interaction-token-that-is-secret"
MESSAGE = {"id": "11", "channel_id": "7", "attachments": [{"id": "21", "filename": "a.png", "url": "http://cdn/a"}]}


@dataclass
class Asked:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    json: Any
    files: dict[str, tuple[str | None, bytes]]


Answer = Callable[[Asked], web.Response]


@dataclass
class FakeServer:
    """Answers with `answers` in turn, then with `always`."""

    asked: list[Asked] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    always: Answer = lambda _: web.json_response(MESSAGE)
    pauses: list[float] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        asked = await _read(request)
        self.asked.append(asked)
        answer = self.answers.pop(0) if self.answers else self.always
        return answer(asked)

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


async def _read(request: web.Request) -> Asked:
    files: dict[str, tuple[str | None, bytes]] = {}
    value: Any = None
    if request.content_type == "multipart/form-data":
        reader = await request.multipart()
        async for part in reader:
            assert isinstance(part, aiohttp.BodyPartReader)
            content = bytes(await part.read())
            if part.name == "payload_json":
                value = json.loads(content)
            else:
                files[str(part.name)] = (part.filename, content)
    elif request.can_read_body:
        value = await request.json()
    return Asked(request.method, request.path, request.query_string, dict(request.headers), value, files)


def problem(status: int, code: int = 0, **headers: str) -> Answer:
    """An error as Discord words it. In header names, `_` stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: web.json_response({"code": code, "message": "no"}, status=status, headers=named)


ROOM = {"X_RateLimit_Limit": "50", "X_RateLimit_Remaining": "49", "X_RateLimit_Reset_After": "1"}
"""Headers for `problem` that tell of room, so that nobody waits."""


def cut_off(asked: Asked) -> web.Response:
    """Announces more than it sends, and hangs up."""
    response = web.Response(status=200, headers={"Content-Length": "1000"}, body=b"{")
    response.force_close()
    return response


@asynccontextmanager
async def discord() -> AsyncIterator[tuple[FakeServer, DiscordRest]]:
    fake = FakeServer()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", fake.handle)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        yield fake, DiscordRest(f"{server.make_url('/api/v10')}", "bot-token", session, Limiter(), sleep=fake.pause)
