from . import (
    bir_autofill_wizard,
    bir_autofill_wizard_line,
    bir_reopen_wizard,
    databricks_discover_wizard,
    lakehouse_catalog_table,
    lakehouse_drill_wizard,
    lakehouse_view_preview,
    lakehouse_view_wizard,
)
