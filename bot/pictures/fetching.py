"""Fetches a finished picture from the address that the API names: an address chosen by somebody else.

It is opened on the Internet only and never inside the operator's network, read to a bound, and judged by its bytes;
nothing is decoded, so a picture costs no more memory than its file. The caller retries what is worth a retry.
"""

import asyncio
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, Protocol, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from bot.answers.attachments import ImageFacts, Unreadable, image_facts, shown_size
from bot.errors import PictureUnusable, ProviderFailed, ProviderUnreachable

_SCHEMES: Final = ("http", "https")
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_LATER: Final = frozenset({404, 408, 425, 429})
"""Besides 5xx, what may be better in a moment: a store that does not show yet what it was given answers with 404."""
_UNREADABLE: Final = "lies at an address that cannot be read"
_WEB_PAGE: Final = (b"<!doctype html", b"<html", b"<head", b"<body", b"<!--")
_HEADERS: Final = {"Accept": "image/png, image/jpeg, image/webp, image/gif", "Accept-Encoding": "identity"}


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchLimits:
    """What one picture may cost.

    `bytes` counts what arrives, `pixels` what the picture's header says. `connect_s` bounds name look-up, connection
    and handshake of each hop, `gap_s` every silence after that, `deadline_s` the whole of one fetch from the moment it
    has a slot, redirects included. `at_once` fetches are under way at one time, so no more than `at_once` times `bytes`
    are held here; the others wait for a slot.
    """

    bytes: int
    pixels: int
    private_addresses: bool = False
    deadline_s: float = 60.0
    connect_s: float = 10.0
    gap_s: float = 15.0
    redirects: int = 3
    at_once: int = 16

    def __post_init__(self) -> None:
        if min(self.bytes, self.pixels, self.deadline_s, self.connect_s, self.gap_s, self.at_once) <= 0:
            raise ValueError("every limit must be above 0")
        if self.redirects < 0:
            raise ValueError("no negative number of redirects")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A whole picture: its file, and what its own bytes say."""

    content: bytes
    facts: ImageFacts


class PublicCheck(Protocol):
    """Whether an address belongs to the Internet."""

    def __call__(self, address: IPv4Address | IPv6Address, /) -> bool: ...


# Addresses

_NEVER_PUBLIC: Final = tuple(
    ip_network(text)
    for text in (
        "192.0.0.0/24",  # protocol assignments, RFC 6890
        "192.88.99.0/24",  # relays of 6to4, RFC 7526
        "2001::/23",  # protocol assignments, Teredo among them, RFC 2928 and 4380
        "2001:db8::/32",  # documentation, RFC 3849
        "2002::/16",  # 6to4, which names an IPv4 address and is no longer in use, RFC 7526
        "3fff::/20",  # documentation, RFC 9637
    )
)
"""Held here because what `ipaddress` says of them differs among the releases of Python, or is public."""
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052: the last 32 bits are an IPv4 address. Hosts that have IPv6 only see most of the Internet through it."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is a global unicast address by IANA's special-purpose registries, and so is any IPv4 address in it."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or (IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else None)
        if inner is not None:
            return is_public(inner)
        if address not in _GLOBAL_UNICAST:
            return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _NEVER_PUBLIC)


class _GuardedResolver(AbstractResolver):
    """Refuses a name of which any address is not public.

    The connector connects to the very addresses returned here: a name that means something else the next time it is
    asked for (DNS rebinding) gains nothing.
    """

    def __init__(self, inner: AbstractResolver, guard: "_Guard") -> None:
        self._inner = inner
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        results = await self._inner.resolve(host, port, family)
        for result in results:
            self._guard.check(result["host"])
        return results

    async def close(self) -> None:
        await self._inner.close()


@dataclass(frozen=True, slots=True)
class _Guard:
    """Says no to addresses. Asked for every one that a name stands for, and again for the one that is connected to."""

    is_public: PublicCheck
    private_addresses: bool

    def check(self, host: str) -> None:
        """`host` is what a socket is to be connected to.

        Raises:
            PictureUnusable: it is no IP address, or not a public one.
        """
        try:
            address = ip_address(host)
        except ValueError as cause:
            raise PictureUnusable(_UNREADABLE) from cause
        if not (self.private_addresses or self.is_public(address)):
            raise PictureUnusable("lies at a private address")

    def socket(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket for an address that is about to be connected to: those written in the URL are not resolved."""
        family, kind, protocol, _, address = info
        self.check(address[0])
        return socket.socket(family=family, type=kind, proto=protocol)


# Fetching


