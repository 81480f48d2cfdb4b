"""Where the tables and files are: Delta folders of an embedded engine, or Unity Catalog names.

The same calls work on both. On the embedded engine a table main.silver.x is the Delta folder
<tables_root>/main/silver/x; nothing is kept in a session's catalogue.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from pyspark.sql import DataFrame, SparkSession

from .contracts import TableContract, contract_for

_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_CONFLICT = re.compile(r"Failed to commit transaction|DELTA_CONCURRENT|ConcurrentAppend")
_ATTEMPTS = 8
T = TypeVar("T")


class SchemaMismatch(ValueError):
    """A frame's columns are not those of the table's contract."""


class Lakehouse:
    """Reads, declares and writes the tables of one catalogue through one Spark session.

    Tables are named schema.table. `tables_root` None means names of Unity Catalog.
    """

    def __init__(
        self,
        spark: SparkSession,
        catalog: str = "main",
        tables_root: str | os.PathLike | None = None,
        volumes_root: str | os.PathLike = "/Volumes",
    ) -> None:
        if not _NAME.match(catalog):
            raise ValueError(f"{catalog!r} is not a catalogue name")
        self.spark = spark
        self.catalog = catalog
        self.tables_root = None if tables_root is None else Path(tables_root).resolve()
        self.volumes_root = Path(volumes_root)
        spark.conf.set("spark.sql.session.timeZone", "UTC")

    @classmethod
    def from_environment(cls, catalog: str = "main") -> Lakehouse:
        """SPARK_REMOTE, LAKEHOUSE_TABLES_ROOT and LAKEHOUSE_VOLUMES_ROOT where they are set."""
        remote = os.environ.get("SPARK_REMOTE")
        builder = SparkSession.builder
        spark = (builder.remote(remote) if remote else builder).getOrCreate()
        return cls(
            spark,
            catalog,
            os.environ.get("LAKEHOUSE_TABLES_ROOT") or None,
            os.environ.get("LAKEHOUSE_VOLUMES_ROOT") or "/Volumes",
        )

    # -- names ---------------------------------------------------------------------------------

    def path(self, table: str) -> Path:
        """The Delta folder of a table on the embedded engine."""
        if self.tables_root is None:
            raise ValueError("tables have no path of their own under Unity Catalog")
        return self.tables_root.joinpath(self.catalog, *_parts(table))

    def reference(self, table: str) -> str:
        """The table as SQL names it."""
        if self.tables_root is None:
            return ".".join(f"`{part}`" for part in (self.catalog, *_parts(table)))
        return f"delta.`{self.path(table)}`"

    def volume(self, schema: str, name: str) -> Path:
        """Folder of the Volume <catalog>.<schema>.<name>."""
        return self.volumes_root / self.catalog / schema / name

    # -- reading -------------------------------------------------------------------------------

    def exists(self, table: str) -> bool:
        if self.tables_root is None:
            return self.spark.catalog.tableExists(f"{self.catalog}.{table}")
        return (self.path(table) / "_delta_log").is_dir()

    def read(self, table: str) -> DataFrame:
        """The table now; raises the engine's error if it does not exist."""
        if self.tables_root is None:
            return self.spark.read.table(f"{self.catalog}.{table}")
        return self.spark.read.format("delta").load(str(self.path(table)))

    def is_empty(self, table: str) -> bool:
        return not self.read(table).limit(1).collect()

    # -- writing -------------------------------------------------------------------------------

    def declare(self, table: str) -> TableContract:
        """Creates the table with its contract's columns unless it is there; returns the contract.

        Raises SchemaMismatch if a table is there whose columns are not the contract's.
        """
        contract = contract_for(table)
        if self.exists(table):
            check_columns(self.read(table), contract)
            return contract
        if self.tables_root is None:
            self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS `{self.catalog}`.`{_parts(table)[0]}`")
            columns = ", ".join(f"`{c.name}` {c.type}" for c in contract.columns)
            self.spark.sql(
                f"CREATE TABLE IF NOT EXISTS {self.reference(table)} ({columns}) USING DELTA"
            )
        else:
            empty = self.spark.createDataFrame([], contract.ddl)
            empty.write.format("delta").mode("ignore").save(str(self.path(table)))
        return contract

    def append(self, table: str, frame: DataFrame) -> None:
        """Appends rows whose columns are the contract's. Not idempotent: see `merge`."""
        contract = contract_for(table)
        frame = frame.select(*contract.column_names)
        check_columns(frame, contract)
        if self.tables_root is None:
            name = f"{self.catalog}.{table}"
            retry_on_conflict(lambda: frame.write.format("delta").mode("append").saveAsTable(name))
        else:
            path = str(self.path(table))
            retry_on_conflict(lambda: frame.write.format("delta").mode("append").save(path))

    def merge(
        self,
        table: str,
        frame: DataFrame,
        *,
        update_when: str | None = None,
        delete_missing: bool = False,
    ) -> None:
        """MERGE of `frame` on the contract's keys, which must be unique in `frame`.

        `update_when`: SQL over `t` (table) and `s` (frame); matched rows are replaced where it
        holds, and left alone if it is None. `delete_missing`: rows of the table without a partner
        in `frame` are deleted. A table without rows is appended to, which is the same.
        """
        contract = contract_for(table)
        frame = frame.select(*contract.column_names)
        check_columns(frame, contract)
        if self.is_empty(table):
            self.append(table, frame)
            return
        view = f"merge_{uuid.uuid4().hex}"
        frame.createOrReplaceTempView(view)
        columns = contract.column_names
        on = " AND ".join(f"t.`{key}` = s.`{key}`" for key in contract.keys)
        statement = [f"MERGE INTO {self.reference(table)} t USING {view} s ON {on}"]
        if update_when is not None:
            sets = ", ".join(f"t.`{c}` = s.`{c}`" for c in columns if c not in contract.keys)
            statement.append(f"WHEN MATCHED AND ({update_when}) THEN UPDATE SET {sets}")
        names, values = (", ".join(f"{p}`{c}`" for c in columns) for p in ("", "s."))
        statement.append(f"WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})")
        if delete_missing:
            statement.append("WHEN NOT MATCHED BY SOURCE THEN DELETE")
        try:
            retry_on_conflict(lambda: self.spark.sql("\n".join(statement)).collect())
        finally:
            self.spark.catalog.dropTempView(view)

    # -- scratch -------------------------------------------------------------------------------

    def scratch(self, name: str) -> Path:
        """A new folder beside the landing Volumes for files that a run needs for a while."""
        if self.tables_root is None:
            # Under Unity Catalog a Volume is made by statement, not by a folder.
            self.spark.sql(f"CREATE VOLUME IF NOT EXISTS `{self.catalog}`.`landing`.`_scratch`")
        folder = self.volume("landing", "_scratch") / f"{name}-{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        return folder

    def checkpoint(self, frame: DataFrame, folder: Path) -> DataFrame:
        """Computes `frame` once into Parquet files in `folder` and returns it read back."""
        target = str(folder)
        frame.write.mode("overwrite").parquet(target)
        # A frame without rows leaves no file that could tell its columns.
        return self.spark.read.schema(frame.schema).parquet(target)

    @staticmethod
    def discard(folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)


