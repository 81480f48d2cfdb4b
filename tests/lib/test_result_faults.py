"""Answers that break the API's promises: a healthy workspace gives none of them."""

import io
import time

import pytest
from lib import errors, jobs, serving, sql
from lib.client import Timeouts, connect

TOKEN = "dapi0123456789abcdef0123456789abcdef"
QUICK = Timeouts(connect=1, read=1, total=3, longest_pause=0.2)
STATEMENTS = "/api/2.0/sql/statements"
INVOCATIONS = "/serving-endpoints/nature/invocations"
ENDPOINT = "/api/2.0/serving-endpoints/nature"


@pytest.fixture
def client(faulty):
    return connect(faulty.url, "pat", token=TOKEN, timeouts=QUICK)


def succeeded(result, rows, chunks=1, form="JSON_ARRAY"):
    column = {"name": "id", "position": 0, "type_name": "LONG", "type_text": "BIGINT"}
    return {
        "statement_id": "s1",
        "status": {"state": "SUCCEEDED"},
        "manifest": {
            "format": form,
            "schema": {"column_count": 1, "columns": [column]},
            "total_chunk_count": chunks,
            "total_row_count": rows,
        },
        "result": result,
    }


def arrow_bytes(*batches, name="id"):
    import pyarrow as pa

    schema = pa.schema([(name, pa.int64())])
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        for values in batches:
            writer.write_batch(pa.record_batch([pa.array(values, pa.int64())], schema))
    return sink.getvalue()


def serve_arrow(faulty, rows, path="/blob?sig=abc"):
    link = {"chunk_index": 0, "row_count": rows, "external_link": faulty.url + path}
    answer = succeeded({"external_links": [link]}, rows, form="ARROW_STREAM")
    faulty.on("POST", STATEMENTS, body=answer)


def read_arrow(client):
    statement = sql.execute(client, "w", "SELECT id", arrow=True)
    return [batch.column(0).to_pylist() for batch in sql.fetch_arrow(client, statement)]


class TestArrow:
    def test_link_is_read_without_the_token(self, faulty, client):
        serve_arrow(faulty, 3)
        faulty.on("GET", "/blob", body=arrow_bytes([1, 2], [3]))
        assert read_arrow(client) == [[1, 2], [3]]
        verb, path, headers, _ = faulty.seen[-1]
        assert (verb, path) == ("GET", "/blob?sig=abc") and "Authorization" not in headers

    def test_ended_link_is_asked_for_again(self, faulty, client):
        serve_arrow(faulty, 1, "/old")
        faulty.on("GET", "/old", 403, "<Error>Request has expired</Error>")
        fresh = {"external_links": [{"chunk_index": 0, "external_link": faulty.url + "/new"}]}
        faulty.on("GET", f"{STATEMENTS}/s1/result/chunks/0", body=fresh)
        faulty.on("GET", "/new", body=arrow_bytes([7]))
        assert read_arrow(client) == [[7]]

    def test_link_that_stays_refused(self, faulty, client):
        serve_arrow(faulty, 1)
        faulty.on("GET", "/blob", 403, "no")
        faulty.on("GET", f"{STATEMENTS}/s1/result/chunks/0", body={})
        with pytest.raises(errors.PermissionMissing):
            read_arrow(client)

    def test_rows_are_missing(self, faulty, client):
        serve_arrow(faulty, 3)
        faulty.on("GET", "/blob", body=arrow_bytes([1, 2]))
        with pytest.raises(errors.BadAnswer, match="3 rows, 2 arrived"):
            read_arrow(client)

    def test_other_columns(self, faulty, client):
        serve_arrow(faulty, 1)
        faulty.on("GET", "/blob", body=arrow_bytes([1], name="other"))
        with pytest.raises(errors.BadAnswer, match="other columns"):
            read_arrow(client)

    @pytest.mark.parametrize("cut", [0, 10, -20])
    def test_stream_is_cut(self, faulty, client, cut):
        whole = arrow_bytes(list(range(1000)))
        serve_arrow(faulty, 1000)
        faulty.on("GET", "/blob", body=whole[:cut] if cut else b"")
        with pytest.raises(errors.BadAnswer):
            read_arrow(client)

    def test_stream_stalls(self, faulty, client):
        whole = arrow_bytes(list(range(1000)))

        def stall(request):
            request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(whole))
            request.wfile.write(whole[:400])
            faulty.released.wait(30)

        serve_arrow(faulty, 1000)
        faulty.routes["GET", "/blob"] = stall
        started = time.monotonic()
        with pytest.raises(errors.TimedOut):
            read_arrow(client)
        assert time.monotonic() - started < 4


