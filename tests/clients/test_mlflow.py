"""An unmodified MLflow client: tracking, artifacts and registries, by each address it may be given.

Each session is a process of its own, configured by its environment alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from databricks.sdk.service.serving import EndpointCoreConfigInput, ServedEntityInput

SESSION = Path(__file__).with_name("mlflow_session.py")
# What a client is told, and what artifact addresses look like to it.
ADDRESSES = {
    "http": ("http", None, "mlflow-artifacts:/"),
    "workspace": ("databricks", "databricks", "dbfs:/databricks/mlflow-tracking/"),
    "unity": ("databricks", "databricks-uc", "dbfs:/databricks/mlflow-tracking/"),
}


def environment(target, kind: str) -> dict[str, str]:
    """The variables that a user sets to work with a workspace."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DATABRICKS_"))}
    tracking, registry, _ = ADDRESSES[kind]
    kept |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
    if tracking == "http":
        return kept | {
            "MLFLOW_TRACKING_URI": target.host,
            "MLFLOW_TRACKING_TOKEN": target.token,
        }
    return kept | {
        "MLFLOW_TRACKING_URI": tracking,
        "MLFLOW_REGISTRY_URI": registry,
        "DATABRICKS_HOST": target.host,
        "DATABRICKS_TOKEN": target.token,
        "DATABRICKS_CONFIG_FILE": os.devnull,
    }


def session(values: dict[str, str], *arguments: str) -> dict:
    done = subprocess.run(
        [sys.executable, str(SESSION), *arguments],
        env=values,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def fresh_name(target, kind: str) -> str:
    short = f"twice_{uuid.uuid4().hex[:8]}"
    return short if kind == "workspace" else f"{target.catalog}.{target.schema}.{short}"


def experiment_of(target) -> str:
    return f"/Users/{target.sdk().current_user.me().user_name}/client-suite-{uuid.uuid4().hex[:8]}"


@pytest.mark.parametrize("kind", list(ADDRESSES))
def test_log_register_load(target, kind):
    if kind == "http" and not target.embedded:
        pytest.skip("a plain http address is what the embedded workspace offers beside databricks")
    name = fresh_name(target, kind)
    told = session(environment(target, kind), name, experiment_of(target))
    made, read = told["made"], told["read"]
    if target.embedded:
        assert made["artifact_uri"].startswith(ADDRESSES[kind][2])
    assert read["status"] == "FINISHED"
    assert read["params"] == {"floor": "0.5", "rows": "2", "seed": "0"}
    assert read["metrics"] == {"loss": 0.25, "accuracy": 0.75}
    assert read["tags"] == {"training_data": "generated", "a": "1", "b": "2"}
    assert read["history"] == [[1, 0.5], [2, 0.25]]
    assert read["found"] == [made["run_id"]]
    assert read["files"] == ["notes/hello.txt"]
    assert read["text"] == "één"
    assert read["logged_model"] == "twice"
    assert (read["version_run"], read["version_status"]) == (made["run_id"], "READY")
    assert read["versions"] == [made["version"]] == ["1"]
    assert read["model"] == name and read["listed"]
    assert told["described"] == {
        "model_tags": {"owner": "finance"}, "version_tags": {"checked": "yes"},
        "experiment_found": True, "description": "doubles", "version_description": "the first",
    }  # fmt: skip
    if kind == "workspace":
        assert told["alias"] == {"refused": True}
    else:
        assert told["alias"] == {
            "aliases": {"champion": "1"}, "of_version": ["champion"], "version": "1",
        }  # fmt: skip
    assert told["predictions"] == [42.0, -3.0]
    assert told["latest"] == (None if kind == "unity" else [42.0, -3.0])
    assert told["deleted"] == {"left": [], "error_code": "RESOURCE_DOES_NOT_EXIST"}


def test_a_model_logged_from_afar_is_served(target):
    """Log through REST, serve, ask: the serving side finds files that a client sent over HTTP."""
    if not target.embedded:
        pytest.skip("a real endpoint takes a quarter of an hour to start")
    name = fresh_name(target, "http")
    values = environment(target, "http") | {"KEEP": "1"}
    version = session(values, name, experiment_of(target))["made"]["version"]
    client = target.sdk()
    endpoint = f"twice-{uuid.uuid4().hex[:8]}"
    entity = ServedEntityInput(
        name="twice", entity_name=name, entity_version=version, workload_size="Small",
        scale_to_zero_enabled=False,
    )  # fmt: skip
    client.serving_endpoints.create_and_wait(
        endpoint, config=EndpointCoreConfigInput(name=endpoint, served_entities=[entity])
    )
    try:
        answer = client.serving_endpoints.query(endpoint, dataframe_records=[{"x": 21.0}])
        assert answer.predictions == [42.0]
    finally:
        client.serving_endpoints.delete(endpoint)
        client.registered_models.delete(name)


def test_a_wrong_token_is_told_so(target):
    values = environment(target, "http") | {"MLFLOW_TRACKING_TOKEN": "dapi" + "0" * 32}
    if not target.embedded:
        pytest.skip("a plain http address is what the embedded workspace offers beside databricks")
    done = subprocess.run(
        [sys.executable, str(SESSION), "m", "/Shared/x"],
        env=values, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Credential was not sent or is not valid" in done.stderr
