"""The capability list says what is there, no more and no less."""

from __future__ import annotations

import httpx

from local_workspace import capabilities

KEYS = ("api", "method", "path")


def _keys(entries):
    return {tuple(entry[key] for key in KEYS) for entry in entries}


def test_the_list_names_every_route_and_each_was_witnessed():
    listed = capabilities.load()
    assert _keys(listed) == _keys(capabilities.routes())
    assert [entry for entry in listed if not entry["witnessed"]] == []


def test_the_page_is_made_of_the_list():
    assert capabilities.PAGE.read_text(encoding="utf-8") == capabilities.page(capabilities.load())


def test_the_workspace_tells_its_capabilities(workspace):
    headers = {"Authorization": f"Bearer {workspace.token}"}
    answer = httpx.get(f"{workspace.host}/_local/capabilities", headers=headers, timeout=10)
    assert _keys(answer.json()["capabilities"]) == _keys(capabilities.routes())


def test_what_is_not_listed_is_refused_by_name(workspace):
    headers = {"Authorization": f"Bearer {workspace.token}"}
    for path in ("/api/2.0/dbfs/list", "/api/2.0/genie/spaces", "/api/2.0/secrets/scopes/list"):
        answer = httpx.get(workspace.host + path, headers=headers, timeout=10)
        assert answer.status_code == 501
        assert path in answer.json()["message"]
