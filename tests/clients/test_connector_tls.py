"""The connector over https, with the authority that the workspace made for itself."""

from __future__ import annotations

import pytest
from conftest import Target
from connectors import BACKENDS, connect
from databricks.sql.exc import Error
from urllib3.exceptions import HTTPError
from workspace_process import init_workspace, serve_workspace, stop_workspace

ROWS = 300_000


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """(target, file of its authority); a workspace of its own, since one listens in one way."""
    data = tmp_path_factory.mktemp("secure")
    made = init_workspace(data)
    running = serve_workspace(data, made, options=("--tls",))
    yield Target(running.host, made.token, "local", "main", "gold", True), data / "tls" / "ca.pem"
    stop_workspace(running)


@pytest.mark.parametrize("backend", BACKENDS)
def test_results_and_their_files_over_https(secure, backend):
    target, authority = secure
    with (
        connect(target, backend, _tls_trusted_ca_file=str(authority)) as connection,
        connection.cursor() as made,
    ):
        assert made.execute("SELECT 1 AS a").fetchone() == (1,)
        assert made.execute(f"SELECT id FROM range({ROWS})").fetchall_arrow().num_rows == ROWS


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_client_that_does_not_know_the_authority_says_no(secure, backend):
    with pytest.raises((Error, HTTPError)):
        connect(secure[0], backend)
