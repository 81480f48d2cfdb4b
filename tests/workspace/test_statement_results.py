"""Results of statements: forms, chunks, links, limits."""

from __future__ import annotations

import base64
import csv
import io

import httpx
import lz4.frame
import pyarrow as pa
import pytest
from databricks.sdk.errors import BadRequest, NotFound
from databricks.sdk.service.sql import Disposition, Format
from sql_steps import rows, run

STATEMENTS = "/api/2.0/sql/statements"
LINKS = {"disposition": "EXTERNAL_LINKS"}
HYBRID = {"disposition": "INLINE_OR_EXTERNAL_LINKS", "format": "ARROW_STREAM"}


@pytest.fixture(scope="module")
def client(workspace):
    return workspace.sdk()


def ask(client, statement, **options):
    """The answer as it came over the wire."""
    body = {"statement": statement, "warehouse_id": "local", "wait_timeout": "30s", **options}
    answer = client.api_client.do("POST", STATEMENTS, body=body)
    assert answer["status"]["state"] == "SUCCEEDED", answer
    return answer


def test_nested_and_special_values_as_text(client):
    sql = (
        "SELECT array(1, 2) AS a, named_struct('x', 1, 'y', 'z') AS s, map('k', 2) AS m,"
        " cast('ab' AS binary) AS b, cast(0 AS decimal(18,10)) AS d, cast(null AS int) AS n,"
        " timestamp'2025-01-02 03:04:05.123456' AS t"
    )
    assert rows(client, sql) == [
        ["[1,2]", '{"x":1,"y":"z"}', '{"k":2}', "YWI=", "0.0000000000", None,
         "2025-01-02T03:04:05.123456Z"]
    ]  # fmt: skip


def test_row_limit_truncates_and_says_so(client):
    answer = run(client, "SELECT id FROM range(1000)", row_limit=10)
    assert (len(answer.result.data_array), answer.manifest.truncated) == (10, True)
    answer = run(client, "SELECT id FROM range(10)", row_limit=10)
    assert (len(answer.result.data_array), answer.manifest.truncated) == (10, False)
    answer = run(client, "SELECT id FROM range(100000)", byte_limit=8000)
    assert answer.manifest.truncated
    assert 0 < answer.manifest.total_row_count <= 1000


def test_arrow_links_in_several_chunks_without_a_token(client):
    answer = run(
        client,
        "SELECT id, cast(id AS decimal(18,2)) AS d, if(id % 3 = 0, null, 'x') AS s"
        " FROM range(300000)",
        disposition=Disposition.EXTERNAL_LINKS,
        format=Format.ARROW_STREAM,
    )
    assert answer.manifest.total_row_count == 300000
    assert answer.manifest.total_chunk_count == len(answer.manifest.chunks) >= 3
    tables = []
    links = answer.result.external_links
    while links:
        got = httpx.get(links[0].external_link)
        assert got.status_code == 200
        tables.append(pa.ipc.open_stream(got.content).read_all())
        assert tables[-1].num_rows == links[0].row_count
        following = links[0].next_chunk_index
        links = (
            following
            and client.statement_execution.get_statement_result_chunk_n(
                answer.statement_id, following
            ).external_links
        )
    whole = pa.concat_tables(tables)
    assert whole.schema.field("d").type == pa.decimal128(18, 2)
    assert sorted(whole.column("id").to_pylist()) == list(range(300000))
    assert whole.column("s").null_count == 100000
    link = answer.result.external_links[0].external_link
    assert httpx.get(link[:-1] + ("0" if link[-1] != "0" else "1")).status_code == 403
    assert httpx.get(link.replace("/0?", "/1?")).status_code == 403


def test_inline_results_in_several_chunks(client):
    answer = run(client, "SELECT id FROM range(250000)")
    got = [row[0] for row in answer.result.data_array]
    following = answer.result.next_chunk_index
    while following:
        chunk = client.statement_execution.get_statement_result_chunk_n(
            answer.statement_id, following
        )
        got += [row[0] for row in chunk.data_array]
        following = chunk.next_chunk_index
    assert len(got) == answer.manifest.total_row_count == 250000
    assert got[-1] == "249999"
    with pytest.raises(BadRequest):
        client.statement_execution.get_statement_result_chunk_n(answer.statement_id, 99)


