"""Makes `lib` importable as a top-level package, so that Odoo is not needed for its tests."""

import sys
from pathlib import Path

ADDON = Path(__file__).resolve().parents[2] / "odoo_databricks"
sys.path.insert(0, str(ADDON))
