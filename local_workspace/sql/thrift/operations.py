"""Operations: what Thrift knows of a statement beyond the statement itself."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field

from databricks.sql.thrift_api.TCLIService import ttypes

from ..statement import StatementRun
from .types import ArrowForm

# Many more than can run at once. Each may hold a small result; a client closes what it has read.
KEEP_OPERATIONS = 1000


class NoOperation(LookupError):
    """The handle names no operation of the caller, or one that was closed or forgotten."""


@dataclass
class Operation:
    """A statement as one Thrift client reads it; the statement's id is the operation's.

    ``offset`` is the row that the next fetch begins with. ``by_link`` says that the client can
    download files; ``form`` what it takes as Arrow types.
    """

    run: StatementRun
    form: ArrowForm
    by_link: bool
    offset: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def handle(self) -> ttypes.TOperationHandle:
        return operation_handle(uuid.UUID(self.run.id), ttypes.TOperationType.EXECUTE_STATEMENT)


def identifier(guid: uuid.UUID) -> ttypes.THandleIdentifier:
    """A handle names; who may use it is decided by the caller's token, not by its secret."""
    return ttypes.THandleIdentifier(guid.bytes, guid.bytes)


def operation_handle(guid: uuid.UUID, kind: int) -> ttypes.TOperationHandle:
    return ttypes.TOperationHandle(identifier(guid), kind, True)


class Operations:
    """Operations by handle; the oldest are forgotten when there are too many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[bytes, Operation] = {}

    def add(self, operation: Operation) -> None:
        with self._lock:
            while len(self._known) >= KEEP_OPERATIONS:
                del self._known[next(iter(self._known))]
            self._known[uuid.UUID(operation.run.id).bytes] = operation

    def get(self, handle: ttypes.TOperationHandle, user: str) -> Operation:
        """Raises NoOperation."""
        with self._lock:
            found = self._known.get(handle.operationId.guid or b"")
        if found is None or found.run.order.user != user:
            raise NoOperation
        return found

    def remove(self, operation: Operation) -> None:
        with self._lock:
            self._known.pop(uuid.UUID(operation.run.id).bytes, None)

    def of_session(self, session_id: str) -> list[Operation]:
        with self._lock:
            known = list(self._known.values())
        return [one for one in known if one.run.order.session_id == session_id]
