"""The SDK finds the host, proves who it is, and asks one question."""

from __future__ import annotations

from databricks.sdk.service.sql import StatementState


def test_who_am_i(target):
    client = target.sdk()
    assert client.current_user.me().user_name
    assert client.get_workspace_id() > 0


def test_one_statement(target):
    answer = target.sdk().statement_execution.execute_statement(
        "SELECT 1 AS one", target.warehouse_id
    )
    assert answer.status.state is StatementState.SUCCEEDED
    assert answer.result.data_array == [["1"]]