def _parts(table: str) -> tuple[str, str]:
    parts = table.split(".")
    if len(parts) != 2 or not all(_NAME.match(part) for part in parts):
        raise ValueError(f"{table!r} is not of the form schema.table")
    return parts[0], parts[1]


def check_columns(frame: DataFrame, contract: TableContract) -> None:
    """Raises SchemaMismatch unless names, order and types are the contract's.

    The embedded engine drops an extra column or casts a wrong type without a word, so the
    comparison is made here before each write.
    """
    found = [(name, _type_text(type_)) for name, type_ in frame.dtypes]
    wanted = [(column.name, _type_text(column.type)) for column in contract.columns]
    if found != wanted:
        extra = [pair for pair in found if pair not in wanted]
        missing = [pair for pair in wanted if pair not in found]
        raise SchemaMismatch(f"{contract.table}: not in the contract {extra}; missing {missing}")


def _type_text(text: str) -> str:
    return text.replace(" ", "").lower()


def retry_on_conflict(
    action: Callable[[], T],
    attempts: int = _ATTEMPTS,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Runs `action`, again after a Delta commit conflict; the last conflict is raised."""
    for attempt in range(1, attempts + 1):
        try:
            return action()
        except Exception as error:
            if attempt == attempts or not _CONFLICT.search(str(error)):
                raise
            sleep(min(5.0, 0.05 * 2**attempt) * (0.5 + random.random()))
    raise ValueError("attempts must be at least 1")


def differs(columns: Sequence[str]) -> str:
    """SQL for `update_when`: some column of `s` is not that of `t`, nulls compared as values."""
    return " OR ".join(f"NOT (t.`{name}` <=> s.`{name}`)" for name in columns)
