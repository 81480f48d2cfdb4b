"""Volume files through the unmodified SDK, and what a path may not do."""

from __future__ import annotations

import io
import os
import time

import httpx
import pytest
from databricks.sdk.errors import AlreadyExists, BadRequest, NotFound
from databricks.sdk.errors.base import DatabricksError

BASE = "/Volumes/main/landing/finance_exports"


@pytest.fixture
def files(workspace):
    return workspace.sdk().files


def test_upload_download_metadata_delete(files, workspace):
    path = f"{BASE}/round trip/ñandú.zip"
    content = os.urandom(300_000)
    files.upload(path, io.BytesIO(content))
    assert files.download(path).contents.read() == content
    assert files.get_metadata(path).content_length == len(content)
    on_disk = workspace.data / "volumes/main/landing/finance_exports/round trip/ñandú.zip"
    assert on_disk.read_bytes() == content
    with pytest.raises(AlreadyExists):
        files.upload(path, io.BytesIO(b"other"))
    files.upload(path, io.BytesIO(b"other"), overwrite=True)
    assert files.download(path).contents.read() == b"other"
    files.delete(path)
    for call in (files.download, files.get_metadata, files.delete):
        with pytest.raises(NotFound):
            call(path)


def test_directories(files):
    files.create_directory(f"{BASE}/tree/a/b")
    files.create_directory(f"{BASE}/tree/a/b")
    files.upload(f"{BASE}/tree/a/one.csv", io.BytesIO(b"x"))
    files.upload(f"{BASE}/tree/a/two.csv", io.BytesIO(b"yz"))
    listed = {
        e.name: (e.is_directory, e.file_size)
        for e in files.list_directory_contents(f"{BASE}/tree/a")
    }
    assert listed == {"b": (True, None), "one.csv": (False, 1), "two.csv": (False, 2)}
    paged = [e.name for e in files.list_directory_contents(f"{BASE}/tree/a", page_size=1)]
    assert paged == ["b", "one.csv", "two.csv"]
    files.get_directory_metadata(f"{BASE}/tree/a/b")
    with pytest.raises(DatabricksError, match="not empty"):
        files.delete_directory(f"{BASE}/tree/a")
    files.delete_directory(f"{BASE}/tree/a/b")
    with pytest.raises(NotFound):
        files.get_directory_metadata(f"{BASE}/tree/a/b")
    with pytest.raises(BadRequest, match="not deleted as a directory"):
        files.delete_directory(BASE)
    with pytest.raises(AlreadyExists):
        files.create_directory(f"{BASE}/tree/a/one.csv")
    with pytest.raises(AlreadyExists):
        files.upload(f"{BASE}/tree/a/one.csv/below", io.BytesIO(b"x"))


def test_an_unknown_volume_is_not_found(files):
    with pytest.raises(NotFound, match="main.landing.nothing"):
        files.upload("/Volumes/main/landing/nothing/x", io.BytesIO(b"x"))


@pytest.mark.parametrize(
    "path",
    [
        "Volumes/main/landing/finance_exports/../../../../workspace.db",
        "Volumes/main/landing/finance_exports/%2e%2e/%2e%2e/%2e%2e/%2e%2e/workspace.db",
        "Volumes/main/landing/finance_exports/..%2f..%2f..%2f..%2fworkspace.db",
        "Volumes/main/../../workspace.db/x",
        "Volumes/../../workspace.db",
        "Volumes/main/landing",
        "Volumes/main/landing/finance_exports//x",
        "Volumes/main/landing/finance_exports/x%00y",
        "Volumes/main/landing/finance_exports/" + "x" * 300,
        "etc/passwd",
    ],
)
def test_no_path_leads_out_of_a_volume(workspace, path):
    headers = {"Authorization": f"Bearer {workspace.token}"}
    url = httpx.URL(workspace.host).copy_with(raw_path=f"/api/2.0/fs/files/{path}".encode())
    before = (workspace.data / "workspace.db").stat().st_ino
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        answer = httpx.request(method, url, headers=headers, content=b"x")
        assert answer.status_code in (400, 404, 501), (method, answer.status_code)
        assert b"SQLite" not in answer.content
    assert (workspace.data / "workspace.db").stat().st_ino == before


def test_a_link_in_a_volume_does_not_lead_out(files, workspace):
    volume = workspace.data / "volumes/main/landing/finance_exports"
    (volume / "door").symlink_to(workspace.data)
    try:
        with pytest.raises(BadRequest, match="leads out"):
            files.download(f"{BASE}/door/workspace.db")
        with pytest.raises(BadRequest, match="leads out"):
            files.upload(f"{BASE}/door/new", io.BytesIO(b"x"))
    finally:
        (volume / "door").unlink()
    assert not (workspace.data / "new").exists()


def test_an_interrupted_upload_leaves_no_file(workspace):
    def broken():
        yield b"half"
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        httpx.put(
            f"{workspace.host}/api/2.0/fs/files{BASE}/half.csv",
            content=broken(),
            headers={"Authorization": f"Bearer {workspace.token}"},
        )
    assert not (workspace.data / "volumes/main/landing/finance_exports/half.csv").exists()
    workspace.sdk().current_user.me()
    uploads = workspace.data / "spool" / "uploads"
    deadline = time.monotonic() + 10  # the workspace notices the lost client in its own time
    while list(uploads.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not list(uploads.iterdir())
