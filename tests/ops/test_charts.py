"""Charts of spending: what they say (pure), what they look like, and the process that draws them (real)."""

import asyncio
import io
import os
import subprocess
import sys
import unicodedata
from collections.abc import AsyncIterator, Callable
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bot.ops import drawing
from bot.ops.charts import (
    ALT_TEXT_LIMIT,
    SERIES_SHOWN,
    Chart,
    Grain,
    Series,
    as_text,
    bars,
    describe,
    grain_for,
    plan,
    reads_right_to_left,
    rounded,
)
from bot.ops.plotter import COMMAND, WAITING, ChartUnavailable, Plotter
from tests.measuring import measured

CREDIT = 1_000_000
BEGIN = date(2026, 10, 1)
HEBREW = "שרת הבוטים של דנה"


def chart(*rows: tuple[str, list[int]], title: str = "Makers", begin: date = BEGIN) -> Chart:
    """A chart of those models and their credits, day after day."""
    return Chart(
        title=title,
        unit="credits",
        unit_nano=CREDIT,
        days=tuple(begin + timedelta(days=i) for i in range(len(rows[0][1]))),
        series=tuple(Series(name=name, amounts=tuple(each * CREDIT for each in amounts)) for name, amounts in rows),
        right_to_left=reads_right_to_left(title),
    )


@st.composite
def charts(draw: st.DrawFn) -> Chart:
    days = draw(st.integers(1, 800))
    names = draw(st.lists(st.text("abc-4ש", min_size=1, max_size=60), unique=True, max_size=9))
    spent = [draw(st.dictionaries(st.integers(0, days - 1), st.integers(0, 10**15), max_size=12)) for _ in names]
    begin = draw(st.dates(date(2020, 1, 1), date(2030, 1, 1)))
    return Chart(
        title=draw(st.text(max_size=100)),
        unit="credits",
        unit_nano=CREDIT,
        days=tuple(begin + timedelta(days=i) for i in range(days)),
        series=tuple(
            Series(name=name, amounts=tuple(amounts.get(i, 0) for i in range(days)))
            for name, amounts in zip(names, spent, strict=True)
        ),
        right_to_left=draw(st.booleans()),
    )


# What it says


@given(charts(), st.sampled_from([None, "day", "week", "month", "year"]))
def test_gathering_days_and_models_loses_nothing(any_chart: Chart, grain: Grain | None):
    shown = bars(any_chart, grain)
    assert sum(shown.totals) == any_chart.total
    assert len(shown.series) <= SERIES_SHOWN + 1
    assert list(shown.starts) == sorted(set(shown.starts))
    assert shown.starts[0] == any_chart.days[0]


@given(charts())
def test_alt_text_and_table_fit_where_discord_wants_them(any_chart: Chart):
    assert 0 < len(describe(any_chart)) <= ALT_TEXT_LIMIT
    assert 0 < len(as_text(any_chart, 300)) <= 300


@given(charts())
def test_a_plan_has_few_labels_and_as_many_heights_as_bars(any_chart: Chart):
    planned = plan(any_chart)
    assert len(planned.ticks) <= 8
    assert all(0 <= position < planned.bars for position, _ in planned.ticks)
    assert all(len(layer.heights) == planned.bars <= 60 for layer in planned.layers)


@given(st.integers(0, 10**18), st.sampled_from([1, 1_000, CREDIT, 10**9]))
def test_a_rounded_number_is_within_half_a_percent(amount: int, unit: int):
    shown = float(rounded(amount, unit).replace(",", ""))
    assert abs(shown - amount / unit) <= max(0.005 * amount / unit, 1e-9)


@pytest.mark.parametrize(
    ("amount", "words"),
    [(0, "0"), (1, "0.000001"), (45_600, "0.0456"), (1_000_000, "1"), (12_340_000, "12.3"), (1_234_567_890, "1,235")],
)
def test_numbers_show_three_digits_that_matter(amount: int, words: str):
    assert rounded(amount, CREDIT) == words


@pytest.mark.parametrize(
    ("days", "grain"),
    [(1, "day"), (7, "day"), (31, "day"), (32, "week"), (90, "week"), (365, "month"), (2_000, "year")],
)
def test_many_days_are_gathered_into_weeks_months_and_years(days: int, grain: str):
    assert grain_for(days) == grain


def test_a_week_begins_on_monday_also_across_the_end_of_a_year():
    shown = bars(chart(("m", [1] * 14), begin=date(2026, 12, 24)), "week")
    assert shown.starts == (date(2026, 12, 24), date(2026, 12, 28), date(2027, 1, 4))
    assert shown.totals == (4 * CREDIT, 7 * CREDIT, 3 * CREDIT)


