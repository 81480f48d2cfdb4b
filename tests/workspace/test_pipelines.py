"""Pipelines on the embedded workspace: the graph, the tables, the events. Real runs only."""

from __future__ import annotations

import io
import threading

from databricks.sdk.service.pipelines import FileLibrary, PipelineLibrary
from deltalake import DeltaTable
from pipeline_runs import complete_update, errors, events, fail_update, finished, progress
from pipeline_samples import HEAD, put, rows

pytest_plugins = ("pipeline_fixtures",)

STREAM = """
@dp.table(name="raw")
def raw():
    return spark.readStream.schema("id BIGINT, vendor STRING").json("{folder}/in")
"""


def test_datasets_are_found_and_run_inputs_first(client, make):
    """All three ways to read, a view between tables, files in an order that does not help."""
    pipeline = make(
        """
@dp.materialized_view
def last():
    return spark.sql("SELECT sum(n) AS total FROM main.pipes.middle JOIN `other` USING (n)")
@dp.temporary_view
def view():
    return spark.table("pipes.first").where("n > 1")
""",
        """
@dp.materialized_view(name="pipes.middle")
def whatever():
    return spark.read.table("view").select("n")
@dp.materialized_view
def other():
    return spark.read.table("first")
@dp.table
def first():
    return spark.range(5).withColumnRenamed("id", "n")
""",
    )
    update = complete_update(client, pipeline)
    assert rows(client, "SELECT total FROM main.pipes.last") == [["9"]]
    flows = list(progress(client, pipeline, update).items())
    assert all(told == ["QUEUED", "STARTING", "RUNNING", "COMPLETED"] for _, told in flows)
    defined = {
        event["origin"]["dataset_name"]: event["details"]["flow_definition"]
        for event in events(client, pipeline, update, "flow_definition")
    }
    read = {name: {i["name"] for i in one["input_datasets"]} for name, one in defined.items()}
    assert read == {
        "main.pipes.last": {"main.pipes.middle", "main.pipes.other"},
        "view": {"main.pipes.first"},
        "main.pipes.middle": {"view"},
        "main.pipes.other": {"main.pipes.first"},
        "main.pipes.first": set(),
    }
    states = [
        event["details"]["update_progress"]["state"]
        for event in events(client, pipeline, update, "update_progress")
    ]
    assert states == ["CREATED", "WAITING_FOR_RESOURCES", "INITIALIZING", "SETTING_UP_TABLES",
                      "RUNNING", "COMPLETED"]  # fmt: skip


def test_names_in_any_case_and_texts_with_quotes(client, make):
    """Names are not minded by case; the engine alone would lose the quote of a doubled one."""
    source = """
@dp.materialized_view(name="Pipes.First")
@dp.expect("named", "name = 'o''neil'")
def one():
    return spark.sql("SELECT 'o''neil' AS name, \\"say \\"\\"hi\\"\\"\\" AS said")
@dp.temporary_view
def Clean():
    return spark.read.table("MAIN.pipes.FIRST")
@dp.materialized_view
def last():
    return spark.sql('''
        WITH picked AS (SELECT name FROM Clean), other (n) AS (SELECT name FROM picked)
        SELECT p.name, f.said, extract(YEAR FROM date'2026-01-02') AS year
        FROM picked AS p JOIN (Main.Pipes.first f CROSS JOIN other) ON p.name = f.name
    ''')
@dp.materialized_view
def measured():
    return spark.sql("SELECT count(*) >= 0 AS there FROM system.billing.list_prices")
"""
    pipeline = make(source)
    update = complete_update(client, pipeline)
    assert rows(client, "SELECT name, said, year FROM main.pipes.last") == [
        ["o'neil", 'say "hi"', "2026"]
    ]
    assert rows(client, "SELECT there FROM main.pipes.measured") == [["true"]]
    quality = finished(client, pipeline, update)["main.pipes.first"]["data_quality"]
    assert quality["expectations"][0]["passed_records"] == 1
    read = {
        event["origin"]["dataset_name"]: [
            one["name"] for one in event["details"]["flow_definition"]["input_datasets"]
        ]
        for event in events(client, pipeline, update, "flow_definition")
    }
    assert read["main.pipes.measured"] == ["system.billing.list_prices"]
    assert sorted(read["main.pipes.last"]) == ["clean", "main.pipes.first"]


