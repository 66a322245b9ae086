"""Scores of several layers as one: weights by logistic regression, and the input step, chosen on their own rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unshaken.core.errors import DataError
from unshaken.detect.engine.layerwise import logistic_regression
from unshaken.measure.detection.ranking import auroc
from unshaken.measure.statistics.columns import Flags, Numbers
from unshaken.measure.statistics.influence import auroc_influence, by_sample
from unshaken.papers.roles import Roles, choosing
from unshaken_papers.mahalanobis.rules import at_step

FEWEST = 4
"""Normal and abnormal samples to choose on at least: two for each half."""


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """Scores of one set of N samples by one network's detectors.

    Args:
        scores: detector to scores `[N]`.
        predictions: detector to classes `[N]`: the nearest one in a single layer, else the model's own.
        labels: `[N]`, -1 where no class is right.
        roles: which rows serve for choosing.
        ids: `[N]`, text: changed copies of an image bear its id.
    """

    scores: Mapping[str, Numbers]
    predictions: Mapping[str, NDArray[np.int64]]
    labels: NDArray[np.int64]
    roles: Roles
    ids: NDArray[Any]

    @classmethod
    def of(
        cls,
        detectors: NDArray[Any],
        scores: Numbers,
        predictions: NDArray[np.int64],
        labels: NDArray[Any],
        splits: NDArray[Any],
        ids: NDArray[Any],
    ) -> Cell:
        """From columns of the table `scores`, which has the same samples for each detector."""
        each = {str(name): detectors == name for name in dict.fromkeys(detectors)}
        first = next(iter(each.values()))
        return cls(
            {name: scores[own] for name, own in each.items()},
            {name: predictions[own] for name, own in each.items()},
            np.nan_to_num(labels[first], nan=-1).astype(np.int64),
            Roles(splits[first] == "tune"),
            ids[first],
        )

    def right(self) -> Flags:
        """Whether the model says the label."""
        return np.asarray(self.predictions["msp"] == self.labels)

    def first(self, n: int) -> Cell:
        """The first samples alone."""
        scores = {k: v[:n] for k, v in self.scores.items()}
        predictions = {k: v[:n] for k, v in self.predictions.items()}
        return Cell(scores, predictions, self.labels[:n], self.roles.first(n), self.ids[:n])


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Normal and abnormal samples, as one network's detectors score them.

    Args:
        normal: sets, with the rows of each that count.
        abnormal: likewise.
    """

    normal: Sequence[tuple[Cell, Flags]]
    abnormal: tuple[Cell, Flags]

    def values(self, names: Sequence[str]) -> tuple[Numbers, Numbers]:
        """Scores of normal and of abnormal samples to judge by, by some detectors, `[N, D]` each."""
        return self._stacked(names, Roles.held_out)

    def auroc(self, normal: Numbers, abnormal: Numbers) -> Numbers:
        """The AUROC of scores of the samples to judge by as a column by image, whose mean it is."""
        sets = [*self.normal, self.abnormal]
        judged = np.concatenate([cell.roles.held_out(cell.ids, rows) for cell, rows in sets]).tolist()
        every = sorted({name for cell, _ in sets for name in cell.ids.tolist()})
        return by_sample(auroc_influence(normal, abnormal), judged, every)

    def to_choose_by(self, names: Sequence[str]) -> tuple[Numbers, Numbers]:
        """The same of the samples to choose by; within `choosing()`."""
        return self._stacked(names, Roles.rows)

    def _stacked(
        self, names: Sequence[str], part: Callable[[Roles, Numbers, Flags], Numbers]
    ) -> tuple[Numbers, Numbers]:
        normal, abnormal = (
            np.concatenate([np.stack([part(c.roles, c.scores[n], rows) for n in names], 1) for c, rows in sets])
            for sets in (self.normal, [self.abnormal])
        )
        return normal, abnormal


@dataclass(frozen=True, slots=True, eq=False)
class Weighted:
    """Several layers' scores as one.

    Args:
        names: of the detectors.
        weights: one each.
    """

    names: tuple[str, ...]
    weights: Numbers

    def scores(self, pair: Pair) -> tuple[Numbers, Numbers]:
        """The weighted sums of normal and of abnormal samples."""
        normal, abnormal = pair.values(self.names)
        return normal @ self.weights, abnormal @ self.weights


def choose(pair: Pair, layers: Sequence[str], steps: Sequence[float]) -> Weighted:
    """Weights by logistic regression on one half of the rows for choosing, the step by AUROC on the other half.

    A single layer has the weight 1, whatever the regression would say of its sign.

    Args:
        pair: whose rows for choosing are used.
        layers: that are put together.
        steps: to choose from.

    Raises:
        DataError: too few samples serve for choosing, as where hardly an attack succeeds.
    """
    found: list[tuple[float, Weighted]] = []
    for step in steps:
        names = tuple(at_step(layer, step) for layer in layers)
        with choosing():
            normal, abnormal = pair.to_choose_by(names)
        if min(len(normal), len(abnormal)) < FEWEST:
            raise DataError(
                f"{len(normal)} normal and {len(abnormal)} abnormal samples are too few to choose weights and a step "
                f"on, {FEWEST} of each at least: raise tune, or attack a network that is right on more images"
            )
        weights = np.ones(1) if len(names) == 1 else regressed(normal[::2], abnormal[::2])
        found.append((auroc(normal[1::2] @ weights, abnormal[1::2] @ weights).value, Weighted(names, weights)))
    return max(found, key=lambda one: one[0])[1]


def regressed(normal: Numbers, abnormal: Numbers) -> Numbers:
    """Weights `[D]` of a logistic regression on standardised scores, for the scores as they are.

    Args:
        normal: `[N, D]`.
        abnormal: `[M, D]`.
    """
    deviation = normal.std(0)
    x = torch.from_numpy((np.concatenate([normal, abnormal]) - normal.mean(0)) / deviation)
    weights: Numbers = logistic_regression(x, torch.arange(len(x)) >= len(normal))[0].numpy() / deviation
    return weights
