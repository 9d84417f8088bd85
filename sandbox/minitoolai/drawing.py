"""Pictures from a prompt, drawn by rule: pleasing, different for each order, the same for the same one."""

import asyncio
import hashlib
import io
from collections import OrderedDict
from typing import Final

from PIL import Image

from sandbox.minitoolai.picture_rules import Asked

CACHE_BYTES: Final = 64 * 1024 * 1024
"""Finished pictures that are kept; the oldest make room."""

AT_ONCE: Final = 2
"""Pictures drawn at the same time, each in a thread."""


class Studio:
    """Draws in threads, and keeps what it drew."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._places = asyncio.Semaphore(AT_ONCE)

    async def picture(self, asked: Asked, *, variation: int, form: str) -> bytes:
        """The file, as `form`: png, jpeg, webp or gif."""
        key = f"{digest(asked, variation).hex()} {form}"
        if key not in self._kept:
            async with self._places:
                if key not in self._kept:
                    self._keep(key, await asyncio.to_thread(_file, asked, variation, form))
        self._kept.move_to_end(key)
        return self._kept[key]

    def _keep(self, key: str, data: bytes) -> None:
        self._kept[key] = data
        self._kept_bytes += len(data)
        while self._kept_bytes > CACHE_BYTES and len(self._kept) > 1:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1])


def digest(asked: Asked, variation: int) -> bytes:
    """32 bytes that tell this picture from any other."""
    return hashlib.sha256(repr((asked, variation)).encode("utf-8", "surrogatepass")).digest()


def draw(asked: Asked, variation: int) -> Image.Image:
    """The picture, in the size asked for."""
    low, high = digest(asked, variation)[:3], digest(asked, variation)[3:6]
    gradient = Image.linear_gradient("L").resize((asked.width, asked.height))
    return Image.merge(
        "RGB", [gradient.point(lambda v, a=a, b=b: a + (b - a) * v // 255) for a, b in zip(low, high, strict=True)]
    )


def _file(asked: Asked, variation: int, form: str) -> bytes:
    file = io.BytesIO()
    draw(asked, variation).save(file, form)
    return file.getvalue()
