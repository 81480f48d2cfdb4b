import io
import time
import uuid
from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import AccessError, UserError, ValidationError
from odoo.tests import tagged

from ..lib import jobs
from ..lib.errors import PermissionMissing, TimedOut
from ..models.databricks_pipeline_run import ACTIVE_STATES
from .common import LakehouseCase, needs_workspace

SCRIPTS = {
    "good": "import sys\nprint('rows', sys.argv[1:])\n",
    "bad": "raise ValueError('ledger 7 is not balanced')\n",
    "slow": "import time\ntime.sleep(300)\n",
}


class PipelineCase(LakehouseCase):
    def setUp(self):
        super().setUp()
        self.env["databricks.pipeline"].search([]).scheduled = False
        self.env["databricks.pipeline.run"].search([("state", "in", ACTIVE_STATES)]).unlink()
        self.workspace = self.make_workspace()
        self.forget_calls(self.workspace)

    def pipeline(self, **values):
        return self.env["databricks.pipeline"].create(
            {
                "name": "Nightly",
                "workspace_id": self.workspace.id,
                "job_name": "nightly",
                "responsible_id": self.manager.id,
                **values,
            }
        )

    def activities(self, run):
        return run.activity_ids.filtered(lambda activity: activity.user_id == self.manager)


@tagged("post_install", "-at_install")
@needs_workspace
class TestRuns(PipelineCase):
    """Real jobs in the real workspace: their scripts lie in a Volume, tasks are processes."""

    def job(self, *kinds):
        from databricks.sdk.service import jobs as api

        with self.workspace.client() as client:
            name = f"odoo test {uuid.uuid4().hex[:12]}"
            tasks = []
            for kind in kinds:
                path = f"/Volumes/main/landing/wheels/{uuid.uuid4().hex}_{kind}.py"
                client.files.upload(path, io.BytesIO(SCRIPTS[kind].encode()), overwrite=True)
                tasks.append(
                    api.Task(
                        task_key=f"task_{kind}",
                        spark_python_task=api.SparkPythonTask(python_file=path),
                        depends_on=[api.TaskDependency(task_key=tasks[-1].task_key)]
                        if tasks
                        else None,
                    )
                )
            parameters = [api.JobParameterDefinition(name="month", default="2025-01")]
            job_id = client.jobs.create(name=name, tasks=tasks, parameters=parameters).job_id
        self.addCleanup(self._delete_job, job_id)
        return name, job_id

    def _delete_job(self, job_id):
        with self.workspace.client() as client:
            client.jobs.delete(job_id)

    def follow(self, run, seconds=60):
        """Poll as the scheduled action does, without its minute."""
        deadline = time.monotonic() + seconds
        while run.state in ACTIVE_STATES and time.monotonic() < deadline:
            time.sleep(0.2)
            run.next_poll_at = fields.Datetime.now()
            self.env["databricks.pipeline"]._cron_run_and_poll()
        return run

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
        run = self.follow(
            self.env["databricks.pipeline.run"].browse(pipeline.action_run_now()["res_id"])
        )
        self.assertEqual(run.state, "succeeded", run.error)
        self.assertIn("task_good: SUCCESS", run.task_status)
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
        run = self.follow(
            self.env["databricks.pipeline.run"].browse(pipeline.action_run_now()["res_id"])
        )
        self.assertEqual(run.state, "failed")
        self.assertIn("task_bad: ", run.error)
        self.assertIn("ledger 7 is not balanced", run.error)
        self.assertNotIn("task_slow", run.error)
        self.assertIn("Traceback", run.error_trace)
        self.assertIn("task_good: SUCCESS", run.task_status)
        self.assertIn("task_slow: UPSTREAM_FAILED", run.task_status)
        self.assertEqual(len(self.activities(run)), 1)
        self.assertIn("ledger 7", self.activities(run).note)

        again = self.follow(
            self.env["databricks.pipeline.run"].browse(pipeline.action_run_now()["res_id"])
        )
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
            run = self.env["databricks.pipeline.run"].browse(pipeline.action_run_now()["res_id"])
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
        run = self.env["databricks.pipeline.run"].browse(pipeline.action_run_now()["res_id"])
        run.deadline_at = fields.Datetime.now() - timedelta(minutes=1)
        self.follow(run)
        self.assertEqual(run.state, "canceled")
        self.assertIn("longest run", run.error)
        self.assertEqual(len(self.activities(run)), 1)

    def test_job_that_is_not_there(self):
        pipeline = self.pipeline(job_name="no such job")
        run = self.env["databricks.pipeline.run"].browse(pipeline.action_run_now()["res_id"])
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

    def test_run_in_other_hands_is_left_alone(self):
        run = self.queued()
        run.lease_until = fields.Datetime.now() + timedelta(minutes=1)
        with self.refuse(AssertionError("asked by two workers")):
            self.env["databricks.pipeline"]._cron_run_and_poll()
        self.assertEqual(run.submit_attempts, 0)

    def test_token_is_there_before_the_call(self):
        seen = []
        run = self.queued()

        def connect(workspace, record):
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
            {"interval_number": 0},
            {"max_minutes": 0},
        ):
            with self.subTest(values), self.assertRaises(ValidationError):
                self.pipeline(**values)

    def test_only_managers_run_and_cancel(self):
        pipeline = self.pipeline()
        run = pipeline._queue_run("manual")
        with self.assertRaises(AccessError):
            pipeline.with_user(self.user).action_run_now()
        for method in ("action_cancel", "action_poll"):
            with self.assertRaises(AccessError):
                getattr(run.with_user(self.user), method)()
        with self.assertRaises(AccessError):
            run.with_user(self.manager).write({"state": "succeeded"})
        self.assertEqual(run.with_user(self.user).state, "queued")
