"""A Discord on this machine: REST v10, the gateway and the CDN on one loopback port, around one world."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from sandbox.clock import Clock
from sandbox.discord import routes_application, routes_channels, routes_interactions
from sandbox.discord.changes import T
from sandbox.discord.faults import Faults
from sandbox.discord.gateway import Gateway
from sandbox.discord.limits import Limits
from sandbox.discord.messages import Message
from sandbox.discord.openapi import open_document
from sandbox.discord.people import Person
from sandbox.discord.places import User
from sandbox.discord.rest import BODY_LIMIT_BYTES, PREFIX, Recorded, Rest
from sandbox.discord.routes import Request, Route
from sandbox.discord.world import World

GATEWAY_PATH = "/gateway-socket"
_WAIT_S = 30.0


class DiscordServer:
    """An asynchronous context manager: bound inside, closed afterwards.

    `port` 0 takes a free one. `openapi_path` names Discord's published document, against which every request is then
    held. `limits_clock` gives the seconds by which rate limits run; unlike the 3 s of an acknowledgement, the life of
    tokens and the signatures of files they do not follow `clock`, since a client waits for them in real time.
    `remember` bounds how many requests `requests` keeps, with their bodies but without their files. `lag_s` is how long
    each answer is under way after its request has taken effect: everybody sees what the bot does that much before the
    bot knows that it has done it.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        openapi_path: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        shards: int = 1,
        has_content_intent: bool = False,
        limits_clock: Callable[[], float] = time.monotonic,
        remember: int = 20_000,
        lag_s: float = 0.0,
    ) -> None:
        self.clock = clock or Clock()
        self.world = World(self.clock, has_content_intent=has_content_intent)
        self.limits = Limits(limits_clock)
        self.gateway = Gateway(self.world)
        self.shards = shards
        self._rest = Rest(
            self.world,
            self._routes(),
            limits=self.limits,
            openapi=open_document(openapi_path) if openapi_path else None,
            remember=remember,
            lag_s=lag_s,
        )
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None

    def _routes(self) -> list[Route]:
        return [
            *routes_application.routes.all,
            *routes_channels.routes.all,
            *routes_interactions.routes.all,
            Route(method="GET", template="/gateway", handler=self._gateway_address, by_token=True),
            Route(method="GET", template="/gateway/bot", handler=self._gateway_for_bot),
        ]

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=BODY_LIMIT_BYTES)
        app.router.add_get(GATEWAY_PATH, self.gateway.handle)
        app.router.add_get("/cdn/{path:.*}", self.world.cdn.handle)
        app.router.add_route("*", PREFIX + "/{path:.*}", self._rest.handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]
        self.world.cdn.base_url = self.cdn_url
        self.gateway.url = self.gateway_url
        self.gateway.application_flags = self.world.application_payload()["flags"]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.gateway.close()
        if self._runner is not None:
            await self._runner.cleanup()

    # Addresses

    @property
    def port(self) -> int:
        """The one it listens at, once it is bound."""
        return self._port

    @property
    def _origin(self) -> str:
        return f"{self._host}:{self._port}"

    @property
    def api_url(self) -> str:
        return f"http://{self._origin}{PREFIX}"

    @property
    def cdn_url(self) -> str:
        return f"http://{self._origin}/cdn"

    @property
    def gateway_url(self) -> str:
        return f"ws://{self._origin}{GATEWAY_PATH}"

    @property
    def bot_token(self) -> str:
        return self.world.bot_token

    @property
    def application_id(self) -> int:
        return self.world.application_id

    # What happened, and what shall go wrong

    @property
    def requests(self) -> deque[Recorded]:
        return self._rest.requests

    @property
    def refusals(self) -> deque[Recorded]:
        """All answers of 400 or above."""
        return self._rest.refusals

    @property
    def rate_limited(self) -> deque[Recorded]:
        return self._rest.rate_limited

    @property
    def observers(self) -> list[Callable[[Recorded], None]]:
        """Called at once with each request that was answered."""
        return self._rest.observers

    @property
    def problems(self) -> list[str]:
        """What the OpenAPI document has against the remembered requests, each with its route."""
        return [f"{each.method} {each.template}: {problem}" for each in self.requests for problem in each.problems]

    @property
    def faults(self) -> Faults:
        return self._rest.faults

    # People, and waiting

    def person(self, user: User) -> Person:
        return Person(self.world, user)

    async def wait_until(self, predicate: Callable[[], T], *, timeout_s: float = _WAIT_S, what: str = "") -> T:
        """The first true result of `predicate`, looked at after every change. Raises TimeoutError."""
        return await self.world.changes.wait_until(predicate, timeout_s=timeout_s, what=what)

    async def settled(self, message: Message, *, contains: str = "", timeout_s: float = _WAIT_S) -> Message:
        """Wait until `message` is no longer loading and says `contains`. Raises TimeoutError with what it says."""
        try:
            await self.wait_until(
                lambda: not message.loading and not message.deleted and contains in message.text(),
                timeout_s=timeout_s,
            )
        except TimeoutError:
            raise TimeoutError(f"no {contains!r} within {timeout_s:g} s in {message.text()!r}") from None
        return message

    def _gateway_address(self, _: World, __: Request) -> Any:
        return {"url": self.gateway_url}

    def _gateway_for_bot(self, _: World, __: Request) -> Any:
        return {
            "url": self.gateway_url,
            "shards": self.shards,
            "session_start_limit": self.gateway.session_start_limit(),
        }
