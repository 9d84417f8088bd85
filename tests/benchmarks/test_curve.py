import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks.curve import MOST_POINTS, Sample, draw, flatness, slope, write

FIRST = Sample(
    at_s=0.0,
    cpu_s=1.0,
    rss_bytes=100_000_000,
    threads=5,
    files=15,
    database_bytes=4_096,
    wal_bytes=0,
    tasks=14,
    open_holds=0,
    open_answers=0,
    open_orders=0,
    queue=0,
    done=0,
    sandbox_cpu_s=1.0,
)


def an_hour(rss_mb: Callable[[float], float]) -> Sequence[Sample]:
    """A sample every ten seconds; `rss_mb` takes the hours since the beginning."""
    return [replace(FIRST, at_s=number * 10.0, rss_bytes=round(rss_mb(number / 360) * 1e6)) for number in range(361)]


def memory(sample: Sample) -> float:
    return sample.rss_bytes / 1e6


@given(st.floats(-100, 100), st.floats(-100, 100), st.integers(2, 3 * MOST_POINTS))
def test_the_slope_of_a_line_is_the_lines(rise: float, start: float, number: int) -> None:
    assert slope([(x, start + rise * x) for x in range(number)]) == pytest.approx(rise, abs=1e-9)


def test_single_leaps_do_not_move_a_slope() -> None:
    assert slope([(x, 1_000.0 if x % 10 == 5 else 2.0 * x) for x in range(100)]) == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize("points", [[], [(1.0, 2.0)], [(1.0, 2.0), (1.0, 3.0)]])
def test_where_there_is_no_slope_it_is_none(points: list[tuple[float, float]]) -> None:
    assert slope(points) == 0.0


def test_what_is_taken_at_first_is_no_leak() -> None:
    flat = flatness(an_hour(lambda hours: 100 + 50 * min(hours * 10, 1)), memory)
    assert (flat.per_hour, flat.ratio) == (0.0, 1.0)


def test_what_grows_without_end_is_one() -> None:
    flat = flatness(an_hour(lambda hours: 100 + 20 * hours), memory)
    assert flat.per_hour == pytest.approx(20)
    assert flat.ratio == pytest.approx(117.5 / 107.5, rel=0.01)


def test_too_few_samples_tell_nothing() -> None:
    with pytest.raises(ValueError, match="too few"):
        flatness(an_hour(lambda _: 100)[:3], memory)


def test_samples_are_written_with_their_names_and_drawn(tmp_path: Path) -> None:
    samples = an_hour(lambda hours: 100 + hours)
    write(samples, tmp_path / "soak.csv")
    draw(samples, tmp_path / "soak.png", "An hour")
    with (tmp_path / "soak.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (len(rows), rows[36]["at_s"], rows[36]["rss_bytes"]) == (361, "360", "100100000")
    with Image.open(tmp_path / "soak.png") as picture:
        assert picture.size == (1_000, 800)
