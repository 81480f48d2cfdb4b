"""sql_task: the statements of a file, one after the other, on a warehouse in one session."""

from __future__ import annotations

import threading
import time

from ...engine.interface import Parameter
from ...engine.sql_text import SqlTextError, parameter_names, split_statements
from ...errors import ApiError
from ...sql.results import json_rows
from ...sql.statement import Order, StatementRun
from ..task_inputs import local_file
from ..task_process import TaskStartError
from ..transitions import Outcome
from .context import TaskContext, failed

LARGEST_FILE = 1024 * 1024
ROWS_IN_LOG = 20
# Results of a task are looked at, not fetched; what a statement writes is not cut.
ROW_LIMIT = 1000
BYTE_LIMIT = 1024 * 1024
# How long a stopped task waits for the end of its statement, and how often it looks.
STOP_SECONDS = 10.0
LOOK_SECONDS = 1.0


class SqlWork:
    """Ends at the first statement that fails. The log shows each with its first rows."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._stopped = False
        self._statement: StatementRun | None = None
        self._ids: list[str] = []
        path = context.payload["file"]["path"]
        place = local_file(context.services, path)
        if not place.is_file():
            raise TaskStartError("RESOURCE_NOT_FOUND", f"The file {path} does not exist.")
        if place.stat().st_size > LARGEST_FILE:
            raise TaskStartError("INVALID_RUN_CONFIGURATION", f"The file {path} is too large.")
        try:
            self._text = place.read_text(encoding="utf-8")
            self._parts = split_statements(self._text)
        except (UnicodeDecodeError, SqlTextError) as error:
            text = f"The file {path} cannot be read as SQL: {error}"
            raise TaskStartError("INVALID_RUN_CONFIGURATION", text) from error

    def run(self) -> Outcome:
        warehouse = self._context.payload["warehouse_id"]
        sessions = self._context.services.sessions
        user = self._context.run["creator"]
        try:
            session = sessions.open(warehouse, user=user)
        except ApiError as error:
            return Outcome("FAILED", error.message, error.message, code="RESOURCE_NOT_FOUND")
        try:
            for number, part in enumerate(self._parts, 1):
                outcome = self._run_one(number, part, session.id, user)
                if outcome.result != "SUCCESS":
                    return outcome
            return Outcome("SUCCESS", output=self._output())
        except ApiError as error:
            return failed(error.message, output=self._output())
        finally:
            sessions.close(session.id)

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
        if self._statement is not None:
            self._context.services.statements.cancel(self._statement)

    def _run_one(self, number: int, sql: str, session_id: str, user: str) -> Outcome:
        statements = self._context.services.statements
        with self._lock:
            if self._stopped:
                return Outcome("CANCELED", output=self._output())
            self._statement = statement = statements.submit(self._order(sql, session_id, user))
        self._ids.append(statement.id)
        self._log(f"-- statement {number} of {len(self._parts)}: {statement.id}\n{sql}\n")
        self._wait(statement)
        if statement.state == "SUCCEEDED":
            self._log_rows(statement)
            return Outcome("SUCCESS")
        text = statement.error.message if statement.error else f"Statement {statement.state}"
        self._log(f"{statement.state}: {text}\n")
        return failed(text, output=self._output())

    def _wait(self, statement: StatementRun) -> None:
        """Until the statement has ended, or does not although the task was stopped."""
        since = 0.0
        while not (since and time.monotonic() - since > STOP_SECONDS):
            try:
                statement.future.result(LOOK_SECONDS)
                return
            except TimeoutError:
                if self._stopped and not since:
                    since = time.monotonic()

    def _order(self, sql: str, session_id: str, user: str) -> Order:
        given = self._context.payload.get("parameters") or {}
        used = parameter_names(sql)
        return Order(
            sql=sql, warehouse_id=self._context.payload["warehouse_id"],
            parameters=[
                Parameter(name, text, "STRING") for name, text in given.items() if name in used
            ],
            catalog=None, schema=None, row_limit=ROW_LIMIT, byte_limit=BYTE_LIMIT, inline=True,
            format="JSON_ARRAY", session_id=session_id, user=user,
        )  # fmt: skip

    def _log(self, text: str) -> None:
        self._context.write_log(text)

    def _log_rows(self, statement: StatementRun) -> None:
        result = statement.result
        self._log(f"SUCCEEDED, {result.row_count} rows\n")
        if result.chunks:
            rows = json_rows(result.chunks[0])[:ROWS_IN_LOG]
            names = [column["name"] for column in result.columns]
            table = [names, *([("NULL" if x is None else str(x)) for x in row] for row in rows)]
            self._log("".join("\t".join(line) + "\n" for line in table))

    def _output(self) -> dict:
        query = {
            "query_text": self._text,
            "warehouse_id": self._context.payload["warehouse_id"],
            "endpoint_id": self._context.payload["warehouse_id"],
            "sql_statements": [{"lookup_key": one} for one in self._ids],
        }
        return {"sql_output": {"query_output": query}}
