import time
from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import tagged

from ..lib import jobs
from ..lib.errors import Busy, PermissionMissing, TimedOut
from .common import needs_workspace
from .databricks_common import PipelineCase


@tagged("post_install", "-at_install")
@needs_workspace
class TestRuns(PipelineCase):
    """Real jobs in the real workspace: their scripts lie in a Volume, tasks are processes."""

    def bodies(self, run):
        return [str(message.body) for message in run.message_ids.sorted("id")]

    def test_run_now_returns_before_the_end(self):
        name, __ = self.job("slow")
        pipeline = self.pipeline(job_name=name)
        started = time.monotonic()
        action = pipeline.with_user(self.manager).action_run_now()
        self.assertLess(time.monotonic() - started, 10)
        run = self.env[action["res_model"]].browse(action["res_id"])
        self.assertIn(run.state, ("submitted", "running"))
        self.assertTrue(run.remote_run_id.isdecimal())
        self.assertTrue(run.run_page_url)
        self.assertGreater(run.next_poll_at, fields.Datetime.now())
        with self.assertRaisesRegex(UserError, "running already"):
            pipeline.action_run_now()
        self.assertEqual(run.action_open_run_page()["url"], run.run_page_url)

        run.with_user(self.manager).action_cancel()
        self.follow(run)
        self.assertEqual(run.state, "canceled")
        self.assertIn(self.manager.name, run.error)
        self.assertFalse(self.activities(run), "a person's own decision is no failure")
        with self.assertRaisesRegex(UserError, "ended already"):
            run.action_cancel()

    def test_success(self):
        name, job_id = self.job("good")
        pipeline = self.pipeline(job_name=False, job_id=str(job_id))
        run = self.follow(self.run_now(pipeline))
        self.assertEqual(run.state, "succeeded", run.error)
        task = run.task_ids
        self.assertEqual((task.key, task.state, task.result), ("task_good", "succeeded", "SUCCESS"))
        self.assertIn("rows", task.log_tail)
        self.assertTrue(task.started_at <= task.finished_at)
        self.assertTrue(run.finished_at)
        self.assertFalse(run.error)
        self.assertFalse(run.activity_ids)
        self.assertEqual(pipeline.last_state, "succeeded")
        bodies = self.bodies(run)
        self.assertEqual(len(bodies), len(set(bodies)), "transitions only")
        self.assertIn("Succeeded", bodies[-1])

    def test_failure_brings_the_error_of_the_task(self):
        name, __ = self.job("good", "bad", "slow")
        pipeline = self.pipeline(job_name=name)
        run = self.follow(self.run_now(pipeline))
        self.assertEqual(run.state, "failed")
        self.assertIn("task_bad: ", run.error)
        self.assertIn("ledger 7 is not balanced", run.error)
        self.assertNotIn("task_slow", run.error)
        self.assertEqual(
            [(task.key, task.state) for task in run.task_ids],
            [("task_good", "succeeded"), ("task_bad", "failed"), ("task_slow", "skipped")],
        )
        task = self.task(run, "task_bad")
        self.assertIn("Traceback", task.error_trace)
        self.assertIn("ledger 7 is not balanced", task.error)
        self.assertIn("token=***", task.log_tail)
        self.assertNotIn("abcdefgh1234", repr(task.read()))
        self.assertIn("Failed. Tasks: task_bad.", self.bodies(run)[-1])
        self.assertEqual(len(self.activities(run)), 1)
        self.assertIn("ledger 7", self.activities(run).note)

        again = self.follow(self.run_now(pipeline))
        self.assertEqual(again.state, "failed")
        self.assertFalse(self.activities(again), "the first activity is still open")

    def test_lost_answer_is_found_by_the_same_token(self):
        name, job_id = self.job("good")
        pipeline = self.pipeline(job_name=name)
        run_now, sent = jobs.run_now, []

        def answer_lost(*args):
            sent.append(run_now(*args))
            raise TimedOut("no answer within the time-out")

        with patch.object(jobs, "run_now", answer_lost):
            run = self.run_now(pipeline)
        self.assertEqual(run.state, "queued")
        self.assertFalse(run.remote_run_id)
        self.assertIn("No answer", run.error)
        self.follow(run)
        self.assertEqual(run.state, "succeeded", run.error)
        self.assertEqual(run.remote_run_id, str(sent[0]))
        self.assertEqual(run.submit_attempts, 2)
        with self.workspace.client() as client:
            self.assertEqual(len(list(client.jobs.list_runs(job_id=job_id))), 1)

    def test_schedule_submits_and_later_polls(self):
        name, __ = self.job("good")
        due = fields.Datetime.now() - timedelta(days=3, minutes=5)
        pipeline = self.pipeline(
            job_name=name, scheduled=True, next_run=due, parameters='{"month": "2025-09"}'
        )
        cron = self.env.ref("odoo_databricks.databricks_pipeline_cron")
        cron.ir_actions_server_id.run()
        run = pipeline.run_ids
        self.assertEqual(len(run), 1, "missed times run once")
        self.assertEqual((run.reason, run.scheduled_for), ("schedule", due.replace(microsecond=0)))
        self.assertTrue(run.remote_run_id, run.error)
        self.assertEqual(run.parameters, '{"month": "2025-09"}')
        ahead = pipeline.next_run - fields.Datetime.now()
        self.assertTrue(timedelta() < ahead <= timedelta(days=1))
        self.follow(run)
        self.assertEqual(run.state, "succeeded", run.error)
        self.assertEqual(pipeline.run_ids, run)

    def test_deadline_cancels(self):
        name, __ = self.job("slow")
        pipeline = self.pipeline(job_name=name)
        run = self.run_now(pipeline)
        run.deadline_at = fields.Datetime.now() - timedelta(minutes=1)
        self.follow(run)
        self.assertEqual(run.state, "canceled")
        self.assertIn("longest run", run.error)
        self.assertEqual(len(self.activities(run)), 1)

    def test_job_that_is_not_there(self):
        pipeline = self.pipeline(job_name="no such job")
        run = self.run_now(pipeline)
        self.assertEqual(run.state, "failed")
        self.assertIn("no job named 'no such job'", run.error)
        self.assertEqual(len(self.activities(run)), 1)