class TestRows:
    def read(self, client):
        return list(sql.fetch_rows(client, sql.execute(client, "w", "SELECT id")))

    def test_rows_are_missing(self, faulty, client):
        faulty.on("POST", STATEMENTS, body=succeeded({"data_array": [["1"]]}, 2))
        with pytest.raises(errors.BadAnswer, match="2 rows, 1 arrived"):
            self.read(client)

    def test_row_of_another_width(self, faulty, client):
        faulty.on("POST", STATEMENTS, body=succeeded({"data_array": [["1", "2"]]}, 1))
        with pytest.raises(errors.BadAnswer, match="2 values for 1 columns"):
            self.read(client)

    def test_value_of_another_type(self, faulty, client):
        faulty.on("POST", STATEMENTS, body=succeeded({"data_array": [["x"]]}, 1))
        with pytest.raises(errors.BadAnswer, match="column id"):
            self.read(client)

    def test_no_statement_id(self, faulty, client):
        faulty.on("POST", STATEMENTS, body={})
        with pytest.raises(errors.BadAnswer):
            self.read(client)

    @pytest.mark.parametrize("state", ["STOPPED", "STARTING", "RUNNING"])
    def test_endless_statement_is_cancelled(self, faulty, client, state):
        pending = {"statement_id": "s1", "status": {"state": "PENDING"}}
        faulty.on("POST", STATEMENTS, body=pending)
        faulty.on("GET", f"{STATEMENTS}/s1", body=pending)
        faulty.on("POST", f"{STATEMENTS}/s1/cancel", body={})
        warehouse = {"id": "w", "name": "Main", "state": state}
        faulty.on("GET", "/api/2.0/sql/warehouses/w", body=warehouse)
        cls = errors.TimedOut if state == "RUNNING" else errors.WarehouseStopped
        with pytest.raises(cls) as caught:
            sql.execute(client, "w", "SELECT id", timeout=0.3)
        assert type(caught.value) is cls
        assert faulty.count("POST", f"{STATEMENTS}/s1/cancel") == 1


class TestJobs:
    def test_run_now_without_a_run_id(self, faulty, client):
        faulty.on("POST", "/api/2.2/jobs/run-now", body={})
        with pytest.raises(errors.BadAnswer, match="run_id"):
            jobs.run_now(client, 1, "token")

    def test_lost_answer_to_run_now_is_sent_again_with_the_same_token(self, faulty, client):
        answers = iter([(503, {"Retry-After": "0"}, {"message": "x"}), (200, {}, {"run_id": 9})])
        faulty.routes["POST", "/api/2.2/jobs/run-now"] = lambda request: next(answers)
        token = jobs.idempotency_token("run", 1)
        assert jobs.run_now(client, 1, token, {"month": "2025-08"}) == 9
        bodies = [body for verb, _, _, body in faulty.seen if verb == "POST"]
        assert len(bodies) == 2 and bodies[0] == bodies[1] and token.encode() in bodies[0]

    @pytest.mark.parametrize("token", ["", "x" * 65])
    def test_token_is_compulsory(self, client, token):
        with pytest.raises(ValueError):
            jobs.run_now(client, 1, token)

    def test_failed_code_is_internal_error_on_the_real_service(self, faulty, client):
        def task(run_id, key, attempt, life_cycle, result):
            state = {"life_cycle_state": life_cycle, "result_state": result}
            return {"run_id": run_id, "task_key": key, "attempt_number": attempt, "state": state}

        run = {
            "run_id": 5,
            "job_id": 1,
            "run_page_url": "http://x/#job/1/run/5",
            "start_time": 1755216000000,
            "state": {
                "life_cycle_state": "INTERNAL_ERROR",
                "result_state": "FAILED",
                "state_message": "Task silver failed",
            },
            "tasks": [
                task(10, "bronze", 0, "TERMINATED", "SUCCESS"),
                task(11, "silver", 0, "TERMINATED", "FAILED"),
                task(13, "silver", 1, "TERMINATED", "FAILED"),
                task(12, "gold", 0, "SKIPPED", "UPSTREAM_FAILED"),
            ],
        }
        faulty.on("GET", "/api/2.2/jobs/runs/get", body=run)
        output = {"error": "ValueError: 31/02/2025", "error_trace": f"token={TOKEN}", "logs": "ok"}
        faulty.on("GET", "/api/2.2/jobs/runs/get-output", body=output)
        seen = jobs.get_run(client, 5)
        assert seen.is_terminal and not seen.is_success and seen.result == "FAILED"
        assert seen.started.isoformat() == "2025-08-15T00:00:00" and seen.ended is None
        assert [(t.key, t.run_id) for t in seen.tasks] == [
            ("bronze", 10),
            ("silver", 13),
            ("gold", 12),
        ]
        (failure,) = jobs.failures(client, seen)
        assert (failure.task_key, failure.error) == ("silver", "ValueError: 31/02/2025")
        assert TOKEN not in failure.trace and "run_id=13" in faulty.seen[-1][1]

    def test_two_jobs_of_one_name(self, faulty, client):
        found = [{"job_id": n, "settings": {"name": "medallion"}} for n in (1, 2)]
        faulty.on("GET", "/api/2.2/jobs/list", body={"jobs": found})
        with pytest.raises(errors.Conflict, match="2 jobs are named 'medallion': 1, 2"):
            jobs.find_job(client, "medallion")


