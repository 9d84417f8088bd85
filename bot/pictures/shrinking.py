"""Makes a picture fit into what Discord takes for one file, at the least loss that can be seen."""

import asyncio
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from PIL import Image, ImageOps

from bot.answers.attachments import ImageFacts, ImageKind, shown_size
from bot.errors import PictureUnusable

_QUALITIES: Final = (95, 90, 83, 75, 66)
"""WebP's scale to 100, tried in this order with all pixels kept. Below the last, fewer pixels look better."""
_SMALLER_QUALITY: Final = 80
"""For a picture with fewer pixels: what is lost then is mostly what it was scaled by."""
_SMALLER_TRIES: Final = 8
_WEBP_SIDE_PX: Final = 16_383
"""WebP's largest width and height, RFC 9649 section 2.6."""
_LOSSLESS_SHARE: Final = 0.6
"""A lossless WebP of a PNG is rarely below this share of it: trying for less would only cost a second."""

_WORKER: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shrinking")
"""One at a time: a decoded picture takes 4 bytes a pixel, twice while it is scaled. Its thread starts with its first
work. `Image.MAX_IMAGE_PIXELS`, which is Pillow's for the whole process, is set by this one thread alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """Fits. `shrunk`: it is not the file that came. `first_frame_only`: that one moved, this does not."""

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
    """The picture in at most `limit_bytes`: as it came where it fits, else as WebP without metadata, turned upright.

    All pixels are kept while they look well in that space. Bounded: at most 14 encodings, one picture at a time.

    Raises:
        PictureUnusable: it is damaged, or nothing so small shows it. Found only where it has to be decoded.
    """
    if len(content) <= limit_bytes:
        return Fitted(content=content, kind=facts.kind, width=facts.width, height=facts.height)
    return await asyncio.get_running_loop().run_in_executor(_WORKER, _shrink, content, facts, limit_bytes)


def _shrink(content: bytes, facts: ImageFacts, limit_bytes: int) -> Fitted:
    image, moved = _decoded(content, facts)
    lossless = facts.kind in ("png", "gif") and limit_bytes >= _LOSSLESS_SHARE * len(content)
    for scaled, encoded in _tries(image, limit_bytes, lossless=lossless):
        if len(encoded) <= limit_bytes:
            return Fitted(
                content=encoded,
                kind="webp",
                width=scaled.width,
                height=scaled.height,
                shrunk=True,
                first_frame_only=moved,
            )
    raise PictureUnusable(f"cannot be made small enough: at most {shown_size(limit_bytes)} are taken")


def _tries(image: Image.Image, limit_bytes: int, *, lossless: bool) -> Iterator[tuple[Image.Image, bytes]]:
    """Encodings, from the best one down; how large one has become says how far the next goes."""
    image = _scaled(image, min(1.0, _WEBP_SIDE_PX / max(image.size)))
    if lossless:
        yield image, _webp(image, lossless=True)
    encoded = b""
    for quality in _QUALITIES:
        encoded = _webp(image, quality=quality)
        yield image, encoded
    scaled = image
    for _ in range(_SMALLER_TRIES):
        share = math.sqrt(limit_bytes / len(encoded))
        scaled = _scaled(image, min(share, 0.95) * scaled.width / image.width * 0.97)
        encoded = _webp(scaled, quality=_SMALLER_QUALITY)
        yield scaled, encoded


def _webp(image: Image.Image, *, quality: int = 80, lossless: bool = False) -> bytes:
    file = BytesIO()
    image.save(file, "WEBP", quality=quality, lossless=lossless, method=4, exact=False)
    return file.getvalue()


def _scaled(image: Image.Image, factor: float) -> Image.Image:
    size = (max(1, int(image.width * factor)), max(1, int(image.height * factor)))
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _decoded(content: bytes, facts: ImageFacts) -> tuple[Image.Image, bool]:
    """The first frame, upright, in RGB or RGBA, without metadata; and whether there are others."""
    try:
        with _guard(facts), Image.open(BytesIO(content), formats=[facts.kind]) as image:
            if image.size != (facts.width, facts.height):
                raise PictureUnusable("is damaged")
            moved = bool(getattr(image, "is_animated", False))
            image.load()
            return _plain(ImageOps.exif_transpose(image)), moved
    # Pillow's decoders raise all of these for files that break their formats.
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError, OverflowError) as cause:
        raise PictureUnusable("is damaged") from cause
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as cause:
        raise PictureUnusable("is damaged: it is larger inside than it says") from cause


@contextmanager
def _guard(facts: ImageFacts) -> Iterator[None]:
    """Pillow refuses what turns out to have more than twice the pixels that the header says, which were checked."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = facts.width * facts.height
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _plain(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # greys of 16 bits, which a conversion would clip
        image = image.convert("I").point(lambda grey: grey * (1 / 257)).convert("L")
    plain = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if plain.mode == "RGBA" and plain.getchannel("A").getextrema() == (255, 255):
        plain = plain.convert("RGB")
    plain.info = {}
    return plain
