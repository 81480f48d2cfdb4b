"""What was booked before for the same vendor, with the text's opinion as the prior.

Dirichlet smoothing from the coarse grain to the fine one: at each grain the label probabilities
are (counts + strength * probabilities of the grain above) / (total + strength), and the grain above
the coarsest is the text model. A vendor never met keeps the text's opinion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .text_scores import Document


@dataclass(frozen=True)
class MemorySettings:
    """Chosen on years before the test year.

    strength: lines of history that the coarser grain is worth. half_life: years after which a line
    counts half (only where times are known); short, since a vendor whose label changed rarely
    changes back. mixed: extra strength of the text per line that is not of the vendor's main label,
    where a description can tell such lines apart.
    """

    strength: float = 2.0
    half_life: float = 0.125
    mixed: float = 4.0


def grains(document: Document) -> list[tuple[str, ...]]:
    """Memory keys of a document, coarse to fine; the last only where there is a description."""
    keys: list[tuple[str, ...]] = [
        ("trade", document.trade),
        ("upper", document.upper),
        ("spelling", document.spelling),
    ]
    if document.description:
        keys.append(("line", document.trade, document.description))
    return keys


class VendorMemory:
    """Label counts per grain. Shapes: n documents, k labels."""

    def __init__(self, settings: MemorySettings | None = None) -> None:
        self.settings = settings or MemorySettings()

    def fit(
        self,
        documents: list[Document],
        rows: np.ndarray,
        codes: np.ndarray,
        labels: int,
        years: np.ndarray | None = None,
    ) -> VendorMemory:
        """Counts lines: `rows`, `codes`, `years` (lines,) are each line's document, label and time.

        A line's age is taken from the newest line under the same key, so that a vendor that
        changed its label is followed and one that was away is not forgotten.
        """
        self._counts: dict[tuple[str, ...], np.ndarray] = {}
        keys = [grains(document) for document in documents]
        for grain in range(max(len(own) for own in keys)):
            numbers: dict[tuple[str, ...], int] = {}
            of_document = np.array(
                [numbers.setdefault(k[grain], len(numbers)) if grain < len(k) else -1 for k in keys]
            )
            of_line = of_document[rows]
            kept = of_line >= 0
            counts = np.zeros((len(numbers), labels))
            weights = np.ones(len(rows))
            if years is not None:
                newest = np.full(len(numbers), -np.inf)
                np.maximum.at(newest, of_line[kept], years[kept])
                weights[kept] = 0.5 ** (
                    (newest[of_line[kept]] - years[kept]) / self.settings.half_life
                )
            np.add.at(counts, (of_line[kept], codes[kept]), weights[kept])
            self._counts.update(zip(numbers, counts, strict=True))
        return self

    def blend(self, document: Document, prior: np.ndarray) -> np.ndarray:
        """Probabilities (k,) of a document whose text alone says `prior` (k,)."""
        probabilities = prior
        for key in grains(document):
            counts = self._counts.get(key)
            if counts is None:
                continue
            strength = self.settings.strength
            if document.description and key[0] != "line":
                strength += self.settings.mixed * (counts.sum() - counts.max())
            probabilities = (counts + strength * probabilities) / (counts.sum() + strength)
        return probabilities

    def knows(self, document: Document) -> bool:
        """Whether the vendor's trade name was met in training."""
        return bool(document.trade) and ("trade", document.trade) in self._counts
