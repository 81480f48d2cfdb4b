"""Names of artifact places: one in the database, one for each kind of client.

MLflow's database names a place by its file (``file:///DATA/mlartifacts/1/RUN/artifacts``), so that
jobs and model processes on this machine need no server to read it. A client elsewhere cannot use
that name; it sees ``mlflow-artifacts:/1/RUN/artifacts``, which it asks this host for. A client that
was told ``databricks`` knows only ``dbfs:/databricks/mlflow-tracking/1/RUN/artifacts`` and reaches
it through the Files API, with ``logged_models`` where MLflow's own layout says ``models``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote

from ..errors import bad_request

PLAIN = "mlflow-artifacts:/"
DATABRICKS = "dbfs:/databricks/mlflow-tracking/"
# Places that are named by something else than a path; MLflow checks what they lead to.
_INDIRECT = ("runs:/", "models:/")
_LOCATIONS = ("artifact_location", "source")


class ArtifactNames:
    """Translates whole JSON texts: a name that a client writes into a tag comes back the same."""

    def __init__(self, root: Path) -> None:
        self._root = root.as_uri() + "/"
        self._databricks_in = re.compile(
            re.escape(DATABRICKS) + r"([^/\s\"'\\]+)(/logged_models(?=/))?"
        )
        self._databricks_out = re.compile(re.escape(self._root) + r"([^/\s\"'\\]+)(/models(?=/))?")

    def inward(self, text: str) -> str:
        """What a client calls a place, as the database calls it."""
        text = re.sub(PLAIN + "(?!/)", lambda _: self._root, text)
        return self._databricks_in.sub(
            lambda found: self._root + found[1] + ("/models" if found[2] else ""), text
        )

    def outward(self, text: str, databricks: bool) -> str:
        """What the database calls a place, as the client does."""
        if not databricks:
            return text.replace(self._root, PLAIN)
        return self._databricks_out.sub(
            lambda found: DATABRICKS + found[1] + ("/logged_models" if found[2] else ""), text
        )

    def admit(self, body: dict) -> None:
        """Raise ApiError 400 for a request whose artifacts would lie outside the workspace."""
        for key in _LOCATIONS:
            place = body.get(key)
            if not place or not isinstance(place, str) or place.startswith(_INDIRECT):
                continue
            plain = unquote(unquote(place))
            if not place.startswith(self._root) or ".." in re.split(r"[/\\]", plain):
                raise bad_request(
                    f"{key}: artifacts are kept by the workspace; leave it out, or name a place "
                    f"below {PLAIN}."
                )

    def request_body(self, text: str) -> dict:
        """A request's JSON object in the database's names. Raises ApiError 400 when it is none."""
        try:
            body = json.loads(self.inward(text)) if text.strip() else {}
        except ValueError as error:
            raise bad_request("The body is not JSON.") from error
        except RecursionError as error:
            raise bad_request("The body is nested too deeply.") from error
        if not isinstance(body, dict):
            raise bad_request("The body is not a JSON object.")
        self.admit(body)
        return body
