"""Calling the query functions of a pipeline while noting what they read."""

from pathlib import Path

from pyspark.sql.connect.dataframe import DataFrame

from .delta_log import is_table
from .errors import DefinitionError, MissingInput


class Reads:
    """What one evaluation of a flow has read: datasets by key, other tables, streams."""

    def __init__(self):
        self.inputs = {}
        self.external = set()
        self.streams = []


class Evaluator:
    """Base of the analysis and the run: each decides what a dataset's name stands for.

    The session's names are set when they are read, just before the engine sees them.
    """

    def __init__(self, session, graph, tables_root):
        self.session = session
        self.graph = graph
        self._tables_root = Path(tables_root)
        self._reads = []
        self._known = set()
        session.on_table = self._on_table
        session.on_stream = self._on_stream

    def provide(self, dataset):
        """Make a dataset's name known to the session."""
        raise NotImplementedError

    def stream(self, source):
        """The frame that stands for a stream."""
        raise NotImplementedError

    def evaluate(self, flow):
        """The frame of a flow and what it has read."""
        reads = Reads()
        self._reads.append(reads)
        try:
            with self.session.settings(flow.spark_conf), self.session.pipeline_code():
                frame = flow.func()
        finally:
            self._reads.pop()
        if not isinstance(frame, DataFrame):
            raise DefinitionError(
                f"The query function of {flow.name} returns {type(frame).__name__}, no DataFrame."
            )
        return frame, reads

    def folder(self, key):
        return self._tables_root.joinpath(*key)

    def _on_table(self, parts, required):
        if any("/" in part for part in parts):
            return parts  # a path, e.g. delta.`/folder`: nothing to make known
        dataset = self.graph.find(parts)
        reads = self._reads[-1] if self._reads else Reads()
        key = self.graph.key(parts)
        if dataset is not None:
            reads.inputs[dataset.key] = dataset
            with self.session.pipeline_code(guarded=False):
                self.provide(dataset)
        elif is_table(self.folder(key)):
            reads.external.add(key)
            if key not in self._known:
                self.session.register(key, self.folder(key))
                self._known.add(key)
        elif required:
            raise MissingInput(".".join(key))
        else:
            return None
        return parts if len(parts) < 3 else self.session.engine_parts(parts)

    def _on_stream(self, source):
        if not self._reads:
            raise DefinitionError(f"The stream of {source.name} is read outside a query function.")
        self._reads[-1].streams.append(source)
        with self.session.pipeline_code(guarded=False):
            return self.stream(source)
