"""What a refresh makes of each fault of a workspace: what is said, kept, and done next."""

import json
import socket
import sys

from odoo import fields
from odoo.tests import tagged

from .common import needs_workspace
from .fault_proxy import FaultProxy
from .test_lakehouse_refresh import RefreshCase

STATEMENTS = "/api/2.0/sql/statements"
JSON = [("Content-Type", "application/json")]


def refused(status, code, **headers):
    body = json.dumps({"error_code": code, "message": f"planned {status}"}).encode()
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]

    def spoil(handler, *_answer):
        handler.give(status, JSON + named, body)

    return spoil


def hangs(proxy):
    def spoil(handler, *_answer):
        proxy.released.wait(30)

    return spoil


def no_json(handler, *_answer):
    handler.give(200, [("Content-Type", "text/html")], b"<html>Sign in to the proxy</html>")


def half(handler, status, headers, body):
    """The announced length, half of the bytes, and the end of the connection."""
    handler.give(status, headers, body[: len(body) // 2], length=len(body))
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)


@tagged("post_install", "-at_install")
@needs_workspace
class TestFaultMatrix(RefreshCase):
    """Each fault: the rows of before stay as they were, one clear sentence, and later it works."""

    def setUp(self):
        super().setUp()
        self.view.action_refresh()
        self.assertEqual(self.view.state, "ok", self.view.last_error)
        self.before = self.Spend.search([]).ids
        self.proxy = self.enterContext(FaultProxy(self.workspace.host).running())
        # short, so that a time-out is one within seconds
        self.workspace.write(
            {"host": self.proxy.url, "connect_timeout": 1, "read_timeout": 10, "total_timeout": 11}
        )

    def matrix(self):
        """name: (path that is spoiled, how, words that the manager reads)"""
        call, link = STATEMENTS, "/_local/results"
        return {
            "401": (call, refused(401, "UNAUTHENTICATED"), "store a new one"),
            "403": (call, refused(403, "PERMISSION_DENIED"), "Ask a workspace administrator"),
            "404": (call, refused(404, "RESOURCE_DOES_NOT_EXIST"), "Planned 404"),
            "429, come back in an hour": (
                call,
                refused(429, "REQUEST_LIMIT_EXCEEDED", Retry_After="3600"),
                "Planned 429",
            ),
            "500": (call, refused(500, "INTERNAL_ERROR"), "Planned 500"),
            "503": (call, refused(503, "TEMPORARILY_UNAVAILABLE"), "Planned 503"),
            "no answer in time": (call, hangs(self.proxy), "time"),
            "not JSON": (call, no_json, "answer"),
            "half an answer": (call, half, "answer"),
            "killed while the rows come": (link, half, "try again"),
        }

    def test_each_fault(self):
        seen = []
        for name, (path, spoil, words) in self.matrix().items():
            with self.subTest(name):
                self.proxy.path, self.proxy.spoil = path, spoil
                answer = self.view.with_user(self.manager).action_refresh()["params"]
                seen.append((name, answer["message"]))
                self.assertKept(answer, words)
                self.mended()
        nobody = socket.socket()
        nobody.bind(("127.0.0.1", 0))
        with nobody, self.subTest("nothing listens"):
            self.workspace.host = f"http://127.0.0.1:{nobody.getsockname()[1]}"
            answer = self.view.with_user(self.manager).action_refresh()["params"]
            seen.append(("nothing listens", answer["message"]))
            self.assertKept(answer, "firewall")
            self.workspace.host = self.proxy.url
            self.mended()
        lines = [f"{name:28} | {message}" for name, message in seen]
        sys.stdout.write("\n".join(["", *lines, ""]))

    def assertKept(self, answer, words):
        self.assertEqual(answer["type"], "danger", answer["message"])
        self.assertIn(words, answer["message"])
        self.assertNotIn(self.workspace._secret(), answer["message"])
        self.assertNotIn("Traceback", answer["message"])
        run = self.view.last_run_id
        self.assertEqual((run.state, run.error), ("failed", self.view.last_error))
        self.assertEqual(self.Spend.search([]).ids, self.before)
        self.assertGreater(self.view.next_run, fields.Datetime.now())
        self.assertFalse(self.view.lease_until)

    def mended(self):
        """The workspace is well again: the next refresh needs nobody's hand but one try."""
        self.proxy.spoil = None
        self.env["databricks.circuit"]._forget(self.workspace)
        self.view.action_refresh()
        self.assertEqual(self.view.state, "ok", self.view.last_error)
        self.assertEqual(self.Spend.search([]).ids, self.before)
