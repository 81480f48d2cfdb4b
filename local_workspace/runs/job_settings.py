"""The settings of jobs and tasks as clients send them: shapes and limits.

Every model keeps the fields that it does not know, so that settings are echoed as they came.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST = 2**63 - 1
Id = Annotated[int, Field(ge=0, le=MOST)]
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
Name = Annotated[str, Field(min_length=1, max_length=4096)]
Seconds = Annotated[int, Field(ge=0, le=10**9)]
Texts = dict[str, str]


class Loose(BaseModel):
    """A body whose further fields are kept."""

    model_config = ConfigDict(extra="allow")

    def sent(self) -> dict:
        """The fields that the client sent, without those that it left empty."""
        return self.model_dump(exclude_unset=True, exclude_none=True)


class Dependency(Loose):
    """``outcome`` belongs to condition tasks, which are not computed here."""

    task_key: Key
    outcome: str | None = None


class WheelTask(Loose):
    package_name: Name
    entry_point: Name
    parameters: list[str] | None = None
    named_parameters: Texts | None = None


class PythonFileTask(Loose):
    python_file: Name
    parameters: list[str] | None = None
    source: Literal["WORKSPACE", "GIT"] | None = None


class SqlFile(Loose):
    path: Name
    source: Literal["WORKSPACE", "GIT"] | None = None


class SqlTask(Loose):
    """Only ``file`` is computed here: queries, alerts and dashboards are not stored."""

    warehouse_id: Name
    file: SqlFile | None = None
    parameters: Texts | None = None


class PipelineParameters(Loose):
    full_refresh: bool | None = None
    refresh_selection: list[str] | None = None
    full_refresh_selection: list[str] | None = None


class PipelineTask(PipelineParameters):
    pipeline_id: Name


class RunParameters(Loose):
    """What run-now and repair may override. The named kinds of other tasks are refused."""

    job_parameters: Texts | None = None
    python_params: list[str] | None = None
    python_named_params: Texts | None = None
    sql_params: Texts | None = None
    pipeline_params: PipelineParameters | None = None


class RunJobTask(RunParameters):
    job_id: Id


class Library(Loose):
    whl: Name | None = None


class TaskSettings(Loose):
    """One task; times in seconds and milliseconds as their names say."""

    task_key: Key
    description: str | None = None
    depends_on: list[Dependency] | None = None
    run_if: (
        Literal[
            "ALL_SUCCESS", "ALL_DONE", "NONE_FAILED", "AT_LEAST_ONE_SUCCESS", "ALL_FAILED",
            "AT_LEAST_ONE_FAILED",
        ]
        | None
    ) = None  # fmt: skip
    python_wheel_task: WheelTask | None = None
    spark_python_task: PythonFileTask | None = None
    sql_task: SqlTask | None = None
    pipeline_task: PipelineTask | None = None
    run_job_task: RunJobTask | None = None
    libraries: list[Library] | None = None
    environment_key: str | None = None
    timeout_seconds: Seconds | None = None
    max_retries: Annotated[int, Field(ge=-1, le=10**6)] | None = None
    min_retry_interval_millis: Annotated[int, Field(ge=0, le=10**12)] | None = None
    retry_on_timeout: bool | None = None
    disabled: bool | None = None


class Parameter(Loose):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,256}$")]
    default: str = ""


class EnvironmentSpec(Loose):
    dependencies: list[str] | None = None


class Environment(Loose):
    environment_key: Name
    spec: EnvironmentSpec | None = None


class JobCluster(Loose):
    job_cluster_key: Name


class Queue(Loose):
    enabled: bool = False


class CronSchedule(Loose):
    quartz_cron_expression: Annotated[str, Field(min_length=1, max_length=1000)]
    timezone_id: Annotated[str, Field(min_length=1, max_length=100)]
    pause_status: Literal["PAUSED", "UNPAUSED"] | None = None


class Trigger(Loose):
    """File arrival, table update, periodic or continuous: kept while it is PAUSED."""

    pause_status: Literal["PAUSED", "UNPAUSED"] | None = None


class RunAs(Loose):
    user_name: str | None = None
    service_principal_name: str | None = None


class CommonSettings(Loose):
    """What jobs and one-time runs have in common."""

    timeout_seconds: Seconds | None = None
    environments: list[Environment] | None = None
    queue: Queue | None = None
    run_as: RunAs | None = None
    git_source: dict | None = None


class JobSettings(CommonSettings):
    """The settings of a job, all optional in an update."""

    name: str | None = Field(default=None, max_length=4096)
    description: str | None = None
    max_concurrent_runs: Annotated[int, Field(ge=0, le=1000)] | None = None
    parameters: list[Parameter] | None = None
    job_clusters: list[JobCluster] | None = None
    tasks: Annotated[list[TaskSettings], Field(max_length=1000)] | None = None
    schedule: CronSchedule | None = None
    trigger: Trigger | None = None
    continuous: Trigger | None = None
    tags: Texts | None = None


class SubmitSettings(CommonSettings):
    """The body of runs/submit: a run without a job."""

    run_name: str | None = Field(default=None, max_length=4096)
    idempotency_token: str | None = Field(default=None, max_length=64)
    tasks: Annotated[list[TaskSettings], Field(min_length=1, max_length=1000)]

    def sent(self) -> dict:
        """Without what only a job has: schedules, parameters, a limit of runs."""
        of_jobs = JobSettings.model_fields.keys() - SubmitSettings.model_fields.keys()
        return {name: value for name, value in super().sent().items() if name not in of_jobs}
