"""Rules of fetching a picture from somebody else's address, against servers on loopback; Pillow writes the pictures.

Where loopback has to stand for the Internet, 127.0.0.1 counts as public and 127.0.0.2 does not.
"""

import asyncio
import gzip
import socket
import struct
import zlib
from collections.abc import AsyncIterator
from io import BytesIO
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from yarl import URL

from bot.answers.attachments import ImageFacts
from bot.errors import PictureUnusable, ProviderFailed, ProviderUnreachable
from bot.pictures.fetching import Fetcher, FetchLimits, is_public, next_hop

LIMIT_BYTES = 100_000
LIMIT_PIXELS = 1_000_000
FORMATS = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP", "gif": "GIF"}


def picture(kind: str = "png", width: int = 5, height: int = 3) -> bytes:
    file = BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, FORMATS[kind])
    return file.getvalue()


def claiming(width: int, height: int) -> bytes:
    """A PNG of one pixel whose header claims another size."""
    small = picture("png", 1, 1)
    header = b"IHDR" + struct.pack(">II", width, height) + small[24:29]
    return small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]


def limits(**changes: object) -> FetchLimits:
    options = {"bytes": LIMIT_BYTES, "pixels": LIMIT_PIXELS, "private_addresses": True, "deadline_s": 10, **changes}
    return FetchLimits(**options)


def only_the_first(address: IPv4Address | IPv6Address) -> bool:
    return str(address) == "127.0.0.1"


class Names(AbstractResolver):
    """Each name stands for the addresses given; where there are several answers, each is given once, in order."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self.answers = {name.replace("_", "."): given for name, given in answers.items()}
        self.asked: list[str] = []
        self.closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if host not in self.answers:
            raise OSError(None, "no such name")
        answers = self.answers[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in addresses
        ]

    async def close(self) -> None:
        self.closed = True


class Pictures:
    """A server: `/NAME` answers with `bodies[NAME]`; other names misbehave each in its own way."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.headers: dict[str, str] = {}
        self.requests: list[web.Request] = []
        self.reached = asyncio.Event()
        self.left = asyncio.Event()
        self.meeting = asyncio.Barrier(3)
        self.met = 0
        self.most_waiting = 0
        self.port = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.reached.set()
        name = request.match_info["name"]
        match name.split("-"):
            case ["redirect", status]:
                return web.Response(status=int(status), headers=self.headers)
            case ["hop", left]:
                raise web.HTTPFound("/a" if left == "1" else f"/hop-{int(left) - 1}")
            case ["endless"]:
                return await self._endless(request, b"\0" * 10_000)
            case ["trickle"]:
                return await self._endless(request, b"\0", pause_s=0.01)
            case ["silent"]:
                await asyncio.Event().wait()
            case ["stalled"]:
                return await self._stalled(request)
            case ["short"]:
                return await self._short(request)
            case ["together", _]:
                self.most_waiting = max(self.most_waiting, len(self.requests) - self.met)
                await self.meeting.wait()
                self.met += 1
            case [status] if status.isdigit():
                return web.Response(status=int(status), body=picture() if int(status) not in (204, 304) else None)
        return web.Response(body=self.bodies.get(name, picture()), headers=self.headers)

    async def _endless(self, request: web.Request, chunk: bytes, pause_s: float = 0) -> web.StreamResponse:
        response = web.StreamResponse(headers=self.headers)
        await response.prepare(request)
        await response.write(self.bodies.get("start", picture()))
        try:
            while True:
                await response.write(chunk)
                await asyncio.sleep(pause_s)
        finally:
            self.left.set()

    async def _stalled(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=self.headers)
        await response.prepare(request)
        await response.write(picture()[:20])
        await asyncio.Event().wait()
        return response

    async def _short(self, request: web.Request) -> web.StreamResponse:
        """Promises more than it sends, then hangs up."""
        response = web.StreamResponse(headers={"Content-Length": "5000"})
        await response.prepare(request)
        await response.write(picture())
        assert request.transport is not None
        request.transport.close()
        return response

    def url(self, name: str, body: bytes | None = None, *, host: str = "127.0.0.1") -> str:
        if body is not None:
            self.bodies[name] = body
        return f"http://{host}:{self.port}/{name}?signature=secret"


async def serving(host: str) -> AsyncIterator[Pictures]:
    pictures = Pictures()
    app = web.Application()
    app.router.add_get("/{name}", pictures.answer)
    server = TestServer(app, host=host)
    await server.start_server(shutdown_timeout=0)
    pictures.port = server.port or 0
    yield pictures
    await server.close()


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Pictures]:
    async for pictures in serving("127.0.0.1"):
        yield pictures


