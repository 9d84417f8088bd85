"""Pictures that nobody wants: what a faulty or hostile address may serve."""

import io
import random
import struct
import zlib

from PIL import Image


def pixel_bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG of about a hundred bytes that claims so many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def noise_png(width: int, height: int) -> bytes:
    """A true picture that cannot be compressed: about 3 bytes a pixel. The same for the same size."""
    pixels = random.Random(width * height).randbytes(3 * width * height)
    file = io.BytesIO()
    Image.frombytes("RGB", (width, height), pixels).save(file, "png", compress_level=1)
    return file.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
