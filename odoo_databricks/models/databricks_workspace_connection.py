"""Calls of a workspace: their limits, their way through the network, and when none is sent."""

import logging
import os
from contextlib import contextmanager

import psycopg2

from odoo import _, api, fields, models
from odoo.exceptions import ValidationError

from ..lib import client as lib_client
from ..lib.errors import Untrusted, WorkspaceError
from .databricks_circuit import Outcome, State
from .databricks_tools import explain

_logger = logging.getLogger(__name__)


class DatabricksWorkspace(models.Model):
    # one model, a file a subject
    _inherit = "databricks.workspace"  # pylint: disable=consider-merging-classes-inherited

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
    longest_pause = fields.Integer(
        "Longest pause",
        default=5,
        required=True,
        help="Seconds between two tries of one call, whatever a Retry-After asks for. A scheduled "
        "run waits for Retry-After outside of the call, up to an hour.",
    )
    proxy_url = fields.Char(
        "Proxy",
        groups="base.group_system",
        help="http:// or https:// and the name of the proxy. One that needs a password is given in "
        "the environment or odoo.conf: ODOO_DATABRICKS_<NAME>_PROXY.",
    )
    ca_file = fields.Char(
        "CA file",
        groups="base.group_system",
        help="Path, on the server of Odoo, of a PEM file with the authorities to trust.",
    )
    circuit_state = fields.Selection(
        [
            ("works", "Works"),
            ("doubtful", "Faults"),
            ("paused", "Paused"),
            ("refused", "Secret refused"),
        ],
        "Calls",
        compute="_compute_circuit",
    )
    circuit_since = fields.Datetime("Since", compute="_compute_circuit")
    circuit_next_try = fields.Datetime("Next try", compute="_compute_circuit")
    circuit_message = fields.Char("Last fault", compute="_compute_circuit")

    def _compute_circuit(self):
        states = self.env["databricks.circuit"]._states(self.ids)
        for workspace in self:
            state = states.get(workspace.id, State())
            if state.refused_at:
                workspace.circuit_state = "refused"
            elif state.next_try:
                workspace.circuit_state = "paused"
            else:
                workspace.circuit_state = "doubtful" if state.faults else "works"
            workspace.circuit_since = state.refused_at or state.since
            workspace.circuit_next_try = state.next_try
            workspace.circuit_message = state.message

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

    @api.constrains("longest_pause")
    def _check_longest_pause(self):
        if any(not 1 <= workspace.longest_pause <= 30 for workspace in self):
            raise ValidationError(_("The longest pause must be 1 to 30 seconds."))

    @api.constrains("proxy_url")
    def _check_proxy_url(self):
        for workspace in self.filtered("proxy_url"):
            try:
                lib_client.check_proxy(workspace.proxy_url)
            except WorkspaceError as error:
                raise ValidationError(explain(error)) from error

    @api.constrains("ca_file")
    def _check_ca_file(self):
        for workspace in self.filtered("ca_file"):
            if not os.path.isabs(workspace.ca_file) or not os.path.isfile(workspace.ca_file):
                raise ValidationError(
                    _(
                        "CA file: '%(path)s' is no file on the server of Odoo. Give the whole path "
                        "of a PEM file.",
                        path=workspace.ca_file,
                    )
                )

    # -- calls ----------------------------------------------------------------------------------
    @contextmanager
    def client(self, record=None):
        """A databricks-sdk WorkspaceClient for functions of lib; each exchange leaves a log row.

        :param record: the record on whose behalf the workspace is asked, for the call log
        Raises lib.errors.WorkspaceError (also: no secret, no key), and WorkspacePaused at once
        while the workspace does not answer. The caller holds no row lock.
        """
        self.ensure_one()
        workspace = self.sudo()
        mark = workspace._secret_mark()
        workspace.env["databricks.circuit"]._admit(workspace, mark)
        with workspace._noted(mark) as note:
            yield workspace._connect(record, note)

    @contextmanager
    def _noted(self, mark):
        """Gives a function that is told of each exchange; the circuit hears what came of them."""
        outcome, error = Outcome(), None
        try:
            yield outcome.note
        except WorkspaceError as fault:
            error = fault
            raise
        finally:
            try:
                self.env["databricks.circuit"]._record(self, outcome, error, mark)
            except psycopg2.Error:
                # the remote side has acted already; failing here would make the caller repeat it
                _logger.exception("what became of a call to %s was not noted", self.name)

    def _secret_mark(self):
        """What tells whether the workspace has seen, and refused, this very sign-in."""
        parts = (self.host, self.auth_type, self.client_id, self._secret())
        return self.env["databricks.circuit"]._mark(*parts)

    def _connect(self, record=None, note=None):
        """A client that no circuit holds back. `note` gets a CallRecord for each exchange."""
        name = self._secret_name()
        timeouts = lib_client.Timeouts(
            connect=self.connect_timeout,
            read=self.read_timeout,
            total=self.total_timeout,
            longest_pause=self.longest_pause,
        )
        log = self.env["databricks.call.log"]._recorder(self, record or self)

        def on_call(call):
            if note:
                note(call)
            log(call)

        return lib_client.connect(
            self.host,
            self.auth_type,
            client_id=self.client_id or None,
            timeouts=timeouts,
            proxy=self._proxy(),
            ca_file=self._ca_path(),
            on_call=on_call,
            allow_plain_http=self.environment == "dev",
            **{name: self._secret()},
        )

    def _proxy(self):
        external = self._secret_store().external(f"{self.code}_proxy")
        return external.value if external else self.proxy_url or None

    def _ca_path(self):
        if self.ca_file and not os.path.isfile(self.ca_file):
            raise Untrusted(
                f"the CA file {self.ca_file} is not on this server",
                hint=_("Put it there, or correct its path in the workspace."),
            )
        return self.ca_file or None
