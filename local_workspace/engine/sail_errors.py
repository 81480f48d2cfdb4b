"""Sail's and the client's exceptions as EngineError with Spark's error class and SQLSTATE."""

from __future__ import annotations

import re

import grpc

from .catalog import CatalogError
from .interface import Cancelled, EngineError, EngineUnavailable
from .sail_names import workspace_text

_CLASS = re.compile(r"\[([A-Z][A-Z0-9_]+(?:\.[A-Z0-9_]+)*)\]\s*(.*)", re.DOTALL)
_STATE = re.compile(r"SQLSTATE:\s*([0-9A-Z]{5})")

STATES = {
    "TABLE_OR_VIEW_NOT_FOUND": "42P01",
    "TABLE_OR_VIEW_ALREADY_EXISTS": "42P07",
    "SCHEMA_NOT_FOUND": "42704",
    "UNRESOLVED_COLUMN": "42703",
    "UNRESOLVED_ROUTINE": "42883",
    "MERGE_CARDINALITY_VIOLATION": "23K01",
    "UNBOUND_SQL_PARAMETER": "42P02",
    "CAST_INVALID_INPUT": "22018",
    "DELTA_NOT_NULL_CONSTRAINT_VIOLATED": "23502",
    "DELTA_VIOLATE_CONSTRAINT_WITH_VALUES": "23001",
}

# Sail gives a class for few errors; the others are told apart by their text.
_PATTERNS = [
    (re.compile(r"found .* expected", re.DOTALL), "PARSE_SYNTAX_ERROR", "42601"),
    (re.compile(r"Missing commit file: expected final version"),
     "DELTA_VERSION_NOT_FOUND", "22003"),
    (re.compile(r"No version of the Delta table exists at or before"),
     "DELTA_TIMESTAMP_EARLIER_THAN_COMMIT_RETENTION", "42816"),
    (re.compile(r"table location must be an absolute path"), "SCHEMA_NOT_FOUND", "42704"),
    (re.compile(r"No field named [^\n]*#\d"), "MISSING_AGGREGATION", "42803"),
    (re.compile(r"not found in table schema|missing from input data"),
     "DELTA_METADATA_MISMATCH", "42KDG"),
    (re.compile(r"attribute .* is missing|cannot resolve attribute"),
     "UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", "42703"),
    (re.compile(r"table (?:or view )?not found", re.I), "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
    (re.compile(r"(?:database|schema|namespace)[^\n]*not found", re.I),
     "SCHEMA_NOT_FOUND", "42704"),
    (re.compile(r"already exists", re.I), "TABLE_OR_VIEW_ALREADY_EXISTS", "42P07"),
    (re.compile(r"input schema for INSERT has \d+ fields"),
     "INSERT_COLUMN_ARITY_MISMATCH", "21S01"),
    (re.compile(r"divide by zero", re.I), "DIVIDE_BY_ZERO", "22012"),
    (re.compile(r"overflow", re.I), "ARITHMETIC_OVERFLOW", "22003"),
    (re.compile(r"cannot cast|can't cast|cast error|cannot parse|parser error", re.I),
     "CAST_INVALID_INPUT", "22018"),
    (re.compile(r"unknown (?:table )?function|function: ", re.I), "UNRESOLVED_ROUTINE", "42883"),
    (re.compile(r"(?:placeholder|parameter)[^\n]*", re.I), "UNBOUND_SQL_PARAMETER", "42P02"),
    (re.compile(r"constraint|non-nullable|not null", re.I),
     "DELTA_VIOLATE_CONSTRAINT_WITH_VALUES", "23001"),
    (re.compile(r"Failed to commit transaction"), "DELTA_CONCURRENT_WRITE", "2D521"),
    (re.compile(r"not supported|unsupported|not implemented|does not support|LIKE in CREATE", re.I),
     "UNSUPPORTED_FEATURE", "0A000"),
]  # fmt: skip

_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


def engine_error(error: BaseException) -> EngineError:
    """Return the EngineError for anything that a statement can raise. Cancelled is raised on."""
    if isinstance(error, Cancelled):
        raise error
    if isinstance(error, EngineError):
        return error
    if isinstance(error, CatalogError):
        return EngineError(str(error), error.error_class, error.sql_state)
    text = workspace_text((_details(error) or str(error)).strip())
    if _engine_gone(error, text):
        return EngineUnavailable(
            "[CONNECTION_FAILURE] The SQL engine stopped while the statement ran and is being "
            "started again; run the statement again. SQLSTATE: 08000"
        )
    named = _CLASS.search(text)
    if named:
        name, text = named.group(1), named.group(2).strip()
        given = _STATE.search(text)
        state = given.group(1) if given else STATES.get(name.split(".")[0], "XX000")
        return _make(name, state, _STATE.sub("", text).strip())
    for pattern, name, state in _PATTERNS:
        if pattern.search(text):
            return _make(name, state, text)
    return _make("INTERNAL_ERROR", "XX000", text or type(error).__name__)


def _make(name: str, state: str, text: str) -> EngineError:
    return EngineError(f"[{name}] {text[:2000]} SQLSTATE: {state}", name, state)


def _details(error: BaseException) -> str:
    details = getattr(error, "details", None)
    return (details() or "") if isinstance(error, grpc.RpcError) and details else ""


def _engine_gone(error: BaseException, text: str) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, grpc.RpcError) and getattr(cause, "code", None):
            return cause.code() in _GONE
        cause = cause.__cause__
    return "StatusCode.UNAVAILABLE" in text or "Connection refused" in text
