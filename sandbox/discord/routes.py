"""A table of routes, and what their handlers take and give."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.discord.cdn import Upload
from sandbox.discord.refusals import METHOD_NOT_ALLOWED, NOT_FOUND, Json, Problems, Refusal, snowflake
from sandbox.discord.world import World


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request below /api/v10, read and matched. `body` is the JSON, or that of a multipart's payload_json."""

    params: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    files: Mapping[int, Upload]

    def id(self, name: str) -> int:
        """The id of that name in the path. Raises Refusal 50035 for what is none."""
        value = snowflake(self.params[name])
        if value is None:
            problems = Problems()
            problems.add((name,), "NUMBER_TYPE_COERCE", f"Value {self.params[name][:50]!r} is not snowflake.")
            problems.done()
            raise AssertionError("a problem was found")
        return value

    def form(self) -> Json:
        """The body as an object. Raises Refusal 50035 where it is something else; none at all is an empty one."""
        if self.body is None:
            return {}
        if not isinstance(self.body, dict):
            raise Refusal(400, 50035, "Invalid Form Body", {"_errors": [_NOT_AN_OBJECT]})
        return self.body

    def number(self, name: str, default: int, *, low: int, high: int) -> int:
        """A number of the query. Raises Refusal 50035 outside its range."""
        text = self.query.get(name)
        if text is None:
            return default
        if not text.isdecimal() or not low <= int(text) <= high:
            problems = Problems()
            problems.add((name,), "NUMBER_TYPE_RANGE", f"int value should be between {low} and {high}.")
            problems.done()
        return int(text)

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in {"true", "1"}


_NOT_AN_OBJECT = {"code": "MODEL_TYPE_CONVERT", "message": "Only dictionaries may be used in a ModelType"}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose status is not the usual one: 200 with a body, 204 without."""

    status: int
    body: Any = None


Handler = Callable[[World, Request], Any]
"""Gives the body of the answer, None for 204, or an Answer. Raises Refusal. It must not wait: a request is one step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """`template` is named as in the OpenAPI document. `by_token` routes need no bot's authorization."""

    method: str
    template: str
    handler: Handler
    by_token: bool = False


class Routes:
    """Handlers gathered by decorator in the order of a module."""

    def __init__(self) -> None:
        self.all: list[Route] = []

    def on(self, method: str, template: str, *, by_token: bool = False) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            self.all.append(Route(method=method, template=template, handler=handler, by_token=by_token))
            return handler

        return register


@dataclass(slots=True)
class _Node:
    literal: dict[str, "_Node"] = field(default_factory=dict)
    wildcard: "_Node | None" = None
    routes: dict[str, tuple[Route, tuple[str, ...]]] = field(default_factory=dict)


class Router:
    """Finds a route by walking the path's segments; a literal one goes before a parameter."""

    def __init__(self, routes: list[Route]) -> None:
        self._root = _Node()
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node, names = self._root, []
        for segment in route.template.strip("/").split("/"):
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.wildcard = node.wildcard or _Node()
                node = node.wildcard
            else:
                node = node.literal.setdefault(segment, _Node())
        node.routes[route.method] = (route, tuple(names))

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route and the path's parameters. Raises Refusal 404 or 405."""
        node: _Node | None = self._root
        values: list[str] = []
        for segment in path.strip("/").split("/"):
            if node is None:
                break
            following = node.literal.get(segment)
            if following is None:
                following = node.wildcard
                values.append(segment)
            node = following
        if node is None or not node.routes:
            raise Refusal(*NOT_FOUND)
        found = node.routes.get(method)
        if found is None:
            raise Refusal(*METHOD_NOT_ALLOWED)
        route, names = found
        return route, dict(zip(names, values, strict=True))