@pytest_asyncio.fixture
async def inside() -> AsyncIterator[Pictures]:
    """A server inside the operator's network."""
    async for pictures in serving("127.0.0.2"):
        yield pictures


@pytest_asyncio.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    async with Fetcher(limits()) as opened:
        yield opened


@pytest_asyncio.fixture
async def careful() -> AsyncIterator[Fetcher]:
    """As in production, but for 127.0.0.1 standing for the Internet."""
    async with Fetcher(limits(private_addresses=False), is_public=only_the_first) as opened:
        yield opened


async def reason(fetcher: Fetcher, url: str) -> str:
    with pytest.raises(PictureUnusable) as raised:
        await fetcher.fetch(url)
    return raised.value.reason


# What is fetched


@pytest.mark.parametrize("kind", FORMATS)
async def test_a_picture_is_known_by_its_bytes(server: Pictures, fetcher: Fetcher, kind: str):
    body = picture(kind, 9, 4)
    fetched = await fetcher.fetch(server.url("a", body))
    assert fetched.content == body
    assert fetched.facts == ImageFacts(kind=kind, width=9, height=4, size_bytes=len(body))


async def test_a_request_says_what_it_takes_and_carries_no_key(server: Pictures, fetcher: Fetcher):
    await fetcher.fetch(server.url("a"))
    headers = server.requests[0].headers
    assert headers["Accept-Encoding"] == "identity"
    assert headers["Accept"] == "image/png, image/jpeg, image/webp, image/gif"
    assert set(headers) == {"Host", "User-Agent", "Accept", "Accept-Encoding"}


async def test_cookies_are_not_kept(server: Pictures, fetcher: Fetcher):
    server.headers = {"Set-Cookie": "who=you; Path=/"}
    for _ in range(2):
        await fetcher.fetch(server.url("a"))
    assert "Cookie" not in server.requests[1].headers


