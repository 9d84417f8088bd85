"""The drawing process: reads plans from standard input, answers with pictures. It alone imports matplotlib.

`bot.ops.plotter` starts it as `python -m bot.ops.drawing`, says here how the two talk, and ends it by closing its
input, which the kernel does too when the bot dies.
"""

import io
import json
import logging
import os
import struct
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO, Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

WIDTH_PX: Final = 1_000
HEIGHT_PX: Final = 500
DPI: Final = 100

CARD: Final = "#1e1f22"
"""An opaque dark card reads the same on Discord's dark and light themes; on a transparent one text fails on either."""
TEXT: Final = "#f2f3f5"
FAINT: Final = "#b5bac1"
GRID: Final = "#3f4147"

STYLES: Final = (
    ("#56b4e9", ""),
    ("#e69f00", "///"),
    ("#009e73", "..."),
    ("#f0e442", "\\\\\\"),
    ("#cc79a7", "xx"),
    ("#d55e00", "---"),
    ("#c8ccd2", "|||"),
)
"""Colour and hatching by rank. Colours after Okabe and Ito, who chose them for colour-blind readers; their blue and
black give way, being too dark for the card."""

LEFT_TO_RIGHT_MARK: Final = "\u200e"
RIGHT_TO_LEFT_MARK: Final = "\u200f"

HEAD: Final = struct.Struct(">cI")
"""Before each message: its kind (`P` plan, `I` image, `E` error), and how many bytes follow."""

Json = dict[str, Any]


def draw(plan: Json) -> bytes:
    """The plan (a `bot.ops.charts.Plan` as JSON) as a PNG of 1000 × 500 pixels."""
    figure = Figure(figsize=(WIDTH_PX / DPI, HEIGHT_PX / DPI), dpi=DPI, facecolor=CARD)
    FigureCanvasAgg(figure)
    _heading(figure, plan)
    if not plan["layers"]:
        figure.text(0.5, 0.42, plan["nothing"], color=FAINT, size=16, ha="center", va="center")
    elif plan["bars"] == 1:
        _draw_models(figure, plan)
    else:
        _draw_stacks(figure, plan)
    return _png(figure)


def _heading(figure: Figure, plan: Json) -> None:
    """Where the text's direction begins, title and subtitle begin; a mark in front makes the direction sure."""
    backwards = plan["right_to_left"]
    x, side = (0.965, "right") if backwards else (0.035, "left")
    mark = RIGHT_TO_LEFT_MARK if backwards else LEFT_TO_RIGHT_MARK
    # parse_math off: a dollar sign in a server's name is a dollar sign.
    figure.text(
        x,
        0.945,
        mark + drawable(plan["title"]),
        color=TEXT,
        size=17,
        weight="bold",
        ha=side,
        va="top",
        parse_math=False,
    )
    figure.text(x, 0.865, plan["subtitle"], color=FAINT, size=12, ha=side, va="top", parse_math=False)


def drawable(text: str) -> str:
    """Without what the font has no shape for, such as emoji and Chinese: an empty box tells nobody anything."""
    font = get_font(findfont("DejaVu Sans:bold"))
    return " ".join("".join(letter for letter in text if letter == " " or font.get_char_index(ord(letter))).split())


def _draw_stacks(figure: Figure, plan: Json) -> None:
    backwards = plan["right_to_left"]
    axes = figure.add_axes((0.29, 0.11, 0.635, 0.66) if backwards else (0.075, 0.11, 0.635, 0.66))
    positions = range(plan["bars"])
    base = [0.0] * plan["bars"]
    containers: list[BarContainer] = []
    for layer, (colour, hatch) in zip(plan["layers"], STYLES, strict=False):
        heights = layer["heights"]
        containers.append(
            axes.bar(positions, heights, 0.78, bottom=base, color=colour, hatch=hatch, edgecolor=CARD, linewidth=0.6)
        )
        base = [low + height for low, height in zip(base, heights, strict=True)]
    axes.set_xlim(-0.6, plan["bars"] - 0.4)
    axes.set_ylim(0, max(base) * 1.06)
    axes.set_xticks([i for i, _ in plan["ticks"]], [label for _, label in plan["ticks"]])
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.yaxis.set_major_formatter(FuncFormatter(_number))
    axes.yaxis.grid(visible=True, color=GRID, linewidth=0.8)
    if backwards:
        axes.yaxis.tick_right()
    _undress(axes)
    _legend(figure, plan, containers)


def _legend(figure: Figure, plan: Json, containers: Sequence[BarContainer]) -> None:
    """Beside the bars, in the order in which they are stacked: the top one first."""
    handles = [Patch(facecolor=c, hatch=h, edgecolor=CARD, linewidth=0) for c, h in STYLES[: len(containers)]]
    labels = [f"{layer['label']}\n{layer['total_label']}" for layer in plan["layers"]]
    legend = figure.legend(
        handles[::-1],
        labels[::-1],
        loc="center left",
        bbox_to_anchor=(0.02, 0.44) if plan["right_to_left"] else (0.725, 0.44),
        frameon=False,
        labelcolor=TEXT,
        fontsize=12,
        handlelength=1.7,
        handleheight=1.7,
        labelspacing=0.75,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _draw_models(figure: Figure, plan: Json) -> None:
    """One bar in time would say little: the models side by side instead, each with its name and number."""
    axes = figure.add_axes((0.24, 0.06, 0.64, 0.73))
    layers = plan["layers"]
    values = [layer["heights"][0] for layer in layers]
    for i, (value, (colour, hatch)) in enumerate(zip(values, STYLES, strict=False)):
        axes.barh(i, value, 0.62, color=colour, hatch=hatch, edgecolor=CARD, linewidth=0.6)
        axes.annotate(
            layers[i]["total_label"], (value, i), (8, 0), textcoords="offset points", color=TEXT, size=13, va="center"
        )
    axes.set_yticks(range(len(layers)), [layer["label"] for layer in layers])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    # Few bars keep the thickness of many: a single one must not fill the card.
    axes.set_ylim(max(len(layers), 4) - 0.5, -0.5)
    axes.set_xlim(0, max(values))
    _undress(axes)
    axes.set_xticks([])
    axes.tick_params(axis="y", labelcolor=TEXT, labelsize=13)


def _undress(axes: Axes) -> None:
    axes.set_facecolor(CARD)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(colors=FAINT, labelsize=12, length=0, pad=7)


def _number(value: float, _: int) -> str:
    return f"{value:,.10g}"


def _png(figure: Figure) -> bytes:
    """With a palette: a third of the bytes of full colour, for a picture of a dozen colours and their blends."""
    full = io.BytesIO()
    figure.savefig(full, format="png", facecolor=CARD)
    small = io.BytesIO()
    Image.open(full).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Draw until the input ends."""
    while len(head := requests.read(HEAD.size)) == HEAD.size:
        _, size = HEAD.unpack(head)
        try:
            kind, body = b"I", draw(json.loads(requests.read(size)))
        except Exception as error:  # noqa: BLE001 - the loop's top: the plan at fault is answered, the next is drawn
            kind, body = b"E", f"{type(error).__name__}: {error}".encode(errors="replace")
        answers.write(HEAD.pack(kind, len(body)) + body)
        answers.flush()


def main() -> None:
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        # Whatever a library prints must not get between the answers.
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
