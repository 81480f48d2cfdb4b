"""Ready definitions of gold tables that are known by name."""

import json
from functools import cache

from odoo.tools import file_open

FILE = "odoo_databricks/data/lakehouse_view_templates.json"


@cache
def templates():
    with file_open(FILE) as file:
        return json.load(file)


def template_for(table):
    """The definition for catalog.schema.table by the table's own name; {} if there is none."""
    return templates().get((table or "").rpartition(".")[2].lower(), {})
