"""`make test`: every suite in the environment it belongs to, one closing line for all.

Three lanes run side by side: the workspace's own suite, which waits more than it works; the other
suites that need no Odoo; and the site with its addon and browser tests. Each suite's output is
printed when it has ended.
"""

from __future__ import annotations

import os
import shutil
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

from tools import environments, lakehouse, paths, setup
from tools.demo import lakehouse_thread, odoo_thread
from tools.demo.report import Report
from tools.odoo import Odoo
from tools.processes import free_port
from tools.site import Site
from tools.steps import StepFailed, logged, say, step, together

SITE = "test"
ADDON_DATABASE = "addon_tests"
WORKSPACE_VARIABLE = "DATABRICKS_TEST_HOST"
# Seconds after which a test that hangs has failed, so that it cannot take the whole run with it.
PATIENCE = 400
SCREENSHOTS = paths.BUILD / "screenshots"


@dataclass
class Result:
    """Counts of one suite; `complaint` is set when the run itself went wrong."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    complaint: str | None = None

    def line(self) -> str:
        text = f"{self.name}: {self.passed} passed, {self.failed} failed, {self.skipped} skipped"
        return f"{text} ({self.complaint})" if self.complaint else text


@dataclass
class Suite:
    """One pytest run: `python` of its environment, `target` below `cwd`."""

    name: str
    python: Path
    target: str
    cwd: Path = paths.ROOT
    env: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    skip_is_failure: str | None = None

    def run(self) -> Result:
        reports = paths.BUILD / "reports"
        reports.mkdir(parents=True, exist_ok=True)
        junit = reports / f"{self.name}.xml"
        junit.unlink(missing_ok=True)
        command = [self.python, "-m", "pytest", self.target, "-q", "-ra", *self.options]
        command += ["-p", "no:cacheprovider", f"--timeout={PATIENCE}", f"--junitxml={junit}"]
        with step(f"tests: {self.name}"):
            returncode, log = logged(
                command,
                log=f"tests-{self.name}",
                cwd=self.cwd,
                env={**lakehouse.python_env(), **self.env},
            )
        said = log.read_text(errors="replace")
        (reports / f"{self.name}.log").write_text(said)
        result = self._read(junit, returncode)
        tail = said.splitlines()
        say("\n".join(["", f"--- {self.name}", *(tail if result.failed else tail[-12:]), ""]))
        return result

    def _read(self, junit: Path, returncode: int) -> Result:
        result = Result(self.name)
        if not junit.exists():
            result.failed = 1
            result.complaint = f"pytest ended with {returncode} before it could report"
            return result
        for case in ET.parse(junit).iter("testcase"):
            skipped = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                result.failed += 1
            elif skipped is not None:
                result.skipped += 1
                if self.skip_is_failure and self.skip_is_failure in str(skipped.attrib):
                    result.skipped -= 1
                    result.failed += 1
                    result.complaint = "a test that needs the workspace was skipped"
            else:
                result.passed += 1
        if returncode and not result.failed:
            result.failed = 1
            result.complaint = f"pytest ended with exit code {returncode}"
        return result


def run() -> int:
    """Run all suites; the last line sums them. Exit code 1 if anything failed."""
    started = time.monotonic()
    say("Set-up")
    odoo = setup.for_tests()
    results: list[Result] = []
    site = Site(SITE, odoo, durable=False, faults=True)
    _wipe(site)
    site = Site(SITE, odoo, durable=False, faults=True)
    try:
        together(
            lambda: results.append(_workspace_suite().run()),
            lambda: results.extend(suite.run() for suite in _plain_suites(odoo)),
            lambda: results.extend(_site_suites(site)),
        )
    finally:
        site.stop()
    say("\n".join(["", *(result.line() for result in results)]))
    say(f"Odoo {odoo.series} ({odoo.origin}), {time.monotonic() - started:.0f} s")
    passed, failed, skipped = (
        sum(getattr(result, name) for result in results) for name in ("passed", "failed", "skipped")
    )
    say(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


def _wipe(site: Site) -> None:
    """Tests start from nothing: an earlier run's site is ended and removed."""
    site.stop()
    site.cluster.destroy()
    shutil.rmtree(site.home)


def _workspace_suite() -> Suite:
    return Suite("workspace", environments.LAKEHOUSE.python, "tests/workspace")


def _plain_suites(odoo: Odoo) -> list[Suite]:
    """Suites that start what they need by themselves."""
    lakehouse_python = {"LAKEHOUSE_PYTHON": str(environments.LAKEHOUSE.python)}
    tools_env = {
        "ODOO_19_COMMAND": str(odoo.command) if odoo.series == "19.0" else "",
        "ODOO_19_PYTHON": str(odoo.python) if odoo.series == "19.0" else "",
        "ODOO_19_PYTHONPATH": str(odoo.pythonpath) if odoo.series == "19.0" else "",
    }
    return [
        Suite("tools", environments.LAKEHOUSE.python, "tests/tools", env=tools_env),
        Suite("lib", odoo.python, "tests/lib", env=lakehouse_python),
        Suite("lakehouse", environments.LAKEHOUSE.python, "tests/lakehouse"),
        Suite("clients", environments.CLIENTS.python, "tests/clients", env=lakehouse_python),
        Suite("judge", environments.JUDGE.python, "tests/judge", env=lakehouse_python),
    ]


def _site_suites(site: Site) -> list[Result]:
    """The demo's own thread, then the addon's tests beside it, then the browser on top."""
    report = Report()
    try:
        site.start_postgres()
        site.start_workspace()
        lakehouse_thread.walk(site, report)
        odoo_thread.install(site)
        site.copy_database(site.database, ADDON_DATABASE)
        odoo_thread.set_up(site)
        site.start_odoo()
        odoo_thread.walk(site, report)
    except StepFailed as failure:
        say(f"  ✗ {failure}" + (f"\n    log: {failure.log}" if failure.log else ""))
        return [Result("thread", failed=1, complaint="the demo's thread did not reach its end")]
    say("\n" + report.text() + "\n")
    return [_addon_suite(site).run(), _browser_suite(site).run()]


def _addon_suite(site: Site) -> Suite:
    config = site.odoo_config("odoo-test.conf", max_cron_threads=0, http_port=free_port(8070))
    return Suite(
        "addon",
        site.odoo.python,
        f"{paths.ADDON.name}/tests",
        cwd=site.odoo.addon_path(),
        env={
            **site.odoo.env(),
            WORKSPACE_VARIABLE: site.workspace_host,
            "DATABRICKS_TEST_TOKEN": site.workspace_token,
        },
        options=(f"--odoo-config={config}", f"--odoo-database={ADDON_DATABASE}", "--odoo-http"),
        skip_is_failure=WORKSPACE_VARIABLE,
    )


def _browser_suite(site: Site) -> Suite:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return Suite(
        "e2e",
        environments.E2E.python,
        "tests/e2e",
        env={
            **os.environ,
            "ODOO_URL": site.odoo_url,
            "ODOO_SERIES": site.odoo.series,
            "ODOO_DATABASE": site.database,
            "ODOO_LOGIN": "admin",
            "ODOO_PASSWORD": site.state["odoo_password"],
            "WORKSPACE_URL": site.workspace_host,
            "WORKSPACE_TOKEN": site.workspace_token,
            "SCREENSHOTS": str(SCREENSHOTS),
        },
    )
