"""What a pipeline cannot be or do: each is refused with a name, and nothing is written."""

from __future__ import annotations

import json

import pytest
from databricks.sdk.service.pipelines import FileLibrary, PathPattern, PipelineLibrary
from pipeline_runs import complete_update, errors, events, fail_update, progress
from pipeline_samples import ROOT, put, rows

pytest_plugins = ("pipeline_fixtures",)
STREAM = """
@dp.table(name="raw")
def raw():
    return spark.readStream.schema("id BIGINT, vendor STRING").json("{folder}/in")
"""


@pytest.mark.parametrize(
    ("source", "blamed", "text"),
    [
        ('@dp.materialized_view\ndef a():\n    return spark.read.table("b")\n'
         '@dp.materialized_view\ndef b():\n    return spark.sql("select * from a")\n',
         {"main.pipes.a", "main.pipes.b"}, "GRAPH_CYCLE_DETECTED"),
        ('@dp.materialized_view\ndef a():\n    return spark.read.table("nowhere.at_all")\n'
         '@dp.materialized_view\ndef b():\n    return spark.read.table("a")\n',
         {"main.pipes.a"}, "main.nowhere.at_all"),
        ('@dp.materialized_view\ndef a():\n    return spark.sql("select * from gone_table")\n',
         {"main.pipes.a"}, "gone_table"),
        ('@dp.materialized_view\ndef a():\n    return spark.range(1).select("no_such_column")\n',
         {"main.pipes.a"}, "no_such_column"),
        ('@dp.table\ndef a():\n    return spark.readStream.table("other")\n',
         {"main.pipes.a"}, "NOT_IMPLEMENTED"),
        ('@dp.table\ndef a():\n    return spark.readStream.format("kafka").load("x")\n',
         {"main.pipes.a"}, "kafka"),
        ('dp.create_streaming_table("a")\n@dp.append_flow(target="a", name="f")\n'
         "def f():\n    return spark.range(1)\n", {"main.pipes.a"}, "reads no stream"),
        ("@dp.materialized_view\ndef a():\n    return 7\n", {"main.pipes.a"}, "returns int"),
        ('@dp.materialized_view\ndef a():\n    spark.range(1).write.save("/tmp/x")\n',
         {"main.pipes.a"}, "only reads"),
        ('@dp.materialized_view\ndef a():\n    return spark.sql("DROP TABLE x")\n',
         {"main.pipes.a"}, "DROP"),
        ('@dp.materialized_view(schema="id STRING")\ndef a():\n    return spark.range(1)\n',
         {"main.pipes.a"}, "The columns of the flow"),
    ],
)  # fmt: skip
def test_what_cannot_be_resolved_is_named_and_nothing_is_written(
    client, make, workspace, source, blamed, text
):
    pipeline = make(source)
    update = fail_update(client, pipeline)
    found = errors(client, pipeline, update)
    assert set(found) == blamed | {""}
    assert all(text in found[name] for name in blamed)
    assert text in found[""]
    assert not (workspace.data / "tables/main/pipes/a").exists()


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("this is no python", "invalid syntax"),
        ("raise ValueError('from the file')", "from the file"),
        ("x = 1", "define no dataset"),
        ("@dp.materialized_view\ndef a():\n    return spark.range(1)\n" * 2, "defined twice"),
        ('@dp.append_flow(target="no", name="f")\ndef f():\n    return 1\n', "no target no"),
        ('dp.create_sink("s", "kafka", {})', "create_sink"),
        ('@dp.materialized_view(format="parquet")\ndef a():\n    return 1\n', "format parquet"),
        ('@dp.materialized_view(table_properties={"delta.appendOnly": "true"})\n'
         "def a():\n    return 1\n", "delta.appendOnly"),
        ('spark.conf.set("a", "b")', "RuntimeConf.set"),
        ('spark.read.table("x")', "query functions"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_told(client, make, source, text):
    pipeline = make(source)
    update = fail_update(client, pipeline)
    event = events(client, pipeline, update, "update_progress")[-1]
    assert text in event["message"] and text in event["error"]["exceptions"][0]["message"]
    assert event["level"] == "ERROR"


def test_validation_writes_nothing(client, make, workspace):
    pipeline = make(STREAM.format(folder=make.folder))
    put(client, make.folder, "a.json", {"id": 1})
    update = complete_update(client, pipeline, validate_only=True)
    assert client.pipelines.get_update(pipeline, update).update.validate_only is True
    assert not (workspace.data / "tables/main/pipes/raw").exists()
    assert progress(client, pipeline, update) == {}


def test_a_table_of_somebody_else_is_not_touched(client, make):
    rows(client, "CREATE TABLE main.pipes.theirs AS SELECT 42 AS n")
    source = "@dp.materialized_view\ndef theirs():\n    return spark.range(1)\n"
    pipeline = make(source)
    update = fail_update(client, pipeline)
    assert "not managed by this pipeline" in errors(client, pipeline, update)["main.pipes.theirs"]
    second = make(source.replace("theirs", "ours"))
    complete_update(client, second)
    third = make(source.replace("theirs", "ours"))
    update = fail_update(client, third)
    client.pipelines.delete(third)
    assert rows(client, "SELECT n FROM main.pipes.theirs") == [["42"]]
    assert rows(client, "SELECT count(*) FROM main.pipes.ours") == [["1"]]
    rows(client, "DROP TABLE main.pipes.theirs")


def test_an_error_points_into_the_file_and_shows_no_secret(client, make):
    source = """
import os
def fails():
    raise RuntimeError("token " + os.environ["DATABRICKS_TOKEN"])
@dp.materialized_view
def a():
    return fails()
"""
    pipeline = make(source)
    update = fail_update(client, pipeline)
    told = [e for e in events(client, pipeline, update, "flow_progress") if e["level"] == "ERROR"]
    exception = told[0]["error"]["exceptions"][0]
    assert exception["class_name"] == "builtins.RuntimeError"
    assert exception["message"] == "token [REDACTED]"
    frames = [f for f in exception["stack"] if f["file_name"] == f"{make.folder}/src/0.py"]
    assert [frame["method_name"] for frame in frames] == ["a", "fails"]
    assert "dapi" not in json.dumps(events(client, pipeline, update))


@pytest.mark.parametrize(
    "library",
    [
        {"file": FileLibrary(path=f"{ROOT}/nowhere.py")},
        {"glob": PathPattern(include=f"{ROOT}/nowhere/**")},
        {"file": FileLibrary(path="lakehouse_jobs/in_no_wheel.py")},
        {"file": FileLibrary(path="/Workspace/Shared/nothing.py")},
    ],
)
def test_a_missing_file_fails_the_update_with_its_name(client, make, library):
    pipeline = make(libraries=[PipelineLibrary(**library)])
    update = fail_update(client, pipeline)
    named = next(iter(library.values()))
    assert (getattr(named, "path", None) or named.include) in errors(client, pipeline, update)[""]
