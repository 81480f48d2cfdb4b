"""Pipelines through the SDK: definitions, updates, events and stop, as any client has them."""

from __future__ import annotations

import io
import time
import uuid

import pytest
from databricks.sdk.errors import BadRequest, NotFound, ResourceConflict
from databricks.sdk.errors.platform import NotImplemented as NotComputed
from databricks.sdk.service.pipelines import (
    EventLevel,
    FileLibrary,
    NotebookLibrary,
    PipelineLibrary,
)
from databricks.sdk.service.workspace import ImportFormat
from pipeline_runs import complete_update, errors, events, fail_update, finished, wait_update

MINUTES = 600  # a cluster of a real workspace has to start
SOURCE = """
from pyspark import pipelines as dp
from pyspark.sql import SparkSession

spark = SparkSession.active()


@dp.temporary_view(name="{name}_numbers")
def numbers():
    return spark.range(10).withColumnRenamed("id", "n")


@dp.materialized_view(name="{name}_even")
@dp.expect("small", "n < 7")
@dp.expect_or_drop("known", "n <> 4")
def even():
    return spark.read.table("{name}_numbers").where("n % 2 = 0")


@dp.materialized_view(name="{name}_total")
def total():
    return spark.read.table("{name}_even").groupBy().sum("n").withColumnRenamed("sum(n)", "total")
"""


@pytest.fixture(scope="module")
def client(target):
    return target.sdk()


@pytest.fixture(scope="module")
def folder(client):
    """A folder of the caller's own in the workspace tree."""
    path = f"/Users/{client.current_user.me().user_name}/pipelines-{uuid.uuid4().hex[:8]}"
    client.workspace.mkdirs(path)
    yield path
    client.workspace.delete(path, recursive=True)


@pytest.fixture
def make(client, folder, target):
    """make(source text) -> (pipeline id, the name that its datasets begin with)."""
    made = []

    def pipeline(source: str = SOURCE, **settings) -> tuple[str, str]:
        name = f"p{uuid.uuid4().hex[:8]}"
        path = f"{folder}/{name}.py"
        text = source.replace("{name}", name).encode()
        client.workspace.upload(path, io.BytesIO(text), format=ImportFormat.AUTO)
        library = PipelineLibrary(file=FileLibrary(path=path))
        created = client.pipelines.create(
            name=settings.pop("name", name), catalog=target.catalog, schema=target.schema,
            serverless=True, libraries=[library], **settings,
        )  # fmt: skip
        made.append(created.pipeline_id)
        return created.pipeline_id, name

    yield pipeline
    for pipeline_id in made:
        try:
            client.pipelines.delete(pipeline_id)
        except NotFound:
            continue  # the test deleted it


def table(target, name):
    return f"{target.catalog}.{target.schema}.{name}"


def rows(client, target, text):
    answer = client.statement_execution.execute_statement(text, target.warehouse_id)
    assert answer.result is not None, answer.status
    return answer.result.data_array


def test_an_update_makes_the_tables(client, target, make):
    pipeline, name = make()
    update = complete_update(client, pipeline, MINUTES)
    assert rows(client, target, f"SELECT total FROM {table(target, name + '_total')}") == [["16"]]
    done = finished(client, pipeline, update)[table(target, name + "_even")]
    assert done["metrics"]["num_output_rows"] == 4
    quality = done["data_quality"]
    assert quality["dropped_records"] == 1
    counted = {
        one["name"]: (one["passed_records"], one["failed_records"])
        for one in quality["expectations"]
    }
    assert counted == {"small": (4, 1), "known": (4, 1)}


