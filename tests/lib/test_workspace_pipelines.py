"""Updates of pipelines in a running embedded workspace."""

import datetime
import io
import time
import uuid

import pytest
from lib import errors, pipelines

SECONDS = 120
SOURCE = """
from pyspark import pipelines as dp
from pyspark.sql import SparkSession
spark = SparkSession.active()


@dp.materialized_view(name="{name}_numbers")
def numbers():
    {before}
    return spark.range(10)


@dp.materialized_view(name="{name}_total")
def total():
    return spark.read.table("{name}_numbers").groupBy().sum("{column}")
"""


@pytest.fixture(scope="module")
def client(workspace):
    return workspace.connect()


@pytest.fixture
def make(client):
    """make(...) -> (name, pipeline id); gone after the test."""
    from databricks.sdk.service.pipelines import FileLibrary, PipelineLibrary
    from databricks.sdk.service.workspace import ImportFormat

    made = []

    def pipeline(column="id", before="pass"):
        name = f"p{uuid.uuid4().hex[:8]}"
        folder = f"/Users/{client.current_user.me().user_name}/{name}"
        client.workspace.mkdirs(folder)
        text = SOURCE.format(name=name, column=column, before=before)
        path = f"{folder}/tables.py"
        client.workspace.upload(path, io.BytesIO(text.encode()), format=ImportFormat.AUTO)
        library = PipelineLibrary(file=FileLibrary(path=path))
        made.append(
            client.pipelines.create(
                name=name, catalog="main", schema="gold", serverless=True, libraries=[library]
            ).pipeline_id
        )
        return name, made[-1]

    yield pipeline
    for pipeline_id in made:
        client.pipelines.delete(pipeline_id)


def now():
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def start(client, pipeline_id, **options):
    options = {"since": now(), "known": (), "first": True, **options}
    return pipelines.start_update(client, pipeline_id, **options)


def wait_for_end(client, pipeline_id, update_id):
    deadline = time.monotonic() + SECONDS
    while True:
        run = pipelines.get_update(client, pipeline_id, update_id)
        if run.is_terminal:
            return run
        assert time.monotonic() < deadline, run
        time.sleep(0.3)


def test_an_update_is_a_run_and_its_tables_are_tasks(client, make):
    name, pipeline_id = make()
    listed = pipelines.list_pipelines(client, 100)
    assert pipelines.Pipeline(pipeline_id, name) in listed
    run = wait_for_end(client, pipeline_id, start(client, pipeline_id))
    assert run.is_success, run
    assert run.page_url.endswith(f"/pipelines/{pipeline_id}/updates/{run.run_id}")
    assert run.started <= run.ended
    tables = {task.key.rpartition(".")[2]: task for task in run.tasks}
    assert set(tables) == {f"{name}_numbers", f"{name}_total"}
    assert all(task.result == "SUCCESS" and task.is_terminal for task in tables.values())
    assert all(task.started <= task.ended for task in tables.values())


def test_a_failure_is_told_by_its_table(client, make):
    name, pipeline_id = make(column="no_such_column")
    run = wait_for_end(client, pipeline_id, start(client, pipeline_id))
    assert run.is_terminal and run.result == "FAILED" and not run.is_success
    found = pipelines.failures(client, pipeline_id, run.run_id)
    assert any(output.task_key.endswith(f"{name}_total") for output in found)
    assert all("no_such_column" in output.error for output in found)


def test_who_lost_the_answer_finds_the_update(client, make):
    _, pipeline_id = make(before="import time; time.sleep(300)")
    since = now()
    update_id = start(client, pipeline_id, since=since)
    # sent again: the active one is taken, nothing is started
    assert start(client, pipeline_id, since=since, first=False) == update_id
    # also where the repetition is one of the SDK's own, which the caller does not see
    assert start(client, pipeline_id, since=since) == update_id
    pipelines.stop(client, pipeline_id, "another")
    assert not pipelines.get_update(client, pipeline_id, update_id).is_terminal
    # one that belongs to another run, or began long before, is not taken
    for options in ({"known": (update_id,)}, {"since": since + datetime.timedelta(hours=1)}):
        with pytest.raises(errors.Conflict) as caught:
            start(client, pipeline_id, **{"since": since, **options})
        assert caught.value.retryable and caught.value.kind == "pipeline_busy"
    pipelines.stop(client, pipeline_id, update_id)
    assert wait_for_end(client, pipeline_id, update_id).result == "CANCELED"
    # also one that has ended meanwhile is found
    assert start(client, pipeline_id, since=since, first=False) == update_id
    assert len(client.pipelines.list_updates(pipeline_id).updates) == 1


def test_what_does_not_exist(client):
    with pytest.raises(errors.NotFound):
        start(client, str(uuid.uuid4()))
