from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import tagged

from ..lib import jobs, pipelines
from ..lib.errors import TimedOut
from .common import needs_workspace
from .databricks_common import SCRIPTS, PipelineCase


@tagged("post_install", "-at_install")
@needs_workspace
class TestRepair(PipelineCase):
    def failed(self, *kinds, **values):
        name, __ = self.job(*kinds)
        pipeline = self.pipeline(job_name=name, **values)
        run = self.follow(self.run_now(pipeline))
        self.assertEqual(run.state, "failed", run.error)
        return run

    def repairs(self, run):
        with self.workspace.client() as client:
            return jobs.get_run(client, int(run.remote_run_id)).repairs

    def test_a_failed_run_is_repaired_to_success(self):
        run = self.failed("good", "bad")
        remote, first = run.remote_run_id, self.task(run, "task_bad").remote_run_id
        manager = run.with_user(self.manager)
        manager.action_repair()
        self.assertIn(run.state, ("submitted", "running"))
        self.assertFalse(run.error)
        self.follow(run)
        self.assertEqual(run.state, "failed", "nothing was mended yet")
        self.assertEqual(run.repair_count, 1)
        self.assertIn("ledger 7", self.task(run, "task_bad").error)

        self.put(self.paths["bad"], SCRIPTS["good"])
        manager.action_repair()
        self.follow(run)
        self.assertEqual(run.state, "succeeded", run.error)
        self.assertEqual((run.remote_run_id, run.repair_count), (remote, 2))
        self.assertEqual(len(self.repairs(run)), 2)
        self.assertEqual(set(run.task_ids.mapped("state")), {"succeeded"})
        task = self.task(run, "task_bad")
        self.assertNotEqual(task.remote_run_id, first)
        self.assertFalse(task.error)
        self.assertIn("rows", task.log_tail)
        self.assertFalse(self.activities(run), "the warning is settled")
        with self.assertRaisesRegex(UserError, "failed or was canceled"):
            manager.action_repair()

    def test_a_lost_answer_repairs_once(self):
        run = self.failed("bad")
        self.put(self.paths["bad"], SCRIPTS["good"])
        repair = jobs.repair

        def answer_lost(*args):
            repair(*args)
            raise TimedOut("no answer within the time-out")

        with patch.object(jobs, "repair", answer_lost):
            run.action_repair()
        self.assertIn("No answer", run.error)
        self.assertEqual(run.state, "submitted")
        self.follow(run)
        self.assertEqual(run.state, "succeeded", run.error)
        self.assertEqual(len(self.repairs(run)), 1)

    def test_retry_is_a_new_run_with_the_same_parameters(self):
        run = self.failed("bad", parameters='{"month": "2025-09"}')
        run.pipeline_id.parameters = '{"month": "2025-10"}'
        self.put(self.paths["bad"], SCRIPTS["good"])
        action = run.with_user(self.manager).action_retry()
        retry = self.env["databricks.pipeline.run"].browse(action["res_id"])
        self.assertEqual((retry.reason, retry.retry_of_id), ("retry", run))
        self.assertEqual(retry.parameters, run.parameters)
        self.assertNotEqual(retry.idempotency_token, run.idempotency_token)
        with self.assertRaisesRegex(UserError, "running already"):
            run.action_retry()
        with self.assertRaisesRegex(UserError, "running already"):
            run.action_repair()
        self.follow(retry)
        self.assertEqual(retry.state, "succeeded", retry.error)
        self.assertFalse(self.activities(run), "its warning is settled too")

    def test_a_run_goes_on_after_a_restart_of_odoo(self):
        name, job_id = self.job("good")
        pipeline = self.pipeline(job_name=name)
        run = self.run_now(pipeline)
        # as a worker leaves it that was killed: leased, and with nothing of it in memory
        run.lease_until = fields.Datetime.now() + timedelta(minutes=4)
        self.env.flush_all()
        self.env.invalidate_all()
        run.next_poll_at = fields.Datetime.now()
        polls = run.poll_count
        run._cron_advance()
        self.assertEqual(run.poll_count, polls, "the lease holds while the worker may live")
        run.lease_until = fields.Datetime.now() - timedelta(seconds=1)
        self.follow(run)
        self.assertEqual(run.state, "succeeded", run.error)
        with self.workspace.client() as client:
            self.assertEqual(len(list(client.jobs.list_runs(job_id=job_id))), 1)

    def test_what_users_of_another_company_and_without_the_manager_group_see(self):
        self.workspace.company_id = self.sampaguita
        run = self.failed("bad")
        tasks = run.task_ids
        self.assertEqual(tasks.company_id, self.sampaguita)
        found = tasks.search([("id", "in", tasks.ids)])
        self.assertEqual(found.with_user(self.user).search([("id", "in", tasks.ids)]), tasks)
        self.assertFalse(found.with_user(self.other_user).search([("id", "in", tasks.ids)]))
        with self.assertRaises(AccessError):
            tasks.with_user(self.other_user).read(["key"])
        for record, name in (
            (tasks, "log_tail"),
            (tasks, "error_trace"),
            (tasks, "error"),
            (tasks, "page_url"),
            (run, "error"),
            (run, "run_page_url"),
        ):
            with self.subTest(name):
                self.assertTrue(record.with_user(self.manager).read([name])[0][name])
                with self.assertRaises(AccessError):
                    record.with_user(self.user).read([name])
        with self.assertRaises(AccessError):
            tasks.with_user(self.manager).write({"state": "succeeded"})
        bodies = "".join(str(message.body) for message in run.message_ids)
        self.assertNotIn("ledger 7", bodies, "users read the chatter")


