"""The model of the benchmark serving: registered, or asked in process as the reference.

``python -m benchmarks.serving_model register|predict``; a JSON order comes from standard input.
"""

from __future__ import annotations

import json
import sys
import time

import mlflow
import numpy as np
import pandas as pd

COLUMNS = [f"feature_{number}" for number in range(8)]


def register(order: dict) -> None:
    """A logistic regression over eight numbers, in the registry of a workspace."""
    from mlflow.models import infer_signature
    from sklearn.linear_model import LogisticRegression

    draw = np.random.default_rng(7)
    frame = pd.DataFrame(draw.normal(size=(500, len(COLUMNS))), columns=COLUMNS)
    model = LogisticRegression().fit(frame, frame.sum(axis=1) > 0)
    experiment = mlflow.create_experiment("benchmark", artifact_location=order["artifacts"])
    with mlflow.start_run(experiment_id=experiment):
        mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name=order["name"],
            signature=infer_signature(frame, model.predict(frame)),
            serialization_format="cloudpickle",
        )


def predict(order: dict) -> dict:
    """Milliseconds of each of ``count`` predictions of one row, and what was predicted."""
    model = mlflow.pyfunc.load_model(f"models:/{order['name']}/1")
    record = order["record"]
    for _ in range(20):
        prediction = model.predict(pd.DataFrame([record]))
    times = []
    for _ in range(order["count"]):
        began = time.perf_counter()
        model.predict(pd.DataFrame([record]))
        times.append((time.perf_counter() - began) * 1000)
    return {"times": times, "prediction": prediction.tolist()}


if __name__ == "__main__":
    order = json.load(sys.stdin)
    mlflow.set_tracking_uri(order["tracking"])
    print(json.dumps({"register": register, "predict": predict}[sys.argv[1]](order)))
