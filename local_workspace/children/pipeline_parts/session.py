"""The Spark session of an update: what the pipeline's code may do with it, and what it is told.

While the pipeline's code runs it can only read, and each table that it reads is announced first,
so that the table can be made known to the session. The session's own catalog is empty at first.
"""

import os
import sys
from contextlib import contextmanager
from pathlib import Path

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql.connect.catalog import Catalog
from pyspark.sql.connect.conf import RuntimeConf
from pyspark.sql.connect.dataframe import DataFrame
from pyspark.sql.connect.readwriter import DataFrameReader
from pyspark.sql.connect.session import SparkSession as ConnectSession
from pyspark.sql.connect.udf import UDFRegistration

from .errors import DefinitionError
from .sql_names import split_name, with_tables
from .sql_text import quote_name
from .streams import StreamReader

# What would change the session or data behind the back of the graph.
_REFUSED = (
    (RuntimeConf, ("set", "unset")),
    (Catalog, ("setCurrentCatalog", "setCurrentDatabase", "dropTempView", "dropGlobalTempView")),
    (DataFrame, ("createTempView", "createOrReplaceTempView", "createGlobalTempView",
                 "createOrReplaceGlobalTempView", "writeTo", "mergeInto")),
    (UDFRegistration, ("register", "registerJavaFunction", "registerJavaUDAF")),
)  # fmt: skip
_REFUSED_PROPERTIES = ((DataFrame, ("write", "writeStream")),)


class Session:
    """``on_table(parts, required)`` and ``on_stream(source)`` are set by who listens.

    ``on_table`` returns the parts by which the engine knows the table. ``engine_catalogs``: the
    engine's names of catalogs that it does not know under their own.
    """

    def __init__(self, catalog, schema, configuration, volumes_root, engine_catalogs):
        self.spark = SparkSession.builder.remote(os.environ["SPARK_REMOTE"]).getOrCreate()
        # The client's own retries last for minutes; a dead engine must show at once.
        self.spark.client.set_retry_policies([])
        self.volumes_root = Path(volumes_root)
        self.on_table = self.on_stream = _outside
        self._guarded = False
        self._engine_catalogs = engine_catalogs
        self._place = (catalog, schema)
        self._schemas = set()
        self.spark.conf.set("spark.sql.session.timeZone", "UTC")
        self.spark.conf.set("spark.sql.sources.default", "delta")
        for name, value in configuration.items():
            self.spark.conf.set(name, value)
        self._install()

    def settle(self, schema_folder):
        """Make the pipeline's own catalog and schema the current ones."""
        self._know_schema(self._place, schema_folder)
        self.spark.catalog.setCurrentCatalog(self.engine_parts(self._place)[0])
        self.spark.catalog.setCurrentDatabase(self._place[1])

    @contextmanager
    def pipeline_code(self, guarded=True):
        """Around code of the pipeline; inside of it, ``guarded=False`` around our own."""
        before, self._guarded = self._guarded, guarded
        try:
            yield
        finally:
            self._guarded = before

    @contextmanager
    def settings(self, values):
        """Settings of a flow, for as long as it is evaluated and written."""
        before = {name: self.spark.conf.get(name, None) for name in values}
        with self.pipeline_code(guarded=False):
            for name, value in values.items():
                self.spark.conf.set(name, value)
        try:
            yield
        finally:
            with self.pipeline_code(guarded=False):
                for name, value in before.items():
                    if value is None:
                        self.spark.conf.unset(name)
                    else:
                        self.spark.conf.set(name, value)

    def register(self, key, folder):
        """Let a table's name stand for the Delta table in ``folder``."""
        with self.pipeline_code(guarded=False):
            self._know_schema(key[:2], folder.parent)
            name = quote_name(*self.engine_parts(key))
            self.spark.sql(f"DROP TABLE IF EXISTS {name}").collect()
            self.spark.sql(
                f"CREATE TABLE {name} USING delta LOCATION '{folder.as_uri()}'"
            ).collect()

    def engine_parts(self, key):
        """A key with its catalog under the engine's name."""
        return (self._engine_catalogs.get(key[0], key[0]), *key[1:])

    def view(self, name, frame):
        with self.pipeline_code(guarded=False):
            frame.createOrReplaceTempView(name)

    def empty(self, schema):
        """A frame without rows."""
        with self.pipeline_code(guarded=False):
            return self.spark.createDataFrame([], schema)

    def close(self):
        """Give the session back; the engine stops what it still runs."""
        try:
            self.spark.client.release_session()
        except Exception as error:
            # An engine that has ended holds nothing; why the update failed is told elsewhere.
            print(f"the session was not given back: {error}", file=sys.stderr)
        self.spark.client.close()

    def _know_schema(self, place, folder):
        if place in self._schemas:
            return
        name = quote_name(*self.engine_parts(place))
        self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS {name} LOCATION '{folder.as_uri()}'").collect()
        self._schemas.add(place)

    def _install(self):
        for owner, names in _REFUSED:
            for name in names:
                setattr(owner, name, self._refusing(getattr(owner, name), owner, name))
        for owner, names in _REFUSED_PROPERTIES:
            for name in names:
                getter = getattr(owner, name).fget
                setattr(owner, name, property(self._refusing(getter, owner, name)))
        DataFrameReader.table = self._noting_table(DataFrameReader.table)
        DataFrameReader.load = self._mapping_volumes(DataFrameReader.load)
        ConnectSession.sql = self._noting_sql(ConnectSession.sql)
        ConnectSession.readStream = property(lambda spark: StreamReader(self))

    def _refusing(self, original, owner, name):
        def refuse(*args, **named):
            if self._guarded:
                raise PySparkException(
                    f"[SESSION_MUTATION_IN_DECLARATIVE_PIPELINE] {owner.__name__}.{name} cannot "
                    "be used in the code of a pipeline: it only reads."
                )
            return original(*args, **named)

        return refuse

    def _noting_table(self, original):
        def table(reader, name):
            if self._guarded:
                name = quote_name(*self.on_table(split_name(name), required=True))
            return original(reader, name)

        return table

    def _noting_sql(self, original):
        def sql(spark, text, args=None, **named):
            if self._guarded:
                text = with_tables(text, lambda parts: self.on_table(parts, required=False))
            return original(spark, text, args, **named)

        return sql

    def _mapping_volumes(self, original):
        def load(reader, path=None, *args, **named):
            if self._guarded and path is not None:
                several = [path] if isinstance(path, str) else path
                path = [str(self.on_disk(one)) for one in several]
            return original(reader, path, *args, **named)

        return load

    def on_disk(self, path):
        """The place of a path as pipelines write it: /Volumes/... is a folder of the workspace."""
        plain = path.removeprefix("dbfs:").removeprefix("file:")
        parts = Path(plain).parts
        if parts[:2] == ("/", "Volumes"):
            return self.volumes_root.joinpath(*parts[2:])
        return Path(plain)


def _outside(*args, **named):
    raise DefinitionError("Tables and streams are read in query functions, not while a file loads.")
