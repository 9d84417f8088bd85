"""Makes a picture fit into what Discord takes for one file, at the least loss that can be seen."""

import asyncio
import bisect
import contextlib
import math
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from PIL import Image, ImageOps

from bot.answers.attachments import ImageFacts, ImageKind, shown_size
from bot.errors import PictureUnusable

_QUALITIES: Final = (95, 90, 83, 75, 66)
"""On WebP's scale to 100, tried with all pixels kept. Below the last, fewer pixels look better than worse ones."""
_SMALLER_QUALITY: Final = 80
"""For a picture with fewer pixels: what is lost then is lost to the scale."""
_SMALLER_TRIES: Final = 8
_MARGIN: Final = 0.97
"""Of the factor that would just do: sizes fall a little slower than pixels."""
_PIXELS_AT_MOST: Final = 16_000_000
"""Of what is encoded anew: twice a 4K screen. With more, each encoding would take seconds and hundreds of megabytes."""
_WEBP_SIDE_PX: Final = 16_383
"""WebP's largest width and height, RFC 9649 section 2.6."""
_LOSSLESS_SHARE: Final = 0.6
"""Of a PNG's size: its lossless WebP is rarely below, so that trying for less would only take time."""
_PROFILE_BYTES: Final = 16_384
"""A colour profile up to this size is kept, since colours look wrong without it. Those of screens take about 3 kB."""

_WORKER: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shrinking")
"""One at a time: a decoded picture takes 4 bytes a pixel, twice that while it is turned or scaled. Its thread starts
with its first work. `Image.MAX_IMAGE_PIXELS`, Pillow's for the whole process, is set on this one thread alone."""

_UNREADABLE: Final = (OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, struct.error, zlib.error)
"""What Pillow's decoders raise for files that break their formats."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """A file that fits. `width` and `height` are pixels, as shown.

    `shrunk`: it is not the file that came. `first_frame_only`: that one moved, and this one does not.
    """

    content: bytes
    kind: ImageKind
    width: int
    height: int
    shrunk: bool = False
    first_frame_only: bool = False

    @property
    def extension(self) -> str:
        """What its file's name ends with, without the dot."""
        return "jpg" if self.kind == "jpeg" else self.kind


async def fit(content: bytes, facts: ImageFacts, limit_bytes: int) -> Fitted:
    """The picture in at most `limit_bytes`: as it came where it fits, else upright as WebP, without metadata.

    All pixels (up to 16 million) are kept while they look well in that space, then fewer of them. Nothing is decoded of
    what fits. The work is done on a thread, one picture at a time, in at most 12 encodings; a cancelled caller leaves
    the encoding to its end.

    Raises:
        PictureUnusable: it is damaged, or cannot be made so small.
    """
    if len(content) <= limit_bytes:
        return Fitted(content=content, kind=facts.kind, width=facts.width, height=facts.height)
    return await asyncio.get_running_loop().run_in_executor(_WORKER, _shrink, content, facts, limit_bytes)


def _shrink(content: bytes, facts: ImageFacts, limit_bytes: int) -> Fitted:
    image, moved = _decoded(content, facts)
    image = _scaled(image, min(_WEBP_SIDE_PX / max(image.size), math.sqrt(_PIXELS_AT_MOST / math.prod(image.size))))
    lossless = facts.kind in ("png", "gif") and limit_bytes >= _LOSSLESS_SHARE * len(content)
    encoded = _webp(image, lossless=True) if lossless else b""
    if not 0 < len(encoded) <= limit_bytes:
        encoded = _best_quality(image, limit_bytes)
    if len(encoded) > limit_bytes:
        image, encoded = _fewer_pixels(image, encoded, limit_bytes)
    return Fitted(
        content=encoded, kind="webp", width=image.width, height=image.height, shrunk=True, first_frame_only=moved
    )


def _best_quality(image: Image.Image, limit_bytes: int) -> bytes:
    """With all pixels, in the best quality that fits; in the lowest one where none does."""
    tried: dict[int, bytes] = {}

    def fits(quality: int) -> bool:
        tried[quality] = _webp(image, quality=quality)
        return len(tried[quality]) <= limit_bytes

    best = bisect.bisect_left(_QUALITIES, True, key=fits)
    return tried[_QUALITIES[min(best, len(_QUALITIES) - 1)]]


def _fewer_pixels(image: Image.Image, encoded: bytes, limit_bytes: int) -> tuple[Image.Image, bytes]:
    """Scaled down until it fits; how large one try has become says how far the next one goes. `encoded` was the first.

    Raises:
        PictureUnusable: it does not get there.
    """
    factor = 1.0
    for _ in range(_SMALLER_TRIES):
        factor *= min(math.sqrt(limit_bytes / len(encoded)), 1.0) * _MARGIN
        scaled = _scaled(image, factor)
        encoded = _webp(scaled, quality=_SMALLER_QUALITY)
        if len(encoded) <= limit_bytes:
            return scaled, encoded
    raise PictureUnusable(f"cannot be made small enough: at most {shown_size(limit_bytes)} are taken")


def _webp(image: Image.Image, *, quality: int = 80, lossless: bool = False) -> bytes:
    """`quality` means the effort where `lossless`."""
    file = BytesIO()
    profile = image.info.get("icc_profile", b"")
    image.save(file, "WEBP", quality=quality, lossless=lossless, method=4, icc_profile=profile)
    return file.getvalue()


def _scaled(image: Image.Image, factor: float) -> Image.Image:
    """Never larger."""
    if factor >= 1:
        return image
    size = (max(1, int(image.width * factor)), max(1, int(image.height * factor)))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _decoded(content: bytes, facts: ImageFacts) -> tuple[Image.Image, bool]:
    """The first frame, upright, in RGB or RGBA, with no more than its colour profile; and whether it moved."""
    try:
        with _pixel_guard(facts), Image.open(BytesIO(content), formats=[facts.kind]) as image:
            if image.size != (facts.width, facts.height):
                raise PictureUnusable("is damaged: it contradicts itself about its size")
            # A JPEG may hold a second picture (MPO), a preview for instance, which is no movement.
            moved = facts.kind != "jpeg" and bool(getattr(image, "is_animated", False))
            image.load()
            return _plain(_upright(image)), moved
    except _UNREADABLE as cause:
        raise PictureUnusable("is damaged") from cause
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as cause:
        raise PictureUnusable("is damaged: it is larger than it says") from cause


@contextlib.contextmanager
def _pixel_guard(facts: ImageFacts) -> Iterator[None]:
    """Pillow refuses what turns out more than twice as large as its header says, which has been checked."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = facts.width * facts.height
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF says; as it is where that cannot be read, as every viewer does."""
    with contextlib.suppress(*_UNREADABLE):
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _plain(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile", b"") if image.mode in ("RGB", "RGBA") else b""
    if image.mode.startswith("I"):  # greys of 16 bits, which a mere conversion would clip
        image = image.convert("I").point(lambda grey: grey * (1 / 257)).convert("L")
    mode = "RGBA" if image.has_transparency_data else "RGB"
    plain = image if image.mode == mode else image.convert(mode)
    if plain.mode == "RGBA" and plain.getchannel("A").getextrema() == (255, 255):
        plain = plain.convert("RGB")
    plain.info = {"icc_profile": profile} if 0 < len(profile) <= _PROFILE_BYTES else {}
    return plain
