"""What can be said of a picture from its pixels alone: size, shape, brightness and colours. No I/O."""

import colorsys
import io
import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageStat

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF")
"""What the API's guide allows."""

PIXEL_LIMIT: Final = 40_000_000
SAMPLE_PX: Final = 64
"""The longer side of the small copy that is looked at."""

_UNREADABLE: Final = (OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, struct.error, zlib.error)
"""What Pillow's decoders raise for torn and foreign bytes."""

_ROTATED: Final = range(5, 9)
"""Values of EXIF's orientation at which width and height change places."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """`brightness` is 0 to 100; `lighter` names a side that is clearly brighter, "" where none is. `colours` are names
    with their share in percent, the largest first."""

    format: str
    width: int
    height: int
    frames: int
    brightness: int
    lighter: str
    colours: tuple[tuple[str, int], ...]
    see_through: bool


@dataclass(frozen=True, slots=True)
class Unseen:
    """`reason` follows "because": "it is not on this machine"."""

    reason: str


Sight = Seen | Unseen


def examine(data: bytes) -> Sight:
    """What the bytes show. Takes as long as decoding them does: call it in a thread."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > PIXEL_LIMIT:
                return Unseen(f"it has more than {PIXEL_LIMIT // 1_000_000} million pixels")
            return _seen(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Unseen(f"it has more than {PIXEL_LIMIT // 1_000_000} million pixels")
    except _UNREADABLE:
        return Unseen("its bytes are no PNG, JPEG, WebP or GIF that can be read")


def describe(sights: Sequence[Sight]) -> str:
    """Paragraphs about the pictures of one question; "" for none."""
    if not sights:
        return ""
    if len(sights) == 1:
        return f"About the picture: {_sentence(sights[0])}{_honesty(sights)}"
    sentences = [_sentence(sight) for sight in sights]
    lines = "\n".join(f"{number}. {text[0].upper()}{text[1:]}" for number, text in enumerate(sentences, 1))
    return f"About the {len(sights)} pictures:\n\n{lines}\n\n{_honesty(sights).strip()}".rstrip()


def colour_name(red: int, green: int, blue: int) -> str:
    """A plain name for a colour of three times 0 to 255."""
    hue, saturation, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    if value < 0.14:
        return "black"
    if saturation < 0.12:
        return next(name for least, name in _GREYS if value >= least)
    degrees = hue * 360
    name = next(name for below, name in _HUES if degrees < below)
    if value < 0.6 and name in _WHEN_DARK:
        return _WHEN_DARK[name]
    if value < 0.45:
        return f"dark {name}"
    if saturation < 0.5 and value > 0.75:
        return _WHEN_PALE.get(name, f"light {name}")
    return name


_GREYS: Final = ((0.93, "white"), (0.68, "light grey"), (0.36, "grey"), (0.0, "dark grey"))
_HUES: Final = (
    (14, "red"),
    (42, "orange"),
    (68, "yellow"),
    (160, "green"),
    (192, "turquoise"),
    (255, "blue"),
    (290, "purple"),
    (345, "pink"),
    (361, "red"),
)
_WHEN_DARK: Final = {"orange": "brown", "yellow": "olive"}
_WHEN_PALE: Final = {"red": "light pink", "orange": "beige", "yellow": "cream"}


def _seen(image: Image.Image) -> Seen:
    kind, frames = image.format or "", int(getattr(image, "n_frames", 1))
    width, height = image.size
    if image.getexif().get(0x0112) in _ROTATED:
        width, height = height, width
    image.thumbnail((SAMPLE_PX, SAMPLE_PX))
    small = image.convert("RGBA")
    least_opaque, _ = small.getchannel("A").getextrema()
    flat = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small).convert("RGB")
    return Seen(
        format=kind,
        width=width,
        height=height,
        frames=frames,
        brightness=_brightness(flat),
        lighter=_lighter_side(flat),
        colours=_main_colours(flat),
        see_through=isinstance(least_opaque, int | float) and least_opaque < 250,
    )


def _brightness(image: Image.Image) -> int:
    return round(ImageStat.Stat(image.convert("L")).mean[0] / 2.55)


def _lighter_side(image: Image.Image) -> str:
    """Where it is brighter by more than 12 of 100 than opposite: "top", "bottom", "left", "right", or ""."""
    wide, high = image.size
    third_wide, third_high = max(1, wide // 3), max(1, high // 3)
    sides = {
        "top": _brightness(image.crop((0, 0, wide, third_high))),
        "bottom": _brightness(image.crop((0, high - third_high, wide, high))),
        "left": _brightness(image.crop((0, 0, third_wide, high))),
        "right": _brightness(image.crop((wide - third_wide, 0, wide, high))),
    }
    opposite = {"top": "bottom", "bottom": "top", "left": "right", "right": "left"}
    lead, side = max((sides[side] - sides[opposite[side]], side) for side in sides)
    return side if lead > 12 else ""


def _main_colours(image: Image.Image) -> tuple[tuple[str, int], ...]:
    """Up to four names that cover at least a twentieth each; the largest whatever it covers."""
    reduced = image.quantize(12, method=Image.Quantize.MEDIANCUT).convert("RGB")
    shares: Counter[str] = Counter()
    for count, colour in reduced.getcolors(SAMPLE_PX * SAMPLE_PX) or ():
        if isinstance(colour, tuple):
            red, green, blue = colour[:3]
            shares[colour_name(int(red), int(green), int(blue))] += count
    pixels = image.width * image.height
    ranked = [(name, round(100 * count / pixels)) for name, count in shares.most_common(4)]
    return tuple((name, percent) for place, (name, percent) in enumerate(ranked) if place == 0 or percent >= 5)


def _sentence(sight: Sight) -> str:
    if isinstance(sight, Unseen):
        return f"I did not look at it, because {sight.reason}."
    kind = f"an animated {sight.format} of {sight.frames} frames," if sight.frames > 1 else f"a {sight.format} of"
    side = f" and brighter at the {sight.lighter}" if sight.lighter else ""
    names = [f"{name} ({percent}%)" for name, percent in sight.colours]
    colours = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    glass = " Parts of it are see-through." if sight.see_through else ""
    return (
        f"it is {kind} **{sight.width:,} × {sight.height:,} pixels**, {_shape(sight.width, sight.height)}, "
        f"{_light(sight.brightness)}{side}. Its main colours are {colours}.{glass}"
    )


def _shape(width: int, height: int) -> str:
    ratio = width / height
    if 0.95 <= ratio <= 1.05:
        return "square"
    if ratio > 1:
        return "very wide" if ratio > 2 else "wider than high"
    return "very tall" if ratio < 0.5 else "higher than wide"


def _light(brightness: int) -> str:
    words = ((20, "very dark"), (40, "rather dark"), (60, "of medium brightness"), (80, "bright"), (101, "very bright"))
    return next(word for below, word in words if brightness < below)


def _honesty(sights: Sequence[Sight]) -> str:
    if not any(isinstance(sight, Seen) for sight in sights):
        return ""
    return " That is measured from the pixels; what they show, this simulation cannot tell."
