"""What was attached, checked by its bytes: names, types and sizes are the uploader's claims.

Images are accepted as the API documents them: jpg, png, webp or gif. Their structure is read and nothing
decoded, so that no picture can cost more memory than its file. Discord's addresses are signed and expire within about
a day; `expires_at` reads when.
"""

import asyncio
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import parse_qs, urlsplit

import aiohttp

from bot.answers.question import AttachmentRef
from bot.errors import AttachmentRefused

ImageKind = Literal["png", "jpeg", "webp", "gif"]

_NOT_A_PICTURE: Final = "is not a jpg, png, webp or gif picture"
_BROKEN: Final = "is a damaged picture: it cannot be read to its end"
_NOT_TEXT: Final = "is not a text file (in UTF-8 or UTF-16)"
_EMPTY: Final = "is empty"
_EXPIRED: Final = "can no longer be read: Discord's address for it has expired. Please attach it again"
_NOT_NOW: Final = "could not be fetched from Discord just now. Please try again"


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachmentLimits:
    """What is read at most.

    `deadline_s` bounds one attachment from the wish to read it to its last byte; `at_once` bounds how many are being
    read at one time, so that no more than `at_once` times the larger size limit is held in memory for them.
    """

    image_bytes: int
    image_pixels: int
    text_bytes: int
    deadline_s: float = 20.0
    at_once: int = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFacts:
    """What an image's own bytes say."""

    kind: ImageKind
    width: int
    height: int
    size_bytes: int


