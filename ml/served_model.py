"""The MLflow model of nature of payment: what a serving endpoint loads and answers."""

from __future__ import annotations

import mlflow.pyfunc
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Object, Property

from .heads import HEADS, Heads

FINGERPRINT = "rules_fingerprint"
TRAINING_DATA = "training_data"


class NatureOfPaymentModel(mlflow.pyfunc.PythonModel):
    """vendor, description -> a label and confidence for each head; value None below the floor."""

    def __init__(self, heads: Heads, rules_fingerprint: str, training_data: str) -> None:
        self.heads = heads
        self.rules_fingerprint = rules_fingerprint
        self.training_data = training_data

    def predict(self, context, model_input, params=None):
        """One dict for each row of a DataFrame with vendor and, if there is one, description.

        {"nature_of_payment": {"value", "confidence"}, "expense_category": {...},
        "rules_fingerprint", "training_data"}; confidence 0..1.
        """
        vendors = _texts(model_input, "vendor")
        answers = self.heads.answers(vendors, _texts(model_input, "description"))
        return [
            {
                **{
                    name: {
                        "value": answers[name][i].value,
                        "confidence": round(answers[name][i].confidence, 6),
                    }
                    for name in HEADS
                },
                FINGERPRINT: self.rules_fingerprint,
                TRAINING_DATA: self.training_data,
            }
            for i in range(len(vendors))
        ]


def _texts(frame: pd.DataFrame, column: str) -> list[str | None]:
    if column not in frame.columns:
        return [None] * len(frame)
    return [None if value is None or value != value else str(value) for value in frame[column]]


def signature() -> ModelSignature:
    """Inputs and outputs; the Unity Catalog registry takes no model without both."""
    answer = Object(
        [
            Property("value", DataType.string, required=False),
            Property("confidence", DataType.double),
        ]
    )
    inputs = Schema(
        [
            ColSpec(DataType.string, "vendor"),
            ColSpec(DataType.string, "description", required=False),
        ]
    )
    outputs = Schema(
        [
            *(ColSpec(answer, name) for name in HEADS),
            ColSpec(DataType.string, FINGERPRINT),
            ColSpec(DataType.string, TRAINING_DATA),
        ]
    )
    return ModelSignature(inputs=inputs, outputs=outputs)
