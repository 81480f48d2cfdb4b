"""A statement as the Statement Execution API shows it: status, manifest, chunks, links."""

from __future__ import annotations

import base64
import datetime as dt

from ..access.links import LinkSigner
from ..settings import Settings
from .results import Chunk, StoredResult, json_rows
from .statement import StatementRun
from .value_texts import csv_text

LINK_SECONDS = 900
# What a hybrid answer carries itself; links are faster for more.
ATTACHED_BYTES = 1024 * 1024
MOST_LINKS = 1000


class StatementAnswers:
    """Bodies of answers; links are signed for a quarter of an hour."""

    def __init__(self, signer: LinkSigner, settings: Settings) -> None:
        self._signer = signer
        self._settings = settings

    def statement(self, run: StatementRun) -> dict:
        """The body of execute and get: status, and with a result its manifest and first chunk."""
        with run.lock:
            state, error, result = run.state, run.error, run.result
        body: dict = {"statement_id": run.id, "status": {"state": state}}
        if error is not None:
            body["status"]["error"] = {"error_code": error.code, "message": error.message}
            if error.sql_state:
                body["status"]["sql_state"] = error.sql_state
        if result is not None:
            body["manifest"] = _manifest(run, result)
            nothing = not body["manifest"]["chunks"]
            body["result"] = {} if nothing else self.chunk(run, result, result.chunks[0])
        return body

    def chunk(self, run: StatementRun, result: StoredResult, chunk: Chunk) -> dict:
        """One chunk: its rows, its Arrow stream, or a link to it."""
        place = _place(chunk)
        following = _following(run, result, chunk)
        order = run.order
        attached = order.hybrid and len(result.chunks) == 1 and result.byte_count <= ATTACHED_BYTES
        if order.format == "JSON_ARRAY" and (order.inline or attached):
            del place["byte_count"]
            return place | following | {"data_array": json_rows(chunk)}
        if attached:
            return place | following | {"attachment": base64.b64encode(chunk.read()).decode()}
        links = [self._link(run, result, chunk)]
        if order.hybrid:
            # The kernel client (1.3.0) can lose the last chunks of a result when it has to ask for
            # each link by itself.
            rest = result.chunks[chunk.index + 1 : chunk.index + MOST_LINKS]
            links += [self._link(run, result, one) for one in rest]
        return {"external_links": links}

    def _link(self, run: StatementRun, result: StoredResult, chunk: Chunk) -> dict:
        path = f"/_local/results/{run.id}/{chunk.index}"
        query, expires = self._signer.sign(path, LINK_SECONDS)
        expiration = dt.datetime.fromtimestamp(expires, dt.UTC)
        return (
            _place(chunk)
            | _following(run, result, chunk)
            | {
                "external_link": f"{self._settings.host}{path}?{query}",
                "expiration": expiration.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            }
        )


def csv_chunk(result: StoredResult, chunk: Chunk) -> str:
    """A chunk as CSV; the first one begins with the names of the columns."""
    names = [column["name"] for column in result.columns] if chunk.index == 0 else None
    return csv_text(names, json_rows(chunk))


def _manifest(run: StatementRun, result: StoredResult) -> dict:
    # Those who ask for a hybrid answer take the columns of an empty one from here, and fail on a
    # stream without rows.
    chunks = result.chunks if result.row_count or not run.order.hybrid else []
    manifest = {
        "format": run.order.format,
        "schema": {"column_count": len(result.columns), "columns": result.columns},
        "total_chunk_count": len(chunks),
        "chunks": [_place(chunk) for chunk in chunks],
        "total_row_count": result.row_count,
        "total_byte_count": result.byte_count,
        "truncated": result.truncated,
    }
    if result.compression:
        manifest["result_compression"] = result.compression
    return manifest


def _place(chunk: Chunk) -> dict:
    return {
        "chunk_index": chunk.index,
        "row_offset": chunk.row_offset,
        "row_count": chunk.row_count,
        "byte_count": chunk.byte_count,
    }


def _following(run: StatementRun, result: StoredResult, chunk: Chunk) -> dict:
    index = chunk.index + 1
    if index >= len(result.chunks):
        return {}
    link = f"/api/2.0/sql/statements/{run.id}/result/chunks/{index}"
    return {"next_chunk_index": index, "next_chunk_internal_link": link}
