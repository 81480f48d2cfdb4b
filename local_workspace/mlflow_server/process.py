"""MLflow's own server as a child process: started by the first call, ended when idle."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import httpx

from ..errors import ApiError
from ..runs.task_process import task_environment
from ..settings import Settings

log = logging.getLogger("local_workspace.mlflow")
HOST_FILE = Path(__file__).parents[1] / "children" / "mlflow_host.py"
SECRET_HEADER = "x-local-workspace-secret"
CALL_SECONDS = 110  # below the client's 120 s
PREPARE_AFTER_SECONDS = 3.0


class MlflowServer:
    """The child listens on a loopback port that it was given, and answers only with the secret.

    It costs 260 MB and 5 s to start, so it lives from the first call until it has been idle.
    All methods belong to the event loop, whose thread must be the one that forks: the kernel ends
    the child together with it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._secret = secrets.token_hex(32)
        self._client: httpx.AsyncClient | None = None
        self._process: subprocess.Popen | None = None
        self._preparing: subprocess.Popen | None = None
        self._keeper: asyncio.Task | None = None
        self._closed = False
        self._active = 0
        self._used = 0.0

    async def start(self) -> None:
        """Begin to watch for idleness, and to lay out the database of a new workspace."""
        for left in self._settings.data.glob("mlflow.db.new-*"):
            left.unlink()
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        await self._halt()
        if self._preparing is not None:
            await _end(self._preparing)

    @property
    def pid(self) -> int | None:
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if running else None

    async def call(self, method: str, path: str, body: dict | None = None, **query) -> dict:
        """Ask MLflow itself. Returns the JSON answer; raises ApiError with MLflow's own error."""
        content = json.dumps(body) if body is not None else ""
        response = await self.forward(method, path, httpx.QueryParams(query), content)
        answer = json.loads(response.text)
        if response.status_code >= 400:
            raise ApiError(response.status_code, answer["error_code"], answer["message"])
        return answer

    async def forward(
        self, method: str, path: str, query: httpx.QueryParams, content: str
    ) -> httpx.Response:
        """Pass one request on and return the whole answer, which is always JSON.

        Raises ApiError 503 when the server cannot be started or ends during the call.
        """
        self._active += 1
        try:
            for last in (False, True):
                self._ensure()
                try:
                    response = await self._client.request(
                        method, quote(path), params=query, content=content.encode()
                    )
                    break
                except httpx.TimeoutException as error:
                    raise _unavailable("MLflow did not answer in time.") from error
                except httpx.TransportError as error:
                    log.warning("MLflow's server ended during a call: %s", type(error).__name__)
                    await self._halt()
                    # What only reads is safe to ask twice; a write may have been done.
                    if last or method != "GET":
                        raise _unavailable("MLflow's server ended; try again.") from error
        finally:
            self._active -= 1
            self._used = time.monotonic()
        if "json" not in response.headers.get("content-type", ""):
            code = response.status_code if response.status_code >= 400 else 500
            raise ApiError(code, "INTERNAL_ERROR", "MLflow could not carry out the call.")
        return response

    def _ensure(self) -> None:
        if self._closed:
            raise _unavailable("The workspace is being stopped.")
        if self.pid is not None:
            return
        if self._preparing is not None and self._preparing.poll() is None:
            # The server would wait for a process of the lowest priority; it is quicker itself.
            self._preparing.kill()
        with socket.socket() as listener:
            # The child gets the socket, listening: calls wait in it until MLflow is loaded, and
            # are refused at once when the child has died.
            listener.bind(("127.0.0.1", 0))
            listener.listen(128)
            port = listener.getsockname()[1]
            self._process = self._spawn(["serve", str(listener.fileno())], [listener.fileno()])
        with suppress(BrokenPipeError):  # it has ended already, and calls are refused
            self._process.stdin.write(self._secret.encode() + b"\n")
            self._process.stdin.close()
        self._client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            headers={SECRET_HEADER: self._secret, "content-type": "application/json"},
            timeout=CALL_SECONDS,
            trust_env=False,
        )

    def _spawn(self, arguments: list[str], descriptors: list[int]) -> subprocess.Popen:
        settings = self._settings
        values = {
            "_MLFLOW_SERVER_FILE_STORE": settings.mlflow_uri,
            "_MLFLOW_SERVER_ARTIFACT_ROOT": settings.artifacts.as_uri(),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "LOCAL_WORKSPACE_PARENT": str(os.getpid()),
        }
        with (settings.logs / "mlflow.log").open("ab") as out:
            return subprocess.Popen(
                [settings.job_python, str(HOST_FILE), *arguments],
                env=task_environment(values, []),
                cwd=settings.data,
                pass_fds=descriptors,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def _halt(self) -> None:
        client, self._client = self._client, None
        process, self._process = self._process, None
        if client is not None:
            await client.aclose()
        if process is not None:
            await _end(process)

    async def _keep(self) -> None:
        await asyncio.sleep(PREPARE_AFTER_SECONDS)
        database = self._settings.data / "mlflow.db"
        if not database.exists() and self.pid is None:
            # The tables take MLflow some seconds: made ahead, and at the lowest priority.
            self._preparing = self._spawn(["prepare", str(database)], [])
            self._preparing.stdin.close()
        idle = self._settings.mlflow_idle_seconds
        while True:
            await asyncio.sleep(min(idle, 15))
            if self._preparing is not None and self._preparing.poll() is not None:
                self._preparing = None
            rested = time.monotonic() - self._used
            if self.pid is not None and not self._active and rested >= idle:
                log.info("MLflow's server was idle for %.0f s and is stopped", rested)
                await self._halt()


def _unavailable(text: str) -> ApiError:
    return ApiError(503, "TEMPORARILY_UNAVAILABLE", text)


async def _end(process: subprocess.Popen) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(number)
        for _ in range(40):
            if process.poll() is not None:
                return
            await asyncio.sleep(0.05)
    process.wait()
