"""What the procedural pictures show: each scene paints a whole canvas from a random generator and a palette."""

import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from PIL import Image, ImageDraw, ImageFilter

from sandbox.minitoolai import palettes
from sandbox.minitoolai.palettes import Colour, Palette, mix

Point = tuple[float, float]


@dataclass(kw_only=True, slots=True)
class Canvas:
    """An image in the making. All lengths are shares: x and y of its width and height, sizes of its shorter side."""

    image: Image.Image
    rng: random.Random
    palette: Palette
    pen: ImageDraw.ImageDraw = field(init=False)

    def __post_init__(self) -> None:
        self.pen = ImageDraw.Draw(self.image)

    @property
    def unit(self) -> float:
        """The shorter side, in pixels."""
        return float(min(self.image.size))

    def at(self, x: float, y: float) -> Point:
        """Pixels of a place given in shares."""
        return x * self.image.width, y * self.image.height

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A full circle."""
        (left, top), size = self.at(x, y), radius * self.unit
        self.pen.ellipse((left - size, top - size, left + size, top + size), fill=colour)

    def polygon(self, points: list[Point], colour: Colour) -> None:
        """Points are shares of width and height."""
        self.pen.polygon([self.at(x, y) for x, y in points], fill=colour)

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
        """Light that fades away from a place; `strength` from 0 to 1 in its middle."""
        size = max(2, round(2 * radius * self.unit))
        fading = [round(strength * 255 * (1 - level / 180) ** 2) if level < 180 else 0 for level in range(256)]
        mask = Image.radial_gradient("L").point(fading).resize((size, size), Image.Resampling.BILINEAR)
        left, top = self.at(x, y)
        self.image.paste(colour, (round(left - size / 2), round(top - size / 2)), mask)

    def veil(self, top: float, bottom: float, colour: Colour, strength: float) -> None:
        """Mist that thickens from `top` to `bottom`."""
        first, last = round(top * self.image.height), round(bottom * self.image.height)
        if last > first:
            ramp = Image.linear_gradient("L").point([round(level * strength) for level in range(256)])
            self.image.paste(colour, (0, first), ramp.resize((self.image.width, last - first)))


def sky(canvas: Canvas, bottom: float = 1.0) -> None:
    """The palette's sky from the top down to `bottom`."""
    colours = canvas.palette.sky
    strip = Image.new("RGB", (1, 64))
    for row in range(64):
        place = row / 63 * (len(colours) - 1)
        index = min(int(place), len(colours) - 2)
        share = place - index
        strip.putpixel((0, row), mix(colours[index], colours[index + 1], share * share * (3 - 2 * share)))
    width, height = canvas.image.width, max(1, round(canvas.image.height * bottom))
    column = strip.resize((1, height), Image.Resampling.BICUBIC)
    canvas.image.paste(column.resize((width, height), Image.Resampling.NEAREST), (0, 0))


def sun(canvas: Canvas, x: float, y: float, radius: float) -> None:
    """A disc in its own light."""
    light = canvas.palette.light
    canvas.glow(x, y, radius * 7, mix(light, canvas.palette.horizon, 0.3), 0.55)
    canvas.glow(x, y, radius * 2.6, light, 0.6)
    canvas.disc(x, y, radius, light)


def moon(canvas: Canvas, x: float, y: float, radius: float) -> None:
    """A disc with a few seas on it."""
    rng, light = canvas.rng, canvas.palette.light
    canvas.glow(x, y, radius * 5, light, 0.4)
    canvas.disc(x, y, radius, light)
    wide, high = canvas.at(1, 1)
    for _ in range(6):
        turn, out = rng.uniform(0, math.tau), rng.uniform(0.1, 0.62) * radius * canvas.unit
        size = rng.uniform(0.1, 0.24) * radius
        shade = mix(light, canvas.palette.far, rng.uniform(0.12, 0.28))
        canvas.disc(x + out * math.cos(turn) / wide, y + out * math.sin(turn) / high, size, shade)


