"""References of the evaluation: the majority label, and exact lookup with an n-gram SVM.

The lookup gives a known cleaned vendor string its commonest label; other strings go to a linear SVM
on character n-grams. Confidences only rank: known vendors by purity of their history, before
unknown ones by margin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC


@dataclass(frozen=True)
class Guess:
    """Labels (n,) and confidences (n,) of n rows. calibrated: confidences are probabilities."""

    labels: np.ndarray
    confidences: np.ndarray
    calibrated: bool


def majority(train: pd.DataFrame, test: pd.DataFrame) -> Guess:
    """The commonest label of `train` for every row, with its share as confidence."""
    shares = train.label.value_counts(normalize=True)
    labels = np.full(len(test), shares.index[0], dtype=object)
    return Guess(labels, np.full(len(test), shares.iloc[0]), calibrated=True)


def lookup_svm(train: pd.DataFrame, test: pd.DataFrame) -> Guess:
    """Lookup of `cleaned`, SVM for strings not met. Frames as ml.spend_data.read_cards."""
    pairs = train.groupby(["cleaned", "label"]).size().rename("n").reset_index()
    vectorizer = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), min_df=3, max_features=40_000, sublinear_tf=True
    )
    model = LinearSVC(C=0.5, tol=1e-2, max_iter=200, random_state=0)
    model.fit(vectorizer.fit_transform(pairs.cleaned), pairs.label, np.log1p(pairs.n))
    # value_counts keeps the first label met on a tie, as the history was written.
    history = train.groupby("cleaned").label.agg(
        lambda labels: tuple(labels.value_counts(normalize=True).head(1).items())[0]
    )
    known = history.to_dict()
    strings = test.cleaned.unique()
    unknown = [string for string in strings if string not in known]
    answers = {
        string: (known[string][0], 2 + known[string][1]) for string in strings if string in known
    }
    if unknown:
        margins = model.decision_function(vectorizer.transform(unknown))
        if margins.ndim == 1:
            margins = np.stack([-margins, margins], 1)
        top = np.sort(margins, 1)
        found = model.classes_[margins.argmax(1)]
        gaps = (top[:, -1] - top[:, -2]).tolist()
        # A margin never outranks a history.
        answers |= {u: (f, min(g, 1.9)) for u, f, g in zip(unknown, found, gaps, strict=True)}
    labels, confidences = zip(*(answers[string] for string in test.cleaned), strict=True)
    return Guess(np.array(labels, dtype=object), np.array(confidences), calibrated=False)