class Unreadable(ValueError):
    """Bytes that are not what they should be. `reason` follows the file's name in a sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Attachments:
    """Reads what Discord's CDN holds, over the caller's session, within the limits."""

    def __init__(self, session: aiohttp.ClientSession, limits: AttachmentLimits) -> None:
        self._session = session
        self._limits = limits
        self._slots = asyncio.Semaphore(limits.at_once)

    async def inspect_image(self, ref: AttachmentRef) -> ImageFacts:
        """The image's facts; its bytes are read to the end and let go.

        Raises:
            AttachmentRefused: not one of the four kinds, damaged, over a limit, expired, or not to be had in time.
        """
        facts, _ = await self.fetch_image(ref)
        return facts

    async def inspect_images(self, refs: Sequence[AttachmentRef]) -> tuple[ImageFacts, ...]:
        """The facts of several images, read at once.

        Raises:
            AttachmentRefused: the first, in the order given, that is refused.
        """
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._facts_or_refusal(ref)) for ref in refs]
        facts: list[ImageFacts] = []
        for task in tasks:
            outcome = task.result()
            if isinstance(outcome, AttachmentRefused):
                raise outcome
            facts.append(outcome)
        return tuple(facts)

    async def fetch_image(self, ref: AttachmentRef) -> tuple[ImageFacts, bytes]:
        """The image's facts and its bytes.

        Raises:
            AttachmentRefused: as for `inspect_image`.
        """
        content = await self._fetch(ref, limit_bytes=self._limits.image_bytes)
        try:
            # A GIF is walked block by block, up to half a million of them: not on the loop.
            facts = await asyncio.to_thread(image_facts, content)
        except Unreadable as cause:
            raise _refused(ref, cause.reason) from cause
        if facts.width * facts.height > self._limits.image_pixels:
            raise _refused(ref, _too_many_pixels(facts.width * facts.height, self._limits.image_pixels))
        return facts, content

    async def read_text(self, ref: AttachmentRef) -> str:
        r"""The file's text, with `\n` as its line ending.

        Raises:
            AttachmentRefused: not text, empty, over the limit, expired, or not to be had in time.
        """
        content = await self._fetch(ref, limit_bytes=self._limits.text_bytes)
        try:
            # Megabytes, where the operator allows them, take milliseconds, which are other people's answers.
            text = await asyncio.to_thread(decode_text, content)
        except Unreadable as cause:
            raise _refused(ref, cause.reason) from cause
        if not text.strip():
            raise _refused(ref, _EMPTY)
        return text

    async def _facts_or_refusal(self, ref: AttachmentRef) -> ImageFacts | AttachmentRefused:
        """As a value, so that one refusal neither hides nor cancels the others."""
        try:
            return await self.inspect_image(ref)
        except AttachmentRefused as refusal:
            return refusal

    async def _fetch(self, ref: AttachmentRef, *, limit_bytes: int) -> bytes:
        if ref.size_bytes > limit_bytes:
            raise _refused(ref, _too_large(ref.size_bytes, limit_bytes))
        if urlsplit(ref.url).scheme not in ("http", "https"):
            raise _refused(ref, _EXPIRED)
        try:
            async with asyncio.timeout(self._limits.deadline_s), self._slots:
                return await self._download(ref, limit_bytes)
        except (TimeoutError, aiohttp.ClientError) as cause:
            raise _refused(ref, _NOT_NOW) from cause

    async def _download(self, ref: AttachmentRef, limit_bytes: int) -> bytes:
        # No redirect is followed: the CDN answers itself, and an address chosen by somebody else is not to be called
        # from where the bot runs. Unpacked bodies are counted like any other, `identity` avoids them.
        headers = {"Accept-Encoding": "identity"}
        async with self._session.get(ref.url, allow_redirects=False, headers=headers) as response:
            if response.status in (403, 404, 410):
                raise _refused(ref, _EXPIRED)
            if response.status != 200:
                raise _refused(ref, _NOT_NOW)
            if (response.content_length or 0) > limit_bytes:
                raise _refused(ref, _too_large(response.content_length or 0, limit_bytes))
            content = bytearray()
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > limit_bytes:
                    raise _refused(ref, f"is larger than it claims; at most {shown_size(limit_bytes)} are read")
        if not content:
            raise _refused(ref, _EMPTY)
        return bytes(content)


def _refused(ref: AttachmentRef, reason: str) -> AttachmentRefused:
    return AttachmentRefused(shown_name(ref.name), reason)


def _too_large(size_bytes: int, limit_bytes: int) -> str:
    return f"is {shown_size(size_bytes)}; at most {shown_size(limit_bytes)} are read"


def _too_many_pixels(pixels: int, limit_pixels: int) -> str:
    return f"has {_millions(pixels)} megapixels; at most {_millions(limit_pixels)}"


def shown_size(size_bytes: int) -> str:
    """A size for people, rounded up so that what is over a limit never looks equal to it: "34 MB", "3 kB"."""
    if size_bytes >= 1_000_000:
        return f"{_millions(size_bytes)} MB"
    return f"{-(-size_bytes // 1_000)} kB"


def _millions(number: int) -> str:
    """Rounded up to one decimal, and none where it would be a zero."""
    return f"{-(-number // 100_000) / 10:,.1f}".removesuffix(".0")


# Pictures


def image_facts(content: bytes) -> ImageFacts:
    """Kind and size by the bytes.

    Raises:
        Unreadable: not one of the four kinds, without a size, or without its end.
    """
    kind = _kind(content)
    if kind is None:
        raise Unreadable(_NOT_A_PICTURE)
    try:
        size = _READERS[kind](content)
    except (struct.error, IndexError):  # it ends within its header
        size = None
    if size is None or 0 in size:
        raise Unreadable(_BROKEN)
    return ImageFacts(kind=kind, width=size[0], height=size[1], size_bytes=len(content))


def _kind(content: bytes) -> ImageKind | None:
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if content.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "webp"
    return None


# Each reader returns width and height, or None where the file contradicts its format or lacks its end.


def _png_size(content: bytes) -> tuple[int, int] | None:
    """W3C PNG, sections 5.6 and 11.2: IHDR comes first, IEND with its fixed checksum last."""
    length, name, width, height = struct.unpack_from(">I4sII", content, 8)
    whole = (length, name) == (13, b"IHDR") and content.rfind(b"IEND\xaeB`\x82") > 0
    return (width, height) if whole else None


_GIF_EXTENSION: Final = 0x21
_GIF_IMAGE: Final = 0x2C
_GIF_TRAILER: Final = 0x3B
_GIF_BLOCKS: Final = 500_000
"""Blocks and sub-blocks of up to 255 bytes: six times those of 20 MB that are full, and a tenth of a second's walk."""


def _gif_size(content: bytes) -> tuple[int, int] | None:
    """GIF89a, sections 17 to 27: signature, logical screen, then blocks up to the trailer. What follows it is ignored.

    Cameras and mail programs leave bytes behind the end; the walk finds the end all the same, and only there.
    """
    width, height, flags = struct.unpack_from("<HHB", content, 6)
    place, in_data = 13 + _colour_table_bytes(flags), False
    for _ in range(_GIF_BLOCKS):
        byte = content[place]
        if in_data:  # a sub-block, led by its size: one of 0 ends the data
            place, in_data = place + 1 + byte, byte != 0
        elif byte == _GIF_TRAILER:
            return width, height
        elif byte == _GIF_EXTENSION:  # its label, then its data
            place, in_data = place + 2, True
        elif byte == _GIF_IMAGE:  # its descriptor and colours, the size of its codes, then its data
            place, in_data = place + 11 + _colour_table_bytes(content[place + 9]), True
        else:
            return None
    return None