def stars(canvas: Canvas, count: int, bottom: float) -> None:
    """Points of light, most of them faint."""
    rng, top = canvas.rng, canvas.palette.sky[0]
    for _ in range(count):
        brightness = rng.random() ** 2
        colour = mix(mix(top, (255, 255, 255), 0.35), (255, 250, 240), brightness)
        canvas.disc(rng.random(), rng.random() ** 1.3 * bottom, 0.0009 + 0.0022 * brightness, colour)


def clouds(canvas: Canvas, count: int, bottom: float) -> None:
    """Soft banks, stretched along the horizon."""
    rng = canvas.rng
    high = round(160 * canvas.image.height / canvas.image.width)
    mask = Image.new("L", (160, high))
    pen = ImageDraw.Draw(mask)
    for _ in range(count):
        x, y, wide = rng.uniform(-10, 170), rng.uniform(0.05, bottom) * high, rng.uniform(12, 34)
        for _ in range(9):
            left, size = x + rng.gauss(0, wide * 0.6), rng.uniform(2, wide * 0.26)
            middle = y - size * 0.3 * rng.random()
            pen.ellipse((left - size * 2.6, middle - size * 0.5, left + size * 2.6, middle + size * 0.5), fill=150)
    mask = mask.filter(ImageFilter.GaussianBlur(2.2)).resize(canvas.image.size, Image.Resampling.BILINEAR)
    canvas.image.paste(mix(canvas.palette.light, canvas.palette.horizon, 0.35), (0, 0), mask)


def skyline(rng: random.Random, *, height: float, rough: float, jagged: float = 0.0) -> list[Point]:
    """The edge of a range of hills from left to right, around `height`; `jagged` adds peaks."""
    tones = [(rng.uniform(0.5, 1.2) * 2**n, rng.uniform(0, math.tau), rough / 1.9**n) for n in range(5)]
    broken = _broken(rng, 7) if jagged else [0.0] * 129
    points = []
    for step in range(129):
        x = step / 128
        rolling = sum(size * math.sin(math.tau * pace * x + phase) for pace, phase, size in tones)
        points.append((x, height - rolling - jagged * broken[step]))
    return points


def _broken(rng: random.Random, depth: int) -> list[float]:
    """Midpoint displacement: 2^depth + 1 heights around 0."""
    heights, spread = [rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5)], 1.0
    for _ in range(depth):
        spread *= 0.52
        halved = [heights[0]]
        for before, after in itertools.pairwise(heights):
            halved += [(before + after) / 2 + rng.uniform(-spread, spread), after]
        heights = halved
    return heights


def range_of(canvas: Canvas, edge: list[Point], colour: Colour) -> None:
    """Everything below an edge, in one colour."""
    canvas.polygon([*edge, (1.0, 1.01), (0.0, 1.01)], colour)


def birds(canvas: Canvas) -> None:
    """A small flight of them, far away."""
    rng = canvas.rng
    x, y = rng.uniform(0.15, 0.75), rng.uniform(0.18, 0.4)
    colour = mix(canvas.palette.near, canvas.palette.far, 0.25)
    for _ in range(rng.randint(3, 7)):
        left, top = canvas.at(x + rng.gauss(0, 0.06), y + rng.gauss(0, 0.03))
        size = rng.uniform(0.008, 0.016) * canvas.unit
        wings = [(left - size, top - size * 0.5), (left, top), (left + size, top - size * 0.6)]
        canvas.pen.line(wings, fill=colour, width=max(1, round(0.0022 * canvas.unit)), joint="curve")


