"""History, restore, compaction, vacuum, new columns, time travel and true counts of rows."""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import deltalake
import pyarrow as pa
import pytest
from sql_steps import columns, failure, message, records, rows

HISTORY = [
    "version", "timestamp", "userId", "userName", "operation", "operationParameters", "job",
    "notebook", "clusterId", "readVersion", "isolationLevel", "isBlindAppend", "operationMetrics",
    "userMetadata", "engineInfo",
]  # fmt: skip
DETAIL = [
    "format", "id", "name", "description", "location", "createdAt", "lastModified",
    "partitionColumns", "clusteringColumns", "numFiles", "sizeInBytes", "properties",
    "minReaderVersion", "minWriterVersion", "tableFeatures", "statistics",
]  # fmt: skip


@pytest.fixture(scope="module")
def client(workspace):
    return workspace.sdk()


@pytest.fixture
def name(client):
    """A table of ids 0 to 9 in five files: version 0 made, versions 1 to 5 filled."""
    full = f"main.silver.u{uuid.uuid4().hex[:10]}"
    rows(client, f"CREATE TABLE {full} (id BIGINT, s STRING) USING delta")
    for part in range(5):
        rows(client, f"INSERT INTO {full} SELECT id, 'x' FROM range({2 * part}, {2 * part + 2})")
    yield full
    rows(client, f"DROP TABLE IF EXISTS {full}")


def folder(workspace, full: str):
    return workspace.data.joinpath("tables", *full.split("."))


def count(client, full: str) -> int:
    return int(rows(client, f"SELECT count(*) FROM {full}")[0][0])


def test_history(client, name):
    assert columns(client, f"DESCRIBE HISTORY {name}") == HISTORY
    rows(client, f"DELETE FROM {name} WHERE id < 3")
    found = records(client, f"DESCRIBE HISTORY {name}")
    assert [row["version"] for row in found] == ["6", "5", "4", "3", "2", "1", "0"]
    assert [row["operation"] for row in found] == ["DELETE", *["WRITE"] * 5, "CREATE TABLE"]
    assert json.loads(found[0]["operationMetrics"])["numDeletedRows"] == "3"
    times = [row["timestamp"] for row in found]
    assert times == sorted(times, reverse=True) and all(times)
    assert [row["version"] for row in records(client, f"DESCRIBE HISTORY {name} LIMIT 2")] == [
        "6", "5"
    ]  # fmt: skip


def test_detail(client, name, workspace):
    assert columns(client, f"DESCRIBE DETAIL {name}") == DETAIL
    found = records(client, f"DESCRIBE DETAIL {name}")[0]
    assert (found["format"], found["name"], found["numFiles"]) == ("delta", name, "5")
    sizes = [path.stat().st_size for path in folder(workspace, name).glob("*.parquet")]
    assert int(found["sizeInBytes"]) == sum(sizes)
    assert found["id"] == client.tables.get(name).table_id


def test_restore_to_a_version(client, name):
    rows(client, f"DELETE FROM {name} WHERE id >= 0")
    answer = records(client, f"RESTORE TABLE {name} TO VERSION AS OF 3")[0]
    assert answer["num_of_files_after_restore"] == answer["num_restored_files"] == "3"
    assert answer["num_removed_files"] == "0" and int(answer["restored_files_size"]) > 0
    assert answer["table_size_after_restore"] == answer["restored_files_size"]
    assert count(client, name) == 6
    assert records(client, f"DESCRIBE HISTORY {name} LIMIT 1")[0]["operation"] == "RESTORE"
    rows(client, f"INSERT INTO {name} VALUES (100, 'after')")
    assert count(client, name) == 7


def test_restore_brings_back_the_columns_of_that_version(client, name):
    rows(client, f"ALTER TABLE {name} ADD COLUMNS (extra STRING)")
    assert [row[0] for row in rows(client, f"DESCRIBE {name}")] == ["id", "s", "extra"]
    rows(client, f"RESTORE {name} VERSION AS OF 5")
    assert [row[0] for row in rows(client, f"DESCRIBE {name}")] == ["id", "s"]
    assert rows(client, f"SELECT * FROM {name} WHERE id = 1") == [["1", "x"]]


