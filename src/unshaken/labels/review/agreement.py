"""How far the readers of a review agree: of each two, of all, and how careful each is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from unshaken.labels.review.protocol import ReviewedLabel
from unshaken.measure.statistics.agreement import NONE, alpha_figure, kappa_figure
from unshaken.measure.statistics.columns import Indices
from unshaken.measure.statistics.dawid_skene import dawid_skene
from unshaken.measure.statistics.figure import Figure
from unshaken.measure.statistics.intervals import share


@dataclass(frozen=True, slots=True)
class Pair:
    """The agreement of two readers.

    Args:
        readers: names.
        same: share of the items that both answered on which their answers are equal.
        kappa: Cohen's kappa; None where all answers are the same.
    """

    readers: tuple[str, str]
    same: Figure
    kappa: Figure | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement of the readers of a review, by each one's first answer to each item.

    Args:
        items: that have two answers or more.
        alpha: Krippendorff's alpha of all readers; None where no two answered one item, or all answers are the same.
        pairs: of readers who share an item.
        accuracy: each reader's share of right answers by Dawid and Skene's estimate; empty with fewer than two readers.
    """

    items: int
    alpha: Figure | None
    pairs: tuple[Pair, ...]
    accuracy: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "items": self.items,
            "alpha": None if self.alpha is None else self.alpha.to_json(),
            "pairs": [
                {"readers": list(p.readers), "same": p.same.to_json(), "kappa": p.kappa and p.kappa.to_json()}
                for p in self.pairs
            ],
            "accuracy": self.accuracy,
        }


def agreement(labels: Sequence[ReviewedLabel]) -> Agreement:
    """Compute the agreement of the readers. Answers are categories: a set of classes, not-in-classes, or unclear.

    Args:
        labels: outcomes of a review.
    """
    readers, answers, categories = answer_table(labels)
    pairs = []
    for one, other in combinations(range(len(readers)), 2):
        both = (answers[[one, other]] != NONE).all(0)
        if both.any():
            same = share(int((answers[one, both] == answers[other, both]).sum()), int(both.sum()))
            pairs.append(Pair((readers[one], readers[other]), same, kappa_figure(answers[one], answers[other])))
    items = int(((answers != NONE).sum(0) >= 2).sum())
    accuracy = dict(zip(readers, dawid_skene(answers, categories).accuracy.tolist(), strict=True)) if items else {}
    return Agreement(items, alpha_figure(answers) if items else None, tuple(pairs), accuracy)


def answer_table(labels: Sequence[ReviewedLabel]) -> tuple[list[str], Indices, int]:
    """First answers as numbers.

    Args:
        labels: outcomes of a review.

    Returns:
        Names of the readers; the category of each answer, -1 where there is none, int `[R, N]`; and how many categories
        there are.
    """
    readers = sorted({reader for one in labels for reader in one.independent})
    row = {reader: i for i, reader in enumerate(readers)}
    numbers: dict[str, int] = {}
    answers = np.full((len(readers), len(labels)), NONE)
    for column, one in enumerate(labels):
        for reader, answer in one.independent.items():
            answers[row[reader], column] = numbers.setdefault(str(answer), len(numbers))
    return readers, answers, len(numbers)
