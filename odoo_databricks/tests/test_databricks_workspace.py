import os
from unittest.mock import patch

from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import Form, new_test_user, tagged
from odoo.tools import file_open, mute_logger

from ..lib import sql
from ..lib.secret_store import KEY_VARIABLE, generate_key
from .common import HOST, TOKEN, LakehouseCase, needs_workspace

SECRET = "dapi0123456789abcdef"
# what [odoo_databricks] of odoo.conf holds
OPTIONS = "odoo.addons.odoo_databricks.models.databricks_workspace_secrets.extra_options"


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
        # those of a demo database were stored with a key that is not known here
        self.env["databricks.workspace"].search([]).action_forget_secrets()
        workspace = self.make_workspace(token=SECRET)
        other = self.make_workspace(name="Other", auth_type="oauth-m2m", client_id="c")
        other.client_secret = "dose0123456789abcdef"
        new, old = generate_key(), os.environ[KEY_VARIABLE]
        with patch.dict(os.environ, {KEY_VARIABLE: f"{new},{old}"}):
            self.assertEqual(workspace._secret(), SECRET)
            workspace.action_reencrypt_secrets()
        with patch.dict(os.environ, {KEY_VARIABLE: new}):
            self.assertEqual(workspace._secret(), SECRET, "the old key may go")
            self.assertEqual(other._secret(), "dose0123456789abcdef")
        with patch.dict(os.environ, {KEY_VARIABLE: generate_key()}):
            message = workspace.action_test_connection()["params"]["message"]
            before = self._cipher(workspace)
            with self.assertRaisesRegex(UserError, "cannot be read with the present"):
                workspace.action_reencrypt_secrets()
            self.assertEqual(self._cipher(workspace), before)
        with self.assertRaises(AccessError):
            workspace.with_user(self.manager).action_reencrypt_secrets()
        self.assertIn("✗ Secret: the stored secret", message)
        self.assertIn("present encryption key", message)
        self.assertEqual(workspace.check_state, "failed")

    def test_proxy_and_ca_file(self):
        workspace = self.make_workspace(token=SECRET, code="finance")
        for proxy in ("proxy:3128", "ftp://proxy", "http://me:secret@proxy:3128"):
            with self.subTest(proxy), self.assertRaisesRegex(ValidationError, "proxy must"):
                workspace.proxy_url = proxy
        for path in ("ca.pem", "/no/such/ca.pem"):
            with self.subTest(path), self.assertRaisesRegex(ValidationError, "CA file"):
                workspace.ca_file = path
        with self.assertRaises(ValidationError):
            workspace.longest_pause = 0
        workspace.proxy_url = "http://proxy.example:3128"
        self.assertEqual(workspace._proxy(), "http://proxy.example:3128")
        with patch.dict(os.environ, {"ODOO_DATABRICKS_FINANCE_PROXY": "http://me:pw@inner:3128"}):
            self.assertEqual(workspace._proxy(), "http://me:pw@inner:3128")
        with self.assertRaises(AccessError):
            workspace.with_user(self.manager).read(["proxy_url"])

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
        task = self.env["databricks.pipeline.run.task"].create({"run_id": run.id, "key": "t"})
        task.page_url = run.run_page_url = "https://adb-1.example/#job/1/run/2"
        workspace.proxy_url = "http://proxy.example:3128"
        circuit = self.env["databricks.circuit"].create({"workspace_ref": workspace.id})
        self.env.flush_all()
        with file_open("odoo_databricks/data/neutralize.sql") as file:
            self.env.cr.execute(file.read())
        self.env.invalidate_all()
        self.assertFalse(workspace.proxy_url)
        self.assertFalse(circuit.exists())
        self.assertEqual((task.state, task.page_url), ("canceled", False))
        self.assertFalse(run.run_page_url)
        self.assertEqual(workspace.host, "https://neutralized.invalid")
        self.assertFalse(self._cipher(workspace))
        self.assertFalse(pipeline.scheduled)
        self.assertEqual(run.state, "canceled")
        for name in ("databricks_pipeline_cron", "lakehouse_view_cron"):
            self.assertFalse(self.env.ref(f"odoo_databricks.{name}").active)


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
