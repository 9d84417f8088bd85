"""Every state of an order's message, and every name and word that goes with its pictures. Pure.

A message begins with the prompt as a quote, which nothing in the prompt can leave, format, link or ping from; for
spoilers it is hidden as they are. No state is told by colour or by the bar alone: words stand beside it.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from bot.answers.plain import excerpt, one_line
from bot.delivery.messages import CONTENT_LIMIT, Button, Outgoing, utf16_length
from bot.money import CreditUnit, NanoDollars, as_dollars
from bot.pictures.request import Order, Picture

Action = Literal["cancel", "again", "edit", "shape", "details", "delete"]

Ending = Literal["cancelled", "undelivered"]

ENDINGS: Final[dict[Ending, str]] = {
    "cancelled": "⏹️ Cancelled.",
    "undelivered": "⚠️ Drawn, but I could not put it here. Please try again.",
}
"""What to say of endings that no error explains better."""

Misplaced = Literal["gone", "forbidden"]
"""Why pictures come by direct message: their message or channel is gone, or the bot may not write there."""

HEADING_LIMIT: Final = 200
"""Characters of the prompt that its message repeats."""
ALT_LIMIT: Final = 1_024
"""Discord's limit for an attachment's description, here in UTF-16 code units."""
SLUG_LIMIT: Final = 48
LINE_LIMIT: Final = 450
"""UTF-16 code units of a line that others have a say in: a cause, the notes of a footer. Three of them fit into any
message, below a prompt that is escaped in every character."""

CELLS: Final = 10
WANDERING: Final = 3
SOON: Final = 1.5
"""A picture that takes up to so many times its estimate is still as good as due."""
LONG_S: Final = 60.0
"""Without an estimate, what takes longer than this is said to take long."""

_EPOCH_MS: Final = 1_420_070_400_000
"""The first moment of 2015, from which Discord's snowflakes count milliseconds in their upper bits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far an order is. Seconds since its first picture was asked for; `expected_s` for all of it, None where
    nothing is known. `drawn` of the order's pictures are ready, `failed` will never be."""

    elapsed_s: float
    expected_s: float | None = None
    drawn: int = 0
    failed: int = 0


def price_in_words(cost: NanoDollars, unit: CreditUnit) -> str:
    """`1.5 credits ($0.0015)`."""
    shown = unit.show(cost, up=True)
    return f"{shown} credit{'' if shown == '1' else 's'} ({as_dollars(cost)})"


# ------------------------------------------------------------------------------------------------- states


def waiting(order: Order, *, position: int, price: str) -> Outgoing:
    """In line. `price` is the whole order's, of `price_in_words`."""
    state = f"⏳ {ordinal(position)} in line. I start as soon as it is your turn."
    return _message(order, (state, _set_apart(order, price)), (_button(order, "cancel"),))


def drawing(order: Order, progress: Progress, *, price: str) -> Outgoing:
    """Asked for and not all drawn yet; to be shown anew as time passes."""
    lines = (f"🎨 {_drawn_so_far(order, progress)}", _bar_line(progress), _set_apart(order, price))
    return _message(order, lines, (_button(order, "cancel"),))


def delivered(
    order: Order,
    *,
    images: int,
    cost: NanoDollars,
    unit: CreditUnit,
    notes: Sequence[str] = (),
    lead: str = "",
    why: str = "",
) -> Outgoing:
    """The pictures are there, `images` of the `order.count` ordered, for `cost` in all.

    `notes` join the footer (the used-notice), `lead` goes before everything but the prompt (`dm_words`), and `why` says
    why some are missing. Uploads are the caller's to add.
    """
    missing = order.count - images
    lines = []
    if missing > 0:
        its = "its" if missing == 1 else "their"
        lines.append(_clipped(f"⚠️ {missing} of {order.count} failed, {its} credits came back. {why}".rstrip()))
    lines.append(_subtext(" · ".join((*_parameters(order.picture), price_in_words(cost, unit), *notes))))
    return _message(order, (_clipped(lead), *lines), _ending_buttons(order, has_pictures=True))


def ended(order: Order, *, words: str) -> Outgoing:
    """No picture came of it, and nothing was charged. `words` say why: of `ENDINGS`, or an error's sentence."""
    lines = [f"{_clipped(words)} Nothing was charged.", _subtext(" · ".join(_parameters(order.picture)))]
    return _message(order, lines, _ending_buttons(order, has_pictures=False))


