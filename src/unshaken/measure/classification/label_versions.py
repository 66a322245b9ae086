"""The accuracy and the ranking of models under two versions of the labels, paired on the same samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Indices, integers
from unshaken.measure.statistics.intervals import Figure, share
from unshaken.measure.statistics.paired import Comparison, compare, simultaneous


@dataclass(frozen=True, slots=True)
class ModelChange:
    """One model under both versions.

    Args:
        before: accuracy on the earlier labels.
        after: on the later ones, of the same samples.
        rank_before: 1 for the most accurate; equally accurate models share the mean of their ranks.
        rank_after: by the later labels.
        change: the later labels compared with the earlier, sample by sample.
    """

    before: Figure
    after: Figure
    rank_before: float
    rank_after: float
    change: Comparison


@dataclass(frozen=True, slots=True)
class Swap:
    """Two models whose order differs between the versions.

    Args:
        models: names; by the earlier labels the first is the more accurate one, or they are equal.
        before: the second compared with the first on the earlier labels.
        after: on the later labels.
    """

    models: tuple[str, str]
    before: Comparison
    after: Comparison


@dataclass(frozen=True, slots=True)
class VersionChange:
    """Models under two versions of the labels.

    Args:
        samples: that have a label in both versions; all figures are on these.
        changed: of these, how many have another label.
        removed: samples that have none in the later version.
        models: name to its figures, the most accurate by the later labels first.
        swaps: pairs of models whose order differs.
        moves: the class before, the class after and how many samples, the most frequent first.
        confusions: two classes and how many predictions, of all models, confuse them under the earlier and under the
            later labels, either way round; the most frequent under the earlier labels first.
    """

    samples: int
    changed: int
    removed: int
    models: Mapping[str, ModelChange]
    swaps: tuple[Swap, ...]
    moves: tuple[tuple[int, int, int], ...]
    confusions: tuple[tuple[int, int, int, int], ...]

    def to_json(self) -> dict[str, Any]:
        """The figures as plain values, for a file."""
        return {
            "samples": self.samples, "changed": self.changed, "removed": self.removed,
            "models": {
                name: {
                    "before": one.before.to_json(), "after": one.after.to_json(), "rank_before": one.rank_before,
                    "rank_after": one.rank_after, "difference": one.change.difference.to_json(),
                    "p_adjusted": one.change.p_adjusted,
                }
                for name, one in self.models.items()
            },
            "swaps": [
                {
                    "models": list(one.models), "before": one.before.difference.to_json(),
                    "after": one.after.difference.to_json(), "p_before": one.before.p_value,
                    "p_after": one.after.p_value,
                }
                for one in self.swaps
            ],
            "moves": [list(move) for move in self.moves],
            "confusions": [list(pair) for pair in self.confusions],
        }  # fmt: skip


def compare_versions(predictions: Mapping[str, Indices], before: Indices, after: Indices) -> VersionChange:
    """Compare models under two versions of the labels.

    Args:
        predictions: name of a model to its predicted classes, int `[N]`; without any, only the labels are compared.
        before: labels, int `[N]`, -1 where there is none.
        after: labels of the later version, int `[N]`, -1 where there is none.

    Raises:
        ParameterError: lengths differ, or no sample has a label in both versions.
    """
    old, new = integers("before", before), integers("after", after)
    if len(old) != len(new):
        raise ParameterError(f"{len(old)} labels before and {len(new)} after: give each sample both, -1 for none")
    both = (old >= 0) & (new >= 0)
    if not both.any():
        raise ParameterError("comparing labels needs samples that have a label in both versions")
    hits: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    confused: tuple[Counter[tuple[int, int]], Counter[tuple[int, int]]] = Counter(), Counter()
    for name, values in predictions.items():
        found = integers(name, values)
        if len(found) != len(old):
            raise ParameterError(f"{name} has {len(found)} predictions for {len(old)} labels: give each sample one")
        hits[name] = found[both] == old[both], found[both] == new[both]
        for counts_of, labels in zip(confused, (old, new), strict=True):
            counts_of.update(_confusions(found[both], labels[both]))
    n = int(both.sum())
    changes = simultaneous({name: compare(*pair) for name, pair in hits.items()})
    ranks = [_ranks([int(pair[version].sum()) for pair in hits.values()]) for version in (0, 1)]
    models = {
        name: ModelChange(share(int(a.sum()), n), share(int(b.sum()), n), first, second, changes[name])
        for (name, (a, b)), first, second in zip(hits.items(), *ranks, strict=True)
    }
    moved = np.flatnonzero(both & (old != new))
    pairs, counts = np.unique(np.stack([old[moved], new[moved]], 1), axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return VersionChange(
        n, len(moved), int(((old >= 0) & (new < 0)).sum()),
        dict(sorted(models.items(), key=lambda item: item[1].rank_after)), tuple(_swaps(hits)),
        tuple((int(pairs[i, 0]), int(pairs[i, 1]), int(counts[i])) for i in order),
        tuple(
            (*pair, confused[0][pair], confused[1][pair])
            for pair in sorted(confused[0] | confused[1], key=lambda p: (-confused[0][p], -confused[1][p], p))
        ),
    )  # fmt: skip


def _confusions(predicted: Indices, labels: Indices) -> Counter[tuple[int, int]]:
    """How often two classes are confused; outputs that name no class are left out."""
    wrong = (predicted != labels) & (predicted >= 0)
    pairs = np.sort(np.stack([predicted[wrong], labels[wrong]], 1), 1)
    return Counter(map(tuple, pairs.tolist()))


def _ranks(hits: list[int]) -> list[float]:
    return [1 + sum(h > one for h in hits) + (sum(h == one for h in hits) - 1) / 2 for one in hits]


def _swaps(hits: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> list[Swap]:
    found = []
    for pair in combinations(hits, 2):
        gaps = [int(hits[pair[0]][version].sum()) - int(hits[pair[1]][version].sum()) for version in (0, 1)]
        if np.sign(gaps[0]) != np.sign(gaps[1]):
            first, second = pair if gaps[0] >= 0 else pair[::-1]
            found.append(Swap((first, second), *(compare(hits[first][v], hits[second][v]) for v in (0, 1))))
    return found
