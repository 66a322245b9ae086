"""Some samples of a data set: chosen by `subset`, or made long-tailed on purpose (`?longtail=100`)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from unshaken.core.errors import DataError, ParameterError, did_you_mean
from unshaken.core.numbers import parse_number, parse_whole
from unshaken.core.rng import SampleRng
from unshaken.data.dataset import Dataset
from unshaken.data.decode import Source


def subset(dataset: Dataset, limit: int | None, seed: int = 0) -> NDArray[np.int64]:
    """Choose samples so that every label keeps its share.

    Label k gets `limit n_k / N` places, rounded by largest remainder (ties by a seeded draw). Inside a label the draw
    depends on (seed, id) alone, so the order of the files does not matter. Samples with a bad label are a group of
    their own: they stay visible. Where labels are masks, all samples are one group.

    Args:
        dataset: where to choose from.
        limit: how many; None or more than there are means all.
        seed: the run seed.

    Returns:
        Their indices, int64, rising.

    Raises:
        ParameterError: limit is below 1.
    """
    total = len(dataset)
    if limit is not None and limit < 1:
        raise ParameterError(f"limit={limit} must be 1 or more")
    if limit is None or limit >= total:
        return np.arange(total)
    draw = SampleRng.of(seed, "subset", dataset.ids).keys.numpy()
    groups = np.zeros(total, np.int64) if dataset.labels is None or dataset.labels.ndim > 1 else dataset.labels
    names, counts = np.unique(groups, return_counts=True)
    quota, remainder = np.divmod(counts * limit, total)
    ties = SampleRng.of(seed, "subset/label", [str(n) for n in names.tolist()]).keys.numpy()
    left = limit - int(quota.sum())
    quota[np.lexsort((ties, -remainder))[:left]] += 1
    order = np.lexsort((draw, groups))
    first = np.concatenate(([0], np.cumsum(counts)[:-1]))
    return np.sort(np.concatenate([order[a : a + q] for a, q in zip(first.tolist(), quota.tolist(), strict=True)]))


class Selection(Dataset):
    """Some samples of a data set, with the ids, labels (the true ones too) and reasons that they have there.

    Args:
        whole: the data set.
        rows: which samples, int64 `[n]`, in the order wanted; one at least.
    """

    def __init__(self, whole: Dataset, rows: NDArray[np.int64]) -> None:
        place = {int(row): i for i, row in enumerate(rows)}
        super().__init__(
            ids=whole.ids.take(rows),
            labels=None if whole.labels is None else whole.labels[rows],
            classes=whole.classes,
            root=whole.root,
            options=whole.options,
            bad={place[i]: why for i, why in whole.bad.items() if i in place},
        )
        self.whole, self.rows, self.boxes = whole, rows, whole.boxes
        self.true_labels = None if whole.true_labels is None else whole.true_labels[rows]
        self.labels_version = whole.labels_version

    @override
    def columns(self) -> dict[str, list[Any]]:
        return {name: [values[row] for row in self.rows] for name, values in self.whole.columns().items()}

    @override
    def fetch(self, index: int) -> Source:
        return self.whole.fetch(int(self.rows[index]))

    @override
    def content(self) -> Iterable[object]:
        yield from self.whole.content()
        if self.boxes is not None:
            yield self.whole.fingerprint
        yield hashlib.blake2b(np.ascontiguousarray(self.rows).tobytes(), digest_size=16).hexdigest()

    @override
    def corrupted(self, name: str, severity: int) -> Dataset | None:
        found = self.whole.corrupted(name, severity)
        return None if found is None else Selection(found, self.rows)


HALVES = ("first", "second")


def half_of(dataset: Dataset, name: str) -> Dataset:
    """One of two halves of a data set that share no sample; labels keep their shares.

    Args:
        dataset: labelled.
        name: `first` or `second`.

    Raises:
        DataError: there is no such half.
    """
    if name not in HALVES:
        raise DataError(f"data {dataset.options.spec!r}: no split {name!r}; {did_you_mean(name, HALVES)}")
    rows = subset(dataset, len(dataset) // 2)
    return Selection(dataset, rows if name == HALVES[0] else np.setdiff1d(np.arange(len(dataset)), rows))


def tail_counts(most: int, classes: int, ratio: float) -> list[int]:
    """Samples of each class: `most (1 / ratio)^(k / (K - 1))`, rounded down; one at least.

    Args:
        most: of the first class.
        classes: K, 2 or more.
        ratio: of the first class to the last.

    >>> tail_counts(5000, 10, 10)
    [5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500]
    """
    return [max(1, math.floor(most * (1 / ratio) ** (k / (classes - 1)) + 1e-9)) for k in range(classes)]


def long_tail_rows(
    labels: NDArray[np.int64], classes: int, ratio: float, ids: Sequence[str], *, seed: int = 0, most: int | None = None
) -> NDArray[np.int64]:
    """Which samples to keep, in their order; which of a class follows from seed and id alone.

    Args:
        labels: true, int64 `[N]`; samples of -1 are left out.
        classes: K.
        ratio: of the first class to the last, 1 or more.
        ids: of the samples.
        seed: of the draw.
        most: samples of the first class; None for all that there are. A class that has fewer than its number keeps all.
    """
    draw = SampleRng.of(seed, "long tail", ids).keys.numpy()
    first = int((labels == 0).sum())
    counts = tail_counts(first if most is None else min(most, first), classes, ratio)
    members = [np.flatnonzero(labels == k) for k in range(classes)]
    return np.sort(np.concatenate([rows[np.argsort(draw[rows])[:n]] for rows, n in zip(members, counts, strict=True)]))


def with_long_tail(dataset: Dataset, text: str) -> Dataset:
    """The data with fewer samples of each next class.

    Args:
        dataset: labelled, with names of its classes.
        text: `RATIO` or `RATIO:SEED`.

    Raises:
        DataError: the ratio is not a number of 1 or more, or the data has no labels of two classes.
    """
    spec = dataset.options.spec
    ratio_text, _, seed_text = text.partition(":")
    try:
        ratio, seed = parse_number(ratio_text), parse_whole(seed_text or "0")
    except ParameterError:
        ratio = seed = -1
    if not 1 <= ratio < math.inf or seed < 0:
        raise DataError(
            f"data {spec!r}: longtail={text} is not of the form RATIO[:SEED], such as 100, with a ratio >= 1"
        )
    if dataset.labels is None or len(dataset.classes) < 2 or not (dataset.labels == 0).any():
        raise DataError(f"data {spec!r}: longtail needs labels of two classes or more, their names, and a first class")
    return Selection(dataset, long_tail_rows(dataset.labels, len(dataset.classes), ratio, dataset.ids, seed=seed))
