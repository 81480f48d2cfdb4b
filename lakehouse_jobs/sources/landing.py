"""The finance exports as a batch, with the ledger's memory of what was read before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from ..contracts import contract_for
from .unpack import Outcome, find_archives, stage_archives

LEDGER = "bronze.load_files"


@dataclass(frozen=True)
class Batch:
    """Staged records of the new files, what became of each file, and how many were known."""

    records: DataFrame | None
    outcomes: tuple[Outcome, ...]
    skipped: int


def read_new(spark: SparkSession, folder: Path, known: Iterable[str], staging: Path) -> Batch:
    """Unpacks the ZIPs under `folder` whose sha256 is not in `known` into `staging`.

    `records` has the columns of STAGED_SCHEMA and is None if no record was staged.
    """
    archives, skipped = find_archives(folder, known)
    outcomes = tuple(stage_archives(archives, staging))
    staged = any(outcome.rows for outcome in outcomes)
    records = spark.read.parquet(str(staging)) if staged else None
    return Batch(records, outcomes, skipped)


def ledger_frame(
    spark: SparkSession, outcomes: Iterable[Outcome], load_id: str, loaded_at: datetime
) -> DataFrame:
    """Rows of bronze.load_files for these outcomes."""
    rows = [
        (
            outcome.archive.path,
            outcome.member,
            outcome.size,
            outcome.archive.sha256,
            "loaded" if outcome.reason is None else "refused",
            outcome.reason,
            outcome.line,
            outcome.source,
            outcome.rows,
            outcome.problems,
            load_id,
            loaded_at,
        )
        for outcome in outcomes
    ]
    return spark.createDataFrame(rows, contract_for(LEDGER).ddl)
