"""Staged records -> bronze.finance_lines."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ..contracts import contract_for

TABLE = "bronze.finance_lines"


def stamp(staged: DataFrame, load_id: str, loaded_at: datetime) -> DataFrame:
    """Adds the load to staged records; columns and order as in the contract.

    `loaded_at` is a naive UTC time.
    """
    frame = staged.withColumn("load_id", F.lit(load_id)).withColumn(
        "loaded_at", F.lit(loaded_at.isoformat(sep=" ")).cast("timestamp")
    )
    return frame.select(*contract_for(TABLE).column_names)
