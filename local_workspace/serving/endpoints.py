"""Serving endpoints: their configurations in the store, their model processes in memory."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from ..access.tokens import OWNER, Principal
from ..clock import now_ms
from ..errors import conflict, not_found
from .endpoint import Endpoint
from .endpoint_config import check_config, check_name
from .host_process import ModelStartError, Reply
from .inference_table import prepare, table_of
from .invocations import Invocations
from .limits import Limits
from .logs import EntityLogs, read_log
from .model_process import ModelProcess

log = logging.getLogger("local_workspace.serving")
TEND_SECONDS = 1.0
FLUSH_TICKS = 5
# What a request under way gets when its endpoint is deleted or the workspace stops.
STOP_SECONDS = 2.0

# config is what serves ('null' before the first one does), pending what is to serve next.
SCHEMA = """
CREATE TABLE IF NOT EXISTS endpoints (
    name TEXT PRIMARY KEY, id TEXT NOT NULL, config TEXT NOT NULL, config_version INTEGER NOT NULL,
    created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, pending TEXT, failure TEXT,
    details TEXT);
"""


class Endpoints:
    """All endpoints. Every method runs on the server's event loop."""

    def __init__(self, services) -> None:
        self._settings = services.settings
        self._store = services.store
        self._store.declare(SCHEMA)
        self._catalog = services.engine.catalog
        self._registry = services.registry
        self._logs = services.settings.logs / "serving"
        self._endpoints: dict[str, Endpoint] = {}
        self._tending: asyncio.Task | None = None
        self._stopping: set[asyncio.Task] = set()
        self.limits = Limits(services.settings)
        self._journal = services.journal
        self._invocations = Invocations(self._journal, self.limits)

    async def recover(self) -> None:
        """Bring back the endpoints of an earlier process; their models load in the background."""
        for row in self._store.rows("SELECT * FROM endpoints ORDER BY name"):
            endpoint = _restored(row)
            self._endpoints[endpoint.name] = endpoint
            if endpoint.config_version:
                self._serve(endpoint, endpoint.config, {})
                await asyncio.gather(*(p.resume() for p in endpoint.processes.values()))
            if endpoint.pending is not None:
                self._begin(endpoint, endpoint.pending)
        self._tending = asyncio.create_task(self._tend())

    async def stop(self) -> None:
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.wait([self._tending])
        endpoints = list(self._endpoints.values())
        self._endpoints.clear()
        await asyncio.gather(*(_end(endpoint) for endpoint in endpoints))
        await asyncio.to_thread(self._journal.flush)

    async def create(self, name: str, config: dict, details: dict, caller: Principal) -> Endpoint:
        """Make an endpoint; ``details`` are its description, tags and ai_gateway."""
        check_name(name)
        config = await self._checked(name, config, None, details, caller)
        if name in self._endpoints:
            raise conflict(f"Endpoint with name '{name}' already exists.")
        details = {"creator": caller.user_name, "description": ""} | details
        endpoint = Endpoint(name, uuid.uuid4().hex, now_ms(), details)
        self._endpoints[name] = endpoint
        self._begin(endpoint, config)
        return endpoint

    async def update_config(self, name: str, config: dict, caller: Principal) -> Endpoint:
        endpoint = self.get(name)
        # What is not given stays as it is: only the routes, say, may be given.
        kept = endpoint.config or {}
        if config.get("served_entities") or config.get("served_models"):
            kept = {key: kept[key] for key in kept.keys() & {"auto_capture_config"}}
        config = await self._checked(name, kept | config, endpoint.config, endpoint.details, caller)
        endpoint = self.get(name)
        if endpoint.pending is not None:
            raise conflict(f"Endpoint '{name}' is being updated.", "RESOURCE_CONFLICT")
        self._begin(endpoint, config)
        return endpoint

    async def delete(self, name: str) -> None:
        endpoint = self.get(name)
        del self._endpoints[name]
        self._store.execute("DELETE FROM endpoints WHERE name = ?", name)
        await _end(endpoint)
        await asyncio.to_thread(shutil.rmtree, self._log_folder(endpoint), ignore_errors=True)

    async def change_details(self, name: str, change: Callable[[dict], dict]) -> dict:
        """Replace the details by what ``change`` makes of them. Returns the new ones."""
        endpoint = self.get(name)
        table = table_of(name, endpoint.config, change(endpoint.details))
        if table is not None and table != endpoint.table:
            await asyncio.to_thread(prepare, self._catalog, table)
        # They may have been changed, and the endpoint deleted, while the table was made.
        endpoint = self.get(name)
        endpoint.details = change(endpoint.details)
        endpoint.table = table_of(name, endpoint.config, endpoint.details)
        self._save(endpoint)
        return endpoint.details

    def get(self, name: str) -> Endpoint:
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            raise not_found(f"The endpoint '{name}' does not exist.")
        return endpoint

    def all(self) -> list[Endpoint]:
        return [self._endpoints[name] for name in sorted(self._endpoints)]

    async def invoke(self, name: str, body: bytes, caller: Principal) -> tuple[Reply, str]:
        """Answer a request. Returns (answer of the model, name of the served entity)."""
        return await self._invocations.answer(self.get(name), body, caller)

    def metrics(self, name: str) -> str:
        endpoint = self.get(name)
        pids = {entity: process.pid for entity, process in endpoint.processes.items()}
        return endpoint.metrics.text(name, pids, self.limits.memory_bytes)

    def service_log(self, name: str, entity: str) -> str:
        """The last 64 KiB that the process of an entity wrote while it served."""
        return read_log(self._entity_logs(name, entity).service)

    def build_log(self, name: str, entity: str) -> str:
        """The last 64 KiB that it wrote while its model was loaded the last time."""
        return read_log(self._entity_logs(name, entity).build)

    async def _checked(
        self, name: str, config: dict, present: dict | None, details: dict, caller: Principal
    ) -> dict:
        checked = await asyncio.to_thread(
            check_config, config, present, self._registry, caller.user_name
        )
        table = table_of(name, checked, details)
        if table is not None:
            await asyncio.to_thread(prepare, self._catalog, table)
        return checked

    def _begin(self, endpoint: Endpoint, config: dict) -> None:
        endpoint.pending, endpoint.failure = config, None
        endpoint.updated_ms = now_ms()
        self._save(endpoint)
        endpoint.update = asyncio.create_task(self._load(endpoint, config))

    async def _load(self, endpoint: Endpoint, config: dict) -> None:
        """Load what the new configuration needs; the old one serves until all of it is there."""
        present = {entity["id"] for entity in (endpoint.config or {}).get("served_entities", [])}
        kept: dict[str, ModelProcess] = {}
        fresh: dict[str, ModelProcess] = {}
        for entity in config["served_entities"]:
            name = entity["name"]
            if entity["id"] in present and name in endpoint.processes:
                kept[name] = endpoint.processes[name]
            else:
                fresh[name] = self._process(endpoint, entity)
        try:
            await asyncio.gather(*(process.start() for process in (kept | fresh).values()))
        except ModelStartError as error:
            endpoint.failure, endpoint.pending = str(error), None
            if endpoint.config is None:
                endpoint.config = config
            self._save(endpoint)
            await _stop(fresh.values())
            return
        except asyncio.CancelledError:
            await _stop(fresh.values())
            raise
        old = endpoint.processes
        self._serve(endpoint, config, kept | fresh)
        endpoint.pending = None
        endpoint.config_version += 1
        self._save(endpoint)
        self._retire(endpoint, set(old.values()) - set(kept.values()))

    def _retire(self, endpoint: Endpoint, processes: set[ModelProcess]) -> None:
        """Let processes that serve no more answer what they were asked, then end them."""
        endpoint.leaving |= processes
        stopping = asyncio.create_task(_stop(processes, self.limits.invocation_seconds))
        self._stopping.add(stopping)  # the loop itself would not keep the task

        def gone(_: asyncio.Task) -> None:
            endpoint.leaving -= processes
            self._stopping.discard(stopping)

        stopping.add_done_callback(gone)

    def _serve(self, endpoint: Endpoint, config: dict, ready: dict[str, ModelProcess]) -> None:
        endpoint.config = config
        endpoint.processes = {
            entity["name"]: ready.get(entity["name"]) or self._process(endpoint, entity)
            for entity in config["served_entities"]
        }
        endpoint.table = table_of(endpoint.name, config, endpoint.details)

    def _process(self, endpoint: Endpoint, entity: dict) -> ModelProcess:
        settings = self._settings
        values = {
            "MLFLOW_TRACKING_URI": settings.mlflow_uri,
            "MLFLOW_REGISTRY_URI": settings.mlflow_uri,
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        # A row at a time gains nothing from threads, and each endpoint would take every core.
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            values[name] = os.environ.get(name, "1")
        logs = EntityLogs(self._log_folder(endpoint), entity["name"], settings.log_cap)
        return ModelProcess(entity, self._registry, settings.job_python, values, logs, self.limits)

    def _entity_logs(self, name: str, entity: str) -> EntityLogs:
        endpoint = self.get(name)
        for config in (endpoint.config, endpoint.pending):
            if config and any(entity == known["name"] for known in config["served_entities"]):
                return EntityLogs(self._log_folder(endpoint), entity, self._settings.log_cap)
        raise not_found(f"The endpoint '{name}' has no served entity '{entity}'.")

    def _log_folder(self, endpoint: Endpoint) -> Path:
        # A name may be used again while the logs of the deleted endpoint are being removed.
        return self._logs / f"{endpoint.name}.{endpoint.id[:8]}"

    async def _tend(self) -> None:
        """Every second: processes that are idle or failed; less often: logs, journal."""
        ticks = 0
        while True:
            await asyncio.sleep(TEND_SECONDS)
            ticks += 1
            processes = [p for e in self._endpoints.values() for p in e.processes.values()]
            try:
                await asyncio.gather(*(process.keep() for process in processes))
                if ticks % FLUSH_TICKS == 0:
                    await asyncio.to_thread(self._write_down, processes)
            except Exception:
                log.exception("tending the endpoints failed; it is tried again")

    def _write_down(self, processes: list[ModelProcess]) -> None:
        for process in processes:
            process.logs.trim()
        self._journal.flush()

    def _save(self, endpoint: Endpoint) -> None:
        if self._endpoints.get(endpoint.name) is not endpoint:
            return  # deleted meanwhile
        pending = None if endpoint.pending is None else json.dumps(endpoint.pending)
        self._store.execute(
            "INSERT INTO endpoints (name, id, config, config_version, created_ms, updated_ms,"
            " pending, failure, details) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET config = excluded.config,"
            " config_version = excluded.config_version, updated_ms = excluded.updated_ms,"
            " pending = excluded.pending, failure = excluded.failure, details = excluded.details",
            endpoint.name, endpoint.id, json.dumps(endpoint.config), endpoint.config_version,
            endpoint.created_ms, endpoint.updated_ms, pending, endpoint.failure,
            json.dumps(endpoint.details),
        )  # fmt: skip


async def _end(endpoint: Endpoint) -> None:
    if endpoint.update is not None and not endpoint.update.done():
        endpoint.update.cancel()
        await asyncio.wait([endpoint.update])
    processes = endpoint.leaving.union(endpoint.processes.values())
    endpoint.processes = {}
    await _stop(processes)


async def _stop(processes: Iterable[ModelProcess], patience: float = STOP_SECONDS) -> None:
    await asyncio.gather(*(process.stop(patience) for process in processes))


def _restored(row) -> Endpoint:
    """The endpoint of a stored row, also of one that an earlier release wrote."""
    details = json.loads(row["details"] or "{}")
    details = {"creator": OWNER.user_name, "description": ""} | details
    endpoint = Endpoint(row["name"], row["id"], row["created_ms"], details)
    endpoint.updated_ms, endpoint.failure = row["updated_ms"], row["failure"]
    endpoint.config_version = row["config_version"]
    endpoint.config = json.loads(row["config"])
    endpoint.pending = json.loads(row["pending"] or "null")
    for entity in (endpoint.config or {}).get("served_entities", []):
        entity.setdefault("id", uuid.uuid4().hex)
        entity.setdefault("creator", details["creator"])
        entity.setdefault("creation_timestamp", endpoint.updated_ms)
    if not endpoint.config_version and endpoint.failure is None and endpoint.pending is None:
        endpoint.config, endpoint.pending = None, endpoint.config
    return endpoint
