"""The catalog's listings are kept while nothing changes, and only then."""

from __future__ import annotations

import os
import shutil
import time

import pytest

from local_workspace.engine.folder_names import SETTLED_NS, FolderNames


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "folder"
    made.mkdir()
    return made


@pytest.fixture
def listings(monkeypatch):
    """How often a folder was really listed."""
    counted = []
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: counted.append(path) or scan(path))
    return counted


def settle(folder):
    past = time.time_ns() - 2 * SETTLED_NS
    os.utime(folder, ns=(past, past))


def test_every_change_is_seen_at_once(folder):
    names = FolderNames(lambda name: name != "hidden")
    for number in range(300):
        (folder / f"t{number}").mkdir()
        assert len(names.of(folder)) == number + 1
    for number in range(300):
        (folder / f"t{number}").rename(folder / f"u{number}")
        assert f"u{number}" in names.of(folder) and f"t{number}" not in names.of(folder)
    (folder / "file").write_text("x")
    (folder / "hidden").mkdir()
    assert names.of(folder) == {f"u{number}" for number in range(300)}


def test_a_folder_that_rests_is_listed_once(folder, listings):
    names = FolderNames(lambda name: True)
    (folder / "a").mkdir()
    settle(folder)
    for _ in range(5):
        assert names.of(folder) == {"a"}
    assert len(listings) == 1
    (folder / "b").mkdir()
    assert names.of(folder) == {"a", "b"}


def test_a_folder_that_went_and_came_back(folder):
    names = FolderNames(lambda name: True)
    (folder / "a").mkdir()
    settle(folder)
    assert names.of(folder) == {"a"}
    shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError):
        names.of(folder)
    folder.mkdir()
    settle(folder)
    assert names.of(folder) == set()
