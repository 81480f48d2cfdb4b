"""Unity Catalog's REST: crashes, restarts, bad names, and what SQL and REST see of each other."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor

import deltalake
import httpx
import pyarrow as pa
import pytest
from databricks.sdk.errors import BadRequest, NotFound, PermissionDenied
from databricks.sdk.errors.platform import NotImplemented
from databricks.sdk.service.catalog import VolumeType
from sql_steps import failure, rows
from workspace_process import init_workspace, serve_workspace, stop_workspace

BASE = "/api/2.1/unity-catalog"


@pytest.fixture(scope="module")
def client(workspace):
    return workspace.sdk()


@pytest.fixture
def http(workspace):
    headers = {"Authorization": f"Bearer {workspace.token}"}
    with httpx.Client(base_url=workspace.host + BASE, headers=headers, timeout=30) as made:
        yield made


@pytest.fixture
def schema(client):
    name = f"u{uuid.uuid4().hex[:10]}"
    client.schemas.create(name, "main")
    yield name
    rows(client, f"DROP SCHEMA IF EXISTS main.{name} CASCADE")


def test_sql_and_rest_see_the_same(client, schema):
    rows(client, f"CREATE TABLE main.{schema}.t (a INT COMMENT 'x') USING delta COMMENT 'of t'")
    got = client.tables.get(f"main.{schema}.t")
    assert (got.comment, got.columns[0].comment) == ("of t", "x")
    assert got.properties["delta.lastUpdateVersion"] == "0"
    rows(client, f"INSERT INTO main.{schema}.t VALUES (1)")
    later = client.tables.get(f"main.{schema}.t")
    assert later.properties["delta.lastUpdateVersion"] == "1"
    assert (later.table_id, later.created_at) == (got.table_id, got.created_at)
    assert later.updated_at >= got.updated_at
    client.tables.delete(f"main.{schema}.t")
    assert failure(client, f"SELECT * FROM main.{schema}.t")[0] == "TABLE_OR_VIEW_NOT_FOUND"
    client.schemas.delete(f"main.{schema}")
    assert [schema] not in rows(client, "SHOW SCHEMAS IN main")


def test_a_table_of_another_process_is_listed_at_once(client, schema, workspace):
    folder = workspace.data / "tables" / "main" / schema / "outside"
    deltalake.write_deltalake(str(folder), pa.table({"a": [1]}))
    assert [t.name for t in client.tables.list("main", schema)] == ["outside"]
    deltalake.write_deltalake(
        str(folder), pa.table({"b": ["x"]}), mode="overwrite", schema_mode="overwrite"
    )
    assert [c.name for c in client.tables.get(f"main.{schema}.outside").columns] == ["b"]
    shutil.rmtree(folder)
    assert list(client.tables.list("main", schema)) == []
    with pytest.raises(NotFound):
        client.tables.get(f"main.{schema}.outside")


def test_dropping_a_schema_drops_its_volumes(client, schema, workspace):
    client.volumes.create("main", schema, "inbox", VolumeType.MANAGED)
    client.files.upload(f"/Volumes/main/{schema}/inbox/a", io.BytesIO(b"a"))
    assert failure(client, f"DROP SCHEMA main.{schema}") == ("SCHEMA_NOT_EMPTY", "2BP01")
    rows(client, f"DROP SCHEMA main.{schema} CASCADE")
    assert not (workspace.data / "volumes" / "main" / schema / "inbox").exists()
    client.schemas.create(schema, "main")
    assert list(client.volumes.list("main", schema)) == []


def test_of_many_who_make_or_drop_the_same_thing_one_succeeds(client, schema):
    def tried(act) -> str:
        try:
            act()
            return "done"
        except (BadRequest, NotFound) as error:
            return error.error_code

    name = f"main.{schema}.v"
    make = [lambda: client.volumes.create("main", schema, "v", VolumeType.MANAGED)] * 4
    drop = [lambda: client.volumes.delete(name)] * 4
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            made = list(pool.map(tried, make))
            assert sorted(made) == ["VOLUME_ALREADY_EXISTS"] * 3 + ["done"]
            gone = list(pool.map(tried, drop))
            assert sorted(gone) == ["VOLUME_DOES_NOT_EXIST"] * 3 + ["done"]
        rows(client, f"CREATE TABLE main.{schema}.t (a INT) USING delta")
        gone = list(pool.map(tried, [lambda: client.tables.delete(f"main.{schema}.t")] * 4))
        assert sorted(gone) == ["TABLE_DOES_NOT_EXIST"] * 3 + ["done"]


def test_what_the_workspace_keeps_can_only_be_read(client):
    assert client.schemas.get("system.information_schema").catalog_type.value == "SYSTEM_CATALOG"
    assert client.tables.get("main.information_schema.columns").columns
    for change in (
        lambda: client.schemas.create("own", "system"),
        lambda: client.schemas.delete("main.information_schema", force=True),
        lambda: client.tables.delete("main.information_schema.tables"),
        lambda: client.volumes.create("system", "own", "v", VolumeType.MANAGED),
    ):
        with pytest.raises(PermissionDenied):
            change()


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/catalogs/nowhere", 404, "CATALOG_DOES_NOT_EXIST"),
        ("/schemas?catalog_name=nowhere", 404, "CATALOG_DOES_NOT_EXIST"),
        ("/schemas/main.nowhere", 404, "SCHEMA_DOES_NOT_EXIST"),
        ("/schemas/nowhere.gold", 404, "CATALOG_DOES_NOT_EXIST"),
        ("/tables?catalog_name=main&schema_name=nowhere", 404, "SCHEMA_DOES_NOT_EXIST"),
        ("/tables/main.gold.missing", 404, "TABLE_DOES_NOT_EXIST"),
        ("/tables/main.nowhere.t", 404, "SCHEMA_DOES_NOT_EXIST"),
        ("/volumes/main.landing.missing", 404, "VOLUME_DOES_NOT_EXIST"),
        ("/volumes?catalog_name=main&schema_name=nowhere", 404, "SCHEMA_DOES_NOT_EXIST"),
        ("/table-summaries?catalog_name=nowhere", 404, "CATALOG_DOES_NOT_EXIST"),
        ("/schemas", 400, "INVALID_PARAMETER_VALUE"),
        ("/tables?catalog_name=main", 400, "INVALID_PARAMETER_VALUE"),
        ("/catalogs?max_results=-1", 400, "INVALID_PARAMETER_VALUE"),
        ("/catalogs?max_results=x", 400, "INVALID_PARAMETER_VALUE"),
        ("/schemas/main", 400, "INVALID_PARAMETER_VALUE"),
        ("/tables/a.b", 400, "INVALID_PARAMETER_VALUE"),
        ("/tables/main..t", 400, "INVALID_PARAMETER_VALUE"),
        ("/tables/main.gold.%00", 400, "INVALID_PARAMETER_VALUE"),
        ("/tables/main.gold.x%0A", 400, "INVALID_PARAMETER_VALUE"),
        ("/volumes/main.landing.%5Cetc", 400, "INVALID_PARAMETER_VALUE"),
        ("/catalogs/%2e%2e%5c", 400, "INVALID_PARAMETER_VALUE"),
        ("/connections", 501, "NOT_IMPLEMENTED"),
        ("/permissions/table/main.gold.t", 501, "NOT_IMPLEMENTED"),
    ],
)
def test_refusals(http, path, status, code):
    answer = http.get(path)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a\x00b", "x" * 300, "a.b", "ü"])
def test_names_that_cannot_be_used(client, name, workspace):
    def folders() -> list[str]:
        places = [workspace.data / "tables", workspace.data / "volumes"]
        found = [path for place in places for path in [*place.glob("*"), *place.glob("*/*")]]
        return sorted(
            map(str, [*found, *(workspace.data / "volumes" / "main" / "landing").iterdir()])
        )

    before = folders()
    with pytest.raises(BadRequest):
        client.schemas.create(name, "main")
    with pytest.raises(BadRequest):
        client.volumes.create("main", "landing", name, VolumeType.MANAGED)
    assert folders() == before and not (workspace.data / "up").exists()


def test_what_is_not_computed_says_so(client):
    with pytest.raises(NotImplemented, match="storage_root"):
        client.schemas.create("elsewhere", "main", storage_root="s3://bucket")
    with pytest.raises(NotImplemented, match="storage_location"):
        client.volumes.create(
            "main", "landing", "far", VolumeType.EXTERNAL, storage_location="s3://bucket"
        )
    with pytest.raises(NotImplemented):
        client.catalogs.create("other")


def test_pages_of_every_list(client, http, schema):
    for number in range(5):
        client.volumes.create("main", schema, f"v{number}", VolumeType.MANAGED)
        rows(client, f"CREATE TABLE main.{schema}.t{number} (a INT) USING delta")
    place = {"catalog_name": "main", "schema_name": schema, "max_results": 2}
    for path, field, prefix in (("/volumes", "volumes", "v"), ("/tables", "tables", "t")):
        seen, sizes, token = [], [], None
        while True:
            params = place | ({"page_token": token} if token else {})
            body = http.get(path, params=params).json()
            seen += [one["name"] for one in body[field]]
            sizes.append(len(body[field]))
            token = body.get("next_page_token")
            if token is None:
                break
        assert (seen, sizes) == ([f"{prefix}{n}" for n in range(5)], [2, 2, 1])
    summaries = client.tables.list_summaries("main", schema_name_pattern=schema, max_results=2)
    assert [s.full_name for s in summaries] == [f"main.{schema}.t{n}" for n in range(5)]
    assert len(list(client.catalogs.list(max_results=1))) == len(list(client.catalogs.list()))


def test_use_and_set_hold_for_a_session(client, http, schema, workspace):
    rows(client, f"CREATE TABLE main.{schema}.here AS SELECT timestamp'2026-01-01 00:00:00' AS t")
    opened = client.api_client.do(
        "POST", "/api/2.0/sql/sessions", body={"warehouse_id": "local", "catalog": "main"}
    )

    def say(sql: str) -> dict:
        body = {"statement": sql, "warehouse_id": "local", "session_id": opened["session_id"]}
        return client.api_client.do("POST", "/api/2.0/sql/statements", body=body)

    assert say("SELECT t FROM here")["status"]["state"] == "FAILED"
    for sql in (f"USE {schema}", "USE CATALOG system", f"USE main.{schema}", "SET timezone = UTC"):
        assert say(sql)["status"]["state"] == "SUCCEEDED", sql
    answer = say("SELECT current_catalog(), current_schema(), count(*) FROM here")
    assert answer["result"]["data_array"] == [["main", schema, "1"]]
    assert say("SET TIME ZONE 'Asia/Manila'")["status"]["state"] == "SUCCEEDED"
    assert say("SET timezone")["result"]["data_array"] == [["timezone", "Asia/Manila"]]
    shown = say("SELECT cast(timestamp'2026-01-01 00:00:00Z' AS string)")
    assert shown["result"]["data_array"] == [["2026-01-01 08:00:00"]]
    assert say("RESET")["status"]["state"] == "SUCCEEDED"
    assert say("SET timezone")["result"]["data_array"] == [["timezone", "UTC"]]
    assert say("SHOW TABLES")["result"]["data_array"] == [[schema, "here", "false"]]
    client.api_client.do("DELETE", f"/api/2.0/sql/sessions/{opened['session_id']}")


def test_tables_are_read_without_the_engine(client, schema, workspace):
    """With the engine halted, listings and columns are answered all the same."""
    rows(client, f"CREATE TABLE main.{schema}.t (a INT) USING delta")
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(workspace.process.pid)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    engines = [int(line.split()[0]) for line in listed.stdout.splitlines() if "spark ser" in line]
    assert engines, listed.stdout
    for pid in engines:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert [c.name for c in client.tables.get(f"main.{schema}.t").columns] == ["a"]
        assert [t.name for t in client.tables.list("main", schema)] == ["t"]
        assert rows(client, f"SHOW TABLES IN main.{schema}") == [[schema, "t", "false"]]
        assert rows(client, f"DESCRIBE main.{schema}.t") == [["a", "int", None]]
    finally:
        for pid in engines:
            os.kill(pid, signal.SIGCONT)
    assert rows(client, f"SELECT count(*) FROM main.{schema}.t") == [["0"]]


@pytest.fixture
def own(tmp_path):
    """A workspace of its own that a test may kill: a function that starts it (anew)."""
    credentials = init_workspace(tmp_path)
    started = []

    def start():
        started.append(serve_workspace(tmp_path, credentials))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            stop_workspace(one)


def test_a_kill_loses_no_name_and_leaves_no_half_drop(own):
    running = own()
    client = running.sdk()
    made = client.schemas.create("kept", "main", comment="c", properties={"k": "v"})
    volume = client.volumes.create("main", "kept", "box", VolumeType.MANAGED, comment="b")
    client.files.upload("/Volumes/main/kept/box/a", io.BytesIO(b"a"))
    rows(client, "CREATE TABLE main.kept.t AS SELECT 1 AS a")
    table = client.tables.get("main.kept.t")
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait()
    # A drop that was killed between its two steps, and a CREATE that was killed before its commit.
    tables, volumes = running.data / "tables", running.data / "volumes"
    shutil.copytree(tables / "main" / "kept" / "t", tables / ".dropped-0123")
    shutil.copytree(volumes / "main" / "kept" / "box", volumes / ".dropped-4567")
    (tables / "main" / "kept" / "half" / "_delta_log").mkdir(parents=True)

    running = own()
    client = running.sdk()
    again = client.schemas.get("main.kept")
    assert (again.comment, again.properties, again.schema_id, again.created_at) == (
        "c", {"k": "v"}, made.schema_id, made.created_at
    )  # fmt: skip
    assert client.volumes.read("main.kept.box").volume_id == volume.volume_id
    assert client.files.download("/Volumes/main/kept/box/a").contents.read() == b"a"
    assert client.tables.get("main.kept.t").table_id == table.table_id
    assert [t.name for t in client.tables.list("main", "kept")] == ["t"]
    assert rows(client, "SELECT a FROM main.kept.t") == [["1"]]
    assert {c.name for c in client.catalogs.list()} == {"main", "system"}
    assert not list(tables.glob(".dropped-*")) and not list(volumes.glob(".dropped-*"))
    rows(client, "DROP SCHEMA main.kept CASCADE")
    with pytest.raises(NotFound):
        client.schemas.get("main.kept")
