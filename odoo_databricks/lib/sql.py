"""SQL statements on a warehouse: run or submit, poll, cancel, and read the result.

A scheduled action submits (`submit`), stores the statement id, and looks later (`poll`); a screen
runs with a short limit (`execute`). Small results are read as rows from the JSON answer
(`fetch_rows`), large ones as Arrow, one batch in memory at a time (`fetch_arrow`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import sql_types
from .client import transport_of
from .errors import (
    BadAnswer,
    StatementCanceled,
    StatementFailed,
    TimedOut,
    WarehouseStopped,
    WorkspaceError,
    for_status,
    translated,
)
from .redaction import redact
from .sql_types import Column, Typed
from .transport import error_text

if TYPE_CHECKING:
    import pyarrow
    from databricks.sdk import WorkspaceClient

__all__ = [
    "Column",
    "Statement",
    "Typed",
    "cancel",
    "execute",
    "fetch_arrow",
    "fetch_rows",
    "poll",
    "query",
    "submit",
]

RUNNING = ("PENDING", "RUNNING")
# The API takes no wait between 0 and 5 seconds, and none over 50.
_MIN_WAIT, _MAX_WAIT = 5, 50
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_INLINE = ("INLINE", "JSON_ARRAY")
_ARROW = ("EXTERNAL_LINKS", "ARROW_STREAM")


@dataclass(frozen=True)
class Statement:
    """A statement as last seen. Counts are 0 and columns empty until it has succeeded.

    `truncated`: the result was cut by row_limit or byte_limit. `arrow`: it is to be read with
    fetch_arrow, else with fetch_rows.
    """

    statement_id: str
    state: str
    warehouse_id: str
    arrow: bool
    columns: tuple[Column, ...] = ()
    row_count: int = 0
    byte_count: int | None = None
    chunk_count: int = 0
    truncated: bool = False
    first_chunk: Any = field(default=None, repr=False, compare=False)

    @property
    def is_running(self) -> bool:
        return self.state in RUNNING


def submit(
    client: WorkspaceClient,
    warehouse_id: str,
    text: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    arrow: bool = False,
    catalog: str | None = None,
    schema: str | None = None,
    row_limit: int | None = None,
    byte_limit: int | None = None,
    wait_seconds: int = 0,
    on_wait_timeout: str = "CONTINUE",
) -> Statement:
    """Starts a statement and returns at once, or after `wait_seconds` (5..50) at most.

    Markers in the text are `:name`; `parameters` maps names to Python values (sql_types.parameter
    says which) and they travel apart from the text. `on_wait_timeout` CANCEL lets the warehouse
    end the statement itself when the wait is over. Raises StatementFailed and WorkspaceError.
    """
    from databricks.sdk.service import sql as api

    if wait_seconds and not _MIN_WAIT <= wait_seconds <= _MAX_WAIT:
        raise ValueError(f"wait_seconds must be 0 or {_MIN_WAIT}..{_MAX_WAIT}")
    disposition, form = _ARROW if arrow else _INLINE
    items = [api.StatementParameterListItem(**item) for item in sql_types.parameters(parameters)]
    with translated(about="warehouse", secrets=transport_of(client).secrets):
        answer = client.statement_execution.execute_statement(
            statement=text,
            warehouse_id=warehouse_id,
            catalog=catalog,
            schema=schema,
            parameters=items or None,
            row_limit=row_limit,
            byte_limit=byte_limit,
            disposition=api.Disposition(disposition),
            format=api.Format(form),
            wait_timeout=f"{wait_seconds}s",
            # With a wait of 0s only CONTINUE has a meaning, and the API refuses the other.
            on_wait_timeout=api.ExecuteStatementRequestOnWaitTimeout(
                on_wait_timeout if wait_seconds else "CONTINUE"
            ),
        )
    ends_itself = wait_seconds > 0 and on_wait_timeout == "CANCEL"
    late = TimedOut(f"the statement did not end within {wait_seconds} seconds and was cancelled")
    try:
        statement = _statement(answer, warehouse_id, arrow)
    except StatementCanceled:
        if ends_itself:
            raise late from None
        raise
    if ends_itself and statement.is_running:  # its cancellation is under way
        raise late
    return statement


def poll(
    client: WorkspaceClient, statement_id: str, *, warehouse_id: str = "", arrow: bool = False
) -> Statement:
    """The statement's present state. Raises StatementFailed, StatementCanceled, NotFound ..."""
    with translated(secrets=transport_of(client).secrets):
        answer = client.statement_execution.get_statement(statement_id)
    return _statement(answer, warehouse_id, arrow)


