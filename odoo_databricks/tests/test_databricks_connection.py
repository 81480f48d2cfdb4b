import socket
import tempfile
import threading

from odoo.exceptions import AccessError
from odoo.tests import tagged

from ..lib import sql
from .common import LakehouseCase, needs_workspace

SECRET = "dapi0123456789abcdef"


@tagged("post_install", "-at_install")
class TestConnection(LakehouseCase):
    def _test(self, **values):
        workspace = self.make_workspace(**values)
        self.forget_calls(workspace)
        notification = workspace.action_test_connection()["params"]
        self.assertEqual(notification["message"], workspace.check_result)
        self.assertTrue(workspace.checked_at)
        self.assertEqual(workspace.check_state == "ok", notification["type"] == "success")
        return workspace

    def test_nothing_answers(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        result = self._test(host=f"http://127.0.0.1:{port}", token=SECRET).check_result
        self.assertIn("✗ Host: no connection to the workspace", result)
        self.assertIn("firewall", result)
        self.assertIn("– Identity: not tried", result)

    def test_time_out(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            host = f"http://127.0.0.1:{silent.getsockname()[1]}"
            result = self._test(host=host, token=SECRET, total_timeout=1).check_result
        self.assertIn("✗ Host: no answer within the time-out", result)

    def test_calls_go_through_the_proxy(self):
        lines = []

        def answer(listener):
            connection = listener.accept()[0]
            with connection:
                lines.append(connection.recv(4096).split(b"\r\n")[0])
                connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")

        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=answer, args=(listener,), daemon=True)
            thread.start()
            proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
            workspace = self._test(host="http://127.0.0.1:9", token=SECRET, proxy_url=proxy)
            thread.join(10)
        self.assertEqual(lines, [b"GET http://127.0.0.1:9/.well-known/databricks-config HTTP/1.1"])
        self.assertEqual(workspace.circuit_state, "doubtful")

    def test_a_ca_file_that_is_gone_is_named(self):
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            workspace = self.make_workspace(token=SECRET, ca_file=file.name)
        self.forget_calls(workspace)
        workspace.action_test_connection()
        self.assertIn(f"the CA file {file.name} is not on this server", workspace.check_result)

    def test_only_administrators_test(self):
        workspace = self.make_workspace(token=SECRET)
        with self.assertRaises(AccessError):
            workspace.with_user(self.manager).action_test_connection()

    @needs_workspace
    def test_works(self):
        workspace = self._test()
        self.assertEqual(workspace.check_state, "ok", workspace.check_result)
        for step in ("Host", "Identity", "Warehouse", "Statement"):
            self.assertIn(f"✓ {step}:", workspace.check_result)

    @needs_workspace
    def test_everything_that_is_used_is_named(self):
        helper = self.make_workspace(name="Helper", company_id=self.mayon.id)
        self.forget_calls(helper)
        with helper.client() as client:
            sql.execute(
                client, "local", "CREATE OR REPLACE TABLE main.gold.odoo_there AS SELECT 1 AS x"
            )
            self.addCleanup(sql.execute, client, "local", "DROP TABLE main.gold.odoo_there")
        self.view.write({"workspace_id": helper.id, "source_table": "main.gold.odoo_there"})
        self.mayon.bir_endpoint = "no-such-endpoint"
        Pipeline = self.env["databricks.pipeline"]
        base = {"workspace_id": helper.id}
        Pipeline.create({**base, "name": "A", "job_name": "no such job"})
        Pipeline.create({**base, "name": "B", "job_id": "999999999"})
        Pipeline.create(
            {**base, "name": "C", "kind": "pipeline", "remote_pipeline_id": "no-such-pipeline"}
        )
        helper.action_test_connection()
        result = helper.check_result
        self.view.source_table = "main.gold.no_such_table"
        helper.action_test_connection()
        result += helper.check_result
        good = ("Statement", "Schema main.gold", "Table main.gold.odoo_there", "Jobs")
        for check in good:
            self.assertIn(f"✓ {check}:", result)
        for bad in (
            "Table main.gold.no_such_table: the table is not there, or not visible",
            "Serving endpoint no-such-endpoint:",
            "Job no such job:",
            "Job 999999999:",
            "Pipeline no-such-pipeline:",
        ):
            self.assertIn(f"✗ {bad}", result)
        self.assertIn("SELECT on main.gold.no_such_table to ", result)
        self.assertEqual(helper.check_state, "failed")
        self.assertEqual(helper.circuit_state, "works", "it answered")

    @needs_workspace
    def test_wrong_token(self):
        result = self._test(token="dapi00000000000000000000").check_result
        self.assertIn("✓ Host", result)
        self.assertIn("✗ Identity", result)
        self.assertIn("store a new one", result)
        self.assertNotIn("dapi0000", result)

    @needs_workspace
    def test_wrong_warehouse(self):
        result = self._test(warehouse_id="nowhere").check_result
        self.assertIn("✗ Warehouse", result)
        self.assertIn("Check the warehouse id", result)

    @needs_workspace
    def test_stopped_warehouse(self):
        helper = self.make_workspace(name="Helper")
        self.forget_calls(helper)
        with helper.client() as client:
            client.warehouses.stop("local")
            self.addCleanup(client.warehouses.start, "local")
            result = self._test().check_result
        self.assertIn("✗ Warehouse: the warehouse Local warehouse is stop", result)
        self.assertIn("Start the SQL warehouse", result)
