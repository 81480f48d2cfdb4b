"""What set-up takes from Debian, and what it says on a machine that is not the right one."""

import os
from pathlib import Path

import pytest

from tools import debian
from tools.steps import StepFailed


def test_without_root_it_says_what_is_missing_and_where_else_to_go(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StepFailed, match="lacks: root rights.*docker-compose.yml"):
        debian.require_debian()


def test_an_installed_package_is_not_installed_again(tmp_path, monkeypatch):
    monkeypatch.setenv("SETUP_HOME", str(tmp_path))
    debian.install("dpkg")
    assert not (tmp_path / "logs").exists()


def test_the_archive_is_the_one_that_apt_is_configured_with():
    uri = debian.archive_uri().rstrip("/")
    folder = Path("/etc/apt")
    sources = [folder / "sources.list", *(folder / "sources.list.d").glob("*")]
    assert any(uri in source.read_text() for source in sources if source.is_file())