def test_a_stream_of_files_reads_each_file_once(client, make, workspace):
    pipeline = make(STREAM.format(folder=make.folder))
    put(client, make.folder, "a.json", {"id": 1, "vendor": "A"}, {"id": 2, "vendor": "B"})
    put(client, make.folder, "_hidden.json", {"id": 99, "vendor": "Z"})
    first = complete_update(client, pipeline)
    assert finished(client, pipeline, first)["main.pipes.raw"] == {
        "status": "COMPLETED", "metrics": {"num_output_rows": 2},
    }  # fmt: skip
    table = workspace.data / "tables/main/pipes/raw"
    version = DeltaTable(str(table)).version()
    nothing = complete_update(client, pipeline)
    assert finished(client, pipeline, nothing)["main.pipes.raw"]["metrics"] == {
        "num_output_rows": 0
    }
    assert DeltaTable(str(table)).version() == version
    put(client, make.folder, "b.json", {"id": 3, "vendor": "A"})
    complete_update(client, pipeline)
    assert rows(client, "SELECT id FROM main.pipes.raw ORDER BY id") == [["1"], ["2"], ["3"]]
    update = complete_update(client, pipeline, full_refresh_selection=["pipes.raw"])
    assert finished(client, pipeline, update)["main.pipes.raw"]["metrics"] == {"num_output_rows": 3}
    assert rows(client, "SELECT count(*) FROM main.pipes.raw") == [["3"]]


def test_several_flows_append_to_one_table(client, make):
    """Each flow has its own memory of files, and one more flow reads all of them."""
    source = """
dp.create_streaming_table("joined")
@dp.append_flow(target="joined", name="evens")
def evens():
    return spark.read.table("raw").where("id % 2 = 0")
@dp.append_flow(target="joined", name="odds")
def odds():
    return spark.read.table("raw").where("id % 2 = 1")
@dp.temporary_view
def raw():
    return spark.readStream.schema("id BIGINT").json("{folder}/in")
"""
    pipeline = make(source.format(folder=make.folder))
    for turn in range(2):
        put(client, make.folder, f"{turn}.json", *({"id": turn * 10 + n} for n in range(5)))
        update = complete_update(client, pipeline)
    assert rows(client, "SELECT count(*), count(DISTINCT id) FROM main.pipes.joined") == [
        ["10", "10"]
    ]
    assert set(progress(client, pipeline, update)) == {"evens", "odds"}


def test_auto_loader_is_read_with_its_options(client, make):
    source = """
@dp.table
def loaded():
    reader = spark.readStream.format("cloudFiles").option("cloudFiles.format", "csv")
    reader = reader.option("cloudFiles.schemaLocation", "/Volumes/x").option("header", True)
    return reader.option("pathGlobFilter", "*.csv").schema("a INT, b STRING").load("{folder}/in")
"""
    pipeline = make(source.format(folder=make.folder))
    for name, text in (("deep/x.csv", "a,b\n1,x\n2,y\n"), ("note.txt", "no table")):
        client.files.upload(f"{make.folder}/in/{name}", io.BytesIO(text.encode()))
    complete_update(client, pipeline)
    assert rows(client, "SELECT a, b FROM main.pipes.loaded ORDER BY a") == [
        ["1", "x"], ["2", "y"],
    ]  # fmt: skip


