"""Pesos and percents without binary fractions. Rounding is half-up, away from zero, per line."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext

CENTAVO = Decimal("0.01")
_DIGITS = 60  # sums and products of any amount below stay exact before rounding
_TOO_LARGE = Decimal(10) ** 24


def exact(value: Decimal | int | str) -> Decimal:
    """The value as a finite Decimal, unrounded. Raises TypeError for floats, ValueError else."""
    if isinstance(value, bool) or not isinstance(value, (Decimal, int, str)):
        raise TypeError(f"an amount must be Decimal, int or str, not {type(value).__name__}")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a decimal number") from None
    if not number.is_finite() or abs(number) >= _TOO_LARGE:
        raise ValueError(f"{value!r} is not an amount of money")
    return number


def money(value: Decimal | int | float | str) -> Decimal:
    """The value rounded half-up to centavos.

    A float is read by its shortest decimal form (2.675 means 2.675, as a person typed it), since
    Odoo hands out floats; raises TypeError or ValueError for what is no finite number.
    """
    if isinstance(value, float):
        value = repr(value)
    with localcontext() as context:
        context.prec = _DIGITS
        # The sum with zero turns -0.00 into 0.00.
        return exact(value).quantize(CENTAVO, rounding=ROUND_HALF_UP) + Decimal("0.00")


def percent_of(amount: Decimal, rate: Decimal) -> Decimal:
    """`rate` percent of `amount`, rounded half-up to centavos."""
    with localcontext() as context:
        context.prec = _DIGITS
        return money(amount * rate / 100)


def net_of(gross: Decimal, rate: Decimal) -> Decimal:
    """What is left of `gross` when `rate` percent was added to it, rounded half-up to centavos."""
    with localcontext() as context:
        context.prec = _DIGITS
        return money(gross * 100 / (100 + rate))
