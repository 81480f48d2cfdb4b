"""python_wheel_task and spark_python_task: a child process in a group of its own."""

from __future__ import annotations

import shutil
import threading
from functools import partial

from ...access.principals import OWNER, Principal
from ..task_inputs import local_file, task_values
from ..task_process import (
    TaskOutcome,
    TaskProcess,
    TaskStartError,
    task_environment,
    unpack_wheels,
)
from ..transitions import Outcome
from .context import TaskContext, failed


class PythonWork:
    """The process gets a token of the workspace that ends with it."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._settings = context.services.settings
        self._lock = threading.Lock()
        self._stopped = False
        self._process: TaskProcess | None = None
        self._principal = _principal(context)
        locate = partial(local_file, context.services)
        self._spec = {
            "arguments": arguments(context.payload),
            "wheels": unpack_wheels(context.wheels, context.folder, locate),
            "grace_seconds": self._settings.stop_grace_seconds,
        }
        if context.kind == "python_wheel_task":
            names = {name: context.payload[name] for name in ("package_name", "entry_point")}
            self._spec |= {"kind": "wheel"} | names
            return
        path = context.payload["python_file"]
        place = locate(path)
        if not place.is_absolute() or not place.is_file():
            raise TaskStartError("RESOURCE_NOT_FOUND", f"The file {path} does not exist.")
        self._spec |= {"kind": "file", "python_file": str(place)}

    def run(self) -> Outcome:
        services = self._context.services
        token_id, token = services.identity.task_token(
            self._context.attempt["run_id"], self._principal
        )
        try:
            environment = task_environment(task_values(services, token), self._spec["wheels"])
            with self._lock:
                if self._stopped:
                    return Outcome("CANCELED")
                self._process = TaskProcess(
                    self._spec, self._context.folder, self._settings.job_python, environment,
                    self._settings.log_cap,
                )  # fmt: skip
            return _outcome(self._process.wait(None, self._settings.stop_grace_seconds))
        finally:
            services.identity.revoke(token_id)
            shutil.rmtree(self._context.folder / "wheels", ignore_errors=True)

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
        if self._process is not None:
            self._process.stop("CANCELED", self._settings.stop_grace_seconds)


def _principal(context: TaskContext) -> Principal:
    """Whom the task acts for: who started its run, or made the job whose schedule did."""
    name = context.run["creator"] or OWNER.user_name
    if name == OWNER.user_name:
        return OWNER
    principal = context.services.identity.service_principals.find(name)
    if principal is None:
        text = f"The service principal {name}, for which the task would run, was deleted."
        raise TaskStartError("UNAUTHORIZED_ERROR", text)
    return principal


def arguments(payload: dict) -> list[str]:
    """The command line: the listed parameters, then the named ones as ``--name=value``."""
    named = payload.get("named_parameters") or {}
    return [
        *(payload.get("parameters") or []),
        *(f"--{name}={value}" for name, value in named.items()),
    ]


def _outcome(ended: TaskOutcome) -> Outcome:
    if ended.returncode == 0:
        return Outcome("SUCCESS")
    return failed(ended.error, ended.error_trace)
