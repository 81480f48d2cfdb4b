"""What the tests of pipelines share: real jobs and pipelines, made and taken away again."""

import io
import time
import uuid

from odoo import fields

from ..models.databricks_pipeline_run import ACTIVE_STATES
from .common import LakehouseCase

SCRIPTS = {
    "good": "import sys\nprint('rows', sys.argv[1:])\n",
    "bad": "print('token=abcdefgh1234')\nraise ValueError('ledger 7 is not balanced')\n",
    "slow": "import time\ntime.sleep(300)\n",
}
UPDATE = """
from pyspark import pipelines as dp
from pyspark.sql import SparkSession

spark = SparkSession.active()


@dp.materialized_view(name="{name}_numbers")
def numbers():
    {before}
    return spark.range(10)


@dp.materialized_view(name="{name}_total")
def total():
    return spark.read.table("{name}_numbers").groupBy().sum("{column}")
"""


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

    def run_now(self, pipeline):
        action = pipeline.action_run_now()
        return self.env[action["res_model"]].browse(action["res_id"])

    def follow(self, run, seconds=90):
        """Poll as the scheduled action does, without its minute."""
        deadline = time.monotonic() + seconds
        while run.state in ACTIVE_STATES and time.monotonic() < deadline:
            time.sleep(0.2)
            run.next_poll_at = fields.Datetime.now()
            self.env["databricks.pipeline"]._cron_run_and_poll()
        return run

    def activities(self, run):
        return run.activity_ids.filtered(lambda activity: activity.user_id == self.manager)

    def task(self, run, key):
        return run.task_ids.filtered(lambda task: task.key == key)

    # -- what the workspace holds ---------------------------------------------------------------
    def job(self, *kinds):
        """(name, id) of a job with one task a kind, each after the one before."""
        from databricks.sdk.service import jobs as api

        name = f"odoo test {uuid.uuid4().hex[:12]}"
        tasks = []
        for kind in kinds:
            tasks.append(
                api.Task(
                    task_key=f"task_{kind}",
                    spark_python_task=api.SparkPythonTask(python_file=self.script(kind)),
                    depends_on=[api.TaskDependency(task_key=tasks[-1].task_key)] if tasks else None,
                )
            )
        parameters = [api.JobParameterDefinition(name="month", default="2025-01")]
        with self.workspace.client() as client:
            job_id = client.jobs.create(name=name, tasks=tasks, parameters=parameters).job_id
        self.addCleanup(self._delete_job, job_id)
        return name, job_id

    def script(self, kind):
        path = f"/Volumes/main/landing/wheels/{uuid.uuid4().hex}_{kind}.py"
        self.put(path, SCRIPTS[kind])
        self.paths = {**getattr(self, "paths", {}), kind: path}
        return path

    def put(self, path, text):
        with self.workspace.client() as client:
            client.files.upload(path, io.BytesIO(text.encode()), overwrite=True)

    def _delete_job(self, job_id):
        with self.workspace.client() as client:
            client.jobs.delete(job_id)

    def updates_of(self, column="id", before="pass"):
        """(name, id) of a pipeline with two tables; another column makes the second one fail."""
        from databricks.sdk.service.pipelines import FileLibrary, PipelineLibrary
        from databricks.sdk.service.workspace import ImportFormat

        name = f"odoo_test_{uuid.uuid4().hex[:8]}"
        text = UPDATE.format(name=name, column=column, before=before)
        with self.workspace.client() as client:
            folder = f"/Users/{client.current_user.me().user_name}/{name}"
            client.workspace.mkdirs(folder)
            path = f"{folder}/tables.py"
            client.workspace.upload(path, io.BytesIO(text.encode()), format=ImportFormat.AUTO)
            pipeline_id = client.pipelines.create(
                name=name,
                catalog="main",
                schema="landing",
                serverless=True,
                libraries=[PipelineLibrary(file=FileLibrary(path=path))],
            ).pipeline_id
        self.addCleanup(self._delete_pipeline, pipeline_id, folder)
        return name, pipeline_id

    def _delete_pipeline(self, pipeline_id, folder):
        with self.workspace.client() as client:
            client.pipelines.delete(pipeline_id)
            client.workspace.delete(folder, recursive=True)
