"""How the engine's answer to a change of data is shown: the rows that it really touched.

Sail answers UPDATE, DELETE and MERGE with the rows that it rewrote. What it touched stands in the
commit that it made; with other writers at work, several commits can be meant. A number is shown
when all that can be meant agree, and null ("not known") otherwise, never a number that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..engine.delta_log import commit_info, newest_version
from ..engine.interface import Operation, Result
from ..engine.sql_text import Statement
from .answers import LONG, answer, done

# Names of the answer's columns -> names in the metrics of the engine's commit.
_COUNTED: dict[str, dict[str, tuple[str, ...]]] = {
    "UPDATE": {"num_affected_rows": ("numUpdatedRows",)},
    "DELETE": {"num_affected_rows": ("numDeletedRows",)},
    "MERGE": {
        "num_affected_rows": ("numTargetRowsUpdated", "numTargetRowsDeleted",
                              "numTargetRowsInserted"),
        "num_updated_rows": ("numTargetRowsUpdated",),
        "num_deleted_rows": ("numTargetRowsDeleted",),
        "num_inserted_rows": ("numTargetRowsInserted",),
    },
}  # fmt: skip


class Counted:
    """An engine operation whose one-row answer is replaced by Databricks' columns."""

    def __init__(self, inner: Operation, count: Callable[[Operation], Result]) -> None:
        self._inner = inner
        self._count = count
        self.cancel = inner.cancel
        self.close = inner.close

    def run(self) -> Result:
        return self._count(self._inner)


def counted(
    operation: Operation, statement: Statement, folder_of: Callable[[list[str]], Path | None]
) -> Operation:
    """The operation with the answer that clients expect of a statement that is no query.

    ``folder_of`` finds the folder of a table by the parts of its name, or None.
    """
    verb = statement.main_verb
    if statement.is_query or verb == "EXPLAIN":
        return operation
    if verb in ("INSERT", "CREATE"):
        return Counted(operation, lambda inner: _inserted(inner.run()))
    if verb in _COUNTED:
        parts = _target(statement, verb)
        folder = folder_of(parts) if 1 <= len(parts) <= 3 else None
        return Counted(operation, lambda inner: _touched(inner, verb, folder))
    return Counted(operation, lambda inner: _drained(inner.run()))


def _target(statement: Statement, verb: str) -> list[str]:
    """The parts of the name of the table that is changed."""
    after = {"UPDATE": "UPDATE", "DELETE": "FROM", "MERGE": "INTO"}[verb]
    words = statement.words
    at = words.index(after) + 1 if after in words else len(words)
    return statement.name_at(at)[0]


def _drained(result: Result) -> Result:
    for _ in result.batches:
        continue
    return done()


def _inserted(result: Result) -> Result:
    # CREATE TABLE without AS answers true, and has no rows to count.
    if result.type_texts != ["bigint"]:
        return _drained(result)
    count = _first(result)
    return answer({"num_affected_rows": LONG, "num_inserted_rows": LONG}, [(count, count)])


def _touched(operation: Operation, verb: str, folder: Path | None) -> Result:
    before = newest_version(folder) if folder else -1
    rewritten = _first(operation.run())
    columns = _COUNTED[verb]
    if before < 0:  # the table was named in a way that is not understood here
        return answer(dict.fromkeys(columns, LONG), [dict.fromkeys(columns)])
    made = [commit_info(folder, at) for at in range(before + 1, newest_version(folder) + 1)]
    row = _agreed([_counts(info, columns) for info in made if _fits(info, verb, rewritten)])
    if row is None:
        # Nothing to rewrite and no commit: no row was touched.
        nothing = rewritten == 0 and not any(_fits(info, verb, 0) for info in made)
        row = dict.fromkeys(columns, 0 if nothing else None)
    return answer(dict.fromkeys(columns, LONG), [row])


def _first(result: Result) -> int | None:
    values = [value for batch in result.batches for value in batch.column(0).to_pylist()]
    return values[0] if values else None


def _fits(info: dict, verb: str, rewritten: int | None) -> bool:
    """Whether a commit can be the statement's."""
    metrics = info.get("operationMetrics") or {}
    return info.get("operation") == verb and metrics.get("numOutputRows") == rewritten


def _counts(info: dict, columns: dict[str, tuple[str, ...]]) -> dict:
    metrics = info["operationMetrics"]
    return {name: sum(metrics[key] for key in keys) for name, keys in columns.items()}


def _agreed(rows: list[dict]) -> dict | None:
    return rows[0] if rows and all(row == rows[0] for row in rows) else None
