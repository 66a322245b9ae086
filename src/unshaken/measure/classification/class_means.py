"""Figures that give every class the same weight: macro F1, mean class accuracy, eleven-point precision."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Indices, Numbers, finite_numbers, flags, integers, same_length
from unshaken.measure.statistics.intervals import Figure
from unshaken.measure.statistics.paired import Comparison, compare
from unshaken.measure.statistics.spread import figure_of_means

_RARE = 8  # labels, from the rarest on, of which mistakes that did not occur are imagined


@dataclass(frozen=True, slots=True)
class PairedF1:
    """Predictions before and after a change of the same samples.

    Args:
        clean: macro F1 before.
        changed: macro F1 after.
        drop: `(clean - changed) / clean`, a share; None where macro F1 before is 0.
        comparison: of the correctness, with the exact McNemar test.
    """

    clean: Figure
    changed: Figure
    drop: Figure | None
    comparison: Comparison


def f1_columns(labels: ArrayLike, predictions: ArrayLike, classes: int) -> Numbers:
    """Columns whose means decide every class's F1: hits, labels and predictions of each class, `[N, 3K]`.

    Args:
        labels: int `[N]`, 0 to K - 1.
        predictions: int `[N]`; one below 0, an abstention, is of no class.
        classes: number of classes K.

    Raises:
        ParameterError: there is no sample, lengths differ, or a value is not below K.
    """
    truth, guess = integers("labels", labels), integers("predictions", predictions)
    same_length(labels=truth, predictions=guess)
    if truth.min() < 0 or max(truth.max(), guess.max()) >= classes:
        raise ParameterError(f"labels must lie in 0..{classes - 1}, and predictions below {classes}: give all classes")
    names = np.arange(classes)
    given, predicted = truth[:, None] == names, guess[:, None] == names
    return np.concatenate([given & predicted, given, predicted], 1).astype(np.float64)


def f1_of_means(means: Numbers) -> Numbers:
    """Macro F1 from means of `f1_columns`: `2 hits / (labels + predictions)`, the mean over classes that occur.

    Args:
        means: `[..., 3K]`.

    Returns:
        `[...]`.
    """
    hits, given, predicted = np.split(means, 3, axis=-1)
    size = given + predicted
    occurs = size > 0
    scores = np.where(occurs, 2 * hits / np.where(occurs, size, 1.0), 0.0)
    return np.asarray(scores.sum(-1) / np.maximum(occurs.sum(-1), 1))


def f1_rows(columns: Numbers, classes: int, *, together: int = 1) -> Numbers:
    """Rows of `f1_columns` that another sample might have, by which perfect or equal predictions may be too good.

    Args:
        columns: `[N, 3K]`, or those of P predictions side by side `[N, 3KP]`.
        classes: number of classes K.
        together: neighbouring predictions that are right or wrong together, such as those of several seeds.

    Returns:
        `[R, 3KP]`: for each of the rarest labels a sample that some of the predictions have right, and others not.
    """
    parts = columns.shape[1] // (3 * classes)
    given = columns[:, classes : 2 * classes].sum(0)
    rare = [int(k) for k in np.argsort(given, kind="stable") if given[k]][:_RARE]
    rows = []
    for label in rare:
        wrong = next((k for k in rare if k != label), (label + 1) % classes)
        one = {right: f1_columns([label], [label if right else wrong], classes)[0] for right in (True, False)}
        for pattern in product((True, False), repeat=parts // together):
            rows.append(np.concatenate([one[right] for right in np.repeat(pattern, together).tolist()]))
    return np.array(rows)


def macro_f1(labels: ArrayLike, predictions: ArrayLike, *, classes: int | None = None) -> Figure:
    """Macro F1 with its interval by resampling samples, as scikit-learn's `f1_score(average="macro")`.

    Args:
        labels: int `[N]`, from 0.
        predictions: int `[N]`.
        classes: number of classes K; default one more than the largest that occurs.

    Raises:
        ParameterError: as `f1_columns`.

    >>> round(macro_f1([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 2]).value, 6)
    0.866667
    """
    count = classes or _count(labels, predictions)
    columns = f1_columns(labels, predictions, count)
    return figure_of_means(columns, f1_of_means, possible=partial(f1_rows, columns, count))


def paired_f1(
    labels: ArrayLike, clean: ArrayLike, changed: ArrayLike, *, classes: int | None = None
) -> PairedF1:  # fmt: skip
    """Compare predictions on samples with those on the same samples, changed.

    Args:
        labels: int `[N]`, from 0.
        clean: predictions before, int `[N]`.
        changed: predictions after, int `[N]`.
        classes: as for `macro_f1`.

    Raises:
        ParameterError: as `f1_columns`.

    >>> found = paired_f1([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 2], [0, 1, 1, 1, 0, 2])
    >>> round(found.drop.value, 5), found.comparison.lost
    (0.30769, 2)
    """
    count = classes or _count(labels, clean, changed)
    before, after = (f1_columns(labels, predictions, count) for predictions in (clean, changed))
    both = np.concatenate([before, after], 1)
    first, second = (
        figure_of_means(columns, f1_of_means, possible=partial(f1_rows, columns, count)) for columns in (before, after)
    )
    truth = integers("labels", labels)
    right = [integers("predictions", predictions) == truth for predictions in (clean, changed)]
    possible = partial(f1_rows, both, count)
    drop = figure_of_means(both, relative_drop, possible=possible) if first.value > 0 else None
    return PairedF1(first, second, drop, compare(*right))


def relative_drop(means: Numbers) -> Numbers:
    """`(F - F') / F` from means of the columns of both predictions, `[..., 6K]`; not a number where F is 0."""
    before, after = (f1_of_means(half) for half in np.split(means, 2, axis=-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((before - after) / before)


def interaction(means: Numbers) -> Numbers:
    """The sum of what two changes cost each, less what they cost together, in macro F1: `F_ab - F_a - F_b + F`.

    Args:
        means: of the columns of four predictions, `[..., 12K]`: unchanged, by the first change, by the second, by both.

    Returns:
        `[...]`: 0 for changes whose damages add up, above 0 where one leaves the other less to damage.
    """
    clean, first, second, both = (f1_of_means(part) for part in np.split(means, 4, axis=-1))
    return np.asarray(both - first - second + clean)


def _count(*columns: ArrayLike) -> int:
    values: list[Indices] = [integers("labels", column) for column in columns]
    return int(max(v.max() for v in values)) + 1


def mean_class_accuracy(labels: ArrayLike, predictions: ArrayLike) -> float:
    """The mean over classes of the share of their samples that are predicted right.

    Args:
        labels: int `[N]`.
        predictions: int `[N]`.

    Raises:
        ParameterError: there is no sample, or lengths differ.

    >>> labels = [0] * 90 + [1] * 10
    >>> mean_class_accuracy(labels, [0] * 95 + [1] * 5)
    0.75
    """
    truth, predicted = integers("labels", labels), integers("predictions", predictions)
    same_length(labels=truth, predictions=predicted)
    _, places, counts = np.unique(truth, return_inverse=True, return_counts=True)
    return float((np.bincount(places, truth == predicted) / counts).mean())


def eleven_point_precision(scores: ArrayLike, relevant: ArrayLike) -> float:
    """The mean over recalls 0, 0.1, ..., 1 of the best precision at that recall or a larger one.

    Args:
        scores: finite, `[N]`; larger ones come first. Samples with equal scores come in together.
        relevant: bool `[N]`.

    Raises:
        ParameterError: nothing is relevant, or columns do not fit.

    Source: Everingham et al. 2010, The PASCAL Visual Object Classes challenge.

    >>> round(eleven_point_precision([4, 3, 2, 1], [1, 0, 1, 0]), 6)
    0.848485
    """
    values, right = finite_numbers("scores", scores), flags("relevant", relevant)
    same_length(scores=values, relevant=right)
    if not right.any():
        raise ParameterError("no sample is relevant: average precision is not defined; leave the class out")
    order = np.argsort(-values, kind="stable")
    last = np.append(np.diff(values[order]) != 0, True)  # of samples with one score
    found = right[order].cumsum()[last]
    precision, recall = found / (np.flatnonzero(last) + 1), found / right.sum()
    return float(np.mean([precision[recall >= k / 10 - 1e-12].max() for k in range(11)]))
