"""One session of an unmodified MLflow client: ``python mlflow_session.py NAME EXPERIMENT``.

Configured by the environment alone, as a user does it. Prints one JSON object: what was written
and read back. With KEEP=1 the model stays, else all of it is deleted again.
"""

from __future__ import annotations

import json
import os
import sys

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature


class Twice(mlflow.pyfunc.PythonModel):
    """A model that needs nothing but pandas."""

    def predict(self, context, model_input, params=None):
        return (model_input["x"] * 2).tolist()


def write(name: str, experiment: str) -> dict:
    """An experiment, a run with everything that a training job logs, a registered version."""
    rows = pd.DataFrame({"x": [1.0, 2.5]})
    mlflow.set_experiment(experiment)
    with mlflow.start_run() as run:
        mlflow.log_param("floor", 0.5)
        mlflow.log_params({"rows": 2, "seed": 0})
        mlflow.log_metric("loss", 0.5, step=1)
        mlflow.log_metric("loss", 0.25, step=2)
        mlflow.log_metrics({"accuracy": 0.75})
        mlflow.set_tag("training_data", "generated")
        mlflow.set_tags({"a": "1", "b": "2"})
        mlflow.log_text("één", "notes/hello.txt")
        info = mlflow.pyfunc.log_model(
            name="twice",
            python_model=Twice(),
            signature=infer_signature(rows, [2.0, 5.0]),
            pip_requirements=[],
            registered_model_name=name,
        )
    return {
        "run_id": run.info.run_id,
        "artifact_uri": run.info.artifact_uri,
        "version": str(info.registered_model_version),
        "model_id": info.model_id,
    }


def read(name: str, experiment: str, made: dict) -> dict:
    client = MlflowClient()
    run = client.get_run(made["run_id"])
    found = mlflow.search_runs(
        experiment_names=[experiment], filter_string="params.seed = '0'", output_format="list"
    )
    history = client.get_metric_history(made["run_id"], "loss")
    version = client.get_model_version(name, made["version"])
    return {
        "status": run.info.status,
        "params": run.data.params,
        "metrics": run.data.metrics,
        "tags": {key: run.data.tags[key] for key in ("training_data", "a", "b")},
        "history": [[point.step, point.value] for point in history],
        "found": [each.info.run_id for each in found],
        "files": [entry.path for entry in client.list_artifacts(made["run_id"], "notes")],
        "text": mlflow.artifacts.load_text(f"{made['artifact_uri']}/notes/hello.txt"),
        "logged_model": client.get_logged_model(made["model_id"]).name,
        "version_run": version.run_id,
        "version_status": version.status,
        "versions": [str(each.version) for each in client.search_model_versions(f"name='{name}'")],
        "model": client.get_registered_model(name).name,
        "listed": name in [each.name for each in client.search_registered_models(max_results=100)],
    }


def describe(name: str, made: dict) -> dict:
    client = MlflowClient()
    client.update_registered_model(name, description="doubles")
    client.update_model_version(name, made["version"], description="the first")
    client.set_registered_model_tag(name, "owner", "finance")
    client.set_model_version_tag(name, made["version"], "checked", "yes")
    version = client.get_model_version(name, made["version"])
    experiment_id = client.get_run(made["run_id"]).info.experiment_id
    client.set_experiment_tag(experiment_id, "suite", "clients")
    tagged = client.search_experiments(filter_string="tags.suite = 'clients'")
    return {
        "model_tags": client.get_registered_model(name).tags,
        "version_tags": version.tags,
        "experiment_found": experiment_id in [each.experiment_id for each in tagged],
        "description": client.get_registered_model(name).description,
        "version_description": version.description,
    }


def alias(name: str, made: dict) -> dict:
    """Aliases; the workspace's registry has none."""
    client = MlflowClient()
    try:
        client.set_registered_model_alias(name, "champion", made["version"])
    except MlflowException as error:
        return {"refused": "unsupported" in str(error)}
    by_alias = client.get_model_version_by_alias(name, "champion")
    client.set_registered_model_alias(name, "challenger", made["version"])
    client.delete_registered_model_alias(name, "challenger")
    return {
        "aliases": dict(client.get_registered_model(name).aliases),
        "of_version": list(by_alias.aliases),
        "version": str(by_alias.version),
    }


def predict(name: str, reference: str) -> list[float]:
    model = mlflow.pyfunc.load_model(f"models:/{name}{reference}")
    return model.predict(pd.DataFrame({"x": [21.0, -1.5]}))


def delete(name: str, experiment: str, made: dict) -> dict:
    client = MlflowClient()
    client.delete_model_version(name, made["version"])
    left = [each.version for each in client.search_model_versions(f"name='{name}'")]
    client.delete_registered_model(name)
    client.delete_run(made["run_id"])
    client.delete_experiment(client.get_experiment_by_name(experiment).experiment_id)
    try:
        client.get_registered_model(name)
    except MlflowException as error:
        return {"left": left, "error_code": error.error_code}
    return {"left": left, "error_code": None}


def main(name: str, experiment: str) -> None:
    made = write(name, experiment)
    told = {"made": made, "read": read(name, experiment, made)}
    told["described"] = describe(name, made)
    told["alias"] = alias(name, made)
    reference = "@champion" if "aliases" in told["alias"] else f"/{made['version']}"
    told["predictions"] = predict(name, reference)
    # Unity Catalog's registry knows no latest version, as it says itself.
    unity = os.environ.get("MLFLOW_REGISTRY_URI") == "databricks-uc"
    told["latest"] = None if unity else predict(name, "/latest")
    if os.environ.get("KEEP") != "1":
        told["deleted"] = delete(name, experiment, made)
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
