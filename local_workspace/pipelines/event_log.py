"""The events of pipelines: written when something happens, read by filter and page."""

from __future__ import annotations

import datetime as dt
import json
import re
import sqlite3
import uuid
from contextlib import nullcontext

from ..clock import now_ms
from ..errors import bad_request
from ..store import Store

SCHEMA = """
CREATE TABLE IF NOT EXISTS pipeline_events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, pipeline_id TEXT NOT NULL,
    update_id TEXT, time_ms INTEGER NOT NULL, level TEXT NOT NULL, event_type TEXT NOT NULL,
    message TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_of_pipeline ON pipeline_events (pipeline_id, sequence)
"""

LEVELS = ("INFO", "WARN", "ERROR", "METRICS")
_TOKEN = re.compile(r"\s*(?:(?P<text>'[^']*')|(?P<word>\w+)|(?P<sign><=|>=|<|>|=|\(|\)|,))")
# A token in clear text that found its way into an error's message must not be kept.
_SECRET = re.compile(r"dapi[0-9a-f]{8,}")


class EventLog:
    """Events of all pipelines; ``sequence`` grows by one with each of them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.declare(SCHEMA)

    def add(
        self,
        pipeline_id: str,
        update_id: str | None,
        event_type: str,
        message: str,
        details: dict,
        level: str = "INFO",
        error: dict | None = None,
        origin: dict | None = None,
        db: sqlite3.Connection | None = None,
    ) -> None:
        """Keep one event. ``details`` is stored under the name of the event type.

        ``error`` has the shape of ErrorDetail (exceptions with class_name, message, stack);
        ``origin`` names what the event is about: dataset_name, flow_name. ``db``: the
        transaction that the event belongs to, if it is not one of its own.
        """
        body: dict = {"details": {event_type: details}, "origin": origin or {}}
        if error is not None:
            body["error"] = error
        with nullcontext(db) if db is not None else self._store.transaction() as connection:
            connection.execute(
                "INSERT INTO pipeline_events (id, pipeline_id, update_id, time_ms, level,"
                " event_type, message, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (str(uuid.uuid4()), pipeline_id, update_id, now_ms(), level, event_type,
                 redacted(message), redacted(json.dumps(body))),
            )  # fmt: skip

    def page(
        self,
        pipeline_id: str,
        condition: tuple[str, list[object]],
        ascending: bool,
        after: int | None,
        limit: int,
    ) -> list[sqlite3.Row]:
        """Events that meet a condition of ``parse_filter``, after a sequence number."""
        where, values = condition
        sign, way = (">", "ASC") if ascending else ("<", "DESC")
        return self._store.rows(
            f"SELECT * FROM pipeline_events WHERE pipeline_id = ? AND {where}"
            f" AND (? IS NULL OR sequence {sign} ?) ORDER BY sequence {way} LIMIT ?",
            pipeline_id, *values, after, after, limit,
        )  # fmt: skip


def redacted(text: str) -> str:
    return _SECRET.sub("[REDACTED]", text)


def timestamp(milliseconds: int) -> str:
    """The contract's form of a time: UTC with milliseconds."""
    moment = dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"


def parse_filter(text: str | None) -> tuple[str, list[object]]:
    """An SQL condition and its values for a filter of the events call.

    Understood: ``level``, ``id`` and ``timestamp`` with =, level also with ``in (...)``, timestamp
    also with <, <=, >, >=; joined by AND. Raises ApiError 400 for anything else.
    """
    if text is None or not text.strip():
        return "1", []
    tokens = _tokens(text)
    parts: list[str] = []
    values: list[object] = []
    while tokens:
        field, operator = tokens.pop(0).lower(), tokens.pop(0).lower() if tokens else ""
        given = _listed(tokens) if operator == "in" else [_literal(tokens)]
        column, converted = _typed(field, operator, given)
        marks = ", ".join("?" * len(converted))
        parts.append(f"{column} IN ({marks})" if operator == "in" else f"{column} {operator} ?")
        values += converted
        if tokens and (tokens.pop(0).lower() != "and" or not tokens):
            raise _not_understood()
    return " AND ".join(parts), values


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _not_understood()
        found.append(match.group().strip())
        at = match.end()
    return found


def _literal(tokens: list[str]) -> str:
    if not tokens or not tokens[0].startswith("'"):
        raise _not_understood()
    return tokens.pop(0)[1:-1]


def _listed(tokens: list[str]) -> list[str]:
    found = []
    expected = "("
    while True:
        if not tokens or tokens.pop(0) != expected:
            raise _not_understood()
        found.append(_literal(tokens))
        if tokens and tokens[0] == ")":
            tokens.pop(0)
            return found
        expected = ","


def _typed(field: str, operator: str, given: list[str]) -> tuple[str, list[object]]:
    if field == "level" and operator in ("=", "in"):
        if not set(given) <= set(LEVELS):
            raise bad_request(f"filter: level is one of {', '.join(LEVELS)}.")
        return "level", list(given)
    if field == "id" and operator == "=":
        return "id", list(given)
    if field == "timestamp" and operator in ("=", "<", "<=", ">", ">="):
        try:
            moment = dt.datetime.fromisoformat(given[0])
            zoned = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
            return "time_ms", [round(zoned.timestamp() * 1000)]
        except (ValueError, OverflowError) as error:
            raise bad_request("filter: the timestamp is not an ISO 8601 time.") from error
    raise _not_understood()


def _not_understood() -> Exception:
    return bad_request(
        "filter: not understood; supported are level, id and timestamp, joined by AND."
    )


def event_view(row: sqlite3.Row, pipeline_name: str, org_id: str) -> dict:
    """An event as the REST contract shows it."""
    body = json.loads(row["body"])
    origin = {"pipeline_id": row["pipeline_id"], "pipeline_name": pipeline_name}
    if org_id.isdigit():
        origin["org_id"] = int(org_id)
    if row["update_id"]:
        origin["update_id"] = row["update_id"]
    view = {
        "id": row["id"],
        "sequence": {"control_plane_seq_no": row["sequence"]},
        "origin": origin | body["origin"],
        "timestamp": timestamp(row["time_ms"]),
        "message": row["message"],
        "level": row["level"],
        "maturity_level": "STABLE",
        "event_type": row["event_type"],
        "details": body["details"],
    }
    if "error" in body:
        view["error"] = body["error"]
    return view
