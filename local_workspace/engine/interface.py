"""The engine interface: what the REST layer may ask of an SQL engine, and how it fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa


class EngineError(Exception):
    """A statement failed. ``error_class`` and ``sql_state`` are Spark's where they are known."""

    def __init__(
        self, message: str, error_class: str = "", sql_state: str = "", code: str = "BAD_REQUEST"
    ) -> None:
        super().__init__(message)
        self.message = message
        self.error_class = error_class
        self.sql_state = sql_state
        self.code = code


class EngineUnavailable(EngineError):
    """The engine process is gone or not up yet; the same statement may work in a moment."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "", "08000", "TEMPORARILY_UNAVAILABLE")


class Cancelled(Exception):
    """The statement was cancelled while it ran."""


@dataclass(frozen=True)
class Parameter:
    """A typed parameter as the REST contract carries it: value is text or None.

    Parameters without a name stand for the ``?`` marks, in their order.
    """

    name: str
    value: str | None
    type: str = "STRING"


@dataclass(frozen=True)
class Encoded:
    """One batch as the engine sent it: an Arrow IPC stream with this number of rows."""

    rows: int
    stream: bytes


@dataclass(frozen=True)
class Result:
    """Columns of a result and its rows as a stream of Arrow batches.

    ``type_texts`` holds one Spark type text per column, e.g. ``decimal(18,2)``. Where ``encoded``
    is there, it gives the same rows undecoded; who reads takes one of the two.
    """

    schema: pa.Schema
    type_texts: list[str]
    batches: Iterator[pa.RecordBatch]
    encoded: Iterator[Encoded] | None = None


class Operation(Protocol):
    """One statement under way."""

    def run(self) -> Result:
        """Execute. Raises EngineError or Cancelled; batches may raise the same."""

    def cancel(self) -> None:
        """Ask the engine to stop; may be called from any thread, at any time, more than once."""

    def close(self) -> None:
        """Give back what the statement held."""


class Engine(Protocol):
    """An SQL engine over the tables folder."""

    def statement(
        self,
        sql: str,
        parameters: list[Parameter],
        catalog: str | None = None,
        schema: str | None = None,
        row_limit: int | None = None,
        zone: str = "UTC",
    ) -> Operation:
        """Prepare a statement. Raises EngineError for what the engine is known to get wrong.

        ``zone`` is the time zone in which timestamps without one are read and shown.
        """

    def remote(self) -> str:
        """Spark Connect address for job processes."""

    def stop(self) -> None:
        """End the engine and everything it started."""
