"""Pictures from a prompt, drawn by rule: pleasing, different for each order, the same for the same one."""

import asyncio
import hashlib
import importlib.util
import io
import math
import random
import re
from collections import OrderedDict
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from PIL import Image, ImageDraw, ImageFilter, ImageFont, features

from sandbox.minitoolai import scenes
from sandbox.minitoolai.picture_rules import Asked

CACHE_BYTES: Final = 64 * 1024 * 1024
"""Finished pictures that are kept; the oldest make room."""

AT_ONCE: Final = 2
"""Pictures drawn at the same time, each in a thread."""


PAINTED_PIXELS: Final = 3_200_000
"""What is painted before it is shrunk to its size, which smooths its edges; at most twice its size."""

CAPTION_CHARACTERS: Final = 120
LAST_LATIN: Final = 0x17F
"""The last character that Pillow's own font is sure to have: the end of Latin Extended-A."""

LAST_LETTER: Final = 0x6FF
"""The same of DejaVu Sans, which Matplotlib brings along: Greek, Cyrillic, Hebrew and Arabic."""

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Studio:
    """Draws in threads, and keeps what it drew: `kept_bytes` of it now."""

    def __init__(self) -> None:
        self.kept_bytes = 0
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._places = asyncio.Semaphore(AT_ONCE)
        self._drawing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def picture(self, asked: Asked, *, variation: int, form: str) -> bytes:
        """The file, as `form`: png, jpeg, webp or gif. Whoever wants one that is being drawn waits for it."""
        key = f"{digest(asked, variation).hex()} {form}"
        lock = self._drawing.setdefault(key, asyncio.Lock())
        async with lock:
            data = self._kept.get(key)
            if data is None:
                async with self._places:
                    data = await asyncio.to_thread(_file, asked, variation, form)
                self._keep(key, data)
            self._kept.move_to_end(key)
            return data

    def _keep(self, key: str, data: bytes) -> None:
        self._kept[key] = data
        self.kept_bytes += len(data)
        while self.kept_bytes > CACHE_BYTES and len(self._kept) > 1:
            self.kept_bytes -= len(self._kept.popitem(last=False)[1])


def digest(asked: Asked, variation: int) -> bytes:
    """32 bytes that tell this picture from any other."""
    return hashlib.sha256(repr((asked, variation)).encode("utf-8", "surrogatepass")).digest()


def scene_of(asked: Asked, rng: random.Random) -> str:
    """The scene that the prompt's words call for, else any."""
    return next((name for name, words in _WORDS.items() if words.search(asked.prompt)), None) or rng.choice(
        sorted(scenes.SCENES)
    )


def draw(asked: Asked, variation: int) -> Image.Image:
    """The picture, in the size asked for, with a strip that says what it is."""
    rng = random.Random(digest(asked, variation))
    size = asked.width, asked.height
    scale = min(2.0, math.sqrt(PAINTED_PIXELS / (asked.width * asked.height)))
    painted = scenes.paint(scene_of(asked, rng), (round(asked.width * scale), round(asked.height * scale)), rng)
    image = painted.resize(size, Image.Resampling.BOX)
    _caption(image, asked.prompt)
    return image


def _caption(image: Image.Image, prompt: str) -> None:
    """A strip along the lower edge: "simulation", and as much of the prompt as has room and can be written."""
    size = max(11, round(min(image.size) * 0.024))
    strip = image.crop((0, image.height - round(size * 2.1), image.width, image.height))
    strip = Image.blend(strip.filter(ImageFilter.GaussianBlur(size / 3)), Image.new("RGB", strip.size, "#0c0e16"), 0.62)
    pen, plain, font = ImageDraw.Draw(strip), ImageFont.load_default(size), _font(prompt, size)
    left, middle = size, strip.height / 2
    pen.text((left, middle), "simulation", font=plain, fill="#ffd479", anchor="lm")
    left += round(pen.textlength("simulation", font=plain) + size * 0.8)
    if font is not None:
        text = _fitting(prompt, image.width - left - size, pen, font)
        pen.text((left, middle), text, font=font, fill="#e8eaf2", anchor="lm")
    image.paste(strip, (0, image.height - strip.height))


def _font(prompt: str, size: int) -> _Font | None:
    """A font that has the letters of a prompt; None where there is none for them on every machine."""
    last = max(map(ord, prompt[:CAPTION_CHARACTERS]), default=0)
    if last <= LAST_LATIN:
        return ImageFont.load_default(size)
    if last > LAST_LETTER or not features.check("raqm"):  # without raqm, letters are not put in their scripts' order
        return None
    found = importlib.util.find_spec("matplotlib")
    folders = found.submodule_search_locations if found is not None else None
    path = Path(folders[0], "mpl-data", "fonts", "ttf", "DejaVuSans.ttf") if folders else None
    return ImageFont.truetype(path, size) if path is not None and path.is_file() else None


def _fitting(prompt: str, room: float, pen: ImageDraw.ImageDraw, font: _Font) -> str:
    """The beginning of the prompt that fits into `room` pixels."""
    shown = "".join(letter if letter.isprintable() else " " for letter in prompt[:CAPTION_CHARACTERS])
    text = " ".join(shown.split())
    if len(prompt) <= CAPTION_CHARACTERS and pen.textlength(text, font=font) <= room:
        return text
    while text and pen.textlength(f"{text}…", font=font) > room:
        text = text[:-1].rstrip()
    return f"{text}…" if text else ""


def _file(asked: Asked, variation: int, form: str) -> bytes:
    file = io.BytesIO()
    draw(asked, variation).save(file, form, **_SAVING.get(form, {}))
    return file.getvalue()


_SAVING: Final[dict[str, dict[str, int]]] = {
    "png": {"compress_level": 3},  # half the time of Pillow's own choice, at nearly its size
    "jpeg": {"quality": 90},
    "webp": {"quality": 85, "method": 2},
}


def _words(*words: str) -> re.Pattern[str]:
    return re.compile(rf"\b({'|'.join(words)})s?\b", re.IGNORECASE)


_WORDS: Final = {
    "night": _words("night", "star", "starry", "moon", "space", "galaxy", "aurora", "midnight"),
    "sea": _words("sea", "ocean", "water", "lake", "beach", "boat", "ship", "wave", "island", "coast", "harbou?r"),
    "city": _words("city", "cities", "street", "tower", "building", "town", "skyline", "neon", "cyberpunk"),
    "forest": _words("forest", "tree", "wood", "jungle", "fir", "pine", "bear", "deer", "fox"),
    "petals": _words("flower", "rose", "mandala", "petal", "blossom", "lotus", "pattern", "garden"),
    "hills": _words("mountain", "hill", "valley", "desert", "landscape", "alps?", "sunrise", "sunset", "field", "dune"),
    "orbs": _words("abstract", "bubble", "glass", "colou?r", "light", "portrait", "face"),
}
"""What calls for each scene; the first that fits is drawn."""