def test_the_largest_model_comes_first_and_what_was_never_used_is_left_out():
    shown = bars(chart(("small", [1, 1]), ("none", [0, 0]), ("large", [5, 0])))
    assert [each.name for each in shown.series] == ["large", "small"]


def test_the_smallest_of_many_models_become_one():
    shown = bars(chart(*((f"model {i}", [i]) for i in range(1, 11))))
    assert [each.name for each in shown.series[-2:]] == ["model 5", "other models"]
    assert shown.series[-1].total == (1 + 2 + 3 + 4) * CREDIT


def test_the_alt_text_tells_span_sum_peak_and_parts():
    words = describe(chart(("gpt-4o", [1, 20, 3]), ("gpt-4o-mini", [1, 0, 0])))
    assert words == (
        "Makers: bar chart of credits spent, 1 Oct – 3 Oct 2026. In all 25. "
        "Stacked by model, one bar a day; the highest, 2 Oct: 20. By model: gpt-4o 24, gpt-4o-mini 1."
    )


def test_the_table_has_the_picture_s_numbers():
    assert as_text(chart(("gpt-4o", [1, 0, 3]), ("gpt-4o-mini", [1, 0, 12]))).splitlines() == [
        "       gpt-4o-mini  gpt-4o  all",
        "1 Oct            1       1    2",
        "3 Oct           12       3   15",
        "all             13       4   17",
    ]


def test_a_table_that_is_too_long_has_fewer_rows_with_the_same_sums():
    text = as_text(chart(("gpt-4o", [1] * 31), ("gpt-4o-mini", [2] * 31)), 300)
    assert text.splitlines()[1].split() == ["1", "Oct", "8", "4", "12"]
    assert text.splitlines()[-1].split() == ["all", "62", "31", "93"]


def test_nothing_spent_is_said_in_words():
    empty = chart(("gpt-4o", [0, 0]))
    assert describe(empty).endswith("Nothing spent.")
    assert as_text(empty) == "1 Oct – 2 Oct 2026: nothing spent"


@pytest.mark.parametrize(
    ("text", "backwards"), [(HEBREW, True), ("2026 – דנה", True), ("Dana דנה", False), ("7", False)]
)
def test_the_first_letter_with_a_direction_decides(text: str, backwards: bool):
    assert reads_right_to_left(text) is backwards


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"days": ()}, "days"),
        ({"days": (BEGIN, BEGIN + timedelta(days=2))}, "gap"),
        ({"series": (Series(name="m", amounts=(1,)),)}, "one amount a day"),
        ({"series": (Series(name="m", amounts=(1, -1)),)}, "negative"),
        ({"series": (Series(name="m", amounts=(1, 1)),) * 2}, "name"),
        ({"unit_nano": 0}, "unit"),
    ],
)
def test_a_chart_that_cannot_be_is_refused(change: dict[str, object], words: str):
    fields: dict[str, object] = {
        "title": "",
        "unit": "credits",
        "unit_nano": 1,
        "days": (BEGIN, BEGIN + timedelta(days=1)),
        "series": (),
    }
    with pytest.raises(ValueError, match=words):
        Chart(**(fields | change))  # type: ignore[arg-type]


# What it looks like


def luminance(colour: str) -> float:
    """WCAG 2's relative luminance of `#rrggbb`."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_bars_and_text_stand_out_from_the_card_as_wcag_wants():
    assert all(contrast(colour, drawing.CARD) >= 3 for colour, _ in drawing.STYLES)
    assert min(contrast(drawing.TEXT, drawing.CARD), contrast(drawing.FAINT, drawing.CARD)) >= 4.5


def test_no_two_models_share_a_colour_or_a_hatching():
    assert len({colour for colour, _ in drawing.STYLES}) == len({hatch for _, hatch in drawing.STYLES})
    assert len(drawing.STYLES) == SERIES_SHOWN + 1


def opened(picture: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(picture))
    assert image.format == "PNG"
    return image.convert("RGB")


def amount_of(image: Image.Image, colour: str) -> int:
    """Pixels of about that colour: palettes round."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return sum(
        count
        for count, pixel in image.getcolors(1_000_000)
        if all(abs(a - b) <= 12 for a, b in zip(pixel, wanted, strict=True))
    )


def ink(image: Image.Image, box: tuple[int, int, int, int]) -> int:
    """The pixels of a part of the picture that are not card."""
    part = image.crop(box)
    return part.width * part.height - amount_of(part, drawing.CARD)


@pytest.fixture
async def plotter() -> AsyncIterator[Plotter]:
    async with Plotter(command=measured(COMMAND)) as opened_plotter:
        yield opened_plotter