def hills(canvas: Canvas) -> None:
    """Ranges behind each other, the far ones in the mist."""
    rng, palette = canvas.rng, canvas.palette
    sky(canvas, 0.8)
    clouds(canvas, rng.randint(3, 7), 0.4)
    sun(canvas, rng.uniform(0.2, 0.8), rng.uniform(0.24, 0.42), rng.uniform(0.045, 0.085))
    if rng.random() < 0.7:
        birds(canvas)
    layers, peaks = rng.randint(5, 7), rng.choice((0.0, 0.16, 0.22))
    for layer in range(layers):
        near = layer / (layers - 1)
        height = 0.5 + 0.4 * near**1.15
        edge = skyline(rng, height=height, rough=0.022 + 0.014 * near, jagged=peaks * (1 - near) ** 0.8)
        range_of(canvas, edge, mix(palette.far, palette.near, near**0.85))
        if layer < layers - 1:
            canvas.veil(height, height + 0.2, palette.horizon, 0.42 * (1 - near))


def sea(canvas: Canvas) -> None:
    """Water to the horizon, with the light's path on it."""
    rng, palette = canvas.rng, canvas.palette
    horizon, x = rng.uniform(0.48, 0.6), rng.uniform(0.25, 0.75)
    sky(canvas, horizon)
    clouds(canvas, rng.randint(4, 8), horizon * 0.75)
    sun(canvas, x, horizon - rng.uniform(0.03, 0.2), rng.uniform(0.06, 0.11))
    if rng.random() < 0.6:
        canvas.polygon(_island(rng, horizon), mix(palette.far, palette.horizon, 0.25))
    rows = 15
    for row in range(rows):
        near = row / (rows - 1)
        top = horizon + (1.04 - horizon) * near**1.7
        range_of(canvas, _swell(rng, top, near), mix(mix(palette.horizon, palette.far, 0.55), palette.near, near**0.7))
        _glitter(canvas, x, top, near)
    if rng.random() < 0.6:
        _boat(canvas, rng.uniform(0.15, 0.85), horizon + rng.uniform(0.06, 0.14))


def _island(rng: random.Random, horizon: float) -> list[Point]:
    left, wide, high = rng.uniform(-0.1, 0.7), rng.uniform(0.2, 0.45), rng.uniform(0.05, 0.12)
    rough = _broken(rng, 5)
    edge = [(n / 32, math.sin(math.pi * n / 32) * (1 + 0.5 * rough[n])) for n in range(33)]
    return [(left + wide * along, horizon + 0.01 - high * up) for along, up in edge] + [(left, horizon + 0.01)]


def _swell(rng: random.Random, top: float, near: float) -> list[Point]:
    first, second, pace = rng.uniform(0, math.tau), rng.uniform(0, math.tau), rng.uniform(2.0, 3.2) * (2.4 - 1.6 * near)
    size = 0.0012 + 0.011 * near
    places = [step / 96 for step in range(97)]
    return [
        (x, top + size * (math.sin(math.tau * pace * x + first) + 0.5 * math.sin(5 * pace * x + second)))
        for x in places
    ]


def _glitter(canvas: Canvas, x: float, top: float, near: float) -> None:
    rng, high = canvas.rng, 0.0012 + 0.0035 * near
    colour = mix(canvas.palette.light, canvas.palette.horizon, 0.25 + 0.35 * near)
    for _ in range(5):
        middle, wide = x + rng.gauss(0, 0.012 + 0.05 * near), rng.uniform(0.008, 0.03) * (1 + near)
        y = top + rng.uniform(0.0, 0.022) * (0.3 + near)
        box = (*canvas.at(middle - wide, y - high), *canvas.at(middle + wide, y + high))
        canvas.pen.ellipse(box, fill=colour)


def _boat(canvas: Canvas, x: float, y: float) -> None:
    size, wide = 0.06 * canvas.unit, canvas.image.width
    left, top = canvas.at(x, y)
    dark, sail = canvas.palette.near, mix(canvas.palette.light, canvas.palette.horizon, 0.15)
    hull = [(-0.6, 0), (0.62, 0), (0.4, 0.2), (-0.42, 0.2)]
    for shape, colour in (
        (hull, dark),
        ([(-0.03, -0.08), (-0.03, -1.25), (0.55, -0.08)], sail),
        ([(-0.1, -0.08), (-0.1, -1.05), (-0.45, -0.08)], mix(sail, dark, 0.18)),
    ):
        canvas.pen.polygon([(min(left + size * dx, wide * 1.2), top + size * dy) for dx, dy in shape], fill=colour)


