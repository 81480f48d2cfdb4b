"""Fixtures of the tests of pipelines: a client, and pipelines made of source texts."""

from __future__ import annotations

import io
import itertools

import pytest
from databricks.sdk.service.pipelines import PathPattern, PipelineLibrary
from pipeline_samples import HEAD, ROOT

_numbers = itertools.count()


@pytest.fixture(scope="module")
def client(workspace):
    return workspace.sdk()


@pytest.fixture
def make(client, workspace):
    """make(source, ...) -> a pipeline of these source texts; forgotten after the test."""
    made = []
    folder = f"{ROOT}/{next(_numbers)}"

    def pipeline(*sources: str, **spec):
        for number, source in enumerate(sources):
            path = f"{folder}/src/{number}.py"
            client.files.upload(path, io.BytesIO((HEAD + source).encode()), overwrite=True)
        spec.setdefault(
            "libraries", [PipelineLibrary(glob=PathPattern(include=f"{folder}/src/**"))]
        )
        made.append(
            client.pipelines.create(
                name=f"{folder}-{len(made)}", catalog="main", schema="pipes", **spec
            ).pipeline_id
        )
        return made[-1]

    pipeline.folder = folder
    (workspace.data / "tables/main/pipes").mkdir(exist_ok=True)
    yield pipeline
    left = {pipeline.pipeline_id for pipeline in client.pipelines.list_pipelines()}
    for pipeline_id in left.intersection(made):
        client.pipelines.delete(pipeline_id)
