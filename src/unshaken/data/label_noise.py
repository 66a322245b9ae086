"""Wrong labels made on purpose: `?noise=symmetric:0.4`, by a stated model, each sample's draw keyed by its id."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import DataError, ParameterError, did_you_mean
from unshaken.core.numbers import parse_number, parse_whole
from unshaken.core.rng import SampleRng
from unshaken.data.dataset import Dataset

Matrix = NDArray[np.float64]
"""Transition `[K, K]`: the probability that a sample of the row's class bears the column's label."""
Counts = Sequence[int]
"""Samples of each class `[K]`."""
CONFUSED = {"truck": "automobile", "bird": "airplane", "deer": "horse", "cat": "dog", "dog": "cat"}
"""Classes of CIFAR-10 that asymmetric noise takes for others."""


def symmetric(rate: float, names: Sequence[str], counts: Counts = ()) -> Matrix:
    """Any other class, equally often: `1 - p` on the diagonal.

    >>> symmetric(0.3, "abcd").round(3).tolist()[0]
    [0.7, 0.1, 0.1, 0.1]
    """
    k = len(names)
    return np.full((k, k), rate / (k - 1)) + np.eye(k) * (1 - rate - rate / (k - 1))


def uniform(rate: float, names: Sequence[str], counts: Counts = ()) -> Matrix:
    """A share of labels drawn anew from all classes, the true one among them: `p (K - 1) / K` are wrong.

    >>> uniform(0.3, "abcd").round(3).tolist()[0]
    [0.775, 0.075, 0.075, 0.075]
    """
    k = len(names)
    return np.full((k, k), rate / k) + np.eye(k) * (1 - rate)


def pair(rate: float, names: Sequence[str], counts: Counts = ()) -> Matrix:
    """The next class: class k becomes k + 1, the last one the first."""
    k = len(names)
    return np.eye(k) * (1 - rate) + np.roll(np.eye(k), 1, 1) * rate


def asymmetric(rate: float, names: Sequence[str], counts: Counts = ()) -> Matrix:
    """The five confusions of CIFAR-10 that DivideMix and others use, each with the given rate.

    Raises:
        DataError: the classes are not those of CIFAR-10.
    """
    if not set(CONFUSED) | set(CONFUSED.values()) <= set(names):
        raise DataError("asymmetric noise is defined for the classes of CIFAR-10: use pair or symmetric")
    place = {name: i for i, name in enumerate(names)}
    found = np.eye(len(names))
    for one, other in CONFUSED.items():
        found[place[one], place[one]] = 1 - rate
        found[place[one], place[other]] = rate
    return found


def class_frequency(rate: float, names: Sequence[str], counts: Counts = ()) -> Matrix:
    """Any other class, as often as its size says: `p n_j / (n - n_i)`, so that most wrong labels are of large classes.

    Called joint or imbalanced noise where classes are long-tailed.

    >>> class_frequency(0.4, "abc", [60, 30, 10]).round(3).tolist()[0]
    [0.6, 0.3, 0.1]

    Raises:
        DataError: all samples are of one class.
    """
    n = np.asarray(counts, np.float64)
    others = n.sum() - n
    if not len(n) or others.min() == 0:
        raise DataError("class-frequency noise needs samples of two classes or more")
    return np.where(np.eye(len(n), dtype=bool), 1 - rate, rate * n / others[:, None])


MODELS: Mapping[str, Callable[[float, Sequence[str], Counts], Matrix]] = {
    "symmetric": symmetric,
    "uniform": uniform,
    "pair": pair,
    "asymmetric": asymmetric,
    "class-frequency": class_frequency,
}
"""From rate, names and sizes of the classes to the transition."""


def with_noise(dataset: Dataset, text: str) -> Dataset:
    """The data with some labels made wrong; `true_labels` has those that it had.

    Args:
        dataset: labelled, with names of its classes.
        text: `MODEL:RATE` or `MODEL:RATE:SEED`.

    Raises:
        DataError: there is no such model, the rate is not in [0, 1], or the data has no labels or class names.
    """
    spec = dataset.options.spec
    model, _, rest = text.partition(":")
    rate_text, _, seed_text = rest.partition(":")
    if model not in MODELS:
        raise DataError(f"data {spec!r}: no noise {model!r}; {did_you_mean(model, MODELS)}")
    try:
        rate, seed = parse_number(rate_text), parse_whole(seed_text or "0")
    except ParameterError:
        rate = seed = -1
    if not 0 <= rate <= 1 or seed < 0:
        raise DataError(f"data {spec!r}: noise={text} is not of the form MODEL:RATE[:SEED], such as symmetric:0.4")
    if dataset.labels is None or len(dataset.classes) < 2:
        raise DataError(f"data {spec!r}: noise needs labels of two classes or more, and their names")
    counts = np.bincount(dataset.labels[dataset.labels >= 0], minlength=len(dataset.classes))
    transition = MODELS[model](rate, dataset.classes, counts.tolist())
    return dataset.relabelled(drawn_labels(dataset.labels, transition, dataset.ids, seed))


def drawn_labels(labels: NDArray[np.int64], transition: Matrix, ids: Sequence[str], seed: int = 0) -> NDArray[np.int64]:
    """A label for each sample, by the row of its true class; the draw follows from seed and id alone.

    Args:
        labels: true, int64 `[N]`; -1 stays.
        transition: `[K, K]`, rows summing to 1.
        ids: of the samples.
        seed: of the draws.
    """
    draws = SampleRng.of(seed, "label noise", ids).uniform().numpy().astype(np.float64)
    ends = np.cumsum(transition, 1)
    ends[:, -1] = 1.0
    found = (draws[:, None] >= ends[np.maximum(labels, 0)]).sum(1)
    return np.where(labels < 0, labels, found)
