"""What each target needs, and no more. Everything here may be run again at no cost."""

from __future__ import annotations

import shutil

from tools import debian, environments, lakehouse, odoo
from tools.steps import together

BROWSER_PACKAGES = ("chromium", "fonts-dejavu-core", "fonts-noto-core")
COMPOSE_PACKAGE = "docker-compose"


def for_demo() -> odoo.Odoo:
    """Odoo, PostgreSQL and the lakehouse; neither a browser nor a JVM."""
    debian.install("postgresql-15")
    found: list[odoo.Odoo] = []

    def odoo_and_its_environment() -> None:
        found.append(odoo.find())
        found[0].environment.ensure()

    together(environments.LAKEHOUSE.ensure, odoo_and_its_environment)
    found[0].prepare_addon()
    lakehouse.build_wheel()
    return found[0]


def for_tests() -> odoo.Odoo:
    """What the demo needs, and a browser, a JVM with its Spark, and the compose command."""
    debian.install("postgresql-15", *BROWSER_PACKAGES, COMPOSE_PACKAGE, *_java())
    others = (environments.JUDGE, environments.CLIENTS, environments.E2E, environments.LINT)
    together(*(environment.ensure for environment in others))
    return for_demo()


def _java() -> tuple[str, ...]:
    return () if shutil.which("java") else ("openjdk-17-jre-headless",)
