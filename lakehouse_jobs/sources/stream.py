"""The finance exports as a stream over staged Parquet files.

On Databricks Auto Loader (`cloudFiles`) watches the staging folder of the landing Volume, which
the task `ingest_bronze --stage-only VOLUME` fills with the parsing code of the batch reader. The
embedded workspace reads such a stream as a batch of the files that came since the last update.
With `format="parquet"` the same definition is validated on open-source Spark, without Auto Loader.
"""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession

from ..contracts import contract_for

TABLE = "bronze.finance_lines"
FORMATS = ("cloudFiles", "parquet")


def read(spark: SparkSession, folder: str, format: str = "cloudFiles") -> DataFrame:
    """Streaming frame with the columns of bronze.finance_lines over the Parquet files in `folder`.

    Raises ValueError for a format other than `cloudFiles` and `parquet`.
    """
    if format not in FORMATS:
        raise ValueError(f"format is {format!r}, not one of {FORMATS}")
    reader = spark.readStream.format(format).schema(contract_for(TABLE).ddl)
    reader = reader.option("recursiveFileLookup", "true")
    if format == "cloudFiles":
        reader = reader.option("cloudFiles.format", "parquet")
    return reader.load(folder)
