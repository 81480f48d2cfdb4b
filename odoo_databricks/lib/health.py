"""The answer behind the button Test connection: what works, and what to do about the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import sql
from .client import transport_of
from .errors import BadAnswer, WarehouseStopped, WorkspaceError, WrongHost, translated

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

_STEP_SECONDS = 15.0


@dataclass(frozen=True)
class Check:
    """`ok` None = not tried, because an earlier check failed. `kind` is that of the error."""

    name: str
    ok: bool | None
    detail: str
    hint: str = ""
    kind: str = ""


def test_connection(
    client: WorkspaceClient | Callable[[], WorkspaceClient], warehouse_id: str | None = None
) -> list[Check]:
    """Host, identity, warehouse and a first statement, in this order, each a Check.

    Give a function that connects, so that a wrong host is a failed check and not an exception.
    A stopped warehouse is reported and not started: that costs money.
    """
    state: dict = {"client": client, "warehouse_id": warehouse_id}
    steps = [("host", _host), ("identity", _identity)]
    if warehouse_id:
        steps += [("warehouse", _warehouse), ("statement", _statement)]
    checks: list[Check] = []
    for name, step in steps:
        if checks and not checks[-1].ok:
            checks.append(Check(name, None, "not tried"))
            continue
        try:
            checks.append(Check(name, True, step(state)))
        except WorkspaceError as error:
            checks.append(Check(name, False, error.message, error.hint, error.kind))
    return checks


# pytest collects by name; this is no test.
test_connection.__test__ = False  # type: ignore[attr-defined]


def _host(state: dict) -> str:
    from databricks.sdk import WorkspaceClient

    if not isinstance(state["client"], WorkspaceClient):
        state["client"] = state["client"]()
    return f"{state['client'].config.host} answers"


def _identity(state: dict) -> str:
    client = state["client"]
    transport = transport_of(client)
    try:
        with transport.deadline(_STEP_SECONDS), translated(secrets=transport.secrets):
            user = client.current_user.me()
    except BadAnswer as error:
        raise WrongHost("what answers there is not a Databricks workspace") from error
    name = user.user_name or user.display_name
    if not name:
        raise WrongHost("what answers there is not a Databricks workspace")
    return f"signed in as {name}"


def _warehouse(state: dict) -> str:
    client = state["client"]
    transport = transport_of(client)
    with (
        transport.deadline(_STEP_SECONDS),
        translated(about="warehouse", secrets=transport.secrets),
    ):
        warehouse = client.warehouses.get(state["warehouse_id"])
    word = warehouse.state.value if warehouse.state else "of unknown state"
    if word != "RUNNING":
        raise WarehouseStopped(f"the warehouse {warehouse.name} is {word.lower()}")
    return f"the warehouse {warehouse.name} is running"


def _statement(state: dict) -> str:
    rows = sql.query(
        state["client"], state["warehouse_id"], "SELECT 1 AS one", timeout=_STEP_SECONDS
    )
    if rows != [{"one": 1}]:
        raise BadAnswer("SELECT 1 did not give 1")
    return "SELECT 1 gives 1"
