"""Our side of etl_1m: the stages of the job, as its tasks call them."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from lakehouse_jobs import reference, stages
from lakehouse_jobs.lakehouse import Lakehouse


def main(exports: Path, work: Path) -> None:
    """Prints {seconds, total, cpu_seconds, peak_mb, facts} as its last line."""
    spark = SparkSession.builder.remote(os.environ["SPARK_REMOTE"]).getOrCreate()
    lake = Lakehouse(spark, tables_root=work / "tables", volumes_root=work / "volumes")
    seconds, reports = {}, {}
    for name, stage in (
        ("bronze", lambda: stages.ingest_bronze(lake, exports)),
        ("silver", lambda: stages.build_silver(lake, reference.payor_kinds())),
        ("gold", lambda: stages.build_gold(lake)),
    ):
        started = time.monotonic()
        reports[name] = stage()
        seconds[name] = round(time.monotonic() - started, 2)
    silver, gold = reports["silver"], reports["gold"]["rows"]
    gross = lake.read("silver.finance_lines").agg(F.sum("amount_gross")).collect()[0][0]
    tax = lake.read("gold.ewt_summary").agg(F.sum("tax_withheld")).collect()[0][0]
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "seconds": seconds,
                "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
                "total": round(sum(seconds.values()), 2),
                "peak_mb": usage.ru_maxrss // 1024,
                "facts": {
                    "good": silver["good_rows"],
                    "quarantined": silver["quarantined_rows"],
                    "duplicates": silver["duplicate_rows"],
                    "amount_gross": str(gross),
                    "vendor_months": gold["gold.vendor_spend_monthly"],
                    "ewt_rows": gold["gold.ewt_summary"],
                    "tax_withheld": str(tax),
                },
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