async def test_no_proxy_is_taken_from_the_environment(
    server: Pictures, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert (await fetcher.fetch(server.url("a"))).facts.width == 5


@pytest.mark.parametrize("path", ["/a?sig=a%2Bb%2F%3D&x=%20", "/a?x=a+b/c=&y", "/%61%2fb?%7E", "/a?b=[c]'d'"])
async def test_an_address_is_asked_for_as_it_is_written(server: Pictures, fetcher: Fetcher, path: str):
    server.bodies["a/b"] = picture()
    await fetcher.fetch(f"http://127.0.0.1:{server.port}{path}#part")
    server.headers = {"Location": f"{path}#part"}
    await fetcher.fetch(server.url("redirect-302"))
    assert [request.raw_path for request in (server.requests[0], server.requests[2])] == [path] * 2


async def test_an_address_in_any_script_is_quoted(server: Pictures, fetcher: Fetcher):
    await fetcher.fetch(f"http://127.0.0.1:{server.port}/кот и?пёс")
    assert server.requests[0].raw_path == "/%D0%BA%D0%BE%D1%82%20%D0%B8?%D0%BF%D1%91%D1%81"


async def test_no_more_are_fetched_at_once_than_there_are_slots(server: Pictures):
    async with Fetcher(limits(at_once=3)) as narrow, asyncio.TaskGroup() as group:
        for number in range(12):  # the server answers none of three before it has them
            group.create_task(narrow.fetch(server.url(f"together-{number}")))
    assert server.most_waiting == 3


async def test_a_cancelled_fetch_stops_and_frees_its_slot(server: Pictures):
    async with Fetcher(limits(at_once=1)) as narrow:
        fetching = asyncio.create_task(narrow.fetch(server.url("silent")))
        await server.reached.wait()
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        assert (await narrow.fetch(server.url("a"))).facts.kind == "png"


async def test_a_slot_is_given_back_when_a_picture_is_refused(server: Pictures):
    async with Fetcher(limits(at_once=1)) as narrow:
        assert await reason(narrow, server.url("a", b"")) == "is empty"
        assert (await narrow.fetch(server.url("b"))).facts.kind == "png"


# What is no picture


@pytest.mark.parametrize(
    "page", [b"<!DOCTYPE html><title>Sign in</title>", b"\xef\xbb\xbf\r\n <HTML>", b"<!-- moved --><html>"]
)
async def test_a_web_page_is_said_to_be_one(server: Pictures, fetcher: Fetcher, page: bytes):
    assert await reason(fetcher, server.url("a", page)) == "is a web page"


async def test_an_endless_web_page_is_said_to_be_one(server: Pictures, fetcher: Fetcher):
    server.bodies["start"] = b"<!doctype html>"
    assert await reason(fetcher, server.url("endless")) == "is a web page"


@pytest.mark.parametrize(
    "body",
    [b'{"error":"gone"}', b'<svg xmlns="http://www.w3.org/2000/svg"/>', b"BM" + bytes(60), b"RIFF\x24\0\0\0WAVEfmt "],
    ids=["json", "svg", "bmp", "wav"],
)
async def test_anything_else_is_said_to_be_none(server: Pictures, fetcher: Fetcher, body: bytes):
    assert await reason(fetcher, server.url("a", body)) == "is not a jpg, png, webp or gif picture"


async def test_nothing_is_said_to_be_empty(server: Pictures, fetcher: Fetcher):
    assert await reason(fetcher, server.url("a", b"")) == "is empty"


@pytest.mark.parametrize("kind", FORMATS)
async def test_a_truncated_picture_is_refused(server: Pictures, fetcher: Fetcher, kind: str):
    assert (await reason(fetcher, server.url("a", picture(kind, 90, 90)[:-2]))).startswith("is damaged")


async def test_a_pixel_that_claims_to_be_a_wall_is_refused(server: Pictures, fetcher: Fetcher):
    assert await reason(fetcher, server.url("a", claiming(60_000, 60_000))) == "has 3,600 million pixels"


async def test_the_pixel_limit_itself_is_allowed(server: Pictures, fetcher: Fetcher):
    assert (await fetcher.fetch(server.url("a", claiming(1_000, 1_000)))).facts.width == 1_000
    assert await reason(fetcher, server.url("b", claiming(1_000, 1_001))) == "has 2 million pixels"


# Bytes and time


async def test_the_byte_limit_itself_is_allowed(server: Pictures, fetcher: Fetcher):
    body = picture().ljust(LIMIT_BYTES, b"\0")
    assert (await fetcher.fetch(server.url("a", body))).facts.size_bytes == LIMIT_BYTES
    assert await reason(fetcher, server.url("b", body + b"\0")) == "is larger than 100 kB"


async def test_a_size_over_the_limit_is_refused_without_waiting_for_it(server: Pictures, fetcher: Fetcher):
    server.headers = {"Content-Length": str(LIMIT_BYTES + 1)}
    assert await reason(fetcher, server.url("stalled")) == "is larger than 100 kB"


async def test_endless_bytes_are_read_to_the_limit_and_hung_up_on(server: Pictures, fetcher: Fetcher):
    assert await reason(fetcher, server.url("endless")) == "is larger than 100 kB"
    async with asyncio.timeout(30):
        await server.left.wait()


async def test_a_length_that_promises_little_hides_nothing(server: Pictures, fetcher: Fetcher):
    server.headers = {"Content-Length": "50"}  # what comes after it belongs to no answer
    assert (await reason(fetcher, server.url("endless"))).startswith("is damaged")


async def test_a_body_shorter_than_promised_is_worth_a_retry(server: Pictures, fetcher: Fetcher):
    with pytest.raises(ProviderUnreachable):
        await fetcher.fetch(server.url("short"))


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "GZIP, gzip"])
async def test_a_packed_body_is_refused_and_not_unpacked(server: Pictures, fetcher: Fetcher, coding: str):
    server.headers = {"Content-Encoding": coding}
    bomb = gzip.compress(gzip.compress(picture() + bytes(50_000_000)))
    assert await reason(fetcher, server.url("a", bomb)) == "is packed in a way that it must not be"


async def test_a_trickle_ends_at_the_deadline(server: Pictures):
    async with Fetcher(limits(deadline_s=0.2)) as hasty:
        with pytest.raises(ProviderUnreachable, match="in time"):
            await hasty.fetch(server.url("trickle"))


@pytest.mark.parametrize("name", ["silent", "stalled"])
async def test_silence_ends_after_the_gap(server: Pictures, name: str):
    async with Fetcher(limits(gap_s=0.05)) as hasty:
        with pytest.raises(ProviderUnreachable, match="in time"):
            await hasty.fetch(server.url(name))


# Statuses and connections


@pytest.mark.parametrize("status", [404, 408, 425, 429, 500, 502, 503])
async def test_what_may_be_better_in_a_moment_is_worth_a_retry(server: Pictures, fetcher: Fetcher, status: int):
    with pytest.raises(ProviderFailed) as raised:
        await fetcher.fetch(server.url(str(status)))
    assert raised.value.status == status


@pytest.mark.parametrize("status", [201, 204, 206, 300, 304, 400, 401, 403, 410])
async def test_any_other_status_is_final(server: Pictures, fetcher: Fetcher, status: int):
    assert await reason(fetcher, server.url(str(status))) == f"is not at its address (status {status})"


