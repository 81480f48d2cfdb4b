"""Faults of the network and of odd servers: each ends soon, typed, with a row in the call log."""

import socket
import time

import pytest
from lib import errors, health
from lib.client import Timeouts, connect, normalise_host, transport_of
from lib.errors import translated

TOKEN = "dapi0123456789abcdef0123456789abcdef"
ME = "/api/2.0/preview/scim/v2/Me"
QUICK = Timeouts(connect=1, read=1, total=3, longest_pause=0.5)
QUICK_LIMIT = 6.0


def open_client(server, records=None, **options):
    options.setdefault("timeouts", QUICK)
    options.setdefault("token", TOKEN)
    on_call = None if records is None else records.append
    return connect(server.url, "pat", on_call=on_call, **options)


def me(client):
    with translated(secrets=transport_of(client).secrets):
        return client.current_user.me()


class stopwatch:
    def __enter__(self):
        self.started = time.monotonic()
        return self

    def __exit__(self, *error):
        self.seconds = time.monotonic() - self.started


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_nothing_listens():
    records = []
    with stopwatch() as watch, pytest.raises(errors.Unreachable) as caught:
        connect(f"http://127.0.0.1:{closed_port()}", "pat", token=TOKEN, on_call=records.append)
    assert watch.seconds < 2 and caught.value.retryable and "firewall" in caught.value.hint
    assert [(r.status, r.error_class) for r in records] == [(None, "ConnectionError")]


def test_unknown_name():
    with pytest.raises(errors.WrongHost) as caught:
        connect("https://workspace.invalid", "pat", token=TOKEN, timeouts=QUICK)
    assert caught.value.kind == "wrong_host" and not caught.value.retryable


def test_a_web_page_is_no_workspace(faulty):
    faulty.on("GET", "/.well-known/databricks-config", body="<html>hello</html>")
    with pytest.raises(errors.WrongHost, match="web page"):
        open_client(faulty)


def test_silent_host_at_connect(faulty):
    faulty.routes["GET", "/.well-known/databricks-config"] = lambda r: faulty.released.wait(30)
    with stopwatch() as watch, pytest.raises(errors.TimedOut):
        open_client(faulty)
    assert watch.seconds < QUICK_LIMIT


def test_a_host_that_answers_without_being_a_workspace_fails_the_identity_check(faulty):
    faulty.on("GET", ME, body="<html>sign in</html>")
    checks = health.test_connection(lambda: open_client(faulty), "w")
    assert [(c.name, c.ok, c.kind) for c in checks] == [
        ("host", True, ""),
        ("identity", False, "wrong_host"),
        ("warehouse", None, ""),
        ("statement", None, ""),
    ]


def test_wrong_token_is_told_without_showing_it(faulty):
    records = []
    message = f"Invalid access token {TOKEN}, header 'Authorization: Bearer {TOKEN}'"
    faulty.on("GET", ME, 401, {"error_code": "UNAUTHENTICATED", "message": message})
    with pytest.raises(errors.WrongToken) as caught:
        me(open_client(faulty, records))
    assert "Invalid access token ***" in str(caught.value)
    assert TOKEN not in repr(caught.value) + repr(records) and "Config:" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    assert records[-1].status == 401 and records[-1].endpoint == ME


@pytest.mark.parametrize(
    ("status", "body", "cls", "retryable"),
    [
        (403, {"error_code": "PERMISSION_DENIED", "message": "no USE CATALOG on main"},
         errors.PermissionMissing, False),
        (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "gone"}, errors.NotFound, False),
        (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "x"},
         errors.InvalidRequest, False),
        (409, {"error_code": "RESOURCE_CONFLICT", "message": "x"}, errors.Conflict, False),
        (501, {"error_code": "NOT_IMPLEMENTED", "message": "genie"}, errors.NotComputed, False),
        (500, {"error_code": "INTERNAL_ERROR", "message": "x"}, errors.ServerFault, True),
        (502, "<html>Bad Gateway</html>", errors.ServerFault, True),
        (504, {"message": "slow"}, errors.TimedOut, True),
    ],
)  # fmt: skip
def test_error_answers_are_typed(faulty, status, body, cls, retryable):
    faulty.on("GET", ME, status, body)
    with pytest.raises(cls) as caught:
        me(open_client(faulty))
    assert type(caught.value) is cls and caught.value.retryable is retryable and caught.value.hint
    assert faulty.count("GET", ME) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_of_an_hour_does_not_stall_the_worker(faulty, status):
    records = []
    faulty.on("GET", ME, status, {"message": "later"}, Retry_After="3600")
    with stopwatch() as watch, pytest.raises(errors.Busy) as caught:
        me(open_client(faulty, records))
    assert 1 < watch.seconds < QUICK_LIMIT
    assert caught.value.retry_after == 3600 and caught.value.retryable
    attempts = [record.attempt for record in records if record.endpoint == ME]
    assert attempts == list(range(1, len(attempts) + 1)) and len(attempts) >= 3