def _colour_table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


_JPEG_SCAN: Final = 0xDA
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""The start-of-frame markers: all from C0 to CF but those for tables and extensions."""
_JPEG_SEGMENTS: Final = 4_096
"""More segments than any camera writes before the scan; bounds the walk through a hostile file."""


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """ITU T.81, annex B: segments up to the scan; the frame header among them; an end marker after the scan's start."""
    size: tuple[int, int] | None = None
    place = 2
    for _ in range(_JPEG_SEGMENTS):
        prefix, marker, length = struct.unpack_from(">BBH", content, place)
        if prefix != 0xFF:
            return None
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", content, place + 5)
            size = (width, height)
        if marker == _JPEG_SCAN:
            return size if content.rfind(b"\xff\xd9") > place else None
        place += 2 + length
    return None


def _webp_size(content: bytes) -> tuple[int, int] | None:
    """RFC 9649, sections 2.4 to 2.7: a RIFF size, then an extended, a lossless or a lossy header."""
    (riff_size,) = struct.unpack_from("<I", content, 4)
    if len(content) < 8 + riff_size:
        return None
    match content[12:16]:
        case b"VP8X":
            return _little(content, 24, 27) + 1, _little(content, 27, 30) + 1
        case b"VP8L" if content[20] == 0x2F:
            bits = _little(content, 21, 25)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 " if content[23:26] == b"\x9d\x01\x2a":
            width, height = struct.unpack_from("<HH", content, 26)
            return width & 0x3FFF, height & 0x3FFF
    return None


def _little(content: bytes, start: int, end: int) -> int:
    """Raises IndexError where the file ends before `end`, whatever size its RIFF header claims."""
    if len(content) < end:
        raise IndexError
    return int.from_bytes(content[start:end], "little")


_READERS: Final = {"png": _png_size, "jpeg": _jpeg_size, "gif": _gif_size, "webp": _webp_size}


# Text

_BYTE_ORDER_MARKS: Final = (
    # UTF-32 first: its little-endian mark begins with that of UTF-16.
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)
_CONTROLS: Final = re.compile(r"[\x01-\x07\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")
"""Control characters that texts do not use; they do use tab, backspace, line and page ends, and colours' escape."""
_CONTROLS_AT_MOST: Final = 0.02


def decode_text(content: bytes) -> str:
    r"""The text without byte order mark, its line endings all `\n`. UTF-8, or what the mark says.

    Raises:
        Unreadable: undecodable, with a NUL, or with more than one control character in fifty.
    """
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as cause:
        raise Unreadable(_NOT_TEXT) from cause
    if "\0" in text or len(_CONTROLS.findall(text)) > _CONTROLS_AT_MOST * len(text):
        raise Unreadable(_NOT_TEXT)
    return text.replace("\r\n", "\n").replace("\r", "\n")


# Names and addresses

_NAME_LIMIT: Final = 80
_NOT_SHOWN: Final = re.compile(
    # Control characters and lone surrogates; marks that turn the direction of what follows; separators and a BOM.
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029\ufeff]"
)


def on_one_line(text: str) -> str:
    """What somebody typed, on one line. Nothing in it hides or turns what stands around it; Markdown is not escaped."""
    return " ".join(_NOT_SHOWN.sub(" ", text).split())


def shown_name(name: str) -> str:
    """A file's name fit to be shown: one line of at most 80 characters, its end (which says the type) kept.

    Nothing in it hides or turns what stands around it. Markdown is not escaped: that is for who writes the message.
    """
    shown = on_one_line(name)
    if len(shown) > _NAME_LIMIT:
        shown = f"{shown[: _NAME_LIMIT - 21].rstrip()}…{shown[-20:].lstrip()}"
    return shown or "file"


def expires_at(url: str) -> float | None:
    """When Discord's signature of this address ends, in seconds since 1970; None where it bears none.

    Signed addresses have the query `ex`, `is` and `hm`; `ex` is that time in hexadecimal.
    """
    try:
        [text] = parse_qs(urlsplit(url).query).get("ex", [""])
    except ValueError:  # not an address, or not just one `ex`
        return None
    return float(int(text, 16)) if re.fullmatch(r"[0-9a-fA-F]{1,12}", text) else None


def is_fresh(url: str, now: float, margin_s: float = 0.0) -> bool:
    """Whether the address will still work in `margin_s` seconds; one without a signature is taken to."""
    end = expires_at(url)
    return end is None or now + margin_s < end