def test_expectations_warn_drop_and_fail(client, make):
    source = """
@dp.temporary_view
@dp.expect_all({"small": "n < 3", "even": "n % 2 = 0"})
def numbers():
    return spark.range(5).selectExpr("id AS n", "nullif(id, 4) AS maybe")
@dp.materialized_view
@dp.expect_or_drop("known", "maybe IS NOT NULL")
@dp.expect("compared", "maybe >= 1")
def good():
    return spark.read.table("numbers")
@dp.materialized_view
def also():
    return spark.read.table("numbers")
@dp.materialized_view
@dp.expect_all_or_fail({"positive": "n > 0", "there": "n is not null"})
def strict():
    return spark.read.table("good")
@dp.materialized_view
def after():
    return spark.read.table("strict")
"""
    pipeline = make(source)
    update = fail_update(client, pipeline)
    done = finished(client, pipeline, update)
    quality = {
        (one["dataset"], one["name"]): (one["passed_records"], one["failed_records"])
        for flow in done.values()
        for one in flow.get("data_quality", {}).get("expectations", ())
    }
    # A condition that is null is missed; a view is counted once, whoever reads it.
    assert quality == {
        ("numbers", "small"): (3, 2), ("numbers", "even"): (3, 2),
        ("main.pipes.good", "known"): (4, 1), ("main.pipes.good", "compared"): (3, 2),
    }  # fmt: skip
    assert done["main.pipes.good"]["data_quality"]["dropped_records"] == 1
    assert done["main.pipes.good"]["metrics"] == {"num_output_rows": 4}
    assert done["main.pipes.strict"]["status"] == "FAILED"
    assert done["main.pipes.after"]["status"] == "SKIPPED"
    told = errors(client, pipeline, update)["main.pipes.strict"]
    assert "'positive' (1 rows)" in told and "there" not in told
    tables = rows(client, "SHOW TABLES IN main.pipes")
    assert "strict" not in str(tables) and "good" in str(tables)


def test_one_failure_ends_its_branch_only(client, make):
    source = """
@dp.materialized_view
def source():
    return spark.range(3)
@dp.materialized_view
def broken():
    return spark.read.table("source").selectExpr("cast(concat('x', id) AS int) AS x", "id")
@dp.temporary_view
def between():
    return spark.read.table("broken")
@dp.materialized_view
def below():
    return spark.read.table("between").select("id")
@dp.materialized_view
def beside():
    return spark.read.table("source")
"""
    pipeline = make(source)
    update = fail_update(client, pipeline)
    last = {name: one["status"] for name, one in finished(client, pipeline, update).items()}
    assert last == {
        "main.pipes.source": "COMPLETED", "main.pipes.broken": "FAILED",
        "main.pipes.below": "SKIPPED", "main.pipes.beside": "COMPLETED",
    }  # fmt: skip
    view = client.pipelines.get(pipeline)
    assert view.health.value == "UNHEALTHY" and "main.pipes.broken" in view.cause
    assert rows(client, "SELECT count(*) FROM main.pipes.beside") == [["3"]]


def test_a_selection_refreshes_only_its_tables(client, make):
    source = """
@dp.materialized_view
def one():
    return spark.range(1)
@dp.materialized_view
def two():
    return spark.read.table("one")
"""
    pipeline = make(source)
    missing = fail_update(client, pipeline, refresh_selection=["two"])
    assert "main.pipes.one has not been made" in errors(client, pipeline, missing)["main.pipes.two"]
    complete_update(client, pipeline)
    update = complete_update(client, pipeline, refresh_selection=["main.pipes.two"])
    assert progress(client, pipeline, update) == {
        "main.pipes.one": ["EXCLUDED"],
        "main.pipes.two": ["QUEUED", "STARTING", "RUNNING", "COMPLETED"],
    }
    wrong = fail_update(client, pipeline, refresh_selection=["three"])
    assert "three" in errors(client, pipeline, wrong)[""]


def test_deleting_a_pipeline_drops_its_tables_unless_told_otherwise(client, make):
    source = "@dp.materialized_view\ndef {}():\n    return spark.range(2)\n"
    for name, cascade in (("kept", False), ("dropped", True)):
        pipeline = make(source.format(name))
        complete_update(client, pipeline)
        client.pipelines.delete(pipeline, cascade=cascade)
    assert rows(client, "SELECT count(*) FROM main.pipes.kept") == [["2"]]
    gone = client.statement_execution.execute_statement("TABLE main.pipes.dropped", "local")
    assert "TABLE_OR_VIEW_NOT_FOUND" in gone.status.error.message
    rows(client, "DROP TABLE main.pipes.kept")


