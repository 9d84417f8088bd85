"""What a long run left behind: samples of the bot, whether they are flat, and their picture. Times are in seconds."""

import csv
import dataclasses
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final

MOST_POINTS: Final = 400
"""A slope is the median of the slopes between all pairs of points: of more points than these, every n-th is taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """The bot `at_s` seconds after the soak began. `cpu_s` counts from the process's start; sizes are in bytes.

    `tasks`, `open_*` and `queue` are as the bot itself tells them.
    """

    at_s: float
    cpu_s: float
    rss_bytes: int
    threads: int
    files: int
    database_bytes: int
    wal_bytes: int
    tasks: int
    open_holds: int
    open_answers: int
    open_orders: int
    queue: int
    done: int
    sandbox_cpu_s: float


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The Theil-Sen estimate, in y per x: a median, which single leaps do not move. 0 where there is no slope."""
    thinned = points[:: -(-len(points) // MOST_POINTS) or 1]
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(thinned, 2) if x2 != x1]
    return statistics.median(slopes) if slopes else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Flatness:
    """How one figure went on in the last half, by the hour, and its median's last quarter beside the second quarter.

    The first quarter is left out of the ratio: caches fill and allocators settle in it.
    """

    per_hour: float
    ratio: float


def flatness(samples: Sequence[Sample], figure: Callable[[Sample], float]) -> Flatness:
    """Raises ValueError for fewer than four samples."""
    if len(samples) < 4:
        raise ValueError("too few samples to say whether they are flat")
    quarter, half = len(samples) // 4, len(samples) // 2
    second = statistics.median(figure(each) for each in samples[quarter:half])
    last = statistics.median(figure(each) for each in samples[-quarter:])
    later = [(each.at_s / 3600, figure(each)) for each in samples[half:]]
    return Flatness(per_hour=slope(later), ratio=last / second if second else 1.0)


def write(samples: Sequence[Sample], path: Path) -> None:
    """All samples as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [each.name for each in dataclasses.fields(Sample)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()}
            for row in map(dataclasses.asdict, samples)
        )


def draw(samples: Sequence[Sample], path: Path, title: str) -> None:
    """Memory, work and files over time, one below the other, as a PNG."""
    # Here, since it takes a second and 80 MB, which a soak without a picture does not need.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 8), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    minutes = [each.at_s / 60 for each in samples]
    panels: list[tuple[str, list[tuple[str, Callable[[Sample], float]]]]] = [
        ("MB", [("memory of the bot (RSS)", lambda each: each.rss_bytes / 1e6)]),
        (
            "",
            [
                ("open answers", lambda each: each.open_answers),
                ("open orders", lambda each: each.open_orders),
                ("open holds", lambda each: each.open_holds),
            ],
        ),
        (
            "",
            [
                ("tasks", lambda each: each.tasks),
                ("open files", lambda each: each.files),
                ("threads", lambda each: each.threads),
            ],
        ),
        (
            "MB",
            [
                ("database", lambda each: each.database_bytes / 1e6),
                ("its log (WAL)", lambda each: each.wal_bytes / 1e6),
            ],
        ),
    ]
    for axes, (unit, lines) in zip(figure.subplots(len(panels), sharex=True), panels, strict=True):
        for label, value in lines:
            axes.plot(minutes, [value(each) for each in samples], label=label, linewidth=1)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(unit)
        axes.grid(visible=True, alpha=0.3)
        axes.legend(loc="lower right", fontsize=8, ncols=len(lines))
    axes.set_xlabel("minutes")
    figure.savefig(path)
