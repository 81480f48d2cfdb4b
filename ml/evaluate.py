"""python -m ml.evaluate category --data DIR --json OUT: the served pipeline on labelled payments.

Trains and scores ml.text_classifier.TextClassifier, with the settings it is served with, beside
the majority label and lookup + SVM, on the same rows in the same run: once split by time, and in
folds of whole vendors. Nothing is chosen on the rows that are tested: the settings in ml/ were
chosen on 2017, 2018 and 2019 as test years of data that ended there (--last-year).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from .evaluate_report import table
from .reference import Guess, lookup_svm, majority
from .scoring import score
from .spend_data import (
    DataError,
    Split,
    group_splits,
    label_ceiling,
    read_cards,
    time_split,
)
from .text_classifier import TextClassifier

METHODS = ("majority", "lookup_svm", "ours")
AVERAGED = ("accuracy", "macro_f1", "vendor_weighted_accuracy", "ece", "seconds")


def ours(train: pd.DataFrame, test: pd.DataFrame) -> Guess:
    """TextClassifier on supplier text and time alone; no amount, no expense type."""
    model = TextClassifier().fit(
        train.supplier.to_numpy(), train.label.to_numpy(), years=train.time.to_numpy()
    )
    probabilities = model.predict_proba(test.supplier.to_numpy())
    return Guess(model.classes_[probabilities.argmax(1)], probabilities.max(1), calibrated=True)


PREDICTORS = {"majority": majority, "lookup_svm": lookup_svm, "ours": ours}


def guesses(cards: pd.DataFrame, split: Split) -> dict[str, tuple[Guess, float]]:
    """Each method's guess for the test rows, and its seconds for fit and prediction."""
    train, test = cards.iloc[split.train], cards.iloc[split.test]
    out = {}
    for name in METHODS:
        started = time.perf_counter()
        out[name] = PREDICTORS[name](train, test), time.perf_counter() - started
    return out


def evaluate_time(cards: pd.DataFrame, year: int) -> dict:
    split = time_split(cards, year)
    train, test = cards.iloc[split.train], cards.iloc[split.test]
    seen = test.cleaned.isin(set(train.cleaned)).to_numpy()
    methods = {}
    for name, (guess, seconds) in guesses(cards, split).items():
        methods[name] = score(test, guess, seen) | {"seconds": seconds}
    return {
        "split": split.name,
        "train_rows": len(train),
        "test_rows": len(test),
        "seen_share": float(seen.mean()),
        "methods": methods,
    }


def evaluate_groups(
    cards: pd.DataFrame, group_by: str, folds: int, seeds: Sequence[int], jobs: int
) -> dict:
    """Every row is tested once for each seed; figures are of all rows of a seed together."""
    groups = cards[group_by]
    splits = [(seed, split) for seed in seeds for split in group_splits(groups, folds, seed)]
    done = joblib.Parallel(n_jobs=jobs)(joblib.delayed(guesses)(cards, s) for _, s in splits)
    per_seed: dict[str, list[dict]] = {name: [] for name in METHODS}
    for seed in seeds:
        tested = zip(splits, done, strict=True)
        parts = [(split, out) for (own, split), out in tested if own == seed]
        test = cards.iloc[np.concatenate([split.test for split, _ in parts])]
        for name in METHODS:
            guess = Guess(
                np.concatenate([out[name][0].labels for _, out in parts]),
                np.concatenate([out[name][0].confidences for _, out in parts]),
                all(out[name][0].calibrated for _, out in parts),
            )
            figures = score(test, guess, np.zeros(len(test), dtype=bool))
            seconds = sum(out[name][1] for _, out in parts)
            per_seed[name].append(figures | {"seed": seed, "seconds": seconds})
    return {
        "split": f"{folds} folds of whole vendors by {group_by}, seeds {list(seeds)}",
        "groups": int(cards[group_by].nunique()),
        "test_rows": len(cards),
        "methods": {name: _average(rows) | {"seeds": rows} for name, rows in per_seed.items()},
    }


def _average(rows: list[dict]) -> dict:
    out = {}
    for key in AVERAGED:
        values = [row[key] for row in rows]
        known = None not in values
        out[key] = float(np.mean(values)) if known else None
        out[f"{key}_sd"] = float(np.std(values)) if known else None
    curve = rows[0]["coverage"]
    out["coverage"] = {q: float(np.mean([row["coverage"][q] for row in rows])) for q in curve}
    return out


def evaluate(args: argparse.Namespace) -> dict:
    """The whole report. Raises DataError for data that cannot be evaluated."""
    started = time.perf_counter()
    cards = read_cards(args.data, args.body, args.target)
    if args.last_year is not None:
        cards = cards[cards.year <= args.last_year].reset_index(drop=True)
        if cards.empty:
            raise DataError(f"no row up to {args.last_year}")
    year = args.split_year if args.split_year is not None else int(cards.year.max())
    report = {
        "task": "category",
        "body": args.body,
        "target": args.target,
        "rows": len(cards),
        "years": [int(cards.year.min()), int(cards.year.max())],
        "labels": int(cards.label.nunique()),
        "label_ceiling": {
            "same cleaned supplier string": label_ceiling(cards, "cleaned"),
            "same vendor": label_ceiling(cards, "vendor"),
        },
        "inputs": "supplier text and period of training rows; no amount, no expense type",
        "time": evaluate_time(cards, year),
    }
    if args.seeds:
        seeds = range(args.seeds)
        report["groups"] = evaluate_groups(cards, args.group_by, args.folds, seeds, args.jobs)
    report["seconds"] = time.perf_counter() - started
    return report


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ml.evaluate", description=__doc__)
    parser.add_argument("task", choices=["category"])
    parser.add_argument("--data", type=Path, required=True, help="folder with the payments file")
    parser.add_argument("--json", type=Path, help="where the report is written")
    parser.add_argument("--body", default="calderdale")
    parser.add_argument("--target", default="merchant_category_group")
    parser.add_argument("--split-year", type=int, help="first test year; default the last year")
    parser.add_argument("--last-year", type=int, help="leave out later rows, to choose settings")
    parser.add_argument("--group-by", choices=["vendor", "cleaned"], default="vendor")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=5, help="0: no vendor folds")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    args = parser.parse_args(argv)
    if args.folds < 2 or args.seeds < 0 or args.jobs < 1:
        parser.error("--folds from 2, --seeds from 0, --jobs from 1")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    try:
        report = evaluate(args)
    except DataError as error:
        print(f"ml.evaluate: {error}", file=sys.stderr)
        return 2
    print(table(report))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
