"""A statement: what a client asked for, and how far it has come."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field

from ..access.principals import USER
from ..clock import now_ms
from ..engine.interface import EngineError, Operation, Parameter
from .results import StoredResult
from .sessions import Session

FINAL = ("SUCCEEDED", "FAILED", "CANCELED", "CLOSED")


@dataclass(frozen=True)
class Order:
    """What a client asked for, in engine terms (limits: rows; bytes of Arrow data).

    ``hybrid`` asks for small results in the answer and links to large ones; ``client`` is the
    name that the client program gives itself.
    """

    sql: str
    warehouse_id: str
    parameters: list[Parameter]
    catalog: str | None
    schema: str | None
    row_limit: int | None
    byte_limit: int | None
    inline: bool
    format: str
    session_id: str | None = None
    user: str = USER
    hybrid: bool = False
    compression: str | None = None
    client: str = ""


@dataclass
class StatementRun:
    """One statement. ``state`` is one of PENDING RUNNING SUCCEEDED FAILED CANCELED CLOSED.

    ``future`` is done when the statement has ended and its record is in the store; ``ending``
    says that this is being written. Times in milliseconds.
    """

    id: str
    order: Order
    state: str = "PENDING"
    error: EngineError | None = None
    result: StoredResult | None = None
    kind: str = "OTHER"
    made_ms: int = field(default_factory=now_ms)
    started_ms: int | None = None
    ended_ms: int | None = None
    session: Session | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    operation: Operation | None = None
    cancel_requested: bool = False
    timed_out: bool = False
    ending: bool = False
    future: Future = field(default_factory=Future)

    @property
    def final(self) -> bool:
        return self.state in FINAL
