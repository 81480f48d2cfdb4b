"""Quartz cron expressions: when a schedule fires next.

Fields: second minute hour day-of-month month day-of-week [year]; Sunday is 1, Saturday 7. One of
the two day fields must be ``?``. ``L``, ``L-n``, ``nL`` and ``n#k`` are understood; ``W`` and ``C``
are not.

A wall time that a change of clocks leaves out fires when it would have come (02:30 becomes
03:30). A wall time that comes twice fires once, the first time, unless the schedule is for every
hour: that goes by time passed, and fires both times.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from zoneinfo import ZoneInfo

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_YEARS = (1970, 2199)
# A day that no pattern meets in this time never comes (29 February on a Monday: 28 years).
_SEARCH_DAYS = 366 * 60
_PART = re.compile(
    r"(?:\*|(?P<first>[A-Z0-9]+)(?:-(?P<last>[A-Z0-9]+))?)(?:/(?P<step>[0-9]{1,4}))?$"
)

DayTest = Callable[[dt.date], bool]


class QuartzError(ValueError):
    """The expression or the zone is wrong; the text says where."""


class QuartzNotComputed(QuartzError):
    """The expression is right, but uses what is not computed here."""


@dataclass(frozen=True)
class Schedule:
    """A parsed expression in a time zone. ``days`` are tests of which one must hold."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[DayTest, ...]
    months: frozenset[int]
    years: frozenset[int]
    zone: ZoneInfo

    def after(self, moment: dt.datetime) -> dt.datetime | None:
        """The first firing later than ``moment`` (with zone), in UTC; None if none comes."""
        moment = moment.astimezone(dt.UTC)
        # A day early, since a shifted wall time can lie on the day before.
        day = moment.astimezone(self.zone).date() - dt.timedelta(days=1)
        for _ in range(_SEARCH_DAYS):
            if self._meets(day):
                for firing in self._firings(day, moment):
                    if firing > moment:
                        return firing
            day += dt.timedelta(days=1)
        return None

    def _meets(self, day: dt.date) -> bool:
        return (
            day.month in self.months
            and day.year in self.years
            and any(test(day) for test in self.days)
        )

    def _firings(self, day: dt.date, moment: dt.datetime) -> Iterator[dt.datetime]:
        """The firings of a day in order, without most of those before ``moment``."""
        for hour in self.hours:
            if self._is_over(dt.datetime.combine(day, dt.time(hour, 59, 59), self.zone), moment):
                continue
            moments = set()
            for minute in self.minutes:
                for second in self.seconds:
                    wall = dt.datetime.combine(day, dt.time(hour, minute, second), self.zone)
                    moments.add(wall.astimezone(dt.UTC))
                    if self._every_hour:
                        moments |= self._second_pass(wall)
            yield from sorted(moments)

    @staticmethod
    def _is_over(wall: dt.datetime, moment: dt.datetime) -> bool:
        passes = (wall.replace(fold=fold).astimezone(dt.UTC) for fold in (0, 1))
        return max(passes) <= moment

    @cached_property
    def _every_hour(self) -> bool:
        return len(self.hours) == 24

    @staticmethod
    def _second_pass(wall: dt.datetime) -> set[dt.datetime]:
        later = wall.replace(fold=1)
        comes_twice = later.utcoffset() < wall.utcoffset()
        return {later.astimezone(dt.UTC)} if comes_twice else set()


