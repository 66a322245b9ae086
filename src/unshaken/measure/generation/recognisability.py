"""Recognisability and diversity of labelled images that a generator made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.generation.distances import as_features
from unshaken.measure.statistics.columns import Indices, integers, same_length


@dataclass(frozen=True, slots=True)
class ByClass:
    """A figure of each class and their mean.

    Args:
        mean: over classes.
        classes: class to its figure.
    """

    mean: float
    classes: Mapping[int, float]


def recognisability(labels: ArrayLike, predictions: ArrayLike) -> ByClass:
    """F1 of each class by a classifier that is trusted, and its mean over the classes that were asked for (macro-F1).

    Args:
        labels: the class that each image was generated for `[N]`, from 0.
        predictions: the class that the classifier gives it `[N]`.

    Raises:
        ParameterError: columns are empty, of different lengths, or no whole numbers from 0.

    >>> found = recognisability([0] * 4 + [1] * 4 + [2] * 4, [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 0])
    >>> round(found.mean, 6), [round(v, 6) for v in found.classes.values()]
    (0.662698, [0.75, 0.571429, 0.666667])
    """
    given, predicted = _labels("labels", labels), _labels("predictions", predictions)
    same_length(labels=given, predictions=predicted)
    scores = {}
    for k in np.unique(given).tolist():
        hits = int(((given == k) & (predicted == k)).sum())
        scores[k] = 2 * hits / int((given == k).sum() + (predicted == k).sum())
    return ByClass(float(np.mean(list(scores.values()))), scores)


def diversity(features: ArrayLike, labels: ArrayLike) -> ByClass:
    """Standard deviation of features within a class, over all samples (divided by N), mean over dimensions, by class.

    A constant added to features changes nothing, nor do duplicates; features times s give s times the diversity.

    Args:
        features: `[N, D]`.
        labels: `[N]`, from 0.

    Raises:
        ParameterError: features are not finite `[N, D]`, or lengths differ.

    >>> diversity([[0, 0], [2, 0], [0, 2], [2, 2]], [0, 0, 0, 0]).mean
    1.0
    """
    values, given = as_features("features", features), _labels("labels", labels)
    same_length(features=values, labels=given)
    spread = {k: float(values[given == k].std(0).mean()) for k in np.unique(given).tolist()}
    return ByClass(float(np.mean(list(spread.values()))), spread)


def _labels(name: str, values: ArrayLike) -> Indices:
    column = integers(name, values)
    if column.min() < 0:
        raise ParameterError(f"{name} must be classes from 0, not {column.min()}: leave out the samples without one")
    return column
