"""Who pays for what, however a request ends: one table, used by everybody who ends a hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from bot.money import AMOUNT_LIMIT, NO_MONEY, NanoDollars

Reason = Literal[
    "finished",
    "length",
    "filtered",
    "stopped",
    "cut",
    "deleted",
    "shutdown",
    "refused",
    "unsent",
    "unanswered",
    "failed",
    "cancelled",
    "undelivered",
    "crashed",
]
"""How a request ended; PAYERS explains each."""

Share = Literal["nothing", "consumed", "held"]
"""What one side pays: nothing, what was consumed as far as anybody knows, or the whole worst case that was on hold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Payers:
    """What the user pays, and what is recorded as paid to the API. The difference is the operator's loss."""

    user: Share
    provider: Share
    when: str


PAYERS: Final[Mapping[Reason, Payers]] = {
    "finished": Payers(user="consumed", provider="consumed", when="the answer or picture is complete"),
    "length": Payers(user="consumed", provider="consumed", when="the answer reached its limit of tokens"),
    "filtered": Payers(user="consumed", provider="consumed", when="the API's content filter ended the answer"),
    "stopped": Payers(user="consumed", provider="consumed", when="the asker or a moderator pressed Stop"),
    "cut": Payers(user="nothing", provider="consumed", when="the stream broke, stalled or carried an error"),
    "deleted": Payers(user="nothing", provider="consumed", when="the answer's message or channel was deleted"),
    "shutdown": Payers(user="nothing", provider="consumed", when="the bot was stopped in the middle of the answer"),
    "refused": Payers(user="nothing", provider="nothing", when="the API refused before the first byte, 4xx or 5xx"),
    "unsent": Payers(user="nothing", provider="nothing", when="it never came to a request"),
    "unanswered": Payers(user="nothing", provider="consumed", when="the API took the request and never answered"),
    "failed": Payers(user="nothing", provider="consumed", when="the picture failed at the API"),
    "cancelled": Payers(user="nothing", provider="consumed", when="the picture was cancelled"),
    "undelivered": Payers(user="nothing", provider="consumed", when="Discord would not take the answer or picture"),
    "crashed": Payers(user="nothing", provider="held", when="the bot died; nobody knows what was consumed"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Consumed:
    """What a request used of the API, priced by the catalogue: the API's own figures, or an estimate.

    An estimate is: the tokenizer's count of what was sent and of what came back, for a chat; the price of one picture
    once the API has accepted the job, and nothing before.

    `lost_nano` is what earlier tries of the same request may have cost beside it, which the API took and never
    answered. They are the provider's due, as far as anybody knows, and never the user's.
    """

    nano: NanoDollars
    estimated: bool
    prompt_tokens: int = 0
    completion_tokens: int = 0
    images: int = 0
    lost_nano: NanoDollars = NO_MONEY

    def __post_init__(self) -> None:
        if min(self.nano, self.lost_nano, self.prompt_tokens, self.completion_tokens, self.images) < 0:
            raise ValueError("nothing is consumed below zero")


NOTHING: Final = Consumed(nano=NanoDollars(0), estimated=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a hold ends. Made by `outcome` alone, so that the table above is the only place that decides."""

    reason: Reason
    user_nano: NanoDollars
    provider_nano: NanoDollars
    estimated: bool
    prompt_tokens: int
    completion_tokens: int
    images: int


def outcome(reason: Reason, consumed: Consumed, *, held_nano: NanoDollars) -> Outcome:
    """What each side pays. A user never pays more than was on hold; what the API took beyond it is still recorded.

    Figures beyond AMOUNT_LIMIT, which only a mad API sends, are cut to it: the database could not add them up.
    """
    payers = PAYERS[reason]
    amounts: Mapping[Share, int] = {"nothing": 0, "consumed": min(consumed.nano, AMOUNT_LIMIT), "held": held_nano}
    lost = consumed.lost_nano if payers.provider == "consumed" else 0
    provider = NanoDollars(min(amounts[payers.provider] + lost, AMOUNT_LIMIT))
    return Outcome(
        reason=reason,
        user_nano=NanoDollars(min(amounts[payers.user], held_nano)),
        provider_nano=provider,
        estimated=payers.provider == "held" or ((consumed.estimated or lost > 0) and payers.provider == "consumed"),
        prompt_tokens=min(consumed.prompt_tokens, AMOUNT_LIMIT),
        completion_tokens=min(consumed.completion_tokens, AMOUNT_LIMIT),
        images=min(consumed.images, AMOUNT_LIMIT),
    )
