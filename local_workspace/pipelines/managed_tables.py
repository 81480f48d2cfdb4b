"""Which tables a pipeline made: a small file in the table's folder says so.

The file goes with the table: a table that is dropped and made again is no longer the pipeline's.
It is written by the update's process before the table itself (children/pipeline_parts/tables.py).
"""

from __future__ import annotations

import json
from pathlib import Path

from ..engine.catalog import Catalog

MARK = Path("_pipeline") / "state.json"


def release(catalog: Catalog, pipeline_id: str, drop: bool) -> None:
    """Drop the tables of a pipeline, or leave them as ordinary tables."""
    for (name, schema, table), folder in catalog.all_tables().items():
        mark = folder / MARK
        if not mark.is_file() or json.loads(mark.read_text()).get("pipeline_id") != pipeline_id:
            continue
        if drop:
            catalog.drop_table(name, schema, table)
        else:
            mark.unlink()
