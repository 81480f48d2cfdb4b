"""Which tasks of a run run, and what their results make of the run: run_if, only, cancelling."""

from __future__ import annotations

import pytest
from databricks.sdk.errors import BadRequest
from job_runs import BAD, GOOD, SLEEP, finish, python_task, results, state, wait_running

from local_workspace.runs import graph


@pytest.fixture(scope="module")
def client(workspace):
    return workspace.sdk()


@pytest.fixture(scope="module")
def run_tasks(client):
    """Run tasks given as (key, source, after, run_if) to their end."""

    def run(*tasks, **asked):
        made = [
            python_task(client, key, source, *after, run_if=run_if)
            for key, source, after, run_if in tasks
        ]
        job = client.jobs.create(name="graph", tasks=made)
        return finish(client, client.jobs.run_now(job.job_id, **asked).run_id)

    return run


# Of each run_if: what comes of it when all, one and none of two dependencies have failed.
TABLE = {
    "ALL_SUCCESS": ("UPSTREAM_FAILED", "UPSTREAM_FAILED", "SUCCESS"),
    "NONE_FAILED": ("UPSTREAM_FAILED", "UPSTREAM_FAILED", "SUCCESS"),
    "ALL_DONE": ("SUCCESS", "SUCCESS", "SUCCESS"),
    "AT_LEAST_ONE_SUCCESS": ("UPSTREAM_FAILED", "SUCCESS", "SUCCESS"),
    "AT_LEAST_ONE_FAILED": ("SUCCESS", "SUCCESS", "EXCLUDED"),
    "ALL_FAILED": ("SUCCESS", "EXCLUDED", "EXCLUDED"),
}


@pytest.mark.parametrize("failing", [2, 1, 0])
def test_every_condition_in_one_run(run_tasks, failing):
    after = ("a", "b")
    run = run_tasks(
        ("a", BAD if failing else GOOD, (), "ALL_SUCCESS"),
        ("b", BAD if failing == 2 else GOOD, (), "ALL_SUCCESS"),
        *((condition, GOOD, after, condition) for condition in TABLE),
    )
    wanted = {condition: by_failures[2 - failing] for condition, by_failures in TABLE.items()}
    found = results(run)
    assert {condition: found[condition] for condition in TABLE} == wanted
    assert state(run) == (("INTERNAL_ERROR", "FAILED") if failing else ("TERMINATED", "SUCCESS"))
    # A task that does not run leaves no time and says why.
    for task in run.tasks:
        if found[task.task_key] in ("EXCLUDED", "UPSTREAM_FAILED"):
            assert task.start_time == 0 and task.state.state_message
            assert task.status.termination_details.code.value == "SKIPPED"


def test_a_failure_that_was_handled(run_tasks):
    run = run_tasks(
        ("load", BAD, (), "ALL_SUCCESS"),
        ("clean", GOOD, ("load",), "AT_LEAST_ONE_FAILED"),
    )
    assert state(run) == ("TERMINATED", "SUCCESS_WITH_FAILURES")
    assert run.status.termination_details.code.value == "SUCCESS_WITH_FAILURES"


def test_excluded_counts_as_success_unless_all_are(run_tasks):
    run = run_tasks(
        ("load", GOOD, (), "ALL_SUCCESS"),
        ("alarm", GOOD, ("load",), "ALL_FAILED"),
        ("after_both", GOOD, ("load", "alarm"), "ALL_SUCCESS"),
        ("after_alarm", GOOD, ("alarm",), "ALL_DONE"),
    )
    assert results(run) == {
        "load": "SUCCESS", "alarm": "EXCLUDED", "after_both": "SUCCESS", "after_alarm": "EXCLUDED",
    }  # fmt: skip
    assert state(run) == ("TERMINATED", "SUCCESS")


def test_only_some_tasks(client):
    chain = [
        python_task(client, "a", GOOD),
        python_task(client, "b", GOOD, "a"),
        python_task(client, "c", GOOD, "b"),
        python_task(client, "d", GOOD),
    ]
    job = client.jobs.create(name="only", tasks=chain)
    for only, wanted in ((["b"], "b"), (["+b"], "ab"), (["b+"], "bc"), (["+b+", "d"], "abcd")):
        run = finish(client, client.jobs.run_now(job.job_id, only=only).run_id)
        assert set(results(run)) == set(wanted), only
        assert state(run) == ("TERMINATED", "SUCCESS")
    with pytest.raises(BadRequest, match="'x'"):
        client.jobs.run_now(job.job_id, only=["x"])


def test_cancelling_one_task_lets_the_rest_go_on(client):
    job = client.jobs.create(
        name="part",
        tasks=[
            python_task(client, "slow", SLEEP),
            python_task(client, "next", GOOD, "slow"),
            python_task(client, "clean", GOOD, "slow", run_if="AT_LEAST_ONE_FAILED"),
            python_task(client, "other", GOOD),
        ],
    )
    run_id = client.jobs.run_now(job.job_id).run_id
    client.jobs.cancel_run(wait_running(client, run_id, "slow").run_id)
    run = finish(client, run_id)
    assert results(run) == {
        "slow": "CANCELED", "next": "UPSTREAM_CANCELED", "clean": "SUCCESS", "other": "SUCCESS",
    }  # fmt: skip
    assert state(run) == ("TERMINATED", "CANCELED")


def test_a_leaf_decides_over_a_run():
    needs = {"a": [], "b": ["a"], "c": ["a"]}
    for results_, wanted in (
        ({"a": "SUCCESS", "b": "SUCCESS", "c": "EXCLUDED"}, "SUCCESS"),
        ({"a": "FAILED", "b": "SUCCESS", "c": "SUCCESS"}, "SUCCESS_WITH_FAILURES"),
        ({"a": "FAILED", "b": "SUCCESS", "c": "UPSTREAM_FAILED"}, "FAILED"),
        ({"a": "CANCELED", "b": "SUCCESS", "c": "UPSTREAM_CANCELED"}, "CANCELED"),
        ({"a": "SUCCESS", "b": "TIMEDOUT", "c": "CANCELED"}, "FAILED"),
    ):
        assert graph.outcome(needs, results_) == wanted
