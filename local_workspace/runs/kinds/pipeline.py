"""pipeline_task: an update of a pipeline, watched until it has ended."""

from __future__ import annotations

import threading
import time

from ...errors import ApiError
from ..transitions import Outcome
from .context import TaskContext, failed

LOOK_SECONDS = 0.5
STOP_SECONDS = 15.0
ENDED = ("COMPLETED", "FAILED", "CANCELED")


class PipelineWork:
    """The update is stopped with the task."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._pipelines = context.services.pipelines
        self._stopped = threading.Event()

    def run(self) -> Outcome:
        given = self._context.payload
        pipeline_id = given["pipeline_id"]
        if self._stopped.is_set():
            return Outcome("CANCELED")
        try:
            update_id = self._pipelines.start_update(
                pipeline_id,
                full_refresh=given.get("full_refresh") or False,
                refresh_selection=given.get("refresh_selection"),
                full_refresh_selection=given.get("full_refresh_selection"),
                cause="JOB_TASK",
                user_name=self._context.run["creator"],
            )
            self._context.write_log(f"update {update_id} of pipeline {pipeline_id}\n")
            return self._watch(pipeline_id, update_id)
        except ApiError as error:  # no such pipeline, or it has an update under way
            return Outcome("FAILED", error.message, error.message, code="RUN_EXECUTION_ERROR")

    def stop(self) -> None:
        self._stopped.set()

    def _watch(self, pipeline_id: str, update_id: str) -> Outcome:
        asked_at, seen = 0.0, ""
        while (state := self._pipelines.update(pipeline_id, update_id)["state"]) not in ENDED:
            if state != seen:
                self._context.write_log(f"{state}\n")
                seen = state
            if self._stopped.wait(LOOK_SECONDS) and not asked_at:
                self._pipelines.stop(pipeline_id)
                asked_at = time.monotonic()
            elif asked_at:
                if time.monotonic() - asked_at > STOP_SECONDS:
                    return failed(f"Update {update_id} did not stop; it is {state}.")
                time.sleep(LOOK_SECONDS)
        self._context.write_log(f"{state}\n")
        if state == "COMPLETED":
            return Outcome("SUCCESS")
        if state == "CANCELED":
            return Outcome("CANCELED", f"Update {update_id} was stopped.")
        return failed(f"Update {update_id} of pipeline {pipeline_id} failed: see its events.")