class Fetcher:
    """Fetches pictures over a session of its own: no cookies, no proxy from the environment, no API key.

    An async context manager. `resolver` turns names into addresses, the system's if None, and is closed with it;
    `is_public` says which addresses may be connected to unless `private_addresses` are allowed.
    """

    def __init__(
        self,
        limits: FetchLimits,
        *,
        resolver: AbstractResolver | None = None,
        is_public: PublicCheck = is_public,
    ) -> None:
        self._limits = limits
        self._resolver = resolver
        self._guard = _Guard(is_public, limits.private_addresses)
        self._slots = asyncio.Semaphore(limits.at_once)
        self._session: aiohttp.ClientSession | None = None
        self._guarded: _GuardedResolver | None = None

    async def __aenter__(self) -> Self:
        limits = self._limits
        self._guarded = _GuardedResolver(self._resolver or aiohttp.ThreadedResolver(), self._guard)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=limits.at_once,
                resolver=self._guarded,
                use_dns_cache=False,
                socket_factory=self._guard.socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            auto_decompress=False,  # a packed body is refused, so none is ever unpacked
            timeout=aiohttp.ClientTimeout(
                total=None, connect=limits.connect_s, sock_connect=limits.connect_s, sock_read=limits.gap_s
            ),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None, "it was entered"
        assert self._guarded is not None, "it was entered"
        await self._session.close()
        await self._guarded.close()
        self._session = self._guarded = None

    async def fetch(self, url: str) -> Fetched:
        """The picture at `url`.

        Raises:
            PictureUnusable: final. What is there is no picture within the limits, or must not be opened at all.
            ProviderUnreachable: worth a retry. No connection, no such name, a connection that broke, or no end in time.
            ProviderFailed: worth a retry. Status 404, 408, 425, 429 or 5xx, as `status`.
        """
        async with self._slots:
            try:
                async with asyncio.timeout(self._limits.deadline_s):
                    content = await self._read(_checked(_parsed(url)))
            except TimeoutError as cause:
                raise ProviderUnreachable("the picture did not come in time") from cause
            except (aiohttp.InvalidURL, UnicodeError) as cause:  # the latter for names that IDNA cannot write
                raise PictureUnusable(_UNREADABLE) from cause
            except (aiohttp.ClientError, OSError) as cause:
                # Not the error's own words: they may hold the address, which opens the picture to whoever has it.
                raise ProviderUnreachable(f"the picture could not be read: {type(cause).__name__}") from cause
            return Fetched(content=content, facts=await self._facts(content))

    async def _read(self, url: URL) -> bytes:
        """What lies at `url`, or where it leads. Redirects are followed by hand: each hop is checked as the first."""
        assert self._session is not None, "the fetcher is not open"
        for _ in range(self._limits.redirects + 1):
            async with self._session.get(url, allow_redirects=False) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or location is None:
                    return await self._body(response)
                url = next_hop(url, location)
        raise PictureUnusable("is passed on from address to address too often")

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        _check_status(response.status)
        if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", ""):
            raise PictureUnusable("is packed in a way that it must not be")
        too_large = PictureUnusable(f"is larger than {shown_size(self._limits.bytes)}")
        if (response.content_length or 0) > self._limits.bytes:
            raise too_large
        content = bytearray()
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > self._limits.bytes:
                raise _web_page() if _is_web_page(content) else too_large
        return bytes(content)

    async def _facts(self, content: bytes) -> ImageFacts:
        if not content:
            raise PictureUnusable("is empty")
        if _is_web_page(content):
            raise _web_page()
        try:
            # A GIF is walked block by block, up to half a million of them: not on the loop.
            facts = await asyncio.to_thread(image_facts, content)
        except Unreadable as cause:
            # It follows "The picture that came back", which says that it is one.
            raise PictureUnusable(cause.reason.replace("is a damaged picture", "is damaged")) from cause
        pixels = facts.width * facts.height
        if pixels > self._limits.pixels:
            raise PictureUnusable(f"has {-(-pixels // 1_000_000):,} million pixels")
        return facts


def _parsed(address: str) -> URL:
    """Raises PictureUnusable for what cannot be an address."""
    try:
        url = URL(address)
    except (ValueError, IndexError) as cause:  # the latter is yarl's for brackets around nothing
        raise PictureUnusable(_UNREADABLE) from cause
    # What is written as it is sent stays so to the character: a signature may cover the way in which it is quoted.
    as_sent = address.isascii() and address.isprintable() and " " not in address
    return URL(address, encoded=True) if as_sent else url


def _checked(url: URL) -> URL:
    """Raises PictureUnusable for what is not a plain http(s) address. Where its host lies is checked on connecting."""
    if url.scheme not in _SCHEMES or not url.raw_host:
        raise PictureUnusable("lies at an address that is not http(s)")
    if url.raw_user is not None or url.raw_password is not None:
        raise PictureUnusable("lies at an address with a name and password in it")
    return url


def next_hop(here: URL, location: str) -> URL:
    """Where a redirect leads.

    Raises:
        PictureUnusable: not to a plain http(s) address, or from https to http, where others could read and change it.
    """
    url = _checked(here.join(_parsed(location)))
    if here.scheme == "https" and url.scheme != "https":
        raise PictureUnusable("is passed on from https to an address without it")
    return url


def _check_status(status: int) -> None:
    if status == 200:
        return
    if status >= 500 or status in _LATER:
        raise ProviderFailed(f"the picture's address answered with status {status}", status=status)
    raise PictureUnusable(f"is not at its address (status {status})")


def _is_web_page(content: bytes | bytearray) -> bool:
    return bytes(content[:512]).removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_WEB_PAGE)


def _web_page() -> PictureUnusable:
    return PictureUnusable("is a web page")
