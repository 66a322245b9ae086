"""`agreement_of`: how far the readers of a review agree beyond chance, by their independent answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from unshaken.labels.review.verdict import Answer
from unshaken.measure.statistics.agreement import NONE, alpha_figure, kappa_figure
from unshaken.measure.statistics.figure import Figure


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
    """

    items: int
    alpha: Figure | None
    pairs: tuple[PairAgreement, ...]


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
    alpha = alpha_figure(shared) if shared.size else None
    return Agreement(shared.shape[1], alpha, tuple(sorted(pairs, key=lambda pair: -pair.items)))
