"""The calls of TCLIService, on the sessions and statements that the REST routes use as well.

A Thrift statement is the same thing as a REST statement: in its history, its limits, its cost and
its result, which is read from the spool in parts.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import dataclass

from databricks.sql.thrift_api.TCLIService import ttypes
from starlette.concurrency import run_in_threadpool

from ...engine.catalog import CatalogError
from ...engine.interface import EngineError
from ...errors import ApiError
from ..sessions import Session
from ..statement import Order
from . import answers, parameters, wire
from .metadata import Metadata
from .operations import NoOperation, Operation, Operations, identifier
from .types import ArrowForm

log = logging.getLogger("local_workspace.thrift")

VERSION = ttypes.TProtocolVersion.SPARK_CLI_SERVICE_PROTOCOL_V8
# A client learns the handle of its statement from the answer to ExecuteStatement and can cancel
# from then on; while it asks for the state it holds the connection, which a cancel then waits for.
DIRECT_SECONDS = 0.5
POLL_SECONDS = 0.3


@dataclass(frozen=True)
class Caller:
    """Who calls, by which program, and which warehouse."""

    user: str
    client: str
    warehouse_id: str


class Handler:
    """One method for each call of ``wire.CALLS``."""

    def __init__(self, services) -> None:
        self._sessions = services.sessions
        self._statements = services.statements
        self._metadata = Metadata(services.objects, services.information_schema)
        self._operations = Operations()
        self._links = answers.Links(services.links, services.settings)

    async def answer(self, call: wire.Call, caller: Caller) -> object:
        """The response structure for a call; what goes wrong is said in its status."""
        try:
            return await getattr(self, call.name)(call.request, caller)
        except NoOperation:
            return wire.failure(call, "The operation does not exist or was closed.", "HY010")
        except ApiError as error:
            return wire.failure(call, error.message)
        except EngineError as error:
            return wire.failure(call, error.message, error.sql_state)
        except CatalogError as error:
            return wire.failure(call, str(error), error.sql_state)
        except FileNotFoundError:
            return wire.failure(call, "The result has expired: run the statement again.", "HY010")
        except Exception as error:
            log.exception("Thrift call %s failed", call.name)
            text = f"[INTERNAL_ERROR] {type(error).__name__} SQLSTATE: XX000"
            return wire.failure(call, text, "XX000")

    async def OpenSession(self, request, caller: Caller) -> ttypes.TOpenSessionResp:
        place = request.initialNamespace or ttypes.TNamespace()
        session = await run_in_threadpool(
            self._sessions.open, caller.warehouse_id, place.catalogName, place.schemaName,
            request.configuration, caller.user,
        )  # fmt: skip
        return ttypes.TOpenSessionResp(
            status=answers.OK,
            serverProtocolVersion=VERSION,
            sessionHandle=ttypes.TSessionHandle(identifier(uuid.UUID(session.id)), VERSION),
            configuration={},
            initialNamespace=ttypes.TNamespace(session.catalog, session.schema),
            canUseMultipleCatalogs=True,
        )

    async def CloseSession(self, request, caller: Caller) -> ttypes.TCloseSessionResp:
        session = self._session(request, caller)
        for operation in self._operations.of_session(session.id):
            await run_in_threadpool(self._close, operation)
        await run_in_threadpool(self._sessions.close, session.id, caller.user)
        return ttypes.TCloseSessionResp(answers.OK)

    async def ExecuteStatement(self, request, caller: Caller) -> ttypes.TExecuteStatementResp:
        session = self._session(request, caller)
        order = Order(
            sql=request.statement,
            warehouse_id=session.warehouse_id,
            parameters=parameters.convert(request.parameters),
            catalog=None,
            schema=None,
            row_limit=_positive(request.resultRowLimit),
            byte_limit=None,
            inline=False,
            format="ARROW_STREAM",
            session_id=session.id,
            user=caller.user,
            client=caller.client,
        )
        run = self._statements.submit(order, told=False)
        form = ArrowForm(request.useArrowNativeTypes)
        operation = Operation(run, form, bool(request.canDownloadResult))
        self._operations.add(operation)
        answer = ttypes.TExecuteStatementResp(answers.OK, operation.handle)
        if request.getDirectResults is not None:
            await _finished(operation, DIRECT_SECONDS)
            answer.directResults = await run_in_threadpool(
                self._direct, operation, request.getDirectResults
            )
        if not run.final:
            await run_in_threadpool(self._statements.record, run)
        return answer

    async def GetOperationStatus(self, request, caller: Caller) -> ttypes.TGetOperationStatusResp:
        operation = self._operations.get(request.operationHandle, caller.user)
        await _finished(operation, POLL_SECONDS)
        return await run_in_threadpool(answers.status, operation)

    async def GetResultSetMetadata(
        self, request, caller: Caller
    ) -> ttypes.TGetResultSetMetadataResp:
        operation = self._operations.get(request.operationHandle, caller.user)
        return await run_in_threadpool(answers.metadata, operation)

    async def FetchResults(self, request, caller: Caller) -> ttypes.TFetchResultsResp:
        operation = self._operations.get(request.operationHandle, caller.user)
        answer = await run_in_threadpool(
            answers.fetch, operation, request.maxRows, request.maxBytes, self._links
        )
        if request.includeResultSetMetadata:
            answer.resultSetMetadata = await run_in_threadpool(answers.metadata, operation)
        return answer

    async def CancelOperation(self, request, caller: Caller) -> ttypes.TCancelOperationResp:
        operation = self._operations.get(request.operationHandle, caller.user)
        await run_in_threadpool(self._statements.cancel, operation.run)
        return ttypes.TCancelOperationResp(answers.OK)

    async def CloseOperation(self, request, caller: Caller) -> ttypes.TCloseOperationResp:
        operation = self._operations.get(request.operationHandle, caller.user)
        await run_in_threadpool(self._close, operation)
        return ttypes.TCloseOperationResp(answers.OK)

    async def GetCatalogs(self, request, caller: Caller) -> ttypes.TGetCatalogsResp:
        self._session(request, caller)
        table = await run_in_threadpool(self._metadata.catalogs)
        return answers.whole(table, ttypes.TGetCatalogsResp, ttypes.TOperationType.GET_CATALOGS)

    async def GetSchemas(self, request, caller: Caller) -> ttypes.TGetSchemasResp:
        self._session(request, caller)
        table = await run_in_threadpool(self._metadata.schemas, request)
        return answers.whole(table, ttypes.TGetSchemasResp, ttypes.TOperationType.GET_SCHEMAS)

    async def GetTables(self, request, caller: Caller) -> ttypes.TGetTablesResp:
        self._session(request, caller)
        table = await run_in_threadpool(self._metadata.tables, request)
        return answers.whole(table, ttypes.TGetTablesResp, ttypes.TOperationType.GET_TABLES)

    async def GetColumns(self, request, caller: Caller) -> ttypes.TGetColumnsResp:
        self._session(request, caller)
        table = await run_in_threadpool(self._metadata.columns, request)
        return answers.whole(table, ttypes.TGetColumnsResp, ttypes.TOperationType.GET_COLUMNS)

    def _session(self, request, caller: Caller) -> Session:
        guid = request.sessionHandle.sessionId.guid or b""
        return self._sessions.get(guid.hex(), caller.user)

    def _direct(
        self, operation: Operation, wanted: ttypes.TSparkGetDirectResults
    ) -> ttypes.TSparkDirectResults:
        """What a client would ask next; with the last row in the answer, the operation ends.

        Its statement is left to expire: to close it now would cost more than it gives back.
        """
        direct = ttypes.TSparkDirectResults(answers.status(operation))
        if operation.run.result is None:
            return direct
        direct.resultSetMetadata = answers.metadata(operation)
        direct.resultSet = answers.fetch(operation, wanted.maxRows, wanted.maxBytes, self._links)
        if answers.complete(operation, direct.resultSet):
            self._operations.remove(operation)
            direct.closeOperation = ttypes.TCloseOperationResp(answers.OK)
        return direct

    def _close(self, operation: Operation) -> None:
        self._operations.remove(operation)
        if operation.run.state not in ("FAILED", "CANCELED"):  # how it ended is to be remembered
            self._statements.close_statement(operation.run)


def _positive(limit: int | None) -> int | None:
    return limit if limit is not None and limit > 0 else None


async def _finished(operation: Operation, seconds: float) -> None:
    """Wait until the statement has ended, for ``seconds`` at most, without holding a thread."""
    if not operation.run.final:
        await asyncio.wait([asyncio.wrap_future(operation.run.future)], timeout=seconds)