def test_restore_to_a_time(client, name):
    then = records(client, f"DESCRIBE HISTORY {name} LIMIT 1")[0]["timestamp"]
    time.sleep(0.05)
    rows(client, f"INSERT INTO {name} VALUES (100, 'late')")
    rows(client, f"RESTORE TABLE {name} TO TIMESTAMP AS OF '{then}'")
    assert count(client, name) == 10


@pytest.mark.parametrize(
    ("target", "error_class", "state"),
    [
        ("VERSION AS OF 99", "DELTA_CANNOT_RESTORE_TABLE_VERSION", "22003"),
        ("TIMESTAMP AS OF '2001-01-01'", "DELTA_CANNOT_RESTORE_TIMESTAMP_EARLIER", "22003"),
        ("TIMESTAMP AS OF '2999-01-01'", "DELTA_CANNOT_RESTORE_TIMESTAMP_GREATER", "22003"),
        ("TIMESTAMP AS OF 'soon'", "DELTA_TIMESTAMP_INVALID", "42816"),
        ("VERSION AS OF x", "PARSE_SYNTAX_ERROR", "42601"),
    ],
)
def test_restore_to_what_is_not_there(client, name, target, error_class, state):
    assert failure(client, f"RESTORE TABLE {name} TO {target}") == (error_class, state)
    assert count(client, name) == 10


def test_optimize_writes_small_files_together(client, name, workspace):
    answer = records(client, f"OPTIMIZE {name}")[0]
    metrics = json.loads(answer["metrics"])
    assert (metrics["numFilesAdded"], metrics["numFilesRemoved"]) == (1, 5)
    assert metrics["filesRemoved"]["totalFiles"] == 5
    assert answer["path"] == folder(workspace, name).as_uri()
    assert count(client, name) == 10
    again = json.loads(records(client, f"OPTIMIZE {name}")[0]["metrics"])
    assert (again["numFilesAdded"], again["numFilesRemoved"]) == (0, 0)


def test_optimize_in_z_order(client, name, workspace):
    rows(client, f"OPTIMIZE {name} ZORDER BY (ID, s)")
    (path,) = deltalake.DeltaTable(str(folder(workspace, name))).file_uris()
    assert count(client, name) == 10 and path
    assert failure(client, f"OPTIMIZE {name} ZORDER BY (nope)") == (
        "DELTA_ZORDERING_COLUMN_DOES_NOT_EXIST", "42703"
    )  # fmt: skip
    assert failure(client, f"OPTIMIZE {name} WHERE id > 1") == ("UNSUPPORTED_FEATURE", "0A000")


def test_vacuum_deletes_only_what_is_old_and_unused(client, name, workspace):
    place = folder(workspace, name)
    rows(client, f"OPTIMIZE {name}")
    old = time.time() - 8 * 24 * 3600
    stray = place / "stray.parquet"
    stray.write_bytes(b"left by a crash")
    os.utime(stray, (old, old))
    kept = place / "_pipeline" / "state.json"
    kept.parent.mkdir()
    kept.write_text("{}")
    os.utime(kept, (old, old))
    assert rows(client, f"VACUUM {name} DRY RUN") == [[stray.as_uri()]]
    assert stray.exists()
    assert rows(client, f"VACUUM {name} RETAIN 168 HOURS") == [[place.as_uri()]]
    assert not stray.exists() and kept.exists()
    assert count(client, f"{name} VERSION AS OF 3") == 6
    assert "low retention period" in message(client, f"VACUUM {name} RETAIN 1 HOURS")


