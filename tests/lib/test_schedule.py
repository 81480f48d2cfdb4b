"""Calendars of scheduled runs: times are naive UTC, days and hours are Manila's."""

import datetime

import pytest
from lib import schedule


def moment(text):
    return datetime.datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("after", "days", "hour", "expected"),
    [
        # 20:00 in Manila is noon in UTC
        ("2025-02-10 00:00", 0, 20.0, "2025-02-28 12:00"),
        ("2025-02-28 11:59", 0, 20.0, "2025-02-28 12:00"),
        ("2025-02-28 12:00", 0, 20.0, "2025-03-31 12:00"),
        ("2024-02-10 00:00", 0, 20.0, "2024-02-29 12:00"),
        # early hours of Manila are the day before in UTC
        ("2025-12-15 00:00", 1, 1.5, "2025-12-31 17:30"),
        # the month before may still be ahead
        ("2025-02-27 00:00", 60, 8.0, "2025-03-01 00:00"),
    ],
)
def test_month_ends(after, days, hour, expected):
    assert schedule.after_month_end(moment(after), days, hour) == moment(expected)


@pytest.mark.parametrize(
    ("after", "form", "days", "expected"),
    [
        ("2025-10-01 00:00", "1601-EQ", 5, "2025-10-26 00:00"),
        ("2025-10-26 00:00", "1601-EQ", 5, "2026-01-26 00:00"),
        ("2025-10-05 00:00", "0619-E", 0, "2025-11-10 00:00"),
        ("2025-12-31 00:00", "0619-E", 0, "2026-02-10 00:00"),
        ("2025-06-01 00:00", "1604-E", 30, "2026-01-30 00:00"),
        ("2025-12-01 00:00", "1702Q", 0, "2026-05-30 00:00"),
        ("2025-05-30 00:00", "1702Q", 0, "2025-08-29 00:00"),
    ],
)
def test_deadlines(after, form, days, expected):
    assert schedule.before_deadline(moment(after), form, days, 8.0) == moment(expected)


@pytest.mark.parametrize("form", [code for code, _ in schedule.deadline_forms()])
def test_every_form_has_a_next_time_and_times_only_grow(form):
    now, seen = moment("2026-01-01 00:00"), []
    for _ in range(12):
        now = schedule.before_deadline(now, form, 3, 6.0)
        seen.append(now)
    assert seen == sorted(set(seen)) and seen[0] < moment("2027-06-01 00:00")
