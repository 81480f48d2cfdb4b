"""Import paths of the workspace's tests, and one workspace process for the session."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT / "odoo_databricks" / "lib", ROOT / "tests" / "support", ROOT):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from workspace_process import (  # noqa: E402
    RunningWorkspace,
    init_workspace,
    serve_workspace,
    stop_workspace,
)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorkspace]:
    """One workspace process for the whole session, in a temporary folder, on a free port."""
    data = tmp_path_factory.mktemp("workspace")
    running = serve_workspace(data, init_workspace(data), options=("--faults",))
    yield running
    stop_workspace(running)
