"""Scores of a served model, with the name of the very model that gave them."""

from __future__ import annotations

import re
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .client import transport_of
from .errors import BadAnswer, InvalidRequest, translated

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}")
_KEEP_SECONDS = 300.0
_HEADER = "served-model-name"


@dataclass(frozen=True)
class ServedEntity:
    """`name` as the endpoint calls it, and the registered model and version behind it."""

    name: str
    model_name: str | None
    model_version: str | None


@dataclass(frozen=True)
class Scores:
    """One prediction for each record, in order, and who gave them (None = not told)."""

    predictions: list[Any]
    endpoint: str
    served_entity: str | None
    model_name: str | None
    model_version: str | None


# client -> {endpoint: (read at, {entity name: ServedEntity})}
_entities: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def score(
    client: WorkspaceClient,
    endpoint: str,
    records: Sequence[Mapping[str, Any]],
    timeout: float = 10.0,
) -> Scores:
    """Sends the records (column -> str, number, bool or None) and returns their predictions.

    All of it, retries of 429 and 503 included, ends within `timeout` seconds. Raises
    EndpointNotFound, EndpointBusy (starting from zero, or overloaded), TimedOut, InvalidRequest
    (a column is missing), BadAnswer (another number of predictions than records).
    """
    if not _NAME.fullmatch(endpoint):
        raise InvalidRequest(f"{endpoint!r} cannot be the name of a serving endpoint")
    if not records:
        return Scores([], endpoint, None, None, None)
    transport = transport_of(client)
    body = {"dataframe_records": [dict(record) for record in records]}
    with transport.deadline(timeout), translated(about="endpoint", secrets=transport.secrets):
        answer = client.api_client.do(
            "POST",
            f"/serving-endpoints/{endpoint}/invocations",
            headers={"Accept": "application/json"},
            body=body,
            response_headers=[_HEADER],
        )
    predictions = answer.get("predictions") if isinstance(answer, dict) else None
    if not isinstance(predictions, list):
        raise BadAnswer("the answer of the endpoint holds no list of predictions")
    if len(predictions) != len(records):
        raise BadAnswer(f"{len(records)} records were sent, {len(predictions)} predictions came")
    with transport.deadline(timeout):
        entity = _entity(client, endpoint, answer.get(_HEADER))
    return Scores(
        predictions, endpoint, entity.name or None, entity.model_name, entity.model_version
    )


def served_entities(client: WorkspaceClient, endpoint: str) -> dict[str, ServedEntity]:
    """What the endpoint serves at present, by the entity's name. Raises EndpointNotFound ..."""
    with translated(about="endpoint", secrets=transport_of(client).secrets):
        detail = client.serving_endpoints.get(endpoint)
    served = detail.config.served_entities if detail.config else None
    return {
        entity.name: ServedEntity(entity.name, entity.entity_name, entity.entity_version)
        for entity in served or ()
        if entity.name
    }


def _entity(client: WorkspaceClient, endpoint: str, name: str | None) -> ServedEntity:
    cache = _entities.setdefault(client, {})
    read_at, known = cache.get(endpoint, (0.0, {}))
    # A name that is not in the cache means that a new version was deployed since.
    if time.monotonic() - read_at > _KEEP_SECONDS or (name and name not in known):
        known = served_entities(client, endpoint)
        cache[endpoint] = (time.monotonic(), known)
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    return known.get(name or "", ServedEntity(name or "", None, None))
