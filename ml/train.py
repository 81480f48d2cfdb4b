"""python -m ml.train: learns nature of payment and expense category from Silver, and registers.

Prints one JSON line. On generated rows every figure is called so: the generator's rules made the
labels, so that a score says that the parts fit together and nothing about real bills.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence

import pandas as pd

from .heads import (
    COLUMNS,
    HEADS,
    TrainingDataError,
    fit_heads,
    held_out,
    held_out_figures,
    mean_accuracy,
)
from .text_classifier import DEFAULT_FLOOR

SILVER = "silver.finance_lines"
MODEL = "ml.nature_of_payment"
EXPERIMENT = "/Shared/nature_of_payment"
NOTES = {"generated": "demo data, no accuracy claimed"}


def read_lines(lake) -> pd.DataFrame:
    """Labelled rows of Silver, COLUMNS, in the order of line_key.

    The order of a table is not fixed; training must not depend on it.
    """
    from pyspark.sql import functions as F

    silver = lake.read(SILVER).where(
        F.col("vendor_name").isNotNull()
        & (F.col(HEADS[0]).isNotNull() | F.col(HEADS[1]).isNotNull())
    )
    frame = silver.select("line_key", *COLUMNS).toPandas()
    return frame.sort_values("line_key", ignore_index=True).drop(columns="line_key")


def train(
    lines: pd.DataFrame,
    name: str,
    *,
    seed: int = 0,
    floor: float = DEFAULT_FLOOR,
    training_data: str = "generated",
    experiment: str = EXPERIMENT,
) -> dict:
    """Fits, measures on held-out vendors, logs, registers, sets the alias; returns the report.

    `lines`: COLUMNS, one row a line. The registered model knows all vendors; the figures are of
    its twin, which was fitted without the held-out ones. Raises TrainingDataError.
    """
    import mlflow

    import bir_rules

    from . import registry
    from .served_model import NatureOfPaymentModel

    started = time.perf_counter()
    out = held_out(lines)
    if out.all() or not out.any():
        raise TrainingDataError(f"{len(lines)} labelled rows: too few vendors to hold some out")
    twin = fit_heads(lines[~out], seed, floor)
    figures = held_out_figures(twin, lines[out])
    score = mean_accuracy(figures)
    model = NatureOfPaymentModel(
        fit_heads(lines, seed, floor, calibrated=twin), bir_rules.fingerprint(), training_data
    )
    alias, reason, before = _verdict(registry, name, lines[out], score)
    note = NOTES.get(training_data, f"trained on {training_data}")
    prefix = f"{training_data}_data_held_out_vendors_"
    params = {
        "seed": seed,
        "floor": floor,
        "rows": len(lines),
        "held_out_rows": int(out.sum()),
        "vendors": int(lines.vendor_name.nunique()),
        "rules_fingerprint": model.rules_fingerprint,
        **{f"{head}_labels": int(lines[head].nunique()) for head in HEADS},
    }
    mlflow.set_experiment(experiment)
    with mlflow.start_run() as run:
        mlflow.set_tags({"training_data": training_data, "mlflow.note.content": note})
        mlflow.log_params(params)
        mlflow.log_metrics({f"{prefix}{key}": value for key, value in figures.items()})
        mlflow.log_metric(f"{training_data}_data_accuracy", score)
        number = registry.register(name, model, twin)
    registry.set_alias(name, number, alias)
    return {
        "model": name,
        "version": number,
        "alias": alias,
        "reason": reason,
        "champion_before": before,
        "run_id": run.info.run_id,
        "rows": len(lines),
        "held_out_rows": int(out.sum()),
        "training_data": training_data,
        "note": note,
        f"{training_data}_data_accuracy": round(score, 4),
        "metrics": {f"{prefix}{key}": round(value, 4) for key, value in figures.items()},
        "rules_fingerprint": model.rules_fingerprint,
        "seconds": round(time.perf_counter() - started, 1),
    }


def _verdict(registry, name: str, rows: pd.DataFrame, score: float) -> tuple[str, str, str | None]:
    """Alias of the new version, why, and the champion before it."""
    present = registry.champion_version(name)
    if present is None:
        return registry.CHAMPION, "there was no champion", None
    try:
        theirs = mean_accuracy(held_out_figures(registry.twin_of(name, present), rows))
    except registry.ChampionUnreadable as error:
        return registry.CHALLENGER, f"the champion cannot be measured: {error}", present
    text = f"mean accuracy on the same held-out rows {score:.4f}, version {present} {theirs:.4f}"
    if score >= theirs:
        return registry.CHAMPION, text, present
    return registry.CHALLENGER, text, present


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="train_nature_of_payment", description=__doc__)
    parser.add_argument("--catalog", default="main")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--floor", type=float, default=DEFAULT_FLOOR)
    parser.add_argument("--training-data", default="generated", help="what the rows are called")
    parser.add_argument("--experiment", default=EXPERIMENT)
    args = parser.parse_args(argv)
    from lakehouse_jobs.lakehouse import Lakehouse

    lines = read_lines(Lakehouse.from_environment(args.catalog))
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        report = train(
            lines,
            f"{args.catalog}.{MODEL}",
            seed=args.seed,
            floor=args.floor,
            training_data=args.training_data,
            experiment=args.experiment,
        )
    except TrainingDataError as error:
        print(f"ml.train: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
