"""The kinds of tasks that take a slot: one module each. run_job_task needs none (``starts``)."""

from __future__ import annotations

from .context import TaskContext, Work
from .pipeline import PipelineWork
from .python import PythonWork
from .sql import SqlWork

_KINDS = {
    "python_wheel_task": PythonWork,
    "spark_python_task": PythonWork,
    "sql_task": SqlWork,
    "pipeline_task": PipelineWork,
}


def prepare(context: TaskContext) -> Work:
    """The work of an attempt, not begun. Raises TaskStartError when it cannot begin."""
    return _KINDS[context.kind](context)
