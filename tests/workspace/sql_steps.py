"""Statements through the SDK, their rows and their failures, for the tests of SQL."""

from __future__ import annotations

import time

from databricks.sdk.service.sql import StatementParameterListItem


def run(client, sql, *parameters, wait_timeout=None, **options):
    """The answer to a statement that has ended; parameters are (name, value, type).

    With a ``wait_timeout`` it is the answer to the first call, whatever its state.
    """
    items = [StatementParameterListItem(name=n, value=v, type=t) for n, v, t in parameters]
    answer = client.statement_execution.execute_statement(
        sql, "local", parameters=items or None, wait_timeout=wait_timeout or "5s", **options
    )
    deadline = time.monotonic() + 60
    # The client's HTTP time-out is 10 s: what takes longer is polled, as our own code does.
    while wait_timeout is None and answer.status.state.value in ("PENDING", "RUNNING"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
        answer = client.statement_execution.get_statement(answer.statement_id)
    return answer


def rows(client, sql, *parameters, **options):
    answer = run(client, sql, *parameters, **options)
    assert answer.status.state.value == "SUCCEEDED", (sql, answer.status.error)
    return answer.result.data_array or []


def columns(client, sql):
    """Names of the columns of a statement's answer."""
    return [column.name for column in run(client, sql).manifest.schema.columns or []]


def records(client, sql, **options):
    """Rows as dictionaries."""
    answer = run(client, sql, **options)
    assert answer.status.state.value == "SUCCEEDED", (sql, answer.status.error)
    names = [column.name for column in answer.manifest.schema.columns]
    return [dict(zip(names, row, strict=True)) for row in answer.result.data_array or []]


def failure(client, sql, *parameters, **options):
    """(error class at the head of the message, SQLSTATE) of a statement that must fail."""
    answer = run(client, sql, *parameters, **options)
    assert answer.status.state.value == "FAILED", (sql, answer)
    message = answer.status.error.message
    return message.partition("]")[0].lstrip("["), answer.status.sql_state


def message(client, sql):
    """The text of a statement's failure."""
    answer = run(client, sql)
    assert answer.status.state.value == "FAILED", (sql, answer)
    return answer.status.error.message
