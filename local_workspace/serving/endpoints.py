"""Serving endpoints: their configurations in the store, their model processes in memory."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import uuid

from ..errors import ApiError, conflict, not_found
from ..store import now_ms
from .endpoint_config import check_config, check_name, choose
from .model_process import ModelProcess, ModelStartError

log = logging.getLogger("local_workspace.serving")
WAIT_READY_SECONDS = 6

SCHEMA = """
CREATE TABLE IF NOT EXISTS endpoints (
    name TEXT PRIMARY KEY, id TEXT NOT NULL, config TEXT NOT NULL, config_version INTEGER NOT NULL,
    created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL);
"""


class Endpoint:
    """One endpoint: the configuration that serves, the one on its way, and their processes."""

    def __init__(self, name: str, endpoint_id: str, created_ms: int) -> None:
        self.name = name
        self.id = endpoint_id
        self.created_ms = self.updated_ms = created_ms
        self.config: dict | None = None
        self.config_version = 0
        self.pending: dict | None = None
        self.failure: str | None = None
        self.processes: dict[str, ModelProcess] = {}
        self.update: asyncio.Task | None = None

    def view(self) -> dict:
        """The endpoint as GET shows it."""
        updating = "UPDATE_FAILED" if self.failure else "NOT_UPDATING"
        if self.pending is not None:
            updating = "IN_PROGRESS"
        view: dict = {
            "name": self.name,
            "id": self.id,
            "creator": "local@workspace.invalid",
            "creation_timestamp": self.created_ms,
            "last_updated_timestamp": self.updated_ms,
            "description": "",
            "permission_level": "CAN_MANAGE",
            "state": {"ready": "READY" if self.processes else "NOT_READY",
                      "config_update": updating},
        }  # fmt: skip
        if self.config is not None:
            state = "DEPLOYMENT_READY" if self.processes else "DEPLOYMENT_FAILED"
            if self.pending is not None and not self.processes:
                state = "DEPLOYMENT_CREATING"
            view["config"] = self._config_view(self.config, state, self.failure or "")
            view["config"]["config_version"] = self.config_version
        if self.pending is not None:
            view["pending_config"] = self._config_view(self.pending, "DEPLOYMENT_CREATING", "")
            view["pending_config"]["config_version"] = self.config_version + 1
        return view

    def _config_view(self, config: dict, deployment: str, message: str) -> dict:
        state = {"deployment": deployment, "deployment_state_message": message}
        entities = [
            entity | {"creator": "local@workspace.invalid",
                      "creation_timestamp": self.updated_ms, "state": state}
            for entity in config["served_entities"]
        ]  # fmt: skip
        models = [
            entity | {"model_name": entity["entity_name"],
                      "model_version": entity["entity_version"]}
            for entity in entities
        ]  # fmt: skip
        return {"served_entities": entities, "served_models": models,
                "traffic_config": config["traffic_config"]}  # fmt: skip


class Endpoints:
    """All endpoints. Every method runs on the server's event loop."""

    def __init__(self, services) -> None:
        self._services = services
        self._settings = services.settings
        self._store = services.store
        self._store.declare(SCHEMA)
        self._mlflow_db = services.settings.data / "mlflow.db"
        self._logs = services.settings.logs / "serving"
        self._logs.mkdir(exist_ok=True)
        self._endpoints: dict[str, Endpoint] = {}
        self.invocation_seconds = services.settings.invocation_seconds

    async def recover(self) -> None:
        """Bring back the endpoints of an earlier process; their models load in the background."""
        for row in self._store.rows("SELECT * FROM endpoints ORDER BY name"):
            endpoint = Endpoint(row["name"], row["id"], row["created_ms"])
            endpoint.config_version = row["config_version"]
            self._endpoints[endpoint.name] = endpoint
            self._begin(endpoint, json.loads(row["config"]))

    async def create(self, name: str, config: dict) -> Endpoint:
        check_name(name)
        checked = await asyncio.to_thread(check_config, config, self._mlflow_db)
        if name in self._endpoints:
            raise conflict(f"Endpoint with name '{name}' already exists.")
        endpoint = Endpoint(name, uuid.uuid4().hex, now_ms())
        self._endpoints[name] = endpoint
        self._begin(endpoint, checked)
        return endpoint

    async def update_config(self, name: str, config: dict) -> Endpoint:
        endpoint = self.get(name)
        if endpoint.config is not None:
            # Only the routes may be given; the entities then stay as they are.
            config = {"served_entities": endpoint.config["served_entities"]} | config
        checked = await asyncio.to_thread(check_config, config, self._mlflow_db)
        if endpoint.pending is not None:
            raise conflict(f"Endpoint '{name}' is being updated.", "RESOURCE_CONFLICT")
        self._begin(endpoint, checked)
        return endpoint

    async def delete(self, name: str) -> None:
        endpoint = self.get(name)
        del self._endpoints[name]
        self._store.execute("DELETE FROM endpoints WHERE name = ?", name)
        await self._end(endpoint)

    def get(self, name: str) -> Endpoint:
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            raise not_found(f"The endpoint '{name}' does not exist.")
        return endpoint

    def all(self) -> list[Endpoint]:
        return [self._endpoints[name] for name in sorted(self._endpoints)]

    async def invoke(self, name: str, body: bytes) -> tuple[int, str, str]:
        """Answer a request. Returns (HTTP status, response text, served entity name)."""
        endpoint = self.get(name)
        if not endpoint.processes and endpoint.update is not None:
            # A first load is waited for, as the service does while it scales from zero.
            await asyncio.wait([endpoint.update], timeout=WAIT_READY_SECONDS)
        if not endpoint.processes:
            text = endpoint.failure or f"The endpoint '{name}' is not ready yet."
            raise ApiError(503, "TEMPORARILY_UNAVAILABLE", text)
        text, request_id = _read_request(body)
        entity = choose(endpoint.config, request_id)
        process = endpoint.processes[entity]
        status, answer = await process.invoke(text, self.invocation_seconds)
        return status, answer, entity

    def read_log(self, name: str, entity: str) -> str:
        """The last 64 KiB that the process of an entity wrote."""
        process = self.get(name).processes.get(entity)
        path = process.log_file if process else self._log_file(name, entity)
        if not path.exists():
            raise not_found(f"The endpoint '{name}' has no log of '{entity}'.")
        with path.open("rb") as log_file:
            log_file.seek(max(path.stat().st_size - 65536, 0))
            return log_file.read().decode("utf-8", "replace")

    async def stop(self) -> None:
        endpoints = list(self._endpoints.values())
        self._endpoints.clear()
        await asyncio.gather(*(self._end(endpoint) for endpoint in endpoints))

    def _begin(self, endpoint: Endpoint, config: dict) -> None:
        endpoint.pending = config
        endpoint.failure = None
        endpoint.updated_ms = now_ms()
        self._save(endpoint, config)
        endpoint.update = asyncio.create_task(self._load(endpoint, config))

    async def _load(self, endpoint: Endpoint, config: dict) -> None:
        """Load what the new configuration needs; the old one serves until all of it is there."""
        kept: dict[str, ModelProcess] = {}
        fresh: dict[str, ModelProcess] = {}
        current = {e["name"]: e for e in (endpoint.config or {}).get("served_entities", [])}
        for entity in config["served_entities"]:
            name = entity["name"]
            same = current.get(name) == entity and name in endpoint.processes
            if same:
                kept[name] = endpoint.processes[name]
            else:
                fresh[name] = self._process(endpoint.name, entity)
        try:
            await asyncio.gather(*(process.start() for process in fresh.values()))
        except ModelStartError as error:
            endpoint.failure = str(error)
            endpoint.pending = None
            if endpoint.config is None:
                endpoint.config = config
            else:
                self._save(endpoint, endpoint.config)
            await asyncio.gather(*(process.stop() for process in fresh.values()))
            return
        except asyncio.CancelledError:
            await asyncio.gather(*(process.stop() for process in fresh.values()))
            raise
        old = endpoint.processes
        endpoint.processes = kept | fresh
        endpoint.config, endpoint.pending = config, None
        endpoint.config_version += 1
        self._save(endpoint, config)
        kept_processes = set(kept.values())
        await asyncio.gather(*(p.stop() for p in old.values() if p not in kept_processes))

    def _process(self, endpoint: str, entity: dict) -> ModelProcess:
        settings = self._settings
        values = {
            "MLFLOW_TRACKING_URI": settings.mlflow_uri,
            "MLFLOW_REGISTRY_URI": settings.mlflow_uri,
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        uri = f"models:/{entity['entity_name']}/{entity['entity_version']}"
        log_file = self._log_file(endpoint, entity["name"])
        return ModelProcess(uri, settings.job_python, values, log_file)

    def _log_file(self, endpoint: str, entity: str):
        return self._logs / (re.sub(r"[^A-Za-z0-9_.-]", "_", f"{endpoint}.{entity}") + ".log")

    def _save(self, endpoint: Endpoint, config: dict) -> None:
        self._store.execute(
            "INSERT INTO endpoints (name, id, config, config_version, created_ms, updated_ms)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET config = excluded.config,"
            " config_version = excluded.config_version, updated_ms = excluded.updated_ms",
            endpoint.name, endpoint.id, json.dumps(config), endpoint.config_version,
            endpoint.created_ms, endpoint.updated_ms,
        )  # fmt: skip

    async def _end(self, endpoint: Endpoint) -> None:
        if endpoint.update is not None and not endpoint.update.done():
            endpoint.update.cancel()
            await asyncio.wait([endpoint.update])
        processes, endpoint.processes = endpoint.processes, {}
        await asyncio.gather(*(process.stop() for process in processes.values()))


def _read_request(body: bytes) -> tuple[str, str | None]:
    """Split what is meant for the service (client_request_id) from what the model reads.

    A body that is no JSON object goes on as it is: MLflow's own answer says what is wrong.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise ApiError(400, "BAD_REQUEST", "The body is not UTF-8 text.") from error
    try:
        given = json.loads(text)
    except ValueError:
        return text, None
    if not isinstance(given, dict):
        return text, None
    request_id = given.pop("client_request_id", None)
    usage = given.pop("usage_context", None)
    if request_id is None and usage is None:
        return text, None
    return json.dumps(given), None if request_id is None else str(request_id)
