"""The house rules that a machine can check: who may import whom, and what never stands here."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tools.paths import ROOT

MUST_NOT_IMPORT = {
    "odoo_databricks/lib": {"odoo", "lakehouse_jobs", "ml", "local_workspace", "pyspark", "mlflow"},
    "odoo_databricks": {"lakehouse_jobs", "ml", "local_workspace", "pyspark", "mlflow"},
    "lakehouse_jobs": {"odoo", "odoo_databricks", "local_workspace", "ml"},
    "ml": {"odoo", "odoo_databricks", "local_workspace"},
    "local_workspace": {"odoo", "odoo_databricks", "lakehouse_jobs", "ml"},
}
STANDARD_LIBRARY_ONLY = ("tools", "odoo_databricks/lib/bir_rules")
# the demo's client runs in the lakehouse's environment
RUNS_ELSEWHERE = {"tools/demo/lakehouse_client.py"}
NO_SPARK_CONNECT = re.compile(r"\bsparkContext\b|\._jvm\b|\.rdd\b")


def _tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [ROOT / name for name in listed if (ROOT / name).is_file()]


def _imports(file: Path) -> set[str]:
    """Top-level names that a file imports, wherever in it; relative ones left out."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("room", MUST_NOT_IMPORT)
def test_no_room_imports_what_it_must_not(room):
    files = _tracked(f"{room}/*.py")
    assert files
    wrong = {
        str(file.relative_to(ROOT)): sorted(_imports(file) & MUST_NOT_IMPORT[room])
        for file in files
        if _imports(file) & MUST_NOT_IMPORT[room]
    }
    assert not wrong


@pytest.mark.parametrize("room", STANDARD_LIBRARY_ONLY)
def test_rooms_of_the_standard_library_only(room):
    import sys

    allowed = (
        sys.stdlib_module_names | {"tools", "odoo"}
        if room == "tools"
        else (sys.stdlib_module_names)
    )
    wrong = {
        str(file.relative_to(ROOT)): sorted(_imports(file) - allowed)
        for file in _tracked(f"{room}/*.py")
        if _imports(file) - allowed and str(file.relative_to(ROOT)) not in RUNS_ELSEWHERE
    }
    assert not wrong


def test_jobs_use_the_spark_connect_api_only():
    files = _tracked("lakehouse_jobs/*.py", "ml/*.py")
    assert not [file for file in files if NO_SPARK_CONNECT.search(file.read_text())]


def test_folders_that_would_shadow_a_library_are_no_packages():
    """An `__init__.py` in `mcp/` would hide the SDK of that name."""
    for folder in ("mcp", "infra", "integrations"):
        assert not (ROOT / folder / "__init__.py").exists()


def test_the_ignore_rules_keep_the_addons_lib():
    """A stock .gitignore leaves `lib/` out; ours must not."""
    probe = subprocess.run(
        ["git", "check-ignore", "-q", "odoo_databricks/lib/client.py"], cwd=ROOT, check=False
    )
    assert probe.returncode == 1