def cancel(client: WorkspaceClient, statement_id: str) -> None:
    """Asks the warehouse to stop; it does so a little later (state CANCELED)."""
    with translated(secrets=transport_of(client).secrets):
        client.statement_execution.cancel_execution(statement_id)


def execute(
    client: WorkspaceClient,
    warehouse_id: str,
    text: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    timeout: float = 30.0,
    **options: Any,
) -> Statement:
    """Runs a statement to its end within `timeout` seconds; `options` are those of submit().

    When the time is up the statement is cancelled, and WarehouseStopped is raised if the
    warehouse does not run, else TimedOut.
    """
    deadline = time.monotonic() + timeout
    statement = submit(client, warehouse_id, text, parameters, **options)
    pause = _FIRST_PAUSE
    while statement.is_running:
        if time.monotonic() >= deadline:
            raise _gave_up(client, statement, timeout)
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(pause * 1.5, _LONGEST_PAUSE)
        statement = poll(
            client,
            statement.statement_id,
            warehouse_id=warehouse_id,
            arrow=statement.arrow,
        )
    return statement


def query(
    client: WorkspaceClient,
    warehouse_id: str,
    text: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    row_limit: int = 1000,
    **options: Any,
) -> list[dict[str, Any]]:
    """The rows of a small result, at most `row_limit`; see execute() and fetch_rows()."""
    statement = execute(client, warehouse_id, text, parameters, row_limit=row_limit, **options)
    return list(fetch_rows(client, statement))


def fetch_rows(client: WorkspaceClient, statement: Statement) -> Iterator[dict[str, Any]]:
    """Rows of a JSON result as dicts: Decimal, date, datetime (naive UTC), bool, int, str ...

    Complex values are parsed JSON, intervals text. Raises BadAnswer if a value does not fit its
    column or rows are missing.
    """
    _readable(statement, arrow=False)
    names = [column.name for column in statement.columns]
    decoders = [sql_types.decoder(column) for column in statement.columns]
    seen = 0
    for chunk in _chunks(client, statement):
        for values in chunk.data_array or ():
            if len(values) != len(names):
                raise BadAnswer(f"a row has {len(values)} values for {len(names)} columns")
            seen += 1
            yield {n: d(v) for n, d, v in zip(names, decoders, values, strict=True)}
    _complete(statement, seen)


def fetch_arrow(client: WorkspaceClient, statement: Statement) -> Iterator[pyarrow.RecordBatch]:
    """Record batches of an Arrow result, read as they arrive: one batch is in memory at a time.

    Each chunk's link is asked for when its turn comes, since links end after some minutes. They
    are read without the Authorization header. Raises BadAnswer if rows are missing.
    """
    _readable(statement, arrow=True)
    seen = 0
    for chunk in _chunks(client, statement):
        for link in chunk.external_links or ():
            for batch in _read_link(client, statement, link):
                seen += batch.num_rows
                yield batch
    _complete(statement, seen)


def _chunks(client: WorkspaceClient, statement: Statement) -> Iterator[Any]:
    for index in range(statement.chunk_count):
        if index == 0 and statement.first_chunk is not None:
            yield statement.first_chunk
        else:
            yield _chunk(client, statement, index)


def _chunk(client: WorkspaceClient, statement: Statement, index: int) -> Any:
    with translated(secrets=transport_of(client).secrets):
        return client.statement_execution.get_statement_result_chunk_n(
            statement.statement_id, index
        )


