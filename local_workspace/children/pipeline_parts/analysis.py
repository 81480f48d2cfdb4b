"""Resolving the graph: columns, inputs and order of all datasets, without touching a table.

Each query function is called once; a table that it reads is an empty stand-in with the columns
that its own definition gives it, a view is the view.
"""

from .errors import Blocked, CyclicGraph, DefinitionError
from .evaluation import Evaluator
from .graph import MATERIALIZED_VIEW, STREAMING_TABLE
from .tables import same_columns


class Analysis(Evaluator):
    """``order``: the datasets that could be resolved, inputs first; ``failures``: by key."""

    def __init__(self, session, graph, tables_root, scratch):
        super().__init__(session, graph, tables_root)
        self.order = []
        self.failures = {}
        self._scratch = scratch
        self._under_way = []

    def run(self):
        for dataset in self.graph.datasets:
            try:
                self._resolve(dataset)
            except Exception:
                # Kept with the dataset that it is about; here it only ends this branch.
                continue

    def provide(self, dataset):
        try:
            self._resolve(dataset)
        except Exception as error:
            reader = self._under_way[-1].name if self._under_way else ""
            if isinstance(error, CyclicGraph) and reader in error.names:
                raise
            raise Blocked(dataset.name) from error

    def stream(self, source):
        return self.session.empty(source.schema)

    def _resolve(self, dataset):
        if dataset.key in self.failures:
            raise self.failures[dataset.key]
        if dataset in self.order:
            return
        if dataset in self._under_way:
            circle = self._under_way[self._under_way.index(dataset) :]
            raise CyclicGraph([one.name for one in (*circle, dataset)])
        self._under_way.append(dataset)
        try:
            self._describe(dataset)
        except Exception as error:
            self.failures[dataset.key] = error
            raise
        finally:
            self._under_way.pop()
        self.order.append(dataset)

    def _describe(self, dataset):
        """Call the flows of a dataset, check that they fit, and give its name to the session."""
        frames = []
        for flow in dataset.flows:
            frame, reads = self.evaluate(flow)
            streaming = bool(reads.streams) or any(
                one.is_view and one.streaming for one in reads.inputs.values()
            )
            frames.append((flow, frame.schema, streaming))
            dataset.inputs.update(reads.inputs)
            dataset.external.update(".".join(key) for key in reads.external)
        dataset.streaming = any(streaming for _, _, streaming in frames)
        if dataset.is_view:
            dataset.schema = frames[0][1]
            self.session.view(dataset.name, frame)
            return
        self._check_kind(dataset, frames)
        dataset.schema = self._columns(dataset, frames)
        stand_in = self._scratch / f"table-{len(self.order)}"
        self.session.empty(dataset.schema).write.format("delta").save(str(stand_in))
        self.session.register(dataset.key, stand_in)

    def _check_kind(self, dataset, frames):
        if dataset.kind == MATERIALIZED_VIEW and dataset.streaming:
            raise DefinitionError(f"The materialized view {dataset.name} reads a stream.")
        if dataset.kind != STREAMING_TABLE:
            return
        batches = [flow.name for flow, _, streaming in frames if not streaming]
        if batches == [flow.target for flow in dataset.flows]:
            dataset.kind = MATERIALIZED_VIEW  # dp.table over a batch, as Databricks has it
        elif batches:
            raise DefinitionError(
                f"[INVALID_FLOW_QUERY_TYPE] The flow {batches[0]} into the streaming table "
                f"{dataset.name} reads no stream: its rows would be appended at every update."
            )

    def _columns(self, dataset, frames):
        """The columns of a table: as declared, else those of its flows, which must agree."""
        declared = dataset.output.schema
        wanted = self.session.empty(declared).schema if declared else frames[0][1]
        for flow, schema, _ in frames:
            if not same_columns(schema, wanted):
                raise DefinitionError(
                    f"The columns of the flow {flow.name} are {schema.simpleString()}, those of "
                    f"{dataset.name} are {wanted.simpleString()}."
                )
        return wanted
