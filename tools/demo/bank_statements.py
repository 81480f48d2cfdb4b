"""Task of the demo's job "bank_statements": the month's statement has arrived, or the run fails."""

import os
import sys
from pathlib import Path

volumes = Path(os.environ.get("LAKEHOUSE_VOLUMES_ROOT", "/Volumes"))
statement = volumes / "main" / "landing" / "bank_statements" / "2025-12.csv"
if not statement.exists():
    sys.exit(f"The bank statement {statement.name} has not arrived in the Volume bank_statements.")
print(f"{len(statement.read_text().splitlines()) - 1} movements in {statement.name}")