def test_the_definition_comes_back_as_it_was_sent(client, target, make):
    settings = {
        "configuration": {"a.b": "c"}, "development": True, "channel": "CURRENT",
        "tags": {"team": "finance"},
    }  # fmt: skip
    pipeline, name = make(**settings)
    shown = client.pipelines.get(pipeline)
    spec = shown.spec.as_dict()
    assert spec["id"] == pipeline and shown.pipeline_id == pipeline and shown.name == name
    assert {key: spec[key] for key in settings} == settings
    assert spec["libraries"][0]["file"]["path"].endswith(f"{name}.py")
    user = client.current_user.me().user_name
    assert shown.creator_user_name == user and shown.run_as_user_name == user
    assert shown.effective_publishing_mode.value == "DEFAULT_PUBLISHING_MODE"
    assert shown.state.value == "IDLE" and not shown.latest_updates

    spec["configuration"] = {"a.b": "d"}
    before = shown.last_modified
    client.api_client.do("PUT", f"/api/2.0/pipelines/{pipeline}", body=spec)
    again = client.pipelines.get(pipeline)
    assert again.spec.as_dict() == spec  # a second plan finds nothing to change
    assert again.last_modified > before
    client.pipelines.update(pipeline, name=f"{name} renamed", libraries=shown.spec.libraries,
                            catalog=target.catalog, schema=target.schema, serverless=True,
                            expected_last_modified=again.last_modified)  # fmt: skip
    assert client.pipelines.get(pipeline).name == f"{name} renamed"
    with pytest.raises(ResourceConflict):
        client.pipelines.update(pipeline, name=name, libraries=shown.spec.libraries,
                                catalog=target.catalog, schema=target.schema, serverless=True,
                                expected_last_modified=before)  # fmt: skip


def test_pipelines_are_listed_by_name(client, make):
    first, name = make()
    second, _ = make(name=f"{name} two")
    found = client.pipelines.list_pipelines(filter=f"name LIKE '{name}%'", max_results=1)
    assert {one.pipeline_id: one.name for one in found} == {first: name, second: f"{name} two"}
    ordered = client.pipelines.list_pipelines(filter=f"name LIKE '%{name}%'",
                                              order_by=["name desc"])  # fmt: skip
    assert [one.pipeline_id for one in ordered] == [second, first]
    assert not list(client.pipelines.list_pipelines(filter="name LIKE 'no such name'"))
    with pytest.raises(BadRequest):
        list(client.pipelines.list_pipelines(filter="colour = 'red'"))


def test_a_name_is_taken_once_unless_asked_otherwise(client, make):
    first, name = make()
    with pytest.raises(ResourceConflict):
        make(name=name)
    second, _ = make(name=name, allow_duplicate_names=True)
    assert first != second


def test_updates_are_listed_newest_first(client, target, make):
    pipeline, name = make()
    first = complete_update(client, pipeline, MINUTES, validate_only=True)
    second = complete_update(client, pipeline, MINUTES, full_refresh=True)
    selected = table(target, f"{name}_total")
    third = complete_update(client, pipeline, MINUTES, refresh_selection=[selected])
    listed = client.pipelines.list_updates(pipeline)
    assert [update.update_id for update in listed.updates] == [third, second, first]
    page = client.pipelines.list_updates(pipeline, max_results=2)
    assert [update.update_id for update in page.updates] == [third, second]
    rest = client.pipelines.list_updates(pipeline, page_token=page.next_page_token)
    assert [update.update_id for update in rest.updates] == [first]
    until = client.pipelines.list_updates(pipeline, until_update_id=second)
    assert [update.update_id for update in until.updates] == [third, second]
    shown = client.pipelines.get_update(pipeline, third).update
    assert shown.refresh_selection == [selected] and shown.cause.value == "API_CALL"
    assert shown.config.as_dict()["id"] == pipeline and shown.creation_time > 0
    assert client.pipelines.get_update(pipeline, first).update.validate_only
    assert client.pipelines.get_update(pipeline, second).update.full_refresh
    latest = client.pipelines.get(pipeline).latest_updates
    assert [update.update_id for update in latest] == [third, second, first]


def test_events_by_level_order_and_page(client, make):
    broken = SOURCE.replace('where("n % 2 = 0")', 'select("no_such_column")')
    pipeline, name = make(broken)
    update = fail_update(client, pipeline, MINUTES)
    assert "no_such_column" in "".join(errors(client, pipeline, update).values())
    whole = events(client, pipeline, update)
    newest = list(client.pipelines.list_pipeline_events(pipeline, max_results=3))
    oldest = list(
        client.pipelines.list_pipeline_events(pipeline, order_by=["timestamp asc"], max_results=4)
    )
    assert [event.id for event in newest] == [event.id for event in reversed(oldest)]
    assert len(newest) >= len(whole) > 4
    failures = list(client.pipelines.list_pipeline_events(pipeline, filter="level='ERROR'"))
    assert failures and {event.level for event in failures} == {EventLevel.ERROR}
    assert all(event.error.exceptions[0].message for event in failures)
    assert any(event.origin.update_id == update for event in failures)
    several = client.pipelines.list_pipeline_events(
        pipeline,
        filter=f"level in ('ERROR', 'WARN') AND timestamp >= '{oldest[0].timestamp}'",
    )
    assert {event.id for event in several} >= {event.id for event in failures}
    one = list(client.pipelines.list_pipeline_events(pipeline, filter=f"id='{failures[0].id}'"))
    assert [event.id for event in one] == [failures[0].id]
    after = "timestamp > '2999-01-01T00:00:00.000Z'"
    assert not list(client.pipelines.list_pipeline_events(pipeline, filter=after))
    with pytest.raises(BadRequest):
        list(client.pipelines.list_pipeline_events(pipeline, filter="level LIKE 'E%'"))
    kinds = {event["event_type"] for event in whole}
    assert {"create_update", "update_progress", "flow_progress"} <= kinds