def test_a_retry_that_succeeds_is_two_records(faulty):
    records = []
    answers = iter([(429, {"Retry-After": "0"}, {"message": "later"}), (200, {}, {"id": "1"})])
    faulty.routes["GET", ME] = lambda request: next(answers)
    assert me(open_client(faulty, records)).id == "1"
    assert [(r.status, r.attempt) for r in records[1:]] == [(429, 1), (200, 2)]


def test_a_silent_socket(faulty):
    records = []
    faulty.routes["GET", ME] = lambda request: faulty.released.wait(30)
    client = open_client(faulty, records)
    with stopwatch() as watch, pytest.raises(errors.TimedOut):
        me(client)
    assert watch.seconds < QUICK_LIMIT
    assert records[-1].status is None and records[-1].error_class in ("ReadTimeout", "Timeout")


def test_a_dripping_answer(faulty):
    """Each byte comes within the read time-out; only the total limit ends it."""

    def drip(request):
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not faulty.released.wait(0.2):
            request.wfile.write(b" ")

    faulty.routes["GET", ME] = drip
    client = open_client(faulty)
    with stopwatch() as watch, pytest.raises(errors.TimedOut):
        me(client)
    assert watch.seconds < QUICK_LIMIT


def test_a_connection_cut_in_the_middle(faulty):
    def cut(request):
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")

    faulty.routes["GET", ME] = cut
    with pytest.raises(errors.WorkspaceError) as caught:
        me(open_client(faulty))
    assert caught.value.kind in ("unreachable", "bad_answer", "wrong_host")


@pytest.mark.parametrize("body", ["{not json", "<html></html>"])
def test_garbage_json(faulty, body):
    faulty.on("GET", ME, body=body)
    with pytest.raises(errors.BadAnswer):
        me(open_client(faulty))


def test_records_tell_sizes_and_request_ids_but_no_query(faulty):
    records = []
    faulty.on("GET", "/api/2.2/jobs/list", body={"jobs": []}, X_Request_Id="r-1")
    client = open_client(faulty, records)
    assert list(client.jobs.list(name="x")) == []
    record = records[-1]
    assert (record.verb, record.endpoint, record.status) == ("GET", "/api/2.2/jobs/list", 200)
    assert (record.request_id, record.received_bytes) == ("r-1", len('{"jobs": []}'))
    assert record.error_class is None and record.message is None and record.latency_ms >= 0


def test_a_failing_log_does_not_fail_the_call(faulty, caplog):
    faulty.on("GET", ME, body={"id": "1"})

    def broken(record):
        raise RuntimeError("the database is gone")

    client = connect(faulty.url, "pat", token=TOKEN, timeouts=QUICK, on_call=broken)
    assert me(client).id == "1"
    assert "was lost" in caplog.text and "the database is gone" in caplog.text


def test_settings_of_other_programs_do_not_leak_in(faulty, monkeypatch, tmp_path):
    profile = tmp_path / "databrickscfg"
    profile.write_text("[other]\nhost = http://127.0.0.1:1\ntoken = fromfile\n")
    for name, value in {
        "DATABRICKS_HOST": "http://127.0.0.1:1",
        "DATABRICKS_TOKEN": "leaked-token",
        "DATABRICKS_CLIENT_ID": "leaked-id",
        "DATABRICKS_CLIENT_SECRET": "leaked-secret",
        "DATABRICKS_CONFIG_PROFILE": "other",
        "DATABRICKS_CONFIG_FILE": str(profile),
        "DATABRICKS_WORKSPACE_ID": "999",
        "DATABRICKS_DEBUG_HEADERS": "true",
    }.items():
        monkeypatch.setenv(name, value)
    faulty.on("GET", ME, body={"id": "1"})
    client = open_client(faulty)
    assert me(client).id == "1"
    headers = faulty.seen[-1][2]
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert "X-Databricks-Workspace-Id" not in headers
    assert headers["User-Agent"].startswith("odoo-databricks/17.0")
    assert client.config.client_id is None and not client.config.debug_headers


