"""Circuit breaker of a workspace: who does not answer is not asked for a while."""

import hashlib
import random
from datetime import timedelta
from typing import NamedTuple

import psycopg2

from odoo import _, api, fields, models
from odoo.tools import SQL, format_datetime

from ..lib.errors import WorkspacePaused, WrongToken
from .databricks_tools import MOMENT

# faults in a row, one a conversation, after which nothing is sent for a while
THRESHOLD = 5
FIRST_PAUSE, LONGEST_PAUSE = 30, 600
# while one worker tries, the others wait; longer than one conversation may last
PROBE = timedelta(minutes=3)
_DISCOVERY = "/.well-known/"
_ENDPOINTS = "/serving-endpoints/"


class Outcome:
    """What the exchanges of one conversation say about the workspace as a whole.

    Not counted are a discovery that works, as a proxy or a half-dead workspace answers it too, and
    calls of serving endpoints, which have states of their own.
    """

    def __init__(self):
        self.works = None  # None: nothing was learnt

    def note(self, call):
        failed = call.status is None or (call.status >= 500 and call.status != 501)
        if call.endpoint.startswith(_ENDPOINTS):
            return
        if failed:
            self.works = False
        elif not call.endpoint.startswith(_DISCOVERY) and call.status != 429:
            self.works = True


class State(NamedTuple):
    """What is kept of a workspace; all empty if it works."""

    faults: int = 0
    since: object = None
    next_try: object = None
    probe_until: object = None
    refused_at: object = None
    refused_mark: str | None = None
    message: str | None = None