@tagged("post_install", "-at_install")
@needs_workspace
class TestUpdates(PipelineCase):
    """Updates of a real pipeline of the workspace."""

    def updates_pipeline(self, **options):
        name, remote_id = self.updates_of(**options)
        return self.pipeline(
            name=name, kind="pipeline", job_name=False, remote_pipeline_id=remote_id
        )

    def updates(self, pipeline):
        with self.workspace.client() as client:
            return client.pipelines.list_updates(pipeline.remote_pipeline_id).updates or []

    def test_success_with_a_task_a_table(self):
        pipeline = self.updates_pipeline()
        run = self.follow(self.run_now(pipeline))
        self.assertEqual(run.state, "succeeded", run.error)
        self.assertEqual(
            [(task.key, task.state) for task in run.task_ids.sorted("key")],
            [
                (f"main.landing.{pipeline.name}_numbers", "succeeded"),
                (f"main.landing.{pipeline.name}_total", "succeeded"),
            ],
        )
        self.assertIn(f"/pipelines/{pipeline.remote_pipeline_id}/updates/", run.run_page_url)
        self.assertIn(run.remote_run_id, run.run_page_url)

    def test_failure_brings_the_error_of_the_table(self):
        pipeline = self.updates_pipeline(column="no_such_column")
        run = self.follow(self.run_now(pipeline))
        self.assertEqual(run.state, "failed")
        self.assertIn("no_such_column", run.error)
        self.assertIn(f"{pipeline.name}_total", run.error)
        self.assertEqual(len(self.activities(run)), 1)
        with self.assertRaisesRegex(UserError, "run of a job"):
            run.action_repair()

    def test_lost_answer_is_found_by_the_active_update(self):
        pipeline = self.updates_pipeline(before="import time; time.sleep(3)")
        start = pipelines.start_update

        def answer_lost(*args, **kwargs):
            start(*args, **kwargs)
            raise TimedOut("no answer within the time-out")

        with patch.object(pipelines, "start_update", answer_lost):
            run = self.run_now(pipeline)
        self.assertEqual((run.state, run.remote_run_id), ("queued", False))
        self.follow(run)
        self.assertEqual(run.state, "succeeded", run.error)
        self.assertEqual([one.update_id for one in self.updates(pipeline)], [run.remote_run_id])

    def test_an_update_of_somebody_else_is_waited_for(self):
        pipeline = self.updates_pipeline(before="import time; time.sleep(300)")
        with self.workspace.client() as client:
            foreign = client.pipelines.start_update(pipeline.remote_pipeline_id).update_id
        run = pipeline._queue_run("manual")
        run.flush_recordset()
        self.env.cr.execute(
            "UPDATE databricks_pipeline_run SET create_date = create_date + interval '1 hour' "
            "WHERE id = %s",
            (run.id,),
        )
        run.invalidate_recordset()
        run._advance()
        self.assertEqual((run.state, run.remote_run_id), ("queued", False))
        self.assertIn("as soon as that update has ended", run.error)
        run.action_cancel()
        self.assertEqual(run.state, "canceled")
        (update,) = self.updates(pipeline)
        self.assertEqual(update.update_id, foreign)
        self.assertNotIn(update.state.value, ("CANCELED", "STOPPING"), "theirs goes on")

    def test_cancel(self):
        pipeline = self.updates_pipeline(before="import time; time.sleep(300)")
        run = self.run_now(pipeline)
        self.assertIn(run.state, ("submitted", "running"))
        run.with_user(self.manager).action_cancel()
        self.follow(run)
        self.assertEqual(run.state, "canceled", run.error)
        self.assertEqual(self.updates(pipeline)[0].state.value, "CANCELED")


@tagged("post_install", "-at_install")
@needs_workspace
class TestDiscover(PipelineCase):
    def test_chosen_ones_become_pipelines(self):
        known, __ = self.job("good")
        new, new_id = self.job("good")
        updates, updates_id = self.updates_of()
        pipeline = self.pipeline(job_name=known)
        action = self.workspace.with_user(self.manager).action_discover()
        wizard = self.env[action["res_model"]].with_user(self.manager).browse(action["res_id"])
        lines = {line.name: line for line in wizard.line_ids}
        self.assertEqual(lines[known].pipeline_id, pipeline)
        self.assertFalse(lines[new].pipeline_id)
        self.assertEqual((lines[updates].kind, lines[updates].remote_id), ("pipeline", updates_id))
        with self.assertRaisesRegex(UserError, "at least one"):
            wizard.action_create()
        (lines[known] | lines[new] | lines[updates]).selected = True
        made = self.env["databricks.pipeline"].search(wizard.action_create()["domain"])
        self.assertEqual(set(made.mapped("name")), {new, updates})
        job = made.filtered(lambda one: one.kind == "job")
        self.assertEqual(job.job_id, str(new_id))
        self.assertEqual(job._job_parameters(), {"month": "2025-01"})
        self.assertEqual(self.follow(self.run_now(job)).state, "succeeded")
        wizard.action_search()
        self.assertEqual(wizard.line_ids.filtered(lambda line: line.name == new).pipeline_id, job)

    def test_only_managers_look(self):
        with self.assertRaises(AccessError):
            self.workspace.with_user(self.user).action_discover()
