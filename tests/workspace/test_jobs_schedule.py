"""Schedules: Quartz expressions against known dates and another implementation; firings."""

from __future__ import annotations

import datetime as dt

import pytest
from croniter import croniter
from databricks.sdk.errors import BadRequest
from databricks.sdk.errors.platform import NotImplemented
from databricks.sdk.service.jobs import CronSchedule, JobSettings, PauseStatus, QueueSettings
from hypothesis import given, settings
from hypothesis import strategies as st
from job_runs import GOOD, SLEEP, finish, python_task, state, wait_until

from local_workspace.runs.quartz import QuartzError, QuartzNotComputed, parse

UTC = dt.UTC


def firings(expression: str, zone: str, start: str, count: int) -> list[str]:
    """The next firings after ``start`` (ISO), as local times with their offset."""
    schedule, moment, found = parse(expression, zone), dt.datetime.fromisoformat(start), []
    for _ in range(count):
        moment = schedule.after(moment)
        found.append(moment.astimezone(schedule.zone).isoformat() if moment else None)
        if moment is None:
            break
    return found


@pytest.mark.parametrize(
    ("expression", "start", "wanted"),
    [
        # 6:00 in Manila on each working day; the 1st of November 2026 is a Sunday
        ("0 0 6 ? * MON-FRI", "2026-11-01T00:00:00+08:00",
         ["2026-11-02T06:00:00+08:00", "2026-11-03T06:00:00+08:00"]),
        ("0 0 6 ? * 2-6", "2026-11-06T06:00:00+08:00", ["2026-11-09T06:00:00+08:00"]),
        ("0 0 6 ? * 1", "2026-11-02T00:00:00+08:00", ["2026-11-08T06:00:00+08:00"]),
        ("0 0 6 ? * SAT", "2026-11-02T00:00:00+08:00", ["2026-11-07T06:00:00+08:00"]),
        ("0 0 6 ? * L", "2026-11-02T00:00:00+08:00", ["2026-11-07T06:00:00+08:00"]),
        ("0 0 6 ? * FRI-SUN", "2026-11-02T00:00:00+08:00",
         ["2026-11-06T06:00:00+08:00", "2026-11-07T06:00:00+08:00",
          "2026-11-08T06:00:00+08:00", "2026-11-13T06:00:00+08:00"]),
        ("0 30 23 L * ?", "2026-01-31T23:30:00+08:00",
         ["2026-02-28T23:30:00+08:00", "2026-03-31T23:30:00+08:00"]),
        ("0 0 0 L-2 2 ?", "2028-01-01T00:00:00+08:00", ["2028-02-27T00:00:00+08:00"]),
        ("0 0 9 ? * 6L", "2026-11-01T00:00:00+08:00",
         ["2026-11-27T09:00:00+08:00", "2026-12-25T09:00:00+08:00"]),
        ("0 0 9 ? * FRIL", "2026-11-28T00:00:00+08:00", ["2026-12-25T09:00:00+08:00"]),
        ("0 0 9 ? * 2#1", "2026-11-01T00:00:00+08:00",
         ["2026-11-02T09:00:00+08:00", "2026-12-07T09:00:00+08:00"]),
        ("0 0 9 ? * SUN#5", "2026-11-01T00:00:00+08:00", ["2026-11-29T09:00:00+08:00"]),
        ("0 0 22-2 * * ?", "2026-11-01T21:00:00+08:00",
         ["2026-11-01T22:00:00+08:00", "2026-11-01T23:00:00+08:00",
          "2026-11-02T00:00:00+08:00", "2026-11-02T01:00:00+08:00",
          "2026-11-02T02:00:00+08:00", "2026-11-02T22:00:00+08:00"]),
        ("0 0/20 8 * * ?", "2026-11-01T08:00:00+08:00",
         ["2026-11-01T08:20:00+08:00", "2026-11-01T08:40:00+08:00",
          "2026-11-02T08:00:00+08:00"]),
        ("0 0 0 29 2 ? 2028", "2026-11-01T00:00:00+08:00", ["2028-02-29T00:00:00+08:00", None]),
        ("15,45 10 8 1 jan,jul ?", "2026-11-01T00:00:00+08:00",
         ["2027-01-01T08:10:15+08:00", "2027-01-01T08:10:45+08:00",
          "2027-07-01T08:10:15+08:00"]),
    ],
)  # fmt: skip
def test_known_dates(expression, start, wanted):
    assert firings(expression, "Asia/Manila", start, len(wanted)) == wanted


