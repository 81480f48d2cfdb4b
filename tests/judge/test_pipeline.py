"""The pipeline definitions are accepted by open-source Spark Declarative Pipelines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PIPELINE = ROOT / "lakehouse_jobs" / "pipelines" / "finance_medallion.py"


def _project(folder: Path, staged: str) -> dict[str, str]:
    """A pipeline project around the definition; returns the environment of its runs."""
    (folder / "transformations").mkdir()
    (folder / "conf").mkdir()
    # The package is imported from the checkout; the definition itself is copied in.
    (folder / "transformations" / PIPELINE.name).write_text(PIPELINE.read_text())
    spec = {
        "name": "finance_medallion",
        "storage": (folder / "storage").as_uri(),
        "catalog": "spark_catalog",
        "database": "default",
        "libraries": [{"glob": {"include": "transformations/**"}}],
        "configuration": {"finance.staged": staged, "finance.format": "parquet"},
    }
    (folder / "spark-pipeline.yml").write_text(yaml.safe_dump(spec))
    (folder / "conf" / "spark-defaults.conf").write_text(
        f"spark.sql.warehouse.dir {(folder / 'wh').as_uri()}\n"
        "spark.sql.shuffle.partitions 2\nspark.ui.enabled false\n"
        "spark.connect.grpc.binding.address 127.0.0.1\n"
    )
    # A link to bir_rules alone: its folder holds modules that are not for this path.
    (folder / "path").mkdir()
    (folder / "path" / "bir_rules").symlink_to(ROOT / "odoo_databricks" / "lib" / "bir_rules")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SPARK_")}
    environment["SPARK_CONF_DIR"] = str(folder / "conf")
    environment["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(folder / "path")))
    environment["SPARK_TESTING"] = "1"
    environment["PYSPARK_PYTHON"] = sys.executable
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return environment


def _dry_run(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess:
    command = [str(Path(sys.executable).parent / "spark-pipelines"), "--remote", "local[2]"]
    return subprocess.run(
        [*command, "dry-run"],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip


def test_dry_run_accepts_the_medallion(tmp_path, sail):
    environment = _project(tmp_path, sail["staged"])
    done = _dry_run(tmp_path, environment)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-4000:]
    assert "has FAILED" not in output
    assert "COMPLETED" in output


def test_dry_run_notices_a_broken_definition(tmp_path, sail):
    """The test above can fail: a column that is not there is refused."""
    environment = _project(tmp_path, sail["staged"])
    path = tmp_path / "transformations" / PIPELINE.name
    broken = path.read_text().replace(
        'silver.good_lines(spark.read.table("settled_finance_lines"))',
        'spark.read.table("settled_finance_lines").select("no_such_column")',
    )
    assert broken != path.read_text()
    path.write_text(broken)
    done = _dry_run(tmp_path, environment)
    assert done.returncode != 0
    assert "no_such_column" in done.stdout + done.stderr
