"""Expectations of a contract as Columns and counts."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from .contracts import Expectation

REASONS_TYPE = "array<struct<name:string,message:string,column:string>>"


class ExpectationFailed(RuntimeError):
    """Rows miss an expectation whose severity is `fail`; nothing was written."""


def met(expectation: Expectation) -> Column:
    """True where the row meets it; false where the condition is false or null."""
    return F.coalesce(F.expr(expectation.expression), F.lit(False))


def all_met(expectations: Sequence[Expectation]) -> Column:
    """True where the row meets every one of them."""
    result = F.lit(True)
    for expectation in expectations:
        result = result & met(expectation)
    return result


def reasons(expectations: Sequence[Expectation]) -> Column:
    """Array of {name, message, column} of the missed expectations; a missed gate stands alone."""
    gates = [e for e in expectations if e.gate]
    others = [e for e in expectations if not e.gate]
    result = F.array_compact(F.array(*[_reason(e) for e in others]))
    for gate in reversed(gates):
        result = F.when(met(gate), result).otherwise(F.array_compact(F.array(_reason(gate))))
    return result


def _reason(expectation: Expectation) -> Column:
    message = F.lit(expectation.message)
    if expectation.message_column:
        message = F.coalesce(F.col(expectation.message_column), message)
    return F.when(
        ~met(expectation),
        F.struct(
            F.lit(expectation.name).alias("name"),
            message.alias("message"),
            F.lit(expectation.column).alias("column"),
        ),
    )


def missed_names(expectations: Sequence[Expectation]) -> Column:
    """Array of the names of the missed expectations."""
    names = [F.when(~met(e), F.lit(e.name)) for e in expectations]
    return F.array_compact(F.array(*names))


def count_missed(
    frame: DataFrame, expectations: Sequence[Expectation]
) -> tuple[int, dict[str, int]]:
    """(rows, {name: rows that miss it}) in one pass."""
    counts = [
        F.sum(F.when(met(e), 0).otherwise(1).cast("bigint")).alias(e.name) for e in expectations
    ]
    row = frame.agg(F.count(F.lit(1)).alias("rows"), *counts).collect()[0]
    return int(row["rows"]), {e.name: int(row[e.name] or 0) for e in expectations}


def require(frame: DataFrame, table: str, expectations: Sequence[Expectation]) -> dict[str, int]:
    """Raises ExpectationFailed if a row misses one of them; returns the counts (all zero) else."""
    if not expectations:
        return {}
    rows, missed = count_missed(frame, expectations)
    broken = {name: count for name, count in missed.items() if count}
    if broken:
        raise ExpectationFailed(f"{table}: of {rows} rows, missed expectations: {broken}")
    return missed
