"""Which Odoo is used: a given tree must be whole and of a series that the addon knows."""

import pytest

from tools import odoo
from tools.steps import StepFailed


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in ("odoo-bin", "odoo/release.py", "addons/l10n_ph/__manifest__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    release = tmp_path / "odoo" / "release.py"
    release.write_text("FINAL = 'final'\nversion_info = (17, 0, 0, FINAL, 0, '')\n")
    monkeypatch.setenv("ODOO_HOME", str(tmp_path))
    return tmp_path


def test_a_whole_tree_is_taken(tree, capsys):
    found = odoo.find()
    assert found.series == "17.0"
    assert found.addons == (tree / "odoo" / "addons", tree / "addons")
    assert "Odoo 17.0: the tree that ODOO_HOME names" in capsys.readouterr().out


def test_what_is_missing_is_named(tree):
    (tree / "addons/l10n_ph/__manifest__.py").unlink()
    with pytest.raises(StepFailed, match="addons/l10n_ph/__manifest__.py is missing"):
        odoo.find()


def test_another_series_is_refused(tree):
    (tree / "odoo/release.py").write_text("version_info = (16, 0, 0, 'final', 0, '')\n")
    with pytest.raises(StepFailed, match=r"holds Odoo 16\.0; 17\.0 is the target"):
        odoo.find()


def test_the_workspace_of_the_caller_does_not_leak_into_odoo(tree, monkeypatch):
    monkeypatch.setenv("DATABRICKS_TOKEN", "somebody's")
    assert not [name for name in odoo.find().env() if name.startswith("DATABRICKS_")]
