"""Labelled card payments for the evaluation, and how they are split."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .vendor_text import vendor_key

FILE = "card_merchant_category.csv.gz"
_PERIOD = re.compile(r"^(\d{4})(?:-(\d{2}))?")
_NOT_NAME = re.compile(r"[^A-Z&*. ]")
_SPACE = re.compile(r"\s+")


class DataError(ValueError):
    """The data folder does not hold what the evaluation needs; the text says what."""


@dataclass(frozen=True)
class Split:
    """Row numbers of a frame."""

    name: str
    train: np.ndarray
    test: np.ndarray


def read_cards(folder: Path, body: str, target: str) -> pd.DataFrame:
    """Rows of one body that have a label.

    Columns: supplier (as written), cleaned (the usual cleaning: upper case, letters only), vendor
    (ml.vendor_text.vendor_key), label, year (int), time (years, float). Raises DataError.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise DataError(f"no file {FILE} in {folder}")
    frame = pd.read_csv(path, dtype=str)
    missing = {"body", "period", "supplier", target} - set(frame.columns)
    if missing:
        raise DataError(f"{FILE} lacks the columns {sorted(missing)}")
    kept = frame[(frame.body == body) & frame[target].notna() & frame.supplier.notna()]
    if kept.empty:
        raise DataError(f"{FILE} has no labelled row of the body {body!r}")
    matches = [_PERIOD.match(str(period)) for period in kept.period]
    if not all(matches):
        raise DataError(f"{FILE}: a period does not begin with a year (YYYY or YYYY-MM)")
    names = kept.supplier.unique()
    years = np.array([int(match[1]) for match in matches])
    months = np.array([int(match[2] or 1) for match in matches])
    return pd.DataFrame(
        {
            "supplier": kept.supplier.to_numpy(),
            "cleaned": kept.supplier.map({name: cleaned(name) for name in names}).to_numpy(),
            "vendor": kept.supplier.map({name: vendor_key(name) for name in names}).to_numpy(),
            "label": kept[target].to_numpy(),
            "year": years,
            "time": years + (months - 1) / 12,
        }
    )


def cleaned(supplier: str) -> str:
    """Upper case, letters and '&', '*', '.' only, single spaces: the reference's vendor string."""
    return _SPACE.sub(" ", _NOT_NAME.sub(" ", supplier.upper())).strip()


def time_split(cards: pd.DataFrame, year: int) -> Split:
    """Trains before `year`, tests from it on. Raises DataError when one side is empty."""
    before = (cards.year < year).to_numpy()
    if before.all() or not before.any():
        raise DataError(f"the split year {year} leaves no row on one side")
    return Split(f"time, test from {year}", np.flatnonzero(before), np.flatnonzero(~before))


def group_splits(groups: pd.Series, folds: int, seed: int) -> Iterator[Split]:
    """K folds of whole groups, every row tested once. Groups are shuffled by `seed`."""
    names, numbers = np.unique(groups.to_numpy().astype(str), return_inverse=True)
    if len(names) < folds:
        raise DataError(f"{len(names)} vendors cannot be split into {folds} folds")
    order = np.random.default_rng(seed).permutation(len(names))
    fold = (order % folds)[numbers]
    for i in range(folds):
        yield Split(f"seed {seed}, fold {i}", np.flatnonzero(fold != i), np.flatnonzero(fold == i))


def label_ceiling(cards: pd.DataFrame, column: str) -> float:
    """Share of rows right if each value of `column` got its commonest label, labels known."""
    best = cards.groupby(column).label.agg(lambda labels: labels.value_counts().iloc[0])
    return float(best.sum() / len(cards))
