"""What `/usage` writes: values in, Markdown out. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

from discord.utils import format_dt

from bot.answers.attachments import on_one_line, shown_name
from bot.answers.plain import escaped
from bot.credits.notices import notice_for
from bot.credits.policy import InForce, local_day, period_bounds
from bot.credits.reports import DaySpent, MemberSpent, ModelSpent, MonthTotal, Span, Trend, exhausted_at
from bot.credits.values import Entry, Standing
from bot.money import CreditUnit, NanoDollars
from bot.ops.charts import Chart, Series, as_text, reads_right_to_left, rounded

Period = Literal["day", "week", "month", "all"]
PERIODS: Final[tuple[Period, ...]] = get_args(Period)

IN_WORDS: Final[Mapping[Period, str]] = {
    "day": "today",
    "week": "this week",
    "month": "this month",
    "all": "all time",
}
TREND_DAYS: Final[Mapping[Period, int]] = {"day": 1, "week": 7, "month": 30, "all": 30}

CONTENT_LIMIT: Final = 2_000
"""Discord's limit for a message, in UTF-16 units."""
CHART_DAYS: Final = 365
"""How far back the chart of all time goes."""
SHOWN_MODELS: Final = 6
SHOWN_MEMBERS: Final = 10
SHOWN_CHARGES: Final = 5
EXCERPT: Final = 60
METER_CELLS: Final = 12
DAY_S: Final = 86_400