def left(order: Order) -> Outgoing:
    """Nobody sees to it before the next start, because its state cannot be written down."""
    words = "⏸️ Paused: my memory does not take anything in. I go on with this, or give the credits back, once it does."
    return _message(order, (words, _subtext(" · ".join(_parameters(order.picture)))), ())


def dm_words(order: Order, why: Misplaced) -> str:
    """The line above pictures that come by direct message, because they cannot come where they were ordered."""
    what, they = ("Your picture", "it is") if order.count == 1 else ("Your pictures", "they are")
    where = f"<#{order.place.channel_id}>"
    cause = {"gone": f"my reply in {where} was deleted", "forbidden": f"I may not show pictures in {where} any more"}
    return f"📬 {what}: {cause[why]}, so here {they}."


def details(order: Order) -> str:
    """A message body with the order as a command, to be read and copied."""
    return _fitting(lambda limit: _details_with(order, limit), CONTENT_LIMIT)


def command_text(order: Order, limit: int | None = None) -> str:
    """`/imagine prompt:… model:…` with every option, on one line. Of both prompts at most `limit` characters each."""
    picture = order.picture
    options: dict[str, object] = {"prompt": _words(picture.prompt, limit), "model": picture.model}
    if negative := _words(picture.negative_prompt or "", limit):
        options["negative_prompt"] = negative
    options |= {"scheduler": picture.scheduler, "steps": picture.steps, "cfg_scale": f"{picture.cfg_scale:.10g}"}
    if picture.shape is not None:
        options["shape"] = picture.shape
    else:
        options |= {"width": picture.width, "height": picture.height}
    options["count"] = order.count
    options |= {"spoiler": order.spoiler, "private": order.private}
    return "/imagine " + " ".join(f"{name}:{value}" for name, value in options.items())


# ------------------------------------------------------------------------------------------ files and names


def alt_text(order: Order, number: int) -> str:
    """What a screen reader says of picture `number` (from 1): `Picture 1 of 4, drawn by realvision: a lighthouse`."""
    which = "Picture" if order.count == 1 else f"Picture {number} of {order.count},"
    begin = f"{which} drawn by {one_line(order.picture.model, 60)}: "
    return _fitting(lambda limit: begin + one_line(order.picture.prompt, limit), ALT_LIMIT)


def file_name(order: Order, number: int, kind: str) -> str:
    """`a-lighthouse-1234567890-1.png`: the prompt's beginning in ASCII, the order's id, the picture's number from 1.

    `kind` is the format, `png`, `jpeg` or `webp`. Discord hides files behind a spoiler by their name's beginning.
    """
    plain = unicodedata.normalize("NFKD", order.picture.prompt).encode("ascii", "ignore").decode().lower()
    slug = "-".join(re.findall(r"[a-z0-9]+", plain))
    if len(slug) > SLUG_LIMIT:
        slug = slug[: SLUG_LIMIT + 1].rpartition("-")[0] or slug[:SLUG_LIMIT]
    ending = {"jpeg": "jpg"}.get(kind.lower(), kind.lower())
    return f"{'SPOILER_' if order.spoiler else ''}{slug or 'picture'}-{order.id}-{number}.{ending}"


def file_number(order: Order, name: str) -> int | None:
    """Which of the order's pictures a file is, from 1; None where it is none of its."""
    found = re.fullmatch(rf"(?:.*-)?{order.id}-([1-9])\.[a-z0-9]{{2,5}}", name, re.ASCII | re.DOTALL)
    number = int(found[1]) if found else 0
    return number if 1 <= number <= order.count else None


def is_own_file(order: Order, name: str) -> bool:
    """Whether the order's own delivery named this file."""
    return file_number(order, name) is not None


# ---------------------------------------------------------------------------------------------- their parts


def bar(progress: Progress) -> str:
    """Ten cells. With an estimate they fill up, the last one never; without one, three of them wander round."""
    if progress.expected_s is None or progress.expected_s <= 0:
        first = int(progress.elapsed_s) % CELLS
        lit = {(first + step) % CELLS for step in range(WANDERING)}
        return "".join("▰" if cell in lit else "▱" for cell in range(CELLS))
    filled = int(min(CELLS * progress.elapsed_s / progress.expected_s, CELLS - 1))
    return "▰" * filled + "▱" * (CELLS - filled)