@tagged("post_install", "-at_install")
class TestRunMachine(PipelineCase):
    """What the workspace cannot be made to do: refuse, stay silent, or be handled twice."""

    def queued(self, **values):
        return self.pipeline(**values)._queue_run("manual")

    def refuse(self, error):
        return patch.object(type(self.workspace), "_connect", side_effect=error)

    def test_outage_backs_off_and_ends_at_the_deadline(self):
        run, delays = self.queued(), []
        with self.refuse(TimedOut("no answer")):
            for __ in range(10):
                run.next_poll_at = fields.Datetime.now()
                run._cron_advance()
                delays.append(run.next_poll_at - fields.Datetime.now())
            self.assertEqual(run.state, "queued")
            self.assertLess(delays[0], timedelta(seconds=30))
            self.assertGreater(delays[-1], timedelta(seconds=250))
            self.assertFalse(run.message_ids.filtered(lambda m: "no answer" in m.body))
            run.deadline_at = fields.Datetime.now() - timedelta(seconds=1)
            run.next_poll_at = fields.Datetime.now()
            run._cron_advance()
        self.assertEqual(run.state, "failed")
        self.assertIn(run.idempotency_token, run.error)
        self.assertEqual(len(self.activities(run)), 1)

    def test_refusal_ends_the_run(self):
        run = self.queued()
        with self.refuse(PermissionMissing("User does not have CAN_MANAGE_RUN on job 7")):
            run._cron_advance()
        self.assertEqual(run.state, "failed")
        self.assertIn("CAN_MANAGE_RUN", run.error)
        self.assertIn("administrator", run.error)

    def test_retry_after_is_kept(self):
        run = self.queued()
        with self.refuse(Busy("too many requests", retry_after=900)):
            run._cron_advance()
        self.assertGreaterEqual(run.next_poll_at - fields.Datetime.now(), timedelta(seconds=898))
        self.assertEqual(run.state, "queued")

    def test_run_in_other_hands_is_left_alone(self):
        run = self.queued()
        run.lease_until = fields.Datetime.now() + timedelta(minutes=1)
        with self.refuse(AssertionError("asked by two workers")):
            self.env["databricks.pipeline"]._cron_run_and_poll()
        self.assertEqual(run.submit_attempts, 0)

    def test_token_is_there_before_the_call(self):
        seen = []
        run = self.queued()

        def connect(workspace, record, note):
            seen.append((record.idempotency_token, record.submit_attempts, record.lease_until))
            raise TimedOut("no answer")

        with patch.object(type(self.workspace), "_connect", connect):
            run._cron_advance()
        ((token, attempts, lease),) = seen
        self.assertEqual((token, attempts), (run.idempotency_token, 1))
        self.assertGreater(lease, fields.Datetime.now())
        self.assertTrue(0 < len(token) <= 64)

    def test_overlap_is_left_out(self):
        pipeline = self.pipeline(scheduled=True)
        first = pipeline._queue_run("manual")
        first.lease_until = fields.Datetime.now() + timedelta(minutes=1)
        self.env["databricks.pipeline"]._cron_run_and_poll()
        self.assertEqual(pipeline.run_ids, first)
        self.assertGreater(pipeline.next_run, fields.Datetime.now())

    def test_cancel_before_anything_was_sent(self):
        run = self.queued()
        with self.refuse(AssertionError("nothing to ask")):
            run.action_cancel()
        self.assertEqual(run.state, "canceled")

    def test_month_end_and_deadlines_in_manila(self):
        now = fields.Datetime.to_datetime("2025-10-31 10:00:00")
        pipeline = self.pipeline(schedule_kind="month_end", schedule_days=0, schedule_hour=18.5)
        self.assertEqual(str(pipeline._next_after(now)), "2025-10-31 10:30:00")
        self.assertGreater(pipeline.next_run, fields.Datetime.now())
        before = pipeline.next_run
        pipeline.schedule_hour = 6.0
        self.assertNotEqual(pipeline.next_run, before, "follows the calendar")
        pipeline.schedule_days = 3
        # six in the morning of 3 November in Manila
        self.assertEqual(str(pipeline._next_after(now)), "2025-11-02 22:00:00")
        pipeline.write({"schedule_kind": "bir_deadline", "bir_form": "1601-EQ"})
        # the third quarter is due on 31 October; the next one is the fourth, due on 31 January
        self.assertEqual(str(pipeline._next_after(now)), "2026-01-27 22:00:00")
        pipeline.bir_form = "0619-E"
        self.assertEqual(str(pipeline._next_after(now)), "2025-11-06 22:00:00")
        # none for the third month of a quarter
        new_year = fields.Datetime.to_datetime("2026-01-01 00:00:00")
        self.assertEqual(str(pipeline._next_after(new_year)), "2026-02-06 22:00:00")

    def test_a_month_end_that_is_due_runs_once(self):
        pipeline = self.pipeline(scheduled=True, schedule_kind="month_end")
        pipeline.next_run = due = fields.Datetime.now() - timedelta(days=40)
        with self.refuse(TimedOut("no answer")):
            self.env["databricks.pipeline"]._cron_run_and_poll()
        self.assertEqual(len(pipeline.run_ids), 1)
        self.assertEqual(pipeline.run_ids.scheduled_for, due)
        self.assertGreater(pipeline.next_run, fields.Datetime.now())

    def test_months_do_not_slip(self):
        pipeline = self.pipeline(interval_type="months", next_run="2025-01-31 18:00:00")
        after = fields.Datetime.to_datetime("2025-03-05 00:00:00")
        self.assertEqual(str(pipeline._next_after(after)), "2025-03-31 18:00:00")

    def test_form_checks(self):
        for values in (
            {"parameters": "{"},
            {"parameters": "[1]"},
            {"parameters": '{"a": 1}'},
            {"job_name": False},
            {"job_id": "12x"},
            {"kind": "pipeline"},
            {"kind": "pipeline", "remote_pipeline_id": "a/b"},
            {"interval_number": 0},
            {"max_minutes": 0},
            {"schedule_days": -1},
            {"schedule_hour": 24},
            {"schedule_kind": "bir_deadline"},
        ):
            with self.subTest(values), self.assertRaises(ValidationError):
                self.pipeline(**values)

    def test_only_managers_run_and_cancel(self):
        pipeline = self.pipeline()
        run = pipeline._queue_run("manual")
        with self.assertRaises(AccessError):
            pipeline.with_user(self.user).action_run_now()
        for method in ("action_cancel", "action_poll", "action_repair", "action_retry"):
            with self.assertRaises(AccessError):
                getattr(run.with_user(self.user), method)()
        with self.assertRaises(AccessError):
            run.with_user(self.manager).write({"state": "succeeded"})
        self.assertEqual(run.with_user(self.user).state, "queued")
