"""A served model version: its child process, who waits for it, when it sleeps or is replaced."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time

from ..errors import ApiError
from ..mlflow_server.registry import ModelRegistry
from .host_process import (
    HostEnded,
    HostOrder,
    HostProcess,
    ModelStartError,
    NotBegun,
    NotInTime,
    Reply,
)
from .limits import Limits
from .logs import EntityLogs

log = logging.getLogger("local_workspace.serving")
# Below what the whole workspace answers at a time, so that one model does not use it up.
MAX_WAITING = 128
# Requests that the child has at a time: the one that it works on and the next.
SENT_AHEAD = 2
MAX_PAUSE_SECONDS = 60


class ModelProcess:
    """One served model. Requests are answered one after the other, each within a deadline.

    A child that dies or exceeds a deadline is replaced at once: only the request that caused it
    is lost. A model that cannot be loaded is tried again after a pause that grows. All methods
    belong to the event loop.
    """

    def __init__(
        self, entity: dict, registry: ModelRegistry, python: str, values: dict[str, str],
        logs: EntityLogs, limits: Limits,
    ) -> None:  # fmt: skip
        self.logs = logs
        self.failure: str | None = None
        self._model, self._version = entity["entity_name"], int(entity["entity_version"])
        self._sleeps = entity["scale_to_zero_enabled"]
        self._registry = registry
        self._python = python
        self._values = values
        self._limits = limits
        self._turns = asyncio.Semaphore(SENT_AHEAD)
        self._waiting = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._used = time.monotonic()
        self._starting: asyncio.Task | None = None
        self._closed = False
        self._failures = 0
        self._retry_at = 0.0
        self._host: HostProcess | None = None

    @property
    def uri(self) -> str:
        return f"models:/{self._model}/{self._version}"

    @property
    def pid(self) -> int | None:
        """Of the child with the loaded model; None when there is none."""
        return self._host.pid if self._host is not None else None

    @property
    def _loading(self) -> bool:
        return self._starting is not None and not self._starting.done()

    @property
    def state(self) -> tuple[str, str]:
        """(deployment, message) as the contract has them."""
        if self.pid is not None:
            return "DEPLOYMENT_READY", ""
        if self.failure is not None:
            return "DEPLOYMENT_FAILED", self.failure
        if self._sleeps:
            return "DEPLOYMENT_READY", "" if self._loading else "Scaled to zero"
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

    async def stop(self, patience: float) -> None:
        """End for good, also while it loads; requests under way get ``patience`` seconds."""
        self._closed = True
        try:
            async with asyncio.timeout(patience):
                await self._quiet.wait()
        except TimeoutError:
            log.warning("model %s is stopped during a request", self.uri)
        if self._loading:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        await self._end()

    async def keep(self) -> None:
        """What is due from time to time: end when idle, load again after a failure."""
        if self._closed or self._loading or self._waiting:
            return
        now = time.monotonic()
        if self._sleeps:
            if self._host is not None and now - self._used > self._limits.idle_seconds:
                await self._end()
                log.info("model %s is scaled to zero", self.uri)
        elif self.pid is None and now >= self._retry_at:
            self._begin()

    async def invoke(self, body: bytes, seconds: float) -> Reply:
        """Send a request body as the client sent it.

        Raises ApiError: 504 past the deadline, 500 when the child died, 503 while the model
        loads or cannot be loaded, 429 when too many requests wait already.
        """
        if self._waiting >= MAX_WAITING:
            text = "Too many requests wait for the model."
            raise ApiError(429, "REQUEST_LIMIT_EXCEEDED", text, retry_after=1)
        deadline = time.monotonic() + seconds
        self._waiting += 1
        self._quiet.clear()
        try:
            await self._ready()
            await self._take_turn(deadline)
            try:
                return await self._answer(body, deadline, min(seconds, 1.0))
            finally:
                self._turns.release()
        finally:
            self._waiting -= 1
            self._used = time.monotonic()
            if not self._waiting:
                self._quiet.set()

    async def _take_turn(self, deadline: float) -> None:
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await self._turns.acquire()
        except TimeoutError as error:
            raise _busy() from error

    async def _answer(self, body: bytes, deadline: float, at_least: float) -> Reply:
        """The exchange with the child; with the next one when it ends before the request's turn."""
        tries = 0
        while True:
            await self._ready()
            host, began = self._host, time.monotonic()
            try:
                reply = await host.ask(body, deadline, at_least)
            except NotBegun:
                continue
            except NotInTime as error:
                raise _busy() from error
            except TimeoutError as error:
                log.warning("model %s exceeded its deadline; its process is replaced", self.uri)
                await host.end(hanging=True)
                self._replace()
                text = f"The model did not answer within {time.monotonic() - began:.0f} s."
                raise ApiError(504, "DEADLINE_EXCEEDED", text) from error
            except HostEnded as ended:
                log.warning("the process of model %s ended during a request", self.uri)
                self._replace()
                tries += 1
                # SIGKILL is not what a request does by itself: it is tried once more.
                if tries == 2 or not ended.killed:
                    text = "The process of the model ended during the request."
                    raise ApiError(500, "INTERNAL_ERROR", text) from ended
                continue
            if reply.replace:
                await host.end()
                self._replace()
            return reply

    def _replace(self) -> None:
        if not self._closed:
            self._begin()

    def _begin(self) -> asyncio.Task:
        """The load under way, or a new one. Raises ApiError 503 once the process was stopped."""
        if self._closed:
            raise ApiError(503, "TEMPORARILY_UNAVAILABLE", "The served model was replaced.", 1)
        if not self._loading:
            self._starting = asyncio.create_task(self._start())
            self._starting.add_done_callback(self._started)
        return self._starting

    async def _ready(self) -> None:
        """Wait a while for the model to be loaded. Raises ApiError 503."""
        if self.pid is not None:
            return
        if self.failure is None or time.monotonic() >= self._retry_at:
            starting = self._begin()
            await asyncio.wait([starting], timeout=self._limits.wake_seconds)
            if not starting.done():
                text = "The model is being loaded; try again."
                raise ApiError(503, "TEMPORARILY_UNAVAILABLE", text, retry_after=1)
        if self.pid is None:
            pause = max(self._retry_at - time.monotonic(), 0)
            text = self.failure or "The process of the model has ended; try again."
            raise ApiError(503, "TEMPORARILY_UNAVAILABLE", text, int(pause) + 1)

    async def _start(self) -> None:
        await self._end()
        order = HostOrder(
            self._python, self._values, self.uri, await self._locate(), self._limits.memory_bytes
        )
        self._host = await HostProcess.start(order, self.logs)
        self._used = time.monotonic()

    def _started(self, starting: asyncio.Task) -> None:
        error = None if starting.cancelled() else starting.exception()
        if error is not None:
            self._note_failure(str(error))
        elif not starting.cancelled():
            self.failure, self._failures = None, 0

    def _note_failure(self, text: str) -> None:
        log.warning("%s", text)
        self.failure = text
        self._failures += 1
        self._retry_at = time.monotonic() + min(2**self._failures, MAX_PAUSE_SECONDS)

    async def _locate(self) -> str:
        """The folder of the model's files. Raises ModelStartError."""
        try:
            folder = await asyncio.to_thread(self._registry.folder, self._model, self._version)
        except ApiError as error:
            raise ModelStartError(error.message) from error
        except sqlite3.Error as error:
            raise ModelStartError(f"The registry cannot be read: {error}") from error
        return str(folder)

    async def _end(self) -> None:
        host, self._host = self._host, None
        if host is not None:
            await host.end()


def _busy() -> ApiError:
    text = "The model is busy; the request waited until its deadline."
    return ApiError(503, "TEMPORARILY_UNAVAILABLE", text, retry_after=1)
