"""Quarters and deadlines. A day that is no working day is not moved here: that needs a calendar."""

from __future__ import annotations

import datetime

from .data import forms


def quarter_label(day: datetime.date) -> str:
    """Calendar quarter as 2025-Q3."""
    return f"{day.year}-Q{(day.month + 2) // 3}"


def quarter_end(day: datetime.date) -> datetime.date:
    """Last day of the calendar quarter."""
    return _month_end(day.year, (day.month + 2) // 3 * 3)


def _month_end(year: int, month: int) -> datetime.date:
    first_of_next = datetime.date(year + month // 12, month % 12 + 1, 1)
    return first_of_next - datetime.timedelta(days=1)


def deadline(form: str, period_end: datetime.date) -> datetime.date:
    """The day on which the form for the period is due, for manual and eBIRForms filers.

    `period_end` is the last day of the month, quarter or year. Raises ValueError for a form that
    the table does not hold on that day.
    """
    for row in forms():
        if row.form == form and row.holds_on(period_end):
            return _apply(row.deadline_rule, period_end)
    raise ValueError(f"no deadline rule for form {form} and a period that ends on {period_end}")


def _apply(rule: str, period_end: datetime.date) -> datetime.date:
    kind, _, argument = rule.partition(":")
    next_year, next_month = (
        period_end.year + period_end.month // 12,
        period_end.month % 12 + 1,
    )
    if kind == "next_month_day":
        return datetime.date(next_year, next_month, int(argument))
    if kind == "next_month_end":
        return _month_end(next_year, next_month)
    if kind == "next_year":
        return datetime.date.fromisoformat(f"{period_end.year + 1}-{argument}")
    if kind == "days_after":
        return period_end + datetime.timedelta(days=int(argument))
    raise ValueError(f"{rule!r} is not a deadline rule")
