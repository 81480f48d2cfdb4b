"""The two labels that the served model gives, and how they are learnt from Silver rows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from .text_classifier import DEFAULT_FLOOR, Answer, TextClassifier
from .vendor_text import vendor_key

HEADS = ("nature_of_payment", "expense_category")
COLUMNS = ("vendor_name", "description", "document_date", *HEADS)
_HELD_OUT = 5  # one vendor of five


class TrainingDataError(ValueError):
    """The rows cannot be learnt from; the text says why."""


@dataclass(frozen=True)
class Heads:
    """One classifier for each name of HEADS."""

    classifiers: dict[str, TextClassifier]

    def answers(self, vendors: list, descriptions: list) -> dict[str, list[Answer]]:
        """For each head one `Answer` for each of the n lines."""
        return {
            name: classifier.answers(vendors, descriptions)
            for name, classifier in self.classifiers.items()
        }


def fit_heads(
    lines: pd.DataFrame,
    seed: int = 0,
    floor: float = DEFAULT_FLOOR,
    calibrated: Heads | None = None,
) -> Heads:
    """Learns each head from the rows that have its label. `lines`: COLUMNS, one row a line.

    `calibrated`: heads of nearly the same rows whose calibration is taken over, to save its time.
    Raises TrainingDataError when a head has fewer than two labels.
    """
    classifiers = {}
    for name in HEADS:
        rows = lines[lines[name].notna()]
        if rows[name].nunique() < 2:
            raise TrainingDataError(f"{name}: rows with at least two different labels are needed")
        known = calibrated.classifiers[name].temperature_ if calibrated else None
        classifiers[name] = TextClassifier(floor=floor, seed=seed, temperature=known).fit(
            rows.vendor_name.to_numpy(),
            rows[name].to_numpy(),
            rows.description.to_numpy(),
            years_of(rows.document_date),
        )
    return Heads(classifiers)


def held_out(lines: pd.DataFrame) -> np.ndarray:
    """Which rows (n,) bool are of held-out vendors.

    By a hash of the vendor's key, so that a vendor stays on its side in every later training and
    two versions can be compared on rows that neither has seen.
    """
    keys = {name: vendor_key(name) for name in lines.vendor_name.unique()}
    sides = {
        key: int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % _HELD_OUT == 0
        for key in set(keys.values())
    }
    return np.array([sides[keys[name]] for name in lines.vendor_name], dtype=bool)


def years_of(dates: pd.Series) -> np.ndarray:
    """Dates as years with a fraction (n,); a missing date counts as the oldest one."""
    times = pd.to_datetime(dates)
    years = times.dt.year + (times.dt.dayofyear - 1) / 366
    return years.fillna(years.min()).fillna(0.0).to_numpy(dtype=float)


def held_out_figures(heads: Heads, lines: pd.DataFrame) -> dict[str, float]:
    """accuracy, macro_f1, coverage and accuracy_answered of each head, named <head>_<figure>.

    `lines` must be of vendors that `heads` has not seen. A head without a labelled row is absent.
    """
    figures = {}
    for name, classifier in heads.classifiers.items():
        rows = lines[lines[name].notna()]
        if rows.empty:
            continue
        truth = rows[name].to_numpy(dtype=object)
        vendors, about = rows.vendor_name.to_numpy(), rows.description.to_numpy()
        labels = classifier.predict(vendors, about)
        answers = classifier.answers(vendors, about)
        answered = np.array([answer.value is not None for answer in answers])
        right = labels == truth
        figures[f"{name}_accuracy"] = float(right.mean())
        figures[f"{name}_macro_f1"] = float(
            f1_score(truth.astype(str), labels.astype(str), average="macro", zero_division=0)
        )
        figures[f"{name}_coverage"] = float(answered.mean())
        if answered.any():
            figures[f"{name}_accuracy_answered"] = float(right[answered].mean())
    return figures


def mean_accuracy(figures: dict[str, float]) -> float:
    """Mean of the heads' accuracies: what two versions are compared by."""
    values = [figures[f"{name}_accuracy"] for name in HEADS if f"{name}_accuracy" in figures]
    if not values:
        raise TrainingDataError("no labelled row of a held-out vendor to compare versions on")
    return float(np.mean(values))
