"""How soon a reader sees an answer, and what that costs: `python -m benchmarks.answers`.

The loopback Discord and MiniToolAI run in this process, the real bot in another. All is measured on the reader's side
of it: from the moment at which the API wrote a chunk to the moment at which Discord had taken the edit that shows it.
"""

import argparse
import asyncio
import dataclasses
import gc
import json
import math
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.reading import Reading
from benchmarks.scenarios import CHUNKS_PER_S, Outcome, Scenario, run

ACKNOWLEDGED_S: Final = 0.3
FIRST_WORDS_S: Final = 0.05
WHOLE_TEXT_S: Final = 0.05
AGE_S: Final = 0.3


def scenarios(answers: int, spread_s: float) -> tuple[Scenario, ...]:
    """All there are; `answers` is how many there are of those that come in numbers, `spread_s` over
    how many seconds those of them begin that do not in one moment."""
    return (
        Scenario(name="one", title="1 answer", answers=1, channels=1),
        Scenario(
            name="spread",
            title=f"{answers} at once, begun over {spread_s:g} s, {answers} channels",
            answers=answers,
            channels=answers,
            spread_s=spread_s,
        ),
        Scenario(
            name="together",
            title=f"{answers} asked in the same moment, {answers} channels",
            answers=answers,
            channels=answers,
        ),
        Scenario(name="channel", title="10 by /ask in one channel", answers=10, channels=1),
        Scenario(
            name="mentions", title="10 mentions in one channel", answers=10, channels=1, mentions=True, judged=False
        ),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of the table. Seconds unless the name says otherwise; None is unknown, or does not apply.

    `sent_on` is the time from the asking to the API's having the question.
    """

    scenario: str
    answers: int
    ack_median: float | None
    ack_p95: float | None
    ack_max: float | None
    sent_on_median: float
    sent_on_p95: float
    first_words_median: float
    first_words_p95: float
    whole_text_median: float
    whole_text_p95: float
    age_mean: float
    edits_per_answer: float
    rate_limited: int
    bot_us_per_chunk: float | None
    bot_busy: float | None
    sandbox_busy: float
    bot_waited: float | None
    rss_mb: float | None


def row_of(outcome: Outcome) -> Row:
    """`…_busy` are shares of one core; `bot_waited` is the share of the time in which the bot found no core free."""
    acks, readings = outcome.acknowledged_s, outcome.readings
    cpu_s = waited_s = rss = None
    if outcome.before is not None and outcome.after is not None:
        cpu_s = outcome.after.cpu_s - outcome.before.cpu_s
        waited_s = outcome.after.waited_s - outcome.before.waited_s
        rss = outcome.after.peak_rss_bytes / 1e6
    first = [each.first_words_s for each in readings]
    whole = [each.whole_text_s for each in readings]
    return Row(
        scenario=outcome.scenario.title,
        answers=outcome.scenario.answers,
        ack_median=statistics.median(acks) if acks else None,
        ack_p95=percentile(acks, 95) if acks else None,
        ack_max=max(acks) if acks else None,
        sent_on_median=statistics.median(outcome.sent_on_s),
        sent_on_p95=percentile(outcome.sent_on_s, 95),
        first_words_median=statistics.median(first),
        first_words_p95=percentile(first, 95),
        whole_text_median=statistics.median(whole),
        whole_text_p95=percentile(whole, 95),
        age_mean=_mean_age(readings),
        edits_per_answer=outcome.edits / len(readings),
        rate_limited=outcome.rate_limited,
        bot_us_per_chunk=cpu_s / outcome.chunks * 1e6 if cpu_s is not None else None,
        bot_busy=cpu_s / outcome.duration_s if cpu_s is not None else None,
        sandbox_busy=outcome.sandbox_cpu_s / outcome.duration_s,
        bot_waited=waited_s / outcome.duration_s if waited_s is not None else None,
        rss_mb=rss,
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]


def _mean_age(readings: Sequence[Reading]) -> float:
    return statistics.fmean(each.age_s for each in readings)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """A judged figure beside its bound."""

    scenario: str
    what: str
    measured: float
    bound: float
    unit: str

    @property
    def met(self) -> bool:
        return self.measured <= self.bound

    def __str__(self) -> str:
        scale, unit = (1000, "ms") if self.unit == "s" else (1, self.unit)
        verdict = "meets" if self.met else "MISSES"
        return f"{verdict:>6}  {self.what}: {self.measured * scale:.0f} of at most {self.bound * scale:.0f} {unit}"


def verdicts(outcome: Outcome) -> Iterator[Verdict]:
    """The bounds that apply to this scenario."""
    row = row_of(outcome)
    judged: list[tuple[str, float | None, float, str]] = [
        ("answered by 429", row.rate_limited, 0, "requests"),
        ("wrong books or open holds", int(not outcome.books.right), 0, ""),
    ]
    if outcome.scenario.judged:
        judged += [
            ("acknowledged, slowest", row.ack_max, ACKNOWLEDGED_S, "s"),
            ("first words, median", row.first_words_median, FIRST_WORDS_S, "s"),
            ("whole text, median", row.whole_text_median, WHOLE_TEXT_S, "s"),
            ("oldest unseen text, mean age", row.age_mean, AGE_S, "s"),
        ]
    for what, measured, bound, unit in judged:
        if measured is not None:
            yield Verdict(scenario=row.scenario, what=what, measured=measured, bound=bound, unit=unit)


_COLUMNS: Final[tuple[tuple[str, Callable[[Row], str]], ...]] = (
    ("scenario", lambda row: row.scenario),
    ("ack med/p95/max ms", lambda row: _ms(row.ack_median, row.ack_p95, row.ack_max)),
    ("API asked med/p95 ms", lambda row: _ms(row.sent_on_median, row.sent_on_p95)),
    ("first words med/p95 ms", lambda row: _ms(row.first_words_median, row.first_words_p95)),
    ("whole text med/p95 ms", lambda row: _ms(row.whole_text_median, row.whole_text_p95)),
    ("age ms", lambda row: _ms(row.age_mean)),
    ("edits", lambda row: f"{row.edits_per_answer:.1f}"),
    ("429s", lambda row: str(row.rate_limited)),
    ("bot µs/chunk", lambda row: _number(row.bot_us_per_chunk)),
    ("bot RSS MB", lambda row: _number(row.rss_mb)),
    ("core: bot/sandbox/bot waited", lambda row: _percent(row.bot_busy, row.sandbox_busy, row.bot_waited)),
)


def _ms(*seconds: float | None) -> str:
    return "/".join("–" if each is None else f"{each * 1000:.0f}" for each in seconds)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _percent(*shares: float | None) -> str:
    return "/".join("–" if each is None else f"{each * 100:.0f}%" for each in shares)


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, padded to be read as it is."""
    lines = [[title for title, _ in _COLUMNS], *([shown(row) for _, shown in _COLUMNS] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    padded = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return "\n".join([padded[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *padded[1:]])


def comparison(outcome: Outcome) -> str:
    """Our pacing beside one clock for all answers, over the same chunks."""
    ours, theirs = _mean_age(outcome.readings), _mean_age(outcome.one_clock)
    return (
        f"        beside an edit per second for all answers (replayed, at no cost): "
        f"unseen text {theirs / ours:.1f} times as old ({theirs * 1000:.0f} ms)"
    )


def as_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Rows and verdicts, in seconds."""
    return {
        "rows": [dataclasses.asdict(row_of(each)) for each in outcomes],
        "verdicts": [
            {**dataclasses.asdict(verdict), "met": verdict.met} for each in outcomes for verdict in verdicts(each)
        ],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; with --check, 1 where a bound is missed."""
    parser = _parser()
    options = parser.parse_args(arguments)
    chosen = [
        dataclasses.replace(each, rate=options.rate)
        for each in scenarios(options.answers, options.seconds if options.spread is None else options.spread)
        if not options.scenario or each.name in options.scenario
    ]
    if options.profile is not None and len(chosen) != 1:
        parser.error("--profile needs one --scenario")
    gc.freeze()
    gc.disable()  # the sandbox's own pauses are not the bot's
    outcomes = []
    for scenario in chosen:
        print(f"{scenario.title} …", file=sys.stderr)
        outcomes.append(
            asyncio.run(run(scenario, seconds=options.seconds, profile=options.profile, one_core=options.one_core))
        )
    if options.json:
        print(json.dumps(as_json(outcomes), indent=2))
    else:
        _print(outcomes, options.seconds, options.rate)
    missed = any(not verdict.met for outcome in outcomes for verdict in verdicts(outcome))
    return 1 if missed and options.check else 0


def _print(outcomes: Sequence[Outcome], seconds: float, rate: float) -> None:
    print(f"Each answer: {round(seconds * rate)} chunks at {rate:g} a second. Times as a reader sees them.\n")
    print(table([row_of(outcome) for outcome in outcomes]))
    for outcome in outcomes:
        print(f"\n{outcome.scenario.title}")
        for verdict in verdicts(outcome):
            print(verdict)
        if outcome.scenario.judged and outcome.scenario.answers > 1:
            print(comparison(outcome))


def _absolute(name: str) -> Path:
    return Path(name).resolve()


def _parser() -> argparse.ArgumentParser:
    names = [each.name for each in scenarios(1, 1)]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answers", description=__doc__)
    parser.add_argument("--answers", type=int, default=100, help="how many at once, where they are many")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each answer streams")
    parser.add_argument("--rate", type=float, default=CHUNKS_PER_S, help="chunks a second of each answer")
    parser.add_argument("--spread", type=float, help="over how many seconds they begin; as long as one, if left out")
    parser.add_argument("--scenario", action="append", choices=names, help="only this one; may be given again")
    parser.add_argument("--json", action="store_true", help="print figures for programs, in seconds")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a bound is missed")
    parser.add_argument(
        "--one-core", action="store_true", help="the bot on one core, the loopback servers on the others"
    )
    parser.add_argument("--profile", type=_absolute, help="run the bot under cProfile; its figures go here")
    return parser


if __name__ == "__main__":
    sys.exit(main())
