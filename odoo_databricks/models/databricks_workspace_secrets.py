"""Secrets of a workspace: written in the form, and never read back.

An encrypted secret lies in a column that is no field, so no read, export, view or copy of a record
can hold it.
"""

from odoo import _, api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL, format_datetime

from ..lib.errors import SecretError
from ..lib.secret_store import SecretStore
from .databricks_tools import MOMENT, explain, require_group
from .series_adapter import extra_options

SECRETS = ("token", "client_secret")


class DatabricksWorkspace(models.Model):
    # one model, a file a subject
    _inherit = "databricks.workspace"  # pylint: disable=consider-merging-classes-inherited

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

    def init(self):
        result = super().init()
        self.env.cr.execute(
            "ALTER TABLE databricks_workspace ADD COLUMN IF NOT EXISTS token_cipher varchar, "
            "ADD COLUMN IF NOT EXISTS client_secret_cipher varchar"
        )
        return result

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

    def action_reencrypt_secrets(self):
        """Encrypt the stored secrets of all workspaces with the first key; older keys may go then.

        All or nothing: a secret that no key can read stops it, and is named.
        """
        self._check_system()
        store, count = self._secret_store(), 0
        self.env.flush_all()
        self.env.cr.execute(
            "SELECT id, token_cipher, client_secret_cipher FROM databricks_workspace FOR UPDATE"
        )
        for workspace_id, *ciphers in self.env.cr.fetchall():
            for name, cipher in zip(SECRETS, ciphers):  # noqa: B905 (3.10 dialect)
                if cipher:
                    self.browse(workspace_id)._reencrypt(store, name, cipher)
                    count += 1
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "success",
                "message": _("%(count)s secrets are encrypted with the first key.", count=count),
            },
        }

    def _reencrypt(self, store, name, cipher):
        try:
            renewed = store.rotate(cipher)
        except SecretError as error:
            raise UserError(
                _("%(workspace)s: %(fault)s", workspace=self.name, fault=explain(error))
            ) from error
        column = SQL.identifier(f"{name}_cipher")
        self.env.cr.execute(
            SQL("UPDATE databricks_workspace SET %s = %s WHERE id = %s", column, renewed, self.id)
        )