@pytest.mark.parametrize(
    ("expression", "start", "wanted"),
    [
        # 8 March 2026: 2:00 to 3:00 does not exist
        ("0 30 2 * * ?", "2026-03-07T12:00:00+00:00",
         ["2026-03-08T03:30:00-04:00", "2026-03-09T02:30:00-04:00"]),
        ("0 30 * * * ?", "2026-03-08T06:00:00+00:00",
         ["2026-03-08T01:30:00-05:00", "2026-03-08T03:30:00-04:00",
          "2026-03-08T04:30:00-04:00"]),
        # 1 November 2026: 1:00 to 2:00 comes twice
        ("0 30 1 * * ?", "2026-10-31T12:00:00+00:00",
         ["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"]),
        ("0 30 * * * ?", "2026-11-01T04:00:00+00:00",
         ["2026-11-01T00:30:00-04:00", "2026-11-01T01:30:00-04:00",
          "2026-11-01T01:30:00-05:00", "2026-11-01T02:30:00-05:00"]),
        ("* * * * * ?", "2026-11-01T05:59:58+00:00",
         ["2026-11-01T01:59:59-04:00", "2026-11-01T01:00:00-05:00"]),
    ],
)  # fmt: skip
def test_changes_of_the_clock(expression, start, wanted):
    assert firings(expression, "America/New_York", start, len(wanted)) == wanted


def test_half_an_hour_of_summer_time():
    # Lord Howe: on 4 October 2026 at 2:00 the clock goes on by 30 minutes, on 5 April back.
    assert firings("0 15 2 * * ?", "Australia/Lord_Howe", "2026-10-03T12:00:00+00:00", 2) == [
        "2026-10-04T02:45:00+11:00", "2026-10-05T02:15:00+11:00",
    ]  # fmt: skip
    assert firings("0 45 * * * ?", "Australia/Lord_Howe", "2026-04-04T14:00:00+00:00", 3) == [
        "2026-04-05T01:45:00+11:00", "2026-04-05T01:45:00+10:30", "2026-04-05T02:45:00+10:30",
    ]  # fmt: skip


def listed(first: int, last: int, step: int) -> str:
    return ",".join(map(str, range(first, last + 1, step)))


def field(least: int, most: int, end: int | None = None):
    """(Quartz, cron) texts of a field that mean the same; steps go on until ``end``."""
    end = end or most
    number = st.integers(least, most)
    # croniter takes a range of one number for everything
    ranges = st.tuples(number, number).map(sorted).filter(lambda r: r[0] < r[1])
    return st.one_of(
        st.just(("*", "*")),
        number.map(lambda n: (str(n), str(n))),
        st.lists(number, min_size=1, max_size=4, unique=True).map(
            lambda ns: (",".join(map(str, ns)),) * 2
        ),
        ranges.map(lambda r: (f"{r[0]}-{r[1]}",) * 2),
        # croniter is given what a step means: it misreads one that starts at the last number
        st.tuples(number, st.integers(1, most)).map(
            lambda pair: (f"{pair[0]}/{pair[1]}", listed(pair[0], end, pair[1]))
        ),
        st.integers(1, most).map(lambda step: (f"*/{step}", listed(least, end, step))),
    )


@st.composite
def expressions(draw):
    """(Quartz expression, the same for croniter: minute first, second last, Sunday 0)."""
    second, minute, hour = draw(field(0, 59)), draw(field(0, 59)), draw(field(0, 23))
    month = draw(field(1, 12))
    if draw(st.booleans()):
        day, of_week = draw(field(1, 28, end=31)), ("?", "*")
    else:
        day = ("?", "*")
        days = draw(st.lists(st.integers(1, 7), min_size=1, max_size=5, unique=True))
        of_week = (",".join(map(str, days)), ",".join(str(n - 1) for n in days))
    parts = (second, minute, hour, day, month, of_week)
    quartz = " ".join(part[0] for part in parts)
    return quartz, " ".join(part[1] for part in (minute, hour, day, month, of_week, second))


@settings(max_examples=300, deadline=None)
@given(expressions(), st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2060, 1, 1)))
def test_agrees_with_croniter_where_no_clock_changes(pair, moment):
    quartz, cron = pair
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    wanted = croniter(cron, moment).get_next(dt.datetime)
    assert parse(quartz, "UTC").after(moment) == wanted


@settings(max_examples=200, deadline=None)
@given(
    expressions(),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Manila"]),
    st.datetimes(dt.datetime(2024, 1, 1), dt.datetime(2028, 1, 1)),
)
def test_firings_move_on_and_fit_in_every_zone(pair, zone, moment):
    schedule, moment = parse(pair[0], zone), moment.replace(tzinfo=UTC)
    for _ in range(3):
        firing = schedule.after(moment)
        assert firing > moment
        local = firing.astimezone(schedule.zone)
        if local.hour not in schedule.hours:  # only where the clock left this time out
            before = (firing - dt.timedelta(hours=3)).astimezone(schedule.zone)
            assert before.utcoffset() < local.utcoffset()
        moment = firing


