"""Money as integers in nano-dollars ($ × 10⁻⁹), the unit in which every price of the API is a whole number."""

from typing import Final, NewType

NanoDollars = NewType("NanoDollars", int)

NANO_PER_DOLLAR: Final = 1_000_000_000


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
