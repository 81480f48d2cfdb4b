"""Training on generated Silver, the registry's aliases, and the model as a server loads it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from pysail.spark import SparkConnectServer
from workspace_process import child_environment, init_workspace, serve_workspace, stop_workspace

import bir_rules
from ml import registry, train
from ml.heads import (
    HEADS,
    TrainingDataError,
    fit_heads,
    held_out,
    held_out_figures,
    mean_accuracy,
    years_of,
)
from ml.vendor_text import vendor_key

pytest_plugins = ("jobs_fixtures",)

NAME = "main.ml.nature_of_payment"


@pytest.fixture(scope="module")
def lines(built) -> pd.DataFrame:
    return train.read_lines(built.lake)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory):
    """A tracking store and registry in SQLite, set for this module."""
    folder = tmp_path_factory.mktemp("mlflow")
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    uri = f"sqlite:///{folder}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    mlflow.create_experiment(train.EXPERIMENT, artifact_location=(folder / "artifacts").as_uri())
    yield uri
    mlflow.set_tracking_uri(before[0])
    mlflow.set_registry_uri(before[1])


@pytest.fixture(scope="module")
def first(store, lines) -> dict:
    return train.train(lines, NAME)


def test_rows_of_silver_have_a_label_and_a_fixed_order(built, lines):
    silver = pd.DataFrame(built.rows("silver.finance_lines"))
    labelled = silver[silver[list(HEADS)].notna().any(axis=1)]
    assert len(lines) == len(labelled) > 500
    assert len(lines) < len(silver)
    assert lines.vendor_name.tolist() == labelled.sort_values("line_key").vendor_name.tolist()


def test_the_first_version_is_champion_and_every_name_says_generated(first, lines):
    assert (first["version"], first["alias"], first["champion_before"]) == ("1", "champion", None)
    run = MlflowClient().get_run(first["run_id"])
    assert run.data.tags["training_data"] == "generated"
    assert run.data.tags["mlflow.note.content"] == "demo data, no accuracy claimed"
    assert run.data.metrics
    assert all(name.startswith("generated_data_") for name in run.data.metrics)
    assert run.data.params["rows"] == str(len(lines))
    assert run.data.params["rules_fingerprint"] == bir_rules.fingerprint()
    assert first["generated_data_accuracy"] > 0.5


def test_held_out_vendors_are_not_in_the_twin(first, lines):
    out = held_out(lines)
    vendors = {vendor_key(name) for name in lines.vendor_name[out]}
    assert 0.05 < out.mean() < 0.5
    assert not vendors & {vendor_key(name) for name in lines.vendor_name[~out]}
    twin = registry.twin_of(NAME, "1")
    assert not any(c.knows(sorted(vendors)).any() for c in twin.classifiers.values())
    assert mean_accuracy(held_out_figures(twin, lines[out])) == pytest.approx(
        first["generated_data_accuracy"], abs=1e-4
    )


def test_answers_have_the_contract_s_shape(first):
    model = mlflow.pyfunc.load_model(f"models:/{NAME}@champion")
    frame = pd.DataFrame(
        {
            "vendor": [
                "Kislap Realty Corp.",
                "zzqx",
                "",
                None,
                "A" * 100_000,
                "渋谷 \x00 \U0001f600",
            ],
            "description": ["office space rental for July", None, "", None, "B " * 100_000, "?"],
        }
    )
    answers = model.predict(frame)
    assert len(answers) == len(frame)
    for answer in answers:
        assert set(answer) == {*HEADS, "rules_fingerprint", "training_data"}
        assert answer["rules_fingerprint"] == bir_rules.fingerprint()
        assert answer["training_data"] == "generated"
        for head in HEADS:
            assert set(answer[head]) == {"value", "confidence"}
            assert 0.0 <= answer[head]["confidence"] <= 1.0
            assert (answer[head]["value"] is None) == (answer[head]["confidence"] < 0.5)
    assert answers[0]["nature_of_payment"]["value"] == "rent"
    for blank in answers[2:4]:
        assert blank["nature_of_payment"] == {"value": None, "confidence": 0.0}
    json.dumps(answers)


def test_natures_answered_are_natures_of_the_rules(first, lines):
    model = mlflow.pyfunc.load_model(f"models:/{NAME}@champion").unwrap_python_model()
    known = {nature.code for nature in bir_rules.natures()}
    assert set(model.heads.classifiers["nature_of_payment"].classes_) <= known


def test_a_missing_vendor_column_is_refused(first):
    model = mlflow.pyfunc.load_model(f"models:/{NAME}@champion")
    with pytest.raises(MlflowException, match="vendor"):
        model.predict(pd.DataFrame({"description": ["rent"]}))
    only_vendor = model.predict(pd.DataFrame({"vendor": ["Kislap Realty Corp."]}))
    assert only_vendor[0]["nature_of_payment"]["confidence"] > 0


def test_signature_has_strings_in_and_both_sides(first):
    signature = mlflow.models.get_model_info(f"models:/{NAME}@champion").signature
    assert {c.name: c.type.name for c in signature.inputs} == {
        "vendor": "string",
        "description": "string",
    }
    assert [c.name for c in signature.outputs] == [*HEADS, "rules_fingerprint", "training_data"]


def test_loads_without_the_checkout(store, first, tmp_path: Path):
    script = (
        "import sys, json, mlflow\n"
        "import pandas as pd\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        f"m = mlflow.pyfunc.load_model('models:/{NAME}@champion')\n"
        "rows = {'vendor': ['Kislap Realty Corp.'], 'description': ['upa sa opisina']}\n"
        "rows = pd.DataFrame(rows)\n"
        "import ml\n"
        "print(json.dumps([m.predict(rows), ml.__file__]))\n"
    )
    file = tmp_path / "load.py"
    file.write_text(script)
    environment = clean_environment()
    del environment["PYTHONPATH"]
    done = subprocess.run(
        [sys.executable, str(file), store],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    predictions, path = json.loads(done.stdout)
    assert predictions[0]["nature_of_payment"]["value"] == "rent"
    assert not Path(path).is_relative_to(Path(train.__file__).parents[1])


def test_the_same_rows_and_seed_give_the_same_model(first, lines):
    rows = lines.head(600)
    frame = lines.tail(100)
    vendors, about = frame.vendor_name.tolist(), frame.description.tolist()
    one, two = (fit_heads(rows, seed=3).answers(vendors, about) for _ in range(2))
    assert one == two


def test_a_worse_version_is_challenger_and_an_equal_one_champion(first, lines):
    # Labels shuffled within the rows: worse on held-out vendors by construction.
    worse = lines.copy()
    kept = ~held_out(worse)
    for head in HEADS:
        labels = worse.loc[kept, head].sample(frac=1, random_state=1)
        worse.loc[kept, head] = labels.to_numpy()
    report = train.train(worse, NAME)
    assert (report["version"], report["alias"]) == ("2", "challenger")
    assert registry.champion_version(NAME) == "1"
    again = train.train(lines, NAME)
    assert (again["version"], again["alias"], again["champion_before"]) == ("3", "champion", "1")
    assert "on the same held-out rows" in again["reason"]
    assert registry.champion_version(NAME) == "3"
    assert set(MlflowClient().get_registered_model(NAME).aliases) == {"champion"}


def test_a_champion_that_cannot_be_measured_stays(store, lines):
    name = "main.ml.other_model"

    class Foreign(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return ["rent"] * len(model_input)

    mlflow.set_experiment(train.EXPERIMENT)
    with mlflow.start_run():
        mlflow.pyfunc.log_model(name="m", python_model=Foreign(), registered_model_name=name)
    registry.set_alias(name, "1", registry.CHAMPION)
    report = train.train(lines.head(800), name)
    assert report["alias"] == "challenger"
    assert "cannot be measured" in report["reason"]


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows_are_refused_before_anything_is_logged(store, lines, rows):
    client = MlflowClient()
    before = len(client.search_registered_models())
    with pytest.raises(TrainingDataError):
        train.train(lines.head(rows), "main.ml.refused")
    assert len(client.search_registered_models()) == before


def test_dates_become_years():
    years = years_of(pd.Series([date(2025, 1, 1), date(2025, 7, 2), None]))
    assert years.tolist() == pytest.approx([2025.0, 2025.4973, 2025.0], abs=1e-3)


def clean_environment() -> dict[str, str]:
    """A child's environment without what a Spark session of this process left in ours."""
    return {k: v for k, v in child_environment().items() if not k.startswith("SPARK_")}


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    """Address of a Spark Connect server that children may use."""
    server = SparkConnectServer()
    server.start(background=True)
    host, port = server.listening_address
    yield f"sc://{host}:{port}"
    server.stop()