def parse(expression: str, timezone_id: str) -> Schedule:
    """Read a Quartz expression for an IANA time zone.

    Raises QuartzError for what is wrong and QuartzNotComputed for what is not computed.
    """
    try:
        zone = ZoneInfo(timezone_id)
    except (KeyError, ValueError, OSError) as error:
        raise QuartzError(f"timezone_id {timezone_id!r} is no known time zone.") from error
    fields = expression.upper().split()
    if len(fields) not in (6, 7):
        raise QuartzError(
            f"quartz_cron_expression {expression!r} needs 6 or 7 fields: second minute hour"
            " day-of-month month day-of-week [year]."
        )
    second, minute, hour, of_month, month, of_week = fields[:6]
    if (of_month == "?") == (of_week == "?"):
        raise QuartzError("Exactly one of day-of-month and day-of-week must be '?'.")
    return Schedule(
        seconds=tuple(sorted(_numbers("second", second, 0, 59))),
        minutes=tuple(sorted(_numbers("minute", minute, 0, 59))),
        hours=tuple(sorted(_numbers("hour", hour, 0, 23))),
        days=tuple(_days_of_week(of_week) if of_month == "?" else _days_of_month(of_month)),
        months=frozenset(_numbers("month", month, 1, 12, _MONTHS)),
        years=frozenset(_numbers("year", fields[6] if len(fields) == 7 else "*", *_YEARS)),
        zone=zone,
    )


def _numbers(name: str, text: str, least: int, most: int, names: tuple[str, ...] = ()) -> set[int]:
    """The numbers that a field names. A range may run over its end: ``FRI-MON``, ``22-2``."""
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.match(part)
        if match is None:
            raise QuartzError(f"{name}: {part!r} is not understood.")
        step = int(match["step"] or 1)
        if not 1 <= step <= most:
            raise QuartzError(f"{name}: the step of {part!r} must lie between 1 and {most}.")
        first, last = least, most
        if match["first"]:
            first = _number(name, match["first"], least, most, names)
        if match["last"]:
            last = _number(name, match["last"], least, most, names)
        elif match["first"] and not match["step"]:
            last = first
        size = most - least + 1
        reach = (last - first) % size
        found |= {least + (first - least + offset) % size for offset in range(0, reach + 1, step)}
    return found


def _number(name: str, text: str, least: int, most: int, names: tuple[str, ...]) -> int:
    if text in names:
        return names.index(text) + 1
    if not text.isdigit() or not least <= int(text) <= most:
        raise QuartzError(f"{name}: {text!r} must lie between {least} and {most}.")
    return int(text)


def _days_of_month(text: str) -> Iterator[DayTest]:
    for part in text.split(","):
        if "W" in part or "C" in part:
            raise QuartzNotComputed(f"W or C in a Quartz expression (day-of-month {part!r})")
        if part == "L" or re.fullmatch(r"L-\d{1,2}", part):
            before = int(part[2:] or 0)
            if before > 30:
                raise QuartzError(f"day-of-month {part!r}: no month has so many days.")
            yield lambda day, before=before: day.day == _last_day(day) - before
        else:
            numbers = _numbers("day-of-month", part, 1, 31)
            yield lambda day, numbers=numbers: day.day in numbers


def _days_of_week(text: str) -> Iterator[DayTest]:
    for part in text.split(","):
        if part == "L":
            yield lambda day: _weekday(day) == 7
        elif part.endswith("L"):
            wanted = _number("day-of-week", part[:-1], 1, 7, _DAYS)
            yield (
                lambda day, wanted=wanted: _weekday(day) == wanted and day.day > _last_day(day) - 7
            )
        elif "#" in part:
            name, _, which = part.partition("#")
            wanted = _number("day-of-week", name, 1, 7, _DAYS)
            turn = _number("day-of-week", which, 1, 5, ())
            yield (
                lambda day, wanted=wanted, turn=turn: (
                    _weekday(day) == wanted and (day.day - 1) // 7 + 1 == turn
                )
            )
        else:
            if "W" in part.replace("WED", "") or "C" in part:
                raise QuartzNotComputed(f"W or C in a Quartz expression (day-of-week {part!r})")
            numbers = _numbers("day-of-week", part, 1, 7, _DAYS)
            yield lambda day, numbers=numbers: _weekday(day) in numbers


def _weekday(day: dt.date) -> int:
    """Quartz' number: 1 is Sunday."""
    return day.isoweekday() % 7 + 1


def _last_day(day: dt.date) -> int:
    return calendar.monthrange(day.year, day.month)[1]
