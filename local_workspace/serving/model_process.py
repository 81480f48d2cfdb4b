"""A model version in a process of its own, spoken to over a socket pair."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from ..errors import ApiError
from ..mlflow_server.registry import ModelRegistry
from ..runs.task_process import task_environment
from .limits import Limits
from .logs import EntityLogs

log = logging.getLogger("local_workspace.serving")
HOST_FILE = Path(__file__).parents[1] / "children" / "model_host.py"
START_SECONDS = 120
# Below what the whole workspace answers at a time, so that one model does not use it up.
MAX_WAITING = 100
MAX_PAUSE_SECONDS = 60
REQUEST = struct.Struct(">I")
ANSWER = struct.Struct(">HBdI")


class ModelStartError(Exception):
    """The model could not be loaded; the text says why."""


class _KilledFromOutside(Exception):
    """SIGKILL: not what a request does by itself, so the request is tried once more."""


@dataclass(frozen=True)
class Reply:
    """What the model answered: HTTP status, JSON body, milliseconds that it worked."""

    status: int
    body: bytes
    milliseconds: float


class ModelProcess:
    """One served model. Requests are answered one after the other, each within a deadline.

    A process that dies or exceeds a deadline is replaced at once: only the request that caused it
    is lost. A model that cannot be loaded is tried again after a pause that grows. All methods
    belong to the event loop.
    """

    def __init__(
        self, entity: dict, registry: ModelRegistry, python: str, values: dict[str, str],
        logs: EntityLogs, limits: Limits,
    ) -> None:  # fmt: skip
        self.logs = logs
        self.failure: str | None = None
        self.used = time.monotonic()
        self._model, self._version = entity["entity_name"], entity["entity_version"]
        self._sleeps = entity["scale_to_zero_enabled"]
        self._registry = registry
        self._python = python
        self._values = values
        self._limits = limits
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._starting: asyncio.Task | None = None
        self._loaded = self._closed = self._asleep = False
        self._failures = 0
        self._retry_at = 0.0
        self._process: subprocess.Popen | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def pid(self) -> int | None:
        """Of the process with the loaded model; None when there is none."""
        # The end of the stream is seen before the process can be waited for.
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._loaded and running and not self._reader.at_eof() else None

    @property
    def state(self) -> tuple[str, str]:
        """(deployment, message) as the contract has them."""
        if self.pid is not None:
            return "DEPLOYMENT_READY", ""
        if self._asleep and self.failure is None:
            return "DEPLOYMENT_READY", "Scaled to zero"
        if self.failure is not None:
            return "DEPLOYMENT_FAILED", self.failure
        return "DEPLOYMENT_RECOVERING", "The model is being loaded."

    async def start(self) -> None:
        """Load, if it is not loaded. Raises ModelStartError with the reason when that fails."""
        if self.pid is None:
            await self._begin()

    async def resume(self) -> None:
        """After a restart of the workspace: be there again, or ready to wake up."""
        if not self._sleeps:
            self._begin()
            return
        try:
            await self._locate()
        except ModelStartError as error:
            self._note_failure(str(error))
        self._asleep = True

    async def stop(self) -> None:
        """End the process for good, also while it loads; a request under way gets 2 s to end."""
        self._closed = True
        try:
            async with asyncio.timeout(2):
                async with self._turn:
                    pass
        except TimeoutError:
            log.warning("model %s is stopped during a request", self._model)
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait([self._starting])
        await self._halt()

    async def keep(self) -> None:
        """What is due from time to time: end when idle, load again after a failure."""
        loading = self._starting is not None and not self._starting.done()
        if self._closed or loading or self._turn.locked():
            return
        now = time.monotonic()
        if self._sleeps:
            if self._process is not None and now - self.used > self._limits.idle_seconds:
                self._asleep = True
                async with self._turn:
                    await self._halt()
                log.info("model %s/%s is scaled to zero", self._model, self._version)
        elif self.pid is None and now >= self._retry_at:
            self._begin()

    async def invoke(self, body: bytes, seconds: float) -> Reply:
        """Send a request body as the client sent it.

        Raises ApiError: 504 past the deadline, 500 when the process died, 503 while the model
        loads or cannot be loaded, 429 when too many requests wait already.
        """
        if self._waiting >= MAX_WAITING:
            text = "Too many requests wait for the model."
            raise ApiError(429, "REQUEST_LIMIT_EXCEEDED", text, retry_after=1)
        deadline = time.monotonic() + seconds
        self._waiting += 1
        try:
            await self._ready()
            return await self._in_turn(body, deadline, seconds)
        finally:
            self._waiting -= 1
            self.used = time.monotonic()

    async def _in_turn(self, body: bytes, deadline: float, seconds: float) -> Reply:
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await self._turn.acquire()
        except TimeoutError as error:
            text = "The model is busy; the request waited until its deadline."
            raise ApiError(503, "TEMPORARILY_UNAVAILABLE", text, retry_after=1) from error
        try:
            for last in (False, True):
                await self._ready()
                # A wait in the queue or for the model does not eat up the model's own time.
                remaining = max(deadline - time.monotonic(), min(seconds, 1.0))
                try:
                    return await self._exchange(body, remaining)
                except _KilledFromOutside as error:
                    if last:
                        text = "The process of the model was killed twice during the request."
                        raise ApiError(500, "INTERNAL_ERROR", text) from error
        finally:
            self._turn.release()
        raise AssertionError("unreachable")

    def _begin(self) -> asyncio.Task:
        """The load under way, or a new one. Raises ApiError 503 once the process was stopped."""
        if self._closed:
            raise ApiError(503, "TEMPORARILY_UNAVAILABLE", "The served model was replaced.", 1)
        if self._starting is None or self._starting.done():
            self._loaded = self._asleep = False
            self._starting = asyncio.create_task(self._start())
            self._starting.add_done_callback(self._started)
        return self._starting

    async def _ready(self) -> None:
        if self.pid is not None:
            return
        pause = self._retry_at - time.monotonic()
        if self.failure is not None and pause > 0:
            raise ApiError(503, "TEMPORARILY_UNAVAILABLE", self.failure, int(pause) + 1)
        starting = self._begin()
        await asyncio.wait([starting], timeout=self._limits.wake_seconds)
        if not starting.done():
            text = "The model is being loaded; try again."
            raise ApiError(503, "TEMPORARILY_UNAVAILABLE", text, retry_after=1)
        error = None if starting.cancelled() else starting.exception()
        if error is not None:
            raise ApiError(503, "TEMPORARILY_UNAVAILABLE", str(error), 1) from error

    def _started(self, starting: asyncio.Task) -> None:
        if starting.cancelled():
            return
        error = starting.exception()
        if error is None:
            self.failure, self._failures = None, 0
            return
        self._note_failure(str(error))

    def _note_failure(self, text: str) -> None:
        log.warning("%s", text)
        self.failure = text
        self._failures += 1
        self._retry_at = time.monotonic() + min(2**self._failures, MAX_PAUSE_SECONDS)

    async def _exchange(self, body: bytes, seconds: float) -> Reply:
        try:
            async with asyncio.timeout(seconds):
                self._writer.write(REQUEST.pack(len(body)) + body)
                await self._writer.drain()
                reply, replace = await self._receive()
        except TimeoutError as error:
            log.warning("model %s exceeded its deadline; its process is replaced", self._model)
            await self._replace(hanging=True)
            text = f"The model did not answer within {seconds:.0f} s."
            raise ApiError(504, "DEADLINE_EXCEEDED", text) from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            log.warning("the process of model %s ended during a request", self._model)
            process = self._process
            await self._replace()
            if process is not None and process.returncode == -signal.SIGKILL:
                raise _KilledFromOutside from error
            text = "The process of the model ended during the request."
            raise ApiError(500, "INTERNAL_ERROR", text) from error
        except asyncio.CancelledError:
            # The answer on its way would be read by the next request.
            await self._halt()
            raise
        if replace:
            await self._replace()
        return reply

    async def _replace(self, hanging: bool = False) -> None:
        if hanging:
            _signal(self._process, signal.SIGKILL)
        await self._halt()
        if not self._closed:
            self._begin()

    async def _halt(self) -> None:
        """End the process: the closed stream does it, or a signal when it is busy."""
        self._loaded = False
        process, self._process = self._process, None
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if process is None:
            return
        for number in (None, signal.SIGTERM):
            if number is not None:
                _signal(process, number)
            for _ in range(20):
                if process.poll() is not None:
                    return
                await asyncio.sleep(0.05)
        _signal(process, signal.SIGKILL)
        process.wait()

    async def _locate(self) -> str:
        find = self._registry.folder
        try:
            return str(await asyncio.to_thread(find, self._model, int(self._version)))
        except ApiError as error:
            raise ModelStartError(error.message) from error

    async def _start(self) -> None:
        await self._halt()
        location = await self._locate()
        uri = f"models:/{self._model}/{self._version}"
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        environment = task_environment(self._values, []) | {
            "LOCAL_WORKSPACE_PARENT": str(os.getpid()),
            "LOCAL_WORKSPACE_MODEL_MEMORY": str(self._limits.memory_bytes),
        }
        with theirs, self.logs.begin_build(f"loading {uri} from {location}") as out:
            self._process = subprocess.Popen(
                [self._python, str(HOST_FILE), str(theirs.fileno()), str(self.logs.service),
                 location, uri],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=2**20)
        try:
            async with asyncio.timeout(START_SECONDS):
                first, _ = await self._receive()
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            await self._halt()
            text = f"The process of model {uri} did not start; see the build log of its entity."
            raise ModelStartError(text) from error
        if first.status != 200:
            await self._halt()
            reason = first.body.decode("utf-8", "replace")
            raise ModelStartError(f"The model {uri} cannot be loaded: {reason}")
        self._loaded = True
        self.used = time.monotonic()

    async def _receive(self) -> tuple[Reply, bool]:
        """The next answer, and whether the process asks to be replaced."""
        head = await self._reader.readexactly(ANSWER.size)
        status, replace, milliseconds, size = ANSWER.unpack(head)
        return Reply(status, await self._reader.readexactly(size), milliseconds), bool(replace)


def _signal(process: subprocess.Popen, number: int) -> None:
    if process.poll() is not None:
        return
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return  # it ended by itself meanwhile