def night(canvas: Canvas) -> None:
    """Stars over dark hills, with a moon or northern lights."""
    rng, palette = canvas.rng, canvas.palette
    sky(canvas, 0.92)
    stars(canvas, rng.randint(260, 420), 0.8)
    lights = rng.random() < 0.55
    if lights:
        _curtains(canvas)
    if not lights or rng.random() < 0.4:
        moon(canvas, rng.uniform(0.18, 0.82), rng.uniform(0.18, 0.36), rng.uniform(0.06, 0.11))
    for layer in range(4):
        near = layer / 3
        edge = skyline(rng, height=0.74 + 0.17 * near, rough=0.02, jagged=0.16 * (1 - near))
        range_of(canvas, edge, mix(palette.far, palette.near, 0.25 + 0.75 * near))
    trees(canvas, 0.97, 0.1, palette.near, 26)


def _curtains(canvas: Canvas) -> None:
    """Northern lights: rays that hang from a wavering line."""
    rng = canvas.rng
    for colour in rng.sample([(86, 255, 190), (120, 220, 255), (190, 130, 255), (140, 255, 140)], 2):
        mask = Image.new("L", (240, 120))
        pen = ImageDraw.Draw(mask)
        phase, pace, base = rng.uniform(0, math.tau), rng.uniform(0.6, 1.4), rng.uniform(52, 70)
        for x in range(240):
            bend = math.sin(phase + math.tau * pace * x / 240)
            foot = base + 12 * bend + 4 * math.sin(3.1 * phase + x / 13)
            tall = 26 + 14 * math.sin(phase * 2 + x / 9) + rng.uniform(-6, 6)
            for step in range(12):
                strength = round(150 * (1 - step / 12) ** 1.5 * (0.55 + 0.45 * bend))
                pen.line((x, foot - tall * step / 12, x, foot - tall * (step + 1) / 12), fill=strength)
        soft = mask.filter(ImageFilter.GaussianBlur(2.4)).resize(canvas.image.size, Image.Resampling.BILINEAR)
        canvas.image.paste(colour, (0, 0), soft)


def trees(canvas: Canvas, foot: float, tall: float, colour: Colour, count: int) -> None:
    """Firs in a row, each of stacked triangles, about `tall` of the height."""
    rng, wide = canvas.rng, canvas.image.height / canvas.image.width
    for n in range(count):
        x, height = (n + rng.uniform(-0.6, 0.6)) / max(count - 1, 1), tall * rng.uniform(0.55, 1.15)
        spread, lean = height * rng.uniform(0.17, 0.24) * wide, rng.uniform(-0.004, 0.004)
        tiers = 5
        for tier in range(tiers):
            low = foot - height * tier / (tiers + 1.2)
            high = min(foot - height * (tier + 2.2) / (tiers + 1.2), low)
            half = spread * (1 - tier / (tiers + 0.6))
            canvas.polygon([(x - half, low + height * 0.03), (x + lean, high), (x + half, low + height * 0.03)], colour)
        canvas.polygon(
            [(x - spread * 0.1, foot - height * 0.1), (x + spread * 0.1, foot - height * 0.1), (x, 1.0)], colour
        )


