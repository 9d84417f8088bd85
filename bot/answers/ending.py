"""How an answer has ended, written down before its last edit: whoever finds it unfinished can show it and charge it."""

from dataclasses import asdict, dataclass
from typing import Literal

import orjson

from bot.answers.tokens import whole_text
from bot.credits.rules import Consumed, Reason
from bot.money import NanoDollars

AnswerState = Literal["running", "done", "stopped", "failed", "cut"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """What its messages are to show, and what is to be charged once they do.

    `text` is all that the model said, `heading` stands above it. `torn`: it broke off, perhaps inside a mark.
    """

    state: AnswerState
    reason: Reason
    consumed: Consumed
    text: str
    heading: str
    footer: str
    notice: str | None
    torn: bool
    may_continue: bool
    remembered: bool

    def to_json(self) -> str:
        """For the database, which takes no lone surrogates."""
        fields = asdict(self)
        return orjson.dumps(
            {name: whole_text(value) if isinstance(value, str) else value for name, value in fields.items()}
        ).decode()

    @classmethod
    def from_json(cls, stored: str) -> "Ended":
        """What `to_json` made."""
        fields = orjson.loads(stored)
        amounts = fields["consumed"]
        consumed = Consumed(
            **{**amounts, "nano": NanoDollars(amounts["nano"]), "lost_nano": NanoDollars(amounts["lost_nano"])}
        )
        return cls(**{**fields, "consumed": consumed})
