"""Serving endpoint configurations: checks, defaults, traffic split."""

from __future__ import annotations

import hashlib
import re
import uuid

from ..clock import now_ms
from ..errors import bad_request, not_computed
from ..mlflow_server.registry import ModelRegistry

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?", re.ASCII)
_VERSION = re.compile(r"[0-9]{1,9}", re.ASCII)
# What a configuration may ask for and the local workspace does not do.
_REFUSED = (
    "external_model", "foundation_model", "environment_vars", "instance_profile_arn",
    "provisioned_model_units", "min_provisioned_throughput", "max_provisioned_throughput",
)  # fmt: skip
# What a served entity is; the rest of its record is about how it came to be.
_SPEC = (
    "name", "entity_name", "entity_version", "workload_size", "workload_type",
    "scale_to_zero_enabled",
)  # fmt: skip


def check_name(name: str, what: str = "name") -> str:
    if not _NAME.fullmatch(name):
        raise bad_request(f"{what}: up to 63 letters, digits, '-' and '_', not at its ends.")
    return name


def check_config(given: dict, present: dict | None, registry: ModelRegistry, creator: str) -> dict:
    """Complete a configuration: entity names and ids, an implicit route for a single entity.

    ``present`` is the configuration that serves; an entity that is the same in both keeps its id.
    Raises ApiError 400 for a wrong one, 404 for an unknown model version, 501 for what is not
    computed here.
    """
    known = {_spec(entity): entity for entity in (present or {}).get("served_entities", [])}
    entities = []
    for item in given.get("served_entities") or given.get("served_models") or []:
        entity = _entity(item, registry)
        made = {"id": uuid.uuid4().hex, "creator": creator, "creation_timestamp": now_ms()}
        entities.append(known.get(_spec(entity)) or entity | made)
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
    config = {
        "served_entities": entities,
        "traffic_config": {"routes": [_route(route, names) for route in _full(routes)]},
    }
    if given.get("auto_capture_config"):
        config["auto_capture_config"] = given["auto_capture_config"]
    return config


def _spec(entity: dict) -> tuple:
    return tuple(entity[key] for key in _SPEC)


def _entity(given: dict, registry: ModelRegistry) -> dict:
    for kind in _REFUSED:
        if given.get(kind):
            raise not_computed(f"served_entities: {kind}")
    kind = given.get("workload_type") or "CPU"
    if kind != "CPU":
        raise not_computed(f"served_entities: workload_type {kind}")
    model = given.get("entity_name") or given.get("model_name")
    version = given.get("entity_version") or given.get("model_version") or ""
    if not model or not _VERSION.fullmatch(version):
        raise bad_request("served_entities: entity_name and a numeric entity_version are needed.")
    registry.folder(model, int(version))
    implied = re.sub(r"[^A-Za-z0-9_-]", "_", f"{model.rsplit('.', 1)[-1]}-{version}")
    return {
        "name": check_name(given.get("name") or implied, "served_entities: name"),
        "entity_name": model,
        "entity_version": version,
        "workload_size": given.get("workload_size") or "Small",
        "workload_type": kind,
        "scale_to_zero_enabled": bool(given.get("scale_to_zero_enabled")),
    }


def _full(routes: list[dict]) -> list[dict]:
    shares = [route.get("traffic_percentage") for route in routes]
    if any(share is None or not 0 <= share <= 100 for share in shares):
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


def choose(config: dict, client_request_id: str | None) -> dict:
    """The entity that answers a request: the same id always meets the same entity."""
    entities = {entity["name"]: entity for entity in config["served_entities"]}
    key = client_request_id or uuid.uuid4().hex
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    point = int.from_bytes(digest[:8]) % 10000 / 100
    upto = 0
    for route in config["traffic_config"]["routes"]:
        upto += route["traffic_percentage"]
        if point < upto:
            return entities[route["served_entity_name"]]
    raise AssertionError("the percentages of a checked configuration sum to 100")
