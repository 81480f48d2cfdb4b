"""Who may use the connector: tokens, OAuth; and what it asks for beside its work."""

from __future__ import annotations

import logging
import time

import pytest
from connectors import BACKENDS, connect
from databricks.sql.exc import Error


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


def one(connection) -> int:
    with connection, connection.cursor() as made:
        return made.execute("SELECT 1 AS a").fetchone()[0]


def test_a_token(target, backend):
    assert one(connect(target, backend)) == 1


def test_a_wrong_token_opens_nothing(target, backend):
    with pytest.raises(Error) as caught:
        connect(target, backend, access_token="dapi0123456789")
    assert "dapi0123456789" not in str(caught.value)
    if target.embedded and backend != "sea":  # the sea client says the number only: 401
        assert "Credential" in str(caught.value)


def test_a_service_principal(target, backend):
    known = target.service_principal()
    if backend == "kernel":
        options = {
            "oauth_client_id": known["client_id"],
            "oauth_client_secret": known["client_secret"],
        }
    else:
        options = {"credentials_provider": lambda: _oauth(target, known)}
    assert one(connect(target, backend, **options)) == 1


def _oauth(target, known: dict[str, str]):
    from databricks.sdk.core import Config, oauth_service_principal

    return oauth_service_principal(Config(host=target.host, **known))


def test_a_service_principal_with_a_wrong_secret(target):
    known = target.service_principal()
    with pytest.raises(Error):
        connect(
            target,
            "kernel",
            oauth_client_id=known["client_id"],
            oauth_client_secret="wrong",
        )


def test_a_warehouse_that_does_not_exist(target, backend):
    other = type(target)(**{**vars(target), "warehouse_id": "0000000000000000"})
    with pytest.raises(Error):
        one(connect(other, backend))


def test_what_the_driver_tells_about_itself_is_taken(target, caplog):
    caplog.set_level(logging.DEBUG, "databricks.sql.telemetry")
    connection = connect(
        target, "thrift", server_hostname=target.host, enable_telemetry=True,
        force_enable_telemetry=True, telemetry_batch_size=1,
    )  # fmt: skip
    assert one(connection) == 1
    deadline = time.monotonic() + 30
    while "Pushed Telemetry logs" not in caplog.text:  # a thread of the driver pushes them
        assert time.monotonic() < deadline, caplog.text
        time.sleep(0.1)
    assert "failed" not in caplog.text and "failure" not in caplog.text