def test_added_columns_are_seen_by_every_session(client, name):
    with ThreadPoolExecutor(4) as pool:  # several sessions of the engine know the table
        list(pool.map(lambda _: count(client, name), range(8)))
    rows(
        client,
        f"ALTER TABLE {name} ADD COLUMNS (amount DECIMAL(18,2) COMMENT 'in pesos',"
        " place STRUCT<city: STRING, codes: ARRAY<MAP<STRING, BIGINT>>>)",
    )
    asked = f"SELECT amount, place FROM {name} WHERE id = 1"
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: rows(client, asked), range(8))) == [[[None, None]]] * 8
    rows(
        client,
        f"INSERT INTO {name} SELECT 50, 'y', 1.5, named_struct('city', 'Cebu',"
        " 'codes', array(map('a', 1L)))",
    )
    assert rows(client, f"SELECT amount, place.city FROM {name} WHERE id = 50") == [
        ["1.50", "Cebu"]
    ]
    described = rows(client, f"DESCRIBE {name}")
    assert described[2] == ["amount", "decimal(18,2)", "in pesos"]
    assert described[3][1] == "struct<city:string,codes:array<map<string,bigint>>>"
    assert client.tables.get(name).columns[2].comment == "in pesos"


@pytest.mark.parametrize(
    ("added", "error_class", "state"),
    [
        ("(S INT)", "FIELD_ALREADY_EXISTS", "42710"),
        ("(a INT, A INT)", "FIELD_ALREADY_EXISTS", "42710"),
        ("(a GEOMETRY)", "UNSUPPORTED_DATATYPE", "0A000"),
        ("(a INT NOT NULL)", "UNSUPPORTED_FEATURE", "0A000"),
        ("(a INT FIRST)", "UNSUPPORTED_FEATURE", "0A000"),
        ("(a DECIMAL(99,2))", "PARSE_SYNTAX_ERROR", "42601"),
        ("(a ARRAY<INT)", "PARSE_SYNTAX_ERROR", "42601"),
        ("()", "PARSE_SYNTAX_ERROR", "42601"),
    ],
)
def test_columns_that_cannot_be_added(client, name, added, error_class, state):
    assert failure(client, f"ALTER TABLE {name} ADD COLUMNS {added}") == (error_class, state)
    assert len(rows(client, f"DESCRIBE {name}")) == 2


def test_truncate(client, name):
    assert rows(client, f"TRUNCATE TABLE {name}") == []
    assert count(client, name) == 0
    assert count(client, f"{name} VERSION AS OF 5") == 10


def test_time_travel(client, name):
    assert count(client, f"{name} VERSION AS OF 2") == 4
    assert count(client, f"{name}@v2") == 4
    joined = f"SELECT count(*) FROM {name}@v1 a JOIN {name} b ON a.id = b.id"
    assert rows(client, joined) == [["2"]]
    then = records(client, f"DESCRIBE HISTORY {name}")[3]["timestamp"]
    assert count(client, f"{name} TIMESTAMP AS OF '{then}'") == 4
    assert failure(client, f"SELECT * FROM {name} VERSION AS OF 99") == (
        "DELTA_VERSION_NOT_FOUND", "22003"
    )  # fmt: skip
    assert failure(client, f"SELECT * FROM {name} TIMESTAMP AS OF '2001-01-01'") == (
        "DELTA_TIMESTAMP_EARLIER_THAN_COMMIT_RETENTION", "42816"
    )  # fmt: skip


def test_changes_of_data_tell_the_rows_that_they_touched(client, name):
    assert rows(client, f"UPDATE {name} SET s = 'y' WHERE id IN (1, 2)") == [["2"]]
    assert rows(client, f"UPDATE {name} SET s = 'y' WHERE id = 99") == [["0"]]
    assert rows(client, f"DELETE FROM {name} WHERE id = 3") == [["1"]]
    assert rows(client, f"DELETE FROM {name} WHERE id = 3") == [["0"]]
    merged = (
        f"MERGE INTO {name} t USING (SELECT id, 'm' AS s FROM range(7, 12)) s ON t.id = s.id"
        " WHEN MATCHED AND s.id = 8 THEN DELETE WHEN MATCHED THEN UPDATE SET s = s.s"
        " WHEN NOT MATCHED THEN INSERT (id, s) VALUES (s.id, s.s)"
        " WHEN NOT MATCHED BY SOURCE AND t.id = 0 THEN DELETE"
    )
    assert records(client, merged) == [
        {"num_affected_rows": "6", "num_updated_rows": "2", "num_deleted_rows": "2",
         "num_inserted_rows": "2"}
    ]  # fmt: skip
    assert count(client, name) == 9
    assert rows(client, f"DELETE FROM {name}") == [["9"]]


