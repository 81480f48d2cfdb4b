"""Serving endpoint configurations: checks, defaults, traffic split."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

from ..errors import bad_request, not_computed, not_found

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$")


def check_name(name: str) -> str:
    if not _NAME.match(name):
        raise bad_request("name: up to 63 letters, digits, '-' and '_', not at its ends.")
    return name


def check_config(given: dict, mlflow_db: Path) -> dict:
    """Normalise a configuration: entity names, an implicit route for a single entity.

    Raises ApiError 400 for a wrong one, 404 for an unknown model version, 501 for entities that
    are no registered models.
    """
    entities = [
        _entity(item, mlflow_db)
        for item in given.get("served_entities") or given.get("served_models") or []
    ]
    if not entities:
        raise bad_request("served_entities: an endpoint needs at least one.")
    names = [entity["name"] for entity in entities]
    if len(set(names)) != len(names):
        raise bad_request("served_entities: a name is used twice.")
    routes = (given.get("traffic_config") or {}).get("routes")
    if not routes:
        if len(entities) > 1:
            raise bad_request("traffic_config: several entities need routes.")
        routes = [{"served_entity_name": names[0], "traffic_percentage": 100}]
    return {
        "served_entities": entities,
        "traffic_config": {"routes": [_route(route, names) for route in _full(routes)]},
    }


def _entity(given: dict, mlflow_db: Path) -> dict:
    for kind in ("external_model", "foundation_model"):
        if given.get(kind):
            raise not_computed(f"served entity kind {kind}")
    model = given.get("entity_name") or given.get("model_name")
    version = str(given.get("entity_version") or given.get("model_version") or "")
    if not model or not version.isdigit():
        raise bad_request("served_entities: entity_name and a numeric entity_version are needed.")
    if not _version_exists(mlflow_db, model, int(version)):
        raise not_found(f"Registered model {model} has no version {version}.")
    return {
        "name": given.get("name") or f"{model.rsplit('.', 1)[-1]}-{version}",
        "entity_name": model,
        "entity_version": version,
        "workload_size": given.get("workload_size") or "Small",
        "workload_type": given.get("workload_type") or "CPU",
        "scale_to_zero_enabled": bool(given.get("scale_to_zero_enabled", False)),
    }


def _version_exists(mlflow_db: Path, model: str, version: int) -> bool:
    # One look into MLflow's own table: importing MLflow here would cost this process 200 MB.
    if not mlflow_db.exists():
        return False
    with closing(sqlite3.connect(f"{mlflow_db.as_uri()}?mode=ro", uri=True, timeout=10)) as db:
        found = db.execute(
            "SELECT 1 FROM model_versions WHERE name = ? AND version = ?"
            " AND current_stage != 'Deleted_Internal'",
            (model, version),
        ).fetchone()
    return found is not None


def _full(routes: list[dict]) -> list[dict]:
    shares = [route.get("traffic_percentage") for route in routes]
    if any(not isinstance(share, int) or not 0 <= share <= 100 for share in shares):
        raise bad_request("traffic_config: traffic_percentage must be between 0 and 100.")
    if sum(shares) != 100:
        raise bad_request(f"traffic_config: the percentages sum to {sum(shares)}, not 100.")
    return routes


def _route(route: dict, names: list[str]) -> dict:
    name = route.get("served_entity_name") or route.get("served_model_name")
    if name not in names:
        raise bad_request(f"traffic_config: there is no served entity {name!r}.")
    return {
        "served_entity_name": name,
        "served_model_name": name,
        "traffic_percentage": route["traffic_percentage"],
    }


def choose(config: dict, client_request_id: str | None) -> str:
    """The entity that answers a request: the same id always meets the same entity."""
    key = client_request_id or uuid.uuid4().hex
    point = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) % 10000 / 100
    upto = 0
    for route in config["traffic_config"]["routes"]:
        upto += route["traffic_percentage"]
        if point < upto:
            return route["served_entity_name"]
    raise AssertionError("the percentages of a checked configuration sum to 100")
