"""The workspace's file tree through the unmodified SDK."""

from __future__ import annotations

import base64
import io

import pytest
from databricks.sdk.errors import BadRequest, NotFound
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service.workspace import ExportFormat, ImportFormat, Language, ObjectType


@pytest.fixture(scope="module")
def client(target):
    return target.sdk()


@pytest.fixture
def folder(client):
    path = f"/Users/{client.current_user.me().user_name}/client-suite"
    client.workspace.mkdirs(path)
    yield path
    client.workspace.delete(path, recursive=True)


def test_a_file_goes_up_and_comes_back(client, folder):
    content = bytes(range(256)) * 100
    client.workspace.upload(f"{folder}/data.bin", io.BytesIO(content), format=ImportFormat.AUTO)
    with client.workspace.download(f"{folder}/data.bin") as found:
        assert found.read() == content
    status = client.workspace.get_status(f"{folder}/data.bin")
    assert (status.object_type, status.size) == (ObjectType.FILE, len(content))


def test_a_notebook_keeps_its_language_and_loses_its_extension(client, folder):
    source = b"# Databricks notebook source\nprint(1)\n"
    client.workspace.upload(f"{folder}/step.py", io.BytesIO(source), format=ImportFormat.AUTO)
    client.workspace.import_(
        f"{folder}/query", content=base64.b64encode(b"SELECT 1").decode(),
        format=ImportFormat.SOURCE, language=Language.SQL,
    )  # fmt: skip
    found = {entry.path.rpartition("/")[2]: entry for entry in client.workspace.list(folder)}
    assert {name: entry.language for name, entry in found.items()} == {
        "step": Language.PYTHON,
        "query": Language.SQL,
    }
    assert all(entry.object_type is ObjectType.NOTEBOOK for entry in found.values())
    exported = client.workspace.export(f"{folder}/step", format=ExportFormat.SOURCE)
    assert base64.b64decode(exported.content) == source


def test_nothing_is_overwritten_unasked(client, folder):
    path = f"{folder}/a.txt"
    client.workspace.upload(path, io.BytesIO(b"one"), format=ImportFormat.AUTO)
    with pytest.raises(DatabricksError, match="exists"):
        client.workspace.upload(path, io.BytesIO(b"two"), format=ImportFormat.AUTO)
    client.workspace.upload(path, io.BytesIO(b"three"), format=ImportFormat.AUTO, overwrite=True)
    with client.workspace.download(path) as found:
        assert found.read() == b"three"


def test_what_is_missing_is_named(client, folder):
    with pytest.raises(NotFound, match="doesn't exist"):
        client.workspace.get_status(f"{folder}/nothing")
    with pytest.raises(DatabricksError):
        client.workspace.upload(f"{folder}/no/parent.txt", io.BytesIO(b"x"),
                                format=ImportFormat.AUTO)  # fmt: skip


def test_a_full_folder_is_only_deleted_with_its_content(client, folder):
    client.workspace.mkdirs(f"{folder}/full")
    client.workspace.upload(f"{folder}/full/x", io.BytesIO(b"x"), format=ImportFormat.AUTO)
    with pytest.raises(BadRequest, match="not empty"):
        client.workspace.delete(f"{folder}/full")
    client.workspace.delete(f"{folder}/full", recursive=True)
    with pytest.raises(NotFound):
        client.workspace.get_status(f"{folder}/full")
