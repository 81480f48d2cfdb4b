"""The answer behind the button Test connection: what works, and what to do about the rest."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import jobs, sql
from .client import transport_of
from .errors import (
    BadAnswer,
    EndpointBusy,
    InvalidRequest,
    NotFound,
    PermissionMissing,
    StatementFailed,
    WarehouseStopped,
    WorkspaceError,
    WrongHost,
    translated,
)

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

_STEP_SECONDS = 15.0
_TOTAL_SECONDS = 90.0
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_TABLES = 1000


@dataclass(frozen=True)
class Check:
    """`ok` None = not tried, because an earlier check failed. `kind` is that of the error.

    `name` is the kind of check, `subject` the table, job or endpoint that it looked at.
    """

    name: str
    ok: bool | None
    detail: str
    hint: str = ""
    kind: str = ""
    subject: str = ""


@dataclass(frozen=True)
class Scope:
    """What is used of the workspace beside the warehouse: all of it is looked at, one by one.

    `tables` are catalog.schema.table, `jobs` ids or names, None = no rights on jobs are needed.
    """

    tables: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    jobs: tuple[str, ...] | None = None
    pipelines: tuple[str, ...] = ()


@dataclass
class _State:
    client: WorkspaceClient | Callable[[], WorkspaceClient]
    warehouse_id: str | None
    user: str = "the user or service principal"
    statements: bool = False


@dataclass(frozen=True)
class _Step:
    """`run` gives the detail or raises; `after` names the check that must have worked before."""

    name: str
    run: Callable[[_State], str]
    after: str = ""
    subject: str = ""


def test_connection(
    client: WorkspaceClient | Callable[[], WorkspaceClient],
    warehouse_id: str | None = None,
    scope: Scope | None = None,
) -> list[Check]:
    """Host, identity, warehouse, a first statement, and what `scope` names, each a Check.

    Give a function that connects, so that a wrong host is a failed check and not an exception.
    A stopped warehouse is reported and not started: that costs money.
    """
    state = _State(client, warehouse_id)
    deadline = time.monotonic() + _TOTAL_SECONDS
    works: dict[str, bool] = {"": True}
    checks = []
    for step in _steps(warehouse_id, scope or Scope()):
        if not works.get(step.after) or time.monotonic() > deadline:
            check = Check(step.name, None, "not tried", subject=step.subject)
        else:
            check = _try(step, state)
        works[step.name] = bool(check.ok)
        state.statements = works.get("statement", False)
        checks.append(check)
    return checks


# pytest collects by name; this is no test.
test_connection.__test__ = False  # type: ignore[attr-defined]


def _steps(warehouse_id: str | None, scope: Scope) -> Iterator[_Step]:
    yield _Step("host", _host)
    yield _Step("identity", _identity, "host")
    if warehouse_id:
        yield _Step("warehouse", _warehouse, "identity")
        yield _Step("statement", _statement, "warehouse")
    for schema in sorted({table.rpartition(".")[0] for table in scope.tables}):
        yield _Step("schema", _about(_schema, schema), "identity", schema)
    for table in scope.tables:
        yield _Step("table", _about(_table, table), "identity", table)
    for endpoint in scope.endpoints:
        yield _Step("endpoint", _about(_endpoint, endpoint), "identity", endpoint)
    if scope.jobs is not None:
        yield _Step("jobs", _jobs, "identity")
        for job in scope.jobs:
            yield _Step("job", _about(_job, job), "identity", job)
    for pipeline in scope.pipelines:
        yield _Step("pipeline", _about(_pipeline, pipeline), "identity", pipeline)


def _about(run: Callable[[_State, str], str], subject: str) -> Callable[[_State], str]:
    return lambda state: run(state, subject)


def _try(step: _Step, state: _State) -> Check:
    try:
        if step.name == "host":
            detail = step.run(state)
        else:
            transport = transport_of(state.client)
            about = step.name if step.name in ("warehouse", "endpoint") else ""
            with (
                transport.deadline(_STEP_SECONDS),
                translated(about=about, secrets=transport.secrets),
            ):
                detail = step.run(state)
    except WorkspaceError as error:
        hint = _grant(step, state) if _lacks_grant(error) else error.hint
        return Check(step.name, False, error.message, hint, error.kind, step.subject)
    return Check(step.name, True, detail, subject=step.subject)


def _lacks_grant(error: WorkspaceError) -> bool:
    refused = isinstance(error, StatementFailed) and (
        error.sql_state == "42501" or "INSUFFICIENT_PERMISSIONS" in error.message
    )
    return refused or isinstance(error, PermissionMissing)


def _grant(step: _Step, state: _State) -> str:
    """The grant that a check needs, so that an administrator of the workspace can give it."""
    catalog, _, rest = step.subject.partition(".")
    schema = rest.partition(".")[0]
    needed = {
        "identity": "the entitlement Workspace access",
        "warehouse": f"CAN USE on the SQL warehouse {state.warehouse_id}",
        "statement": f"CAN USE on the SQL warehouse {state.warehouse_id}",
        "schema": f"USE CATALOG on {catalog} and USE SCHEMA on {catalog}.{schema}",
        "table": f"USE CATALOG on {catalog}, USE SCHEMA on {catalog}.{schema} and SELECT on "
        f"{step.subject}",
        "endpoint": f"CAN QUERY on the serving endpoint {step.subject}",
        "jobs": "CAN VIEW on the jobs that Odoo runs",
        "job": f"CAN MANAGE RUN on the job {step.subject}",
        "pipeline": f"CAN RUN on the pipeline {step.subject}",
    }.get(step.name, "what the message names")
    return f"Grant {needed} to {state.user}."


# -- the checks: each returns what it found, or raises a WorkspaceError ---------------------------
def _host(state: _State) -> str:
    from databricks.sdk import WorkspaceClient

    if not isinstance(state.client, WorkspaceClient):
        state.client = state.client()
    return f"{state.client.config.host} answers"


def _identity(state: _State) -> str:
    transport = transport_of(state.client)
    try:
        with translated(secrets=transport.secrets):
            user = state.client.current_user.me()
    except BadAnswer as error:
        raise WrongHost("what answers there is not a Databricks workspace") from error
    name = user.user_name or user.display_name
    if not name:
        raise WrongHost("what answers there is not a Databricks workspace")
    state.user = name
    return f"signed in as {name}"


def _warehouse(state: _State) -> str:
    warehouse = state.client.warehouses.get(state.warehouse_id)
    word = warehouse.state.value if warehouse.state else "of unknown state"
    if word != "RUNNING":
        raise WarehouseStopped(f"the warehouse {warehouse.name} is {word.lower()}")
    return f"the warehouse {warehouse.name} is running"


def _statement(state: _State) -> str:
    rows = sql.query(state.client, state.warehouse_id, "SELECT 1 AS one", timeout=_STEP_SECONDS)
    if rows != [{"one": 1}]:
        raise BadAnswer("SELECT 1 did not give 1")
    return "SELECT 1 gives 1"


def _schema(state: _State, name: str) -> str:
    catalog, _, schema = name.partition(".")
    tables = state.client.tables.list(catalog, schema, omit_columns=True, omit_properties=True)
    count = sum(1 for _ in itertools.islice(tables, _MOST_TABLES))
    if not count:
        raise NotFound(
            "no table is visible",
            hint=f"It is empty, or USE SCHEMA on {name} and SELECT on its tables are not granted.",
        )
    return f"{count} tables are visible"


def _table(state: _State, name: str) -> str:
    """Reads no row: the warehouse checks the grant before it looks for rows."""
    parts = name.split(".")
    if len(parts) != 3 or not all(_NAME.fullmatch(part) for part in parts):
        raise InvalidRequest(f"{name!r} is not catalog.schema.table")
    if not state.statements:
        state.client.tables.get(name)
        return "is there; without a running warehouse SELECT cannot be tried"
    quoted = ".".join(f"`{part}`" for part in parts)
    try:
        sql.query(
            state.client,
            state.warehouse_id,
            f"SELECT 1 AS one FROM {quoted} LIMIT 0",
            timeout=_STEP_SECONDS,
        )
    except StatementFailed as error:
        if error.sql_state == "42P01" or "TABLE_OR_VIEW_NOT_FOUND" in error.message:
            raise NotFound(
                "the table is not there, or not visible",
                hint=f"Check its name; if it exists: {_grant_of_table(name, state)}",
            ) from None
        raise
    return "can be read"


def _grant_of_table(name: str, state: _State) -> str:
    return _grant(_Step("table", _identity, subject=name), state)


def _endpoint(state: _State, name: str) -> str:
    endpoint = state.client.serving_endpoints.get(name)
    ready = endpoint.state and endpoint.state.ready and endpoint.state.ready.value
    if ready != "READY":
        raise EndpointBusy("the endpoint is not ready")
    return "is ready"


def _jobs(state: _State) -> str:
    found = jobs.list_jobs(state.client, 1)
    return "jobs can be listed" if found else "jobs can be listed; none is visible"


def _job(state: _State, name: str) -> str:
    job_id = int(name) if name.isdecimal() else jobs.find_job(state.client, name)
    settings = state.client.jobs.get(job_id).settings
    return f"is there: {settings.name}" if settings and settings.name else "is there"


def _pipeline(state: _State, pipeline_id: str) -> str:
    return f"is there: {state.client.pipelines.get(pipeline_id).name}"
