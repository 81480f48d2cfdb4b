import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import AccessError
from odoo.tests import tagged

from ..lib import jobs
from ..lib.errors import Unreachable, WorkspacePaused, WrongToken
from ..models.databricks_circuit import LONGEST_PAUSE, THRESHOLD
from .common import HOST, TOKEN, needs_workspace
from .databricks_common import PipelineCase

WRONG = "dapi00000000000000000000"


class CircuitCase(PipelineCase):
    def ask(self, workspace=None):
        """One conversation, as any part of the addon has it."""
        with (workspace or self.workspace).client() as client:
            return jobs.list_jobs(client, 1)

    def closed_port(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return f"http://127.0.0.1:{free.getsockname()[1]}"

    def go_down(self):
        self.workspace.host = self.closed_port()

    def fail(self, times):
        for __ in range(times):
            with self.assertRaises(Unreachable):
                self.ask()

    def exchanges(self):
        query = "SELECT count(*) AS n FROM databricks_call_log WHERE workspace_ref = %s"
        return self.own_cursor_rows(query, self.workspace.id)[0]["n"]

    def state(self):
        self.workspace.invalidate_recordset()
        return self.workspace.circuit_state

    def pause_is_over(self):
        with self.registry.cursor() as cr:
            cr.execute(
                "UPDATE databricks_circuit SET next_try = next_try - interval '1 hour' "
                "WHERE workspace_ref = %s",
                (self.workspace.id,),
            )

    def pause(self):
        return self.workspace.circuit_next_try - fields.Datetime.now()


@tagged("post_install", "-at_install")
class TestCircuit(CircuitCase):
    def test_it_opens_after_faults_in_a_row_and_sends_nothing(self):
        self.assertEqual(self.state(), "works")
        self.go_down()
        self.fail(THRESHOLD - 1)
        self.assertEqual(self.state(), "doubtful")
        self.fail(1)
        self.assertEqual(self.state(), "paused")
        self.assertTrue(timedelta(seconds=20) < self.pause() <= timedelta(seconds=30))
        self.assertLessEqual(self.workspace.circuit_since, fields.Datetime.now())
        sent = self.exchanges()
        with self.assertRaisesRegex(WorkspacePaused, "has not answered since .*; next try at"):
            self.ask()
        self.assertEqual(self.exchanges(), sent)

    def test_pauses_grow_up_to_a_limit(self):
        self.go_down()
        self.fail(THRESHOLD)
        pauses = []
        for __ in range(6):
            self.pause_is_over()
            self.fail(1)
            self.assertEqual(self.state(), "paused")
            pauses.append(self.pause())
        self.assertGreater(pauses[0], timedelta(seconds=45))
        self.assertGreater(pauses[1], pauses[0])
        self.assertGreater(pauses[-1], timedelta(seconds=LONGEST_PAUSE * 0.8))
        self.assertLessEqual(max(pauses), timedelta(seconds=LONGEST_PAUSE))

    def test_one_tries_after_a_pause(self):
        self.go_down()
        self.fail(THRESHOLD)
        self.pause_is_over()
        circuit, mark = self.env["databricks.circuit"], self.workspace._secret_mark()
        circuit._admit(self.workspace, mark)
        with self.assertRaises(WorkspacePaused):
            circuit._admit(self.workspace, mark)

    def test_faults_of_the_caller_are_none_of_the_workspace(self):
        for __ in range(THRESHOLD):
            with self.assertRaises(ZeroDivisionError), self.workspace._noted("mark"):
                raise ZeroDivisionError
        self.assertEqual(self.state(), "works")

    def test_state_survives_the_rollback_of_the_caller(self):
        self.go_down()
        for __ in range(THRESHOLD):
            with self.assertRaises(ZeroDivisionError), self.env.cr.savepoint():
                # the caller may hold the row of the workspace
                self.env.cr.execute("SELECT id FROM databricks_workspace FOR UPDATE")
                self.fail(1)
                raise ZeroDivisionError
        self.assertEqual(self.state(), "paused")

    def test_workers_that_note_at_the_same_time(self):
        circuit, workspace = self.env["databricks.circuit"], self.workspace
        workspace.mapped("name")
        start = threading.Barrier(6)

        def note():
            start.wait(10)
            for __ in range(10):
                circuit._record_fault(workspace, "down")
                circuit._take_probe(workspace, fields.Datetime.now())

        with ThreadPoolExecutor(6) as pool:
            for done in [pool.submit(note) for __ in range(6)]:
                done.result(30)
        state = circuit._states(workspace.ids)[workspace.id]
        self.assertTrue(THRESHOLD < state.faults <= 60, state.faults)
        self.assertEqual(self.state(), "paused")

    def test_who_may_try(self):
        with self.assertRaises(AccessError):
            self.workspace.with_user(self.user).action_try_now()
        self.go_down()
        self.fail(THRESHOLD)
        sent = self.exchanges()
        self.workspace.with_user(self.manager).action_try_now()
        self.assertGreater(self.exchanges(), sent, "a person is not held back")
        self.assertEqual(self.state(), "paused")


@tagged("post_install", "-at_install")
@needs_workspace
class TestOutage(CircuitCase):
    def test_an_outage_costs_little_and_everything_catches_up(self):
        name, job_id = self.job("good")
        self.go_down()
        due = fields.Datetime.now() - timedelta(minutes=5)
        pipeline = self.pipeline(job_name=name, scheduled=True, next_run=due)
        Pipeline = self.env["databricks.pipeline"]
        with self.assertNoLogs("odoo.addons.odoo_databricks", "WARNING"):
            for __ in range(THRESHOLD + 3):
                pipeline.run_ids.next_poll_at = fields.Datetime.now()
                Pipeline._cron_run_and_poll()
        run = pipeline.run_ids
        self.assertEqual(len(run), 1)
        self.assertEqual(run.state, "queued")
        self.assertEqual(self.state(), "paused")
        self.assertEqual(run.submit_attempts, THRESHOLD, "what was not sent is no attempt")
        self.assertGreaterEqual(run.next_poll_at, self.workspace.circuit_next_try)
        self.assertIn("next try at", run.error)
        self.assertEqual(len(run.message_ids), 1, "only that it was made: no transition since")

        self.workspace.host = os.environ[HOST]
        sent = self.exchanges()
        run.next_poll_at = fields.Datetime.now()
        Pipeline._cron_run_and_poll()
        self.assertEqual(self.exchanges(), sent, "the pause is not over")
        self.pause_is_over()
        self.follow(run)
        self.assertEqual(run.state, "succeeded", run.error)
        self.assertEqual(pipeline.run_ids, run)
        self.assertEqual(self.state(), "works")
        with self.workspace.client() as client:
            self.assertEqual(len(list(client.jobs.list_runs(job_id=job_id))), 1)

    def test_a_person_ends_the_pause(self):
        self.go_down()
        self.fail(THRESHOLD)
        run = self.pipeline()._queue_run("schedule")
        run._cron_advance()
        self.assertGreater(run.next_poll_at, fields.Datetime.now())
        self.workspace.host = os.environ[HOST]
        params = self.workspace.with_user(self.manager).action_try_now()["params"]
        self.assertEqual(params["type"], "success", params["message"])
        self.assertEqual(self.state(), "works")
        self.assertLessEqual(run.next_poll_at, fields.Datetime.now(), "what waits goes on")
        self.ask()

    def test_a_success_between_faults_keeps_it_closed(self):
        for __ in range(2):
            self.go_down()
            self.fail(THRESHOLD - 1)
            self.workspace.host = os.environ[HOST]
            self.ask()
        self.assertEqual(self.state(), "works")

    def test_a_refused_token_is_not_sent_again_until_it_changes(self):
        self.workspace.token = WRONG
        with self.assertRaises(WrongToken):
            self.ask()
        self.assertEqual(self.state(), "refused")
        sent = self.exchanges()
        with self.assertRaisesRegex(WorkspacePaused, "has refused the token or secret since"):
            self.ask()
        run = self.pipeline()._queue_run("schedule")
        run._cron_advance()
        self.assertEqual((run.state, run.submit_attempts), ("queued", 0))
        self.assertIn("Store a new one", run.error)
        self.assertEqual(self.exchanges(), sent)
        self.workspace.action_test_connection()
        self.assertEqual(self.state(), "refused", "still the refused one")
        self.workspace.token = os.environ[TOKEN]
        self.ask()
        self.assertEqual(self.state(), "works")

    def test_a_secret_of_the_environment_counts_too(self):
        self.workspace.write({"token": WRONG, "code": "finance"})
        with self.assertRaises(WrongToken):
            self.ask()
        with patch.dict(os.environ, {"ODOO_DATABRICKS_FINANCE_TOKEN": os.environ[TOKEN]}):
            self.ask()
        self.assertEqual(self.state(), "works")

    def test_a_run_that_was_never_sent_is_canceled_at_its_deadline(self):
        self.go_down()
        self.fail(THRESHOLD)
        run = self.pipeline()._queue_run("schedule")
        run._cron_advance()
        run.deadline_at = run.next_poll_at = fields.Datetime.now() - timedelta(seconds=1)
        run._cron_advance()
        self.assertEqual(run.state, "canceled")
        self.assertIn("has not answered since", run.error)
        self.assertEqual(len(self.activities(run)), 1)
