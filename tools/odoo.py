"""Find an Odoo to run: the one given, else upstream's 17.0, else Debian's 19."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools import debian, environments, paths
from tools.port_addon.port import port
from tools.port_addon.text import PortError
from tools.port_addon.upgrade_code import Odoo19, UpgradeCodeError
from tools.steps import StepFailed, run, say, step

UPSTREAM = "https://github.com/odoo/odoo"
UPSTREAM_BRANCH = "17.0"
REACH_SECONDS = 6

# Debian's odoo-19 leaves these to other packages; pages are a 500 or icons are missing without them
DEBIAN_SUITE = "sid"
DEBIAN_PACKAGES = [
    "odoo-19",
    "fonts-montserrat",
    "fonts-ocr-b",
    "fonts-roboto-unhinted",
    "libjs-jquery",
    "libjs-jquery-form",
    "libjs-underscore",
]
# the newer ones of sid lack the files that Odoo's links point to
DEBIAN_OWN_PACKAGES = ["fonts-font-awesome", "fonts-inconsolata"]


@dataclass(frozen=True)
class Odoo:
    """An Odoo tree: `series` such as "17.0", `origin` for a person, and how to start it."""

    series: str
    origin: str
    command: Path
    pythonpath: Path
    addons: tuple[Path, ...]

    @property
    def environment(self) -> environments.Environment:
        return environments.odoo(self.series)

    @property
    def python(self) -> Path:
        return self.environment.python

    def env(self) -> dict[str, str]:
        """Environment variables of its processes. No workspace of the caller may leak in."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("DATABRICKS_")}
        return {**kept, "PYTHONPATH": str(self.pythonpath)}

    def options(self) -> dict[str, str]:
        """Options of odoo.conf that depend on the series. 19.0 has no demo data by default."""
        return {"without_demo": "all"} if self.series == "17.0" else {}

    def addon_path(self) -> Path:
        """The folder that holds the addon for this series (the source, or the ported build)."""
        if self.series == "17.0":
            return paths.ROOT
        return paths.BUILD / self.series

    def prepare_addon(self) -> None:
        """Port the addon when this Odoo is not of the series that its source is written for."""
        if self.series == "17.0":
            return
        target = self.addon_path() / paths.ADDON.name
        stamp = target.parent / "ported-from"
        current = paths.fingerprint(paths.ADDON, paths.ROOT / "tools" / "port_addon")
        if target.exists() and stamp.exists() and stamp.read_text() == current:
            return
        with step(f"addon ported to {self.series}"):
            try:
                port(paths.ADDON, target, Odoo19(self.python, self.pythonpath))
            except (PortError, UpgradeCodeError) as error:
                raise StepFailed(str(error)) from None
            stamp.write_text(current)


def find() -> Odoo:
    """The Odoo to use; it is brought to this machine if need be, and named on the screen."""
    given = os.environ.get("ODOO_HOME")
    found = _given(Path(given)) if given else _upstream() or _debian()
    say(f"  Odoo {found.series}: {found.origin}")
    return found


def _series(release: Path) -> str:
    match = re.search(r"^version_info = \((\d+), (\d+)", release.read_text(), re.MULTILINE)
    if not match:
        raise StepFailed(f"{release} does not say which Odoo this is")
    return f"{match[1]}.{match[2]}"


def _tree(home: Path, origin: str) -> Odoo:
    series = _series(home / "odoo" / "release.py")
    addons = (home / "odoo" / "addons", home / "addons")
    return Odoo(series, origin, home / "odoo-bin", home, addons)


def _given(home: Path) -> Odoo:
    home = home.resolve()
    for part in ("odoo-bin", "odoo/release.py", "addons/l10n_ph/__manifest__.py"):
        if not (home / part).exists():
            raise StepFailed(
                f"ODOO_HOME={home} is no whole Odoo tree: {part} is missing. "
                "Give the folder that holds odoo-bin, odoo/ and addons/."
            )
    found = _tree(home, "the tree that ODOO_HOME names")
    if found.series not in ("17.0", "19.0"):
        raise StepFailed(f"ODOO_HOME holds Odoo {found.series}; 17.0 is the target, 19.0 also runs")
    return found


def _upstream() -> Odoo | None:
    home = paths.setup_home() / f"odoo-{UPSTREAM_BRANCH}"
    if not (home / "odoo-bin").exists():
        if (paths.setup_home() / "odoo-19" / "complete").exists():
            return None  # decided at the first run on this machine: a later one asks nothing
        if not _upstream_reachable():
            say("  · upstream's 17.0 branch cannot be reached from here: Debian's package instead")
            return None
        partial = home.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        with step("Odoo 17.0 from upstream's public branch"):
            clone = ["git", "clone", "-q", "--depth", "1", "--branch", UPSTREAM_BRANCH]
            run([*clone, UPSTREAM, partial], log="odoo-upstream")
            partial.rename(home)
    return _tree(home, "upstream's public branch")


def _upstream_reachable() -> bool:
    if not shutil.which("git"):
        return False
    try:
        answer = subprocess.run(
            ["git", "ls-remote", "--exit-code", "--heads", UPSTREAM, UPSTREAM_BRANCH],
            capture_output=True,
            timeout=REACH_SECONDS,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return answer.returncode == 0


def _debian() -> Odoo:
    home = paths.setup_home() / "odoo-19"
    packages = home / "tree/usr/lib/python3/dist-packages"
    if not (home / "complete").exists():
        debian.require_debian()
        shutil.rmtree(home, ignore_errors=True)
        with step("Odoo 19.0 from Debian's package (132 MB, unpacked, not installed)"):
            debian.unpack(home, DEBIAN_SUITE, DEBIAN_PACKAGES, DEBIAN_OWN_PACKAGES)
            _mend_debian_tree(home / "tree", packages)
            (home / "complete").touch()
    addons = (packages / "odoo" / "addons",)
    return Odoo("19.0", "Debian's package odoo-19", home / "tree/usr/bin/odoo", packages, addons)


def _mend_debian_tree(tree: Path, packages: Path) -> None:
    """Undo what the package leaves behind: a second copy of the addons, a file left out."""
    shutil.rmtree(packages / "addons", ignore_errors=True)
    left_out = packages / "odoo/addons/mail/static/lib/selfie_segmentation/selfie_segmentation.js"
    left_out.parent.mkdir(parents=True, exist_ok=True)
    left_out.write_text("// left out of Debian's package; pages ask for it\n")
    dangling = [link for link in tree.rglob("*") if link.is_symlink() and not link.exists()]
    if dangling:
        raise StepFailed(f"the unpacked tree has {len(dangling)} dangling links: {dangling[0]}")
