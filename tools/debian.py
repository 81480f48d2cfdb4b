"""What is taken from Debian's archive: installed packages, and packages only unpacked."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tools.steps import StepFailed, run, step

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def require_debian() -> None:
    """Set-up installs packages: it wants root on Debian 12 and says so plainly."""
    release = Path("/etc/os-release").read_text() if Path("/etc/os-release").exists() else ""
    missing = []
    if 'VERSION_ID="12"' not in release or "ID=debian" not in release:
        missing.append("Debian 12")
    if os.geteuid() != 0:
        missing.append("root rights (PostgreSQL and browsers are installed as packages)")
    if not shutil.which("apt-get"):
        missing.append("apt-get")
    if missing:
        raise StepFailed(
            "this machine lacks: " + ", ".join(missing) + ". "
            "docker-compose.yml describes the same system in containers (see README)."
        )


def installed(package: str) -> bool:
    query = ["dpkg-query", "-W", "-f", "${db:Status-Status}", package]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    return answer.stdout.strip() == "installed"


def install(*packages: str) -> None:
    """Install the packages that are missing; nothing is asked and no service is set up by us."""
    missing = [name for name in packages if not installed(name)]
    if not missing:
        return
    require_debian()
    if not installed("postgresql-common"):
        # we run a private cluster: the package need not make and start one of its own
        settings = Path("/etc/postgresql-common/createcluster.d/odoo_databricks.conf")
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text("create_main_cluster = false\n")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step("Debian packages: " + " ".join(missing)):
        run(["apt-get", "-qq", "update"], log="apt-update", env=env)
        command = ["apt-get", "-qq", "-y", "--no-install-recommends", "install", *missing]
        run(command, log="apt-install", env=env)


def archive_uri() -> str:
    """The archive's address as this machine's own apt configuration has it."""
    filters = ["Created-By: Packages", "Component: main", "Label: Debian"]
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", *filters]
    for attempt in ("known", "updated"):
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        uris = sorted(set(answer.stdout.split()))
        if uris:
            return uris[0]
        if attempt == "known":
            run(["apt-get", "-qq", "update"], log="apt-update")
    raise StepFailed("apt's configuration names no source of Debian's component main")


def unpack(target: Path, suite: str, packages: list[str], own_packages: list[str]) -> None:
    """Download packages and unpack them into `target` without installing anything.

    `packages` come from `suite` through an apt configuration of our own, so that the machine's
    suites stay as they are; `own_packages` come from the machine's own suites.
    """
    apt = target / "apt"
    debs = apt / "debs"
    for folder in (apt / "lists/partial", apt / "cache/archives/partial", debs):
        folder.mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    source = f"deb [signed-by={KEYRING}] {archive_uri()} {suite} main\n"
    (apt / "sources.list").write_text(source)
    private = {
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::Lists": apt / "lists",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
    }
    as_root = ["-o", "APT::Sandbox::User=root"]
    options = [part for key, value in private.items() for part in ("-o", f"{key}={value}")]
    run(["apt-get", "-qq", *options, *as_root, "update"], log="apt-suite-update")
    run(["apt-get", "-qq", *options, *as_root, "download", *packages], log="apt-suite", cwd=debs)
    run(["apt-get", "-qq", *as_root, "download", *own_packages], log="apt-own", cwd=debs)
    for package in sorted(debs.glob("*.deb")):
        run(["dpkg", "-x", package, target / "tree"], log="dpkg-unpack")
    shutil.rmtree(apt)


def postgres_bin() -> Path:
    return Path("/usr/lib/postgresql/15/bin")
