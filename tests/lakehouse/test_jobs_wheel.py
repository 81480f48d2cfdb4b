"""The wheel: built from a copy, run as a zip on PYTHONPATH, its entry points as a job's tasks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from jobs_samples import app_zip
from project_wheel import PARTS, build_wheel

import bir_rules

pytest_plugins = ("jobs_fixtures",)

ROOT = Path(__file__).resolve().parents[2]
ENTRY = (
    "import sys; from importlib import metadata; "
    "points = metadata.entry_points(group='console_scripts', name=sys.argv.pop(1)); "
    "sys.exit(next(iter(points)).load()())"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def _run(wheel: Path, code: str, *args: str, **environment: str) -> str:
    """The output of `code` in a child that has the wheel, and no checkout, on its path."""
    # A file, not -c: without one the Spark client takes the child for a doctest of its own.
    script = wheel.parent / "child.py"
    script.write_text(code)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("LAKEHOUSE_", "SPARK_"))}
    env.update(environment, PYTHONPATH=str(wheel), PYTHONSAFEPATH="1")
    child = subprocess.run(
        [sys.executable, str(script), *args],
        cwd=wheel.parent,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert child.returncode == 0, child.stderr
    return child.stdout


def test_the_wheel_holds_every_file_of_its_rooms(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for part in PARTS:
        package = Path(part).name
        for file in (ROOT / part).rglob("*"):
            if file.suffix in (".py", ".yml", ".json", ".csv"):
                assert f"{package}/{file.relative_to(ROOT / part).as_posix()}" in names
    assert not any(name.startswith(("odoo_databricks/", "tests/", "mcp/")) for name in names)


def test_the_rules_in_the_wheel_are_the_addons(wheel):
    code = "import bir_rules; print(bir_rules.__file__); print(bir_rules.fingerprint())"
    file, fingerprint = _run(wheel, code).splitlines()
    assert file.startswith(str(wheel))
    assert fingerprint == bir_rules.fingerprint()


def test_entry_points_are_named_as_the_jobs_name_them(wheel):
    distribution = next(iter(metadata.distributions(path=[str(wheel)])))
    assert distribution.metadata["Name"] == "odoo-databricks-lakehouse"
    names = {e.name: e.value for e in distribution.entry_points if e.group == "console_scripts"}
    assert names["ingest_bronze"] == "lakehouse_jobs.main:ingest_bronze"
    assert names["build_silver"] == "lakehouse_jobs.main:build_silver"
    assert names["build_gold"] == "lakehouse_jobs.main:build_gold"
    assert {"train_nature_of_payment", "deploy"} <= set(names)


def test_the_wheel_needs_no_spark_of_its_own(wheel):
    distribution = next(iter(metadata.distributions(path=[str(wheel)])))
    required = [r for r in distribution.requires or () if "extra ==" not in r]
    assert not any("pyspark" in requirement for requirement in required)


def test_the_three_tasks_run_from_the_wheel(wheel, empty, spark_remote):
    app_zip(empty.exports / "a.zip", {}, {"lineNumber": 2})
    lake = empty.lake
    environment = {
        "SPARK_REMOTE": spark_remote,
        "LAKEHOUSE_TABLES_ROOT": str(lake.tables_root),
        "LAKEHOUSE_VOLUMES_ROOT": str(lake.volumes_root),
    }
    volume = "/Volumes/main/landing/finance_exports"
    reports = [
        json.loads(_run(wheel, ENTRY, task, *args, **environment).splitlines()[-1])
        for task, args in (
            ("ingest_bronze", ("--catalog", "main", "--volume", volume)),
            ("build_silver", ()),
            ("build_gold", ()),
        )
    ]
    assert reports[0]["rows"] == 2
    assert reports[1]["good_rows"] == 2
    assert reports[2]["rows"]["gold.expense_facts"] == 2
    assert len(empty.rows("gold.vendor_spend_monthly")) == 1