def test_an_inline_result_over_the_limit_fails_with_advice(client):
    answer = run(client, "SELECT repeat('x', 1000) AS a, id FROM range(60000)")
    assert answer.status.state.value == "FAILED"
    assert "EXTERNAL_LINKS" in answer.status.error.message


def test_empty_results(client):
    answer = run(client, "SELECT 1 AS a WHERE false")
    assert (answer.result.row_count, answer.manifest.total_row_count) == (0, 0)
    assert answer.manifest.schema.columns[0].type_text == "INT"


NUMBERS = (
    "SELECT cast(1e10 AS double) AS a, cast(1.0E-5 AS double) AS b, cast('NaN' AS double) AS c,"
    " cast('-Infinity' AS double) AS d, cast(0.1 AS float) AS e, cast(100 AS double) AS f,"
    " cast('-0.0' AS double) AS g, cast(123456.789 AS double) AS h"
)


def test_floating_numbers_are_written_as_spark_does(client):
    assert rows(client, NUMBERS) == [
        ["1.0E10", "1.0E-5", "NaN", "-Infinity", "0.1", "100.0", "-0.0", "123456.789"]
    ]


def test_intervals_are_text(client):
    answer = run(
        client,
        "SELECT interval '1-2' year to month AS a, interval '-1 02:03:04.5' day to second AS b,"
        " make_interval(1, 2) AS c, 1 AS n, 2 AS n",
    )
    assert answer.result.data_array == [
        ["1-2", "-1 02:03:04.500000000", "1 years 2 months", "1", "2"]
    ]
    columns = [(c.type_name.value, c.type_text) for c in answer.manifest.schema.columns]
    assert columns[:2] == [
        ("INTERVAL", "INTERVAL YEAR TO MONTH"), ("INTERVAL", "INTERVAL DAY TO SECOND"),
    ]  # fmt: skip


def test_a_hybrid_answer_carries_small_results_itself(client):
    answer = ask(client, "SELECT id, 'x' AS s FROM range(50)", **HYBRID)
    stream = base64.b64decode(answer["result"]["attachment"])
    assert pa.ipc.open_stream(stream).read_all().column("id").to_pylist() == list(range(50))
    assert "result_compression" not in answer["manifest"]
    assert answer["result"]["row_count"] == 50


def test_a_hybrid_answer_links_to_large_results_all_at_once(client):
    answer = ask(client, "SELECT id FROM range(450000)", **HYBRID)
    links = answer["result"]["external_links"]
    assert [link["chunk_index"] for link in links] == list(range(len(links)))
    assert len(links) == answer["manifest"]["total_chunk_count"] >= 4
    assert [link.get("next_chunk_index") for link in links] == [*range(1, len(links)), None]
    total = 0
    for link in links:
        total += pa.ipc.open_stream(httpx.get(link["external_link"]).content).read_all().num_rows
    assert total == 450000


@pytest.mark.parametrize("count", [20, 150000])
def test_compression_that_was_asked_for_is_told(client, count):
    answer = ask(
        client, f"SELECT id FROM range({count}) ORDER BY id", **HYBRID,
        result_compression="LZ4_FRAME",
    )  # fmt: skip
    assert answer["manifest"]["result_compression"] == "LZ4_FRAME"
    if "attachment" in answer["result"]:
        packed = [base64.b64decode(answer["result"]["attachment"])]
    else:
        links = answer["result"]["external_links"]
        packed = [httpx.get(link["external_link"]).content for link in links]
        assert [len(one) for one in packed] == [link["byte_count"] for link in links]
    tables = [pa.ipc.open_stream(lz4.frame.decompress(one)).read_all() for one in packed]
    assert pa.concat_tables(tables).column("id").to_pylist() == list(range(count))


def test_compression_is_for_arrow_only(client):
    answer = ask(client, "SELECT 1", result_compression="LZ4_FRAME")
    assert "result_compression" not in answer["manifest"]
    assert answer["result"]["data_array"] == [["1"]]


@pytest.mark.parametrize("form", ["JSON_ARRAY", "ARROW_STREAM", "CSV"])
def test_an_empty_result_has_columns_in_every_form(client, form):
    answer = ask(client, "SELECT 1 AS a, 'x' AS b WHERE false", **LINKS, format=form)
    assert answer["manifest"]["schema"]["column_count"] == 2
    assert answer["manifest"]["total_row_count"] == 0
    content = httpx.get(answer["result"]["external_links"][0]["external_link"]).content
    if form == "ARROW_STREAM":
        assert pa.ipc.open_stream(content).read_all().schema.names == ["a", "b"]
    else:
        assert content == {"JSON_ARRAY": b"[]", "CSV": b"a,b\r\n"}[form]


