"""The graph as the source files define it: datasets, and the flows that fill them."""

from pyspark.pipelines.graph_element_registry import GraphElementRegistry
from pyspark.pipelines.output import MaterializedView, Sink, StreamingTable, TemporaryView

from . import quality
from .errors import DefinitionError, NotComputed
from .sql_names import split_name

VIEW = "VIEW"
MATERIALIZED_VIEW = "MATERIALIZED_VIEW"
STREAMING_TABLE = "STREAMING_TABLE"
_KINDS = {
    TemporaryView: VIEW, MaterializedView: MATERIALIZED_VIEW, StreamingTable: STREAMING_TABLE,
}  # fmt: skip


class Dataset:
    """A view or table of the pipeline. ``key``: its name in parts, one for a view, three else.

    A table declared with ``dp.table`` is a streaming table; when its query turns out to be no
    stream, the analysis makes it a materialized view, as Databricks does.
    """

    def __init__(self, key, kind, output):
        self.key = key
        self.kind = kind
        self.output = output
        self.flows = []
        # Found by the analysis.
        self.schema = None
        self.inputs = {}
        self.external = set()
        self.streaming = False

    @property
    def name(self):
        return ".".join(self.key)

    @property
    def is_view(self):
        return self.kind == VIEW

    @property
    def expectations(self):
        return [item for flow in self.flows for item in quality.declared(flow.func)]


class Graph(GraphElementRegistry):
    """Takes what the decorators of ``pyspark.pipelines`` register."""

    def __init__(self, catalog, schema):
        self._place = (catalog.lower(), schema.lower())
        self._datasets = {}
        self._flows = []

    def register_output(self, output):
        if isinstance(output, Sink):
            raise NotComputed(f"create_sink ({output.name})")
        kind = _KINDS[type(output)]
        if kind == VIEW:
            parts = split_name(output.name)
            if len(parts) > 1:
                raise DefinitionError(f"The view {output.name} has a name of more than one part.")
            key = tuple(parts)
        else:
            key = self.key(output.name)
            _check_table(output)
        if key in self._datasets:
            raise DefinitionError(f"The dataset {'.'.join(key)} is defined twice.")
        self._datasets[key] = Dataset(key, kind, output)

    def register_flow(self, flow):
        self._flows.append(flow)

    def register_auto_cdc_flow(self, flow):
        raise NotComputed(f"create_auto_cdc_flow ({flow.target})")

    def register_sql(self, sql_text, file_path):
        raise NotComputed(f"a pipeline file in SQL ({file_path})")

    def connect(self):
        """Give each flow to its dataset. Raises DefinitionError for what does not fit."""
        names = set()
        for flow in self._flows:
            target = self.find(flow.target)
            if target is None:
                raise DefinitionError(f"The flow {flow.name} has no target {flow.target}.")
            own = flow.name == flow.target
            if not own and target.kind != STREAMING_TABLE:
                raise DefinitionError(f"{target.name}, target of {flow.name}, takes no flows.")
            name = target.name if own else flow.name
            if name in names:
                raise DefinitionError(f"The flow {name} is defined twice.")
            names.add(name)
            target.flows.append(flow)
        for dataset in self.datasets:
            if not dataset.flows:
                raise DefinitionError(f"Nothing flows into {dataset.name}.")
        if not self._datasets:
            raise DefinitionError("The pipeline's files define no dataset.")

    @property
    def datasets(self):
        return list(self._datasets.values())

    def key(self, name):
        """The three parts of a table's name; missing ones are the pipeline's own."""
        parts = split_name(name) if isinstance(name, str) else list(name)
        return (*self._place[: 3 - len(parts)], *parts)

    def find(self, name):
        """The dataset that a name stands for in the pipeline's code, or None."""
        parts = split_name(name) if isinstance(name, str) else list(name)
        return self._datasets.get(tuple(parts)) or self._datasets.get(self.key(parts))

    def flow_name(self, dataset, flow):
        return dataset.name if flow.name == flow.target else flow.name


def _check_table(output):
    if output.format not in (None, "delta"):
        raise NotComputed(f"format {output.format} ({output.name}): tables are Delta tables")
    for name in output.table_properties:
        # Others are labels; these would change how the table behaves.
        if name.startswith("delta."):
            raise NotComputed(f"the table property {name} ({output.name})")
