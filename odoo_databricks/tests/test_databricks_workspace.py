import os
import socket
from unittest.mock import patch

from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import Form, new_test_user, tagged
from odoo.tools import file_open, mute_logger

from ..lib import sql
from ..lib.secret_store import KEY_VARIABLE, generate_key
from .common import HOST, TOKEN, LakehouseCase, needs_workspace

SECRET = "dapi0123456789abcdef"
# what [odoo_databricks] of odoo.conf holds
OPTIONS = "odoo.addons.odoo_databricks.models.databricks_workspace.extra_options"


@tagged("post_install", "-at_install")
class TestSecrets(LakehouseCase):
    def _cipher(self, workspace, column="token_cipher"):
        workspace.flush_recordset()
        self.env.cr.execute(
            f"SELECT {column} FROM databricks_workspace WHERE id = %s", (workspace.id,)
        )
        return self.env.cr.fetchone()[0]

    def test_no_key_refuses_and_says_how(self):
        workspace = self.make_workspace(token=False)
        with (
            patch.dict(os.environ),
            patch(OPTIONS, return_value={}),
        ):
            del os.environ[KEY_VARIABLE]
            with self.assertRaisesRegex(UserError, f"{KEY_VARIABLE}.*odoo.conf"):
                workspace.token = SECRET
        self.assertFalse(self._cipher(workspace))
        self.assertEqual(workspace.secret_status, "not set")

    def test_written_and_never_read_back(self):
        workspace = self.make_workspace(token=SECRET)
        cipher = self._cipher(workspace)
        self.assertTrue(cipher)
        self.assertNotIn(SECRET, cipher)
        self.assertEqual(workspace._secret(), SECRET)
        self.assertIn("set on", workspace.secret_status)
        admin = new_test_user(self.env, "lakehouse_system", groups="base.group_system")
        for env in (self.env, self.env(user=admin)):
            record = workspace.with_env(env)
            self.assertFalse(record.token)
            text = repr(record.read()) + repr(record.export_data(["token", "name"]))
            text += repr(record.copy_data()) + repr(record.search_read([("id", "=", record.id)]))
            self.assertNotIn(SECRET, text)
            self.assertNotIn(cipher, text)
        with self.assertRaises(AccessError):
            workspace.with_user(self.manager).read(["token"])
        copy = workspace.copy({"name": "Copy"})
        self.assertFalse(self._cipher(copy))
        messages = " ".join(str(message.body) for message in workspace.message_ids)
        self.assertNotIn(SECRET, messages)

    def test_empty_keeps_and_forget_deletes(self):
        workspace = self.make_workspace(token=SECRET)
        with Form(workspace) as form:
            form.name = "Renamed"
        workspace.token = False
        self.assertEqual(workspace._secret(), SECRET)
        workspace.action_forget_secrets()
        self.assertFalse(self._cipher(workspace))
        self.assertEqual(workspace.secret_status, "not set")

    def test_environment_and_config_come_first(self):
        workspace = self.make_workspace(token=SECRET, code="finance")
        with patch(OPTIONS, return_value={"finance_token": "from config"}):
            workspace.invalidate_recordset()
            self.assertEqual(workspace._secret(), "from config")
            self.assertEqual(workspace.secret_status, "from odoo.conf")
            with patch.dict(os.environ, {"ODOO_DATABRICKS_FINANCE_TOKEN": "from environment"}):
                workspace.invalidate_recordset()
                self.assertEqual(workspace._secret(), "from environment")
                self.assertEqual(workspace.secret_status, "from the environment of Odoo")

    def test_key_rotation_and_lost_key(self):
        workspace = self.make_workspace(token=SECRET)
        old = os.environ[KEY_VARIABLE]
        with patch.dict(os.environ, {KEY_VARIABLE: f"{generate_key()},{old}"}):
            self.assertEqual(workspace._secret(), SECRET)
        with patch.dict(os.environ, {KEY_VARIABLE: generate_key()}):
            message = workspace.action_test_connection()["params"]["message"]
        self.assertIn("✗ Secret: the stored secret", message)
        self.assertIn("present encryption key", message)
        self.assertEqual(workspace.check_state, "failed")

    def test_host(self):
        workspace = self.make_workspace(environment="prod", host="https://adb-1.azure.example")
        for host in ("http://adb-1.azure.example", "ftp://x", "https://me:secret@adb-1.example"):
            with self.subTest(host), self.assertRaisesRegex(ValidationError, "workspace URL"):
                workspace.host = host
        with self.assertRaises(ValidationError):
            workspace.total_timeout = 0

    def test_workspace_of_a_company(self):
        Workspace = self.env["databricks.workspace"]
        Workspace.search([]).active = False
        shared = self.make_workspace(name="Shared")
        own = self.make_workspace(name="Own", company_id=self.mayon.id)
        self.assertEqual(Workspace._for_company(self.mayon), own)
        self.assertEqual(Workspace._for_company(self.sampaguita), shared)
        settings = self.env["res.config.settings"].with_company(self.mayon).create({})
        self.assertEqual(settings.databricks_workspace_id, own)
        self.assertEqual(settings.lakehouse_company_code, "MAYON")
        self.assertEqual(settings.action_databricks_workspace()["res_id"], own.id)

    def test_neutralize(self):
        workspace = self.make_workspace(token=SECRET)
        pipeline = self.env["databricks.pipeline"].create(
            {"name": "P", "workspace_id": workspace.id, "job_name": "x", "scheduled": True}
        )
        run = pipeline._queue_run("manual")
        self.env.flush_all()
        with file_open("odoo_databricks/data/neutralize.sql") as file:
            self.env.cr.execute(file.read())
        self.env.invalidate_all()
        self.assertEqual(workspace.host, "https://neutralized.invalid")
        self.assertFalse(self._cipher(workspace))
        self.assertFalse(pipeline.scheduled)
        self.assertEqual(run.state, "canceled")
        for name in ("databricks_pipeline_cron", "lakehouse_view_cron"):
            self.assertFalse(self.env.ref(f"odoo_databricks.{name}").active)


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


