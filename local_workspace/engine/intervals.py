"""SQL intervals: their texts, their numbers, and results that hold them.

A year-month interval is a number of months, a day-time interval a number of microseconds.
"""

from __future__ import annotations

import re

_MONTHS = {"YEAR": 12, "MONTH": 1}
_MICROSECONDS = {
    "DAY": 86_400_000_000, "HOUR": 3_600_000_000, "MINUTE": 60_000_000, "SECOND": 1_000_000,
}  # fmt: skip
# Each unit after the first is written after this mark and stays below this bound.
_AFTER = {"MONTH": "-", "HOUR": " ", "MINUTE": ":", "SECOND": ":"}
_BELOW = {"MONTH": 12, "HOUR": 24, "MINUTE": 60, "SECOND": 60}


def year_month_months(text: str, start: str, end: str) -> int:
    """Months of a text such as ``1-2`` (YEAR TO MONTH) or ``5`` (MONTH). Raises ValueError."""
    sign, numbers = _numbers(text, start, end, _MONTHS)
    months = sign * sum(int(numbers[unit]) * size for unit, size in _MONTHS.items())
    if not -(2**31) <= months < 2**31:
        raise ValueError("out of range")
    return months


def day_time_us(text: str, start: str, end: str) -> int:
    """Microseconds of a text such as ``1 02:03:04.5`` (DAY TO SECOND). Raises ValueError."""
    sign, numbers = _numbers(text, start, end, _MICROSECONDS)
    whole, _, fraction = numbers.pop("SECOND").partition(".")
    size = sum(int(number) * _MICROSECONDS[unit] for unit, number in numbers.items())
    size += int(whole) * _MICROSECONDS["SECOND"] + int(fraction[:6].ljust(6, "0"))
    if not -(2**63) <= sign * size < 2**63:
        raise ValueError("out of range")
    return sign * size


def year_month_text(months: int) -> str:
    """``1-2`` for 14 months."""
    years, rest = divmod(abs(months), 12)
    return f"{'-' if months < 0 else ''}{years}-{rest}"


def day_time_text(microseconds: int) -> str:
    """``1 02:03:04.500000000`` for a day, two hours, three minutes and 4.5 seconds."""
    seconds, fraction = divmod(abs(microseconds), 1_000_000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    sign = "-" if microseconds < 0 else ""
    return f"{sign}{day} {hour:02}:{minute:02}:{second:02}.{fraction * 1000:09}"


def _numbers(text: str, start: str, end: str, sizes: dict[str, int]) -> tuple[int, dict[str, str]]:
    """Sign and the number of each unit, '0' for units that are not written."""
    units = list(sizes)
    if units.index(start) > units.index(end):
        raise ValueError("the units are in the wrong order")
    written = units[units.index(start) : units.index(end) + 1]
    pattern = r"\s*([+-]?)"
    for unit in written:
        mark = "" if unit == start else re.escape(_AFTER[unit])
        digits = r"\d{1,19}(?:\.\d{1,9})?" if unit == "SECOND" else r"\d{1,19}"
        pattern += f"{mark}({digits})"
    match = re.fullmatch(pattern + r"\s*", text, re.ASCII)
    if not match:
        raise ValueError("not written as an interval of these units")
    numbers = dict.fromkeys(units, "0") | dict(zip(written, match.groups()[1:], strict=True))
    for unit in written[1:]:
        if float(numbers[unit]) >= _BELOW[unit]:
            raise ValueError(f"{unit} is out of range")
    return (-1 if match.group(1) == "-" else 1), numbers
