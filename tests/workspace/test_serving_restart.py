"""Endpoints over a kill -9 of the workspace: what serves, what was on its way, what was kept."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys

import pytest
from databricks.sdk.service.serving import (
    AiGatewayConfig,
    AiGatewayInferenceTableConfig,
    EndpointCoreConfigInput,
)
from deltalake import DeltaTable
from serving_models import (
    ask,
    entity,
    give_models,
    http,
    model_processes,
    select,
    serve,
    until,
)
from workspace_process import (
    child_environment,
    init_workspace,
    serve_workspace,
    stop_workspace,
)

TABLE = "main.ml.moody_payload"
DELETE_VERSION = """
import sys, mlflow
mlflow.MlflowClient(sys.argv[1], sys.argv[1]).delete_model_version("main.ml.line", "2")
"""


class Workspace:
    """A workspace that is killed and started again over the same folder."""

    def __init__(self, data, credentials) -> None:
        self.data = data
        self._credentials = credentials
        self.start()

    def start(self) -> None:
        self.running = serve_workspace(self.data, self._credentials, options=("--faults",))
        self.client = self.running.sdk()
        self.web = http(self.running)

    def kill(self) -> None:
        self.web.close()
        self.running.process.send_signal(signal.SIGKILL)
        self.running.process.wait(20)
        self.running.process.stdout.close()

    def stop(self) -> None:
        self.web.close()
        stop_workspace(self.running)

    def state(self, name: str) -> tuple[str, str, str]:
        """(ready, config_update, message of the first entity)."""
        shown = self.client.serving_endpoints.get(name)
        message = shown.config.served_entities[0].state.deployment_state_message
        return shown.state.ready.value, shown.state.config_update.value, message


@pytest.fixture
def workspace(tmp_path, tmp_path_factory):
    data = tmp_path / "workspace"
    credentials = init_workspace(data)
    give_models(tmp_path_factory, data)
    workspace = Workspace(data, credentials)
    yield workspace
    workspace.stop()


def test_endpoints_come_back_by_themselves(workspace):
    serve(workspace.client, "moody", entity("moody"))
    serve(workspace.client, "sleepy", entity("line", "1", "a", scale_to_zero=True))
    serve(workspace.client, "gone", entity("line", "2"))
    serve(workspace.client, "gone-sleepy", entity("line", "2", scale_to_zero=True))
    before = workspace.client.serving_endpoints.get("moody")
    workspace.kill()
    subprocess.run(
        [sys.executable, "-c", DELETE_VERSION, f"sqlite:///{workspace.data}/mlflow.db"],
        env=child_environment() | {"MLFLOW_DISABLE_TELEMETRY": "true"}, check=True,
        capture_output=True, timeout=120,
    )  # fmt: skip
    workspace.start()

    # Nobody asked "moody" anything: its process is there again all the same.
    until(lambda: workspace.state("moody")[0] == "READY", "moody is ready")
    assert len(model_processes(workspace.running, "moody")) == 1
    assert ask(workspace.web, "moody", "calm").json() == {"predictions": ["CALM"]}
    after = workspace.client.serving_endpoints.get("moody")
    assert (after.id, after.config.config_version) == (before.id, before.config.config_version)

    # What may scale to zero has no process until it is asked.
    assert workspace.state("sleepy") == ("READY", "NOT_UPDATING", "Scaled to zero")
    assert model_processes(workspace.running, "line") == []
    answer = until(
        lambda: _good(workspace.web.post("/serving-endpoints/sleepy/invocations",
                                         json={"inputs": {"a": [1.0]}})),
        "sleepy wakes up",
    )  # fmt: skip
    assert round(answer["predictions"][0], 6) == 2.0

    for name in ("gone", "gone-sleepy"):
        reason = "Registered model 'main.ml.line' has no version 2."
        until(lambda name=name: workspace.state(name)[2] != "", "a state")
        assert workspace.state(name) == ("NOT_READY", "NOT_UPDATING", reason)
        refused = workspace.web.post(f"/serving-endpoints/{name}/invocations", json={"inputs": [1]})
        assert (refused.status_code, refused.json()["message"]) == (503, reason)
        assert int(refused.headers["retry-after"]) > 0


def _good(answer) -> dict | None:
    return answer.json() if answer.status_code == 200 else None


@pytest.mark.parametrize(
    ("model", "update", "name", "version"),
    [("slow", "NOT_UPDATING", "slow-1", 2), ("broken", "UPDATE_FAILED", "old", 1)],
)
def test_an_update_that_a_kill_interrupts_goes_on(workspace, model, update, name, version):
    serve(workspace.client, "turn", entity("moody", "1", "old"))
    workspace.client.serving_endpoints.update_config("turn", served_entities=[entity(model)])
    assert workspace.state("turn")[1] == "IN_PROGRESS"
    workspace.kill()
    workspace.start()
    shown = workspace.client.serving_endpoints.get("turn")
    assert shown.config.served_entities[0].name == "old"
    assert shown.pending_config.served_entities[0].name == f"{model}-1"
    # The old configuration answers while the new one is loaded, which takes the longer.
    first = until(lambda: _served(ask(workspace.web, "turn", "calm")), "an answer")
    assert first == "old"
    until(lambda: workspace.state("turn")[1] == update, "the update ends")
    assert _served(ask(workspace.web, "turn", "calm")) == name
    assert workspace.client.serving_endpoints.get("turn").config.config_version == version
    workspace.kill()
    workspace.start()
    assert workspace.state("turn")[1] == update
    until(lambda: _served(ask(workspace.web, "turn", "calm")) == name, "it serves again")


def _served(answer) -> str | None:
    return answer.headers["served-model-name"] if answer.status_code == 200 else None


def test_a_create_that_a_kill_interrupts_goes_on(workspace):
    workspace.client.serving_endpoints.create("young", config=_config("young", entity("moody")))
    workspace.kill()
    workspace.start()
    until(lambda: workspace.client.serving_endpoints.get("young").state.ready.value == "READY",
          "the endpoint is made")  # fmt: skip
    assert workspace.client.serving_endpoints.get("young").config.config_version == 1


def _config(name, *entities):
    return EndpointCoreConfigInput(name=name, served_entities=list(entities))


def test_every_answer_is_in_the_table_once(workspace):
    keep = AiGatewayInferenceTableConfig(catalog_name="main", schema_name="ml", enabled=True)
    gateway = AiGatewayConfig(inference_table_config=keep)
    serve(workspace.client, "moody", entity("moody"), ai_gateway=gateway)
    journal = workspace.data / "serving"
    # All in one second or so: some are still in the open journal when the kill comes.
    for number in range(40):
        answer = ask(workspace.web, "moody", "calm", client_request_id=f"n-{number}")
        assert answer.status_code == 200
    workspace.kill()
    left = {path.name: path.read_bytes() for path in journal.iterdir()}
    assert left, "nothing was left to take up: the test proves nothing"
    workspace.start()
    count = f"SELECT count(*), count(DISTINCT client_request_id) FROM {TABLE}"
    until(lambda: select(workspace.client, count) == [["40", "40"]], "all rows", 30)
    until(lambda: not list(journal.iterdir()), "the journal is empty", 30)

    # As after a kill between the commit and the removal of the batch.
    workspace.kill()
    last = DeltaTable(workspace.data / "tables/main/ml/moody_payload").transaction_version(
        "serving"
    )
    (journal / f"{last}.counted.jsonl").write_bytes(left["open.jsonl"])
    workspace.start()
    until(lambda: not list(journal.iterdir()), "the batch is gone", 30)
    assert select(workspace.client, count) == [["40", "40"]]

    # The invocations are paid for, too: about the time that the model worked.
    [[rows, hours]] = select(
        workspace.client,
        "SELECT count(*), sum(usage_quantity) FROM system.billing.usage"
        " WHERE usage_metadata.endpoint_name = 'moody' AND billing_origin_product ="
        " 'MODEL_SERVING'",
    )
    assert 1 <= int(rows) <= 40 and float(hours) > 0


def test_a_restored_store_that_is_older_than_the_table_loses_no_row(workspace, tmp_path):
    keep = AiGatewayInferenceTableConfig(catalog_name="main", schema_name="ml", enabled=True)
    gateway = AiGatewayConfig(inference_table_config=keep)
    serve(workspace.client, "moody", entity("moody"), ai_gateway=gateway)
    database = workspace.data / "workspace.db"
    with sqlite3.connect(database) as db, sqlite3.connect(tmp_path / "older.db") as older:
        db.backup(older)
    count = f"SELECT count(*) FROM {TABLE}"
    for number in (1, 2, 3):  # a statement that names the table makes a batch of each
        assert ask(workspace.web, "moody", "calm").status_code == 200
        assert select(workspace.client, count) == [[str(number)]]
    workspace.kill()
    for left in workspace.data.glob("workspace.db-*"):
        left.unlink()
    (tmp_path / "older.db").replace(database)
    workspace.start()
    until(lambda: _served(ask(workspace.web, "moody", "calm")), "the endpoint answers")
    assert select(workspace.client, count) == [["4"]]
