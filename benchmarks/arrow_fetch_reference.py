"""The other sides of arrow_fetch_1m: the engine by Spark Connect, and delta-rs without one."""

from __future__ import annotations

import json
import sys

from .arrow_fetch_timing import measure


def engine(given: dict):
    """A fetch of the statement in a session that knows the table by its name."""
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.remote(f"sc://127.0.0.1:{given['port']}").getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    schema, table = given["table"].rpartition(".")[0], given["folder"]
    spark.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    spark.sql(f"CREATE TABLE {given['table']} USING delta LOCATION 'file://{table}'")
    return lambda: spark.sql(given["statement"]).toArrow()


def delta_rs(given: dict):
    import deltalake

    return lambda: deltalake.DeltaTable(given["folder"]).to_pyarrow_table()


if __name__ == "__main__":
    sides = {"engine": engine, "delta-rs": delta_rs}
    print(json.dumps(measure(sides[sys.argv[1]](json.load(sys.stdin)))))
