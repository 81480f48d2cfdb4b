import re
from contextlib import contextmanager

from odoo import _, api, fields, models
from odoo.exceptions import UserError, ValidationError
from odoo.tools import SQL, format_datetime

from ..lib import client as lib_client
from ..lib import health
from ..lib.errors import SecretError, WrongHost
from ..lib.secret_store import SecretStore
from .databricks_tools import MOMENT, explain, require_group
from .series_adapter import extra_options

SECRETS = ("token", "client_secret")


class DatabricksWorkspace(models.Model):
    """A workspace and how to sign in. Secrets are written here and never read back.

    An encrypted secret lies in a column that is no field, so no read, export, view or copy of a
    record can hold it.
    """

    _name = "databricks.workspace"
    _description = "Databricks workspace"
    _inherit = ["mail.thread"]
    _order = "company_id, name, id"
    _sql_constraints = [
        ("code_uniq", "unique (code)", "Another workspace has this technical name."),
    ]

    name = fields.Char(required=True, tracking=True)
    code = fields.Char(
        "Technical name",
        compute="_compute_code",
        store=True,
        readonly=False,
        precompute=True,
        copy=False,
        help="Names the secrets in the environment: ODOO_DATABRICKS_<NAME>_TOKEN.",
    )
    active = fields.Boolean(default=True)
    company_id = fields.Many2one(
        "res.company", help="Empty: shared by all companies.", tracking=True
    )
    environment = fields.Selection(
        [("dev", "Development"), ("staging", "Staging"), ("prod", "Production")],
        default="dev",
        required=True,
        tracking=True,
    )
    host = fields.Char(
        "Workspace URL", required=True, tracking=True, help="https:// and the name of the workspace"
    )
    warehouse_id = fields.Char(
        "SQL warehouse", tracking=True, help="Last part of the HTTP path in its connection details."
    )
    auth_type = fields.Selection(
        [("pat", "Personal access token"), ("oauth-m2m", "Service principal (OAuth)")],
        "Authentication",
        default="pat",
        required=True,
        tracking=True,
    )
    client_id = fields.Char("Client ID", tracking=True)
    token = fields.Char(
        "Access token",
        compute="_compute_secret",
        inverse="_inverse_token",
        groups="base.group_system",
        help="Write only.",
    )
    client_secret = fields.Char(
        compute="_compute_secret",
        inverse="_inverse_client_secret",
        groups="base.group_system",
        help="Write only.",
    )
    token_set_on = fields.Datetime(readonly=True, copy=False)
    client_secret_set_on = fields.Datetime(readonly=True, copy=False)
    secret_status = fields.Char("Secret", compute="_compute_secret_status")
    connect_timeout = fields.Integer(default=5, required=True, help="Seconds to reach the host.")
    read_timeout = fields.Integer(
        default=30, required=True, help="Seconds without a byte of the answer."
    )
    total_timeout = fields.Integer(
        default=45, required=True, help="Seconds for one call with its retries."
    )
    statement_timeout = fields.Integer(
        default=600, required=True, help="Seconds for an SQL statement of a refresh."
    )
    check_state = fields.Selection(
        [("ok", "Works"), ("failed", "Does not work")], "Connection", readonly=True, copy=False
    )
    checked_at = fields.Datetime("Tested on", readonly=True, copy=False)
    check_result = fields.Text("Result", readonly=True, copy=False)
    view_count = fields.Integer(compute="_compute_counts")
    pipeline_count = fields.Integer(compute="_compute_counts")

    def init(self):
        result = super().init()
        self.env.cr.execute(
            "ALTER TABLE databricks_workspace ADD COLUMN IF NOT EXISTS token_cipher varchar, "
            "ADD COLUMN IF NOT EXISTS client_secret_cipher varchar"
        )
        return result

    @api.depends("name")
    def _compute_code(self):
        for workspace in self:
            if not workspace.code:
                slug = re.sub(r"[^a-z0-9]+", "_", (workspace.name or "").lower()).strip("_")
                workspace.code = slug or "workspace"

    def _compute_secret(self):
        for workspace in self:
            workspace.token = False
            workspace.client_secret = False

    def _inverse_token(self):
        self._store_secret("token")

    def _inverse_client_secret(self):
        self._store_secret("client_secret")

    @api.depends("token_set_on", "client_secret_set_on", "auth_type", "code")
    def _compute_secret_status(self):
        store = self._secret_store()
        for workspace in self:
            name = workspace._secret_name()
            try:
                external = store.external(f"{workspace.code}_{name}")
            except ValueError:
                external = None
            set_on = workspace[f"{name}_set_on"]
            if external:
                origin = {
                    "environment": _("from the environment of Odoo"),
                    "config": _("from odoo.conf"),
                }
                workspace.secret_status = origin[external.origin]
            elif set_on:
                moment = format_datetime(self.env, set_on, dt_format=MOMENT)
                workspace.secret_status = _("set on %(moment)s", moment=moment)
            else:
                workspace.secret_status = _("not set")

    def _compute_counts(self):
        for model, name in (
            ("lakehouse.view", "view_count"),
            ("databricks.pipeline", "pipeline_count"),
        ):
            groups = (
                self.env[model]
                .sudo()
                ._read_group([("workspace_id", "in", self.ids)], ["workspace_id"], ["__count"])
            )
            counts = {workspace.id: count for workspace, count in groups}
            for workspace in self:
                workspace[name] = counts.get(workspace.id, 0)

    @api.constrains("host", "environment")
    def _check_host(self):
        for workspace in self:
            try:
                workspace._host_url()
            except WrongHost as error:
                raise ValidationError(explain(error)) from error

    @api.constrains("code")
    def _check_code(self):
        for workspace in self:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", workspace.code or ""):
                raise ValidationError(
                    _("A technical name begins with a letter and holds a-z, 0-9 and _ only.")
                )

    @api.constrains("connect_timeout", "read_timeout", "total_timeout", "statement_timeout")
    def _check_timeouts(self):
        for workspace in self:
            if not (
                1 <= workspace.connect_timeout <= 30
                and 10 <= workspace.read_timeout <= 60
                and 1 <= workspace.total_timeout <= 110
                and 10 <= workspace.statement_timeout <= 7200
            ):
                raise ValidationError(
                    _(
                        "Time-outs in seconds: connect 1 to 30, read 10 to 60, one call 1 to 110 "
                        "(a worker of Odoo has 120), statement 10 to 7200."
                    )
                )

    # -- secrets --------------------------------------------------------------------------------
    @api.model
    def _secret_store(self):
        return SecretStore(extra_options("odoo_databricks"))

    def _secret_name(self):
        return "token" if self.auth_type == "pat" else "client_secret"

    def _store_secret(self, name):
        """Encrypt what was written into the field; empty leaves the stored one as it is."""
        for workspace in self:
            text = (workspace[name] or "").strip()
            if text:
                try:
                    cipher = self._secret_store().encrypt(text)
                except SecretError as error:
                    raise UserError(explain(error)) from error
                workspace._write_cipher(name, cipher)
        self.invalidate_recordset(SECRETS)

    def _write_cipher(self, name, cipher):
        self[f"{name}_set_on"] = fields.Datetime.now() if cipher else False
        self.flush_recordset()
        column = SQL.identifier(f"{name}_cipher")
        self.env.cr.execute(
            SQL("UPDATE databricks_workspace SET %s = %s WHERE id = %s", column, cipher, self.id)
        )

    def _secret(self):
        """The secret of this workspace's way to sign in. Raises SecretError."""
        self.flush_recordset()
        self.env.cr.execute(
            "SELECT token_cipher, client_secret_cipher FROM databricks_workspace WHERE id = %s",
            (self.id,),
        )
        token, client_secret = self.env.cr.fetchone()
        name = self._secret_name()
        stored = token if name == "token" else client_secret
        return self._secret_store().resolve(f"{self.code}_{name}", stored).value

    def _check_system(self):
        require_group(self.env, "base.group_system", _("Only an administrator does this."))

    def action_forget_secrets(self):
        self._check_system()
        for workspace in self:
            for name in SECRETS:
                workspace._write_cipher(name, None)
        return True

    # -- calls ----------------------------------------------------------------------------------
    @api.model
    def _for_company(self, company):
        """The workspace of a company: its own, else the shared one; empty if there is none."""
        return self.sudo().search(
            [("company_id", "in", (company.id, False))], order="company_id, id", limit=1
        )

    def _host_url(self):
        # a development workspace may be a neighbour in the same network, without TLS
        return lib_client.normalise_host(
            self.host or "", allow_plain_http=self.environment == "dev"
        )

    @contextmanager
    def client(self, record=None):
        """A databricks-sdk WorkspaceClient for functions of lib; each exchange leaves a log row.

        :param record: the record on whose behalf the workspace is asked, for the call log
        Raises lib.errors.WorkspaceError (also: no secret, no key). The caller holds no row lock.
        """
        self.ensure_one()
        yield self.sudo()._connect(record)

    def _connect(self, record=None):
        name = self._secret_name()
        timeouts = lib_client.Timeouts(
            connect=self.connect_timeout, read=self.read_timeout, total=self.total_timeout
        )
        return lib_client.connect(
            self.host,
            self.auth_type,
            client_id=self.client_id or None,
            timeouts=timeouts,
            on_call=self.env["databricks.call.log"]._recorder(self, record or self),
            allow_plain_http=self.environment == "dev",
            **{name: self._secret()},
        )

    # -- actions --------------------------------------------------------------------------------
    def action_test_connection(self):
        """Check host, identity, warehouse and a statement; keep the result and show it."""
        self.ensure_one()
        self._check_system()
        workspace = self.sudo()
        try:
            workspace._secret()
        except SecretError as error:
            checks = [health.Check("secret", False, error.message, error.hint, error.kind)]
        else:
            checks = health.test_connection(workspace._connect, self.warehouse_id or None)
        works = all(check.ok for check in checks)
        lines = [self._check_line(check) for check in checks]
        if works and not self.warehouse_id:
            lines.append(_("No SQL warehouse is chosen: views cannot be refreshed."))
        workspace.write(
            {
                "check_state": "ok" if works else "failed",
                "checked_at": fields.Datetime.now(),
                "check_result": "\n".join(lines),
            }
        )
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "success" if works else "danger",
                "title": _("The connection works") if works else _("The connection does not work"),
                "message": "\n".join(lines),
                "sticky": not works,
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }

    @api.model
    def _check_line(self, check):
        labels = {
            "secret": _("Secret"),
            "host": _("Host"),
            "identity": _("Identity"),
            "warehouse": _("Warehouse"),
            "statement": _("Statement"),
        }
        mark = {True: "✓", False: "✗", None: "–"}[check.ok]
        text = f"{mark} {labels[check.name]}: {check.detail}"
        return f"{text}. {check.hint}" if check.hint else text
