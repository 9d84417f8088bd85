"""Answers of the loopback API that are no stream."""

from collections.abc import Mapping

import orjson
from aiohttp import web


def error(status: int, message: str) -> web.Response:
    """An error in OpenAI's form. The guide has none for HTTP errors."""
    return plain(status, {"error": {"message": message, "type": "invalid_request_error", "code": None}})


def plain(status: int, body: object, headers: Mapping[str, str] | None = None) -> web.Response:
    """Text and bytes as they are, anything else as JSON."""
    kind = "text/html; charset=utf-8" if isinstance(body, str | bytes) else "application/json"
    content = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else orjson.dumps(body)
    return web.Response(status=status, body=content, headers={"Content-Type": kind, **(headers or {})})


def hang_up(request: web.Request) -> None:
    """Close the connection after what was written."""
    if request.transport is not None:
        request.transport.close()
