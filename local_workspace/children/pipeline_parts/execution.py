"""Running the flows of a resolved graph, inputs first, each into its Delta table."""

from pyspark.sql import functions as F

from . import quality
from .errors import MissingInput
from .evaluation import Evaluator
from .graph import MATERIALIZED_VIEW
from .tables import same_columns


class Execution(Evaluator):
    """``tables``: {key: Table} of all tables of the pipeline."""

    def __init__(self, session, graph, tables_root, tables, scratch):
        super().__init__(session, graph, tables_root)
        self._tables = tables
        self._scratch = scratch
        self._measured = set()
        self._frames = 0
        self._flow = None

    def run(self, dataset, flow):
        """Run one flow. Returns what its progress event says: metrics and data quality."""
        self._flow = _FlowRun(dataset, self.graph.flow_name(dataset, flow))
        table = self._tables[dataset.key]
        with self.session.settings(flow.spark_conf):
            frame, _ = self.evaluate(flow)
            if not same_columns(frame.schema, dataset.schema):
                raise RuntimeError(
                    f"The columns of {self._flow.name} are no longer those of the analysis: "
                    f"{frame.schema.simpleString()}."
                )
            # By name, so that the order of a definition's columns does not matter.
            frame = frame.select(*[F.col(_quoted(name)) for name in dataset.schema.names])
            frame = self._judged(frame, dataset.name, quality.declared(flow.func))
            rows = self._write(table, frame, dataset)
        self.session.register(dataset.key, table.folder)
        progress = {"metrics": {"num_output_rows": rows}}
        if self._flow.metrics:
            progress["data_quality"] = {
                "dropped_records": self._flow.dropped,
                "expectations": self._flow.metrics,
            }
        return progress

    def _write(self, table, frame, dataset):
        if dataset.kind == MATERIALIZED_VIEW:
            return table.replace(frame, dataset.output.partition_cols)
        if not any(self._flow.files.values()):
            return 0  # no new file: the table stays at its version
        return table.append(frame, self._flow.name, self._flow.files)

    def _judged(self, frame, dataset, expectations):
        """Count what misses the expectations and take out what is to be dropped.

        The frame is computed once, into files, since counting and writing would do it twice.
        """
        if not expectations:
            return frame
        self._frames += 1
        target = str(self._scratch / f"frame-{self._frames}")
        frame.write.mode("overwrite").parquet(target)
        stored = self.session.spark.read.schema(frame.schema).parquet(target)
        self._measure(stored, dataset, expectations)
        return quality.kept_rows(stored, expectations)

    def _measure(self, frame, dataset, expectations):
        dropped, metrics = quality.measure(frame, dataset, expectations)
        self._flow.dropped += dropped
        self._flow.metrics += metrics

    def provide(self, dataset):
        if dataset.is_view:
            self._provide_view(dataset)
            return
        if not self._tables[dataset.key].exists:
            raise MissingInput(dataset.name, "has not been made yet")
        if dataset.key not in self._known:
            self.session.register(dataset.key, self.folder(dataset.key))
            self._known.add(dataset.key)

    def _provide_view(self, dataset):
        """A view is evaluated anew for each flow: its streams are those of the flow."""
        if dataset.key in self._flow.views:
            return
        self._flow.views.add(dataset.key)
        flow = dataset.flows[0]
        frame, _ = self.evaluate(flow)
        expectations = quality.declared(flow.func)
        # Counted with the first flow that reads it, so that sums over an update are right.
        if expectations and dataset.key not in self._measured:
            self._measure(frame, dataset.name, expectations)
            self._measured.add(dataset.key)
        self.session.view(dataset.name, quality.kept_rows(frame, expectations))

    def stream(self, source):
        """A batch of the files that the flow has not read yet, the same wherever it asks."""
        flow = self._flow
        if source.listing not in flow.listings:
            taken = self._tables[flow.dataset.key].taken(flow.name, source.name)
            files = flow.listings[source.listing] = source.new_files(taken)
            flow.files[source.name] = sorted({*flow.files.get(source.name, ()), *files})
        return source.frame(self.session, flow.listings[source.listing])


class _FlowRun:
    """What is found out while one flow runs."""

    def __init__(self, dataset, name):
        self.dataset = dataset
        self.name = name
        self.views = set()
        self.listings = {}
        self.files = {}
        self.dropped = 0
        self.metrics = []


def _quoted(name):
    return "`" + name.replace("`", "``") + "`"
