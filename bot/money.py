"""Money as integers in nano-dollars ($ × 10⁻⁹), the unit in which every price of the API is a whole number."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NewType

from bot.errors import AmountProblem, AmountWrong

NanoDollars = NewType("NanoDollars", int)

NANO_PER_DOLLAR: Final = 1_000_000_000
NO_MONEY: Final = NanoDollars(0)


def token_cost(*, input_tokens: int, output_tokens: int, input_nano: int, output_nano: int) -> NanoDollars:
    """What so many tokens cost at prices in nano-dollars a token. Exact: no price of the API needs rounding.

    Raises:
        ValueError: a count or a price is negative.
    """
    if min(input_tokens, output_tokens, input_nano, output_nano) < 0:
        raise ValueError("tokens and prices are never negative")
    return NanoDollars(input_tokens * input_nano + output_tokens * output_nano)


def as_dollars(amount: NanoDollars) -> str:
    """The exact amount for people: `$0.0015`, with at least two decimals and no trailing zeros beyond them."""
    sign = "-" if amount < 0 else ""
    whole, part = divmod(abs(amount), NANO_PER_DOLLAR)
    decimals = f"{part:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}${whole:,}.{decimals}"


AMOUNT_LIMIT: Final = NanoDollars(1_000_000 * NANO_PER_DOLLAR)
"""The most that one allowance, grant or price may be: a million dollars. Thousands of them still fit into 64 bits."""

SHOWN_DECIMALS: Final = 3
"""Decimals of a credit that people are shown; what is entered may be finer."""

_DECIMAL: Final = re.compile(r"(?:[0-9]{1,18}|[0-9]{1,3}(?:,[0-9]{3}){1,5})(?:\.[0-9]{1,18})?", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class CreditUnit:
    """What people count in. `nano` is what one credit is worth, in nano-dollars: 1 to a hundred dollars' worth."""

    nano: int

    def __post_init__(self) -> None:
        if not 1 <= self.nano <= 100 * NANO_PER_DOLLAR:
            raise ValueError("a credit is worth from one nano-dollar to a hundred dollars")

    @property
    def finest(self) -> str:
        """One nano-dollar in credits, rounded up to nine decimals: the least that can be given."""
        return self._decimal(1, up=True, places=9)

    def parse(self, text: str) -> NanoDollars:
        """The amount that somebody typed in credits: `100`, `1,000`, `0.5`. Exact.

        Raises:
            AmountWrong: it is no decimal number, not above zero, finer than a nano-dollar, or over AMOUNT_LIMIT.
        """
        problem: AmountProblem
        written = text.strip()
        if not _DECIMAL.fullmatch(written.removeprefix("-")):
            problem = "unreadable"
        elif written.startswith("-") or not any(digit in "123456789" for digit in written):
            problem = "not positive"
        else:
            amount = Fraction(written.replace(",", "")) * self.nano
            if amount > AMOUNT_LIMIT:
                problem = "too large"
            elif amount.denominator != 1:
                problem = "too fine"
            else:
                return NanoDollars(int(amount))
        raise AmountWrong(text, problem, finest=self.finest, largest=self.show(AMOUNT_LIMIT))

    def show(self, amount: NanoDollars, *, up: bool = False) -> str:
        """The amount in credits without the word: `1,234.5`. At most three decimals.

        Rounded down, as befits what is left; `up` for what something costs. What is not zero is never shown as zero:
        it reads `<0.001`.
        """
        shown = self._decimal(abs(amount), up=up, places=SHOWN_DECIMALS)
        if shown == "0" and amount != 0:
            shown = f"<0.{'1'.rjust(SHOWN_DECIMALS, '0')}"
        return f"-{shown}" if amount < 0 else shown

    def _decimal(self, amount: int, *, up: bool, places: int) -> str:
        scale = 10**places
        scaled = -(-amount * scale // self.nano) if up else amount * scale // self.nano
        whole, part = divmod(scaled, scale)
        decimals = f"{part:0{places}d}".rstrip("0")
        return f"{whole:,}.{decimals}" if decimals else f"{whole:,}"


def parse_dollars(text: str) -> NanoDollars:
    """An amount in dollars as an operator writes it, `25` or `0.001`.

    Raises:
        ValueError: it is no decimal number above zero with at most nine decimals and up to AMOUNT_LIMIT.
    """
    if not re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,9})?", text):
        raise ValueError("not an amount in dollars")
    amount = Fraction(text) * NANO_PER_DOLLAR
    if not 0 < amount <= AMOUNT_LIMIT:
        raise ValueError("not an amount that can be set")
    return NanoDollars(int(amount))
