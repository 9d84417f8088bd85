"""Rules of money: exact in, exact inside, honest when shown."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import AmountWrong
from bot.money import AMOUNT_LIMIT, CreditUnit, NanoDollars, as_dollars, parse_dollars, token_cost

CREDIT = CreditUnit(nano=1_000_000)
units = st.builds(CreditUnit, nano=st.integers(1, 100_000_000_000))


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("1", 1_000_000),
        (" 100 ", 100_000_000),
        ("0.5", 500_000),
        ("1,000", 1_000_000_000),
        ("1,234,567.25", 1_234_567_250_000),
        ("0.000001", 1),
        ("2.500000000", 2_500_000),
        ("1000000000", AMOUNT_LIMIT),
    ],
)
def test_an_amount_in_credits_is_read_exactly(text: str, nano: int):
    assert CREDIT.parse(text) == nano


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0", "not positive"),
        ("0.000", "not positive"),
        ("-5", "not positive"),
        ("-0", "not positive"),
        ("0.0000001", "too fine"),
        ("1.0000005", "too fine"),
        ("1000000000.000001", "too large"),
        ("9" * 18, "too large"),
        ("9" * 19, "unreadable"),
        ("999,999,999,999,999,999", "too large"),
        ("1,999,999,999,999,999,999", "unreadable"),
        ("0." + "0" * 17 + "1", "too fine"),
        ("0." + "0" * 18 + "1", "unreadable"),
        ("", "unreadable"),
        ("ten", "unreadable"),
        ("1e9", "unreadable"),
        ("1.", "unreadable"),
        (".5", "unreadable"),
        ("1,0", "unreadable"),
        ("1_000", "unreadable"),
        ("٣", "unreadable"),
        ("NaN", "unreadable"),
        ("Infinity", "unreadable"),
        ("--5", "unreadable"),
    ],
)
def test_what_cannot_be_given_is_refused_with_its_problem(text: str, problem: str):
    with pytest.raises(AmountWrong) as raised:
        CREDIT.parse(text)
    assert raised.value.problem == problem
    assert (raised.value.finest, raised.value.largest) == ("0.000001", "1,000,000,000")


@given(units, st.decimals(min_value="0.000000001", max_value="1000000000", places=9))
def test_reading_is_exact_or_refused(unit: CreditUnit, amount: Decimal):
    exact = Fraction(amount) * unit.nano
    if exact.denominator == 1 and exact <= AMOUNT_LIMIT:
        assert unit.parse(f"{amount:f}") == exact
    else:
        with pytest.raises(AmountWrong, match=r"too (fine|large)"):
            unit.parse(f"{amount:f}")


@given(units, st.text(max_size=12))
def test_any_text_is_read_or_refused(unit: CreditUnit, text: str):
    try:
        amount = unit.parse(text)
    except AmountWrong:
        return
    assert 0 < amount <= AMOUNT_LIMIT


@given(units, st.integers(0, AMOUNT_LIMIT).map(NanoDollars))
def test_what_is_shown_lies_beside_the_amount_on_the_stated_side(unit: CreditUnit, amount: NanoDollars):
    exact = Fraction(amount, unit.nano)
    low, high = unit.show(amount).replace(",", ""), unit.show(amount, up=True).replace(",", "")
    assert (low == "0") == (high == "0") == (amount == 0)
    if low == "<0.001":
        assert 0 < exact < Fraction("0.001")
    else:
        assert 0 <= exact - Fraction(low) < Fraction("0.001")
    assert 0 <= Fraction(high) - exact < Fraction("0.001")


@pytest.mark.parametrize(
    ("nano", "shown"),
    [
        (0, "0"),
        (1, "<0.001"),
        (-1, "-<0.001"),
        (1_500_000, "1.5"),
        (1_234_567_899_999, "1,234,567.899"),
        (-2_000_000, "-2"),
    ],
)
def test_amounts_are_shown_in_credits(nano: int, shown: str):
    assert CREDIT.show(NanoDollars(nano)) == shown


@pytest.mark.parametrize(
    ("nano", "finest"), [(1, "1"), (3, "0.333333334"), (1_000_000, "0.000001"), (100_000_000_000, "0.000000001")]
)
def test_the_finest_amount_is_told_as_no_less_than_a_nano_dollar(nano: int, finest: str):
    assert CreditUnit(nano=nano).finest == finest


@pytest.mark.parametrize("nano", [0, -1, 100_000_000_001])
def test_a_credit_is_worth_something_sensible(nano: int):
    with pytest.raises(ValueError):
        CreditUnit(nano=nano)


@pytest.mark.parametrize(
    ("text", "nano"),
    [("25", 25_000_000_000), ("0.001", 1_000_000), ("0.000000001", 1), ("1000000", AMOUNT_LIMIT)],
)
def test_dollars_are_read_exactly(text: str, nano: int):
    assert parse_dollars(text) == nano


@pytest.mark.parametrize("text", ["0", "-1", "1e3", "0.0000000001", "1000000.01", "1,000", "", "$5"])
def test_dollars_that_cannot_be_are_refused(text: str):
    with pytest.raises(ValueError):
        parse_dollars(text)


@pytest.mark.parametrize(
    ("nano", "shown"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (10_000_000, "$0.01"),
        (500_000_000, "$0.50"),
        (1_500_000, "$0.0015"),
        (10_000_000_000, "$10.00"),
        (1_234_567_890_000_000, "$1,234,567.89"),
        (-1_500_000, "-$0.0015"),
    ],
)
def test_amounts_are_shown_in_dollars_exactly_and_with_cents(nano: int, shown: str):
    assert as_dollars(NanoDollars(nano)) == shown


def cost(**changes: int) -> int:
    return token_cost(**{"input_tokens": 3, "output_tokens": 5, "input_nano": 150, "output_nano": 600} | changes)


def test_what_is_read_and_what_is_written_have_each_their_price():
    assert cost() == 3 * 150 + 5 * 600
    assert cost(input_tokens=0, output_tokens=0) == cost(input_nano=0, output_nano=0) == 0


@pytest.mark.parametrize("name", ["input_tokens", "output_tokens", "input_nano", "output_nano"])
def test_neither_tokens_nor_prices_are_negative(name: str):
    with pytest.raises(ValueError):
        cost(**{name: -1})