def test_a_change_of_columns(client, make):
    """A materialized view takes them at once, a streaming table with a full refresh."""
    source = STREAM + "@dp.materialized_view\ndef view():\n    return spark.read.table('raw')\n"
    pipeline = make(source.format(folder=make.folder))
    put(client, make.folder, "a.json", {"id": 1, "vendor": "A", "amount": 2})
    complete_update(client, pipeline)
    changed = HEAD + source.replace("vendor STRING", "amount INT").format(folder=make.folder)
    path = f"{make.folder}/src/0.py"
    client.files.upload(path, io.BytesIO(changed.encode()), overwrite=True)
    update = fail_update(client, pipeline)
    last = {name: one["status"] for name, one in finished(client, pipeline, update).items()}
    assert last == {"main.pipes.raw": "FAILED", "main.pipes.view": "SKIPPED"}
    assert "full refresh" in errors(client, pipeline, update)["main.pipes.raw"]
    assert rows(client, "SELECT vendor FROM main.pipes.raw") == [["A"]]
    update = complete_update(client, pipeline, full_refresh=True)
    assert rows(client, "SELECT id, amount FROM main.pipes.view") == [["1", "2"]]


def test_readers_never_see_an_empty_view(client, make, workspace):
    source = "@dp.materialized_view\ndef busy():\n    return spark.range({})\n"
    pipeline = make(source.format(50_000))
    complete_update(client, pipeline)
    seen, ended = set(), threading.Event()

    def look():
        reader = workspace.sdk()
        while not ended.is_set():
            seen.add(rows(reader, "SELECT count(*) FROM main.pipes.busy")[0][0])

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for size in (60_000, 70_000, 80_000):
            text = HEAD + source.format(size)
            path = f"{make.folder}/src/0.py"
            client.files.upload(path, io.BytesIO(text.encode()), overwrite=True)
            complete_update(client, pipeline)
    finally:
        ended.set()
        looking.join()
    assert {"50000", "60000", "70000"} <= seen <= {"50000", "60000", "70000", "80000"}


def test_configuration_root_path_and_settings_of_a_flow(client, make):
    source = """
import helper
ZONE = "spark.sql.session.timeZone"
@dp.materialized_view(spark_conf={ZONE: "Asia/Manila"})
def local():
    text = spark.conf.get("my.text", "none") + helper.WORD
    return spark.range(1).selectExpr(f"'{text}' AS text", "current_timezone() AS zone")
@dp.materialized_view
def plain():
    return spark.range(1).selectExpr("current_timezone() AS zone")
"""
    client.workspace.mkdirs("/Workspace/Shared/pipes")
    client.workspace.upload(
        "/Workspace/Shared/pipes/helper.py", io.BytesIO(b"WORD = ' and root'\n"),
        format=_auto(), overwrite=True,
    )  # fmt: skip
    client.workspace.upload(
        "/Workspace/Shared/pipes/defs.py", io.BytesIO((HEAD + source).encode()),
        format=_auto(), overwrite=True,
    )  # fmt: skip
    pipeline = make(
        libraries=[PipelineLibrary(file=FileLibrary(path="/Workspace/Shared/pipes/defs.py"))],
        configuration={"my.text": "configured"},
        root_path="/Workspace/Shared/pipes",
    )
    complete_update(client, pipeline)
    assert rows(client, "SELECT text, zone FROM main.pipes.local") == [
        ["configured and root", "Asia/Manila"]
    ]
    assert rows(client, "SELECT zone FROM main.pipes.plain") == [["UTC"]]


def _auto():
    from databricks.sdk.service.workspace import ImportFormat

    return ImportFormat.AUTO
