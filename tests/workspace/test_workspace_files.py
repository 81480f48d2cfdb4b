"""What a path of the workspace tree may not do, and bodies that are wrong."""

from __future__ import annotations

import httpx
import pytest


@pytest.fixture
def http(workspace):
    headers = {"Authorization": f"Bearer {workspace.token}"}
    with httpx.Client(base_url=workspace.host, headers=headers, timeout=20) as client:
        yield client


@pytest.mark.parametrize(
    "path", ["/Users/../../workspace.db", "/Users//x", "relative", "/Users/./x", "/" + "a" * 300,
             "/Users/a\0b"]
)  # fmt: skip
def test_a_path_does_not_lead_out(http, workspace, path):
    answer = http.post("/api/2.0/workspace/import",
                       json={"path": path, "content": "eA==", "format": "AUTO"})  # fmt: skip
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert http.get("/api/2.0/workspace/export", params={"path": path}).status_code == 400


def test_an_encoded_path_does_not_lead_out(http, workspace):
    before = sorted(entry.name for entry in workspace.data.iterdir())
    for path in ("%2e%2e%2f%2e%2e%2fout.txt", "Users%2F..%2F..%2Fout.txt", "..%252fout.txt"):
        answer = http.post(f"/api/2.0/workspace-files/import-file/{path}", content=b"x")
        assert answer.status_code in (400, 404), answer.text
    assert sorted(entry.name for entry in workspace.data.iterdir()) == before


def test_a_link_in_the_tree_does_not_lead_out(http, workspace):
    door = workspace.data / "workspace" / "Shared" / "door"
    door.symlink_to(workspace.data)
    try:
        answer = http.get("/api/2.0/workspace/export", params={"path": "/Shared/door/workspace.db"})
        assert answer.status_code == 400
    finally:
        door.unlink()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"path": 1}', b'{"path": "/Shared/x", "content": "%%%"}',
             b'{"path": "/Shared/x", "format": "DBC"}', b'{"path": "/Shared/x", "language": "R"}']
)  # fmt: skip
def test_a_wrong_body_is_told_so(http, body):
    answer = http.post("/api/2.0/workspace/import", content=body)
    assert answer.status_code in (400, 501)
    assert answer.json()["message"]


def test_top_folders_stay(http):
    for path in ("/", "/Users", "/Shared", "/Workspace/Users"):
        answer = http.post("/api/2.0/workspace/delete", json={"path": path, "recursive": True})
        assert answer.status_code == 400


def test_a_raw_import_answers_as_the_bundle_commands_expect(http):
    path = "/api/2.0/workspace-files/import-file/Shared%2Flock%2Fdeploy.lock"
    assert http.post(path, content=b"{}").status_code == 404
    http.post("/api/2.0/workspace/mkdirs", json={"path": "/Shared/lock"})
    assert http.post(path, content=b"{}").status_code == 200
    assert http.post(path, content=b"{}").status_code == 409
    assert http.post(path + "?overwrite=true", content=b"{}").status_code == 200
