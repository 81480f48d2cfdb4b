"""Volumes through the unmodified SDK: files and directories."""

from __future__ import annotations

import io
import uuid

import pytest
from databricks.sdk.errors import NotFound
from databricks.sdk.errors.base import DatabricksError


@pytest.fixture
def folder(target):
    """A directory of its own in the landing volume, gone afterwards."""
    volume = "/Volumes/main/landing/finance_exports"
    if not target.embedded:
        pytest.skip("writes into a volume that only the embedded workspace is known to have")
    files = target.sdk().files
    path = f"{volume}/client-suite-{uuid.uuid4().hex[:8]}"
    files.create_directory(path)
    yield path
    for entry in list(files.list_directory_contents(path)):
        files.delete(entry.path)
    files.delete_directory(path)
    with pytest.raises(NotFound):
        files.get_directory_metadata(path)


def test_a_file_is_kept_told_of_and_deleted(target, folder):
    files = target.sdk().files
    content = bytes(range(256)) * 1000
    files.upload(f"{folder}/export.bin", io.BytesIO(content))
    told = files.get_metadata(f"{folder}/export.bin")
    assert told.content_length == len(content)
    assert files.download(f"{folder}/export.bin").contents.read() == content
    assert [entry.name for entry in files.list_directory_contents(folder)] == ["export.bin"]
    files.delete(f"{folder}/export.bin")
    with pytest.raises(NotFound):
        files.get_metadata(f"{folder}/export.bin")


def test_a_full_directory_stays(target, folder):
    files = target.sdk().files
    files.upload(f"{folder}/one.csv", io.BytesIO(b"a,b\n"))
    with pytest.raises(DatabricksError, match="not empty"):
        files.delete_directory(folder)
    files.get_directory_metadata(folder)
