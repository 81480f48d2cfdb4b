"""Why a part of a pipeline cannot be carried out."""


class DefinitionError(Exception):
    """The definitions contradict themselves or what is there already."""


class NotComputed(Exception):
    """Something that Databricks computes and this workspace does not."""

    def __init__(self, what):
        super().__init__(f"[NOT_IMPLEMENTED] Not computed by the local workspace: {what}.")


class MissingInput(Exception):
    """A query reads a table or view that is neither in the pipeline nor in the catalog."""

    def __init__(self, name, why="cannot be found"):
        super().__init__(
            f"[TABLE_OR_VIEW_NOT_FOUND] The table or view {name} {why}. SQLSTATE: 42P01"
        )


class CyclicGraph(Exception):
    """Datasets read each other in a circle."""

    def __init__(self, names):
        self.names = names
        super().__init__(f"[GRAPH_CYCLE_DETECTED] Datasets read each other: {' -> '.join(names)}.")


class Blocked(Exception):
    """A dataset that is read could not be resolved; its own event says why."""

    def __init__(self, name):
        super().__init__(f"The dataset {name}, which it reads, has failed.")
        self.name = name


class ExpectationViolation(Exception):
    """Rows miss an expectation that makes the update fail; nothing was written."""

    def __init__(self, dataset, missed):
        listed = ", ".join(f"'{name}' ({count} rows)" for name, count in missed.items())
        super().__init__(
            f"[EXPECTATION_VIOLATION] {dataset} does not meet its expectations: {listed}."
        )
