"""Fixtures of the job tests: one embedded engine, and a lakehouse built from generated exports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from jobs_samples import OPTIONS, Built, lake_in

from lakehouse_jobs import generator


@pytest.fixture(scope="session")
def spark_remote() -> Iterator[str]:
    """Address of a Sail server that lives in this process."""
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer()
    server.start(background=True)
    host, port = server.listening_address
    yield f"sc://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def spark(spark_remote: str) -> Iterator:
    """A session of that server."""
    from pyspark.sql import SparkSession

    session = SparkSession.builder.remote(spark_remote).create()
    yield session
    session.stop()


@pytest.fixture(scope="session")
def built(spark, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """All layers, from OPTIONS and the broken files. Tests only read it."""
    made = lake_in(spark, tmp_path_factory.mktemp("lake"))
    generator.write_exports(made.exports, OPTIONS)
    generator.add_broken(made.exports)
    made.build()
    return made


@pytest.fixture
def empty(spark, tmp_path: Path) -> Built:
    """A lakehouse without files."""
    return lake_in(spark, tmp_path)
