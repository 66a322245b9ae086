"""Labels of a data set, in the order of a model's classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import DataError
from unshaken.core.masks import IGNORED
from unshaken.data import Dataset
from unshaken.models.class_names import ClassNames, is_wordnet_id
from unshaken.store.config import LabelRecord

_SHOWN = 5
"""Classes that a message names."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """A data set whose labels are numbers of a model's classes.

    Args:
        dataset: with the labels renumbered.
        record: how; None without labels.
    """

    dataset: Dataset
    record: LabelRecord | None = field(default=None)


def align(dataset: Dataset, classes: Sequence[str], *, model: str = "the model", needed: bool = True) -> Alignment:
    """Renumber labels as the model numbers its classes: by name, synonym, WordNet id or number.

    Where the model has no class names, or the data has none, class n of the data is class n of the model, and the
    record says so.

    Args:
        dataset: labels number its own `classes`.
        classes: the model's, in logit order; empty when unknown.
        model: what messages call it.
        needed: False to go on without labels, and say so, where they are of other classes.

    Raises:
        DataError: labels are needed, and a class of the data with samples is no class of the model, or its name is
            ambiguous.
    """
    if dataset.labels is None:
        return Alignment(dataset)
    if dataset.labels.ndim > 1:
        raise DataError(f"data {dataset.options.spec!r} is labelled with masks: one class an image is needed here")
    names, used = ClassNames(classes), _used(dataset)
    if not used:
        return Alignment(dataset, LabelRecord(by="positions", why="the labels are numbers without names"))
    if names.unnamed:
        return Alignment(dataset, LabelRecord(by="positions", classes=used, why="the model has no class names"))
    found = {name: names.find(name) for name in used}
    if all(place in found[name] for name, place in used.items()):
        return Alignment(dataset, LabelRecord(by="names", classes=used))
    if len(set(dataset.classes)) < len(dataset.classes) == len(classes):
        why = "some classes of the data have one name in common"
        return Alignment(dataset, LabelRecord(by="positions", classes=used, why=why))
    if not needed and any(len(hits) != 1 for hits in found.values()):
        why = f"some of the data's classes are no class of {model}"
        return Alignment(dataset.unlabelled(), LabelRecord(by="nothing", why=why))
    _check(dataset, names, found, model)
    places = {name: hits[0] for name, hits in found.items()}
    table = np.zeros(len(dataset.classes), np.int64)
    for name, place in used.items():
        table[place] = places[name]
    labels = np.where(dataset.labels >= 0, table[np.maximum(dataset.labels, 0)], dataset.labels)
    return Alignment(dataset.renumbered(labels, classes), LabelRecord(by="names", classes=places))


def align_boxes(dataset: Dataset, classes: Sequence[str], *, model: str = "the model") -> tuple[Dataset, LabelRecord]:
    """Renumber the classes of a data set's boxes as the model numbers its own; see `align`.

    Args:
        dataset: with boxes, whose classes number its own `classes`.
        classes: the model's, in the order of its labels; empty when unknown.
        model: what messages call it.

    Raises:
        DataError: the data has no boxes, or boxes without classes; or a class is none of the model's.
    """
    spec, table = dataset.options.spec, dataset.boxes
    if table is None:
        raise DataError(
            f"{model} is a detector of objects and data {spec!r} has no boxes: give a file of them by the option "
            "boxes, as in parquet:photos.parquet?boxes=boxes.parquet"
        )
    if table.classes is None:
        raise DataError(f"the boxes of data {spec!r} have no column class, so that nothing says what they are of")
    as_labels = dataset.renumbered(table.classes, dataset.classes)
    found = align(as_labels, classes, model=model)
    record = found.record or LabelRecord(by="positions", why="the classes of the boxes are numbers without names")
    labels = required_labels(found.dataset)
    if classes and len(labels) and int(labels.max()) >= len(classes):
        raise DataError(f"a box of data {spec!r} is of class {int(labels.max())}; {model} has {len(classes)} classes")
    other = dataset.renumbered_boxes(labels, classes or dataset.classes)
    return other, record


def align_masks(dataset: Dataset, classes: Sequence[str], *, model: str = "the model") -> tuple[Dataset, LabelRecord]:
    """Renumber the classes of a data set's masks as the model numbers its own; see `align`.

    Args:
        dataset: with masks, whose classes number its own `classes`.
        classes: the model's, in logit order; empty when unknown.
        model: what messages call it.

    Raises:
        DataError: the data has no masks, or a class that stands at a pixel is none of the model's.
    """
    spec, masks = dataset.options.spec, dataset.labels
    if masks is None or masks.ndim < 3:
        raise DataError(
            f"{model} gives a class for each pixel and data {spec!r} has no masks: give a folder that holds images and "
            "masks, as masks:FOLDER"
        )
    there = np.unique(masks)
    found = align(dataset.renumbered(there[there != IGNORED].astype(np.int64), dataset.classes), classes, model=model)
    record = found.record or LabelRecord(by="positions", why="the classes of the masks are numbers without names")
    table = np.arange(256, dtype=masks.dtype)
    table[there[there != IGNORED]] = required_labels(found.dataset)
    return dataset.renumbered(table[masks], classes or dataset.classes), record


def required_labels(dataset: Dataset) -> NDArray[np.int64]:
    """The labels, where they are there."""
    return np.zeros(0, np.int64) if dataset.labels is None else dataset.labels


def aligned(dataset: Dataset, classes: Sequence[str], *, model: str = "the model") -> Dataset:
    """The data set alone; see `align`."""
    return align(dataset, classes, model=model).dataset


def _used(dataset: Dataset) -> dict[str, int]:
    """The classes that have a sample, with their numbers; empty where labels have no names."""
    labels = [] if dataset.labels is None else np.unique(dataset.labels).tolist()
    return {dataset.classes[k]: k for k in labels if 0 <= k < len(dataset.classes)}


def _check(dataset: Dataset, names: ClassNames, found: Mapping[str, tuple[int, ...]], model: str) -> None:
    """Refuse names that are no class of the model, or of which nobody knows which.

    Raises:
        DataError: naming them, the nearest classes, and how to say which is which.
    """
    unclear = {name: hits for name, hits in found.items() if len(hits) != 1}
    if not unclear:
        return
    named = []
    for name, hits in list(unclear.items())[:_SHOWN]:
        near = [names.classes[k] for k in hits[:3]] if hits else names.nearest(name)
        words = "may be" if hits else "nearest:"
        named.append(f"{name!r} ({words} {', '.join(map(repr, near))})" if near else f"{name!r}")
    more = f" and {len(unclear) - _SHOWN} more" if len(unclear) > _SHOWN else ""
    ids = ""
    if any(is_wordnet_id(name) for name in unclear):
        ids = "; WordNet ids are known of ImageNet's classes where the extra `models` is installed"
    raise DataError(
        f"data {dataset.options.spec!r}: {len(unclear)} of its {len(found)} classes are no class of {model}: "
        f"{'; '.join(named)}{more}; rename them, or say which class each is by ?classes=FILE, a line each: name in the "
        f"data, tab, name or number in the model{ids}"
    )
