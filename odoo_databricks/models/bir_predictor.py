from contextlib import contextmanager
from typing import NamedTuple

from odoo import _, models

from ..lib import bir_rules
from ..lib.client import transport_of
from ..lib.errors import WorkspaceError
from ..lib.serving import score
from .bir_terms import MODEL_OUTPUTS, NATURES
from .databricks_tools import explain

# Seconds that a person waits for proposals, retries included.
PATIENCE = 15.0


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
        """ModelAnswer for bill lines of one company; asks once for all of them, never raises for
        what a workspace can do wrong. Writes nothing and holds no row lock."""
        company = lines.company_id
        workspace = self.env["databricks.workspace"]._for_company(company)
        if not workspace:
            return self._without_model(
                _("No workspace is connected to this company."),
                _("An administrator connects one under Settings, Lakehouse."),
            )
        asked = lines.filtered(lambda line: self._text(line))
        if not asked:
            return ModelAnswer(missing_reason=_("the line has no text to read"))
        records = [
            {
                "vendor": line.move_id.commercial_partner_id.name or "",
                "description": self._text(line),
            }
            for line in asked
        ]
        request_ids = []
        try:
            with workspace.client(lines.move_id) as client:
                with _request_ids(client, request_ids):
                    scores = score(client, company.bir_endpoint, records, timeout=PATIENCE)
        except WorkspaceError as error:
            return self._without_model(_("The model did not answer."), explain(error))
        return self._answer(asked, scores, request_ids[-1] if request_ids else False)

    @staticmethod
    def _text(line):
        return " ".join((line.name or line.product_id.display_name or "").split())

    def _without_model(self, what, remedy):
        return ModelAnswer(
            banner=_(
                "%(what)s %(remedy)s Below is what the rules and the books say; every field can be "
                "decided by hand.",
                what=what,
                remedy=remedy,
            ),
            missing_reason=_("the model was not asked or did not answer"),
        )

    def _answer(self, lines, scores, request_id):
        values = {}
        first = {}
        for line, prediction in zip(lines, scores.predictions):  # noqa: B905 (3.10 dialect)
            prediction = prediction if isinstance(prediction, dict) else {}
            first = first or prediction
            values[line.id] = {
                output: self._said(name, prediction.get(output))
                for name, output in MODEL_OUTPUTS.items()
            }
        return ModelAnswer(
            values=values,
            missing_reason=_("the line has no text to read"),
            endpoint=scores.endpoint,
            served_entity=scores.served_entity or False,
            model_name=scores.model_name or False,
            model_version=scores.model_version or False,
            request_id=request_id,
            rules_fingerprint=str(first.get("rules_fingerprint") or "") or False,
            training_data=str(first.get("training_data") or "") or False,
        )

    def _said(self, name, told):
        """One field of a prediction; whatever does not fit the contract counts as missing."""
        told = told if isinstance(told, dict) else {}
        value, confidence = told.get("value"), told.get("confidence")
        if value is None:
            return Said(None, 0.0, _("the model does not say"))
        number = isinstance(confidence, (int, float)) and not isinstance(confidence, bool)
        if not isinstance(value, str) or not number or not 0 <= confidence <= 1:
            return Said(None, 0.0, _("the model's answer for this field cannot be read"))
        if name == "bir_nature" and value not in dict(NATURES):
            return Said(None, 0.0, _("the model names a nature that is not known: %s", value))
        return Said(value, float(confidence), _("read from vendor and text of the line"))


@contextmanager
def _request_ids(client, found):
    """Collect the request ids that the workspace answers with, beside the call log's own row."""
    transport = transport_of(client)
    write = transport.on_call

    def note(call):
        if call.request_id and call.verb == "POST":
            found.append(call.request_id)
        if write:
            write(call)

    transport.on_call = note
    try:
        yield
    finally:
        transport.on_call = write
