"""The one place through which HTTP leaves: time limits, TLS and proxy settings, call records."""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests
import requests.adapters

from .redaction import redact

_logger = logging.getLogger(__name__)
_RECORD_MESSAGE_LIMIT = 500


@dataclass(frozen=True)
class Timeouts:
    """Seconds. `connect` and `read` bound one HTTP exchange (read: between two bytes), `total`
    one call with all its retries, `longest_pause` one pause between retries, whatever a
    Retry-After header asks for."""

    connect: float = 5.0
    read: float = 30.0
    total: float = 45.0
    longest_pause: float = 5.0


@dataclass(frozen=True)
class CallRecord:
    """One HTTP exchange, retries being exchanges of their own.

    `endpoint` is host-less path without query (queries of presigned links hold signatures).
    `status` None = no answer came; then `error_class` and `message` say why. Sizes in bytes,
    None where the other side did not tell (a streamed body).
    """

    verb: str
    endpoint: str
    status: int | None
    latency_ms: int
    attempt: int
    request_id: str | None
    sent_bytes: int
    received_bytes: int | None
    error_class: str | None
    message: str | None


OnCall = Callable[[CallRecord], None]


class _PerThread(threading.local):
    deadline: float = math.inf
    attempt: int = 0


class Transport:
    """Sessions that share limits and recording. Safe to use from several threads."""

    def __init__(
        self,
        timeouts: Timeouts,
        *,
        on_call: OnCall | None = None,
        proxy: str | None = None,
        ca_file: str | None = None,
        secrets: tuple[str, ...] = (),
    ):
        self.timeouts = timeouts
        self.on_call = on_call
        self.secrets = secrets
        self._proxy = proxy
        self._ca_file = ca_file
        self._thread = _PerThread()
        # For what must go out without the workspace's Authorization: discovery, token requests
        # (which carry their own) and presigned links.
        self.plain = self.equip(requests.Session())
        self.plain.auth = _no_auth

    def equip(self, session: requests.Session) -> requests.Session:
        adapter = _Adapter(self, self._ca_file)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        if self._proxy:
            session.proxies = {"http": self._proxy, "https": self._proxy}
            session.trust_env = False
        return session

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """All calls of this thread inside the block end within `seconds`, retries included."""
        before = self._thread.deadline
        self._thread.deadline = min(before, time.monotonic() + seconds)
        try:
            yield
        finally:
            self._thread.deadline = before

    @contextmanager
    def call(self) -> Iterator[None]:
        """One logical call: numbers its attempts and bounds it by `timeouts.total`."""
        self._thread.attempt = 0
        with self.deadline(self.timeouts.total):
            yield

    def remaining(self) -> float:
        """Seconds that this thread may still spend; infinite outside of any deadline."""
        return self._thread.deadline - time.monotonic()

    def next_attempt(self) -> int:
        self._thread.attempt += 1
        return self._thread.attempt

    def record(self, record: CallRecord) -> None:
        if self.on_call is None:
            return
        try:
            self.on_call(record)
        except Exception:
            # The remote side has acted already; failing here would make the caller repeat it.
            _logger.exception("the call record of %s %s was lost", record.verb, record.endpoint)


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keeps requests from adding credentials out of a .netrc file."""
    return request


class _Adapter(requests.adapters.HTTPAdapter):
    def __init__(self, transport: Transport, ca_file: str | None):
        super().__init__(pool_connections=4, pool_maxsize=8)
        self._transport = transport
        self._ca_file = ca_file

    def send(self, request, stream=False, timeout=None, verify=True, cert=None, proxies=None):
        transport = self._transport
        attempt = transport.next_attempt()
        started = time.monotonic()
        response = None
        try:
            left = transport.remaining()
            if left <= 0:
                raise requests.Timeout("the time for this call is used up", request=request)
            limits = transport.timeouts
            # `verify` of the session loses against environment variables; the given file must not.
            response = super().send(
                request,
                stream=True,
                timeout=(min(limits.connect, left), min(limits.read, left)),
                verify=self._ca_file or verify,
                cert=cert,
                proxies=proxies,
            )
            if not stream:
                self._read(response)
        except requests.RequestException as error:
            transport.record(self._failed(request, response, error, attempt, started))
            raise
        transport.record(self._answered(request, response, stream, attempt, started))
        return response

    def _read(self, response: requests.Response) -> None:
        """Reads the body under the deadline: a server that drips bytes defeats a read time-out."""
        too_late = requests.ReadTimeout("the answer did not end in time")
        try:
            with _cut_after(response, self._transport.remaining()):
                response.content  # noqa: B018 - keeps the body in the response
        except requests.RequestException:
            if self._transport.remaining() <= 0:
                raise too_late from None
            raise
        # urllib3 1.26 takes a body that ends early for a whole one.
        if self._transport.remaining() <= 0:
            raise too_late

    def _failed(self, request, response, error, attempt, started) -> CallRecord:
        return CallRecord(
            verb=request.method or "",
            endpoint=_path(request),
            status=None if response is None else response.status_code,
            latency_ms=_milliseconds(started),
            attempt=attempt,
            request_id=None if response is None else _request_id(response),
            sent_bytes=_sent(request),
            received_bytes=None,
            error_class=type(error).__name__,
            message=redact(str(error), self._transport.secrets, _RECORD_MESSAGE_LIMIT),
        )

    def _answered(self, request, response, stream, attempt, started) -> CallRecord:
        length = response.headers.get("Content-Length", "")
        received = int(length) if length.isdigit() else None
        message = None
        if not stream:
            received = len(response.content)
            if not response.ok:
                message = redact(
                    error_text(response), self._transport.secrets, _RECORD_MESSAGE_LIMIT
                )
        return CallRecord(
            verb=request.method or "",
            endpoint=_path(request),
            status=response.status_code,
            latency_ms=_milliseconds(started),
            attempt=attempt,
            request_id=_request_id(response),
            sent_bytes=_sent(request),
            received_bytes=received,
            error_class=None if response.ok else f"HTTP {response.status_code}",
            message=message,
        )


@contextmanager
def _cut_after(response: requests.Response, seconds: float) -> Iterator[None]:
    """Ends the connection if the block takes longer, so that a blocked read returns."""
    try:
        # A copy of the descriptor: it stays ours, however early the answer closes its own.
        connection = socket.socket(fileno=os.dup(response.raw.fileno()))
    except (OSError, ValueError, AttributeError):  # the body has come already
        yield
        return
    if math.isinf(seconds):
        connection.close()
        yield
        return
    timer = threading.Timer(max(0.0, seconds), _shut, (connection,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # it must not use the descriptor after it is closed
        connection.close()


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # the other side was faster
        connection.shutdown(socket.SHUT_RDWR)


def error_text(response: requests.Response) -> str:
    """The message of an error answer, whatever its form."""
    try:
        body = json.loads(response.content)
    except ValueError:
        return response.text.strip()[:_RECORD_MESSAGE_LIMIT] or response.reason or ""
    if not isinstance(body, dict):
        return str(body)
    parts = [body.get("error_code"), body.get("message")]
    parts += [body.get("detail"), body.get("error"), body.get("error_description")]
    return ": ".join(str(part) for part in parts if part) or response.reason or ""


def _path(request: requests.PreparedRequest) -> str:
    return urlsplit(request.url or "").path or "/"


def _milliseconds(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def _request_id(response: requests.Response) -> str | None:
    headers = response.headers
    return headers.get("x-databricks-request-id") or headers.get("x-request-id")


def _sent(request: requests.PreparedRequest) -> int:
    length = request.headers.get("Content-Length", "0")
    return int(length) if str(length).isdigit() else 0