def task(entry: str, workspace, built, engine: str) -> dict:
    """Runs a task's entry point as a job would, in a child; returns its JSON line."""
    uri = f"sqlite:///{workspace.data}/mlflow.db"
    environment = clean_environment() | {
        "SPARK_REMOTE": engine,
        "LAKEHOUSE_TABLES_ROOT": str(built.lake.tables_root),
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_REGISTRY_URI": uri,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": (workspace.data / "mlartifacts").as_uri(),
        "DATABRICKS_HOST": workspace.host,
        "DATABRICKS_TOKEN": workspace.token,
    }
    done = subprocess.run(
        [sys.executable, "-m", entry],
        cwd=workspace.data, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_trained_and_deployed_on_a_workspace(built, engine, tmp_path_factory):
    data = tmp_path_factory.mktemp("ml-workspace")
    workspace = serve_workspace(data, init_workspace(data))
    try:
        trained = task("ml.train", workspace, built, engine)
        assert (trained["version"], trained["alias"]) == ("1", "champion")
        made = task("ml.deploy", workspace, built, engine)
        assert (made["change"], made["served_entity"]) == ("created", "nature_of_payment-1")
        again = task("ml.deploy", workspace, built, engine)
        assert again["change"] == "none"
        client = workspace.sdk()
        answer = client.serving_endpoints.query(
            "nature-of-payment",
            dataframe_records=[
                {"vendor": "Kislap Realty Corp.", "description": "office space rental"},
                {"vendor": None, "description": None},
            ],
        )
        assert answer.predictions[0]["nature_of_payment"]["value"] == "rent"
        assert answer.predictions[1]["nature_of_payment"]["value"] is None
        assert task("ml.train", workspace, built, engine)["alias"] == "champion"
        updated = task("ml.deploy", workspace, built, engine)
        assert (updated["change"], updated["version"]) == ("updated", "2")
        config = client.serving_endpoints.get("nature-of-payment").config
        assert [e.name for e in config.served_entities] == ["nature_of_payment-2"]
    finally:
        stop_workspace(workspace)
