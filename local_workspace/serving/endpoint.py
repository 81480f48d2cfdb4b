"""One serving endpoint: what it serves, what is on its way, and how the contract shows it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from .metrics import LastMinute
from .model_process import ModelProcess


@dataclass
class Endpoint:
    """The configuration that serves, the one on its way, and the processes of the first.

    ``leaving`` are processes of the configuration before it that still answer something.

    ``details``: creator, description, tags, ai_gateway, as they are shown. ``failure`` is why the
    last update failed. An endpoint whose first configuration failed has it as ``config``, with
    ``config_version`` 0 and no process.
    """

    name: str
    id: str
    created_ms: int
    details: dict
    updated_ms: int = 0
    config: dict | None = None
    config_version: int = 0
    pending: dict | None = None
    failure: str | None = None
    table: str | None = None
    processes: dict[str, ModelProcess] = field(default_factory=dict)
    leaving: set[ModelProcess] = field(default_factory=set)
    update: asyncio.Task | None = None
    metrics: LastMinute = field(default_factory=LastMinute)

    def view(self) -> dict:
        """The endpoint as GET shows it."""
        updating = "UPDATE_FAILED" if self.failure else "NOT_UPDATING"
        if self.pending is not None:
            updating = "IN_PROGRESS"
        states = {name: process.state for name, process in self.processes.items()}
        ready = bool(states) and all(state == "DEPLOYMENT_READY" for state, _ in states.values())
        view = {
            "name": self.name,
            "id": self.id,
            "creation_timestamp": self.created_ms,
            "last_updated_timestamp": self.updated_ms,
            "permission_level": "CAN_MANAGE",
            "state": {"ready": "READY" if ready else "NOT_READY", "config_update": updating},
        } | self.details
        if self.config is not None:
            failed = ("DEPLOYMENT_FAILED", self.failure or "")
            view["config"] = self._config(self.config, states, failed, self.config_version)
        if self.pending is not None:
            creating = ("DEPLOYMENT_CREATING", "")
            version = self.config_version + 1
            view["pending_config"] = self._config(self.pending, {}, creating, version)
        return view

    def _config(self, config: dict, states: dict, otherwise: tuple, version: int) -> dict:
        entities, models = [], []
        for entity in config["served_entities"]:
            deployment, message = states.get(entity["name"], otherwise)
            state = {"deployment": deployment, "deployment_state_message": message}
            shown = entity | {"state": state}
            entities.append(shown)
            model = {"model_name": entity["entity_name"], "model_version": entity["entity_version"]}
            models.append(shown | model)
        view = config | {"served_entities": entities, "served_models": models}
        capture = config.get("auto_capture_config")
        if capture and capture.get("enabled") is not False:
            table = {"name": self.table, "status": "ENABLED", "status_message": ""}
            view["auto_capture_config"] = capture | {"state": {"payload_table": table}}
        return view | {"config_version": version}
