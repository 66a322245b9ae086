"""`agreement_of`: how far the readers of a review agree beyond chance, by their independent answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from unshaken.labels.review.verdict import Answer
from unshaken.measure.statistics.agreement import NONE, alpha_figure, dawid_skene, kappa_figure
from unshaken.measure.statistics.intervals import Figure


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two readers.

    Args:
        readers: their names.
        items: number of items that both have answered.
        same: number of these on which they gave the same answer.
        kappa: Cohen's kappa; None where it is undefined.
    """

    readers: tuple[str, str]
    items: int
    same: int
    kappa: Figure | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """All readers.

    Args:
        items: number of items with two answers or more.
        alpha: Krippendorff's alpha of all readers; None where it is undefined.
        pairs: of readers with an item in common, those with most items first.
        accuracy: each reader's share of right answers by Dawid and Skene's estimate; empty where no item is shared.
    """

    items: int
    alpha: Figure | None
    pairs: tuple[PairAgreement, ...]
    accuracy: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        pairs = [
            {"readers": list(p.readers), "items": p.items, "same": p.same, "kappa": p.kappa and p.kappa.to_json()}
            for p in self.pairs
        ]
        alpha = self.alpha and self.alpha.to_json()
        return {"items": self.items, "alpha": alpha, "pairs": pairs, "accuracy": dict(self.accuracy)}


def agreement_of(answers: Sequence[Mapping[str, Answer]]) -> Agreement:
    """How far readers agree. Answers are categories: several classes together are one of their own.

    Args:
        answers: of each item, reader to answer, as `independent_answers` gives them.
    """
    readers = sorted({reader for item in answers for reader in item})
    numbers: dict[Answer, int] = {}
    table = np.full((len(readers), len(answers)), NONE)
    rows = {reader: row for row, reader in enumerate(readers)}
    for column, item in enumerate(answers):
        for reader, answer in item.items():
            table[rows[reader], column] = numbers.setdefault(answer, len(numbers))
    shared = table[:, (table != NONE).sum(0) >= 2]
    pairs = []
    for a, b in combinations(readers, 2):
        first, second = table[rows[a]], table[rows[b]]
        both = (first != NONE) & (second != NONE)
        if both.any():
            same = int((first == second)[both].sum())
            pairs.append(PairAgreement((a, b), int(both.sum()), same, kappa_figure(first[both], second[both])))
    ordered = tuple(sorted(pairs, key=lambda pair: -pair.items))
    if not shared.size:
        return Agreement(0, None, ordered, {})
    accuracy = dict(zip(readers, dawid_skene(table, len(numbers)).accuracy.tolist(), strict=True))
    return Agreement(shared.shape[1], alpha_figure(shared), ordered, accuracy)
