from typing import NamedTuple

from odoo import _, models

from ..lib import bir_rules


class Said(NamedTuple):
    """What the model says of one field: None as value means that it does not say."""

    value: str | None
    confidence: float
    reason: str


class ModelAnswer(NamedTuple):
    """Answer for the lines of one bill; without the model only `banner` and the reason are set."""

    values: dict = {}
    banner: str | bool = False
    missing_reason: str | bool = False
    endpoint: str | bool = False
    served_entity: str | bool = False
    model_name: str | bool = False
    model_version: str | bool = False
    request_id: str | bool = False
    rules_fingerprint: str | bool = False
    training_data: str | bool = False

    def record_values(self):
        """What a prediction keeps of the call: for all of them, and for those of the model."""
        return {
            "all": {"rules_fingerprint": bir_rules.fingerprint(), "request_id": self.request_id},
            "model": {
                "endpoint": self.endpoint,
                "served_entity": self.served_entity,
                "model_name": self.model_name,
                "model_version": self.model_version,
                "model_rules_fingerprint": self.rules_fingerprint,
                "training_data": self.training_data,
            },
        }


class BirPredictor(models.AbstractModel):
    """Asks the served model for the lines of a bill, and turns every fault into a banner."""

    _name = "bir.predictor"
    _description = "BIR predictions of the served model"

    def _predict(self, lines):
        return ModelAnswer(
            banner=_(
                "No workspace is connected, so the model was not asked. What the rules and the "
                "books say is shown; you can decide on every field by hand."
            ),
            missing_reason=_("the model was not asked"),
        )
