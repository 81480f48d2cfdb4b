"""The child that has a model: started, spoken to over a socket pair, ended."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import struct
import subprocess
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from ..runs.task_process import task_environment
from .logs import EntityLogs

log = logging.getLogger("local_workspace.serving")
HOST_FILE = Path(__file__).parents[1] / "children" / "model_host.py"
START_SECONDS = 120
# The form of the messages is that of model_host.py.
REQUEST = struct.Struct(">I")
ANSWER = struct.Struct(">HBdI")


class ModelStartError(Exception):
    """The model could not be loaded; the text says why."""


class HostEnded(Exception):
    """The child ended while it worked on the request; ``killed`` tells whether by SIGKILL."""

    def __init__(self, killed: bool) -> None:
        super().__init__()
        self.killed = killed


class NotBegun(Exception):
    """The child ended before it began with the request, which can be sent to the next one."""


class NotInTime(Exception):
    """The deadline passed before the child began with the request."""


@dataclass(frozen=True)
class Reply:
    """What the model answered: HTTP status, JSON body, milliseconds that it worked."""

    status: int
    body: bytes
    milliseconds: float
    replace: bool = False
    """The child asks to be replaced: it holds too much memory."""


@dataclass(frozen=True)
class HostOrder:
    """What a child is started with: interpreter, environment, model, its limit in bytes."""

    python: str
    values: dict[str, str]
    uri: str
    location: str
    memory_bytes: int


class _Exchange:
    """A request that was sent: when the child has begun with it, and what it answered."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.began: asyncio.Future[None] = loop.create_future()
        self.reply: asyncio.Future[Reply] = loop.create_future()


class HostProcess:
    """A child with a loaded model. All methods belong to the event loop.

    Its thread must be the one that forks: the kernel ends the child together with it. Requests may
    be sent ahead, so that the child need not wait for this process between two of them; it answers
    them in their order.
    """

    def __init__(
        self, process: subprocess.Popen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._asked: deque[_Exchange] = deque()
        self._listening: asyncio.Task | None = None

    @classmethod
    async def start(cls, order: HostOrder, logs: EntityLogs) -> HostProcess:
        """Start a child and wait until it has loaded the model. Raises ModelStartError."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours, limit=2**20)
        try:
            with theirs:
                host = cls(_spawn(order, logs, theirs.fileno()), reader, writer)
        except OSError as error:
            writer.close()
            text = f"The process of model {order.uri} cannot be started: {error}"
            raise ModelStartError(text) from error
        try:
            async with asyncio.timeout(START_SECONDS):
                first = await host._receive()
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            await host.end()
            text = f"The process of model {order.uri} did not start; see the build log."
            raise ModelStartError(text) from error
        except asyncio.CancelledError:
            await host.end()
            raise
        if first.status != 200:
            await host.end()
            reason = first.body.decode("utf-8", "replace")
            raise ModelStartError(f"The model {order.uri} cannot be loaded: {reason}")
        host._listening = asyncio.create_task(host._listen())
        return host

    @property
    def pid(self) -> int | None:
        """None when the child has ended."""
        # The end of the stream is seen before the process can be waited for.
        ended = self._process.poll() is not None or self._reader.at_eof()
        return None if ended or self._listening.done() else self._process.pid

    async def ask(self, body: bytes, deadline: float, at_least: float) -> Reply:
        """Send a request and wait for its answer until ``deadline`` (of the monotonic clock).

        Waiting for the requests before it eats up none of the last ``at_least`` seconds. Raises
        NotBegun, NotInTime, HostEnded, and TimeoutError when the child began and did not answer.
        """
        if self._listening.done():
            raise NotBegun
        exchange = _Exchange()
        self._asked.append(exchange)
        self._writer.write(REQUEST.pack(len(body)) + body)
        if len(self._asked) == 1:
            exchange.began.set_result(None)
        try:
            await _begun(exchange, deadline)
            async with asyncio.timeout(max(deadline - time.monotonic(), at_least)):
                return await exchange.reply
        finally:
            exchange.reply.cancel()  # nobody waits for it any more

    async def _listen(self) -> None:
        """Give each answer to the request that it belongs to, until the child ends."""
        try:
            while True:
                reply = await self._receive()
                _settle(self._asked.popleft().reply, reply)
                if reply.replace:
                    return
                if self._asked:
                    _settle(self._asked[0].began, None)
        except (asyncio.IncompleteReadError, ConnectionError):
            await self.end()
            if self._asked:
                killed = self._process.returncode == -signal.SIGKILL
                _settle(self._asked.popleft().reply, HostEnded(killed))
        finally:
            for exchange in self._asked:
                _settle(exchange.began, NotBegun())

    async def end(self, hanging: bool = False) -> None:
        """The closed stream ends the child, or a signal when it is busy."""
        self._writer.close()
        if hanging:
            self._signal(signal.SIGKILL)
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                self._signal(number)
            for _ in range(20):
                if self._process.poll() is not None:
                    return
                await asyncio.sleep(0.05)
        log.error("process %d of a model does not end", self._process.pid)

    def _signal(self, number: int) -> None:
        if self._process.poll() is not None:
            return
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return  # it ended by itself meanwhile

    async def _receive(self) -> Reply:
        head = await self._reader.readexactly(ANSWER.size)
        status, replace, milliseconds, size = ANSWER.unpack(head)
        return Reply(status, await self._reader.readexactly(size), milliseconds, bool(replace))


async def _begun(exchange: _Exchange, deadline: float) -> None:
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            await exchange.began
    except TimeoutError as error:
        raise NotInTime from error


def _settle(future: asyncio.Future, outcome: object) -> None:
    """Give a future its outcome, unless nobody waits for it any more."""
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _spawn(order: HostOrder, logs: EntityLogs, descriptor: int) -> subprocess.Popen:
    environment = task_environment(order.values, []) | {
        "LOCAL_WORKSPACE_PARENT": str(os.getpid()),
        "LOCAL_WORKSPACE_MODEL_MEMORY": str(order.memory_bytes),
    }
    with logs.begin_build(f"loading {order.uri} from {order.location}") as out:
        return subprocess.Popen(
            [order.python, str(HOST_FILE), str(descriptor), str(logs.service), order.location,
             order.uri],
            env=environment,
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
