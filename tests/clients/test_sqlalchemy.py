"""databricks-sqlalchemy: reflection, select and insert, over the kernel and over Thrift."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from connectors import address, table
from databricks.sqlalchemy import TIMESTAMP, TIMESTAMP_NTZ
from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    create_engine,
    func,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy import types as sqltypes
from sqlalchemy.exc import DatabaseError

COLUMNS = (
    "id BIGINT, amount DECIMAL(18,2), name STRING, day DATE, at TIMESTAMP, plain TIMESTAMP_NTZ,"
    " ok BOOLEAN, small SMALLINT, ratio DOUBLE"
)


@pytest.fixture(scope="module", params=("thrift", "kernel"))
def engine(target, request):
    url = (
        f"databricks://token:{target.token}@{urlsplit(target.host).hostname}"
        f"?http_path={target.http_path}&catalog={target.catalog}&schema={target.schema}"
    )
    where = address(target, request.param)
    where |= {"enable_telemetry": False, "_retry_stop_after_attempts_count": 2}
    made = create_engine(url, connect_args=where)
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def example(target):
    with table(target, COLUMNS) as name:
        yield name.rpartition(".")[2]


def test_a_parameter_in_text(engine):
    with engine.connect() as connection:
        found = connection.execute(text("SELECT :x AS x, :y AS y"), {"x": 5, "y": "o'k"}).one()
    assert tuple(found) == (5, "o'k")


def test_schemas(target, engine):
    assert target.schema in inspect(engine).get_schema_names()


def test_tables(engine, example):
    inspector = inspect(engine)
    assert example in inspector.get_table_names()
    assert example not in inspector.get_view_names()
    assert inspector.has_table(example) and not inspector.has_table("no_such_table")


def test_columns_have_types(engine, example):
    found = {column["name"]: column["type"] for column in inspect(engine).get_columns(example)}
    kinds = {
        "id": sqltypes.BigInteger,
        "amount": sqltypes.Numeric,
        "name": sqltypes.String,
        "day": sqltypes.Date,
        "at": TIMESTAMP,
        "plain": TIMESTAMP_NTZ,
        "ok": sqltypes.Boolean,
        "small": sqltypes.SmallInteger,
        "ratio": sqltypes.Double,
    }
    assert list(found) == list(kinds)
    for name, kind in kinds.items():
        made = found[name]() if isinstance(found[name], type) else found[name]
        assert isinstance(made, kind), (name, made)
    assert (found["amount"].precision, found["amount"].scale) == (18, 2)


def test_keys_of_a_table_without_keys(engine, example):
    inspector = inspect(engine)
    assert inspector.get_pk_constraint(example)["constrained_columns"] == []
    assert inspector.get_foreign_keys(example) == []
    assert inspector.get_indexes(example) == []


def test_a_reflected_table_is_read(engine, example):
    reflected = Table(example, MetaData(), autoload_with=engine)
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(reflected)).scalar() == 0


def test_a_table_made_filled_and_read_through_core(engine):
    """Insert and select bind their values by markers in back quotes."""
    receipts = Table(
        f"clients_{uuid.uuid4().hex[:12]}",
        MetaData(),
        Column("id", BigInteger),
        Column("vendor", String),
        Column("amount", Numeric(18, 2)),
        Column("day", Date),
        Column("units in stock", Integer),
    )
    rows = [
        {"id": 1, "vendor": "o'neil; --", "amount": Decimal("10.50"),
         "day": dt.date(2026, 1, 2), "units in stock": 3},
        {"id": 2, "vendor": None, "amount": Decimal("-0.01"), "day": None, "units in stock": None},
    ]  # fmt: skip
    receipts.create(engine)
    try:
        with engine.begin() as connection:
            connection.execute(insert(receipts).values(rows))
        chosen = (
            select(receipts)
            .where(receipts.c.amount > Decimal("-1"), receipts.c.id.in_([1, 2, 3]))
            .order_by(receipts.c.id)
            .limit(10)
        )
        with engine.connect() as connection:
            assert [dict(row._mapping) for row in connection.execute(chosen)] == rows
            one = select(receipts.c.id).where(receipts.c.vendor == "o'neil; --")
            assert connection.execute(one).scalars().all() == [1]
            offset = select(receipts.c.id).order_by(receipts.c.id).offset(1)
            assert connection.execute(offset).scalars().all() == [2]
    finally:
        receipts.drop(engine)
    assert not inspect(engine).has_table(receipts.name)


def test_an_error_of_the_database(engine):
    with engine.connect() as connection:
        with pytest.raises(DatabaseError, match="TABLE_OR_VIEW_NOT_FOUND"):
            connection.execute(text("SELECT * FROM no_such_table"))
        assert connection.execute(text("SELECT 1")).scalar() == 1
