"""A real model, registered by a job and served by the embedded workspace, scored from here."""

import textwrap
import time

import pytest
from lib import errors, jobs, serving
from lib.client import Timeouts

ENDPOINT = "lib-test-nature"
MODEL = "main.ml.lib_test_nature"
SECONDS = 180
RECORDS = [
    {"vendor": "Mayon Realty Inc.", "description": "office rent, August"},
    {"vendor": "Peña ñ", "description": "bond paper"},
]
TRAIN = """
    import mlflow

    class Nature(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            if (model_input["description"] == "slow").any():
                import time
                time.sleep(3)
            return [
                {"nature_of_payment": {"value": "rent" if "rent" in text else None,
                                       "confidence": 0.9 if "rent" in text else 0.2}}
                for text in model_input["description"]
            ]

    columns = [mlflow.types.ColSpec("string", "vendor"),
               mlflow.types.ColSpec("string", "description")]
    signature = mlflow.models.ModelSignature(inputs=mlflow.types.Schema(columns))
    mlflow.pyfunc.log_model(name="m", python_model=Nature(), signature=signature,
                            pip_requirements=[], registered_model_name="MODEL")
"""


def wait_until(condition, what):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


@pytest.fixture(scope="module")
def client(workspace):
    return workspace.connect(timeouts=Timeouts(read=30, total=30, longest_pause=0.3))


@pytest.fixture(scope="module")
def endpoint(client, tmp_path_factory):
    from databricks.sdk.service import jobs as jobs_api
    from databricks.sdk.service import serving as api

    path = tmp_path_factory.mktemp("train") / "train.py"
    path.write_text(textwrap.dedent(TRAIN).replace("MODEL", MODEL))
    task = jobs_api.Task(
        task_key="train", spark_python_task=jobs_api.SparkPythonTask(python_file=str(path))
    )
    job_id = client.jobs.create(name="lib-test-train", tasks=[task]).job_id
    run_id = jobs.run_now(client, job_id, jobs.idempotency_token("train", job_id))
    wait_until(lambda: jobs.get_run(client, run_id).is_terminal, "training")
    run = jobs.get_run(client, run_id)
    assert run.is_success, jobs.failures(client, run)
    entity = api.ServedEntityInput(
        name="lib_test_nature-1",
        entity_name=MODEL,
        entity_version="1",
        workload_size="Small",
        scale_to_zero_enabled=True,
    )
    client.serving_endpoints.create(
        name=ENDPOINT,
        config=api.EndpointCoreConfigInput(name=ENDPOINT, served_entities=[entity]),
    )

    def ready():
        return client.serving_endpoints.get(ENDPOINT).state.ready == api.EndpointStateReady.READY

    wait_until(ready, "endpoint")
    yield ENDPOINT
    client.serving_endpoints.delete(ENDPOINT)


def test_scores_name_their_model(client, endpoint):
    scores = serving.score(client, endpoint, RECORDS)
    values = [prediction["nature_of_payment"]["value"] for prediction in scores.predictions]
    assert values == ["rent", None]
    assert (scores.endpoint, scores.served_entity) == (ENDPOINT, "lib_test_nature-1")
    assert (scores.model_name, scores.model_version) == (MODEL, "1")


def test_missing_column(client, endpoint):
    with pytest.raises(errors.InvalidRequest) as caught:
        serving.score(client, endpoint, [{"vendor": "x"}])
    assert "description" in str(caught.value)


def test_slow_model(client, endpoint):
    started = time.monotonic()
    with pytest.raises(errors.TimedOut):
        serving.score(client, endpoint, [RECORDS[0] | {"description": "slow"}], timeout=1)
    assert time.monotonic() - started < 2.5
    assert serving.score(client, endpoint, RECORDS, timeout=20).predictions


@pytest.mark.parametrize("status", [429, 503])
def test_busy_then_good(workspace, client, endpoint, status):
    path = f"/serving-endpoints/{ENDPOINT}/invocations"
    workspace.local("/_local/faults", path=path, status=status, retry_after=0)
    assert serving.score(client, endpoint, RECORDS).model_version == "1"


def test_long_retry_after_is_cut_short(workspace, client, endpoint):
    path = f"/serving-endpoints/{ENDPOINT}/invocations"
    workspace.local("/_local/faults", path=path, status=503, retry_after=600)
    started = time.monotonic()
    assert serving.score(client, endpoint, RECORDS, timeout=5).predictions
    assert time.monotonic() - started < 5


def test_unknown_endpoint(client):
    with pytest.raises(errors.EndpointNotFound) as caught:
        serving.score(client, "lib-test-none", RECORDS)
    assert "deploy" in caught.value.hint
