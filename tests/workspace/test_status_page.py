"""The status page: who gets in, what it shows, and that no name on it can do anything."""

from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workspace_process import PYTHON, ROOT, child_environment, init_workspace, serve_workspace
from workspace_process import stop_workspace as stop

from local_workspace.pages import html

PAGE = "/_local/status"
NASTY = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


class Elements(HTMLParser):
    """The names and attributes of all elements, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, name, attributes):
        self.names.append(name)
        self.attributes += attributes

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("status")
    workspace = serve_workspace(folder, init_workspace(folder), options=("--faults",))
    yield workspace
    stop(workspace)


@pytest.fixture(scope="module")
def api(running):
    headers = {"authorization": f"Bearer {running.token}"}
    with httpx.Client(base_url=running.host, headers=headers, timeout=60) as client:
        yield client


@pytest.fixture
def browser(running):
    """A client that keeps cookies and sends no token."""
    with httpx.Client(base_url=running.host, timeout=60, follow_redirects=True) as client:
        yield client


def sign_in(browser, token: str) -> httpx.Response:
    return browser.post(f"{PAGE}/enter", data={"token": token})


def is_door(answer: httpx.Response) -> bool:
    return answer.status_code in (401, 403) and 'name="token"' in answer.text


# --- who gets in -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", PAGE, f"{PAGE}/tables/main/gold/x", f"{PAGE}/endpoints/x", f"{PAGE}/pipelines/x"]
)
def test_a_stranger_meets_the_door(browser, path):
    answer = browser.get(path)
    assert is_door(answer)
    assert "system.billing" not in answer.text


def test_a_token_lets_in_and_signing_out_ends_it(running, browser):
    answer = sign_in(browser, running.token)
    assert answer.status_code == 200 and "Serving endpoints" in answer.text
    assert running.token not in answer.text
    (cookie,) = answer.history[0].headers.get_list("set-cookie")
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and f"Path={PAGE}" in cookie
    assert "Max-Age=3600" in cookie and running.token not in cookie
    value = browser.cookies["local_workspace_session"]
    assert is_door(browser.post(f"{PAGE}/leave"))
    browser.cookies.set("local_workspace_session", value, path=PAGE)
    assert is_door(browser.get(PAGE))


@pytest.mark.parametrize("token", ["", "dapi" + "0" * 32, "x" * 10_000, "\0é", " "])
def test_a_wrong_token_does_not(browser, token):
    answer = sign_in(browser, token)
    assert is_door(answer)
    assert "not valid" in answer.text
    assert not browser.cookies


@pytest.mark.parametrize("value", ["x", "", "a.b.c", "'; DROP TABLE browser_sessions; --"])
def test_an_invented_cookie_does_not(browser, value):
    browser.cookies.set("local_workspace_session", value, path=PAGE)
    assert is_door(browser.get(PAGE))


def test_the_cookie_is_no_key_to_the_api(running, browser):
    sign_in(browser, running.token)
    value = browser.cookies["local_workspace_session"]
    cookies = {"cookie": f"local_workspace_session={value}"}
    assert httpx.get(f"{running.host}/api/2.2/jobs/list", headers=cookies).status_code == 401
    bearer = {"authorization": f"Bearer {value}"}
    assert httpx.get(f"{running.host}/api/2.2/jobs/list", headers=bearer).status_code == 401


def test_a_session_is_short(running, api, browser):
    sign_in(browser, running.token)
    assert browser.get(PAGE).status_code == 200
    api.post("/_local/clock", json={"ahead_seconds": 3601}).raise_for_status()
    try:
        assert is_door(browser.get(PAGE))
    finally:
        api.post("/_local/clock", json={"ahead_seconds": 0}).raise_for_status()


def command(running, *arguments: str) -> dict:
    import subprocess

    done = subprocess.run(
        [PYTHON, "-m", "local_workspace", *arguments, "--data", str(running.data)],
        cwd=ROOT, env=child_environment(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_revoked_token_ends_its_sessions(running, browser):
    made = command(running, "token", "create", "--comment", "for the page")
    assert sign_in(browser, made["token"]).status_code == 200
    command(running, "token", "revoke", str(made["id"]))
    assert is_door(browser.get(PAGE))


def test_the_address_that_status_prints_lets_in_once(running, browser):
    page = command(running, "status")["page"]
    assert running.token not in page
    forged = page[:-1] + ("0" if page[-1] != "0" else "1")
    assert is_door(browser.get(forged))
    assert "Serving endpoints" in browser.get(page).text
    assert browser.get(PAGE).status_code == 200
    with httpx.Client(follow_redirects=True) as other:
        assert is_door(other.get(page))


def test_that_address_expires(running, api, browser):
    page = command(running, "status")["page"]
    api.post("/_local/clock", json={"ahead_seconds": 301}).raise_for_status()
    try:
        assert is_door(browser.get(page))
    finally:
        api.post("/_local/clock", json={"ahead_seconds": 0}).raise_for_status()


# --- what it shows -----------------------------------------------------------------------------


def test_every_page_forbids_scripts(running, browser):
    for answer in (browser.get(PAGE), sign_in(browser, running.token)):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src" not in policy
        assert "unsafe-inline" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"


def statement(api, sql: str) -> None:
    body = {"statement": sql, "warehouse_id": "local", "wait_timeout": "50s"}
    answer = api.post("/api/2.0/sql/statements", json=body).json()
    assert answer["status"]["state"] == "SUCCEEDED", answer


def test_what_there_is_is_shown_and_nothing_in_it_acts(running, api, browser, tmp_path):
    script = tmp_path / "job.py"
    script.write_text(f"print({NASTY!r})\nraise ValueError({NASTY!r})\n")
    task = {"task_key": "only", "spark_python_task": {"python_file": str(script)}}
    job = {"name": f"job {NASTY}", "tasks": [task]}
    job_id = api.post("/api/2.2/jobs/create", json=job).json()["job_id"]
    run_id = api.post("/api/2.2/jobs/run-now", json={"job_id": job_id}).json()["run_id"]
    code = b"from pyspark import pipelines as dp\n"
    file = "/Volumes/main/landing/finance_exports/p.py"
    api.put(f"/api/2.0/fs/files{file}", content=code).raise_for_status()
    pipeline = {"name": f"pipeline {NASTY}", "catalog": "main", "schema": "gold",
                "libraries": [{"file": {"path": file}}]}  # fmt: skip
    pipeline_id = api.post("/api/2.0/pipelines", json=pipeline).json()["pipeline_id"]
    model = {"name": f"model {NASTY}".replace("/", "").replace(":", ""), "description": NASTY}
    answer = api.post("/api/2.0/mlflow/registered-models/create", json=model)
    assert answer.status_code == 200, answer.text
    statement(api, "CREATE OR REPLACE TABLE main.gold.shown (a INT, b DECIMAL(18,2))")
    statement(api, "INSERT INTO main.gold.shown VALUES (1, 2.5)")
    deadline = time.monotonic() + 60
    while True:
        run = api.get("/api/2.2/jobs/runs/get", params={"run_id": run_id}).json()
        if run["state"]["life_cycle_state"] in ("TERMINATED", "INTERNAL_ERROR"):
            break
        assert time.monotonic() < deadline
        time.sleep(0.1)

    page = sign_in(browser, running.token)
    shown = Elements(page.text)
    for wanted in (job["name"], pipeline["name"], model["name"], "main.gold.shown", "FAILED"):
        assert wanted in shown.text
    assert "LOCAL_JOBS_SERVERLESS_COMPUTE" in shown.text
    table = Elements(browser.get(f"{PAGE}/tables/main/gold/shown").text)
    assert "decimal(18,2)" in table.text and "WRITE" in table.text
    detail = Elements(browser.get(f"{PAGE}/pipelines/{pipeline_id}").text)
    assert pipeline["name"] in detail.text
    hrefs = [value for name, value in shown.attributes if name == "href"]
    (address,) = [href for href in hrefs if f"/_local/runs/{run_id}?" in href]
    log = Elements(httpx.get(address).text)
    assert NASTY in log.text
    for each in (shown, table, detail, log):
        assert not {"script", "img", "iframe", "object"} & set(each.names)
        assert not [name for name, _ in each.attributes if name.startswith("on")]
        links = [urlsplit(value) for name, value in each.attributes if name == "href"]
        assert {link.scheme for link in links} <= {"", "http", "https"}


@pytest.mark.parametrize(
    "path", ["tables/main/gold/nothing", "tables/a/b/c", "tables/main/../x/y", "endpoints/nothing",
             "endpoints/%3Cscript%3E", "pipelines/nothing", "tables/main/gold/%2e%2e"],
)  # fmt: skip
def test_what_there_is_not(running, browser, path):
    sign_in(browser, running.token)
    answer = browser.get(f"{PAGE}/{path}")
    assert answer.status_code in (404, 501), answer.text
    assert "<script" not in answer.text and "Traceback" not in answer.text


def test_no_secret_on_any_page(running, browser):
    from local_workspace.store import Store

    sign_in(browser, running.token)
    secrets = [running.token, running.credentials.client_secret]
    secrets.append(Store(running.data / "workspace.db").meta("link_secret"))
    for path in (PAGE, f"{PAGE}/tables/system/billing/usage"):
        answer = browser.get(path)
        assert answer.status_code == 200
        assert not [secret for secret in secrets if secret in answer.text]
    log = (running.data / "serve.stderr").read_text()
    assert browser.cookies["local_workspace_session"] not in log
    assert not re.search(r"sig=[0-9a-f]{64}", log)


# --- how HTML is made --------------------------------------------------------------------------


@given(st.text(), st.text())
def test_text_stays_text(content, attribute):
    made = html.tag("a", content, href=attribute)
    parsed = Elements(made)
    assert parsed.names == ["a"]
    # The parser, as a browser, reads a bare carriage return and a null as it likes.
    if not set(content) & {"\r", "\0"}:
        assert parsed.text == content
    assert [name for name, _ in parsed.attributes] == ["href"]


def test_html_is_put_in_as_it_is():
    assert html.tag("p", html.tag("b", "<x>"), " & ") == "<p><b>&lt;x&gt;</b> &amp; </p>"
    assert html.table([("A", "figure")], []) == '<p class="none">None yet.</p>'
