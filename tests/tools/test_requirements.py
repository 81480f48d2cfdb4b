"""The pinned environments, and the addon's packages beside Odoo's own pins."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
PIN = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+_-]+)")
SERIES = ("17", "19")


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(*names):
    """Package -> version of some files; every line must be a pin, a comment or blank."""
    found = {}
    for name in names:
        for line in (REQUIREMENTS / name).read_text().splitlines():
            if line and not line.startswith("#"):
                match = PIN.fullmatch(line)
                assert match, f"{name}: {line!r} is not a pin"
                assert canonical(match[1]) not in found, f"{match[1]} is pinned twice"
                found[canonical(match[1])] = match[2]
    return found


def resolve(*arguments):
    """What pip would install into an empty environment: package -> version."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    done = subprocess.run(
        [*command, "--report", "-", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    return {
        canonical(item["metadata"]["name"]): item["metadata"]["version"]
        for item in report["install"]
    }


def moved(own, resolved):
    """Odoo's pins that a resolution changes: package -> (pin, what pip would take)."""
    return {
        name: (version, resolved[name])
        for name, version in own.items()
        if name in resolved and resolved[name] != version
    }


@pytest.mark.parametrize("name", sorted(p.name for p in REQUIREMENTS.glob("*.txt")))
def test_every_requirement_is_a_pin(name):
    assert pins(name)


@pytest.mark.parametrize("series", SERIES)
def test_the_addon_pins_no_package_of_odoo(series):
    assert not set(pins("addon.txt")) & set(pins(f"odoo-{series}.txt"))


@pytest.mark.parametrize("series", SERIES)
def test_the_addon_moves_no_pin_of_odoo(series):
    own = pins(f"odoo-{series}.txt")
    files = [f"odoo-{series}.txt", "addon.txt", "test-odoo.txt"]
    resolved = resolve(*(part for name in files for part in ("-r", REQUIREMENTS / name)))
    assert moved(own, resolved) == {}
    assert set(own) <= set(resolved)
    unpinned = set(resolved) - set(pins(*files))
    assert not unpinned, "these come in by whatever version is newest"


@pytest.mark.parametrize("series", SERIES)
def test_the_published_ranges_fit_beside_odoo_and_hold_the_pins(series):
    own = pins(f"odoo-{series}.txt")
    constraints = ("-c", REQUIREMENTS / f"odoo-{series}.txt", "-c", REQUIREMENTS / "addon.txt")
    resolved = resolve("-r", ROOT / "requirements.txt", *constraints)
    assert moved(own, resolved) == {}
    assert {"databricks-sdk", "pyarrow", "cryptography"} <= set(resolved)
    assert set(resolved) <= set(own) | set(pins("addon.txt"))


def test_a_moved_pin_would_be_seen():
    own = {"cryptography": "3.4.8", "idna": "2.10"}
    resolved = {"cryptography": "50.0.2", "idna": "2.10", "pyarrow": "26.0.1"}
    assert moved(own, resolved) == {"cryptography": ("3.4.8", "50.0.2")}


def test_the_manifest_names_the_published_requirements():
    names = {
        re.split(r"[<>=]", line)[0]
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    manifest = (ROOT / "odoo_databricks" / "__manifest__.py").read_text()
    declared = re.search(r'"external_dependencies": \{"python": \[([^\]]*)\]\}', manifest)
    assert set(re.findall(r'"([^"]+)"', declared[1])) == names
