"""Scores of predicted labels: accuracy with what belongs beside it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from .reference import Guess

COVERAGES = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0)
_BINS = 15


def score(test: pd.DataFrame, guess: Guess, seen: np.ndarray) -> dict:
    """All figures of one prediction. `seen` (n,) bool: the cleaned string was in training.

    Shares are 0..1. None where there is no such row, or the confidence is not a probability.
    """
    right = guess.labels == test.label.to_numpy()
    return {
        "accuracy": float(right.mean()),
        "macro_f1": float(f1_score(test.label, guess.labels, average="macro", zero_division=0)),
        "vendor_weighted_accuracy": float(
            pd.Series(right).groupby(test.vendor.to_numpy()).mean().mean()
        ),
        "accuracy_seen": _mean(right[seen]),
        "accuracy_unseen": _mean(right[~seen]),
        "coverage": coverage_curve(guess.confidences, right),
        "coverage_unseen": coverage_curve(guess.confidences[~seen], right[~seen]),
        "ece": calibration_error(guess.confidences, right) if guess.calibrated else None,
    }


def coverage_curve(confidences: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """Accuracy among the most confident share of rows, for each share of COVERAGES."""
    if not len(right):
        return {}
    order = np.argsort(-confidences, kind="stable")
    running = np.cumsum(right[order]) / np.arange(1, len(right) + 1)
    places = {q: max(1, int(q * len(right))) - 1 for q in COVERAGES}
    return {f"{q:g}": float(running[place]) for q, place in places.items()}


def calibration_error(confidences: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error over 15 bins of equal width."""
    bins = np.minimum((confidences * _BINS).astype(int), _BINS - 1)
    gaps = 0.0
    for i in np.unique(bins):
        inside = bins == i
        gaps += inside.mean() * abs(confidences[inside].mean() - right[inside].mean())
    return float(gaps)


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
