"""What the workspace answers, and how often the client suite was seen to ask for it.

``capabilities.json`` and the page in docs are written from the traffic of the client suite:
``python -m local_workspace.capabilities build/traffic.json``. A route that no client asked for
does not belong here; a test compares both with the routes that the package has.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

from fastapi import APIRouter
from fastapi.routing import APIRoute

from . import api

LIST = Path(__file__).with_name("capabilities.json")
PAGE = Path(__file__).parents[1] / "docs" / "architecture" / "EMBEDDED_WORKSPACE_CAPABILITIES.md"
OWN = "/_local/"  # what only the embedded workspace has is no part of the contract


def routers() -> Iterator[tuple[str, str, APIRouter]]:
    """(module name, first line of its docstring, router) of each module in ``api/``."""
    for found in pkgutil.iter_modules(api.__path__):
        module = importlib.import_module(f"{api.__name__}.{found.name}")
        yield found.name, (module.__doc__ or "").strip().splitlines()[0], module.router


def routes() -> list[dict]:
    """Every route of the contract: api, title, method, path."""
    return [
        {"api": name, "title": title, "method": method, "path": route.path}
        for name, title, router in routers()
        for route in router.routes
        if isinstance(route, APIRoute) and route.include_in_schema
        if not route.path.startswith(OWN)
        for method in sorted(route.methods)
    ]


def witnessed(traffic: dict[str, int]) -> list[dict]:
    """The routes with the number of answers that the client suite got from each."""
    return [
        route | {"witnessed": traffic.get(f"{route['method']} {route['path']}", 0)}
        for route in routes()
    ]


def page(capabilities: list[dict]) -> str:
    """The page in docs, as Markdown."""
    lines = [
        "# What the embedded workspace answers",
        "",
        "Written by `python -m local_workspace.capabilities build/traffic.json` from the recorded",
        "traffic of the client suite (`tests/clients`: databricks-sdk, databricks-sql-connector,",
        "databricks-sqlalchemy, mlflow, the bundle's requests). Every other call is answered",
        "`501 NOT_IMPLEMENTED` with its name.",
        "",
        "| API | calls | answers witnessed |",
        "|---|---|---|",
    ]
    names = list(dict.fromkeys(entry["api"] for entry in capabilities))
    groups = [[entry for entry in capabilities if entry["api"] == name] for name in names]
    lines += [
        f"| {group[0]['title'].rstrip('.')} | {len(group)} |"
        f" {sum(entry['witnessed'] for entry in group)} |"
        for group in groups
    ]
    for group in groups:
        lines += [
            "",
            f"## {group[0]['title'].rstrip('.')}",
            "",
            "| call | witnessed |",
            "|---|---|",
        ]
        lines += [f"| `{e['method']} {e['path']}` | {e['witnessed']} |" for e in group]
    return "\n".join(lines) + "\n"


def load() -> list[dict]:
    return json.loads(LIST.read_text(encoding="utf-8"))


def main(traffic_file: str) -> int:
    """Write list and page. Returns 1, and names them, if routes were not witnessed."""
    found = witnessed(json.loads(Path(traffic_file).read_text(encoding="utf-8")))
    LIST.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(found), encoding="utf-8")
    missing = [f"{e['method']} {e['path']}" for e in found if not e["witnessed"]]
    for name in missing:
        print(f"not witnessed: {name}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
