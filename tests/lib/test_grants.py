"""What Test connection says of rights that are missing, and which proxies are taken."""

import pytest
from lib import errors, health
from lib.client import check_proxy, connect

TOKEN = "dapi0123456789abcdef0123456789abcdef"
ME = "/api/2.0/preview/scim/v2/Me"


def test_a_missing_right_is_named_with_the_grant(faulty):
    """The embedded workspace has no grants of this kind: what the real service answers."""

    def refused(message):
        return {"error_code": "PERMISSION_DENIED", "message": message}

    faulty.on("GET", ME, body={"userName": "robot@example.com"})
    faulty.on("GET", "/api/2.0/sql/warehouses/w", 403, refused("no access to the warehouse"))
    faulty.on("GET", "/api/2.1/unity-catalog/tables", 403, refused("no USE SCHEMA"))
    faulty.on("GET", "/api/2.1/unity-catalog/tables/main.gold.t", 403, refused("no SELECT"))
    faulty.on("GET", "/api/2.0/serving-endpoints/e", 403, refused("no CAN_QUERY"))
    faulty.on("GET", "/api/2.2/jobs/list", body={})
    faulty.on("GET", "/api/2.2/jobs/get", 403, refused("no View permissions on job 7"))
    scope = health.Scope(tables=("main.gold.t",), endpoints=("e",), jobs=("7",))
    checks = health.test_connection(connect(faulty.url, "pat", token=TOKEN), "w", scope)
    assert {c.name: c.hint for c in checks if c.ok is False} == {
        "warehouse": "Grant CAN USE on the SQL warehouse w to robot@example.com.",
        "schema": "Grant USE CATALOG on main and USE SCHEMA on main.gold to robot@example.com.",
        "table": "Grant USE CATALOG on main, USE SCHEMA on main.gold and SELECT on main.gold.t to "
        "robot@example.com.",
        "endpoint": "Grant CAN QUERY on the serving endpoint e to robot@example.com.",
        "job": "Grant CAN MANAGE RUN on the job 7 to robot@example.com.",
    }
    assert {c.kind for c in checks if c.ok is False} == {"permission_missing"}
    assert [c.name for c in checks if c.ok] == ["host", "identity", "jobs"]


def test_a_proxy_is_a_url_without_a_password():
    check_proxy("http://proxy.example:3128")
    for text in ("proxy:3128", "socks5://x", "http://", "http://x:y", "http://me:pw@proxy:3128"):
        with pytest.raises(errors.WrongHost) as caught:
            check_proxy(text)
        assert "pw" not in str(caught.value)
