"""Colours that go together, and how they mix."""

import random
from dataclasses import dataclass
from typing import Final

from PIL import ImageColor

Colour = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Palette:
    """`sky` runs from the top to the horizon, the land from `far` to `near`. `light` is of the sun or moon."""

    name: str
    sky: tuple[Colour, ...]
    light: Colour
    far: Colour
    near: Colour

    @property
    def horizon(self) -> Colour:
        """The sky's last colour, which mist takes on."""
        return self.sky[-1]


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`share` of the second colour, from 0 to 1, in the first."""
    red, green, blue = (round(a + (b - a) * min(max(share, 0.0), 1.0)) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _palette(name: str, sky: str, light: str, far: str, near: str) -> Palette:
    return Palette(
        name=name, sky=tuple(_rgb(code) for code in sky.split()), light=_rgb(light), far=_rgb(far), near=_rgb(near)
    )


def _rgb(code: str) -> Colour:
    red, green, blue = ImageColor.getrgb(f"#{code}")[:3]
    return red, green, blue


BRIGHT: Final = (
    _palette("dawn", "2b2d5b 7a4e8a e8837e ffd3a1", "fff1c9", "c07f8f", "2a2345"),
    _palette("noon", "2f6fc9 6fb0e6 bfe1f2 fdf4dc", "fffbe6", "93bac6", "1b4a47"),
    _palette("dusk", "0f2147 3d3a7c b5567a ff9e6b", "ffdd9a", "8f4f74", "151433"),
    _palette("mint", "0c4a4e 2f8f83 a7d8b8 fdf3c8", "fffce0", "86bda6", "0b373a"),
    _palette("rose", "4d2352 b1497a f29ca3 ffe3d3", "fff6ea", "cf7f95", "3a1836"),
    _palette("ember", "2a0f1c 7a1f2b d9542b ffc15e", "fff0b3", "a8412f", "1c0a10"),
    _palette("frost", "16324f 3f7ea6 a9d6e5 f1faff", "ffffff", "a3c9da", "1d4460"),
    _palette("field", "38507f 6f8fae d8d3a6 f9e7b0", "fffbe0", "a9ab74", "2c3a25"),
    _palette("lilac", "2d1e5f 6a4bb0 bfa2e0 ffe4f0", "fffaff", "a58bd0", "261a4d"),
    _palette("clay", "264653 2a9d8f e9c46a f4a261", "fff3d6", "d98a5b", "3b2a2f"),
)

DARK: Final = (
    _palette("midnight", "050817 0d1740 24356f 4f609b", "f4f1de", "34467c", "04060e"),
    _palette("aurora", "04101c 07283a 0f4f57 2f8c7a", "eafff5", "17545a", "030b10"),
    _palette("violet", "0b0618 21104a 4a1f7a 8a4fae", "ffeffb", "432168", "080412"),
    _palette("indigo", "060a1f 14204f 2f3f86 c07a8a", "fff0d8", "39407a", "060815"),
)


def choose(rng: random.Random, palettes: tuple[Palette, ...]) -> Palette:
    """One of them, a little warmer or colder than it is written here."""
    chosen, tint = rng.choice(palettes), _TINTS[rng.randrange(len(_TINTS))]
    return Palette(
        name=chosen.name,
        sky=tuple(mix(colour, tint, 0.09) for colour in chosen.sky),
        light=chosen.light,
        far=mix(chosen.far, tint, 0.12),
        near=mix(chosen.near, tint, 0.05),
    )


_TINTS: Final = (_rgb("ff8a5c"), _rgb("5cc8ff"), _rgb("c48bff"), _rgb("7dffb2"), _rgb("ffd75c"), _rgb("ff6fa3"))
