from . import (
    bir_autofill_wizard,
    bir_autofill_wizard_line,
    bir_reopen_wizard,
    databricks_discover_wizard,
)