class DatabricksCircuit(models.Model):
    """The state of each workspace, shared by all workers.

    Every change is one statement in a transaction of its own: it survives a rollback of the work
    that called, and no row stays locked. Nothing here is a foreign key, as in the call log: one to
    a row that the caller has locked would make this wait for ever.
    """

    _name = "databricks.circuit"
    _description = "Circuit breaker of a Databricks workspace"
    _log_access = False
    _rec_name = "workspace_ref"
    _sql_constraints = [("workspace_uniq", "unique (workspace_ref)", "One state a workspace.")]

    workspace_ref = fields.Integer("Workspace id", required=True)
    faults = fields.Integer("Faults in a row", required=True, default=0)
    since = fields.Datetime(help="First of the faults in a row.")
    next_try = fields.Datetime(help="Nothing is sent before.")
    probe_until = fields.Datetime(help="One worker tries; the others wait until then.")
    refused_at = fields.Datetime(help="The workspace refused the secret.")
    refused_mark = fields.Char(help="Tells whether the secret is still the refused one.")
    message = fields.Char()

    @api.model
    def _states(self, workspace_ids):
        """{workspace id: State}, as committed now and not as the caller's snapshot has it."""
        query = SQL(
            "SELECT workspace_ref, %s FROM databricks_circuit WHERE workspace_ref IN %s",
            SQL(", ").join(map(SQL.identifier, State._fields)),
            tuple(workspace_ids) or (0,),
        )
        with self.env.registry.cursor() as cr:
            cr.execute(query)
            return {row[0]: State(*row[1:]) for row in cr.fetchall()}

    @api.model
    def _mark(self, *parts):
        """A short fingerprint: enough to see that a secret changed, too little to find it."""
        text = "\x00".join(str(part or "") for part in parts)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    # -- before a conversation --------------------------------------------------------------------
    @api.model
    def _admit(self, workspace, mark):
        """Raise WorkspacePaused unless the workspace may be asked now."""
        state = self._states(workspace.ids).get(workspace.id)
        if not state:
            return
        if state.refused_at and state.refused_mark == mark:
            raise WorkspacePaused(
                _(
                    "the workspace %(workspace)s has refused the token or secret since %(since)s",
                    workspace=workspace.name,
                    since=self._moment(state.refused_at),
                ),
                hint=_("Store a new one, or test the connection."),
            )
        now = fields.Datetime.now()
        if state.next_try and (state.next_try > now or not self._take_probe(workspace, now)):
            until = max(state.next_try, state.probe_until or state.next_try, now)
            raise WorkspacePaused(
                _(
                    "the workspace %(workspace)s has not answered since %(since)s; next try at "
                    "%(next)s",
                    workspace=workspace.name,
                    since=self._moment(state.since),
                    next=self._moment(until),
                ),
                until=until,
            )

    def _take_probe(self, workspace, now):
        """True for the one worker that may try after a pause."""
        query = SQL(
            "UPDATE databricks_circuit SET probe_until = %s WHERE workspace_ref = %s "
            "AND (probe_until IS NULL OR probe_until <= %s)",
            now + PROBE,
            workspace.id,
            now,
        )
        return bool(self._execute(query))

    @api.model
    def _moment(self, moment):
        """The text may be kept, and read by people of other time zones than who was refused."""
        text = format_datetime(self.env, moment, tz="Asia/Manila", dt_format=MOMENT)
        return _("%(moment)s (Manila)", moment=text)

    # -- after it ---------------------------------------------------------------------------------
    @api.model
    def _record(self, workspace, outcome, error=None, mark=None):
        """Note how a conversation ended: one short statement."""
        if isinstance(error, WrongToken) and outcome.works is not None:
            self._record_refusal(workspace, mark)
        elif outcome.works:
            self._forget(workspace)
        elif outcome.works is False:
            self._record_fault(workspace, str(error or ""))
        else:
            self._release_probe(workspace)

    def _record_fault(self, workspace, message):
        now = fields.Datetime.now()
        pause = SQL(
            "CASE WHEN databricks_circuit.faults + 1 >= %s THEN %s + interval '1 second' * "
            "least(%s, %s * 2 ^ least(databricks_circuit.faults + 1 - %s, 16)) * %s END",
            THRESHOLD,
            now,
            LONGEST_PAUSE,
            FIRST_PAUSE,
            THRESHOLD,
            random.uniform(0.9, 1),
        )
        self._execute(
            SQL(
                "INSERT INTO databricks_circuit AS databricks_circuit "
                "(workspace_ref, faults, since, message) VALUES (%s, 1, %s, %s) "
                "ON CONFLICT (workspace_ref) DO UPDATE SET "
                "faults = databricks_circuit.faults + 1, "
                "since = coalesce(databricks_circuit.since, excluded.since), "
                "next_try = %s, probe_until = NULL, message = excluded.message",
                workspace.id,
                now,
                message[:500],
                pause,
            )
        )

    def _record_refusal(self, workspace, mark):
        now = fields.Datetime.now()
        self._execute(
            SQL(
                "INSERT INTO databricks_circuit (workspace_ref, faults, refused_at, refused_mark) "
                "VALUES (%s, 0, %s, %s) ON CONFLICT (workspace_ref) DO UPDATE SET "
                "faults = 0, since = NULL, next_try = NULL, probe_until = NULL, message = NULL, "
                "refused_at = excluded.refused_at, refused_mark = excluded.refused_mark",
                workspace.id,
                now,
                mark,
            )
        )

    def _forget(self, workspace):
        self._execute(SQL("DELETE FROM databricks_circuit WHERE workspace_ref = %s", workspace.id))

    def _release_probe(self, workspace):
        self._execute(
            SQL(
                "UPDATE databricks_circuit SET probe_until = NULL "
                "WHERE workspace_ref = %s AND probe_until IS NOT NULL",
                workspace.id,
            )
        )

    def _execute(self, query):
        """Number of rows changed; 0 also if another worker has just changed the same row."""
        try:
            with self.env.registry.cursor() as cr:
                cr.execute(query, log_exceptions=False)
                return cr.rowcount
        except psycopg2.errors.SerializationFailure:
            return 0

    @api.autovacuum
    def _gc_circuits(self):
        """Those of workspaces that were deleted."""
        self.env.cr.execute(
            "DELETE FROM databricks_circuit WHERE workspace_ref NOT IN "
            "(SELECT id FROM databricks_workspace)"
        )
