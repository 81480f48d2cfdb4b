"""The port as a whole: on a small addon made here, and on the real one, by a real Odoo 19."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.port_addon import Odoo19, PortError, UpgradeCodeError, apply_rules, check, port
from tools.port_addon.checks import first_unportable, leftovers
from tools.port_addon.port import addon_files

ROOT = Path(__file__).resolve().parents[2]
ADDON = ROOT / "odoo_databricks"
VIEW = """<?xml version="1.0" encoding="UTF-8" ?>
<odoo>
    <record id="thing_view_tree" model="ir.ui.view">
        <field name="name">thing.view.tree</field>
        <field name="model">thing</field>
        <field name="arch" type="xml">
            <tree><field name="name" /></tree>
        </field>
    </record>
    <record id="thing_view_form" model="ir.ui.view">
        <field name="name">thing.view.form</field>
        <field name="model">thing</field>
        <field name="arch" type="xml">
            <form><div class="oe_chatter"><field name="message_ids" /></div></form>
        </field>
    </record>
</odoo>
"""
MODEL = """from odoo import fields, models


class Thing(models.Model):
    _name = "thing"
    _description = "Thing"
    _sql_constraints = [("name_unique", "unique(name)", "Two things of one name")]

    amount = fields.Float(group_operator="avg")

    def who(self):
        return self._uid