async def test_no_connection_is_worth_a_retry(fetcher: Fetcher):
    with pytest.raises(ProviderUnreachable):
        await fetcher.fetch("http://127.0.0.1:1/a")


async def test_an_unknown_name_is_worth_a_retry():
    async with Fetcher(limits(), resolver=Names()) as fetcher:
        with pytest.raises(ProviderUnreachable):
            await fetcher.fetch("http://nowhere.example/")


@pytest.mark.parametrize("name", ["short", "503", "silent"])
async def test_no_error_says_the_address(server: Pictures, name: str):
    async with Fetcher(limits(gap_s=0.05)) as hasty:
        with pytest.raises((ProviderUnreachable, ProviderFailed)) as raised:
            await hasty.fetch(server.url(name))
    assert "secret" not in str(raised.value)


# Addresses


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.png",
        "//127.0.0.1/a",
        "ftp://127.0.0.1/a",
        "file:///etc/passwd",
        "data:image/png;base64,AA==",
        "javascript:0",
        "http://",
        "http:///a",
    ],
)
async def test_only_http_addresses_are_opened(fetcher: Fetcher, url: str):
    assert await reason(fetcher, url) == "lies at an address that is not http(s)"


@pytest.mark.parametrize("user", ["a:b", "a", ":b", "127.0.0.1:80"])
async def test_an_address_with_a_name_in_it_is_not_opened(server: Pictures, fetcher: Fetcher, user: str):
    url = server.url("a").replace("//", f"//{user}@")
    assert await reason(fetcher, url) == "lies at an address with a name and password in it"
    assert server.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://x:99999999/",
        "http://[::1/",
        f"http://{'a' * 300}/",
        "http://a..b/",
        "http://2130706433/",
        "http://[:]/",
        "http://[]@/",
    ],
)
async def test_an_address_that_cannot_be_read_is_not_opened(fetcher: Fetcher, url: str):
    assert await reason(fetcher, url) == "lies at an address that cannot be read"


@given(
    url=st.text() | st.text().map("http://{}".format) | st.text("1.:[]%a@/\\?#-", max_size=20).map("http://{}".format)
)
async def test_no_text_raises_anything_but_the_errors_named(url: str):
    async with Fetcher(limits(private_addresses=False, deadline_s=1), resolver=Names()) as fetcher:
        with pytest.raises((PictureUnusable, ProviderUnreachable)):
            await fetcher.fetch(url)


# Private addresses


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1.",
        "localhost",
        "LOCALHOST.",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "①②⑦.0.0.1",
        "127。0。0。1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[fe80::1%25lo]",
    ],
)
async def test_no_spelling_of_this_machine_is_connected_to(server: Pictures, host: str):
    async with Fetcher(limits(private_addresses=False)) as production:
        with pytest.raises((PictureUnusable, ProviderUnreachable)):
            await production.fetch(server.url("a", host=host))
    assert server.requests == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "[::1]"])
async def test_a_private_address_is_said_to_be_one(server: Pictures, host: str):
    async with Fetcher(limits(private_addresses=False)) as production:
        assert await reason(production, server.url("a", host=host)) == "lies at a private address"


async def test_private_addresses_are_opened_where_that_is_allowed(server: Pictures, fetcher: Fetcher):
    assert (await fetcher.fetch(server.url("a", host="localhost"))).facts.kind == "png"


async def test_a_name_for_a_private_address_is_not_opened(inside: Pictures):
    names = Names(cdn_example=[["127.0.0.2"]])
    async with Fetcher(limits(private_addresses=False), resolver=names, is_public=only_the_first) as careful:
        assert await reason(careful, inside.url("a", host="cdn.example")) == "lies at a private address"
    assert inside.requests == []
    assert names.closed


async def test_a_name_for_a_public_and_a_private_address_is_not_opened(server: Pictures):
    names = Names(cdn_example=[["127.0.0.1", "127.0.0.2"]])
    async with Fetcher(limits(private_addresses=False), resolver=names, is_public=only_the_first) as careful:
        assert await reason(careful, server.url("a", host="cdn.example")) == "lies at a private address"
    assert server.requests == []