def _read_link(
    client: WorkspaceClient, statement: Statement, link: Any
) -> Iterator[pyarrow.RecordBatch]:
    import pyarrow as pa

    transport = transport_of(client)
    response = _open_link(transport, link.external_link)
    if response.status_code in (401, 403):  # the link has ended meanwhile: ask for a new one
        response.close()
        fresh = _chunk(client, statement, link.chunk_index or 0).external_links or [link]
        response = _open_link(transport, fresh[0].external_link)
    try:
        if response.status_code != 200:
            raise for_status(response.status_code, error_text(response))
        response.raw.decode_content = True
        with _arrow_faults():
            reader = pa.ipc.open_stream(response.raw)
            schema_names = reader.schema.names
        if schema_names != [column.name for column in statement.columns]:
            raise BadAnswer("the Arrow result has other columns than the statement")
        while True:
            with _arrow_faults():
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    return
            yield batch
    finally:
        response.close()


def _open_link(transport: Any, url: str) -> Any:
    with transport.call(), translated(secrets=transport.secrets):
        return transport.plain.get(url, stream=True)


@contextmanager
def _arrow_faults() -> Iterator[None]:
    """A broken stream is a fault of the answer, not a crash of the reader."""
    import pyarrow as pa
    import urllib3

    try:
        yield
    except (pa.ArrowInvalid, urllib3.exceptions.HTTPError, OSError) as error:
        text = redact(str(error))
        if isinstance(error, TimeoutError) or "timed out" in text.lower():
            raise TimedOut("the result stopped arriving", origin=type(error).__name__) from None
        raise BadAnswer(
            f"the Arrow result is broken: {text}",
            hint="The connection ended while the rows came, or a proxy changed them: try again.",
        ) from None


def _statement(answer: Any, warehouse_id: str, arrow: bool) -> Statement:
    state = answer.status.state.value if answer.status and answer.status.state else ""
    if not answer.statement_id or not state:
        raise BadAnswer("the answer names no statement or no state")
    if state == "FAILED":
        raise _failure(answer)
    if state in ("CANCELED", "CLOSED"):
        raise StatementCanceled(f"statement {answer.statement_id} is {state.lower()}")
    manifest = answer.manifest
    if manifest is None or state != "SUCCEEDED":
        return Statement(answer.statement_id, state, warehouse_id, arrow)
    columns = manifest.schema.columns if manifest.schema else None
    return Statement(
        statement_id=answer.statement_id,
        state=state,
        warehouse_id=warehouse_id,
        arrow=manifest.format is not None and manifest.format.value == "ARROW_STREAM",
        columns=tuple(_column(column) for column in columns or ()),
        row_count=manifest.total_row_count or 0,
        byte_count=manifest.total_byte_count,
        chunk_count=manifest.total_chunk_count or 0,
        truncated=bool(manifest.truncated),
        first_chunk=answer.result,
    )


def _column(column: Any) -> Column:
    type_name = column.type_name.value if column.type_name else ""
    return Column(column.name or "", type_name, column.type_text or type_name)


def _failure(answer: Any) -> WorkspaceError:
    fault = answer.status.error
    code = fault.error_code.value if fault and fault.error_code else None
    text = redact(fault.message if fault and fault.message else "the statement failed")
    return StatementFailed(
        text,
        statement_id=answer.statement_id,
        sql_state=getattr(answer.status, "sql_state", None) or _sql_state(text),
        error_code=code,
    )


def _sql_state(text: str) -> str | None:
    _, found, rest = text.rpartition("SQLSTATE: ")
    return rest[:5] if found and len(rest) >= 5 else None


def _gave_up(client: WorkspaceClient, statement: Statement, timeout: float) -> WorkspaceError:
    cancel(client, statement.statement_id)
    with translated(about="warehouse", secrets=transport_of(client).secrets):
        warehouse = client.warehouses.get(statement.warehouse_id)
    state = warehouse.state.value if warehouse.state else ""
    if state != "RUNNING":
        return WarehouseStopped(f"the warehouse {warehouse.name} is {state.lower() or 'unknown'}")
    return TimedOut(f"the statement did not end within {timeout:g} seconds and was cancelled")


def _readable(statement: Statement, arrow: bool) -> None:
    if statement.state != "SUCCEEDED":
        raise ValueError(f"a statement that is {statement.state} has no result")
    if statement.arrow != arrow:
        raise ValueError("read an Arrow result with fetch_arrow, a JSON result with fetch_rows")


def _complete(statement: Statement, seen: int) -> None:
    if seen != statement.row_count:
        raise BadAnswer(f"the result has {statement.row_count} rows, {seen} arrived")