def test_a_count_is_right_or_missing_beside_other_writers(client, name):
    """Writers of different sizes at once: a number that is shown is the true one."""

    def touch(size: int) -> tuple[int, str | None]:
        done = rows(client, f"UPDATE {name} SET s = 'w{size}' WHERE id < {size}")
        return size, done[0][0]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(touch, [1, 3, 5, 7, 9, 2, 4, 6]))
    assert all(shown in (str(size), None) for size, shown in answers), answers
    assert any(shown is not None for _, shown in answers)


def test_upkeep_beside_writers_loses_nothing(client, name):
    """Compaction by delta-rs while the engine inserts and updates."""
    stop = threading.Event()

    def care() -> int:
        removed = 0
        while not stop.is_set():
            metrics = json.loads(records(client, f"OPTIMIZE {name}")[0]["metrics"])
            removed += metrics["numFilesRemoved"]
        return removed

    def insert() -> None:
        for number in range(10):
            rows(client, f"INSERT INTO {name} VALUES ({100 + number}, 'new')")

    def update() -> None:
        for number in range(10):
            rows(client, f"UPDATE {name} SET s = s || 'u' WHERE id = {number}")

    with ThreadPoolExecutor(3) as pool:
        caring = pool.submit(care)
        try:
            for writing in [pool.submit(insert), pool.submit(update)]:
                writing.result()
        finally:
            stop.set()
        assert caring.result() > 0
    expected = [[str(n), "xu"] for n in range(10)] + [[str(100 + n), "new"] for n in range(10)]
    assert rows(client, f"SELECT id, s FROM {name} ORDER BY id") == expected


def test_a_table_that_delta_rs_cannot_write_is_refused(client):
    full = f"main.silver.u{uuid.uuid4().hex[:10]}"
    rows(client, f"CREATE TABLE {full} (id BIGINT GENERATED ALWAYS AS IDENTITY, a INT) USING delta")
    rows(client, f"INSERT INTO {full} (a) VALUES (1)")
    for sql in (f"OPTIMIZE {full}", f"ALTER TABLE {full} ADD COLUMNS (b INT)"):
        assert failure(client, sql) == ("DELTA_UNSUPPORTED_FEATURES_FOR_WRITE", "56038")
    assert rows(client, f"SELECT * FROM {full}") == [["1", "1"]]
    assert len(rows(client, f"DESCRIBE HISTORY {full}")) == 2
    rows(client, f"DROP TABLE {full}")


def test_upkeep_of_what_is_no_delta_table(client):
    for sql in ("OPTIMIZE main.information_schema.tables",
                "DESCRIBE HISTORY main.information_schema.tables"):  # fmt: skip
        assert failure(client, sql)[0] in ("INSUFFICIENT_PERMISSIONS", "DELTA_TABLE_ONLY_OPERATION")


def test_a_table_of_another_writer_is_cared_for(client, workspace):
    place = folder(workspace, "main.bronze.foreign")
    deltalake.write_deltalake(str(place), pa.table({"a": [1, 2], "b": [5, 5]}), partition_by=["a"])
    deltalake.write_deltalake(str(place), pa.table({"a": [1, 3], "b": [6, 6]}), mode="append")
    answer = json.loads(records(client, "OPTIMIZE main.bronze.foreign")[0]["metrics"])
    assert answer["numFilesRemoved"] == 2
    assert failure(client, "OPTIMIZE main.bronze.foreign ZORDER BY (a)") == (
        "DELTA_ZORDERING_ON_PARTITION_COLUMN", "42P10"
    )  # fmt: skip
    rows(client, "RESTORE TABLE main.bronze.foreign TO VERSION AS OF 0")
    assert rows(client, "SELECT a FROM main.bronze.foreign ORDER BY a") == [["1"], ["2"]]
    rows(client, "DROP TABLE main.bronze.foreign")
