"""Thrift messages as bytes: one call in, one answer out.

The structures are those of the connector's own generated code; they check the type of each field,
and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from databricks.sql.thrift_api.TCLIService import TCLIService, ttypes
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.Thrift import TApplicationException, TMessageType
from thrift.transport.TTransport import TMemoryBuffer

# Calls that the connector makes; every other one of TCLIService is answered "not computed".
CALLS = (
    "OpenSession", "CloseSession", "ExecuteStatement", "GetOperationStatus",
    "GetResultSetMetadata", "FetchResults", "CancelOperation", "CloseOperation",
    "GetCatalogs", "GetSchemas", "GetTables", "GetColumns",
)  # fmt: skip
MAX_ITEMS = 10_000


class Garbage(ValueError):
    """The bytes are no Thrift call."""


@dataclass(frozen=True)
class Call:
    """One call: its name, the number by which the client knows its answer, its request.

    ``request`` is None for a call that is not one of CALLS.
    """

    name: str
    number: int
    request: object | None


def decode(body: bytes) -> Call:
    """Read a call. Raises Garbage."""
    protocol = TBinaryProtocol(
        TMemoryBuffer(body), string_length_limit=len(body), container_length_limit=MAX_ITEMS
    )
    # The generated readers meet foreign bytes with whatever error they run into.
    try:
        name, kind, number = protocol.readMessageBegin()
        if kind != TMessageType.CALL or not hasattr(TCLIService.Iface, name):
            raise Garbage(name)
        if name not in CALLS:
            return Call(name, number, None)
        arguments = getattr(TCLIService, f"{name}_args")()
        arguments.read(protocol)
        arguments.req.validate()
    except Exception as error:
        raise Garbage("The body is no call of TCLIService in Thrift's binary protocol.") from error
    return Call(name, number, arguments.req)


def encode(call: Call, response: object) -> bytes:
    """The bytes of an answer; for a call that is not computed, those of Thrift's exception."""
    buffer = TMemoryBuffer()
    protocol = TBinaryProtocol(buffer)
    if call.request is None:
        protocol.writeMessageBegin(call.name, TMessageType.EXCEPTION, call.number)
        text = f"{call.name} is not computed by the local workspace"
        TApplicationException(TApplicationException.UNKNOWN_METHOD, text).write(protocol)
    else:
        protocol.writeMessageBegin(call.name, TMessageType.REPLY, call.number)
        getattr(TCLIService, f"{call.name}_result")(success=response).write(protocol)
    protocol.writeMessageEnd()
    return buffer.getvalue()


def failure(call: Call, message: str, sql_state: str = "") -> object:
    """The answer to ``call`` that says what went wrong; the connector raises DatabaseError."""
    status = ttypes.TStatus(
        ttypes.TStatusCode.ERROR_STATUS, sqlState=sql_state or "HY000",
        errorMessage=message, displayMessage=message,
    )  # fmt: skip
    return getattr(ttypes, f"T{call.name}Resp")(status=status)
