"""The parts of databricks-sdk that need a subclass. Imports the SDK: import it inside functions.

Why not the SDK's own: its `Config` reads the environment and ~/.databrickscfg, so another
program's token could end up in Odoo's calls; its host probe ignores proxy and CA settings and
costs a dead host's time-out a second time; its OAuth token request has no time-out at all.
"""

from __future__ import annotations

import threading
import time

from databricks.sdk.clock import Clock
from databricks.sdk.core import Config
from databricks.sdk.credentials_provider import CredentialsStrategy

from .errors import BadAnswer, WrongToken, for_status, translated
from .redaction import redact
from .transport import Transport, error_text

# A token is renewed this many seconds before it ends, so that none ends under way.
_RENEW_BEFORE = 60.0


class BoundedClock(Clock):
    """Ends the SDK's retry loop at the transport's deadline and bounds each of its pauses."""

    def __init__(self, transport: Transport):
        self._transport = transport

    def time(self) -> float:
        # The loop goes on while time() is before its own deadline: infinity ends it.
        return time.time() if self._transport.remaining() > 0 else float("inf")

    def sleep(self, seconds: float) -> None:
        left = max(0.0, self._transport.remaining())
        time.sleep(min(seconds, self._transport.timeouts.longest_pause, left))


class IsolatedConfig(Config):
    """Knows what it was given, and nothing of the environment, files or the SDK's own probe."""

    @classmethod
    def attributes(cls):
        # The SDK looks in the class's own __dict__, which a subclass does not have.
        return Config.attributes()

    def _load_from_env(self) -> None:
        return

    def _known_file_config_loader(self) -> None:
        return

    def _resolve_host_metadata(self) -> None:
        return


class MachineToMachine(CredentialsStrategy):
    """OAuth client credentials of a service principal, over the bounded transport."""

    def __init__(self, transport: Transport, oidc_endpoint: str, client_id: str, secret: str):
        self._transport = transport
        self._oidc_endpoint = oidc_endpoint.rstrip("/")
        self._client_id = client_id
        self._secret = secret
        self._lock = threading.Lock()
        self._header: dict[str, str] = {}
        self._renew_at = 0.0
        self._token_url: str | None = None

    def auth_type(self) -> str:
        return "oauth-m2m"

    def __call__(self, cfg: Config):
        return self.headers

    def headers(self) -> dict[str, str]:
        """Authorization header with a token that holds for a while. Raises WorkspaceError."""
        with self._lock:
            if time.monotonic() >= self._renew_at:
                self._renew()
            return dict(self._header)

    def _renew(self) -> None:
        with translated(secrets=(self._secret,)):
            if self._token_url is None:
                self._token_url = self._discover()
            response = self._transport.plain.post(
                self._token_url,
                data={"grant_type": "client_credentials", "scope": "all-apis"},
                auth=(self._client_id, self._secret),
                allow_redirects=False,
            )
        if response.status_code in (400, 401, 403):
            text = redact(error_text(response), (self._secret,))
            raise WrongToken(f"the client id or secret is refused: {text}")
        if response.status_code != 200:
            raise for_status(response.status_code, error_text(response))
        with translated(secrets=(self._secret,)):
            answer = response.json()
            token, lasts = answer["access_token"], float(answer["expires_in"])
        self._header = {"Authorization": f"Bearer {token}"}
        self._renew_at = time.monotonic() + max(0.0, lasts - _RENEW_BEFORE)

    def _discover(self) -> str:
        url = f"{self._oidc_endpoint}/.well-known/oauth-authorization-server"
        response = self._transport.plain.get(url)
        if response.status_code != 200:
            raise for_status(response.status_code, error_text(response))
        token_url = response.json().get("token_endpoint")
        if not token_url:
            raise BadAnswer("the workspace names no OAuth token endpoint")
        return token_url