def test_idempotency_token_tells_parts_apart():
    tokens = {
        jobs.idempotency_token(*parts)
        for parts in [("a", "bc"), ("ab", "c"), ("abc",), ("a", "bc", ""), (1,), ("1",)]
    }
    assert len(tokens) == 6 and all(len(token) == 64 for token in tokens)
    assert jobs.idempotency_token("a", 1) == jobs.idempotency_token("a", 1)


class TestServing:
    RECORDS = [{"vendor": "Mayon", "description": "rent"}, {"vendor": "x", "description": "y"}]

    def endpoint(self, faulty, *versions):
        served = [
            {"name": f"nature-{v}", "entity_name": "main.ml.nature", "entity_version": v}
            for v in versions
        ]
        faulty.on("GET", ENDPOINT, body={"name": "nature", "config": {"served_entities": served}})

    def test_version_is_looked_up_once_and_again_for_a_new_entity(self, faulty, client):
        self.endpoint(faulty, "1")
        faulty.on("POST", INVOCATIONS, body={"predictions": [1, 2]}, served_model_name="nature-1")
        for _ in range(2):
            scores = serving.score(client, "nature", self.RECORDS)
            assert scores.predictions == [1, 2] and scores.served_entity == "nature-1"
            assert (scores.model_name, scores.model_version) == ("main.ml.nature", "1")
        assert faulty.count("GET", ENDPOINT) == 1
        self.endpoint(faulty, "2")
        faulty.on("POST", INVOCATIONS, body={"predictions": [1, 2]}, served_model_name="nature-2")
        assert serving.score(client, "nature", self.RECORDS).model_version == "2"
        assert faulty.count("GET", ENDPOINT) == 2

    def test_without_the_header(self, faulty, client):
        faulty.on("POST", INVOCATIONS, body={"predictions": [1, 2]})
        self.endpoint(faulty, "1")
        assert serving.score(client, "nature", self.RECORDS).model_version == "1"

    def test_without_the_header_and_two_entities_nobody_is_named(self, faulty, client):
        faulty.on("POST", INVOCATIONS, body={"predictions": [1, 2]})
        self.endpoint(faulty, "1", "2")
        scores = serving.score(client, "nature", self.RECORDS)
        assert (scores.served_entity, scores.model_version) == (None, None)

    @pytest.mark.parametrize("body", [{"predictions": [1]}, {"predictions": "x"}, {}, "[1, 2]"])
    def test_other_predictions_than_records(self, faulty, client, body):
        faulty.on("POST", INVOCATIONS, body=body)
        with pytest.raises(errors.BadAnswer):
            serving.score(client, "nature", self.RECORDS)

    @pytest.mark.parametrize("status", [429, 503])
    def test_busy(self, faulty, client, status):
        faulty.on("POST", INVOCATIONS, status, {"message": "scaling"}, Retry_After="3600")
        started = time.monotonic()
        with pytest.raises(errors.EndpointBusy) as caught:
            serving.score(client, "nature", self.RECORDS, timeout=1)
        assert time.monotonic() - started < 2
        assert caught.value.retry_after == 3600 and caught.value.retryable

    def test_silent(self, faulty, client):
        faulty.routes["POST", INVOCATIONS] = lambda request: faulty.released.wait(30)
        started = time.monotonic()
        with pytest.raises(errors.TimedOut):
            serving.score(client, "nature", self.RECORDS, timeout=0.5)
        assert time.monotonic() - started < 1.5

    def test_name_cannot_leave_its_path(self, faulty, client):
        with pytest.raises(errors.InvalidRequest):
            serving.score(client, "../api/2.0/jobs", self.RECORDS)
        assert serving.score(client, "nature", []).predictions == []
        assert len(faulty.seen) == 1