"""


@pytest.fixture(scope="session")
def odoo19():
    python, folder = os.environ.get("ODOO_19_PYTHON"), os.environ.get("ODOO_19_PYTHONPATH")
    if not python or not folder:
        pytest.skip("no Odoo 19: ODOO_19_PYTHON and ODOO_19_PYTHONPATH are not set")
    return Odoo19(Path(python), Path(folder))


@pytest.fixture
def small_addon(tmp_path):
    addon = tmp_path / "source" / "thing"
    (addon / "views").mkdir(parents=True)
    (addon / "__pycache__").mkdir()
    (addon / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"\0")
    (addon / "__init__.py").write_text("from . import thing\n")
    (addon / "__manifest__.py").write_text('{"name": "Thing", "version": "17.0.1.0.0"}\n')
    (addon / "thing.py").write_text(MODEL)
    (addon / "views" / "thing_views.xml").write_text(VIEW)
    (addon / "odd.xml").write_bytes("<odoo>\r\n\t<p a = 'ñ'/>\r\n</odoo>".encode())
    (addon / "icon.bin").write_bytes(bytes(range(256)))
    return addon


def test_a_small_addon(small_addon, tmp_path, odoo19):
    target = tmp_path / "build" / "thing"
    done = port(small_addon, target, odoo19)
    assert done.rewritten == ("__manifest__.py", "thing.py", "views/thing_views.xml")
    assert done.files == 6
    model = (target / "thing.py").read_text()
    assert "models.Constraint(" in model and "Two things of one name" in model
    assert 'aggregator="avg"' in model and "self.env.uid" in model
    view = (target / "views" / "thing_views.xml").read_text()
    assert "<list><field" in view and "<chatter/>" in view and 'id="thing_view_tree"' in view
    for name in ("odd.xml", "icon.bin", "__init__.py"):
        assert (target / name).read_bytes() == (small_addon / name).read_bytes()
    assert not (target / "__pycache__").exists()


def test_a_second_port_is_made_afresh_and_gives_the_same(small_addon, tmp_path, odoo19):
    target = tmp_path / "build" / "thing"
    port(small_addon, target, odoo19)
    first = {p: p.read_bytes() for p in sorted(target.rglob("*")) if p.is_file()}
    (target / "stale.py").write_text("left by an older source\n")
    port(small_addon, target, odoo19)
    assert {p: p.read_bytes() for p in sorted(target.rglob("*")) if p.is_file()} == first
    assert apply_rules(target) == set()
    assert sorted(p.name for p in target.parent.iterdir()) == [".port.lock", "thing"]


def test_a_port_that_fails_leaves_the_previous_one(small_addon, tmp_path, odoo19):
    target = tmp_path / "build" / "thing"
    port(small_addon, target, odoo19)
    before = (target / "thing.py").read_bytes()
    odd = VIEW.replace('<field name="message_ids" />', '<field name="note" />')
    (small_addon / "views" / "thing_views.xml").write_text(odd)
    with pytest.raises(PortError, match=r"^views/thing_views\.xml:14: <field> note inside"):
        port(small_addon, target, odoo19)
    assert (target / "thing.py").read_bytes() == before
    assert sorted(p.name for p in target.parent.iterdir()) == [".port.lock", "thing"]


def test_a_constraint_that_upgrade_code_cannot_rewrite_is_reported(small_addon, tmp_path, odoo19):
    odd = MODEL.replace('"unique(name)"', "UNIQUE_NAME")
    (small_addon / "thing.py").write_text(odd)
    with pytest.raises(PortError, match=r"^thing\.py:7: _sql_constraints must be literals"):
        port(small_addon, tmp_path / "build" / "thing", odoo19)
    assert not (tmp_path / "build" / "thing").exists()


def test_an_odoo_that_does_not_run_is_reported(small_addon, tmp_path):
    for python, message in (
        (Path(sys.executable), "No module named 'odoo"),
        (tmp_path / "no", "did not run"),
    ):
        with pytest.raises(UpgradeCodeError, match=message):
            port(small_addon, tmp_path / "build" / "thing", Odoo19(python, tmp_path))


def test_no_addon(tmp_path):
    with pytest.raises(FileNotFoundError, match="no addon"):
        port(tmp_path, tmp_path / "build" / "x", Odoo19(Path(sys.executable), tmp_path))


@pytest.mark.parametrize(
    "path, text, message",
    [
        ("m.py", "x = 1\ndef name_get(self): ...\n", "m.py:2: .*_compute_display_name"),
        ("m.py", "a.read_group([], [], [])", "m.py:1: .*_read_group"),
        ("m.py", "class A:\n    _inherit = 'hr.expense.sheet'\n", "m.py:2: .*no hr.expense.sheet"),
        ("v.xml", "<odoo>\n<record model='hr.expense.sheet'/>", "v.xml:2: .*no hr.expense.sheet"),
        ("w.js", "const rpc = useService('rpc');", "w.js:1: .*rpc"),
    ],
)
def test_what_cannot_be_ported_is_named(path, text, message):
    error = first_unportable(text, path)
    assert isinstance(error, PortError)
    with pytest.raises(PortError, match=message):
        raise error


def test_what_may_be_there_is_not_reported():
    assert first_unportable("a._read_group([], [])\nenv['hr.expense.sheet']\n", "m.py") is None
    assert leftovers('env.ref("x.bill_view_tree")\ncategory_tree = 1\n', "m.py") == []
    told = '"""About groups_id.\n\nAnd _sql_constraints."""\nx = 1  # not oe_chatter: é groups_id\n'
    assert leftovers(told, "m.py") == [] and first_unportable("# def name_get(\n", "m.py") is None
    assert leftovers("<odoo><!-- was <tree> \n oe_chatter --></odoo>", "v.xml") == []
    assert leftovers('<record id="bill_view_tree"><list/></record>', "v.xml") == []


def test_leftovers_are_named_with_their_lines():
    text = "\n".join(['a = "tree"', "user.groups_id", 'Field(group_operator="x")'])
    assert [(e.path, e.line) for e in leftovers(text, "m.py")] == [
        ("m.py", 1),
        ("m.py", 3),
        ("m.py", 2),
    ]
    told = '"""Two\nlines."""\nname = "é"  # groups_id\nuser.groups_id\n'
    assert [e.line for e in leftovers(told, "m.py")] == [4]
    assert [e.line for e in leftovers("<odoo>\n<tree/>\n</odoo>", "v.xml")] == [2]


@pytest.fixture(scope="session")
def ported(tmp_path_factory, odoo19):
    target = tmp_path_factory.mktemp("build") / ADDON.name
    port(ADDON, target, odoo19)
    return target


def test_the_addon_ports_and_nothing_of_17_is_left(ported):
    check(ported)
    assert apply_rules(ported) == set()
    manifest = ast.literal_eval((ported / "__manifest__.py").read_text())
    assert manifest["version"].startswith("19.0.")
    for name in (*manifest["data"], *manifest.get("demo", ())):
        assert (ported / name).is_file()
    assert len(addon_files(ported)) == len(addon_files(ADDON))


def test_every_group_of_the_addon_has_its_privilege(ported):
    text = "\n".join(p.read_text() for p in (ported / "security").glob("*.xml"))
    assert text.count('model="res.groups.privilege"') == 2
    assert text.count('name="privilege_id"') == text.count('model="res.groups"') > 2
    assert 'name="category_id" ref="module_category_' in text


def test_the_ported_python_compiles(ported, odoo19):
    command = [str(odoo19.python), "-m", "compileall", "-q", "-f", str(ported)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_command_line(tmp_path, odoo19):
    command = [sys.executable, "-m", "tools.port_addon", "--target", str(tmp_path / "b" / "a")]
    known = ["--python", str(odoo19.python), "--odoo-home", str(odoo19.pythonpath)]
    done = subprocess.run([*command, *known], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("port to 19.0: ")
    bare = {k: v for k, v in os.environ.items() if not k.startswith("ODOO_19_")}
    done = subprocess.run(command, cwd=ROOT, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--odoo-home" in done.stderr


IMPORT = re.compile(r"^import\s+\{([^}]*)\}\s+from\s+[\"']@(\w+)/([^\"']+)[\"']", re.MULTILINE)


def test_what_the_javascript_imports_is_there_in_19(ported, odoo19):
    addons = odoo19.pythonpath / "odoo" / "addons"
    if not addons.joinpath("web").is_dir():
        addons = odoo19.pythonpath / "addons"
    for script in sorted((ported / "static").rglob("*.js")):
        for names, addon, module in IMPORT.findall(script.read_text()):
            if addon == "odoo":  # owl and hoot, which are bundled in another way
                continue
            text = (addons / addon / "static" / "src" / f"{module}.js").read_text()
            for name in filter(None, re.split(r"\s*,\s*", names.strip())):
                exported = rf"export (?:const|let|class|(?:async )?function) {name.split()[0]}\b"
                grouped = rf"export \{{[^}}]*\b{name.split()[0]}\b"
                assert re.search(f"{exported}|{grouped}", text), f"{script.name}: {module} {name}"
