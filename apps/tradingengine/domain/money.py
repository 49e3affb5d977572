"""Money as integer paise. There is no float anywhere on a price's way."""

import re
from decimal import Decimal
from typing import TypeAlias

from tradingengine.domain.errors import DomainError

Paise: TypeAlias = int
"""Hundredths of a rupee; prices are paise per unit."""

MAX_PAISE = 10**15  # fits a signed 64-bit column with room for sums
_RUPEES = re.compile(r"(-?)(\d{1,15})(?:\.(\d{1,2}))?")


def parse_rupees(value: str | int | Decimal) -> Paise:
    """Paise of an amount in rupees: "12.35" -> 1235.

    Takes at most two decimals. Raises DomainError for floats, exponents, blanks, more decimals or too large a number.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise DomainError(f"{value!r} is not an amount: give rupees as text, e.g. '12.35'")
    match = _RUPEES.fullmatch(format(value, "f") if isinstance(value, Decimal) else str(value))
    if match is None:
        raise DomainError(f"{value!r} is not an amount in rupees: digits with at most two decimals, e.g. '12.35'")
    sign, whole, part = match.groups()
    paise = int(whole) * 100 + int((part or "0").ljust(2, "0"))
    if paise > MAX_PAISE:
        raise DomainError(f"{value!r} is too large an amount")
    return -paise if sign else paise


def format_rupees(paise: Paise) -> str:
    """Rupees as text with two decimals for programs: 1235 -> "12.35". People read `show_rupees`."""
    sign = "-" if paise < 0 else ""
    return f"{sign}{abs(paise) // 100}.{abs(paise) % 100:02d}"


def show_count(number: int) -> str:
    """A whole number for people, grouped the Indian way: 1234567 -> "12,34,567"."""
    digits = str(abs(number))
    head, groups = digits[:-3], [digits[-3:]]
    while head:
        head, group = head[:-2], head[-2:]
        groups.insert(0, group)
    return ("\u2212" if number < 0 else "") + ",".join(groups)


def show_rupees(paise: Paise) -> str:
    """An amount for people: 123456789 -> "₹12,34,567.89"; the minus stands before the sign, as on the page."""
    sign = "\u2212" if paise < 0 else ""
    return f"{sign}₹{show_count(abs(paise) // 100)}.{abs(paise) % 100:02d}"


def is_on_tick(price: Paise, tick: Paise) -> bool:
    """Whether a price is a whole number of ticks (tick in paise, at least 1)."""
    return price % tick == 0


def round_to_tick(price: Paise, tick: Paise, *, up: bool) -> Paise:
    """The nearest whole tick at or above (`up`) or at or below the price."""
    return -(-price // tick) * tick if up else price // tick * tick


def divide_half_even(numerator: int, denominator: int) -> int:
    """Integer quotient rounded to nearest, ties to even; denominator above 0."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient % 2):
        return quotient + 1
    return quotient