def test_proxy_is_used(faulty):
    """The faulty server plays the proxy: it gets the absolute address of the workspace."""
    faulty.on("GET", "http://workspace/.well-known/databricks-config", body={"workspace_id": "5"})
    faulty.on("GET", "http://workspace" + ME, body={"id": "7"})
    client = connect("http://workspace", "pat", token=TOKEN, proxy=faulty.url, timeouts=QUICK)
    assert me(client).id == "7"
    assert faulty.seen[-1][2]["X-Databricks-Workspace-Id"] == "5"


class TestMachineToMachine:
    SECRET = "dose-very-secret-value"

    def serve(self, faulty, expires_in=3600):
        tokens = iter(f"token-{n}" for n in range(100))
        oidc = faulty.url + "/oidc"
        faulty.on("GET", "/.well-known/databricks-config", body={"oidc_endpoint": oidc})
        faulty.on(
            "GET",
            "/oidc/.well-known/oauth-authorization-server",
            body={"token_endpoint": oidc + "/v1/token"},
        )
        faulty.routes["POST", "/oidc/v1/token"] = lambda request: (
            200,
            {},
            {"access_token": next(tokens), "token_type": "Bearer", "expires_in": expires_in},
        )
        faulty.on("GET", ME, body={"id": "1"})

    def open(self, faulty, records=None):
        return connect(
            faulty.url,
            "oauth-m2m",
            client_id="id",
            client_secret=self.SECRET,
            timeouts=QUICK,
            on_call=None if records is None else records.append,
        )

    def test_token_is_fetched_once_and_kept(self, faulty):
        records = []
        self.serve(faulty)
        client = self.open(faulty, records)
        assert me(client).id == me(client).id == "1"
        assert faulty.seen[-1][2]["Authorization"] == "Bearer token-0"
        assert faulty.count("POST", "/oidc/v1/token") == 1
        assert "/oidc/v1/token" in [record.endpoint for record in records]
        assert self.SECRET not in repr(records)

    def test_token_is_renewed_before_it_ends(self, faulty):
        self.serve(faulty, expires_in=30)
        client = self.open(faulty)
        me(client)
        me(client)
        assert faulty.seen[-1][2]["Authorization"] == "Bearer token-1"

    def test_wrong_secret(self, faulty):
        self.serve(faulty)
        text = f"Client authentication failed for {self.SECRET}"
        faulty.on(
            "POST", "/oidc/v1/token", 401, {"error": "invalid_client", "error_description": text}
        )
        with pytest.raises(errors.WrongToken, match="invalid_client") as caught:
            me(self.open(faulty))
        assert self.SECRET not in str(caught.value)
        assert faulty.count("POST", "/oidc/v1/token") == 1

    def test_silent_token_endpoint(self, faulty):
        self.serve(faulty)
        faulty.routes["POST", "/oidc/v1/token"] = lambda request: faulty.released.wait(30)
        client = self.open(faulty)
        with stopwatch() as watch, pytest.raises(errors.TimedOut):
            me(client)
        assert watch.seconds < QUICK_LIMIT


@pytest.mark.parametrize(
    ("auth_type", "options", "cls"),
    [
        ("pat", {}, errors.WrongToken),
        ("oauth-m2m", {"client_id": "x"}, errors.WrongToken),
        ("basic", {"token": "x"}, errors.InvalidRequest),
    ],
)
def test_missing_credentials_are_told_before_any_call(faulty, auth_type, options, cls):
    with pytest.raises(cls):
        connect(faulty.url, auth_type, **options)
    assert not faulty.seen


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("adb-1.2.azuredatabricks.net", "https://adb-1.2.azuredatabricks.net"),
        (" https://adb-1.2.azuredatabricks.net/?o=1#job/2 ", "https://adb-1.2.azuredatabricks.net"),
        ("https://x.test:8443/", "https://x.test:8443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://workspace:8080", "http://workspace:8080"),
    ],
)
def test_host(text, host):
    assert normalise_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "", "http://adb-1.2.azuredatabricks.net", "http://10.0.0.5", "ftp://x", "https://",
        "https://user:pw@x.test", "https://x.test:port", "https://[bad",
    ],
)  # fmt: skip
def test_no_host(text):
    with pytest.raises(errors.WrongHost) as caught:
        normalise_host(text)
    assert "pw" not in str(caught.value)


def test_plain_http_on_request_only():
    assert normalise_host("http://10.0.0.5", allow_plain_http=True) == "http://10.0.0.5"
