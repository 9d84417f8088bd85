"""How an answer has ended, written down before its last edit: whoever finds it unfinished can show it and charge it."""

from dataclasses import asdict, dataclass
from typing import Literal, get_args, get_type_hints

import orjson

from bot.answers.tokens import whole_text
from bot.credits.rules import PAYERS, Consumed, Reason
from bot.money import AMOUNT_LIMIT, NanoDollars

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
        """For the database, which takes no lone surrogates; figures beyond AMOUNT_LIMIT are cut as when charged."""
        fields = asdict(self)
        fields["consumed"] = {name: min(amount, AMOUNT_LIMIT) for name, amount in fields["consumed"].items()}
        return orjson.dumps(
            {name: whole_text(value) if isinstance(value, str) else value for name, value in fields.items()}
        ).decode()

    @classmethod
    def from_json(cls, stored: str) -> "Ended":
        """What `to_json` made.

        Raises:
            ValueError: it is damaged, or of another version.
        """
        try:
            fields = orjson.loads(stored)
            amounts = fields["consumed"]
            consumed = Consumed(
                **{**amounts, "nano": NanoDollars(amounts["nano"]), "lost_nano": NanoDollars(amounts["lost_nano"])}
            )
            ended = cls(**{**fields, "consumed": consumed})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"unreadable ({type(error).__name__})") from None
        if not (ended.state in get_args(AnswerState) and ended.reason in tuple(PAYERS) and ended._is_typed()):
            raise ValueError("it says what is not known here")
        return ended

    def _is_typed(self) -> bool:
        plain = {name: kind for name, kind in get_type_hints(Ended).items() if kind in (str, bool, str | None)}
        return all(isinstance(getattr(self, name), kind) for name, kind in plain.items())
