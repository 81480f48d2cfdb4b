"""Entry points of the job's tasks; each prints one JSON line of counts at its end."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from .lakehouse import Lakehouse
from .reference import payor_kinds
from .stages import build_gold as gold_stage
from .stages import build_silver as silver_stage
from .stages import ingest_bronze as bronze_stage
from .stages import stage_exports

DEFAULT_VOLUME = "landing.finance_exports"


def ingest_bronze(argv: Sequence[str] | None = None) -> int:
    """Loads the new ZIPs of the landing Volume into Bronze, or stages them for a pipeline."""
    args = _arguments("ingest_bronze", argv)

    def stage(lake: Lakehouse) -> dict:
        folder = _volume(lake, args.volume)
        if args.stage_only:
            return stage_exports(lake, folder, _volume(lake, args.stage_only))
        return bronze_stage(lake, folder)

    return _run(args, stage)


def build_silver(argv: Sequence[str] | None = None) -> int:
    """Takes the new loads of Bronze into Silver."""
    args = _arguments("build_silver", argv)
    kinds = payor_kinds(args.companies)
    return _run(args, lambda lake: silver_stage(lake, kinds))


def build_gold(argv: Sequence[str] | None = None) -> int:
    """Builds the Gold tables whose input changed."""
    return _run(_arguments("build_gold", argv), gold_stage)


def _arguments(name: str, argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=name)
    parser.add_argument("--catalog", default="main")
    parser.add_argument(
        "--volume",
        default=DEFAULT_VOLUME,
        help="schema.volume inside the catalogue, or a /Volumes/... path",
    )
    if name == "ingest_bronze":
        parser.add_argument("--stage-only", metavar="VOLUME", help="stage for a pipeline's stream")
    parser.add_argument("--companies", type=Path, help="JSON list of {code, name, payor_kind}")
    return parser.parse_args(argv)


def _volume(lake: Lakehouse, name: str) -> Path:
    if name.startswith("/"):
        # A task names the Volume as Databricks does; here another folder may stand for /Volumes.
        parts = Path(name).parts
        return lake.volumes_root.joinpath(*parts[2:]) if parts[1] == "Volumes" else Path(name)
    schema, _, volume = name.partition(".")
    return lake.volume(schema, volume)


def _run(args: argparse.Namespace, stage: Callable[[Lakehouse], dict]) -> int:
    lake = Lakehouse.from_environment(args.catalog)
    report = stage(lake)
    print(json.dumps(report, default=str))
    sys.stdout.flush()
    return 0
