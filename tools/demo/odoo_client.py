"""JSON-RPC to a running Odoo: the demo acts as a user would, over HTTP."""

from __future__ import annotations

import itertools
import json
import urllib.request
from typing import Any

from tools.steps import StepFailed

TIMEOUT_SECONDS = 300


class OdooClient:
    """`call("res.partner", "search_count", [[]])` as one user of one database."""

    def __init__(self, url: str, database: str, login: str, password: str) -> None:
        self.url = url
        self.database = database
        self.password = password
        self._ids = itertools.count(1)
        self.uid = self._send("common", "login", database, login, password)
        if not self.uid:
            raise StepFailed(f"Odoo refuses the login '{login}' for database '{database}'")

    def call(self, model: str, method: str, args: list, **kwargs: Any) -> Any:
        user = (self.database, self.uid, self.password)
        return self._send("object", "execute_kw", *user, model, method, args, kwargs)

    def count(self, model: str, domain: list) -> int:
        """Number of records that meet the domain, over all companies of the user."""
        companies = self.call("res.company", "search", [[]])
        context = {"allowed_company_ids": companies}
        return self.call(model, "search_count", [domain], context=context)

    def record(self, xmlid: str) -> int:
        """Database id of an external id."""
        module, name = xmlid.split(".")
        domain = [("module", "=", module), ("name", "=", name)]
        return self.call("ir.model.data", "search_read", [domain], fields=["res_id"])[0]["res_id"]

    def _send(self, service: str, method: str, *args: Any) -> Any:
        body = {
            "jsonrpc": "2.0",
            "method": "call",
            "id": next(self._ids),
            "params": {"service": service, "method": method, "args": args},
        }
        request = urllib.request.Request(
            f"{self.url}/jsonrpc",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            result = json.load(answer)
        if "error" in result:
            data = result["error"].get("data", {})
            raise StepFailed(f"Odoo answers: {data.get('message') or result['error']['message']}")
        return result.get("result")
