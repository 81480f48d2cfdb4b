"""(vendor, description) -> label with a calibrated confidence, or no label below a floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .text_scores import Document, ScoreWeights, TextScores
from .vendor_memory import MemorySettings, VendorMemory
from .vendor_text import description_text, spelling, trade_name, upper_text

DEFAULT_FLOOR = 0.5
_TEMPERATURES = np.geomspace(0.25, 8.0, 41)


@dataclass(frozen=True)
class Answer:
    """One prediction. value None: the model cannot say; confidence 0..1 is of its best label."""

    value: str | None
    confidence: float


def document_of(vendor: object, description: object = None) -> Document:
    """The grains of one line's text; None, NaN and very long texts are accepted."""
    spelled = spelling(vendor)
    upper = upper_text(spelled)
    return Document(spelled, upper, trade_name(upper), description_text(description))


class TextClassifier:
    """Vendor memory over a text model whose probabilities are calibrated on held-out vendors.

    Deterministic for a seed. `folds`: vendor folds for the calibration, which is left out where a
    `temperature` is given. Shapes: n lines, k labels.
    """

    def __init__(
        self,
        floor: float = DEFAULT_FLOOR,
        folds: int = 3,
        seed: int = 0,
        weights: ScoreWeights | None = None,
        memory: MemorySettings | None = None,
        temperature: float | None = None,
    ) -> None:
        if not 0 <= floor <= 1:
            raise ValueError("floor must be between 0 and 1")
        self.floor = floor
        self.folds = folds
        self.seed = seed
        self.weights = weights or ScoreWeights()
        self.memory_settings = memory or MemorySettings()
        self.temperature = temperature

    def fit(
        self,
        vendors: Sequence,
        labels: Sequence[str],
        descriptions: Sequence | None = None,
        years: Sequence[float] | None = None,
    ) -> TextClassifier:
        """Learns from n lines. `years`: time of each line in years, for the memory's half-life.

        Raises ValueError when there is no line or a label is missing.
        """
        labels = np.asarray(labels, dtype=object)
        if not len(labels):
            raise ValueError("no labelled line to learn from")
        if any(label is None or label != label for label in labels):
            raise ValueError("every line needs a label")
        self.classes_, codes = np.unique(labels.astype(str), return_inverse=True)
        documents, rows = _distinct(vendors, descriptions)
        times = None if years is None else np.asarray(years, dtype=float)
        counts = np.zeros((len(documents), len(self.classes_)))
        np.add.at(counts, (rows, codes), 1.0)
        self.temperature_ = self.temperature or self._calibrate(documents, counts)
        # The rule of succession: right on n vendors is no proof beyond 1 - 1 / (n + 2).
        self.doubt_ = 1.0 / (len({d.trade for d in documents}) + 2)
        self._text = TextScores(self.weights, self.seed).fit(documents, counts)
        self._memory = VendorMemory(self.memory_settings)
        self._memory.fit(documents, rows, codes, len(self.classes_), times)
        return self

    def _calibrate(self, documents: list[Document], counts: np.ndarray) -> float:
        """The factor on text scores with the least log loss on vendors the models have not seen."""
        trades, groups = np.unique([d.trade for d in documents], return_inverse=True)
        folds = min(self.folds, len(trades))
        if folds < 2:
            return 1.0
        # Equal parts of the shuffled vendors, so that no fold is empty.
        order = np.random.default_rng(self.seed).permutation(len(trades))
        fold = (order % folds)[groups]
        held_scores, held_weights = [], []
        for i in range(folds):
            out = np.flatnonzero(fold == i)
            kept = np.flatnonzero(fold != i)
            model = TextScores(self.weights, self.seed)
            model.fit([documents[j] for j in kept], counts[kept])
            held_scores.append(model.scores([documents[j] for j in out]))
            total = counts[out].sum(1, keepdims=True)
            held_weights.append(counts[out] / total * np.log1p(total))
        scores, weights = np.concatenate(held_scores), np.concatenate(held_weights)
        losses = [-(weights * log_softmax(t * scores)).sum() for t in _TEMPERATURES]
        return float(_TEMPERATURES[int(np.argmin(losses))])

    def predict_proba(self, vendors: Sequence, descriptions: Sequence | None = None) -> np.ndarray:
        """Probabilities (n, k) over `classes_`."""
        documents, rows = _distinct(vendors, descriptions)
        if not documents:
            return np.zeros((0, len(self.classes_)))
        text = np.exp(log_softmax(self.temperature_ * self._text.scores(documents)))
        text = (1 - self.doubt_) * text + self.doubt_ / len(self.classes_)
        blended = [self._memory.blend(d, p) for d, p in zip(documents, text, strict=True)]
        return np.asarray(blended)[rows]

    def predict(self, vendors: Sequence, descriptions: Sequence | None = None) -> np.ndarray:
        """The likeliest label of each line, floor or not (n,)."""
        return self.classes_[self.predict_proba(vendors, descriptions).argmax(1)]

    def answers(self, vendors: Sequence, descriptions: Sequence | None = None) -> list[Answer]:
        """One `Answer` for each line; a line without any letter gets none, with confidence 0."""
        probabilities = self.predict_proba(vendors, descriptions)
        out = []
        for i, row in enumerate(probabilities):
            document = document_of(vendors[i], None if descriptions is None else descriptions[i])
            if not document.upper and not document.description:
                out.append(Answer(None, 0.0))
                continue
            best = int(row.argmax())
            confidence = float(min(1.0, row[best]))
            value = str(self.classes_[best]) if confidence >= self.floor else None
            out.append(Answer(value, confidence))
        return out

    def knows(self, vendors: Sequence) -> np.ndarray:
        """Whether each vendor's trade name was in training (n,) bool."""
        return np.array([self._memory.knows(document_of(v)) for v in vendors], dtype=bool)


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Logarithms of the softmax of each row (n, k)."""
    shifted = scores - scores.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def _distinct(
    vendors: Sequence, descriptions: Sequence | None
) -> tuple[list[Document], np.ndarray]:
    """Distinct documents in order of first appearance, and the document's number of each line."""
    if descriptions is None:
        descriptions = [None] * len(vendors)
    if len(vendors) != len(descriptions):
        raise ValueError("vendors and descriptions differ in number")
    numbers: dict[Document, int] = {}
    cache: dict[tuple, Document] = {}
    rows = np.empty(len(vendors), dtype=int)
    for i, pair in enumerate(zip(vendors, descriptions, strict=True)):
        if pair not in cache:
            cache[pair] = document_of(*pair)
        rows[i] = numbers.setdefault(cache[pair], len(numbers))
    return list(numbers), rows