async def test_every_model_is_drawn_in_its_colour_in_proportion(plotter: Plotter):
    picture = await plotter.draw(chart(*((f"m{i}", [10 - i, 10, 10]) for i in range(7))))
    image = opened(picture)
    assert image.size == (1_000, 500)
    assert len(picture) < 100_000
    assert all(amount_of(image, colour) > 1_500 for colour, _ in drawing.STYLES)


@pytest.mark.parametrize("days", [1, 7, 30, 365, 3_000])
async def test_a_picture_of_any_span_is_small_and_not_blank(plotter: Plotter, days: int):
    picture = await plotter.draw(chart(("gpt-4o", [3] * days), ("gpt-4o-mini", [1] * days)))
    image = opened(picture)
    assert len(picture) < 100_000
    assert amount_of(image, drawing.STYLES[0][0]) > 10_000
    assert amount_of(image, drawing.STYLES[1][0]) > 1_000


async def test_nothing_spent_is_drawn_as_words(plotter: Plotter):
    image = opened(await plotter.draw(chart(("gpt-4o", [0] * 30))))
    assert amount_of(image, drawing.STYLES[0][0]) == 0
    assert ink(image, (300, 240, 700, 340)) > 300


async def test_a_hebrew_title_stands_at_the_right_and_a_latin_one_at_the_left(plotter: Plotter):
    left, right = (0, 0, 400, 60), (600, 0, 1_000, 60)
    hebrew = opened(await plotter.draw(chart(("m", [1, 2]), title=HEBREW)))
    latin = opened(await plotter.draw(chart(("m", [1, 2]), title="Makers")))
    assert ink(hebrew, right) > 300
    assert ink(hebrew, left) == 0
    assert ink(latin, left) > 300
    assert ink(latin, right) == 0


def width_of_the_leftmost_letter(title: str) -> int:
    plan_of_title = {"title": title, "subtitle": "", "right_to_left": True, "layers": [], "nothing": ""}
    image = opened(drawing.draw(plan_of_title))
    columns = [x for x in range(800, 1_000) if ink(image, (x, 0, x + 1, 70))]
    return next(a for a, b in pairwise(columns) if b - a > 1) - columns[0]


def test_hebrew_runs_from_right_to_left():
    """Of a wide and a narrow letter, the one that is written last stands at the left."""
    assert width_of_the_leftmost_letter("שו") < width_of_the_leftmost_letter("וש")


def test_what_the_font_lacks_is_left_out():
    assert drawing.drawable("Makers 🎨 服务器 – דנה") == "Makers – דנה"
    assert drawing.drawable("🎨") == ""


async def test_a_name_is_text_and_never_a_formula(plotter: Plotter):
    image = opened(await plotter.draw(chart(("$x^2$", [1, 1]), ("_hidden", [1, 1]), title=r"$\frac{1}{0$")))
    assert ink(image, (0, 0, 400, 60)) > 300


# The process that draws


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


SMALL = chart(("gpt-4o", [1, 2]))


def pid_of(plotter: Plotter) -> int:
    assert plotter.pid is not None
    return plotter.pid


async def until(condition: Callable[[], bool]) -> None:
    """Return as soon as it holds; fail after ten seconds."""
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


async def test_the_process_starts_on_demand_and_is_used_again(plotter: Plotter):
    assert plotter.pid is None
    await plotter.draw(SMALL)
    first = pid_of(plotter)
    await plotter.draw(SMALL)
    assert plotter.pid == first


async def test_an_idle_process_goes_away_and_the_next_chart_has_a_new_one():
    async with Plotter(idle_s=0.05) as plotter:
        await plotter.draw(SMALL)
        first = pid_of(plotter)
        await until(lambda: plotter.pid is None)
        assert not is_running(first)
        await plotter.draw(SMALL)
        assert pid_of(plotter) != first


async def test_leaving_ends_the_process_and_refuses_further_charts():
    async with Plotter() as plotter:
        await plotter.draw(SMALL)
        process = pid_of(plotter)
    assert not is_running(process)
    with pytest.raises(ChartUnavailable):
        await plotter.draw(SMALL)
    assert plotter.pid is None


async def test_leaving_does_not_wait_for_a_chart_that_takes_long():
    async with Plotter(command=[sys.executable, "-c", "import time; time.sleep(600)"], deadline_s=300) as plotter:
        drawn = asyncio.create_task(plotter.draw(SMALL))
        await until(lambda: plotter.pid is not None)
    with pytest.raises(ChartUnavailable):
        await drawn


