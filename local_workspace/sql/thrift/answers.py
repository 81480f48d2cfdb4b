"""Parts of answers that are made of an operation: its state, its columns, its next rows."""

from __future__ import annotations

import uuid

import pyarrow as pa
from databricks.sql.thrift_api.TCLIService import ttypes

from ...access.links import LinkSigner
from ...settings import Settings
from ..results import Chunk, column_list
from . import rows
from .operations import Operation, operation_handle
from .types import ArrowForm, describe

OK = ttypes.TStatus(ttypes.TStatusCode.SUCCESS_STATUS)
LINK_SECONDS = 3600
# Small results come with the answer that says that they are there; files are faster for the rest.
LINKED_BYTES = 1024 * 1024
MAX_ROWS = 100_000
# As many files as a client fetches beside each other, and a few in hand.
LINKS = 16

_STATES = {
    "PENDING": ttypes.TOperationState.PENDING_STATE,
    "RUNNING": ttypes.TOperationState.RUNNING_STATE,
    "SUCCEEDED": ttypes.TOperationState.FINISHED_STATE,
    "FAILED": ttypes.TOperationState.ERROR_STATE,
    "CANCELED": ttypes.TOperationState.CANCELED_STATE,
    "CLOSED": ttypes.TOperationState.CLOSED_STATE,
}


class Links:
    """Signed addresses of result files."""

    def __init__(self, signer: LinkSigner, settings: Settings) -> None:
        self._signer = signer
        self._settings = settings

    def address(self, statement_id: str, chunk: Chunk) -> tuple[str, int]:
        """URL of a chunk, and when it expires (seconds since the epoch)."""
        path = f"/_local/results/{statement_id}/{chunk.index}"
        query, expires = self._signer.sign(path, LINK_SECONDS)
        return f"{self._settings.host}{path}?{query}", expires


def status(operation: Operation) -> ttypes.TGetOperationStatusResp:
    run = operation.run
    with run.lock:
        state, error, result = run.state, run.error, run.result
    answer = ttypes.TGetOperationStatusResp(status=OK, operationState=_STATES[state])
    if error is not None:
        answer.sqlState = error.sql_state
        answer.errorMessage = answer.displayMessage = error.message
    if result is not None:
        answer.hasResultSet = True
        answer.numModifiedRows = None if run.kind == "SELECT" else rows.modified(result)
    return answer


def metadata(operation: Operation) -> ttypes.TGetResultSetMetadataResp:
    """The columns; an error when there is no result, as for a statement that was cancelled."""
    run = operation.run
    result = run.result
    if result is None:
        return ttypes.TGetResultSetMetadataResp(_no_result(operation))
    linked = _linked(operation)
    return ttypes.TGetResultSetMetadataResp(
        status=OK,
        schema=describe(result.columns),
        resultFormat=ttypes.TSparkRowSetType.URL_BASED_SET
        if linked
        else ttypes.TSparkRowSetType.ARROW_BASED_SET,
        # LZ4 packs and unpacks at about 0.5 GB/s; the way to a client on this machine is faster.
        lz4Compressed=False,
        arrowSchema=operation.form.schema(result.schema).serialize().to_pybytes(),
        isStagingOperation=False,
    )


def fetch(
    operation: Operation, max_rows: int | None, max_bytes: int | None, signer: Links
) -> ttypes.TFetchResultsResp:
    """The next rows, or links to the next files; the operation moves on behind them.

    Raises FileNotFoundError when the result was dropped because it is old.
    """
    result = operation.run.result
    if result is None:
        return ttypes.TFetchResultsResp(_no_result(operation))
    with operation.lock:
        offset = operation.offset
        if _linked(operation):
            chunks = [chunk for chunk in result.chunks if chunk.row_offset >= offset][:LINKS]
            found = rows.links(chunks, offset, lambda c: signer.address(operation.run.id, c))
            operation.offset += sum(chunk.row_count for chunk in chunks)
        else:
            limit = max_rows if max_rows and max_rows > 0 else MAX_ROWS
            batches = rows.batches(result, offset, limit, max_bytes or rows.MAX_BYTES)
            found = rows.row_set(batches, offset, operation.form)
            operation.offset += sum(batch.num_rows for batch in batches)
        more = operation.offset < result.row_count
    return ttypes.TFetchResultsResp(status=OK, hasMoreRows=more, results=found)


def complete(operation: Operation, answer: ttypes.TFetchResultsResp) -> bool:
    """Whether the client holds every row now; of linked files it holds only the addresses."""
    return not answer.hasMoreRows and not _linked(operation)


def _linked(operation: Operation) -> bool:
    result = operation.run.result
    return (
        operation.by_link
        and result.byte_count > LINKED_BYTES
        and operation.form.schema(result.schema) == result.schema
    )


def _no_result(operation: Operation) -> ttypes.TStatus:
    run = operation.run
    text = run.error.message if run.error else f"The statement has no result: it is {run.state}."
    return ttypes.TStatus(
        ttypes.TStatusCode.ERROR_STATUS, sqlState="HY008", errorMessage=text, displayMessage=text
    )


def whole(table: pa.Table, response: type, kind: int) -> object:
    """The answer to a metadata call: every row at once, and the operation is over."""
    columns = column_list(table.schema.names, [_text_of(field) for field in table.schema])
    return response(
        status=OK,
        operationHandle=operation_handle(uuid.uuid4(), kind),
        directResults=ttypes.TSparkDirectResults(
            operationStatus=ttypes.TGetOperationStatusResp(
                status=OK, operationState=_STATES["SUCCEEDED"], hasResultSet=True
            ),
            resultSetMetadata=ttypes.TGetResultSetMetadataResp(
                status=OK,
                schema=describe(columns),
                resultFormat=ttypes.TSparkRowSetType.ARROW_BASED_SET,
                lz4Compressed=False,
                arrowSchema=table.schema.serialize().to_pybytes(),
                isStagingOperation=False,
            ),
            resultSet=ttypes.TFetchResultsResp(
                status=OK,
                hasMoreRows=False,
                results=rows.row_set(table.to_batches(), 0, ArrowForm(None)),
            ),
            closeOperation=ttypes.TCloseOperationResp(OK),
        ),
    )


def _text_of(field: pa.Field) -> str:
    names = {pa.int8(): "tinyint", pa.int16(): "smallint", pa.int32(): "int"}
    return names.get(field.type, "string")
