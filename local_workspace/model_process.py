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

from .errors import ApiError
from .task_process import task_environment

log = logging.getLogger("local_workspace.serving")
HOST_FILE = Path(__file__).with_name("model_host.py")
START_SECONDS = 120
MAX_ANSWER = 64 * 1024 * 1024


class ModelStartError(Exception):
    """The model could not be loaded; the text says why."""


class ModelProcess:
    """One served model. Requests are answered one after the other, each within a deadline.

    A process that dies or exceeds a deadline is replaced at the next request: only the request
    that caused it is lost. All methods belong to the server's event loop.
    """

    def __init__(self, uri: str, python: str, values: dict[str, str], log_file: Path) -> None:
        self.log_file = log_file
        self._uri = uri
        self._python = python
        self._values = values
        self._turn = asyncio.Lock()
        self._process: subprocess.Popen | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start and load. Raises ModelStartError with the reason when that fails."""
        async with self._turn:
            await self._start()

    async def invoke(self, body: str, seconds: float) -> tuple[int, str]:
        """Send a request body. Returns (HTTP status, response text).

        Raises ApiError: 504 past the deadline, 500 when the process died, 503 when the model
        cannot be loaded again.
        """
        deadline = time.monotonic() + seconds
        try:
            async with asyncio.timeout(seconds):
                await self._turn.acquire()
        except TimeoutError as error:
            text = "The model is busy; the request waited until its deadline."
            raise ApiError(503, "TEMPORARILY_UNAVAILABLE", text) from error
        try:
            if not self._alive():
                await self._start()
                deadline = time.monotonic() + seconds
            return await self._exchange(body, deadline - time.monotonic())
        except ModelStartError as error:
            raise ApiError(503, "TEMPORARILY_UNAVAILABLE", str(error)) from error
        finally:
            self._turn.release()

    def _alive(self) -> bool:
        # The end of the stream is seen before the process can be waited for.
        running = self._process is not None and self._process.poll() is None
        return running and not self._reader.at_eof()

    async def stop(self) -> None:
        process, self._process = self._process, None
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if process is None:
            return
        _signal(process, signal.SIGTERM)
        for _ in range(40):
            if process.poll() is not None:
                break
            await asyncio.sleep(0.05)
        _signal(process, signal.SIGKILL)
        process.wait()

    async def _exchange(self, body: str, seconds: float) -> tuple[int, str]:
        try:
            async with asyncio.timeout(seconds):
                await self._send({"body": body})
                reply = await self._receive()
        except TimeoutError as error:
            log.warning("model %s exceeded its deadline; its process is replaced", self._uri)
            await self.stop()
            text = f"The model did not answer within {seconds:.0f} s."
            raise ApiError(504, "DEADLINE_EXCEEDED", text) from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            log.warning("the process of model %s ended during a request", self._uri)
            await self.stop()
            text = "The process of the model ended during the request."
            raise ApiError(500, "INTERNAL_ERROR", text) from error
        except asyncio.CancelledError:
            # The client went away; the answer on its way would be read by the next request.
            await self.stop()
            raise
        return reply["status"], reply["body"]

    async def _start(self) -> None:
        await self.stop()
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
            await self.stop()
            text = f"The process of model {self._uri} did not start; see the log of its entity."
            raise ModelStartError(text) from error
        if "error" in first:
            await self.stop()
            raise ModelStartError(f"The model {self._uri} cannot be loaded: {first['error']}")

    async def _send(self, message: dict) -> None:
        data = json.dumps(message).encode()
        self._writer.write(struct.pack(">I", len(data)) + data)
        await self._writer.drain()

    async def _receive(self) -> dict:
        size = struct.unpack(">I", await self._reader.readexactly(4))[0]
        return json.loads(await self._reader.readexactly(size))


def _signal(process: subprocess.Popen, number: int) -> None:
    if process.poll() is not None:
        return
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return  # it ended by itself meanwhile
