"""The judge: JVM Spark over Spark Connect, beside an embedded engine in another environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIB = ROOT / "odoo_databricks" / "lib"
for folder in (ROOT, HERE):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
# At the end: the folder holds more than bir_rules.
if str(LIB) not in sys.path:
    sys.path.append(str(LIB))


@pytest.fixture(scope="session")
def sail(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What the embedded engine made of generated exports: {staged, checksums, expressions}."""
    python = os.environ.get("LAKEHOUSE_PYTHON")
    if not python:
        pytest.fail("LAKEHOUSE_PYTHON must name the Python of the lakehouse environment")
    folder = tmp_path_factory.mktemp("sail")
    done = subprocess.run(
        [python, str(HERE / "sail_side.py"), str(folder)],
        capture_output=True,
        text=True,
        timeout=180,
        env={k: v for k, v in os.environ.items() if not k.startswith(("SPARK_", "PYSPARK_"))},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "sail.json").read_text()) | {"staged": str(folder / "staged")}


@pytest.fixture(scope="session")
def jvm(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """A session of JVM Spark, local[2], through Spark Connect."""
    from pyspark.sql import SparkSession

    conf = tmp_path_factory.mktemp("conf")
    (conf / "spark-defaults.conf").write_text(
        f"spark.sql.warehouse.dir {(conf / 'warehouse').as_uri()}\n"
        "spark.sql.shuffle.partitions 2\nspark.ui.enabled false\nspark.driver.memory 2g\n"
        "spark.connect.grpc.binding.address 127.0.0.1\n"
    )
    # Static settings are read when the server starts; a builder's come too late.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_CONF_DIR", str(conf))
        # Spark's own switch for a free port; without it every server wants 15002.
        patch.setenv("SPARK_TESTING", "1")
        session = SparkSession.builder.remote("local[2]").getOrCreate()
        session.conf.set("spark.sql.session.timeZone", "UTC")
        yield session
        session.stop()
