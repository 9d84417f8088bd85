"""The line below an answer: which model, how many tokens, what it cost, and whose memory was used. Pure."""

import re
from collections.abc import Sequence

from bot.answers.history import MemoryKey
from bot.answers.window import clean_name
from bot.minitoolai.chat import Usage
from bot.money import CreditUnit, NanoDollars, as_dollars


def footer(
    *,
    model: str,
    usage: Usage,
    estimated: bool,
    cost: NanoDollars,
    unit: CreditUnit,
    memory: str,
    notes: Sequence[str] = (),
) -> str:
    """One line, without the mark of subtext. An estimate wears a `≈`."""
    about = "≈" if estimated else ""
    tokens = f"{about}{usage.prompt_tokens:,} tokens in, {about}{usage.completion_tokens:,} out"
    price = f"{about}{unit.show(cost, up=True)} credits ({as_dollars(cost)})"
    return " · ".join((model, tokens, price, memory, *notes))


def memory_in_words(key: MemoryKey | None, *, asker_name: str, turns: int) -> str:
    """`shared memory, 5 turns`: whose memory the model was given, and how much of it."""
    if key is None:
        return "no memory"
    if key.is_shared:
        whose = "shared memory"
    elif key.is_private:
        whose = "private memory"
    else:
        whose = f"{_plain(asker_name)}'s own memory"
    if turns == 0:
        return whose
    return f"{whose}, {turns} turn{'' if turns == 1 else 's'}"


def _plain(name: str) -> str:
    """A member's name on one line, as it is written: without what Markdown would make of it."""
    return re.sub(r"[*_~|]", r"\\\g<0>", clean_name(name))
