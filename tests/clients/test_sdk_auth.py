"""The SDK proves who it is with a token, and with a service principal's secret over OAuth."""

from __future__ import annotations

import pytest
from databricks.sdk.errors import Unauthenticated

WRONG_SECRET = "dose" + "0" * 32
WRONG_TOKEN = "dapi" + "0" * 32


def test_a_service_principal_is_itself(target):
    pair = target.service_principal()
    client = target.sdk(auth_type="oauth-m2m", **pair)
    me = client.current_user.me()
    assert me.user_name == pair["client_id"]
    assert me.active
    assert me.id != target.sdk().current_user.me().id
    assert client.get_workspace_id() == target.sdk().get_workspace_id()


def test_a_service_principal_runs_a_statement(target):
    client = target.sdk(auth_type="oauth-m2m", **target.service_principal())
    answer = client.statement_execution.execute_statement("SELECT 1", target.warehouse_id)
    assert answer.result.data_array == [["1"]]


def test_one_access_token_serves_many_calls(target):
    client = target.sdk(auth_type="oauth-m2m", **target.service_principal())
    headers = [client.config.authenticate() for _ in range(3)]
    assert headers[0]["Authorization"].startswith("Bearer ")
    assert headers == [headers[0]] * 3


def test_a_wrong_secret_is_an_invalid_client(target):
    pair = target.service_principal() | {"client_secret": WRONG_SECRET}
    with pytest.raises(ValueError, match="invalid_client") as caught:
        target.sdk(auth_type="oauth-m2m", **pair).current_user.me()
    assert WRONG_SECRET not in str(caught.value)


@pytest.mark.parametrize("token", ["dev", WRONG_TOKEN])
def test_a_wrong_token_is_unauthenticated(target, token):
    with pytest.raises(Unauthenticated) as caught:
        target.sdk(token=token, auth_type="pat").current_user.me()
    assert WRONG_TOKEN not in str(caught.value)
