"""What can go wrong with a workspace, as types that a caller can act on.

Every remote fault becomes a WorkspaceError: its text says what happened, `hint` what a person can
do, `kind` is a stable word for storage, and `retryable` tells a scheduled action to come back.
Texts are redacted; no token, Authorization header or client secret is ever in them.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .redaction import redact

MESSAGE_LIMIT = 2000


class WorkspaceError(Exception):
    """Base of all; see the module text."""

    kind = "workspace_error"
    hint = "Look at the call log of the workspace for the request that failed."
    retryable = False

    def __init__(self, message: str, *, hint: str | None = None, origin: str | None = None):
        super().__init__(message)
        if hint is not None:
            self.hint = hint
        self.origin = origin  # class name of the exception this one stands for

    @property
    def message(self) -> str:
        return str(self)


class WrongHost(WorkspaceError):
    kind = "wrong_host"
    hint = "Check the workspace URL: https:// and the name from the browser's address bar."


class Unreachable(WrongHost):
    """The name is known but nothing answers: the host is down, or a firewall is between."""

    kind = "unreachable"
    hint = "Check that the workspace runs and that this server may reach it (firewall, proxy)."
    retryable = True


class Untrusted(WrongHost):
    kind = "untrusted_certificate"
    hint = "The TLS certificate is not trusted: give the CA file of the company's proxy, if any."


class WrongToken(WorkspaceError):
    kind = "wrong_token"
    hint = "The token or client secret is wrong, expired or revoked: store a new one."


class PermissionMissing(WorkspaceError):
    kind = "permission_missing"
    hint = "Ask a workspace administrator to grant what the message names."


class NotFound(WorkspaceError):
    kind = "not_found"
    hint = "Check the name or id: it may have been deleted or renamed in the workspace."


class WarehouseNotFound(NotFound):
    kind = "warehouse_not_found"
    hint = "Check the warehouse id: SQL Warehouses, Connection details, last part of HTTP path."


class EndpointNotFound(NotFound):
    kind = "endpoint_not_found"
    hint = "No serving endpoint has this name: deploy the model, or correct the name."


class WarehouseStopped(WorkspaceError):
    kind = "warehouse_stopped"
    hint = "Start the SQL warehouse and try again in a minute."
    retryable = True


class Busy(WorkspaceError):
    """Answer 429 or 503. `retry_after`: seconds the workspace asks to wait, or None."""

    kind = "busy"
    hint = "The workspace is busy: try again later."
    retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None, **kwargs: Any):
        super().__init__(message, **kwargs)
        self.retry_after = retry_after


class EndpointBusy(Busy):
    kind = "endpoint_busy"
    hint = "The serving endpoint is starting or busy: try again in a minute."


class TimedOut(WorkspaceError):
    kind = "timed_out"
    hint = "The workspace took too long: try again, or raise the time-out of the connection."
    retryable = True


class InvalidRequest(WorkspaceError):
    kind = "invalid_request"
    hint = "The workspace refused the request as written; the message says which part."


class Conflict(WorkspaceError):
    kind = "conflict"
    hint = "Something like it exists or runs already."


class NotComputed(WorkspaceError):
    """Answer 501: the workspace does not offer this call."""

    kind = "not_computed"
    hint = "This workspace does not offer the call; the message names it."


class ServerFault(WorkspaceError):
    kind = "server_fault"
    hint = "The workspace had an internal fault: try again later."
    retryable = True


class BadAnswer(WorkspaceError):
    """The answer is not what the API promises: no JSON, or a part is missing."""

    kind = "bad_answer"
    hint = "Check that the URL is a Databricks workspace and no proxy or login page answers."


class StatementFailed(WorkspaceError):
    """An SQL statement ended in FAILED; `sql_state` e.g. 42P01, `error_code` e.g. BAD_REQUEST."""

    kind = "statement_failed"
    hint = "The SQL statement failed in the warehouse; the message names the table or column."

    def __init__(
        self,
        message: str,
        *,
        statement_id: str | None = None,
        sql_state: str | None = None,
        error_code: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(message, **kwargs)
        self.statement_id = statement_id
        self.sql_state = sql_state
        self.error_code = error_code


class StatementCanceled(WorkspaceError):
    kind = "statement_canceled"
    hint = "The statement was canceled, by a person or because it ran over its time."


class WorkspacePaused(WorkspaceError):
    """Nothing was sent: the workspace did not answer lately, or refused who we are.

    `until`: naive UTC of the next try, None if only a person can end the pause.
    """

    kind = "workspace_paused"
    hint = "Try Now on the workspace asks it at once."
    retryable = True

    def __init__(self, message: str, *, until: datetime.datetime | None = None, **kwargs: Any):
        super().__init__(message, **kwargs)
        self.until = until


class SecretError(WorkspaceError):
    kind = "secret_error"
    hint = "See the settings of the encryption key."


# Class names of databricks.sdk.errors, looked up along the exception's ancestry.
_BY_SDK_CLASS: dict[str, type[WorkspaceError]] = {
    "Unauthenticated": WrongToken,
    "PermissionDenied": PermissionMissing,
    "NotFound": NotFound,
    "TooManyRequests": Busy,
    "TemporarilyUnavailable": Busy,
    "DeadlineExceeded": TimedOut,
    "ResourceConflict": Conflict,
    "AlreadyExists": Conflict,
    "Aborted": Conflict,
    "NotImplemented": NotComputed,
    "BadRequest": InvalidRequest,
    "Cancelled": Conflict,
    "InternalError": ServerFault,
    "DataLoss": ServerFault,
}
_BY_STATUS: dict[int, type[WorkspaceError]] = {
    400: InvalidRequest,
    401: WrongToken,
    403: PermissionMissing,
    404: NotFound,
    408: TimedOut,
    409: Conflict,
    429: Busy,
    501: NotComputed,
    503: Busy,
    504: TimedOut,
}
# A 404 or a "busy" means something else to a person depending on what was called.
_SPECIAL: dict[tuple[type[WorkspaceError], str], type[WorkspaceError]] = {
    (NotFound, "endpoint"): EndpointNotFound,
    (NotFound, "warehouse"): WarehouseNotFound,
    (Busy, "endpoint"): EndpointBusy,
}
_STOPPED = re.compile(r"(?i)warehouse\b.*\b(?:stopped|stopping|not running|not in running state)")
_DEBUG_SUFFIX = re.compile(r"\.? Config: host=.*", re.DOTALL)
_NO_NAME = re.compile(r"NameResolutionError|Name or service not known|getaddrinfo|gaierror")


def for_status(
    status: int,
    message: str,
    *,
    about: str = "",
    retry_after: float | None = None,
    origin: str | None = None,
) -> WorkspaceError:
    """The error for an HTTP answer; `message` is redacted here."""
    message = redact(message, limit=MESSAGE_LIMIT) or f"HTTP status {status}"
    cls = _BY_STATUS.get(status, ServerFault if status >= 500 else InvalidRequest)
    return _build(cls, message, about, retry_after, origin)


def _build(
    cls: type[WorkspaceError],
    message: str,
    about: str,
    retry_after: float | None,
    origin: str | None,
) -> WorkspaceError:
    if about == "warehouse" and _STOPPED.search(message):
        cls = WarehouseStopped
    cls = _SPECIAL.get((cls, about), cls)
    if issubclass(cls, Busy):
        return cls(message, retry_after=retry_after, origin=origin)
    return cls(message, origin=origin)


def _network(error: BaseException, text: str, origin: str) -> WorkspaceError | None:
    import requests

    if isinstance(error, requests.exceptions.JSONDecodeError):
        return BadAnswer("the answer is not JSON", origin=origin)
    if isinstance(error, requests.exceptions.SSLError):
        return Untrusted(f"no trusted TLS connection: {text}", origin=origin)
    if isinstance(error, requests.Timeout):
        return TimedOut("no answer within the time-out", origin=origin)
    if isinstance(error, requests.exceptions.ProxyError):
        return Unreachable(f"the proxy refuses: {text}", origin=origin)
    if isinstance(error, requests.ConnectionError):
        if _NO_NAME.search(text):
            return WrongHost("the host name is not known", origin=origin)
        return Unreachable("no connection to the workspace", origin=origin)
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return Unreachable("the connection broke while the answer came", origin=origin)
    if isinstance(error, requests.RequestException):
        return WrongHost(f"the URL cannot be called: {text}", origin=origin)
    return None


def translate(error: BaseException, *, about: str = "", secrets: tuple = ()) -> WorkspaceError:
    """The WorkspaceError for what databricks-sdk or requests raised.

    `about` names what was called ("endpoint", "warehouse" or ""), `secrets` are values to mask
    beside everything that looks like a secret.
    """
    if isinstance(error, WorkspaceError):
        return error
    origin = type(error).__name__
    text = redact(_DEBUG_SUFFIX.sub("", str(error)), secrets, MESSAGE_LIMIT)
    # The SDK's retry loop ends in a bare TimeoutError; what it kept retrying is the true cause.
    cause = error.__cause__
    if isinstance(error, TimeoutError):
        if cause is not None:
            return translate(cause, about=about, secrets=secrets)
        return TimedOut("no answer within the time-out", origin=origin)
    network = _network(error, text, origin)
    if network is not None:
        return network
    for ancestor in type(error).__mro__:
        if ancestor.__name__ in _BY_SDK_CLASS and ancestor.__module__.startswith("databricks."):
            retry_after = getattr(error, "retry_after_secs", None)
            return _build(_BY_SDK_CLASS[ancestor.__name__], text, about, retry_after, origin)
    if isinstance(error, KeyError):
        return BadAnswer(f"the answer lacks the field {text}", origin=origin)
    if isinstance(error, OSError):  # DatabricksError of a status that the SDK does not name
        return ServerFault(text or "the workspace answered with an error", origin=origin)
    return BadAnswer(f"the answer cannot be read: {text}", origin=origin)


@contextmanager
def translated(*, about: str = "", secrets: tuple = ()) -> Iterator[None]:
    """Around one remote call: whatever the SDK raises leaves as a WorkspaceError.

    The original is not chained: its text and its traceback may hold headers.
    """
    try:
        yield
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise translate(error, about=about, secrets=secrets) from None