@pytest.mark.parametrize(
    ("expression", "zone"),
    [
        ("", "UTC"), ("0 0 0 * *", "UTC"), ("0 0 0 * * *", "UTC"), ("0 0 0 ? * ?", "UTC"),
        ("60 0 0 * * ?", "UTC"), ("0 0 24 * * ?", "UTC"), ("0 0 0 0 * ?", "UTC"),
        ("0 0 0 32 * ?", "UTC"), ("0 0 0 ? * 8", "UTC"), ("0 0 0 ? * 2#6", "UTC"),
        ("0 0 0 ? * MOO", "UTC"), ("0 0/0 0 * * ?", "UTC"), ("0 *5 0 * * ?", "UTC"),
        ("0 1- 0 * * ?", "UTC"), ("0 0 0 L-31 * ?", "UTC"), ("0 0 0 * * ? 1969", "UTC"),
        ("0 0 0 * * ?", "Mars/Olympus"), ("0 0 0 * * ?", "../etc/passwd"), ("0 0 0 * * ?", ""),
        ("0 0 0 * * ? ? ?", "UTC"), ("0 0 0 ٣ * ?", "UTC"),
    ],
)  # fmt: skip
def test_wrong_expressions(expression, zone):
    with pytest.raises(QuartzError):
        parse(expression, zone)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789*/?,-LW#CMONSUJA ", max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        schedule = parse(text, "Asia/Manila")
    except QuartzError:
        return
    schedule.after(dt.datetime(2026, 1, 1, tzinfo=UTC))


def test_w_is_refused_by_name():
    with pytest.raises(QuartzNotComputed, match="W"):
        parse("0 0 0 15W * ?", "UTC")


@pytest.fixture(scope="module")
def client(workspace):
    return workspace.sdk()


def every_second(**settings) -> CronSchedule:
    return CronSchedule("* * * * * ?", "Asia/Manila", **settings)


def runs_of(client, job_id: int) -> list:
    return list(client.jobs.list_runs(job_id=job_id))


def test_a_schedule_starts_runs_until_it_is_paused(client):
    job = client.jobs.create(
        name="scheduled",
        tasks=[python_task(client, "t", GOOD)],
        schedule=every_second(),
        max_concurrent_runs=100,
    )
    wait_until(lambda: len(runs_of(client, job.job_id)) >= 2, "two firings")
    pause = every_second(pause_status=PauseStatus.PAUSED)
    client.jobs.update(job.job_id, new_settings=JobSettings(schedule=pause))
    fired = runs_of(client, job.job_id)
    run = finish(client, fired[0].run_id)
    assert (run.trigger.value, state(run)) == ("PERIODIC", ("TERMINATED", "SUCCESS"))
    assert run.schedule.quartz_cron_expression == "* * * * * ?"
    assert client.jobs.get(job.job_id).settings.schedule.pause_status is PauseStatus.PAUSED
    # another job's firing shows that time has passed
    other = client.jobs.create(
        name="other", tasks=[python_task(client, "t", GOOD)], schedule=every_second()
    )
    wait_until(lambda: runs_of(client, other.job_id), "the other job's firing")
    client.jobs.delete(other.job_id)
    assert len(runs_of(client, job.job_id)) == len(fired)


def test_firings_are_skipped_or_queued_while_a_run_is_active(client):
    skipping = client.jobs.create(
        name="skips", tasks=[python_task(client, "t", SLEEP)], schedule=every_second()
    )
    queueing = client.jobs.create(
        name="queues",
        tasks=[python_task(client, "t", SLEEP)],
        schedule=every_second(),
        queue=QueueSettings(enabled=True),
    )

    def second_of(job):
        runs = runs_of(client, job.job_id)
        return len(runs) > 1 and state(runs[-2])

    assert wait_until(lambda: second_of(skipping), "a skipped firing") == (
        "SKIPPED", "MAXIMUM_CONCURRENT_RUNS_REACHED",
    )  # fmt: skip
    assert wait_until(lambda: second_of(queueing), "a queued firing") == ("QUEUED", None)
    for job in (skipping, queueing):
        client.jobs.delete(job.job_id)


def test_what_a_job_may_not_ask_for(client):
    task = python_task(client, "t", GOOD)
    for expression, zone in (("0 0 0 31 2 ?", "UTC"), ("0 0 0 * * *", "UTC"), ("x", "UTC"),
                             ("0 0 0 * * ?", "Nowhere")):  # fmt: skip
        with pytest.raises(BadRequest):
            client.jobs.create(name="s", tasks=[task], schedule=CronSchedule(expression, zone))
    with pytest.raises(NotImplemented, match="W"):
        client.jobs.create(name="s", tasks=[task], schedule=CronSchedule("0 0 0 1W * ?", "UTC"))
    # a paused trigger is kept; one that would have to fire is not computed
    for name in ("trigger", "continuous"):
        body = {"name": "s", "tasks": [task.as_dict()], name: {"pause_status": "PAUSED"}}
        job = client.api_client.do("POST", "/api/2.2/jobs/create", body=body)
        client.jobs.delete(job["job_id"])
        body[name]["pause_status"] = "UNPAUSED"
        with pytest.raises(NotImplemented, match=name):
            client.api_client.do("POST", "/api/2.2/jobs/create", body=body)
