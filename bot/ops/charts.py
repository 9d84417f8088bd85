"""What a chart of spending shows: bars of days stacked by model, as a picture's plan, as alt text, as a table. Pure.

`bot.ops.plotter` has a plan drawn. Nothing here knows how.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import pairwise
from typing import Final, Literal

Grain = Literal["day", "week", "month", "year"]

ALT_TEXT_LIMIT: Final = 1_024
"""Discord's limit for an attachment's description, in characters."""
DAYS_LIMIT: Final = 36_525
SERIES_SHOWN: Final = 6
"""As many can be told apart by colour and hatching; what is left becomes one more, `Chart.other`."""
TICKS: Final = 8
"""Labels below the bars, at most about so many."""
NAME_LIMIT: Final = 22
"""Characters of a series' name that the legend has room for."""
TITLE_LIMIT: Final = 64

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_GRAINS: Final[tuple[tuple[Grain, int], ...]] = (("day", 31), ("week", 190), ("month", 1_130))
"""The finest grain for so many days at most; beyond all of them it is the year."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """What one model cost on each day of the chart, in nano-dollars."""

    name: str
    amounts: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.amounts)


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """Spending by day and model.

    `days` follow one another without a gap, each series has an amount for each of them. `unit` names what people read,
    and `unit_nano` is its worth in nano-dollars. `right_to_left` is for titles in Hebrew or Arabic (see
    `reads_right_to_left`): the text begins at the right, where the scale stands too; time still runs to the right, as
    in charts of the Hebrew press.

    Raises:
        ValueError: days with a gap, none or more than 36,525 of them; a negative amount; amounts that do not match the
            days; a name twice; a unit worth nothing.
    """

    title: str
    unit: str
    unit_nano: int
    days: tuple[date, ...]
    series: tuple[Series, ...]
    other: str = "other models"
    nothing: str = "Nothing spent"
    right_to_left: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.days) <= DAYS_LIMIT:
            raise ValueError(f"a chart has 1 to {DAYS_LIMIT} days, not {len(self.days)}")
        if any(after - before != timedelta(days=1) for before, after in pairwise(self.days)):
            raise ValueError("days follow one another without a gap")
        if any(len(each.amounts) != len(self.days) for each in self.series):
            raise ValueError("each series has one amount a day")
        if any(amount < 0 for each in self.series for amount in each.amounts):
            raise ValueError("spending is never negative")
        if len({each.name for each in self.series}) != len(self.series):
            raise ValueError("each series has a name of its own")
        if self.unit_nano < 1:
            raise ValueError("the unit is worth something")

    @property
    def total(self) -> int:
        return sum(each.total for each in self.series)

    def shown(self, amount: int) -> str:
        """An amount for people, in the chart's unit, without its name."""
        return rounded(amount, self.unit_nano)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bars:
    """A chart's days gathered into bars and its models into at most seven, the largest first.

    `starts` holds each bar's first day. What was never spent on is left out.
    """

    grain: Grain
    starts: tuple[date, ...]
    series: tuple[Series, ...]

    @property
    def totals(self) -> tuple[int, ...]:
        """Each bar's height."""
        return tuple(sum(each.amounts[i] for each in self.series) for i in range(len(self.starts)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One model's share of each bar, in the shown unit, and its line of the legend."""

    label: str
    heights: tuple[float, ...]
    total_label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All that the drawing process is told. `ticks` pairs the position of a bar with the label below it."""

    title: str
    subtitle: str
    nothing: str
    right_to_left: bool
    bars: int
    ticks: tuple[tuple[int, str], ...]
    layers: tuple[Layer, ...]


def reads_right_to_left(text: str) -> bool:
    """Whether the first letter with a direction of its own runs to the left: the rule Discord lays out a line by."""
    for character in text:
        direction = unicodedata.bidirectional(character)
        if direction in ("L", "R", "AL"):
            return direction != "L"
    return False


def rounded(amount: int, unit_nano: int) -> str:
    """`1,234`, `12.3`, `0.045`: three digits that matter, no fraction from a hundred on, and no trailing zeros."""
    value = Decimal(amount) / unit_nano
    if value == 0:
        return "0"
    places = min(9, max(0, 2 - value.adjusted()))
    text = f"{value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def grain_for(days: int) -> Grain:
    """The finest grain that keeps the bars few enough to be told apart: about 40 at most."""
    return next((grain for grain, limit in _GRAINS if days <= limit), "year")


def bars(chart: Chart, grain: Grain | None = None) -> Bars:
    """The chart's bars by `grain`, or by what suits its number of days."""
    grain = grain or grain_for(len(chart.days))
    firsts = [
        i for i, day in enumerate(chart.days) if i == 0 or _bar_of(day, grain) != _bar_of(chart.days[i - 1], grain)
    ]
    edges = [*firsts, len(chart.days)]

    def gathered(each: Series) -> Series:
        sums = (sum(each.amounts[a:b]) for a, b in pairwise(edges))
        return Series(name=each.name, amounts=tuple(sums))

    spent = sorted((gathered(each) for each in chart.series if each.total), key=lambda each: (-each.total, each.name))
    return Bars(
        grain=grain, starts=tuple(chart.days[i] for i in firsts), series=_with_the_rest_as_one(spent, chart.other)
    )


def _bar_of(day: date, grain: Grain) -> tuple[int, ...]:
    """Equal for days that share a bar. Weeks begin on Monday."""
    keys: dict[Grain, Callable[[], tuple[int, ...]]] = {
        "day": lambda: (day.toordinal(),),
        "week": lambda: tuple(day.isocalendar()[:2]),
        "month": lambda: (day.year, day.month),
        "year": lambda: (day.year,),
    }
    return keys[grain]()


def _with_the_rest_as_one(spent: Sequence[Series], other: str) -> tuple[Series, ...]:
    """The largest stay; one that is over by itself stays as well, since "other" would take its place anyway."""
    if len(spent) <= SERIES_SHOWN + 1:
        return tuple(spent)
    rest = spent[SERIES_SHOWN:]
    sums = tuple(sum(column) for column in zip(*(each.amounts for each in rest), strict=True))
    return (*spent[:SERIES_SHOWN], Series(name=other, amounts=sums))


def plan(chart: Chart) -> Plan:
    """What the drawing process needs to know."""
    shown = bars(chart)
    subtitle = (
        f"{chart.unit} a {shown.grain} · {_span(chart)}" if len(shown.starts) > 1 else f"{chart.unit} · {_span(chart)}"
    )
    return Plan(
        title=_cut(chart.title, TITLE_LIMIT),
        subtitle=subtitle,
        nothing=chart.nothing,
        right_to_left=chart.right_to_left,
        bars=len(shown.starts),
        ticks=_ticks(shown),
        layers=tuple(
            Layer(
                label=_cut(each.name, NAME_LIMIT),
                heights=tuple(amount / chart.unit_nano for amount in each.amounts),
                total_label=chart.shown(each.total),
            )
            for each in shown.series
        ),
    )


def _ticks(shown: Bars) -> tuple[tuple[int, str], ...]:
    step = -(-len(shown.starts) // TICKS)
    return tuple((i, _label(shown.starts[i], shown.grain)) for i in range(0, len(shown.starts), step))


def _label(day: date, grain: Grain) -> str:
    month = _MONTHS[day.month - 1]
    return {"day": f"{day.day} {month}", "week": f"{day.day} {month}", "month": f"{month} {day.year}"}.get(
        grain, str(day.year)
    )


def _span(chart: Chart) -> str:
    first, last = chart.days[0], chart.days[-1]
    if first == last:
        return _full(first)
    if first.year == last.year:
        return f"{_label(first, 'day')} – {_full(last)}"
    return f"{_full(first)} – {_full(last)}"


def _full(day: date) -> str:
    return f"{_label(day, 'day')} {day.year}"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def describe(chart: Chart) -> str:
    """The picture's alt text, at most 1,024 characters: its kind, the span, the sum, the peak, the parts."""
    head = f"{_cut(chart.title, TITLE_LIMIT)}: bar chart of {chart.unit} spent, {_span(chart)}."
    shown = bars(chart)
    if not shown.series:
        return _cut(f"{head} {chart.nothing}.", ALT_TEXT_LIMIT)
    parts = [head, f"In all {chart.shown(chart.total)}."]
    if len(shown.starts) > 1:
        totals = shown.totals
        peak = max(range(len(totals)), key=totals.__getitem__)
        parts.append(f"Stacked by model, one bar a {shown.grain}; {_peak(shown, peak)}: {chart.shown(totals[peak])}.")
    models = ", ".join(f"{_cut(each.name, 60)} {chart.shown(each.total)}" for each in shown.series)
    parts.append(f"By model: {models}.")
    return _cut(" ".join(parts), ALT_TEXT_LIMIT)


def _peak(shown: Bars, i: int) -> str:
    day = shown.starts[i]
    if shown.grain == "week":
        return f"the highest, the week of {_label(day, 'day')}"
    return f"the highest, {_label(day, shown.grain)}"


def as_text(chart: Chart, limit: int = 1_000) -> str:
    """The chart's numbers as a table for a monospaced block, at most `limit` characters (300 at least).

    A row a bar that is not empty, a column a model, a row of sums. Where that is too long the bars are gathered into
    fewer, and at last only the models' sums are left.
    """
    if not chart.total:
        return f"{_span(chart)}: {chart.nothing[0].lower()}{chart.nothing[1:]}"
    shown = bars(chart)
    grains: tuple[Grain, ...] = ("day", "week", "month", "year")
    for grain in grains[grains.index(shown.grain) :]:
        text = _table(chart, bars(chart, grain))
        if len(text) <= limit:
            return text
    lines = [f"{_cut(each.name, NAME_LIMIT):{NAME_LIMIT}} {chart.shown(each.total):>8}" for each in shown.series]
    return "\n".join(lines)[:limit]


def _table(chart: Chart, shown: Bars) -> str:
    several = len(shown.series) > 1
    names = [_cut(each.name, NAME_LIMIT) for each in shown.series]
    rows = [["", *names, *(["all"] if several else [])]]
    for i, (start, total) in enumerate(zip(shown.starts, shown.totals, strict=True)):
        if total:
            cells = [chart.shown(each.amounts[i]) if each.amounts[i] else "·" for each in shown.series]
            rows.append([_label(start, shown.grain), *cells, *([chart.shown(total)] if several else [])])
    if len(rows) > 2:
        sums = [chart.shown(each.total) for each in shown.series]
        rows.append(["all", *sums, *([chart.shown(chart.total)] if several else [])])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )
