"""Run as sail_side.py FOLDER in the lakehouse environment: FOLDER/staged, FOLDER/sail.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE)]
sys.path.append(str(ROOT / "odoo_databricks" / "lib"))


def main(folder: Path) -> None:
    """Generates and stages exports, runs both_sides on Sail and writes what came out."""
    from both_sides import all_checksums, expressions
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession

    from lakehouse_jobs import generator
    from lakehouse_jobs.sources.unpack import find_archives, stage_archives

    generator.write_exports(folder / "exports", generator.Options(lines=4000, months=5))
    generator.add_broken(folder / "exports")
    archives, _ = find_archives(folder / "exports")
    rows = sum(outcome.rows for outcome in stage_archives(archives, folder / "staged"))
    server = SparkConnectServer()
    server.start(background=True)
    host, port = server.listening_address
    spark = SparkSession.builder.remote(f"sc://{host}:{port}").create()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    result = {
        "rows": rows,
        "checksums": all_checksums(spark, str(folder / "staged"), folder / "work"),
        "expressions": expressions(spark),
    }
    (folder / "sail.json").write_text(json.dumps(result))
    spark.stop()
    server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
