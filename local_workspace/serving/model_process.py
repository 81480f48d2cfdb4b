"""A model version in a process of its own, spoken to over a socket pair."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

from ..errors import ApiError
from ..runs.task_process import task_environment

log = logging.getLogger("local_workspace.serving")
HOST_FILE = Path(__file__).parents[1] / "children" / "model_host.py"
START_SECONDS = 120
# Shorter than the usual time-out of a client: it gets an answer that tells it to come again.
WAIT_LOADED_SECONDS = 6
MAX_ANSWER = 64 * 1024 * 1024


class ModelStartError(Exception):
    """The model could not be loaded; the text says why."""


class _KilledFromOutside(Exception):
    """SIGKILL: not what a request does by itself, so the request is tried once more."""


class ModelProcess:
    """One served model. Requests are answered one after the other, each within a deadline.

    A process that dies or exceeds a deadline is replaced at once: only the request that caused it
    is lost, and those that come while the model loads. All methods belong to the event loop.
    """

    def __init__(self, uri: str, python: str, values: dict[str, str], log_file: Path) -> None:
        self.log_file = log_file
        self._uri = uri
        self._python = python
        self._values = values
        self._turn = asyncio.Lock()
        self._starting: asyncio.Task | None = None
        self._loaded = False
        self._closed = False
        self._process: subprocess.Popen | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def start(self) -> None:
        """Start and load. Raises ModelStartError with the reason when that fails."""
        await self._begin()

    async def stop(self) -> None:
        """End the process for good, also while it loads; a request under way gets 2 s to end."""
        self._closed = True
        try:
            async with asyncio.timeout(2):
                async with self._turn:
                    pass
        except TimeoutError:
            log.warning("model %s is stopped during a request", self._uri)
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait([self._starting])
        await self._halt()

    async def invoke(self, body: str, seconds: float) -> tuple[int, str]:
        """Send a request body. Returns (HTTP status, response text).

        Raises ApiError: 504 past the deadline, 500 when the process died, 503 while the model
        loads or is busy with earlier requests.
        """
        deadline = time.monotonic() + seconds
        try:
            async with asyncio.timeout(seconds):
                await self._turn.acquire()
        except TimeoutError as error:
            text = "The model is busy; the request waited until its deadline."
            raise ApiError(503, "TEMPORARILY_UNAVAILABLE", text) from error
        try:
            for last in (False, True):
                await self._ready()
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
            raise ApiError(503, "TEMPORARILY_UNAVAILABLE", "The served model was replaced.")
        if self._starting is None or self._starting.done():
            self._loaded = False
            self._starting = asyncio.create_task(self._start())
            self._starting.add_done_callback(_note_failure)
        return self._starting

    async def _ready(self) -> None:
        # The end of the stream is seen before the process can be waited for.
        running = self._process is not None and self._process.poll() is None
        if self._loaded and running and not self._reader.at_eof():
            return
        starting = self._begin()
        await asyncio.wait([starting], timeout=WAIT_LOADED_SECONDS)
        if not starting.done():
            raise ApiError(503, "TEMPORARILY_UNAVAILABLE", "The model is being loaded; try again.")
        error = starting.exception()
        if error is not None:
            raise ApiError(503, "TEMPORARILY_UNAVAILABLE", str(error)) from error

    async def _exchange(self, body: str, seconds: float) -> tuple[int, str]:
        try:
            async with asyncio.timeout(seconds):
                await self._send({"body": body})
                reply = await self._receive()
        except TimeoutError as error:
            log.warning("model %s exceeded its deadline; its process is replaced", self._uri)
            await self._halt()
            self._begin()
            text = f"The model did not answer within {seconds:.0f} s."
            raise ApiError(504, "DEADLINE_EXCEEDED", text) from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            log.warning("the process of model %s ended during a request", self._uri)
            process = self._process
            await self._halt()
            self._begin()
            if process is not None and process.returncode == -signal.SIGKILL:
                raise _KilledFromOutside from error
            text = "The process of the model ended during the request."
            raise ApiError(500, "INTERNAL_ERROR", text) from error
        except asyncio.CancelledError:
            # The answer on its way would be read by the next request.
            await self._halt()
            raise
        return reply["status"], reply["body"]

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

    async def _start(self) -> None:
        await self._halt()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        environment = task_environment(self._values, [])
        with theirs, self.log_file.open("ab") as out:
            self._process = subprocess.Popen(
                [self._python, str(HOST_FILE), str(theirs.fileno()), self._uri],
                env=environment | {"LOCAL_WORKSPACE_PARENT": str(os.getpid())},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=MAX_ANSWER)
        try:
            async with asyncio.timeout(START_SECONDS):
                first = await self._receive()
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            await self._halt()
            text = f"The process of model {self._uri} did not start; see the log of its entity."
            raise ModelStartError(text) from error
        if "error" in first:
            await self._halt()
            raise ModelStartError(f"The model {self._uri} cannot be loaded: {first['error']}")
        self._loaded = True

    async def _send(self, message: dict) -> None:
        data = json.dumps(message).encode()
        self._writer.write(struct.pack(">I", len(data)) + data)
        await self._writer.drain()

    async def _receive(self) -> dict:
        size = struct.unpack(">I", await self._reader.readexactly(4))[0]
        return json.loads(await self._reader.readexactly(size))


def _note_failure(starting: asyncio.Task) -> None:
    if not starting.cancelled() and starting.exception() is not None:
        log.warning("%s", starting.exception())


def _signal(process: subprocess.Popen, number: int) -> None:
    if process.poll() is not None:
        return
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return  # it ended by itself meanwhile
