"""The runner of the checks, and that the hooks are the same checks."""

import re
import shutil
from pathlib import Path

import pytest

from tools import environments, lint

ROOT = Path(__file__).resolve().parents[2]
NAMES = {"ruff-check", "ruff-format", "pylint-odoo", "oca-checks", "oca-checks-po"}


@pytest.fixture(scope="session")
def tools_bin():
    """The folder of the lint tools: that of `make lint`, or where ruff is on the path."""
    made = environments.LINT.python.parent
    if (made / "ruff").exists():
        return made
    if shutil.which("ruff") and shutil.which("pylint"):
        return Path(shutil.which("ruff")).parent
    pytest.skip("the lint tools are not here: `make lint` has not run on this machine")


def test_the_hooks_are_the_checks_of_make_lint():
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    assert set(re.findall(r"- id: (\S+)", text)) == NAMES
    entries = re.findall(r"entry: python3 -m tools\.lint (\S+)", text)
    assert set(entries) == NAMES
    assert text.count("language: system") == len(NAMES) and text.count("- repo: local") == 1
    assert set(lint.checks(Path("bin"))) | {"oca-checks-po"} == NAMES


def test_a_missing_tool_is_a_failure(tmp_path, capsys):
    assert lint.run(tmp_path, ["ruff-check"]) == 1
    assert "is not there" in capsys.readouterr().out


def test_an_unknown_check_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no such check: spelling"):
        lint.run(tmp_path, ["spelling"])


def test_a_finding_fails_and_a_clean_tree_does_not(tools_bin, tmp_path, monkeypatch, capsys):
    addon = tmp_path / lint.ADDON
    addon.mkdir()
    for name in (".pylintrc", ".oca_hooks.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (addon / "__init__.py").touch()
    (addon / "README.rst").write_text("Thing\n")
    manifest = (
        '{\n    "name": "Thing",\n    "summary": "A thing",\n    "version": "17.0.1.0.0",\n'
        '    "license": "LGPL-3",\n    "author": "odoo_databricks maintainers",\n'
        '    "website": "https://example.com/thing",\n    "depends": ["base"],\n}\n'
    )
    (addon / "__manifest__.py").write_text(manifest)
    monkeypatch.setattr(lint.paths, "ROOT", tmp_path)
    assert lint.run(tools_bin) == 0, capsys.readouterr().out
    (addon / "__manifest__.py").write_text(manifest.replace("17.0.1", "16.0.1"))
    (addon / "__init__.py").write_text("import os,sys\n")
    assert lint.run(tools_bin) == 1
    out = capsys.readouterr().out
    for name in ("ruff-check", "ruff-format", "pylint-odoo"):
        assert f"{name}: FAILED" in out
    assert "manifest-version-format" in out and "oca-checks: no findings" in out
