"""Work on a workspace while its processes are killed, and the account of what was acknowledged."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field

import httpx
import psutil

FINAL = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")
VICTIMS = ("workspace", "engine", "model", "task")
_MARKS = {"engine": "sail", "model": "model_host.py", "task": "task_host.py"}
FOLDER = "/api/2.0/fs/files/Volumes/main/landing/finance_exports"


@dataclass
class Account:
    """What the workspace said that it has done; each set belongs to one worker thread."""

    rows: dict[str, set[int]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    statements: list[str] = field(default_factory=list)
    scored: int = 0
    unfriendly: list[str] = field(default_factory=list)


class Workers:
    """Threads that insert rows, write files, start runs and score, whatever dies meanwhile."""

    def __init__(self, token: str, job_id: int, endpoint: str) -> None:
        self.account = Account()
        self.host = ""
        self._headers = {"Authorization": f"Bearer {token}"}
        self._job_id = job_id
        self._endpoint = endpoint
        self._stop = threading.Event()
        works = [self._insert, self._insert, self._write, self._run, self._score]
        self._threads = [
            threading.Thread(target=self._loop, args=(work, number), daemon=True)
            for number, work in enumerate(works)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _loop(self, work, number: int) -> None:
        step = 0
        while not self._stop.is_set():
            step += 1
            try:
                with httpx.Client(base_url=self.host, headers=self._headers, timeout=40) as client:
                    work(client, number, step)
            except httpx.HTTPError:
                time.sleep(0.05)  # down: the work was not acknowledged

    def _insert(self, client: httpx.Client, number: int, step: int) -> None:
        table = f"main.gold.killed_{number}"
        order = {"statement": f"INSERT INTO {table} VALUES ({step})", "warehouse_id": "local",
                 "wait_timeout": "30s"}  # fmt: skip
        answer = client.post("/api/2.0/sql/statements", json=order)
        self._friendly(answer)
        if answer.status_code == 200:
            body = answer.json()
            self.account.statements.append(body["statement_id"])
            if body["status"]["state"] == "SUCCEEDED":
                self.account.rows.setdefault(table, set()).add(step)
        time.sleep(0.2)

    def _write(self, client: httpx.Client, number: int, step: int) -> None:
        content = random.Random(step).randbytes(20_000)
        answer = client.put(f"{FOLDER}/killed_{step}.bin", content=content)
        self._friendly(answer)
        if answer.status_code == 204:
            self.account.files[f"killed_{step}.bin"] = content
        time.sleep(0.2)

    def _run(self, client: httpx.Client, number: int, step: int) -> None:
        token = f"kill-{step}"
        body = {"job_id": self._job_id, "idempotency_token": token, "queue": {"enabled": True}}
        answer = client.post("/api/2.2/jobs/run-now", json=body)
        self._friendly(answer)
        if answer.status_code == 200:
            self.account.runs[token] = answer.json()["run_id"]
        time.sleep(1)

    def _score(self, client: httpx.Client, number: int, step: int) -> None:
        body = {"dataframe_records": [{"a": float(step)}]}
        answer = client.post(f"/serving-endpoints/{self._endpoint}/invocations", json=body)
        self._friendly(answer)
        if answer.status_code == 200:
            assert answer.json() == {"predictions": [2.0 * step]}
            self.account.scored += 1
        time.sleep(0.02)

    def _friendly(self, answer: httpx.Response) -> None:
        """An answer other than success must say what happened, in the contract's shape."""
        if answer.status_code >= 400 and "error_code" not in answer.text:
            self.account.unfriendly.append(f"{answer.status_code} {answer.text[:200]}")


def find_victim(workspace_pid: int, kind: str) -> psutil.Process | None:
    """The process of that kind below the workspace, or None while there is none."""
    whole = psutil.Process(workspace_pid)
    if kind == "workspace":
        return whole
    for child in whole.children(recursive=True):
        try:
            if any(_MARKS[kind] in part for part in child.cmdline()):
                return child
        except psutil.Error:
            continue
    return None


def check_kept(client: httpx.Client, account: Account, newest: int | None = None) -> None:
    """Everything acknowledged is there, and every table can be read.

    With ``newest`` that many files and runs, the last ones, are asked for instead of all.
    """
    promised = {table: set(numbers) for table, numbers in account.rows.items()}
    for table, wanted in promised.items():
        rows = query(client, f"SELECT n FROM {table}")
        found = [int(row[0]) for row in rows]
        assert len(found) == len(set(found)), f"{table}: rows twice"
        assert wanted <= set(found), f"{table}: lost {sorted(wanted - set(found))[:5]}"
    listed = query(client, "SHOW TABLES IN main.gold")
    for row in listed:
        query(client, f"SELECT count(*) FROM main.gold.{row[1]}")
    for name, content in _last(account.files, newest):
        answer = client.get(f"{FOLDER}/{name}")
        assert answer.content == content, f"file {name}"
    for token, run_id in _last(account.runs, newest):
        run = client.get("/api/2.2/jobs/runs/get", params={"run_id": run_id})
        assert run.status_code == 200, f"run {run_id} of {token}: {run.text}"


def _last(acknowledged: dict, newest: int | None) -> list[tuple]:
    items = list(acknowledged.items())
    return items if newest is None else items[-newest:]


def query(client: httpx.Client, sql: str, seconds: float = 60) -> list[list[str]]:
    """Rows of a statement; tried again while the engine comes back."""
    deadline = time.monotonic() + seconds
    while True:
        order = {"statement": sql, "warehouse_id": "local", "wait_timeout": "30s"}
        answer = client.post("/api/2.0/sql/statements", json=order)
        body = answer.json()
        if answer.status_code == 200 and body["status"]["state"] == "SUCCEEDED":
            return body.get("result", {}).get("data_array", [])
        assert time.monotonic() < deadline, body
        time.sleep(0.2)


def wait_final(client: httpx.Client, run_ids: list[int], seconds: float = 120) -> dict[int, str]:
    """Result states of the runs once all of them have ended."""
    deadline = time.monotonic() + seconds
    results: dict[int, str] = {}
    while len(results) < len(run_ids):
        for run_id in run_ids:
            if run_id in results:
                continue
            run = client.get("/api/2.2/jobs/runs/get", params={"run_id": run_id}).json()
            if run["state"]["life_cycle_state"] in FINAL:
                results[run_id] = run["state"].get("result_state", "")
        assert time.monotonic() < deadline, f"not final: {set(run_ids) - results.keys()}"
        time.sleep(0.2)
    return results
