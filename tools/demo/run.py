"""Bring the demo's site up, walk the thread through it, and say what was seen."""

from __future__ import annotations

import time

from tools import paths, setup
from tools.demo import lakehouse_thread, odoo_thread
from tools.demo.report import Report
from tools.site import Site
from tools.steps import StepFailed, say

SITE = "demo"


def run() -> int:
    """Set up, start, walk the thread, print the table; leave everything running."""
    started = time.monotonic()
    say("Set-up")
    site = Site(SITE, setup.for_demo())
    before = site.running()
    try:
        report = walk(site)
    except BaseException:
        if not before:
            site.stop()  # nothing of a failed or interrupted first start stays behind
        raise
    say("\n" + report.text())
    say(
        f"\nDone in {time.monotonic() - started:.0f} s. `make stop` ends it.\n"
        f"  Odoo      {site.odoo_url}  (Odoo {site.odoo.series})\n"
        f"  user      admin\n"
        f"  password  {site.state['odoo_password']}   (kept in var/{SITE}/site.json)"
    )
    return 0


def walk(site: Site) -> Report:
    """The thread: exports, Bronze to Gold, model, Odoo, proposal, scheduled run."""
    report = Report()
    say("Start")
    site.start_postgres()
    site.start_workspace()
    say("Lakehouse")
    lakehouse_thread.walk(site, report)
    say("Odoo")
    odoo_thread.install(site)
    odoo_thread.set_up(site)
    site.start_odoo()
    odoo_thread.walk(site, report)
    return report


def stop() -> int:
    """End the processes of the demo, by their ids."""
    home = paths.ROOT / "var" / SITE
    if not (home / "site.json").exists():
        say("Nothing to stop: no demo was started from this checkout.")
        return 0
    site = Site(SITE, None)
    site.stop()
    if site.running():
        raise StepFailed(f"still running: {', '.join(site.running())}")
    say("Stopped: Odoo, the workspace and PostgreSQL of the demo.")
    return 0
