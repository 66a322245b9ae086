"""Several streams of images side by side, such as samples, their partners and masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.errors import DataError
from unshaken.data import Dataset
from unshaken.explain.engine.analysis import Subject
from unshaken.measure.statistics.columns import Indices


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside each sample.

    Args:
        dataset: where it comes from.
        indices: its places there, one a sample.
    """

    dataset: Dataset
    indices: Sequence[int]


def known_labels(subject: Subject) -> Indices:
    """The labels of the samples, int64 `[N]`.

    Raises:
        DataError: there are none, or they are masks.
    """
    dataset = subject.dataset
    if dataset is None or dataset.labels is None or dataset.labels.ndim != 1:
        spec = "" if dataset is None else f" {dataset.options.spec!r}"
        raise DataError(f"data{spec} has no class for each image, which this analysis needs")
    return dataset.labels[list(subject.indices)]


def required_labels(batch: Batch) -> Tensor:
    """The labels of a batch of data that has them.

    Raises:
        DataError: it has none.
    """
    if batch.labels is None:
        raise DataError("the images have no labels, which this analysis needs")
    return batch.labels


def partners_in(subject: Subject, chosen: Indices) -> Beside:
    """Partners from the same data, by their places among the samples."""
    places = list(subject.indices)
    return Beside(_dataset(subject), [places[i] for i in chosen.tolist()])


def together(subject: Subject, *others: Beside) -> Iterator[tuple[Batch, ...]]:
    """The samples in batches, each with what stands beside them; left out where any of them cannot be read.

    Raises:
        DataError: what stands beside has another size than the samples.
    """
    columns = [Beside(_dataset(subject), subject.indices), *others]
    subjects = [subject, *(replace(subject, dataset=o.dataset, indices=o.indices) for o in others)]
    streams = [_samples(s) for s in subjects]
    heads = [next(s, None) for s in streams]
    kept: list[tuple[Batch, ...]] = []
    for places in zip(*(c.indices for c in columns), strict=True):
        ids = [c.dataset.ids[p] for c, p in zip(columns, places, strict=True)]
        there = [h is not None and h.ids[0] == i for h, i in zip(heads, ids, strict=True)]
        if all(there):
            kept.append(tuple(h for h in heads if h is not None))
            if len(kept) == subject.batch:
                yield _joined(kept)
                kept = []
        heads = [next(s, None) if t else h for s, t, h in zip(streams, there, heads, strict=True)]
    for other in subjects[1:]:
        subject.bad.update(other.bad)
    if kept:
        yield _joined(kept)


def _joined(rows: Sequence[tuple[Batch, ...]]) -> tuple[Batch, ...]:
    found = tuple(Batch.concat(column) for column in zip(*rows, strict=True))
    sizes = {tuple(b.images.shape[2:]) for b in found}
    if len(sizes) > 1:
        first, *rest = (tuple(b.images.shape[2:]) for b in found)
        odd = next(s for s in rest if s != first)
        raise DataError(
            f"images of {first[0]} x {first[1]} pixels came with masks or partners of {odd[0]} x {odd[1]}: "
            "bring all to one size with the option size, as in ?size=224"
        )
    return found


def _samples(subject: Subject) -> Iterator[Batch]:
    for batch in subject.batches():
        for i in range(len(batch)):
            yield batch[i : i + 1]


def _dataset(subject: Subject) -> Dataset:
    if subject.dataset is None:
        raise DataError("this analysis needs images: give data")
    return subject.dataset