def forest(canvas: Canvas) -> None:
    """Rows of firs that step out of the mist."""
    rng, palette = canvas.rng, canvas.palette
    sky(canvas, 0.9)
    sun(canvas, rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.38), rng.uniform(0.05, 0.1))
    range_of(canvas, skyline(rng, height=0.5, rough=0.03, jagged=0.16), mix(palette.far, palette.horizon, 0.45))
    rows = 5
    for row in range(rows):
        near = row / (rows - 1)
        foot, tall = 0.66 + 0.36 * near, 0.12 + 0.3 * near
        colour = mix(mix(palette.far, palette.horizon, 0.2), palette.near, near**0.8)
        trees(canvas, foot, tall, colour, round(30 - 19 * near))
        range_of(canvas, skyline(rng, height=foot - 0.012, rough=0.007), colour)
        if row < rows - 1:
            canvas.veil(foot - 0.12, foot + 0.1, palette.horizon, 0.5 * (1 - near))


def city(canvas: Canvas) -> None:
    """Blocks with lit windows, row before row."""
    rng, palette = canvas.rng, canvas.palette
    sky(canvas, 0.9)
    stars(canvas, 90, 0.5)
    moon(canvas, rng.uniform(0.15, 0.85), rng.uniform(0.16, 0.32), rng.uniform(0.05, 0.09))
    for row in range(4):
        near = row / 3
        colour = mix(mix(palette.far, palette.horizon, 0.25), palette.near, near**0.8)
        x = -0.03
        while x < 1.0:
            wide = rng.uniform(0.045, 0.1) * (0.75 + 0.6 * near)
            top = 0.72 + 0.12 * near - rng.betavariate(2, 3.2) * (0.46 - 0.12 * near)
            _block(canvas, (x, top, x + wide), colour, lit=0.18 + 0.3 * near if row else 0.0)
            x += wide + rng.choice((0.0, 0.0, 0.008))
        if row < 3:
            canvas.veil(0.5 + 0.1 * near, 1.0, palette.horizon, 0.35 * (1 - near))


def _block(canvas: Canvas, place: tuple[float, float, float], colour: Colour, *, lit: float) -> None:
    """One building from its left, top and right; `lit` is the share of its windows with light."""
    rng, (left, top, right) = canvas.rng, place
    canvas.polygon([(left, top), (right, top), (right, 1.01), (left, 1.01)], colour)
    middle = (left + right) / 2
    if rng.random() < 0.3:
        step = (right - left) * 0.25
        canvas.polygon(
            [(middle - step, top - 0.03), (middle + step, top - 0.03), (middle + step, top), (middle - step, top)],
            colour,
        )
    if rng.random() < 0.25:
        canvas.polygon([(middle - 0.0012, top), (middle, top - 0.09), (middle + 0.0012, top)], colour)
    if not lit:
        return
    columns, warm = max(2, round((right - left) / 0.014)), mix(canvas.palette.light, (255, 196, 92), 0.55)
    pitch, high = (right - left) / (columns + 0.6), 0.019
    for line in range(int((0.98 - top) / high)):
        for column in range(columns):
            if rng.random() < lit:
                x, y = left + pitch * (column + 0.5), top + high * (line + 0.6)
                box = (*canvas.at(x, y), *canvas.at(x + pitch * 0.56, y + high * 0.5))
                canvas.pen.rectangle(box, fill=mix(warm, colour, rng.uniform(0.0, 0.55)))


