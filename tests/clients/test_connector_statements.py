"""Parameters, errors, cancel, large results, sessions and cursors through the connector."""

from __future__ import annotations

import datetime as dt
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from connectors import BACKENDS, LONG, cancelling, connect, cursor, table
from databricks.sql.exc import DatabaseError, Error, ServerOperationError
from databricks.sql.parameters import (
    BigIntegerParameter,
    DateParameter,
    DecimalParameter,
    StringParameter,
    TimestampParameter,
    VoidParameter,
)

ROWS = 300_000
INJECTIONS = [
    "'; DROP TABLE t --",
    "x' OR '1'='1",
    "\\' OR 1=1 --",
    '"; SELECT 1; --',
    "`; --",
    ":other ? :`x`",
    "/* */ -- \n end",
    "ñ ₱ 漢字 \U0001f600",
]


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture(scope="module")
def db(target, backend):
    with connect(target, backend) as connection:
        yield connection


@pytest.fixture
def cur(db):
    with db.cursor() as made:
        yield made


# parameters


def test_named_parameters_of_each_type(cur):
    cur.execute(
        "SELECT :i AS i, :f AS f, :b AS b, :s AS s, :d AS d, :day AS day, :n AS n, :i + 1 AS j",
        {
            "i": 5,
            "f": 1.5,
            "b": True,
            "s": "o'neil",
            "d": Decimal("12.50"),
            "day": dt.date(2026, 1, 2),
            "n": None,
        },
    )
    found = tuple(cur.fetchone())
    assert found == (5, 1.5, True, "o'neil", Decimal("12.50"), dt.date(2026, 1, 2), None, 6)


def test_a_timestamp_parameter_keeps_its_moment(cur):
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, dt.timezone(dt.timedelta(hours=8)))
    assert cur.execute("SELECT :t AS t", {"t": moment}).fetchone() == (moment,)


def test_typed_parameters(cur):
    cur.execute(
        "SELECT :a AS a, :b AS b, :c AS c, :d AS d, :e AS e, :f AS f",
        [
            BigIntegerParameter(2**40, "a"),
            # The client calls the number of digits in all "scale".
            DecimalParameter(Decimal("1.5"), "b", scale=18, precision=4),
            DateParameter(dt.date(2026, 2, 28), "c"),
            StringParameter("12", "d"),
            VoidParameter(None, "e"),
            TimestampParameter(dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "f"),
        ],
    )
    found = tuple(cur.fetchone())
    assert found[:5] == (2**40, Decimal("1.5000"), dt.date(2026, 2, 28), "12", None)
    assert found[5] == dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    assert cur.description[1][4:6] == (18, 4)


def test_question_marks_take_values_in_order(target, cur, backend):
    if backend == "sea" and not target.embedded:
        pytest.skip("the sea client sends no places of its parameters, only their order")
    cur.execute("SELECT ? AS a, ? AS b, ? AS c, '?' AS d", ["o'k", 2, None])
    assert tuple(cur.fetchone()) == ("o'k", 2, None, "?")


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_parameter_is_a_value_and_never_sql(target, cur, backend, text):
    with table(target, "name STRING") as name:
        cur.execute(f"INSERT INTO {name} VALUES (:text)", {"text": text})
        cur.execute(f"SELECT name FROM {name} WHERE name = :text", {"text": text})
        assert cur.fetchall() == [(text,)]
        cur.execute(f"SELECT count(*) FROM {name} WHERE name = :text OR false", {"text": "y"})
        assert cur.fetchone() == (0,)


def test_a_marker_without_a_value_is_an_error(cur):
    with pytest.raises(ServerOperationError, match="UNBOUND_SQL_PARAMETER"):
        cur.execute("SELECT :missing AS x", {"other": 1})


def test_parameters_written_into_the_text_by_the_client(target, backend):
    """``use_inline_params``: the client escapes a quote with a backslash."""
    with cursor(target, backend, use_inline_params=True) as made:
        made.execute(
            "SELECT %(s)s AS s, %(i)s AS i, %(n)s AS n", {"s": 'o\'k \\ "x"', "i": 3, "n": None}
        )
        assert tuple(made.fetchone()) == ('o\'k \\ "x"', 3, None)


# errors


