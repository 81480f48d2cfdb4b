"""The tables that a pipeline makes: Delta folders with a small state file beside the data.

``<table>/_pipeline/state.json`` says whose table it is and which files its flows have read:
{pipeline_id, flows: {flow: {source: [file]}}, pending: {tag, since, flow, files}, resetting}.
It lies in the table's folder, so that it goes with the table. Each write carries a tag in its Delta
commit; a batch counts as read only if its tag is found, so that no end of this process makes a
file be read twice or not at all.
"""

import json
import os
import random
import re
import time
import uuid

from pyspark.sql.types import StructField, StructType

from .delta_log import commit_file, commit_info, is_table, newest_version
from .errors import DefinitionError

_CONFLICT = re.compile(r"Failed to commit transaction|DELTA_CONCURRENT")
_ATTEMPTS = 8


class Table:
    """One table of the pipeline. ``folder``: its Delta folder, which need not exist yet."""

    def __init__(self, key, folder, pipeline_id):
        self.key = key
        self.name = ".".join(key)
        self.folder = folder
        self._pipeline_id = pipeline_id
        self._state_file = folder / "_pipeline" / "state.json"

    @property
    def exists(self):
        return is_table(self.folder)

    def claim(self):
        """Make the name the pipeline's. Raises DefinitionError when another's table has it."""
        state = self._state()
        if self.exists and state.get("pipeline_id") != self._pipeline_id:
            raise DefinitionError(
                f"[TABLE_OR_VIEW_ALREADY_EXISTS] The table {self.name} exists and is not managed "
                "by this pipeline: drop it or give the dataset another name. SQLSTATE: 42P07"
            )
        if not self.exists or not state:
            self._save({"pipeline_id": self._pipeline_id, "flows": {}})

    # -- files that flows have read --------------------------------------------------------------

    def taken(self, flow, source):
        """Files of a source that a flow has read, as a set of paths."""
        return set(self._state()["flows"].get(flow, {}).get(source, ()))

    def settle_pending(self):
        """Find out what became of a batch that was being written when its process ended."""
        state = self._state()
        pending = state.get("pending")
        if pending is None:
            return
        if self._find_commit(pending["tag"], pending["since"]) is not None:
            _take(state, pending)
        state["pending"] = None
        self._save(state)

    def reset(self, session, schema):
        """Empty the table and forget what was read; done again if it was cut short."""
        state = self._state()
        self._save(state | {"resetting": True, "flows": {}, "pending": None})
        if self.exists:
            self._write(session.empty(schema), "overwrite", self._tag())
        self._save({"pipeline_id": self._pipeline_id, "flows": {}})

    @property
    def resetting(self):
        return bool(self._state().get("resetting"))

    # -- writing ---------------------------------------------------------------------------------

    def create(self, session, schema, partitions):
        """Make an empty table unless there is one; its columns are nullable."""
        if not self.exists:
            self._write(session.empty(schema), "append", self._tag(), partitions)

    def append(self, frame, flow, files):
        """Append a batch of a flow; ``files``: {source: [path]} that it was read from."""
        tag = self._tag()
        pending = {"tag": tag, "since": newest_version(self.folder), "flow": flow, "files": files}
        self._save(self._state() | {"pending": pending})
        rows = self._write(frame, "append", tag)
        state = self._state()
        _take(state, pending)
        self._save(state | {"pending": None})
        return rows

    def replace(self, frame, partitions):
        """Replace all rows, and the columns if they differ, in one commit. Returns the rows."""
        return self._write(frame, "overwrite", self._tag(), partitions)

    def _write(self, frame, mode, tag, partitions=None):
        frame = frame.to(_nullable(frame.schema))
        since = newest_version(self.folder)

        def attempt():
            writer = frame.write.format("delta").mode(mode).option("userMetadata", tag)
            if mode == "overwrite":
                writer = writer.option("overwriteSchema", "true")
            if partitions:
                writer = writer.partitionBy(*partitions)
            writer.save(str(self.folder))

        _retry_on_conflict(attempt)
        commit = self._find_commit(tag, since)
        if commit is None:
            raise RuntimeError(f"The write into {self.name} left no commit.")
        self._check_columns(frame)
        return int(commit["operationMetrics"]["numOutputRows"])

    def _check_columns(self, frame):
        """The engine can drop a column of an append without a word: what was written is read."""
        stored = frame.sparkSession.read.format("delta").load(str(self.folder))
        wanted = [(name, kind) for name, kind in frame.dtypes]
        if sorted(stored.dtypes) != sorted(wanted):
            raise DefinitionError(
                f"The columns of {self.name} are {stored.dtypes}, not {wanted}: "
                "run a full refresh after a change of columns."
            )

    def columns_differ(self, session, schema):
        """Whether the table's columns are others than ``schema`` says."""
        stored = session.spark.read.format("delta").load(str(self.folder)).schema
        return _named_types(stored) != _named_types(schema)

    # -- the Delta log and the state file ----------------------------------------------------------

    def _tag(self):
        return f"pipeline {self._pipeline_id} write {uuid.uuid4()}"

    def _find_commit(self, tag, since):
        """The commitInfo of the commit after version ``since`` that carries ``tag``, or None.

        Raises DefinitionError when one of these commits is no longer in the log.
        """
        for version in range(newest_version(self.folder), since, -1):
            information = commit_info(self.folder, version)
            if information.get("userMetadata") == tag:
                return information
            if not commit_file(self.folder, version).is_file():
                raise DefinitionError(
                    f"The log of {self.name} does not go back to version {since + 1}: "
                    "run a full refresh of it."
                )
        return None

    def _state(self):
        if not self._state_file.is_file():
            return {}
        return json.loads(self._state_file.read_text(encoding="utf-8"))

    def _save(self, state):
        self._state_file.parent.mkdir(parents=True, exist_ok=True)
        written = self._state_file.with_suffix(".new")
        with written.open("w", encoding="utf-8") as out:
            json.dump(state, out)
            out.flush()
            os.fsync(out.fileno())
        written.replace(self._state_file)


def _take(state, pending):
    flow = state["flows"].setdefault(pending["flow"], {})
    for source, files in pending["files"].items():
        flow[source] = sorted({*flow.get(source, ()), *files})


def _nullable(schema):
    """A column that is declared to have no nulls stands in the way of later writes."""
    return StructType([StructField(f.name, f.dataType, True, f.metadata) for f in schema.fields])


def _named_types(schema):
    return sorted((field.name, field.dataType.simpleString()) for field in schema.fields)


def same_columns(one, other):
    """Whether two schemas have the same columns with the same types, in any order."""
    return _named_types(one) == _named_types(other)


def _retry_on_conflict(attempt):
    """The loser of a Delta commit has written nothing that a reader sees: try again."""
    for number in range(1, _ATTEMPTS + 1):
        try:
            return attempt()
        except Exception as error:
            if number == _ATTEMPTS or not _CONFLICT.search(str(error)):
                raise
            time.sleep(min(2.0, 0.05 * 2**number) * random.uniform(0.5, 1.0))
