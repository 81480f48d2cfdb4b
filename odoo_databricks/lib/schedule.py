"""Business calendars of scheduled runs: when in Manila the next one is, as naive UTC.

A day that is no working day is not moved: a schedule is set some days before a deadline anyway.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from . import bir_rules

# the Philippines have had no daylight saving time since 1990
_MANILA = datetime.timedelta(hours=8)
# months whose return is another form: the third month of a quarter goes into 1601-EQ and 1601-FQ,
# the fourth quarter into the annual income tax return
_LEFT_OUT = {"0619-E": (3, 6, 9, 12), "0619-F": (3, 6, 9, 12), "1702Q": (12,)}
_MONTHS = {"monthly": 1, "quarterly": 3, "yearly": 12}
# months: no moment lies further behind the end of its period
_LONGEST_DELAY = 5


def deadline_forms() -> list[tuple[str, str]]:
    """(code, title) of the forms that have deadlines."""
    return [(row.form, row.title) for row in bir_rules.forms()]


def after_month_end(after: datetime.datetime, days: int, hour: float) -> datetime.datetime:
    """The first moment after `after` (naive UTC) that is `days` after a month's last day."""
    return _first(after, (end + datetime.timedelta(days) for end in _ends(after, 1)), hour)


def before_deadline(
    after: datetime.datetime, form: str, days: int, hour: float
) -> datetime.datetime:
    """The first moment after `after` that is `days` before a deadline of the form."""
    frequency = next(row.frequency for row in bir_rules.forms() if row.form == form)
    deadlines = (
        bir_rules.deadline(form, end)
        for end in _ends(after, _MONTHS[frequency])
        if end.month not in _LEFT_OUT.get(form, ())
    )
    return _first(after, (due - datetime.timedelta(days) for due in deadlines), hour)


def _ends(after: datetime.datetime, months: int) -> Iterator[datetime.date]:
    """Ends of periods of so many months, from well before `after` on."""
    index = after.year * 12 + after.month - 1 - _LONGEST_DELAY
    index -= index % months
    while True:
        index += months
        yield datetime.date(index // 12, index % 12 + 1, 1) - datetime.timedelta(days=1)


def _first(after, days: Iterator[datetime.date], hour: float) -> datetime.datetime:
    time = datetime.timedelta(minutes=round(hour * 60))
    midnight = datetime.time()
    return next(
        moment
        for moment in (datetime.datetime.combine(day, midnight) + time - _MANILA for day in days)
        if moment > after
    )