@pytest.mark.parametrize(
    ("statement", "error_class", "sql_state"),
    [
        ("SELECT * FROM no_such_table_here", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
        ("SELECT nothing_of_this_name", "UNRESOLVED_COLUMN", "42703"),
        ("SELEC 1", "PARSE_SYNTAX_ERROR", "42601"),
        ("SELECT 1 FROM", "PARSE_SYNTAX_ERROR", "42601"),
        ("SELECT cast('x' AS INT)", "CAST_INVALID_INPUT", "22018"),
        ("SELECT 1 / 0", "DIVIDE_BY_ZERO", "22012"),
    ],
)
def test_an_error_has_its_class_and_state(cur, statement, error_class, sql_state):
    with pytest.raises(ServerOperationError) as caught:
        cur.execute(statement)
        cur.fetchall()
    assert error_class in str(caught.value) and sql_state in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_a_session_goes_on_after_an_error(cur):
    with pytest.raises(ServerOperationError):
        cur.execute("SELECT * FROM no_such_table_here")
    assert cur.execute("SELECT 1 AS a").fetchone() == (1,)


# cancel


def test_cancel_from_another_thread(db, cur):
    # What a cancelled statement raises differs; the sea client has no word for it and fails on
    # the result that is not there.
    with cancelling(cur), pytest.raises(Error):
        cur.execute(LONG)
        cur.fetchall()
    with db.cursor() as other:
        assert other.execute("SELECT 2 AS b").fetchone() == (2,)


def test_what_runs_asynchronously_is_asked_for_later(cur):
    cur.execute_async("SELECT 42 AS answer")
    deadline = time.monotonic() + 60
    while cur.is_query_pending():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    cur.get_async_execution_result()
    assert cur.fetchone() == (42,)


def test_a_query_id_names_the_statement(target, cur):
    cur.execute("SELECT 1 AS a")
    assert len(cur.query_id.replace("-", "")) == 32


# large results

LARGE = (
    f"SELECT id, concat('row ', id) AS name, cast(id AS DECIMAL(18,2)) AS amount FROM range({ROWS})"
)


def test_all_rows_of_a_large_result_as_arrow(cur):
    cur.execute(LARGE)
    found = cur.fetchall_arrow()
    assert found.num_rows == ROWS
    ids = found.column("id").to_pylist()
    assert sorted(ids) == list(range(ROWS))
    assert sum(found.column("amount").to_pylist()) == Decimal(ROWS * (ROWS - 1) // 2)


def test_all_rows_of_a_large_result_part_by_part(cur):
    cur.execute(f"SELECT id FROM range({ROWS}) ORDER BY id")
    seen = 0
    while part := cur.fetchmany(70_001):
        assert part[0][0] == seen and len(part) <= 70_001
        seen += len(part)
    assert seen == ROWS and cur.fetchmany(10) == [] and cur.fetchone() is None


def test_a_large_result_without_downloads(target):
    """A Thrift client that cannot reach the files gets every row in the answers themselves."""
    with cursor(target, "thrift", use_cloud_fetch=False) as made:
        made.execute(f"SELECT id, repeat('x', 100) AS filler FROM range({ROWS}) ORDER BY id")
        found = made.fetchall_arrow()
    assert found.column("id").to_pylist() == list(range(ROWS))


def test_a_row_limit_of_the_cursor(db):
    with db.cursor(row_limit=7) as made:
        assert len(made.execute("SELECT id FROM range(100)").fetchall()) == 7
    with db.cursor(row_limit=2**40) as made:
        assert len(made.execute("SELECT id FROM range(100)").fetchall()) == 100


# sessions and cursors


def test_where_a_session_looks_up_names(target, backend):
    with table(target, "id INT") as name:
        short = name.rpartition(".")[2]
        with cursor(target, backend, catalog=target.catalog, schema=target.schema) as made:
            made.execute(f"INSERT INTO {short} VALUES (7)")
            assert made.execute(f"SELECT id FROM {short}").fetchall() == [(7,)]
            made.execute("SELECT current_catalog(), current_schema()")
            assert tuple(made.fetchone()) == (target.catalog, target.schema)
            made.execute("USE SCHEMA default")
            with pytest.raises(ServerOperationError, match="TABLE_OR_VIEW_NOT_FOUND"):
                made.execute(f"SELECT id FROM {short}")


def test_settings_of_a_session(target, backend):
    """A zone of the session is the zone in which a timestamp without one is read."""
    with cursor(target, backend, session_configuration={"TIMEZONE": "Asia/Manila"}) as made:
        (found,) = made.execute("SELECT CAST('2026-01-02 08:00:00' AS TIMESTAMP) AS t").fetchone()
        assert found == dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
        (zone,) = made.execute("SELECT current_timezone()").fetchone()
        assert zone == "Asia/Manila"
    with cursor(target, backend) as made:
        (found,) = made.execute("SELECT CAST('2026-01-02 08:00:00' AS TIMESTAMP) AS t").fetchone()
        assert found == dt.datetime(2026, 1, 2, 8, tzinfo=dt.UTC)


def test_a_session_in_a_place_that_does_not_exist(target, backend):
    with pytest.raises(Error):
        connect(target, backend, catalog="no_such_catalog", schema="default").close()


def test_several_cursors_of_one_session_do_not_mix(db):
    with db.cursor() as one, db.cursor() as two:
        one.execute("SELECT id FROM range(5) ORDER BY id")
        two.execute("SELECT id + 100 FROM range(5) ORDER BY id")
        assert [one.fetchone()[0], two.fetchone()[0], one.fetchone()[0]] == [0, 100, 1]
        assert [row[0] for row in two.fetchall()] == [101, 102, 103, 104]


def test_several_sessions_at_once(target, backend):
    def ask(number: int) -> list:
        with cursor(target, backend) as made:
            return made.execute("SELECT :n * id FROM range(3)", {"n": number}).fetchall()

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(ask, range(6)))
    for number, rows in enumerate(found):
        assert sorted(row[0] for row in rows) == [0, number, 2 * number]


def test_a_long_statement_keeps_no_other_waiting(target, db, cur, backend):
    long = threading.Thread(target=lambda: _ignore(lambda: cur.execute(LONG)), daemon=True)
    long.start()
    with cursor(target, backend) as other:
        assert other.execute("SELECT 3 AS c").fetchone() == (3,)
    assert long.is_alive()
    with cancelling(cur):
        long.join(60)
    assert not long.is_alive()


def _ignore(action) -> None:
    try:
        action()
    except Error:
        return


def test_a_closed_connection_answers_nothing(target, backend):
    connection = connect(target, backend)
    made = connection.cursor()
    made.execute("SELECT 1 AS a")
    connection.close()
    with pytest.raises(Error):
        made.execute("SELECT 1 AS a")


def test_a_statement_ends_with_its_cancel_error_and_not_with_a_result(target):
    """Thrift: a cancelled statement has a state of its own and no columns."""
    with cursor(target, "thrift") as made:
        with cancelling(made), pytest.raises(DatabaseError, match="(?i)cancel"):
            made.execute(LONG)