def test_one_update_at_a_time_and_stop(client, make):
    wait = "    import time\n    time.sleep(60)\n"
    slow = SOURCE.replace("    return spark.range(10)", wait + "    return spark.range(10)")
    assert slow != SOURCE
    pipeline, _ = make(slow)
    update = client.pipelines.start_update(pipeline).update_id
    with pytest.raises(ResourceConflict):
        client.pipelines.start_update(pipeline)
    wait_update(client, pipeline, update, ("INITIALIZING",), MINUTES)
    assert client.pipelines.get(pipeline).state.value != "IDLE"
    stopped = client.pipelines.stop(pipeline).result()
    assert stopped.state.value == "IDLE"
    assert client.pipelines.get_update(pipeline, update).update.state.value == "CANCELED"
    client.pipelines.stop(pipeline)  # nothing is active: no error


def test_what_does_not_exist(client):
    nowhere = str(uuid.uuid4())
    for call in (
        lambda: client.pipelines.get(nowhere),
        lambda: client.pipelines.delete(nowhere),
        lambda: client.pipelines.start_update(nowhere),
        lambda: client.pipelines.list_updates(nowhere),
        lambda: client.pipelines.get_update(nowhere, nowhere),
        lambda: list(client.pipelines.list_pipeline_events(nowhere)),
        lambda: client.pipelines.stop(nowhere),
    ):
        with pytest.raises(NotFound):
            call()


def test_a_deleted_pipeline_is_gone(client, target, make):
    pipeline, name = make()
    complete_update(client, pipeline, MINUTES)
    client.pipelines.delete(pipeline)
    with pytest.raises(NotFound):
        client.pipelines.get(pipeline)
    deadline = time.monotonic() + 60
    query = f"SELECT * FROM {table(target, name + '_even')}"
    while client.statement_execution.execute_statement(query, target.warehouse_id).result:
        assert time.monotonic() < deadline  # its tables go with it


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"libraries": [PipelineLibrary(notebook=NotebookLibrary(path="/Shared/n"))]}, "notebook"),
        ({"continuous": True}, "continuous"),
        ({"libraries": [PipelineLibrary(jar="dbfs:/x.jar")]}, "jar"),
    ],
)
def test_what_is_not_computed_is_refused_by_name(client, target, settings, name):
    if not target.embedded:
        pytest.skip("a real workspace computes this")
    given = {"libraries": [PipelineLibrary(file=FileLibrary(path="/Shared/x.py"))]} | settings
    with pytest.raises(NotComputed, match=name):
        client.pipelines.create(name=f"refused {name}", **given)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "x"},
        {"name": " ", "libraries": [{"file": {"path": "/Shared/x.py"}}]},
        {"name": "x", "libraries": {"file": {"path": "/Shared/x.py"}}},
        {"name": "x", "libraries": [{"file": {}}]},
        {"name": "x", "libraries": [{"file": {"path": "/Shared/x.py"}}], "configuration": {"a": 1}},
        {"name": "x", "libraries": [{"file": {"path": "/a.py"}}], "schema": "a", "target": "b"},
        {"name": "x", "libraries": [{"file": {"path": "/a.py"}}], "environment": "e"},
        {"name": "x\ud800", "libraries": [{"file": {"path": "/a.py"}}]},
    ],
)
def test_a_bad_definition_is_refused(client, target, body):
    if not target.embedded:
        pytest.skip("not every one of these is refused by the service when it is created")
    with pytest.raises(BadRequest):
        client.api_client.do("POST", "/api/2.0/pipelines", body=body)
