"""Runs one update of a pipeline: ``pipeline_host.py SPEC.json PIPE``.

Run as a file by task_host.py, in the job's environment: pyspark with ``pyspark.pipelines``, and
SPARK_REMOTE. SPEC: pipeline_id, update_id, catalog, schema, engine_catalogs ({name: name there}),
configuration, sources ({path, place}), root, tables_root, volumes_root, scratch, full_refresh,
refresh_selection, full_refresh_selection, validate_only. Events and the verdict go to PIPE as JSON
lines (pipeline_parts/reporter.py).
"""

import json
import linecache
import os
import signal
import sys
import types
from pathlib import Path

HERE = os.path.dirname(os.path.abspath(__file__))


class Stopped(BaseException):
    """SIGTERM: what the engine does for this process must end too."""


def on_terminate(number, frame):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


def load_sources(spec, session, graph):
    """Run the source files, so that their decorators fill the graph."""
    from pipeline_parts import quality
    from pyspark import pipelines as dp
    from pyspark.pipelines.graph_element_registry import graph_element_registration_context

    quality.install(dp)
    with graph_element_registration_context(graph):
        for source in spec["sources"]:
            path, place = source["path"], Path(source["place"])
            if place.suffix != ".py":
                graph.register_sql(place.read_text(encoding="utf-8"), path)
            run_file(path, place, session)
    graph.connect()


def run_file(path, place, session):
    """Run one file as a module; traces show it under the path that the pipeline's spec has."""
    text = place.read_text(encoding="utf-8")
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    module = types.ModuleType(place.stem)
    module.__file__ = str(place)
    module.spark = session.spark
    with session.pipeline_code():
        exec(compile(text, path, "exec"), module.__dict__)


def run(spec, reporter):
    """Carry out the update; returns what is to be cleaned up. Raises what made it fail."""
    from pipeline_parts.graph import Graph
    from pipeline_parts.session import Session
    from pipeline_parts.update import Update

    reporter.state("INITIALIZING")
    session = Session(
        spec["catalog"], spec["schema"], spec["configuration"], spec["volumes_root"],
        spec["engine_catalogs"],
    )  # fmt: skip
    try:
        graph = Graph(spec["catalog"], spec["schema"])
        session.settle(Path(spec["tables_root"], spec["catalog"], spec["schema"]))
        load_sources(spec, session, graph)
        Update(spec, reporter, session, graph).run()
    finally:
        session.close()


def main():
    with open(sys.argv[1], encoding="utf-8") as source:
        spec = json.load(source)
    # Only while the parts are imported: this folder must not shadow modules of the pipeline.
    sys.path.insert(0, HERE)
    from pipeline_parts import reporter as reporting
    from pipeline_parts import update

    sys.path.remove(HERE)
    if spec["root"]:
        sys.path.insert(0, spec["root"])
    reporter = reporting.Reporter(sys.argv[2], [os.environ.get("DATABRICKS_TOKEN", "")])
    signal.signal(signal.SIGTERM, on_terminate)
    os.makedirs(spec["scratch"], exist_ok=True)
    try:
        run(spec, reporter)
    except Stopped:
        sys.exit(143)
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        if isinstance(error, update.UpdateFailed):
            message = str(error)
        reporter.verdict("FAILED", message, update.verdict_error(error))
    else:
        reporter.verdict("COMPLETED", "")


if __name__ == "__main__":
    main()
