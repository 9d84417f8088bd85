"""Rules of attachments, against a file server over real sockets; Pillow writes the pictures."""

import asyncio
import struct
import unicodedata
import zlib
from collections.abc import AsyncIterator
from io import BytesIO

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bot.answers.attachments import (
    AttachmentLimits,
    Attachments,
    ImageFacts,
    Unreadable,
    decode_text,
    expires_at,
    image_facts,
    is_fresh,
    shown_name,
    shown_size,
)
from bot.answers.question import AttachmentRef
from bot.errors import AttachmentRefused

LIMITS = AttachmentLimits(image_bytes=100_000, image_pixels=1_000_000, text_bytes=1_000, deadline_s=10)
FORMATS = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP", "gif": "GIF"}


def picture(kind: str = "png", width: int = 5, height: int = 3, **options: object) -> bytes:
    file = BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, FORMATS[kind], **options)
    return file.getvalue()


def claiming(width: int, height: int) -> bytes:
    """A PNG of one pixel whose header claims another size."""
    small = picture("png", 1, 1)
    header = b"IHDR" + struct.pack(">II", width, height) + small[24:29]
    return small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]


class Files:
    """A file server: `/NAME` answers with `bodies[NAME]`; other names misbehave each in its own way."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.reached = asyncio.Event()
        self.meeting = asyncio.Barrier(3)
        self.met = 0
        self.most_waiting = 0
        self.address = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self.requests.append(name)
        self.reached.set()
        match name:
            case "redirect":
                raise web.HTTPFound("/target")
            case "endless":
                return await self._endless(request)
            case "silent":
                await asyncio.Event().wait()
            case "short":
                return await self._short(request)
            case _ if name.startswith("together"):
                self.most_waiting = max(self.most_waiting, len(self.requests) - self.met)
                await self.meeting.wait()
                self.met += 1
            case _ if name.isdigit():
                return web.Response(status=int(name))
        return web.Response(body=self.bodies[name], content_type="application/octet-stream")

    async def _endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(picture())
        while True:
            await response.write(bytes(10_000))

    async def _short(self, request: web.Request) -> web.StreamResponse:
        """Promises more than it sends, then hangs up."""
        response = web.StreamResponse(headers={"Content-Length": "5000"})
        await response.prepare(request)
        await response.write(picture())
        assert request.transport is not None
        request.transport.close()
        return response

    def ref(
        self, name: str, body: bytes | None = None, *, size_bytes: int = 100, shown: str = "cat.png"
    ) -> AttachmentRef:
        if body is not None:
            self.bodies[name] = body
        url = f"{self.address}/{name}?ex=7fffffff&is=0&hm=0"
        return AttachmentRef(id=1, name=shown, url=url, size_bytes=size_bytes, content_type="image/png")


@pytest_asyncio.fixture
async def files() -> AsyncIterator[Files]:
    served = Files()
    app = web.Application()
    app.router.add_get("/{name}", served.answer)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0)
    served.address = str(server.make_url("")).rstrip("/")
    yield served
    await server.close()


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest_asyncio.fixture
async def attachments(session: aiohttp.ClientSession) -> Attachments:
    return Attachments(session, LIMITS)


async def reason(attachments: Attachments, ref: AttachmentRef) -> str:
    with pytest.raises(AttachmentRefused) as raised:
        await attachments.inspect_image(ref)
    return raised.value.reason


# Pictures over the wire


@pytest.mark.parametrize("kind", FORMATS)
async def test_a_picture_is_known_by_its_bytes(files: Files, attachments: Attachments, kind: str):
    body = picture(kind, 5, 3)
    facts = await attachments.inspect_image(files.ref("a", body, shown="misnamed.txt"))
    assert (facts.kind, facts.width, facts.height, facts.size_bytes) == (kind, 5, 3, len(body))


async def test_a_fetched_picture_comes_with_its_bytes(files: Files, attachments: Attachments):
    body = picture("jpeg", 9, 4)
    facts, content = await attachments.fetch_image(files.ref("a", body))
    assert content == body
    assert facts == ImageFacts(kind="jpeg", width=9, height=4, size_bytes=len(body))


async def test_several_pictures_are_read_at_once_and_told_in_order(files: Files, attachments: Attachments):
    # The server answers none of the three before it has all three requests.
    refs = [files.ref(f"together{width}", picture("png", width, 1)) for width in (3, 1, 2)]
    assert [facts.width for facts in await attachments.inspect_images(refs)] == [3, 1, 2]


async def test_no_more_are_read_at_once_than_there_are_slots(files: Files, session: aiohttp.ClientSession):
    narrow = Attachments(session, AttachmentLimits(image_bytes=1_000, image_pixels=100, text_bytes=9, at_once=3))
    refs = [files.ref(f"together{width}", picture("png", width, 1)) for width in range(1, 13)]
    assert [facts.width for facts in await narrow.inspect_images(refs)] == list(range(1, 13))
    assert files.most_waiting == 3


async def test_of_several_refusals_the_first_in_order_is_told(files: Files, attachments: Attachments):
    refs = [files.ref("a", picture()), files.ref("b", b"text", shown="b.png"), files.ref("404", shown="c.png")]
    with pytest.raises(AttachmentRefused, match=r"^b\.png is not a jpg"):
        await attachments.inspect_images(refs)


async def test_a_slot_is_given_back_when_a_picture_is_refused(files: Files, session: aiohttp.ClientSession):
    narrow = Attachments(session, AttachmentLimits(image_bytes=1_000, image_pixels=100, text_bytes=9, at_once=1))
    assert "not a jpg" in await reason(narrow, files.ref("bad", b"text"))
    assert (await narrow.inspect_image(files.ref("good", picture()))).width == 5


@pytest.mark.parametrize(
    "body",
    [
        b"<!doctype html><title>Sign in</title>",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        b"BM" + bytes(60),
        b"RIFF\x24\0\0\0WAVEfmt ",
    ],
    ids=["html", "svg", "heic", "bmp", "wav"],
)
async def test_anything_else_named_png_is_refused(files: Files, attachments: Attachments, body: bytes):
    assert await reason(attachments, files.ref("a", body)) == "is not a jpg, png, webp or gif picture"


async def test_an_empty_file_is_refused(files: Files, attachments: Attachments):
    assert await reason(attachments, files.ref("a", b"")) == "is empty"


async def test_a_truncated_picture_is_refused(files: Files, attachments: Attachments):
    body = picture("jpeg", 200, 200)
    assert "damaged" in await reason(attachments, files.ref("a", body[:-2]))


async def test_a_pixel_that_claims_to_be_a_wall_is_refused(files: Files, attachments: Attachments):
    assert await reason(attachments, files.ref("a", claiming(60_000, 60_000))) == "has 3,600 megapixels; at most 1"


async def test_the_pixel_limit_itself_is_allowed(files: Files, attachments: Attachments):
    assert (await attachments.inspect_image(files.ref("a", claiming(1_000, 1_000)))).width == 1_000
    assert await reason(attachments, files.ref("b", claiming(1_000, 1_001))) == "has 1.1 megapixels; at most 1"


async def test_a_declared_size_over_the_limit_is_refused_unread(files: Files, attachments: Attachments):
    assert await reason(attachments, files.ref("a", size_bytes=34_000_000)) == "is 34 MB; at most 100 kB are read"
    assert files.requests == []


async def test_a_size_that_only_the_answer_admits_is_refused_unread(files: Files, attachments: Attachments):
    assert await reason(attachments, files.ref("a", bytes(150_000))) == "is 150 kB; at most 100 kB are read"


async def test_an_endless_body_is_read_to_the_limit_only(files: Files, attachments: Attachments):
    assert await reason(attachments, files.ref("endless")) == "is larger than it claims; at most 100 kB are read"


async def test_a_body_shorter_than_promised_is_refused(files: Files, attachments: Attachments):
    assert "could not be fetched" in await reason(attachments, files.ref("short"))


async def test_a_server_that_says_nothing_is_left_at_the_deadline(files: Files, session: aiohttp.ClientSession):
    hasty = Attachments(session, AttachmentLimits(image_bytes=9, image_pixels=9, text_bytes=9, deadline_s=0.05))
    assert "could not be fetched" in await reason(hasty, files.ref("silent", size_bytes=1))


async def test_no_redirect_is_followed(files: Files, attachments: Attachments):
    files.bodies["target"] = picture()
    assert "could not be fetched" in await reason(attachments, files.ref("redirect"))
    assert files.requests == ["redirect"]


@pytest.mark.parametrize("status", ["403", "404"])
async def test_an_expired_address_says_so(files: Files, attachments: Attachments, status: str):
    assert "has expired. Please attach it again" in await reason(attachments, files.ref(status))


async def test_a_failing_cdn_is_not_called_expiry(files: Files, attachments: Attachments):
    assert "could not be fetched from Discord just now" in await reason(attachments, files.ref("503"))


async def test_an_unreachable_cdn_is_a_refusal(attachments: Attachments):
    ref = AttachmentRef(id=1, name="a.png", url="http://127.0.0.1:1/a.png", size_bytes=1)
    assert "could not be fetched" in await reason(attachments, ref)


async def test_only_http_addresses_are_opened(attachments: Attachments):
    ref = AttachmentRef(id=1, name="a.png", url="file:///etc/passwd", size_bytes=1)
    assert "can no longer be read" in await reason(attachments, ref)


async def test_a_cancelled_reader_stops_and_frees_its_slot(files: Files, session: aiohttp.ClientSession):
    narrow = Attachments(session, AttachmentLimits(image_bytes=1_000, image_pixels=100, text_bytes=9, at_once=1))
    reading = asyncio.create_task(narrow.inspect_image(files.ref("silent")))
    await files.reached.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert (await narrow.inspect_image(files.ref("a", picture()))).kind == "png"


async def test_the_refusal_shows_a_cleaned_name(files: Files, attachments: Attachments):
    with pytest.raises(AttachmentRefused) as raised:
        await attachments.inspect_image(files.ref("404", shown="gpj\u202e.exe\nfake line"))
    assert raised.value.name == "gpj .exe fake line"


# Text over the wire


async def test_a_source_file_is_read_with_one_kind_of_line_ending(files: Files, attachments: Attachments):
    ref = files.ref("a", b"def f():\r\n\treturn 1\rend\n", shown="main.py")
    assert await attachments.read_text(ref) == "def f():\n\treturn 1\nend\n"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is empty"),
        (b" \n\t\n", "is empty"),
        (b"MZ\x90\0\x03\0", "is not a text file"),
        ("שלום".encode("cp1255"), "is not a text file"),
        (bytes(2_000), "is 2 kB; at most 1 kB are read"),
    ],
)
async def test_a_file_that_is_not_text_is_refused(files: Files, attachments: Attachments, body: bytes, words: str):
    with pytest.raises(AttachmentRefused) as raised:
        await attachments.read_text(files.ref("a", body, shown="notes.txt"))
    assert raised.value.reason.startswith(words)


# Pictures, purely


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("rest", [b"\r\n", b"\0" * 3_000, b";\xff\xd8 left by a camera", b"\xff" * 2_000])
def test_bytes_after_a_pictures_end_do_no_harm(kind: str, rest: bytes):
    whole = picture(kind)
    assert image_facts(whole + rest) == ImageFacts(kind=kind, width=5, height=3, size_bytes=len(whole + rest))


def test_a_gif_of_nothing_but_tiny_blocks_is_not_walked_to_its_end():
    begin, empty_extension = b"GIF89a\x01\0\x01\0\0\0\0", b"!\xfe\0"
    assert image_facts(begin + empty_extension * 200_000 + b";").width == 1
    with pytest.raises(Unreadable):
        image_facts(begin + empty_extension * 300_000 + b";")


def test_an_animated_gif_is_read_to_its_end_with_all_its_blocks():
    file = BytesIO()
    frames = [Image.effect_noise((40, 30), 90 + number).convert("P") for number in range(3)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], comment=b"three frames; of noise")
    assert (image_facts(file.getvalue()).width, image_facts(file.getvalue()).height) == (40, 30)
    with pytest.raises(Unreadable):
        image_facts(file.getvalue()[:-1])


@given(
    kind=st.sampled_from(list(FORMATS)),
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    variant=st.booleans(),
)
def test_sizes_agree_with_pillows(kind: str, width: int, height: int, variant: bool):
    options = {"jpeg": {"progressive": variant, "exif": b"Exif\0\0" + bytes(500)}, "webp": {"lossless": variant}}
    body = picture(kind, width, height, **options.get(kind, {}))
    facts = image_facts(body)
    assert (facts.kind, facts.width, facts.height) == (kind, width, height)


def test_an_extended_webp_has_its_canvas_as_size():
    frames = [Image.new("RGBA", (40, 30), colour) for colour in ("red", "#00ff0080")]
    file = BytesIO()
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:])
    assert file.getvalue()[12:16] == b"VP8X"
    facts = image_facts(file.getvalue())
    assert (facts.width, facts.height) == (40, 30)


@pytest.mark.parametrize("header", [b"VP8X", b"VP8X" + bytes(13), b"VP8L" + bytes(4) + b"/\0\0\0"])
def test_a_webp_that_ends_within_its_header_is_damaged_whatever_size_it_claims(header: bytes):
    with pytest.raises(Unreadable):
        image_facts(b"RIFF" + bytes(4) + b"WEBP" + header)


@given(kind=st.sampled_from(list(FORMATS)), data=st.data())
def test_a_picture_cut_anywhere_is_refused(kind: str, data: st.DataObject):
    body = picture(kind, 60, 40)
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(Unreadable):
        image_facts(body[:cut])


@given(
    head=st.sampled_from([picture(kind)[:length] for kind in FORMATS for length in (4, 12, 16, 30)]), tail=st.binary()
)
def test_no_bytes_raise_anything_but_unreadable(head: bytes, tail: bytes):
    try:
        facts = image_facts(head + tail)
    except Unreadable:
        return
    assert facts.width > 0
    assert facts.height > 0


@pytest.mark.parametrize("fill", [1, 2, 100])
def test_fill_bytes_before_a_marker_of_a_jpeg_are_passed_over(fill: int):
    body = picture("jpeg", 9, 4)
    facts = image_facts(body[:2] + b"\xff" * fill + body[2:])
    assert (facts.width, facts.height) == (9, 4)


def test_a_jpeg_whose_segment_does_not_end_at_a_marker_is_damaged():
    body = picture("jpeg", 9, 4)
    length = int.from_bytes(body[4:6])
    with pytest.raises(Unreadable):
        image_facts(body[:4] + (length + 1).to_bytes(2) + body[6:])


def test_a_webp_without_the_signature_of_its_coding_is_damaged():
    lossy, lossless = picture("webp", 9, 4), picture("webp", 9, 4, lossless=True)
    assert (lossy[23:26], lossless[20:21]) == (b"\x9d\x01\x2a", b"/")
    for body in (lossy[:23] + bytes(3) + lossy[26:], lossless[:20] + b"\0" + lossless[21:]):
        with pytest.raises(Unreadable):
            image_facts(body)


def test_a_jpeg_of_nothing_but_segments_is_given_up():
    with pytest.raises(Unreadable):
        image_facts(b"\xff\xd8" + b"\xff\xe0\0\2" * 1_000_000 + picture("jpeg")[2:])


def test_a_picture_without_extent_is_refused():
    with pytest.raises(Unreadable):
        image_facts(claiming(0, 5))


# Text, purely

plain_text = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t"))


@given(text=plain_text, encoding=st.sampled_from(["utf-8-sig", "utf-16", "utf-32"]))
def test_any_text_survives_with_a_byte_order_mark(text: str, encoding: str):
    assert decode_text(text.encode(encoding)) == text


@given(text=plain_text.filter(lambda text: not text.startswith("\ufeff")))
def test_any_text_survives_as_plain_utf_8(text: str):
    assert decode_text(text.encode()) == text


@given(text=plain_text, mark=st.sampled_from([("utf-16-be", b"\xfe\xff"), ("utf-32-be", b"\0\0\xfe\xff")]))
def test_the_mark_says_the_byte_order(text: str, mark: tuple[str, bytes]):
    assert decode_text(mark[1] + text.encode(mark[0])) == text


@given(content=st.binary())
def test_what_is_decoded_has_no_nul_and_no_carriage_return(content: bytes):
    try:
        text = decode_text(content)
    except Unreadable:
        return
    assert "\0" not in text
    assert "\r" not in text


def test_one_control_character_in_fifty_is_borne_and_two_are_not():
    assert decode_text(b"\x01" + b"a" * 49)
    with pytest.raises(Unreadable):
        decode_text(b"\x01\x02" + b"a" * 48)


def test_a_coloured_log_is_text():
    assert decode_text(b"\x1b[31mE\x1b[0m\n") == "\x1b[31mE\x1b[0m\n"


# Names, sizes, addresses


@given(name=st.text())
def test_a_shown_name_is_one_short_harmless_line(name: str):
    shown = shown_name(name)
    assert 0 < len(shown) <= 80
    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in shown)
    assert not any(
        unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI") for c in shown
    )
    assert shown_name(shown) == shown


def test_a_long_name_keeps_its_end():
    assert shown_name("a" * 200 + ".tar.gz") == "a" * 59 + "…" + "a" * 13 + ".tar.gz"


@pytest.mark.parametrize(("name", "shown"), [("", "file"), ("\u202e\n", "file"), ("שלום עולם.txt", "שלום עולם.txt")])
def test_a_name_of_nothing_is_called_file(name: str, shown: str):
    assert shown_name(name) == shown


@given(size=st.integers(0, 10**9), limit=st.integers(1, 500).map(lambda megabytes: megabytes * 1_000_000))
def test_a_size_over_a_limit_never_looks_equal_to_it(size: int, limit: int):
    assert size <= limit or shown_size(size) != shown_size(limit)


@pytest.mark.parametrize(
    ("size", "shown"), [(1, "1 kB"), (200_000, "200 kB"), (1_500_000, "1.5 MB"), (20_000_001, "20.1 MB")]
)
def test_sizes_are_rounded_up(size: int, shown: str):
    assert shown_size(size) == shown


def test_an_addresss_expiry_is_its_hexadecimal_ex():
    url = "https://cdn.discordapp.com/attachments/1/2/cat.png?ex=65f1a2b3&is=65e02db3&hm=0a1b&"
    assert expires_at(url) == 0x65F1A2B3
    assert is_fresh(url, now=0x65F1A2B3 - 61, margin_s=60)
    assert not is_fresh(url, now=0x65F1A2B3 - 60, margin_s=60)


@pytest.mark.parametrize("query", ["", "?ex=", "?ex=-5", "?ex=zz", "?ex=1_0", "?ex=1&ex=2", "?ex=" + "f" * 400])
def test_an_address_without_a_readable_expiry_is_taken_as_fresh(query: str):
    assert expires_at(f"https://cdn.discordapp.com/a.png{query}") is None
    assert is_fresh(f"https://cdn.discordapp.com/a.png{query}", now=9e9)


@given(url=st.text())
def test_no_text_breaks_the_reading_of_an_expiry(url: str):
    end = expires_at(url)
    assert end is None or end >= 0
