"""Who may drive the sandbox: the page that this server served, and nobody else's page.

The server listens on loopback, but every browser on the machine can reach that, and with it every site that is open in
one. A foreign site is told by its Origin and by Sec-Fetch-Site; one that made its own name resolve to this machine (DNS
rebinding) by the Host that the browser then sends; a form or an image of one by the header that it cannot set.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

HEADER: Final = "X-Sandbox"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
LIVE: Final = "/api/live"
_OURS: Final = frozenset({"same-origin", "none"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def refusal(method: str, path: str, headers: Mapping[str, str], *, port: int) -> tuple[int, str] | None:
    """The status and words with which such a request is refused, or None. Names of `headers` match in any case."""
    suffixes = (f":{port}", "") if port == 80 else (f":{port}",)  # browsers leave the usual port out
    hosts = {f"{name}{suffix}" for name in ("127.0.0.1", "localhost") for suffix in suffixes}
    if headers.get("Host") not in hosts:
        return 421, "This server answers to 127.0.0.1 and localhost alone."
    origin = headers.get("Origin")
    if origin is None and path == LIVE:
        return 403, "A WebSocket has to say where it comes from."
    if origin is not None and origin not in {f"http://{host}" for host in hosts}:
        return 403, "Requests of other sites are not answered."
    visiting = path == "/" and headers.get("Sec-Fetch-Mode") == "navigate"
    if headers.get("Sec-Fetch-Site", "none") not in _OURS and not visiting:
        return 403, "Requests of other sites are not answered."
    if method not in ("GET", "HEAD") and headers.get(HEADER) != "page":
        return 403, f"A change needs the header {HEADER}."
    return None


@web.middleware
async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses what is foreign, and puts the headers on every answer that is not a WebSocket."""
    port = request.transport.get_extra_info("sockname")[1] if request.transport is not None else 0
    refused = refusal(request.method, request.path, request.headers, port=port)
    if refused is not None:
        status, words = refused
        return web.json_response({"error": words, "field": None}, status=status, headers=HEADERS)
    try:
        response = await handler(request)
    except web.HTTPException as error:
        error.headers.update(HEADERS)
        raise
    if not response.prepared:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
    return response
