"""The wheel of `lakehouse_jobs`, `ml` and `bir_rules`.

`bir_rules` has one home, inside the addon, and one more name here: a cluster and a served model
import it without Odoo.
"""

from setuptools import find_packages, setup

ROOMS = ("lakehouse_jobs", "ml")
RULES = "odoo_databricks/lib/bir_rules"


def packages() -> list[str]:
    rooms = [name for room in ROOMS for name in (room, *_below(room))]
    return [*rooms, "bir_rules"]


def _below(room: str) -> list[str]:
    return [f"{room}.{name}" for name in find_packages(room)]


setup(
    packages=packages(),
    package_dir={"bir_rules": RULES},
    package_data={
        **{name: ["*.yml", "*.json", "*.csv"] for name in packages()},
        "lakehouse_jobs.contracts": ["*.yml", "sources/*.yml"],
        "bir_rules": ["data/*.csv", "data/*.json"],
    },
)