async def test_a_process_that_died_is_replaced_without_anybody_noticing(plotter: Plotter):
    await plotter.draw(SMALL)
    first = pid_of(plotter)
    os.kill(first, 9)
    assert opened(await plotter.draw(SMALL)).size == (1_000, 500)
    assert pid_of(plotter) != first


async def test_a_process_that_always_dies_is_tried_twice(tmp_path: Path):
    starts = tmp_path / "starts"
    dies = f"open({str(starts)!r}, 'a').write('x'); raise SystemExit(3)"
    async with Plotter(command=[sys.executable, "-c", dies]) as plotter:
        with pytest.raises(ChartUnavailable):
            await plotter.draw(SMALL)
        assert plotter.pid is None
    assert starts.read_text() == "xx"


async def test_a_program_that_does_not_exist_is_no_worse_than_one_that_dies():
    async with Plotter(command=["/nonexistent"]) as plotter:
        with pytest.raises(ChartUnavailable):
            await plotter.draw(SMALL)


async def test_what_is_no_picture_is_not_handed_on():
    async with Plotter(command=[sys.executable, "-c", "print('Hello from a library')"]) as plotter:
        with pytest.raises(ChartUnavailable):
            await plotter.draw(SMALL)


async def test_a_chart_that_takes_too_long_is_given_up_with_its_process():
    async with Plotter(command=[sys.executable, "-c", "import time; time.sleep(600)"], deadline_s=0.3) as plotter:
        with pytest.raises(ChartUnavailable):
            await plotter.draw(SMALL)
        assert plotter.pid is None


async def test_after_a_cancelled_chart_the_next_gets_its_own_picture(plotter: Plotter):
    await plotter.draw(SMALL)
    cancelled = asyncio.create_task(plotter.draw(chart(("gpt-4o", [0, 0]))))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert amount_of(opened(await plotter.draw(SMALL)), drawing.STYLES[0][0]) > 10_000


async def test_more_charts_at_once_than_can_wait_are_refused():
    async with Plotter(command=[sys.executable, "-c", "import time; time.sleep(600)"], deadline_s=300) as plotter:
        waiting = [asyncio.create_task(plotter.draw(SMALL)) for _ in range(WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(ChartUnavailable, match="too many"):
            await plotter.draw(SMALL)
        for each in waiting:
            each.cancel()
        assert all(
            isinstance(e, asyncio.CancelledError) for e in await asyncio.gather(*waiting, return_exceptions=True)
        )


async def test_a_chart_that_cannot_be_drawn_is_logged_with_its_cause_and_its_process_kept(
    caplog: pytest.LogCaptureFixture,
):
    answers = "sys.stdin.buffer.read(1); sys.stdout.buffer.write(b'E\\0\\0\\0\\x05no 1s'); sys.stdout.flush()"
    command = [sys.executable, "-c", f"import sys; {answers}; sys.stdin.buffer.read()"]
    async with Plotter(command=command) as plotter:
        with pytest.raises(ChartUnavailable, match="could not be drawn"):
            await plotter.draw(SMALL)
        assert plotter.pid is not None
    assert "a chart could not be drawn: no 1s" in caplog.text


async def test_a_plan_that_cannot_be_drawn_is_answered_and_the_process_lives_on():
    requests = io.BytesIO()
    for body in (b"{}", b'{"title": "", "subtitle": "", "right_to_left": false, "layers": [], "nothing": ""}'):
        requests.write(drawing.HEAD.pack(b"P", len(body)) + body)
    requests.seek(0)
    answers = io.BytesIO()
    drawing.serve(requests, answers)
    kind, size = drawing.HEAD.unpack_from(answers.getvalue())
    assert kind == b"E"
    assert answers.getvalue()[5 + size : 6 + size] == b"I"


async def test_the_process_is_told_no_secret(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DISCORD_TOKEN", "a-secret")
    told = "import os, sys; e = repr(dict(os.environ)).encode()"
    tells = f"{told}; sys.stdin.buffer.read(1); sys.stdout.buffer.write(b'I' + len(e).to_bytes(4, 'big') + e)"
    async with Plotter(command=[sys.executable, "-c", tells]) as plotter:
        environment = await plotter.draw(SMALL)
    assert b"PATH" in environment
    assert b"a-secret" not in environment


def test_the_bot_itself_never_loads_the_plotting_library():
    code = "import sys, bot.app; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


def test_the_marks_of_direction_are_what_they_are_called():
    assert unicodedata.bidirectional(drawing.RIGHT_TO_LEFT_MARK) == "R"
    assert unicodedata.bidirectional(drawing.LEFT_TO_RIGHT_MARK) == "L"