REASONS: Final[Mapping[str, str]] = {
    "finished": "complete",
    "length": "reached its length limit",
    "filtered": "ended by the content filter",
    "stopped": "stopped",
    "cut": "cut off by a broken connection",
    "deleted": "its message was deleted",
    "shutdown": "I was switched off",
    "refused": "refused by the AI service",
    "unsent": "never sent",
    "unanswered": "the AI service never answered",
    "failed": "the picture failed",
    "cancelled": "cancelled",
    "undelivered": "could not be handed over",
    "crashed": "I crashed",
}
"""How each of `bot.credits.rules.Reason` reads below "Last entries"."""
_ICONS: Final = {"chat": "💬", "image": "🖼️"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The part of the calendar that a `period` means: `span` in time, `first` to `last` in days of the zone."""

    period: Period
    span: Span
    first: date
    last: date


@dataclass(frozen=True, kw_only=True, slots=True)
class MyUsage:
    """All that is told about one member; `place` is the server's name, None outside of servers."""

    standing: Standing
    place: str | None
    period: Period
    models: Sequence[ModelSpent]
    recent: Sequence[Entry]


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerUsage:
    """All that is told about a server. `ceiling_nano` is the operator's limit for a month (UTC), None for no limit."""

    name: str
    period: Period
    now: datetime
    models: Sequence[ModelSpent]
    members: Sequence[MemberSpent]
    trend: Trend
    month: MonthTotal
    ceiling_nano: NanoDollars | None
    recent: Sequence[Entry]


def window(period: Period, now: datetime, zone: ZoneInfo) -> Window:
    """From the beginning of the day, week or month in `zone` to now, as allowances count; all time is unbounded."""
    today = local_day(now, zone)
    if period == "all":
        return Window(period=period, span=Span(), first=today - timedelta(days=CHART_DAYS - 1), last=today)
    start, end = period_bounds(period, now, zone)
    assert start is not None
    return Window(period=period, span=Span(start=start, end=end), first=local_day(start, zone), last=today)


def chart_of(spent: Sequence[DaySpent], shown: Window, *, title: str, unit: CreditUnit) -> Chart | None:
    """The chart of those days, from the first with spending where the window is all time; None for no spending."""
    spent = [each for each in spent if each.user_nano > 0 and shown.first <= each.day <= shown.last]
    if not spent:
        return None
    first = min(each.day for each in spent) if shown.period == "all" else shown.first
    days = tuple(first + timedelta(days=i) for i in range((shown.last - first).days + 1))
    amounts: dict[str, list[int]] = {}
    for each in spent:
        amounts.setdefault(each.model, [0] * len(days))[(each.day - first).days] += each.user_nano
    return Chart(
        title=title,
        unit="credits",
        unit_nano=unit.nano,
        days=days,
        series=tuple(Series(name=name, amounts=tuple(row)) for name, row in amounts.items()),
        right_to_left=reads_right_to_left(title),
    )


def my_text(usage: MyUsage, unit: CreditUnit) -> str:
    """The member's account, what the period came to, and the last charges."""
    where = f"in {plain(usage.place)}" if usage.place else "in direct messages and wherever you brought me along"
    return _joined(
        [
            f"### Your credits {where}",
            *_account(usage.standing, unit),
            "",
            *_models(usage.models, usage.period, unit),
            "",
            *_charges(usage.recent, unit, with_member=False),
        ]
    )


def server_text(usage: ServerUsage, unit: CreditUnit) -> str:
    """The server's spending with its trend, the operator's ceiling, the members who spent most, the last charges."""
    return _joined(
        [
            f"### Credits of {plain(usage.name)}",
            _trend(usage.trend, unit),
            *_month(usage, unit),
            "",
            *_models(usage.models, usage.period, unit),
            "",
            *_members(usage, unit),
            "",
            *_charges(usage.recent, unit, with_member=True),
        ]
    )


def messages(text: str, chart: Chart | None, *, drawn: bool) -> tuple[str, ...]:
    """The text, with the chart's numbers below it or, where they do not fit, in a message of their own.

    `drawn` tells whether the picture goes with it.
    """
    if chart is None:
        return (text,)
    note = "" if drawn else "-# The chart could not be drawn just now; its numbers are complete.\n"
    table = f"{note}```\n{as_text(chart, CONTENT_LIMIT - len(note) - 10)}\n```"
    whole = f"{text}\n{table}"
    return (whole,) if _length(whole) <= CONTENT_LIMIT else (text, table)


def plain(text: str) -> str:
    """A name on one line: no Markdown, no mention works in it."""
    return escaped(shown_name(text))


def meter(used: int, limit: int) -> str:
    """`▰▰▰▰▱▱▱▱▱▱▱▱`: how full something is. Something shows as soon as there is something."""
    cells = min(METER_CELLS, -(-used * METER_CELLS // limit)) if limit else 0
    return "▰" * cells + "▱" * (METER_CELLS - cells)


def _account(standing: Standing, unit: CreditUnit) -> list[str]:
    lines = [*_allowance(standing, unit)]
    if standing.grants_left_nano or standing.held_grant_nano:
        held = f" and {unit.show(standing.held_grant_nano)} on hold" if standing.held_grant_nano else ""
        idle = standing.in_force.allowance.kind == "none"
        when = "not to be spent while you are blocked" if idle else "spent after the allowance, and never lost"
        lines.append(f"🎁 **{unit.show(standing.grants_left_nano)}** of grants left{held}, {when}")
    if (notice := notice_for(standing)) is not None:
        lines.append(notice)
    return lines


def _allowance(standing: Standing, unit: CreditUnit) -> list[str]:
    allowance, used = standing.in_force.allowance, NanoDollars(standing.spent_nano + standing.held_nano)
    parts = f"{unit.show(standing.spent_nano, up=True)} spent, {unit.show(standing.held_nano, up=True)} on hold"
    if allowance.kind == "unlimited":
        return ["♾️ **No limit** for you", f"-# {parts} so far · set by {_source(standing.in_force)}"]
    if allowance.kind == "none":
        return ["⛔ You have **no allowance** here", f"-# {parts} so far · set by {_source(standing.in_force)}"]
    limit, left = allowance.amount_nano, standing.left_nano
    assert left is not None
    every = "in all" if allowance.period == "once" else f"a {allowance.period}"
    line = f"{meter(used, limit)} **{unit.show(left)} left** of {unit.show(limit)} credits {every}"
    details = [parts]
    if standing.over_nano:
        details.append(f"{unit.show(standing.over_nano, up=True)} over: the allowance was lowered")
    if standing.ends_at is not None:
        details.append(f"new {format_dt(standing.ends_at, 'R')}, {format_dt(standing.ends_at, 'f')}")
    details.append(f"set by {_source(standing.in_force)}")
    return [line, f"-# {' · '.join(details)}"]


def _source(rule: InForce) -> str:
    """`role_id` is one of the server's own; its mention pings nobody in a message that only its reader sees."""
    if rule.source == "role":
        return f"your role <@&{rule.role_id}>"
    words = {"member": "an admin, for you", "server": "the server's default", "operator": "the bot's operator"}
    return words[rule.source]


def _models(models: Sequence[ModelSpent], period: Period, unit: CreditUnit) -> list[str]:
    total = NanoDollars(sum(each.user_nano for each in models))
    when = IN_WORDS[period].capitalize()
    if not models:
        return [f"**{when}**: nothing yet"]
    ranked = sorted(models, key=lambda each: (-each.user_nano, each.model))
    lines = [f"**{when}: {unit.show(total, up=True)} credits**"]
    lines += [f"- {_ICONS[each.kind]} {_model(each, unit)}" for each in ranked[:SHOWN_MODELS]]
    if rest := ranked[SHOWN_MODELS:]:
        others = NanoDollars(sum(each.user_nano for each in rest))
        lines.append(f"- {len(rest)} more: {unit.show(others, up=True)}")
    return lines


def _model(spent: ModelSpent, unit: CreditUnit) -> str:
    about = "≈" if spent.estimated else ""
    amount = f"**{about}{unit.show(spent.user_nano, up=True)}**"
    if spent.kind == "image":
        return f"`{spent.model}` {amount} for {_count(spent.images, 'picture')}"
    tokens = f"{spent.prompt_tokens:,} tokens in, {spent.completion_tokens:,} out"
    return f"`{spent.model}` {amount} for {_count(spent.requests, 'question')}, {tokens}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _charges(entries: Sequence[Entry], unit: CreditUnit, *, with_member: bool) -> list[str]:
    if not entries:
        return []
    return ["**Last entries**", *(_entry(each, unit, with_member=with_member) for each in entries[:SHOWN_CHARGES])]


def _entry(entry: Entry, unit: CreditUnit, *, with_member: bool) -> str:
    who = f" {_member(entry.user_id)}" if with_member else ""
    when = format_dt(entry.asked_at, "R")
    if entry.entry_kind != "charge":
        sign = "+" if entry.granted_nano > 0 else ""
        word = "granted" if entry.entry_kind == "grant" else "taken back"
        by = f" by <@{entry.by_id}>" if entry.by_id else ""
        why = f": {_excerpt(entry.reason)}" if entry.reason else ""
        return f"- {when}{who} **{sign}{unit.show(entry.granted_nano)}** {word}{by}{why}"
    about = "≈" if entry.estimated and entry.user_nano else ""
    amount = f"{about}{unit.show(entry.user_nano, up=True)}" if entry.user_nano else "free"
    icon = _ICONS.get(entry.kind or "", "")
    return f"- {when}{who} **{amount}** {icon} `{entry.model}`, {REASONS.get(entry.reason) or _excerpt(entry.reason)}"


def _member(user_id: int) -> str:
    """A mention; who has been erased is a number below zero in the books."""
    return f"<@{user_id}>" if user_id > 0 else "somebody who was erased"


def _excerpt(text: str) -> str:
    line = on_one_line(text)
    short = line if len(line) <= EXCERPT else line[: EXCERPT - 1].rstrip() + "…"
    return escaped(short)


def _members(usage: ServerUsage, unit: CreditUnit) -> list[str]:
    if not usage.members:
        return []
    total = sum(each.user_nano for each in usage.models)
    lines = ["**Members who spent most**"]
    for rank, each in enumerate(usage.members[:SHOWN_MEMBERS], 1):
        share = f" ({each.user_nano * 100 // total} %)" if total else ""
        requests = _count(each.requests, "request")
        lines.append(f"{rank}. {_member(each.user_id)} **{unit.show(each.user_nano, up=True)}**{share}, {requests}")
    return lines


def _trend(trend: Trend, unit: CreditUnit) -> str:
    span = "24 hours" if trend.days == 1 else f"{trend.days} days"
    now = unit.show(trend.now_nano, up=True)
    if not trend.before_nano:
        return f"📈 **{now}** credits in the last {span}, nothing in the {span} before"
    before = unit.show(trend.before_nano, up=True)
    percent = (trend.now_nano - trend.before_nano) * 100 // trend.before_nano
    arrow = "▲" if percent > 0 else "▼" if percent < 0 else "＝"
    return f"📈 **{now}** credits in the last {span}, {before} in the {span} before ({arrow} {abs(percent):,} %)"


def _month(usage: ServerUsage, unit: CreditUnit) -> list[str]:
    """What the month (of UTC) costs the operator, against the operator's ceiling, and when that will be reached."""
    month, now, ceiling = usage.month, usage.now, usage.ceiling_nano
    committed = NanoDollars(month.provider_nano + month.held_nano)
    per_day = per_day_of_month(month, now)
    if ceiling is None:
        expected = committed + per_day * _seconds(month.resets_at - now) // DAY_S
        line = f"🗓️ **{unit.show(committed, up=True)}** credits of cost this month (UTC), "
        return [f"{line}about {rounded(expected, unit.nano)} by its end at this pace; no ceiling"]
    percent = committed * 100 // ceiling
    line = (
        f"{meter(committed, ceiling)} **{percent:,} %** of this month's ceiling: "
        f"{unit.show(committed, up=True)} of {unit.show(ceiling)} credits"
    )
    pace = _pace(NanoDollars(max(0, ceiling - committed)), per_day, now, month.resets_at)
    return [line, f"-# {pace} · new {format_dt(month.resets_at, 'R')} (months of UTC; what is on hold counts)"]


def _pace(left: NanoDollars, per_day: NanoDollars, now: datetime, ends_at: datetime) -> str:
    if not left:
        return "**reached**"
    at = exhausted_at(left, per_day, now=now, ends_at=ends_at)
    if at is None:
        return "at this pace it lasts"
    return f"at this pace it is **reached on {format_dt(at, 'D')}**, {format_dt(at, 'R')}"


def per_day_of_month(month: MonthTotal, now: datetime) -> NanoDollars:
    """The mean of the month so far, rounded up; its first hours count as a whole day, lest one request set the pace."""
    start = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return NanoDollars(-(-month.provider_nano * DAY_S // max(DAY_S, _seconds(now - start))))


def _seconds(time: timedelta) -> int:
    """Whole ones: amounts times a timedelta would leave its range."""
    return int(time.total_seconds())


def _joined(lines: Sequence[str]) -> str:
    """Whole lines from the top, as many as a message takes."""
    text = "\n".join(lines).rstrip()
    while _length(text) > CONTENT_LIMIT:
        text = text[: text.rindex("\n")].rstrip()
    return text


def _length(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