def orbs(canvas: Canvas) -> None:
    """Nothing but colour: a soft ground, and circles of light over it."""
    rng, palette = canvas.rng, canvas.palette
    tones = [*palette.sky, palette.far, mix(palette.far, palette.light, 0.4)]
    mesh = Image.new("RGB", (5, 5))
    for place in range(25):
        mesh.putpixel((place % 5, place // 5), rng.choice(tones))
    canvas.image.paste(mesh.resize(canvas.image.size, Image.Resampling.BICUBIC), (0, 0))
    for _ in range(rng.randint(9, 14)):
        _orb(canvas, rng.random(), rng.random(), rng.betavariate(1.6, 4) * 0.42 + 0.03)
    for _ in range(rng.randint(2, 4)):
        (x, y), radius = canvas.at(rng.random(), rng.random()), rng.uniform(0.15, 0.5) * canvas.unit
        start, sweep = rng.uniform(0, 360), rng.uniform(120, 300)
        width = max(1, round(rng.uniform(0.002, 0.006) * canvas.unit))
        box = (x - radius, y - radius, x + radius, y + radius)
        canvas.pen.arc(box, start, start + sweep, fill=mix(palette.light, palette.horizon, 0.3), width=width)


def _orb(canvas: Canvas, x: float, y: float, radius: float) -> None:
    """A ball of glass: brighter at one side, and half to be seen through."""
    rng, palette = canvas.rng, canvas.palette
    size = max(4, round(2 * radius * canvas.unit))
    left, top = (round(place - size / 2) for place in canvas.at(x, y))
    lit = Image.linear_gradient("L").rotate(rng.uniform(0, 360)).resize((size, size), Image.Resampling.BILINEAR)
    disc = Image.new("L", (size, size))
    ImageDraw.Draw(disc).ellipse((0, 0, size - 1, size - 1), fill=255)
    mask = Image.composite(
        lit.point([40 + round(level * 0.68) for level in range(256)]), Image.new("L", disc.size), disc
    )
    canvas.image.paste(mix(rng.choice([*palette.sky, palette.light]), palette.light, 0.3), (left, top), mask)


def petals(canvas: Canvas) -> None:
    """A flower seen from above, ring within ring."""
    rng, palette = canvas.rng, canvas.palette
    sky(canvas)
    canvas.glow(0.5, 0.5, 0.95, palette.horizon, 0.5)
    count, rings, turn = rng.choice((8, 10, 12, 16)), rng.randint(4, 6), rng.uniform(0, math.tau)
    for ring in range(rings):
        inward = ring / (rings - 1)
        reach, wide = 0.46 * (1 - 0.78 * inward), rng.uniform(0.5, 0.85)
        colours = [
            mix(palette.near, palette.far, 0.35 + inward),
            mix(palette.sky[1], palette.light, 0.2 + 0.75 * inward),
        ]
        for petal in range(count):
            angle = turn + math.tau * (petal + ring / 2) / count
            for depth, colour in enumerate((colours[0], colours[1], mix(colours[1], palette.light, 0.35))):
                _petal(canvas, angle, reach * (1 - 0.13 * depth), wide / count * (2.6 - 0.75 * depth), colour)
    canvas.disc(0.5, 0.5, 0.055, mix(palette.light, (255, 190, 80), 0.4))
    for dot in range(60):
        out, angle = 0.05 * math.sqrt(dot / 60) * canvas.unit, dot * 2.39996
        wide, high = canvas.at(1, 1)
        canvas.disc(0.5 + out * math.cos(angle) / wide, 0.5 + out * math.sin(angle) / high, 0.0032, palette.near)


def _petal(canvas: Canvas, angle: float, reach: float, wide: float, colour: Colour) -> None:
    x, y = canvas.at(0.5, 0.5)
    points = []
    for step in range(25):
        along = math.sin(math.pi * step / 24)
        side = wide * math.sin(math.tau * step / 24) * (0.6 + 0.4 * along)
        out = reach * canvas.unit * (1 - abs(1 - step / 12)) ** 0.8
        points.append((x + out * math.cos(angle + side), y + out * math.sin(angle + side)))
    canvas.pen.polygon(points, fill=colour)


Scene = Callable[[Canvas], None]

SCENES: Final[dict[str, Scene]] = {
    "hills": hills,
    "sea": sea,
    "night": night,
    "forest": forest,
    "city": city,
    "orbs": orbs,
    "petals": petals,
}

NOCTURNAL: Final = frozenset({"night", "city"})
"""Scenes that want a dark sky."""


def paint(name: str, size: tuple[int, int], rng: random.Random) -> Image.Image:
    """The scene of that name."""
    palette = palettes.choose(rng, palettes.DARK if name in NOCTURNAL else palettes.BRIGHT)
    canvas = Canvas(image=Image.new("RGB", size, palette.near), rng=rng, palette=palette)
    SCENES[name](canvas)
    return canvas.image
