"""https: an authority of the workspace's own, its certificate, and clients that check both."""

from __future__ import annotations

import io
import json
import os
import ssl
import time

import httpx
import pytest
from command_line import answer, command, initialised
from cryptography import x509
from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.service.jobs import SparkPythonTask, SubmitTask
from workspace_process import free_port

ME = "/api/2.0/preview/scim/v2/Me"
SCRIPT = "/Volumes/main/landing/finance_exports/ask.py"
ASK = b"""
import json, os, urllib.request
address = os.environ["DATABRICKS_HOST"] + "/api/2.0/preview/scim/v2/Me"
headers = {"Authorization": "Bearer " + os.environ["DATABRICKS_TOKEN"]}
print(json.load(urllib.request.urlopen(urllib.request.Request(address, headers=headers))))
"""


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """Folder, what init showed, and the ready line of a workspace that serves https."""
    data = tmp_path_factory.mktemp("secure") / "data"
    made = initialised(data)
    ready = answer("start", "--data", data, "--port", free_port(), "--tls",
                   "--name", "localhost")  # fmt: skip
    yield data, made, ready
    command("stop", "--data", data)


def trusting(authority) -> httpx.Client:
    return httpx.Client(verify=ssl.create_default_context(cafile=authority))


def client_of(secure, monkeypatch, **credentials) -> WorkspaceClient:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", secure[2]["ca"])
    return WorkspaceClient(
        config=Config(host=secure[2]["host"], config_file=os.devnull, retry_timeout_seconds=10,
                      http_timeout_seconds=10, **credentials)
    )  # fmt: skip


def test_addresses_are_https(secure):
    _, _, ready = secure
    assert ready["host"].startswith("https://localhost:")
    with trusting(ready["ca"]) as client:
        found = client.get(ready["host"] + "/.well-known/databricks-config").json()
        assert found["oidc_endpoint"] == ready["host"] + "/oidc"
        server = client.get(found["oidc_endpoint"] + "/.well-known/oauth-authorization-server")
        assert server.json()["token_endpoint"].startswith(ready["host"])


def test_names_and_addresses_are_in_the_certificate(secure):
    data, _, ready = secure
    port = ready["host"].rpartition(":")[2]
    with trusting(ready["ca"]) as client:
        assert client.get(f"https://127.0.0.1:{port}/_local/health").status_code == 200
    said = json.loads(command("status", "--data", data).stdout)
    assert said["health"]["status"] == "ok"


def test_who_does_not_trust_the_authority_is_not_served(secure):
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(secure[2]["host"] + "/_local/health")
    with pytest.raises(httpx.TransportError):  # and nothing is answered in clear
        httpx.get(secure[2]["host"].replace("https", "http") + "/_local/health")


def test_the_authority_is_not_the_servers_certificate(secure):
    folder = secure[0] / "tls"
    authority, leaf = (
        x509.load_pem_x509_certificate((folder / name).read_bytes())
        for name in ("ca.pem", "server.pem")
    )
    assert leaf.issuer == authority.subject != leaf.subject
    leaf.verify_directly_issued_by(authority)
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    for name in ("ca.key", "server.key"):
        assert (folder / name).stat().st_mode & 0o077 == 0


def test_the_strictest_check_passes(secure):
    context = ssl.create_default_context(cafile=secure[2]["ca"])
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with httpx.Client(verify=context) as client:
        assert client.get(secure[2]["host"] + "/_local/health").status_code == 200


@pytest.mark.parametrize("how", ["pat", "oauth-m2m"])
def test_the_sdk_over_https(secure, monkeypatch, how):
    made = secure[1]
    pair = {"client_id": made["client_id"], "client_secret": made["client_secret"]}
    credentials = {"token": made["token"]} if how == "pat" else pair
    client = client_of(secure, monkeypatch, auth_type=how, **credentials)
    assert client.current_user.me().active
    warehouse = next(iter(client.warehouses.list())).id
    done = client.statement_execution.execute_statement("SELECT 1", warehouse)
    assert done.result.data_array == [["1"]]


def test_a_task_calls_back_over_https(secure, monkeypatch):
    client = client_of(secure, monkeypatch, auth_type="pat", token=secure[1]["token"])
    client.files.upload(SCRIPT, io.BytesIO(ASK), overwrite=True)
    task = SubmitTask(task_key="ask", spark_python_task=SparkPythonTask(python_file=SCRIPT))
    run_id = client.jobs.submit(run_name="ask", tasks=[task]).response.run_id
    deadline = time.monotonic() + 60
    while not (run := client.jobs.get_run(run_id)).state.result_state:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    output = client.jobs.get_run_output(run.tasks[0].run_id)
    assert run.state.result_state.value == "SUCCESS", output.error
    assert "local@workspace.invalid" in output.logs


def test_a_certificate_lives_on_and_is_renewed_when_it_must_be(tmp_path):
    data = tmp_path / "data"
    initialised(data)
    folder = data / "tls"

    def started(*options) -> tuple[bytes, bytes]:
        answer("start", "--data", data, "--port", free_port(), "--tls", *options)
        command("stop", "--data", data)
        return (folder / "ca.pem").read_bytes(), (folder / "server.pem").read_bytes()

    authority, leaf = started()
    assert started() == (authority, leaf)
    again, other = started("--name", "workspace.example")
    assert again == authority and other != leaf  # who trusts the authority still does
    names = x509.load_pem_x509_certificate(other).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert "workspace.example" in names.value.get_values_for_type(x509.DNSName)
