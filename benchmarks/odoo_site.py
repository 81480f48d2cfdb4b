"""An Odoo of its own for a benchmark, with the addon, its PostgreSQL and a workspace."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools import setup
from tools.demo import odoo_thread
from tools.site import Site


@contextmanager
def running() -> Iterator[Site]:
    """A site with an empty database that has the addon installed; stopped and removed afterwards.

    PostgreSQL is durable as it is for users, so that its costs are counted.
    """
    odoo = setup.for_demo()
    site = Site("bench", odoo)
    try:
        site.start_postgres()
        site.start_workspace()
        odoo_thread.install(site)
        yield site
    finally:
        site.stop()


def measure(site: Site, script: Path, **given: object) -> dict:
    """What `script` leaves in the file BENCH_RESULT; Odoo's shell runs it with BENCH_GIVEN."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        request = Path(folder) / "given.json"
        request.touch(mode=0o600)
        request.write_text(json.dumps(given))
        site.run_odoo(
            "shell",
            "-d",
            site.database,
            log=script.stem,
            stdin=script,
            extra_env={"BENCH_GIVEN": str(request), "BENCH_RESULT": str(result)},
        )
        return json.loads(result.read_text())
