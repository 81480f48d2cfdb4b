"""One update: the graph is resolved, tables are set up, flows run; each step is reported."""

from pathlib import Path

from .analysis import Analysis
from .errors import Blocked, DefinitionError
from .execution import Execution
from .graph import MATERIALIZED_VIEW, STREAMING_TABLE
from .reporter import error_detail
from .tables import Table

_RECOMPUTE = {
    "technique_information": [
        {"maintenance_type": "MAINTENANCE_TYPE_COMPLETE_RECOMPUTE", "is_chosen": True,
         "is_applicable": True}
    ]
}  # fmt: skip


class UpdateFailed(Exception):
    """The update as a whole has failed; the events say what."""


class Update:
    """``spec``: as pipeline_host.py reads it. ``run`` raises UpdateFailed."""

    def __init__(self, spec, reporter, session, graph):
        self._spec = spec
        self._reporter = reporter
        self._session = session
        self._graph = graph
        self._root = Path(spec["tables_root"])
        self._scratch = Path(spec["scratch"])
        self._failed = {}

    def run(self):
        order = self._resolve()
        selected = self._selected()
        if self._spec["validate_only"]:
            return
        tables = [dataset for dataset in order if not dataset.is_view]
        stores = {
            one.key: Table(one.key, self._root.joinpath(*one.key), self._spec["pipeline_id"])
            for one in tables
        }
        self._report_queue(tables, selected)
        chosen = [dataset for dataset in tables if dataset.key in selected]
        self._reset(chosen, stores)
        self._reporter.state("SETTING_UP_TABLES")
        for dataset in chosen:
            self._guarded(dataset, None, lambda one=dataset: self._set_up(one, stores[one.key]))
        self._reporter.state("RUNNING")
        execution = Execution(self._session, self._graph, self._root, stores, self._scratch)
        for dataset in chosen:
            self._run_dataset(execution, dataset)
        if self._failed:
            names = ", ".join(sorted(".".join(key) for key in self._failed))
            raise UpdateFailed(f"Failed or skipped: {names}.") from self._first_failure()

    # -- the graph -------------------------------------------------------------------------------

    def _resolve(self):
        analysis = Analysis(self._session, self._graph, self._root, self._scratch)
        analysis.run()
        for dataset in analysis.order:
            self._report_definition(dataset)
        for key, error in analysis.failures.items():
            name = ".".join(key)
            blocked = isinstance(error, Blocked)
            self._reporter.event(
                "flow_progress",
                f"Flow '{name}' cannot be resolved: {error}",
                {"status": "SKIPPED" if blocked else "FAILED"},
                "WARN" if blocked else "ERROR",
                None if blocked else error, name, name,
            )  # fmt: skip
        if analysis.failures:
            names = ", ".join(sorted(".".join(key) for key in analysis.failures))
            roots = [one for one in analysis.failures.values() if not isinstance(one, Blocked)]
            raise UpdateFailed(f"The graph cannot be resolved: {names}.") from roots[0]
        return analysis.order

    def _report_definition(self, dataset):
        expectations = [
            {"name": name, "constraint": text, "action": action}
            for name, text, action in dataset.expectations
        ]
        details = {
            "dataset_type": dataset.kind,
            "num_flows": len(dataset.flows),
            "expectations": expectations,
            "comment": dataset.output.comment or "",
        }
        if not dataset.is_view:
            details["table_properties"] = dict(dataset.output.table_properties)
            details["partition_columns"] = list(dataset.output.partition_cols or ())
        self._reporter.event(
            "dataset_definition", f"{dataset.name} defined as {dataset.kind}.", details,
            dataset=dataset.name,
        )  # fmt: skip
        inputs = [one.name for one in dataset.inputs.values()] + sorted(dataset.external)
        for flow in dataset.flows:
            name = self._graph.flow_name(dataset, flow)
            self._reporter.event(
                "flow_definition",
                f"Flow '{name}' defined.",
                {
                    "output_dataset": dataset.name,
                    "flow_type": "APPEND" if dataset.kind == STREAMING_TABLE else "COMPLETE",
                    "input_datasets": [{"name": one} for one in inputs],
                    "schema": [
                        {"name": field.name, "data_type": field.dataType.simpleString()}
                        for field in dataset.schema.fields
                    ],
                },
                dataset=dataset.name, flow=name,
            )  # fmt: skip

    def _selected(self):
        """Keys of the tables that are to be refreshed; all without a selection."""
        names = [*self._spec["refresh_selection"], *self._spec["full_refresh_selection"]]
        if not names:
            return {dataset.key for dataset in self._graph.datasets if not dataset.is_view}
        return {self._table(name).key for name in names}

    def _table(self, name):
        try:
            dataset = self._graph.find(name)
        except ValueError:
            dataset = None
        if dataset is None or dataset.is_view:
            raise DefinitionError(f"The selection names {name}, which is no table of the pipeline.")
        return dataset

    # -- the tables ------------------------------------------------------------------------------

    def _reset(self, chosen, stores):
        """Empty what is to be refreshed in full; a materialized view is replaced in any case."""
        again = {self._table(name).key for name in self._spec["full_refresh_selection"]}
        everything = self._spec["full_refresh"]
        if not everything and not again:
            return
        self._reporter.state("RESETTING")
        for dataset in chosen:
            if dataset.kind == STREAMING_TABLE and (everything or dataset.key in again):
                self._guarded(dataset, None, lambda one=dataset: self._empty(one, stores[one.key]))

    def _empty(self, dataset, table):
        table.claim()
        table.reset(self._session, dataset.schema)

    def _set_up(self, dataset, table):
        if not table.folder.parents[1].is_dir():
            raise DefinitionError(f"The catalog {dataset.key[0]} does not exist.")
        table.folder.parent.mkdir(exist_ok=True)
        table.claim()
        if dataset.kind == MATERIALIZED_VIEW:
            return
        if table.resetting:
            table.reset(self._session, dataset.schema)
        table.settle_pending()
        table.create(self._session, dataset.schema, dataset.output.partition_cols)
        if table.columns_differ(self._session, dataset.schema):
            raise DefinitionError(
                f"The columns of {dataset.name} have changed: run a full refresh of it."
            )

    # -- the flows -------------------------------------------------------------------------------

    def _report_queue(self, tables, selected):
        for dataset in tables:
            status = "QUEUED" if dataset.key in selected else "EXCLUDED"
            for flow in dataset.flows:
                self._progress(dataset, flow, status)

    def _run_dataset(self, execution, dataset):
        if dataset.key in self._failed:
            return
        broken = self._broken_input(dataset)
        if broken is not None:
            self._failed[dataset.key] = Blocked(broken)
            for flow in dataset.flows:
                text = f"skipped, since {broken} has failed"
                self._progress(dataset, flow, "SKIPPED", text, level="WARN")
            return
        if dataset.kind == MATERIALIZED_VIEW:
            self._reporter.event(
                "planning_information", f"{dataset.name} is computed in full.", _RECOMPUTE,
                dataset=dataset.name, flow=dataset.name,
            )  # fmt: skip
        for flow in dataset.flows:
            self._progress(dataset, flow, "STARTING")
            self._progress(dataset, flow, "RUNNING")
            self._guarded(dataset, flow, lambda one=flow: self._run_flow(execution, dataset, one))

    def _run_flow(self, execution, dataset, flow):
        done = execution.run(dataset, flow)
        rows = done["metrics"]["num_output_rows"]
        self._progress(dataset, flow, "COMPLETED", f"{rows} rows", done)

    def _broken_input(self, dataset, seen=()):
        """The name of a table that the dataset reads, through views too, and that has failed."""
        for one in dataset.inputs.values():
            if one.key in self._failed:
                return one.name
            if one.is_view and one not in seen:
                found = self._broken_input(one, (*seen, one))
                if found:
                    return found
        return None

    def _guarded(self, dataset, flow, step):
        """Carry out a step of a dataset; its failure is reported and ends only this branch."""
        if flow is None and dataset.key in self._failed:
            return
        try:
            step()
        except Exception as error:
            self._failed[dataset.key] = error
            for one in [flow] if flow else dataset.flows:
                self._progress(dataset, one, "FAILED", str(error), level="ERROR", error=error)

    def _progress(self, dataset, flow, status, text="", more=None, level="INFO", error=None):
        name = self._graph.flow_name(dataset, flow)
        self._reporter.event(
            "flow_progress",
            f"Flow '{name}' is {status}" + (f": {text}" if text else "."),
            {"status": status, **(more or {})},
            level, error, dataset.name, name,
        )  # fmt: skip

    def _first_failure(self):
        return next((one for one in self._failed.values() if not isinstance(one, Blocked)), None)


def verdict_error(error):
    """The detail of a failed update: the failure of its first flow, if there is one."""
    return error_detail(error.__cause__ or error)
