"""Parameters of statements: every type there and back, and never read as SQL."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import struct
from decimal import Decimal

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sql_steps import failure, rows, run

STATEMENTS = "/api/2.0/sql/statements"
TABLE = "main.silver.parameters"
EXAMPLES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
FEW = settings(EXAMPLES, max_examples=15)


@pytest.fixture(scope="module")
def client(workspace):
    return workspace.sdk()


@pytest.fixture(scope="module")
def ask(workspace):
    """Sends a statement with parameters as they go over the wire; returns the rows."""
    headers = {"Authorization": f"Bearer {workspace.token}"}
    with httpx.Client(base_url=workspace.host, headers=headers, timeout=60) as http:

        def send(statement: str, *parameters: dict) -> list:
            body = {"statement": statement, "warehouse_id": "local", "wait_timeout": "50s"}
            answer = http.post(STATEMENTS, json=body | {"parameters": list(parameters)})
            assert answer.status_code == 200, answer.text
            told = answer.json()
            assert told["status"]["state"] == "SUCCEEDED", (statement, parameters, told)
            return told["result"]["data_array"]

        yield send


def test_typed_parameters_are_values_not_text(client):
    answer = run(
        client,
        "SELECT :s AS s, :i AS i, :b AS b, :d AS d, :day AS day, :t AS t, :f AS f, :n AS n",
        ("s", "o'neil; DROP TABLE x --", "STRING"),
        ("i", "-7", "INT"),
        ("b", "true", "BOOLEAN"),
        ("d", "12.5", "DECIMAL(12,2)"),
        ("day", "2025-03-31", "DATE"),
        ("t", "2025-03-31T08:00:00+08:00", "TIMESTAMP"),
        ("f", "1.5", "DOUBLE"),
        ("n", None, "DATE"),
    )
    assert answer.result.data_array == [
        ["o'neil; DROP TABLE x --", "-7", "true", "12.50", "2025-03-31",
         "2025-03-31T00:00:00.000Z", "1.5", None]
    ]  # fmt: skip
    columns = [(c.name, c.type_text, c.type_name.value) for c in answer.manifest.schema.columns]
    assert columns == [
        ("s", "STRING", "STRING"), ("i", "INT", "INT"), ("b", "BOOLEAN", "BOOLEAN"),
        ("d", "DECIMAL(12,2)", "DECIMAL"), ("day", "DATE", "DATE"),
        ("t", "TIMESTAMP", "TIMESTAMP"), ("f", "DOUBLE", "DOUBLE"), ("n", "DATE", "DATE"),
    ]  # fmt: skip


def test_parameters_in_limit_and_predicates(client):
    sql = "SELECT id FROM range(100) WHERE id > :low ORDER BY id LIMIT :n"
    assert rows(client, sql, ("low", "41", "BIGINT"), ("n", "2", "INT")) == [["42"], ["43"]]


@pytest.mark.parametrize(
    ("value", "kind"),
    [("x", "INT"), ("3000000000", "INT"), ("1234.5", "DECIMAL(4,2)"), ("2025-02-30", "DATE"),
     ("maybe", "BOOLEAN"), ("1", "GEOMETRY"), ("nan", "DECIMAL(10,2)")],
)  # fmt: skip
def test_a_value_that_does_not_fit_its_type_fails(client, value, kind):
    error_class, state = failure(client, "SELECT :v", ("v", value, kind))
    assert error_class.startswith("INVALID_PARAMETER_MARKER_VALUE")
    assert state == "22023"


def named(kind, value):
    return {"name": "v", "type": kind, "value": value}


def shown(moment: dt.datetime) -> str:
    precision = "milliseconds" if moment.microsecond % 1000 == 0 else "microseconds"
    return moment.isoformat(timespec=precision)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
moments = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30))
zones = st.integers(-14 * 60, 14 * 60).map(lambda m: dt.timezone(dt.timedelta(minutes=m)))
SQL_MARKS = ["'", '"', "`", "\\", "--", "/*", "*/", ";", "?", ":v", ":`v`", "\n", "\0", "$$"]
hostile = st.lists(st.sampled_from(SQL_MARKS) | texts, max_size=8).map("".join)


def integers(kind, bits):
    whole = st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return whole.map(lambda number: (kind, str(number), str(number)))


@st.composite
def decimals(draw):
    precision = draw(st.integers(1, 38))
    scale = draw(st.integers(0, precision))
    digits = draw(st.integers(-(10**precision) + 1, 10**precision - 1))
    text = format(Decimal(digits).scaleb(-scale), "f")
    return f"DECIMAL({precision},{scale})", text, text


@st.composite
def timestamps(draw):
    moment = draw(moments).replace(tzinfo=draw(zones))
    utc = moment.astimezone(dt.UTC).replace(tzinfo=None)
    return "TIMESTAMP", moment.isoformat(), shown(utc) + "Z"


@st.composite
def day_times(draw):
    day, hour, minute = (
        draw(st.integers(0, 10**6)),
        draw(st.integers(0, 23)),
        draw(st.integers(0, 59)),
    )
    second, micro = draw(st.integers(0, 59)), draw(st.integers(0, 999_999))
    nothing = not (day or hour or minute or second or micro)
    sign = "" if nothing else draw(st.sampled_from(["", "-"]))
    text = f"{sign}{day} {hour:02}:{minute:02}:{second:02}.{micro:06}"
    return "INTERVAL DAY TO SECOND", text, text + "000"


@st.composite
def year_months(draw):
    years, months = draw(st.integers(0, 100_000)), draw(st.integers(0, 11))
    sign = draw(st.sampled_from(["", "-"])) if years or months else ""
    text = f"{sign}{years}-{months}"
    return "INTERVAL YEAR TO MONTH", text, text


# (type, value as it is sent, value as it comes back)
typed = st.one_of(
    texts.map(lambda text: ("STRING", text, text)),
    hostile.map(lambda text: ("STRING", text, text)),
    integers("TINYINT", 8),
    integers("SMALLINT", 16),
    integers("INT", 32),
    integers("BIGINT", 64),
    decimals(),
    st.booleans().map(lambda yes: ("BOOLEAN", str(yes).lower(), str(yes).lower())),
    st.dates(dt.date(1, 1, 1)).map(lambda day: ("DATE", day.isoformat(), day.isoformat())),
    timestamps(),
    moments.map(lambda moment: ("TIMESTAMP_NTZ", moment.isoformat(" "), shown(moment))),
    texts.map(lambda text: ("BINARY", text, base64.b64encode(text.encode()).decode())),
    day_times(),
    year_months(),
    st.sampled_from(["STRING", "INT", "DECIMAL(9,2)", "DATE", "TIMESTAMP", "BINARY", "DOUBLE",
                     "BOOLEAN", "VOID", "INTERVAL DAY", "INTERVAL MONTH"]).map(
        lambda kind: (kind, None, None)
    ),
)  # fmt: skip


@EXAMPLES
@given(value=typed)
def test_a_value_of_any_type_comes_back_as_it_was_sent(ask, value):
    kind, text, expected = value
    assert ask("SELECT :v AS v", named(kind, text)) == [[expected]]


@EXAMPLES
@given(values=st.lists(typed, min_size=1, max_size=4))
def test_positional_values_keep_their_order(ask, values):
    marks = ", ".join("?" for _ in values)
    by_place = [
        {"ordinal": n, "type": kind, "value": v} for n, (kind, v, _) in enumerate(values, 1)
    ]
    by_order = [{"name": None, "type": kind, "value": v} for kind, v, _ in values]
    expected = [[back for _, _, back in values]]
    assert ask(f"SELECT {marks}", *reversed(by_place)) == expected
    assert ask(f"SELECT {marks}", *by_order) == expected


@EXAMPLES
@given(number=st.floats(), single=st.floats(width=32))
def test_floating_numbers_keep_every_bit(ask, number, single):
    (row,) = ask(
        "SELECT :d AS d, :f AS f",
        {"name": "d", "type": "DOUBLE", "value": repr(number)},
        {"name": "f", "type": "FLOAT", "value": repr(single)},
    )
    for text, sent, width in ((row[0], number, "d"), (row[1], single, "f")):
        found = float(text.replace("Infinity", "inf"))
        if math.isnan(sent):
            assert math.isnan(found)
        else:
            assert struct.pack(width, found) == struct.pack(width, sent)


@EXAMPLES
@given(text=hostile, name=hostile.filter(bool))
def test_markers_in_back_quotes_have_any_name(ask, text, name):
    quoted = name.replace("`", "``")
    parameter = {"name": name, "type": "STRING", "value": text}
    assert ask(f"SELECT :`{quoted}` AS a", parameter) == [[text]]


@pytest.fixture(scope="module")
def table(client):
    rows(client, f"CREATE TABLE {TABLE} (s STRING, n INT)")
    yield TABLE
    rows(client, f"DROP TABLE {TABLE}")


@FEW
@given(text=hostile, number=st.integers(-(2**31), 2**31 - 1))
def test_values_in_commands_are_values_too(ask, table, text, number):
    """The engine binds nothing in commands: there the values go into the text, as digits."""
    s, n = {"name": "s", "value": text}, {"name": "n", "type": "INT", "value": str(number)}
    ask(f"INSERT INTO {table} VALUES (:s, :n), ('sentinel', 1)", s, n)
    ask(f"UPDATE {table} SET n = 7 WHERE s = :s", s)
    assert ask(f"SELECT s, n FROM {table} WHERE s = :s", s) == [[text, "7"]]
    ask(f"DELETE FROM {table} WHERE s = ? AND n = ?", {"value": text},
        {"type": "INT", "value": "7"})  # fmt: skip
    assert ask(f"SELECT s, n FROM {table}") == [["sentinel", "1"]]
    ask(f"DELETE FROM {table} WHERE s = 'sentinel'")


@EXAMPLES
@given(kind=texts, value=texts | st.none(), name=texts)
def test_any_type_name_and_value_get_an_answer(workspace, kind, value, name):
    headers = {"Authorization": f"Bearer {workspace.token}"}
    body = {
        "statement": "SELECT :v", "warehouse_id": "local", "wait_timeout": "50s",
        "parameters": [{"name": name, "type": kind, "value": value}],
    }  # fmt: skip
    answer = httpx.post(f"{workspace.host}{STATEMENTS}", json=body, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    status = answer.json()["status"]
    assert status["state"] in ("FAILED", "SUCCEEDED")
    if status["state"] == "FAILED":
        assert status["error"]["error_code"] == "BAD_REQUEST", status
        assert "Traceback" not in json.dumps(status)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("INT", "1_000"), ("INT", "١٢"), ("INT", " 0x10"), ("INT", "1.5"), ("BIGINT", ""),
        ("DOUBLE", "1_0.5"), ("DOUBLE", "0x1p3"), ("DECIMAL(5,2)", "1e9"), ("DECIMAL", "1,5"),
        ("DECIMAL(39,0)", "1"), ("DECIMAL(5,6)", "1"), ("BOOLEAN", "2"), ("DATE", "2025-13-01"),
        ("TIMESTAMP", "yesterday"), ("VOID", "1"), ("ARRAY<INT>", "[1]"), ("STRUCT<a:INT>", "{}"),
        ("INTERVAL YEAR TO MONTH", "1-12"), ("INTERVAL DAY TO SECOND", "1 24:00:00"),
        ("INTERVAL MONTH TO YEAR", "1-1"), ("INTERVAL YEAR TO DAY", "1"), ("INTERVAL", "1"),
        ("INT) --", "1"), ("DECIMAL(5,2", "1"),
    ],
)  # fmt: skip
def test_what_only_looks_like_a_value(client, kind, text):
    error_class, state = failure(client, "SELECT :v", ("v", text, kind))
    assert error_class == "INVALID_PARAMETER_MARKER_VALUE.INVALID_VALUE_FOR_DATA_TYPE"
    assert state == "22023"


@pytest.mark.parametrize(
    ("kind", "text", "back"),
    [
        ("DECIMAL(6,2)", "1.005", "1.01"), ("DECIMAL(6,2)", "-1.005", "-1.01"),
        ("DECIMAL(6,2)", "1e2", "100.00"), ("numeric", "2.5", "3"), ("dec( 4 , 1 )", "1.25", "1.3"),
        ("long", "+7", "7"), ("BOOLEAN", "Y", "true"), ("BOOLEAN", " 0 ", "false"),
        ("VARCHAR(3)", "abcdef", "abcdef"), ("INTERVAL HOUR", "26", "1 02:00:00.000000000"),
        ("INTERVAL MONTH", "-14", "-1-2"), ("INTERVAL MINUTE TO SECOND", "61:02",
                                            "0 01:01:02.000000000"),
        ("TIMESTAMP", "2025-01-02", "2025-01-02T00:00:00.000Z"),
        ("DOUBLE", "-infinity", "-Infinity"), ("FLOAT", "1e39", "Infinity"),
    ],
)  # fmt: skip
def test_texts_mean_what_a_cast_makes_of_them(client, kind, text, back):
    assert rows(client, "SELECT :v", ("v", text, kind)) == [[back]]


def test_parameters_that_cannot_be_told_apart(client, ask):
    error_class, _ = failure(client, "SELECT :v", ("v", "1", "INT"), ("v", "2", "INT"))
    assert error_class.startswith("INVALID_PARAMETER_MARKER_VALUE")
    mixed = client.api_client.do(
        "POST", STATEMENTS,
        body={"statement": "SELECT :v, ?", "warehouse_id": "local",
              "parameters": [{"name": "v", "value": "1"}, {"value": "2"}]},
    )  # fmt: skip
    assert "INVALID_QUERY_MIXED_QUERY_PARAMETERS" in mixed["status"]["error"]["message"]


@pytest.mark.parametrize("statement", ["SELECT :missing", "SELECT ?", "INSERT INTO t SELECT :x"])
def test_a_marker_without_a_value(client, statement):
    assert failure(client, statement, ("other", "1", "INT")) == ("UNBOUND_SQL_PARAMETER", "42P02")


def test_casts_and_json_paths_are_no_markers(client):
    assert rows(client, "SELECT '5'::int + :int AS a", ("int", "2", "INT")) == [["7"]]
    rows(client, "CREATE TABLE main.silver.p2 AS SELECT '5'::int + :int AS a", ("int", "2", "INT"))
    assert rows(client, "TABLE main.silver.p2") == [["7"]]
    rows(client, "DROP TABLE main.silver.p2")