@tagged("post_install", "-at_install")
class TestCallLog(LakehouseCase):
    @needs_workspace
    def test_rows_survive_a_rollback_and_hold_no_secret(self):
        workspace = self.make_workspace()
        self.forget_calls(workspace)
        query = (
            "SELECT * FROM databricks_call_log WHERE workspace_ref = %s AND endpoint LIKE '/api%%'"
        )
        with self.assertRaises(ZeroDivisionError), self.env.cr.savepoint():
            # the caller holds the rows that a foreign key would have pointed to
            self.env.cr.execute("SELECT id FROM databricks_workspace FOR UPDATE")
            self.env.cr.execute("SELECT id FROM res_users FOR UPDATE")
            with workspace.client(self.view) as client:
                sql.query(client, "local", "SELECT :secret AS x", {"secret": os.environ[TOKEN]})
            raise ZeroDivisionError
        rows = self.own_cursor_rows(query, workspace.id)
        self.assertTrue(rows)
        self.assertEqual(rows[0]["endpoint"], "/api/2.0/sql/statements")
        self.assertEqual(rows[0]["status"], 200)
        self.assertEqual(
            (rows[0]["res_model"], rows[0]["res_id"]), ("lakehouse.view", self.view.id)
        )
        self.assertNotIn(os.environ[TOKEN], repr(rows))
        host = os.environ[HOST].removeprefix("http://")
        self.assertNotIn(host, repr([row["endpoint"] for row in rows]))

    def test_no_foreign_keys(self):
        self.env.cr.execute(
            "SELECT conname FROM pg_constraint WHERE contype = 'f' "
            "AND conrelid = 'databricks_call_log'::regclass"
        )
        self.assertFalse(self.env.cr.fetchall())

    def test_managers_see_their_companies_and_shared_workspaces(self):
        base = {"created_at": "2025-10-01 00:00:00", "endpoint": "/api", "verb": "GET"}
        Log = self.env["databricks.call.log"]
        own, theirs, shared = Log.create(
            [{**base, "company_ref": company} for company in (self.sampaguita.id, self.mayon.id, 0)]
        )
        rows = own | theirs | shared
        found = Log.with_user(self.manager).search([("id", "in", rows.ids)])
        self.assertEqual(found, own | shared)
        admin = new_test_user(self.env, "lakehouse_system", groups="base.group_system")
        self.assertEqual(Log.with_user(admin).search([("id", "in", rows.ids)]), rows)
        with mute_logger("odoo.addons.base.models.ir_model"), self.assertRaises(AccessError):
            own.with_user(self.manager).write({"message": "x"})
        Log._gc_call_log()
        self.assertFalse(rows.exists())
