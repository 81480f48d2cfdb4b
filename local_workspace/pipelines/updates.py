"""Pipelines at work: updates are started, watched and stopped; one is active at a time."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
from pathlib import Path

from ..access.principals import OWNER, USER
from ..access.tokens import TASK
from ..clock import now_ms
from ..engine.interface import EngineUnavailable
from ..errors import bad_request
from ..runs.task_process import TaskOutcome, TaskStartError
from . import managed_tables
from .event_log import EventLog
from .journal import Journal
from .pipeline_spec import check_spec
from .pipeline_store import FINAL, PipelineStore
from .update_process import UpdateProcess, clear
from .views import update_view

log = logging.getLogger("local_workspace.pipelines")

STOPPED = "The workspace stopped while the update was active."
CANCELED = "The update was stopped."
KEPT_FOLDERS = 20


class Pipelines:
    """All states are in the store; threads only act on them."""

    def __init__(self, services) -> None:
        self._services = services
        self._settings = services.settings
        self.store = PipelineStore(services.store)
        self.events = EventLog(services.store)
        self._journal = Journal(services.store, self.store, self.events)
        self._slots = threading.Semaphore(self._settings.update_slots)
        self._lock = threading.Lock()
        self._processes: dict[str, UpdateProcess] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._stopping = False

    def recover(self) -> None:
        """After a restart: what was alive has failed, what waited goes on waiting."""
        for update in self.store.unfinished():
            if update["state"] == "QUEUED":
                self._start(update)
            else:
                clear(self._folder(update))
                asked = update["state"] == "STOPPING"
                self._journal.end(
                    update, *(("CANCELED", CANCELED) if asked else ("FAILED", STOPPED))
                )

    # -- definitions ---------------------------------------------------------------------------

    def create(self, body: dict, user_name: str) -> str:
        """Keep a new pipeline. Returns its id."""
        spec = check_spec(body, user_name)
        duplicates = bool(body.get("allow_duplicate_names"))
        row = self.store.create(spec, body.get("run_as"), user_name, duplicates)
        self._journal.user_action(row["pipeline_id"], None, "CREATE", user_name)
        return row["pipeline_id"]

    def edit(self, pipeline_id: str, body: dict, user_name: str) -> None:
        """Replace a pipeline's spec; an update under way goes on with the one it began with."""
        row = self.store.pipeline(pipeline_id)
        spec = check_spec({"name": row["name"]} | body, user_name)
        expected = body.get("expected_last_modified")
        if expected is not None and not isinstance(expected, int):
            raise bad_request("expected_last_modified must be a time in milliseconds.")
        duplicates = bool(body.get("allow_duplicate_names"))
        self.store.replace(pipeline_id, spec, body.get("run_as"), expected, duplicates)
        self._journal.user_action(pipeline_id, None, "EDIT", user_name)

    def delete(self, pipeline_id: str, cascade: bool = True) -> None:
        """Stop and forget a pipeline, and drop its tables unless ``cascade`` is false."""
        self.store.pipeline(pipeline_id)
        self.stop(pipeline_id)
        active = self.store.active(pipeline_id)
        if active is not None:
            with self._lock:
                thread = self._threads.get(active["update_id"])
            if thread is not None:
                thread.join(self._settings.stop_grace_seconds + 10)
        managed_tables.release(self._services.engine.catalog, pipeline_id, drop=cascade)
        self.store.delete(pipeline_id)
        shutil.rmtree(self._settings.pipelines / pipeline_id, ignore_errors=True)

    # -- updates -------------------------------------------------------------------------------

    def start_update(
        self,
        pipeline_id: str,
        full_refresh: bool = False,
        refresh_selection: list[str] | None = None,
        full_refresh_selection: list[str] | None = None,
        validate_only: bool = False,
        cause: str = "API_CALL",
        user_name: str = USER,
    ) -> str:
        """Start an update and return its id. Raises ApiError 404, or 409 while one is active."""
        if full_refresh and (refresh_selection or full_refresh_selection):
            raise bad_request("full_refresh takes no selection of tables.")
        request = {
            "full_refresh": full_refresh,
            "refresh_selection": refresh_selection or [],
            "full_refresh_selection": full_refresh_selection or [],
            "validate_only": validate_only,
        }
        update = self._journal.start(pipeline_id, request, cause, user_name)
        self._start(update)
        return update["update_id"]

    def update(self, pipeline_id: str, update_id: str) -> dict:
        """The update as the REST contract shows it (``state`` is one of the documented ones)."""
        return update_view(self.store.update(pipeline_id, update_id))

    def stop(self, pipeline_id: str, user_name: str = USER) -> None:
        """Cancel the active update, if there is one: SIGTERM, then SIGKILL to its processes."""
        self.store.pipeline(pipeline_id)
        update = self.store.active(pipeline_id)
        if update is None or update["state"] == "STOPPING":
            return
        self._journal.user_action(pipeline_id, update["update_id"], "STOP", user_name)
        if self._journal.end(update, "CANCELED", CANCELED, waiting=True):
            return
        self._journal.progress(update, "STOPPING")
        with self._lock:
            process = self._processes.get(update["update_id"])
        if process is not None:
            self._stop_process(process, "CANCELED")

    def close(self) -> None:
        """End all updates with the workspace; those that only waited go on at the next start."""
        self._stopping = True
        with self._lock:
            processes = list(self._processes.values())
            threads = list(self._threads.values())
        for process in processes:
            self._stop_process(process, "STOPPED")
        # Threads of updates that wait for a slot end with the program.
        running = [thread for thread in threads if thread.name in self._running()]
        for thread in running:
            thread.join(15)

    def _running(self) -> set[str]:
        return {f"update-{row['update_id']}" for row in self.store.unfinished()
                if row["state"] != "QUEUED"}  # fmt: skip

    def _stop_process(self, process: UpdateProcess, reason: str) -> None:
        grace = self._settings.stop_grace_seconds
        threading.Thread(target=process.stop, args=(reason, grace), daemon=True).start()

    def _start(self, update: sqlite3.Row) -> None:
        name = update["update_id"]
        thread = threading.Thread(
            target=self._drive, args=(update,), name=f"update-{name}", daemon=True
        )
        with self._lock:
            if self._stopping:
                return
            self._threads[name] = thread
        thread.start()

    def _drive(self, update: sqlite3.Row) -> None:
        try:
            with self._slots:
                if not self._stopping and self._journal.take(update):
                    self._run(update)
        except Exception:
            log.exception("update %s failed in the workspace itself", update["update_id"])
            self._journal.end(update, "FAILED", "The workspace could not carry out the update.")
        finally:
            with self._lock:
                self._threads.pop(update["update_id"], None)

    def _run(self, update: sqlite3.Row) -> None:
        began = now_ms()
        self._journal.progress(update, "WAITING_FOR_RESOURCES")
        identity = self._services.identity
        creator = self.store.pipeline(update["pipeline_id"])["creator"]
        token_id, token = identity.create_token(
            f"pipeline update {update['update_id']}",
            principal=identity.service_principals.find(creator) or OWNER,
            kind=TASK,
        )
        verdict: dict = {}
        try:
            self._services.engine.process.wait_up()
            outcome = self._watch(update, token, verdict)
        except (TaskStartError, EngineUnavailable) as error:
            self._journal.end(update, "FAILED", str(error))
            return
        finally:
            identity.revoke(token_id)
            clear(self._folder(update))
            self._services.meter.record(
                "DLT", began, now_ms(),
                {"dlt_pipeline_id": update["pipeline_id"], "dlt_update_id": update["update_id"]},
                creator,
            )  # fmt: skip
            self._forget_old_folders(update["pipeline_id"])
        self._conclude(update, outcome, verdict)

    def _watch(self, update: sqlite3.Row, token: str, verdict: dict) -> TaskOutcome:
        """Run the process to its end; its last word on the whole update goes into ``verdict``."""

        def listen(message: dict) -> None:
            if "state" in message:
                if message["state"] in FINAL:
                    verdict.update(message)
                else:
                    self._journal.progress(update, message["state"])
            else:
                self.events.add(update["pipeline_id"], update["update_id"], **message)

        process = UpdateProcess(self._services, dict(update), self._folder(update), token, listen)
        with self._lock:
            self._processes[update["update_id"]] = process
        grace = self._settings.stop_grace_seconds
        try:
            # A stop that was asked for before the process was known.
            if self._stopping:
                process.stop("STOPPED", grace)
            elif self.store.update(update["pipeline_id"], update["update_id"])["state"] == (
                "STOPPING"
            ):
                process.stop("CANCELED", grace)
            return process.wait(grace)
        finally:
            with self._lock:
                self._processes.pop(update["update_id"], None)

    def _conclude(self, update: sqlite3.Row, outcome: TaskOutcome, verdict: dict) -> None:
        if outcome.ended_by == "STOPPED":
            self._journal.end(update, "FAILED", STOPPED)
        elif outcome.ended_by == "CANCELED" and verdict.get("state") != "COMPLETED":
            self._journal.end(update, "CANCELED", CANCELED)
        elif verdict:
            self._journal.end(update, verdict["state"], verdict["message"], verdict.get("error"))
        else:
            text = outcome.error or "The process of the update ended without a result."
            self._journal.end(update, "FAILED", f"The update's process failed. {text}"[:4000])

    def _folder(self, update: sqlite3.Row) -> Path:
        return self._settings.pipelines / update["pipeline_id"] / update["update_id"]

    def _forget_old_folders(self, pipeline_id: str) -> None:
        """Keep the logs of the latest updates only."""
        kept = {row["update_id"] for row in self.store.updates(pipeline_id, None, KEPT_FOLDERS)}
        for folder in (self._settings.pipelines / pipeline_id).glob("*"):
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)