async def test_a_name_that_means_something_else_when_asked_again_gains_nothing(server: Pictures):
    names = Names(cdn_example=[["127.0.0.1"], ["127.0.0.2"]])
    async with Fetcher(limits(private_addresses=False), resolver=names, is_public=only_the_first) as careful:
        await careful.fetch(server.url("a", host="cdn.example"))
        assert names.asked == ["cdn.example"]
        assert server.requests[0].host == f"cdn.example:{server.port}"
        # Another port is another connection: the name is asked for again, and its new meaning refused.
        assert await reason(careful, "http://cdn.example:9/a") == "lies at a private address"
    assert names.asked == ["cdn.example"] * 2


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed_to_another_server(
    server: Pictures, inside: Pictures, fetcher: Fetcher, status: int
):
    server.headers = {"Location": inside.url("a", picture("gif", 7, 7), host="127.0.0.2")}
    assert (await fetcher.fetch(server.url(f"redirect-{status}"))).facts.width == 7


async def test_a_redirect_to_a_private_address_is_not_followed(server: Pictures, inside: Pictures, careful: Fetcher):
    server.headers = {"Location": inside.url("a", host="127.0.0.2")}
    assert await reason(careful, server.url("redirect-302")) == "lies at a private address"
    assert inside.requests == []


async def test_a_redirect_to_a_name_for_a_private_address_is_not_followed(server: Pictures, inside: Pictures):
    names = Names(cdn_example=[["127.0.0.2"]])
    server.headers = {"Location": inside.url("a", host="cdn.example")}
    async with Fetcher(limits(private_addresses=False), resolver=names, is_public=only_the_first) as careful:
        assert await reason(careful, server.url("redirect-302")) == "lies at a private address"
    assert inside.requests == []


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/a", "data:image/png,x"])
async def test_a_redirect_to_anything_but_http_is_not_followed(server: Pictures, fetcher: Fetcher, location: str):
    server.headers = {"Location": location}
    assert await reason(fetcher, server.url("redirect-302")) == "lies at an address that is not http(s)"


async def test_a_redirect_without_a_place_is_final(server: Pictures, fetcher: Fetcher):
    assert await reason(fetcher, server.url("redirect-302")) == "is not at its address (status 302)"


async def test_as_many_redirects_as_allowed_are_followed_and_no_more(server: Pictures, fetcher: Fetcher):
    assert (await fetcher.fetch(server.url("hop-3"))).facts.kind == "png"
    server.requests.clear()
    assert await reason(fetcher, server.url("hop-4")) == "is passed on from address to address too often"
    assert [request.match_info["name"] for request in server.requests] == ["hop-4", "hop-3", "hop-2", "hop-1"]


def test_a_redirect_may_lead_to_https_and_not_away_from_it():
    assert next_hop(URL("http://a.example/b"), "https://c.example/d") == URL("https://c.example/d")
    assert next_hop(URL("https://a.example/b/"), "../c?d") == URL("https://a.example/c?d")
    assert next_hop(URL("https://a.example/b"), "//c.example/") == URL("https://c.example/")
    with pytest.raises(PictureUnusable, match="from https"):
        next_hop(URL("https://a.example/b"), "http://a.example/b")


# Public addresses, purely


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "223.255.255.254", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
)
def test_addresses_of_the_internet_are_public(address: str):
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.255.255.254"),
        *("169.254.169.254", "172.16.0.1", "172.31.255.254", "192.0.0.8", "192.0.0.9", "192.0.2.1", "192.88.99.1"),
        *("192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1"),
        *("255.255.255.255", "::", "::1", "::8.8.8.8", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
        *("64:ff9b::10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::8.8.8.8", "100::1", "2001::1", "2001:0:808:808::1"),
        *("2001:db8::1", "2002:808:808::1", "2002:7f00:1::1", "3fff::1", "5f00::1", "fc00::1", "fd12::1"),
        *("fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1"),
    ],
)
def test_addresses_with_a_special_purpose_are_not_public(address: str):
    assert not is_public(ip_address(address))


@given(inner=st.ip_addresses(v=4))
def test_an_address_inside_another_is_judged_as_it_would_be_alone(inner: IPv4Address):
    assert is_public(IPv6Address(f"::ffff:{inner}")) == is_public(inner)
    assert is_public(IPv6Address(f"64:ff9b::{inner}")) == is_public(inner)


@given(address=st.ip_addresses(v=6))
def test_no_address_outside_the_global_unicast_range_is_public(address: IPv6Address):
    inside = 0x2 <= int(address) >> 124 <= 0x3
    assert inside or address.ipv4_mapped or address.exploded.startswith("0064:ff9b:0000") or not is_public(address)


@pytest.mark.parametrize(
    "change", [{"bytes": 0}, {"pixels": 0}, {"deadline_s": 0}, {"gap_s": -1}, {"at_once": 0}, {"redirects": -1}]
)
def test_limits_that_allow_nothing_are_a_mistake(change: dict[str, int]):
    with pytest.raises(ValueError):
        limits(**change)