def clock(seconds: float) -> str:
    """`0:05`, `1:02:03`: whole seconds that have passed."""
    minutes, rest = divmod(max(int(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `11th`, `1,003rd`."""
    teens = 10 <= number % 100 <= 20
    ending = "th" if teens else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"


def _bar_line(progress: Progress) -> str:
    """The bar, and what it says in words."""
    so_far, expected_s = clock(progress.elapsed_s), progress.expected_s
    if expected_s is None or expected_s <= 0:
        words = f"{so_far} so far"
        if progress.elapsed_s > LONG_S:
            words += ", longer than most. I keep waiting; cancelling costs nothing."
        return f"{bar(progress)} {words}"
    usual = clock(expected_s + 0.999)  # an estimate is a promise: rounded up
    if progress.elapsed_s <= expected_s:
        words = f"{so_far} of about {usual}"
    elif progress.elapsed_s <= SOON * expected_s:
        words = f"{so_far}, any moment now (usually {usual})"
    else:
        words = f"{so_far}, longer than the usual {usual}. I keep waiting; cancelling costs nothing."
    return f"{bar(progress)} {words}"


def _drawn_so_far(order: Order, progress: Progress) -> str:
    if order.count == 1:
        return "Drawing your picture."
    if progress.drawn == progress.failed == 0:
        return f"Drawing {order.count} pictures."
    failed = f", {progress.failed} failed" if progress.failed else ""
    return f"{progress.drawn} of {order.count} drawn{failed}."


def _set_apart(order: Order, price: str) -> str:
    picture = "the picture" if order.count == 1 else f"{order.count} pictures"
    return _subtext(f"{excerpt(order.picture.model, 60)} · {price} set apart for {picture}, charged on delivery")


def _parameters(picture: Picture) -> tuple[str, ...]:
    return (
        excerpt(picture.model, 60),
        f"{picture.width} × {picture.height}",
        f"{picture.steps} step{'' if picture.steps == 1 else 's'}",
        f"CFG {picture.cfg_scale:.10g}",
        picture.scheduler,
    )


def _details_with(order: Order, limit: int) -> str:
    whole = max(len(order.picture.prompt), len(order.picture.negative_prompt or "")) <= limit
    ordered = ((order.id >> 22) + _EPOCH_MS) // 1_000
    lines = (
        "This is the order, to be copied:",
        f"```\n{_unfenced(command_text(order, limit))}\n```",
        f"-# Ordered <t:{ordered}:f>" + ("" if whole else " · shortened here: Edit shows all of it"),
    )
    return "\n".join(lines)


def _unfenced(text: str) -> str:
    """Text that cannot end the code block it stands in: no backtick follows another."""
    return re.sub(r"`(?=`)", "`\u200b", text)


def _words(text: str, limit: int | None) -> str:
    return one_line(text, len(text) + 1 if limit is None else limit)


def _message(order: Order, lines: Sequence[str], buttons: tuple[Button, ...]) -> Outgoing:
    words = excerpt(order.picture.prompt, HEADING_LIMIT) or "…"
    heading = f"> ||{words}||" if order.spoiler else f"> {words}"
    content = "\n".join((heading, *(line for line in lines if line)))
    return Outgoing(content=content, buttons=buttons)


def _subtext(line: str) -> str:
    return f"-# {_clipped(line)}"


def _clipped(line: str) -> str:
    if utf16_length(line) <= LINE_LIMIT:
        return line
    return _fitting(lambda limit: line[:limit].rstrip() + "…", LINE_LIMIT)


def _fitting(build: Callable[[int], str], units: int) -> str:
    """What `build` makes with the highest limit at which it takes at most `units` UTF-16 code units."""
    longest = 2_001
    limit = bisect_right(range(1, longest), units, key=lambda limit: utf16_length(build(limit)))
    return build(max(limit, 1))


_BUTTONS: Final[dict[Action, tuple[str, str]]] = {
    "cancel": ("Cancel", "✖️"),
    "again": ("Again", "🔁"),
    "edit": ("Edit", "✏️"),
    "shape": ("Shape", "🔲"),
    "details": ("Details", "📋"),
    "delete": ("Delete", "🗑️"),
}


def _button(order: Order, action: Action) -> Button:
    """A button that names the stored order, so it works for as long as that is kept."""
    label, emoji = _BUTTONS[action]
    style: Literal["danger", "secondary"] = "danger" if action == "cancel" else "secondary"
    return Button(custom_id=f"picture:{action}:{order.id}", label=label, emoji=emoji, style=style)


def _ending_buttons(order: Order, *, has_pictures: bool) -> tuple[Button, ...]:
    actions: tuple[Action, ...] = ("again", "edit", "shape", "details", "delete")
    kept = actions if has_pictures else ("again", "edit", "delete")
    return tuple(_button(order, action) for action in kept)
