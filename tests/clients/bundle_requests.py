"""The requests that ``databricks bundle`` makes, in its order, without the command itself.

The sequence is the one recorded in the CLI's own acceptance tests (direct engine): validate,
plan, deploy with lock and state, run, destroy. It is here because the CLI cannot be installed
from where the tests get their parts.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx

FINAL = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")
FINAL_UPDATE = ("COMPLETED", "FAILED", "CANCELED")


class Locked(Exception):
    """Another deployment holds the lock."""


@dataclass
class Bundle:
    """One bundle: files by relative path, jobs and pipelines by their key in databricks.yml."""

    http: httpx.Client
    name: str
    files: dict[str, bytes]
    jobs: dict[str, dict] = field(default_factory=dict)
    pipelines: dict[str, dict] = field(default_factory=dict)
    root: str = ""
    sent: list[str] = field(default_factory=list)

    # --- HTTP

    def call(self, method: str, path: str, **options) -> httpx.Response:
        self.sent.append(f"{method} {path.split('?')[0]}")
        return self.http.request(method, path, **options)

    def ok(self, method: str, path: str, **options) -> httpx.Response:
        answer = self.call(method, path, **options)
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def status(self, path: str) -> dict | None:
        answer = self.call("GET", "/api/2.0/workspace/get-status",
                           params={"path": path, "return_export_info": "true"})  # fmt: skip
        if answer.status_code == 404:
            return None
        assert answer.status_code == 200, answer.text
        return answer.json()

    def write(self, path: str, content: bytes, overwrite: bool = True) -> httpx.Response:
        target = f"/api/2.0/workspace-files/import-file/{quote(path.lstrip('/'), safe='')}"
        return self.call("POST", f"{target}?overwrite={str(overwrite).lower()}", content=content)

    # --- commands

    def validate(self) -> None:
        self.ok("GET", "/.well-known/databricks-config")
        me = self.ok("GET", "/api/2.0/preview/scim/v2/Me").json()
        self.root = f"/Workspace/Users/{me['userName']}/.bundle/{self.name}/dev"
        if self.status(f"{self.root}/files") is None:
            self.ok("POST", "/api/2.0/workspace/mkdirs", json={"path": f"{self.root}/files"})

    def plan(self) -> dict[str, str]:
        """What a deployment would do: resource -> create | update | skip | delete."""
        state = self.state()
        wanted = {f"jobs.{key}" for key in self.jobs} | {f"pipelines.{k}" for k in self.pipelines}
        actions = {name: "delete" for name in state if name not in wanted}
        for name in sorted(wanted):
            kind, _, key = name.partition(".")
            settings = getattr(self, kind)[key]
            if name not in state:
                actions[name] = "create"
                continue
            remote = self.remote(kind, state[name]["id"])
            same = state[name]["settings"] == settings and not drift(settings, remote)
            actions[name] = "skip" if same else "update"
        return actions

    def deploy(self) -> dict[str, str]:
        self.lock()
        try:
            actions = self.plan()
            internal = f"{self.root}/artifacts/.internal"
            self.call("POST", "/api/2.0/workspace/delete",
                      json={"path": internal, "recursive": True})  # fmt: skip
            folders = {internal, f"{self.root}/state"}
            folders |= {f"{self.root}/files/{p}".rpartition("/")[0] for p in self.files}
            for folder in sorted(folders):
                self.ok("POST", "/api/2.0/workspace/mkdirs", json={"path": folder})
            for path, content in self.files.items():
                answer = self.write(f"{self.root}/files/{path}", content)
                assert answer.status_code == 200, answer.text
            state = self.state()
            for name, action in actions.items():
                kind, _, key = name.partition(".")
                if action == "delete":
                    self.remove(kind, state.pop(name)["id"])
                elif action != "skip":
                    known = state.get(name, {}).get("id")
                    settings = getattr(self, kind)[key]
                    state[name] = {"id": self.put(kind, settings, known), "settings": settings}
            for file, content in (
                ("resources.json", state),
                ("metadata.json", {"version": 1}),
                ("deployment.json", {"version": 1, "seq": 1}),
            ):
                answer = self.write(f"{self.root}/state/{file}", json.dumps(content).encode())
                assert answer.status_code == 200, answer.text
            self.call("POST", "/telemetry-ext", json={"uploadTime": 0, "protoLogs": []})
            return actions
        finally:
            self.unlock()

    def run_job(self, key: str, seconds: float = 120, **options) -> dict:
        job_id = self.state()[f"jobs.{key}"]["id"]
        body = {"job_id": job_id} | options
        run_id = self.ok("POST", "/api/2.2/jobs/run-now", json=body).json()["run_id"]
        deadline = time.monotonic() + seconds
        while True:
            run = self.ok("GET", "/api/2.2/jobs/runs/get", params={"run_id": run_id}).json()
            if run["state"]["life_cycle_state"] in FINAL:
                break
            assert time.monotonic() < deadline, run
            time.sleep(0.3)
        for task in run["tasks"]:
            output = self.ok("GET", "/api/2.2/jobs/runs/get-output",
                             params={"run_id": task["run_id"]}).json()  # fmt: skip
            task["output"] = output
        return run

    def run_pipeline(self, key: str, seconds: float = 240) -> dict:
        pipeline_id = self.state()[f"pipelines.{key}"]["id"]
        base = f"/api/2.0/pipelines/{pipeline_id}"
        update_id = self.ok("POST", f"{base}/updates", json={}).json()["update_id"]
        deadline = time.monotonic() + seconds
        while True:
            update = self.ok("GET", f"{base}/updates/{update_id}").json()["update"]
            events = self.ok("GET", f"{base}/events",
                             params={"max_results": 100}).json()["events"]  # fmt: skip
            if update["state"] in FINAL_UPDATE:
                return update | {"events": events}
            assert time.monotonic() < deadline, update
            time.sleep(0.5)

    def destroy(self) -> None:
        for name, known in self.state().items():
            self.remove(name.partition(".")[0], known["id"])
        self.ok("POST", "/api/2.0/workspace/delete", json={"path": self.root, "recursive": True})

    # --- parts

    def lock(self) -> None:
        path = f"{self.root}/state/deploy.lock"
        answer = self.write(path, b'{"ID":"replay"}', overwrite=False)
        if answer.status_code == 404:
            self.ok("POST", "/api/2.0/workspace/mkdirs", json={"path": f"{self.root}/state"})
            answer = self.write(path, b'{"ID":"replay"}', overwrite=False)
        if answer.status_code == 409:
            raise Locked
        assert answer.status_code == 200, answer.text
        self.ok("GET", "/api/2.0/workspace/export",
                params={"path": path, "direct_download": "true"})  # fmt: skip

    def unlock(self) -> None:
        path = f"{self.root}/state/deploy.lock"
        self.ok("POST", "/api/2.0/workspace/delete", json={"path": path})

    def state(self) -> dict:
        path = f"{self.root}/state/resources.json"
        if self.status(path) is None:
            return {}
        answer = self.ok("GET", "/api/2.0/workspace/export",
                         params={"path": path, "direct_download": "true"})  # fmt: skip
        return answer.json()

    def remote(self, kind: str, known: object) -> dict:
        if kind == "jobs":
            answer = self.ok("GET", "/api/2.2/jobs/get", params={"job_id": known})
            return answer.json()["settings"]
        return self.ok("GET", f"/api/2.0/pipelines/{known}").json()["spec"]

    def put(self, kind: str, settings: dict, known: object) -> object:
        if kind == "jobs" and known is None:
            return self.ok("POST", "/api/2.2/jobs/create", json=settings).json()["job_id"]
        if kind == "jobs":
            body = {"job_id": known, "new_settings": settings}
            self.ok("POST", "/api/2.2/jobs/reset", json=body)
        elif known is None:
            return self.ok("POST", "/api/2.0/pipelines", json=settings).json()["pipeline_id"]
        else:
            self.ok("PUT", f"/api/2.0/pipelines/{known}", json=settings | {"id": known})
        return known

    def remove(self, kind: str, known: object) -> None:
        if kind == "jobs":
            self.ok("POST", "/api/2.2/jobs/delete", json={"job_id": known})
        else:
            self.ok("DELETE", f"/api/2.0/pipelines/{known}")


def drift(sent: object, echoed: object, path: str = "") -> list[str]:
    """Where what comes back differs from what was sent; fields that the service adds are fine."""
    if isinstance(sent, dict) and isinstance(echoed, dict):
        return [
            line
            for key, value in sent.items()
            for line in drift(value, echoed.get(key), f"{path}.{key}")
        ]
    if isinstance(sent, list) and isinstance(echoed, list) and len(sent) == len(echoed):
        return [
            line
            for at, (one, other) in enumerate(zip(sent, echoed, strict=True))
            for line in drift(one, other, f"{path}[{at}]")
        ]
    return [] if sent == echoed else [f"{path}: sent {sent!r}, came back {echoed!r}"]
