"""How soon an ordered picture is seen once the API has it: `python -m benchmarks.pictures`.

The loopback Discord and MiniToolAI run in this process, the real bot in another. A picture counts as seen when Discord
has answered the request that uploaded it. The API takes the same time for each, give or take a tenth; asked about one
picture twice within half a second, it answers 429.
"""

import argparse
import asyncio
import gc
import io
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from benchmarks.answers import Verdict, percentile
from benchmarks.house import House, end_of, open_house
from benchmarks.process import Cost, cost_of
from sandbox.discord.messages import Interaction
from sandbox.minitoolai.picture_script import PictureOrder, PictureScript, Served

SEEN_S: Final = 1.5
POLL_GAP_S: Final = 0.5
"""Two polls of one picture closer than this are answered 429. The API documents no limit."""
POLLS_PER_SECOND: Final = 200
"""The bot's own bound, PICTURE_POLLS_PER_SECOND, at its default."""
SPREAD: Final = 0.1
PATIENCE_S: Final = 60.0
LOOK_EVERY_S: Final = 0.2
SIDE_PX: Final = 1_024


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One run. `seen_s`: for each order, from its last picture's being ready to its upload's being taken."""

    orders: int
    count: int
    ack_s: tuple[float, ...]
    seen_s: tuple[float, ...]
    polls: float
    polls_in_busiest_second: int
    hasty: int
    rate_limited: int
    duration_s: float
    bot_cpu_s: float | None
    rss_mb: float | None


async def run(*, orders: int, count: int, picture_s: float, profile: Path | None = None) -> Row:
    """So many orders in the same moment, by as many members in a tenth as many channels.

    Raises TimeoutError, with the end of the bot's log, where an order does not end.
    """
    limits = {"PICTURE_ORDERS_PER_SERVER": str(orders), "PICTURE_ORDERS_OPEN": str(orders)}
    async with open_house(people=orders, profile=profile, poll_gap_s=POLL_GAP_S, overrides=limits) as house:
        _serve(house, picture_s)
        channels = [house.guild.add_text_channel(f"channel-{number}") for number in range(-(-orders // 10))]
        before, began = cost_of(house.pid), time.monotonic()
        asked: list[tuple[float, Interaction]] = []
        for number, person in enumerate(house.people):
            at = time.monotonic()
            channel, prompt = channels[number % len(channels)], f"picture number {number}"
            asked.append((at, await person.slash(channel, "imagine", prompt=prompt, count=count)))
        await _all_seen(house, [interaction for _, interaction in asked], picture_s)
        after = cost_of(house.pid)
        return _row(house, asked, count=count, began=began, before=before, after=after)


def _serve(house: House, picture_s: float) -> None:
    """One picture for all, of some 300 kB, so that this process has no drawing to do."""
    noise = Image.effect_noise((SIDE_PX, SIDE_PX), 20).convert("RGB")
    encoded = io.BytesIO()
    noise.save(encoded, "JPEG", quality=72)
    serves = Served(body=encoded.getvalue(), format="jpeg")
    times = random.Random(0)
    house.api.picture_answer = lambda _: PictureScript(
        serves=serves, ready_after_s=picture_s * times.uniform(1 - SPREAD, 1 + SPREAD)
    )


async def _all_seen(house: House, asked: Sequence[Interaction], picture_s: float) -> None:
    deadline = time.monotonic() + picture_s + PATIENCE_S
    while not all(each.original is not None and each.original.attachments for each in asked):
        if time.monotonic() > deadline:
            raise TimeoutError(f"an order did not end; the bot's log:\n{end_of(house.log)}")
        await asyncio.sleep(LOOK_EVERY_S)


def _row(
    house: House,
    asked: Sequence[tuple[float, Interaction]],
    *,
    count: int,
    began: float,
    before: Cost | None,
    after: Cost | None,
) -> Row:
    records = list(house.discord.requests)
    acknowledged = {each.path: each.finished for each in records if each.path.endswith("/callback")}
    uploaded = {each.path.split("/")[3]: each.finished for each in records if each.filenames and each.status == 200}
    drawn: dict[int, list[PictureOrder]] = {}
    for order in house.api.pictures:
        drawn.setdefault(int(order.body["prompt"].rpartition(" ")[2]), []).append(order)
    polls = [at for order in house.api.pictures for at in order.polled_at]
    return Row(
        orders=len(asked),
        count=count,
        ack_s=tuple(acknowledged[f"/interactions/{each.id}/{each.token}/callback"] - at for at, each in asked),
        seen_s=tuple(
            uploaded[each.token] - max(order.ready_at or 0.0 for order in drawn[number])
            for number, (_, each) in enumerate(asked)
        ),
        polls=len(polls) / len(house.api.pictures),
        polls_in_busiest_second=max(Counter(int(at - began) for at in polls).values()),
        hasty=sum(order.hasty for order in house.api.pictures),
        rate_limited=len(house.discord.rate_limited),
        duration_s=max(uploaded.values()) - began,
        bot_cpu_s=after.cpu_s - before.cpu_s if before is not None and after is not None else None,
        rss_mb=after.peak_rss_bytes / 1e6 if after is not None else None,
    )


def verdicts(row: Row) -> list[Verdict]:
    """The bounds, and what was measured."""
    name = f"{row.orders} orders of {row.count}"
    judged = [
        ("seen after the API's ready, median", statistics.median(row.seen_s), SEEN_S, "s"),
        ("answered by 429, Discord", row.rate_limited, 0, "requests"),
        ("answered by 429, the API", row.hasty, 0, "polls"),
        ("polls in the busiest second", row.polls_in_busiest_second, POLLS_PER_SECOND, "polls"),
    ]
    return [Verdict(scenario=name, what=what, measured=value, bound=at, unit=unit) for what, value, at, unit in judged]


def _shown(row: Row) -> str:
    seen, ack = (
        f"{statistics.median(values) * 1000:.0f}/{percentile(values, 95) * 1000:.0f}/{max(values) * 1000:.0f}"
        for values in (row.seen_s, row.ack_s)
    )
    each = row.orders * row.count
    cpu = "–" if row.bot_cpu_s is None else f"{row.bot_cpu_s / each * 1000:.0f}"
    rss = "–" if row.rss_mb is None else f"{row.rss_mb:.0f}"
    return (
        f"| {row.orders} × {row.count} | {ack} | {seen} | {row.polls:.1f} | {row.polls_in_busiest_second} | "
        f"{row.rate_limited + row.hasty} | {cpu} | {rss} | {row.duration_s:.1f} |"
    )


_HEAD: Final = """\
| orders × pictures | ack ms | seen ms | polls a picture | polls in the busiest second | 429s | bot ms a picture | \
bot RSS MB | all s |
|---|---|---|---|---|---|---|---|---|"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; with --check, 1 where a bound is missed."""
    options = _parser().parse_args(arguments)
    sizes = [(options.orders, options.count)] if options.orders else [(1, 1), (1, 4), (300, 1), (75, 4)]
    gc.freeze()  # the sandbox's own pauses are not the bot's
    rows = []
    for orders, count in sizes:
        print(f"{orders} orders of {count} …", file=sys.stderr)
        rows.append(asyncio.run(run(orders=orders, count=count, picture_s=options.seconds, profile=options.profile)))
    print(f"The API takes {options.seconds:g} s for a picture, give or take a tenth. Times are median/p95/max.\n")
    print(_HEAD)
    print(*map(_shown, rows), sep="\n")
    for row in rows:
        print(f"\n{row.orders} × {row.count}", *verdicts(row), sep="\n")
    return 1 if options.check and any(not verdict.met for row in rows for verdict in verdicts(row)) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures", description=__doc__)
    parser.add_argument("--orders", type=int, help="only this many at once; 1 to 1000")
    parser.add_argument("--count", type=int, default=1, help="pictures in each of those orders, 1 to 4")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long the API takes for one")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a bound is missed")
    parser.add_argument("--profile", type=Path, help="run the bot under cProfile; its figures go here (absolute)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
