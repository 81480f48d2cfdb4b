"""Scores of each label from text alone, for vendors that memory does not know.

Several linear models over different n-grams are added with fixed weights. Weights fitted on
held-out vendors (stacking) were tried and lost macro-F1 against the plain sum: a few large vendors
decide such a fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.naive_bayes import ComplementNB
from sklearn.svm import LinearSVC

from .vendor_text import beginnings

LOG_FLOOR = -12.0
MISSING_MARGIN = -2.0


@dataclass(frozen=True)
class Document:
    """One distinct text: grains of the vendor's name and the description's words."""

    spelling: str
    upper: str
    trade: str
    description: str = ""


@dataclass(frozen=True)
class ScoreWeights:
    """Weight of each model in the sum; chosen on years before the test year."""

    words: float = 1.0
    trade: float = 1.0
    short: float = 0.5
    bayes: float = 0.2
    beginnings: float = 0.02


class _Vectors:
    """TF-IDF blocks of one kind of text, side by side."""

    def __init__(self, *blocks: dict) -> None:
        self._vectorizers = [TfidfVectorizer(sublinear_tf=True, **block) for block in blocks]
        self._fitted: list[TfidfVectorizer] = []

    def fit(self, texts: list[str]) -> sparse.csr_matrix:
        blocks = []
        for vectorizer in self._vectorizers:
            try:
                blocks.append(vectorizer.fit_transform(texts))
            except ValueError:
                continue  # no n-gram of this kind occurs often enough: the block stays out
            self._fitted.append(vectorizer)
        return self._stack(blocks, len(texts))

    def transform(self, texts: list[str]) -> sparse.csr_matrix:
        return self._stack([v.transform(texts) for v in self._fitted], len(texts))

    @staticmethod
    def _stack(blocks: list, rows: int) -> sparse.csr_matrix:
        empty = sparse.csr_matrix((rows, 1))
        return sparse.hstack([*blocks, empty]).tocsr()


_WORD = {"analyzer": "word", "token_pattern": r"\S+", "ngram_range": (1, 2)}
_CHARS = {"analyzer": "char_wb", "min_df": 2, "max_features": 60_000}


class TextScores:
    """Fits the models on documents with label counts, and adds their scores.

    Shapes: n documents, k labels; `counts` float (n, k); `scores` float (n, k), no scale.
    """

    def __init__(self, weights: ScoreWeights | None = None, seed: int = 0) -> None:
        self.weights = weights or ScoreWeights()
        self.seed = seed

    def fit(self, documents: list[Document], counts: np.ndarray) -> TextScores:
        self.labels = counts.shape[1]
        rows, labels = np.nonzero(counts)
        # A vendor met 1,000 times says little more about other vendors than one met 10 times.
        weight = np.log1p(counts[rows, labels])
        self._prior = np.log1p(counts).sum(0) + 0.5
        self._prior /= self._prior.sum()
        self._words, self._trade, self._short, self._about = (
            _Vectors({**_CHARS, "ngram_range": (2, 5)}, _WORD),
            _Vectors({**_CHARS, "analyzer": "char", "ngram_range": (3, 6)}),
            _Vectors({**_CHARS, "ngram_range": (2, 4), "min_df": 3, "max_features": 40_000}),
            _Vectors(_WORD, {**_CHARS, "ngram_range": (3, 5)}),
        )
        about = self._about.fit([d.description for d in documents])
        vendor_words = self._words.fit([d.upper for d in documents])
        blocks = {
            "words": sparse.hstack([vendor_words, about]).tocsr(),
            "trade": sparse.hstack([self._trade.fit(_padded(documents)), about]).tocsr(),
            "short": self._short.fit([d.upper for d in documents]),
        }
        self._models: dict[str, LinearSVC] = {}
        for name, block in blocks.items():
            model = LinearSVC(C=0.5, tol=1e-2, max_iter=300, random_state=self.seed)
            if len(set(labels)) > 1:
                self._models[name] = model.fit(block[rows], labels, sample_weight=weight)
        self._bayes = ComplementNB(alpha=0.3).fit(blocks["words"][rows], labels, weight)
        self._fit_beginnings(documents, counts)
        return self

    def _fit_beginnings(self, documents: list[Document], counts: np.ndarray) -> None:
        # Here large siblings count more: ASDA STORE says much about ASDA SUPERSTORE.
        softened = counts**0.6
        self._beginnings: list[dict[str, np.ndarray]] = [{}, {}, {}, {}]
        for document, row in zip(documents, softened, strict=True):
            for table, part in zip(self._beginnings, beginnings(document.trade), strict=True):
                table[part] = table[part] + row if part in table else row

    def scores(self, documents: list[Document]) -> np.ndarray:
        """Label scores (n, k); a higher score is likelier; not yet probabilities."""
        about = self._about.transform([d.description for d in documents])
        uppers = [d.upper for d in documents]
        words = sparse.hstack([self._words.transform(uppers), about]).tocsr()
        trade = sparse.hstack([self._trade.transform(_padded(documents)), about]).tocsr()
        blocks = {"words": words, "trade": trade, "short": self._short.transform(uppers)}
        total = np.zeros((len(documents), self.labels))
        for name, model in self._models.items():
            margins = model.decision_function(blocks[name])
            if margins.ndim == 1:
                margins = np.stack([-margins, margins], 1)
            total += getattr(self.weights, name) * self._spread(model, margins, MISSING_MARGIN)
        bayes = np.maximum(self._bayes.predict_log_proba(words), LOG_FLOOR)
        total += self.weights.bayes * self._spread(self._bayes, bayes, LOG_FLOOR)
        return total + self.weights.beginnings * self._beginning_scores(documents)

    def _spread(self, model, values: np.ndarray, missing: float) -> np.ndarray:
        """Values of the model's own labels laid out over all k labels."""
        out = np.full((len(values), self.labels), missing)
        out[:, model.classes_] = values
        return out

    def _beginning_scores(self, documents: list[Document]) -> np.ndarray:
        total = np.zeros((len(documents), self.labels))
        for i, document in enumerate(documents):
            for table, part in zip(self._beginnings, beginnings(document.trade), strict=True):
                seen = table.get(part, 0.0) + self._prior
                total[i] += np.log(seen / seen.sum())
        return total


def _padded(documents: list[Document]) -> list[str]:
    """Trade names with a space at both ends, so that n-grams see where a name begins."""
    return [f" {document.trade} " for document in documents]