def test_csv_has_its_header_once_and_quotes_what_needs_it(client):
    answer = ask(
        client,
        "SELECT id, if(id = 1, 'a, \"b\"\nc', null) AS `t,x` FROM range(120000) ORDER BY id",
        **LINKS, format="CSV",
    )  # fmt: skip
    texts, following = [], answer["result"]
    while True:
        (link,) = following["external_links"]
        got = httpx.get(link["external_link"])
        assert got.headers["content-type"].startswith("text/csv")
        texts.append(got.text)
        if "next_chunk_internal_link" not in link:
            break
        following = client.api_client.do("GET", link["next_chunk_internal_link"])
    assert len(texts) == answer["manifest"]["total_chunk_count"] >= 2
    read = list(csv.reader(io.StringIO("".join(texts), newline="")))
    assert read[0] == ["id", "t,x"]
    assert read[1:4] == [["0", "null"], ["1", 'a, "b"\nc'], ["2", "null"]]
    assert len(read) == 120001


def test_json_by_link(client):
    answer = ask(client, "SELECT id, null AS n FROM range(3) ORDER BY id", **LINKS)
    link = answer["result"]["external_links"][0]["external_link"]
    assert httpx.get(link).json() == [["0", None], ["1", None], ["2", None]]


def test_a_byte_limit_cuts_large_and_small_results(client):
    for limit in (1, 10_000, 3_000_000):
        answer = run(
            client, "SELECT id, repeat('x', 100) AS s FROM range(200000)", byte_limit=limit,
            disposition=Disposition.EXTERNAL_LINKS, format=Format.ARROW_STREAM,
        )  # fmt: skip
        assert answer.manifest.truncated
        assert answer.manifest.total_row_count * 100 <= limit
    assert rows(client, "SELECT 1") == [["1"]]  # the engine was told to stop


def test_limits_of_both_kinds_together(client):
    answer = run(client, "SELECT id FROM range(100000)", row_limit=5, byte_limit=10**6)
    assert (answer.manifest.total_row_count, answer.manifest.truncated) == (5, True)


def test_a_closed_statement_has_no_result_any_more(client):
    answer = ask(client, "SELECT id FROM range(200000)", **LINKS, format="ARROW_STREAM")
    link = answer["result"]["external_links"][0]["external_link"]
    assert httpx.get(link).status_code == 200
    path = f"{STATEMENTS}/{answer['statement_id']}"
    assert client.api_client.do("DELETE", path) == {}
    closed = client.api_client.do("GET", path)
    assert closed["status"] == {"state": "CLOSED"} and "result" not in closed
    assert httpx.get(link).status_code == 404
    with pytest.raises(BadRequest, match="no result"):
        client.statement_execution.get_statement_result_chunk_n(answer["statement_id"], 0)
    client.api_client.do("DELETE", path)  # once more changes nothing
    with pytest.raises(NotFound):
        client.api_client.do("DELETE", f"{STATEMENTS}/00000000-0000-0000-0000-000000000000")


@pytest.mark.parametrize(
    "wrong",
    [
        {"disposition": "INLINE", "format": "CSV"},
        {"disposition": "INLINE_OR_EXTERNAL_LINKS", "format": "CSV"},
        {"disposition": "SOMEWHERE"},
        {"format": "XML"},
        {"row_limit": 0},
        {"byte_limit": -1},
        {"result_compression": "ZIP"},
        {"wait_timeout": "0s", "on_wait_timeout": "CANCEL"},
        {"parameters": [{"ordinal": 2, "value": "1"}]},
        {"parameters": [{"ordinal": 1}, {"ordinal": 1}]},
        {"statement": ""},
        {"warehouse_id": ""},
    ],
)
def test_orders_that_make_no_sense(client, wrong):
    with pytest.raises(BadRequest):
        ask(client, **{"statement": "SELECT 1"} | wrong)


@pytest.mark.parametrize("limit", [2**31 - 2, 2**31 - 1, 2**31, 2**63 - 1])
def test_limits_that_nothing_reaches(client, limit):
    assert len(rows(client, "SELECT id FROM range(10)", row_limit=limit, byte_limit=limit)) == 10
    with pytest.raises(BadRequest):
        run(client, "SELECT 1", row_limit=2**63)
