"""Builds the databricks-sdk client that everything in Odoo uses. Imports the SDK on first use."""

from __future__ import annotations

import ipaddress
import weakref
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .errors import InvalidRequest, WrongHost, WrongToken, for_status, translated
from .transport import CallRecord, OnCall, Timeouts, Transport, error_text

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

__all__ = ["AUTH_TYPES", "CallRecord", "Timeouts", "connect", "normalise_host", "transport_of"]

AUTH_TYPES = ("pat", "oauth-m2m")
PRODUCT = "odoo-databricks"
_DISCOVERY = "/.well-known/databricks-config"
_transports: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def normalise_host(text: str, *, allow_plain_http: bool = False) -> str:
    """`https://name[:port]` from what a person pasted, also a whole address of the web interface.

    Plain http would send the token readable: it is taken only for loopback addresses and names
    without a dot (a container's neighbour), or if `allow_plain_http` is set. Raises WrongHost.
    """
    text = text.strip()
    if not text:
        raise WrongHost("no workspace URL is given")
    if "://" not in text:
        text = "https://" + text
    try:
        parts = urlsplit(text)
        name, port = parts.hostname, parts.port
    except ValueError as error:
        raise WrongHost(f"the workspace URL cannot be read: {error}") from None
    if parts.scheme not in ("http", "https") or not name:
        raise WrongHost("the workspace URL must begin with https:// and name a host")
    if parts.username or parts.password:
        raise WrongHost("the workspace URL must not hold a user name or password")
    if parts.scheme == "http" and not (allow_plain_http or _is_near(name)):
        raise WrongHost(
            "the workspace URL must begin with https://: plain http shows the token to the network"
        )
    shown = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{shown}" + (f":{port}" if port else "")


def _is_near(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return "." not in name


def check_proxy(text: str) -> None:
    """Raises WrongHost unless the text is the URL of a proxy, without a password in it."""
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        known = False
    if not known:
        raise WrongHost("the proxy must begin with http:// or https:// and name a host")
    if parts.username or parts.password:
        raise WrongHost(
            "the proxy must not hold a user name or password",
            hint="Give it in the environment of Odoo, where nobody reads it back.",
        )


def connect(
    host: str,
    auth_type: str,
    *,
    token: str | None = None,
    client_id: str | None = None,
    client_secret: str | None = None,
    timeouts: Timeouts | None = None,
    proxy: str | None = None,
    ca_file: str | None = None,
    on_call: OnCall | None = None,
    product_version: str = "17.0.1.0.0",
    allow_plain_http: bool = False,
) -> WorkspaceClient:
    """A WorkspaceClient with bounded calls, isolated from the environment's Databricks settings.

    auth_type `pat` needs `token`; `oauth-m2m` needs `client_id` and `client_secret`. `proxy` is a
    URL, `ca_file` a PEM file of the authorities to trust. `on_call` gets a CallRecord for each
    HTTP exchange, retries and token requests included; it runs in the calling thread.

    Makes one request (workspace discovery) and raises WorkspaceError: WrongHost, Unreachable,
    TimedOut, WrongToken if credentials are missing.
    """
    _check_credentials(auth_type, token, client_id, client_secret)
    url = normalise_host(host, allow_plain_http=allow_plain_http)
    secrets = tuple(secret for secret in (token, client_secret) if secret)
    transport = Transport(
        timeouts or Timeouts(), on_call=on_call, proxy=proxy, ca_file=ca_file, secrets=secrets
    )
    discovered = _discover(transport, url)
    return _build(
        transport, url, auth_type, token, client_id, client_secret, discovered, product_version
    )


def _check_credentials(auth_type, token, client_id, client_secret) -> None:
    if auth_type not in AUTH_TYPES:
        raise InvalidRequest(f"auth_type is {auth_type!r}; it must be pat or oauth-m2m")
    if auth_type == "pat" and not token:
        raise WrongToken("no access token is stored")
    if auth_type == "oauth-m2m" and not (client_id and client_secret):
        raise WrongToken("the client id or client secret of the service principal is not stored")


def _discover(transport: Transport, url: str) -> dict:
    """What the host says of itself; {} for a workspace that is too old to say anything."""
    with transport.call(), translated(secrets=transport.secrets):
        response = transport.plain.get(url + _DISCOVERY)
    if response.status_code == 404:
        return {}
    if response.status_code != 200:
        raise for_status(response.status_code, error_text(response))
    try:
        answer = response.json()
    except ValueError:
        raise WrongHost("a web page answers there, not a Databricks workspace") from None
    if not isinstance(answer, dict):
        raise WrongHost("what answers there is not a Databricks workspace")
    return answer


def _build(
    transport, url, auth_type, token, client_id, client_secret, discovered, product_version
) -> WorkspaceClient:
    from databricks.sdk import WorkspaceClient

    from .sdk import BoundedClock, IsolatedConfig, MachineToMachine

    strategy = None
    if auth_type == "oauth-m2m":
        oidc = str(discovered.get("oidc_endpoint") or f"{url}/oidc")
        oidc = oidc.replace("{account_id}", str(discovered.get("account_id") or ""))
        strategy = MachineToMachine(transport, oidc, client_id, client_secret)
    with translated(secrets=transport.secrets):
        config = IsolatedConfig(
            host=url,
            auth_type=auth_type,
            token=token if auth_type == "pat" else None,
            client_id=client_id if auth_type == "oauth-m2m" else None,
            client_secret=client_secret if auth_type == "oauth-m2m" else None,
            workspace_id=discovered.get("workspace_id"),
            credentials_strategy=strategy,
            http_timeout_seconds=transport.timeouts.read,
            retry_timeout_seconds=max(1, round(transport.timeouts.total)),
            clock=BoundedClock(transport),
            product=PRODUCT,
            product_version=product_version,
        )
        client = WorkspaceClient(config=config)
    _attach(client, transport)
    return client


def _attach(client: WorkspaceClient, transport: Transport) -> None:
    """Leads the SDK's calls through the transport.

    The SDK has no public seam for its session. Each of its services holds this one ApiClient, so
    both changes reach all of them, and retries pass the adapter one by one.
    """
    api = client.api_client
    transport.equip(api._api_client._session)
    sdk_do = api.do

    def do(*args, **kwargs):
        with transport.call():
            return sdk_do(*args, **kwargs)

    api.do = do
    _transports[client] = transport


def transport_of(client: WorkspaceClient) -> Transport:
    """The transport of a client made by `connect`. Raises KeyError for any other client."""
    return _transports[client]
