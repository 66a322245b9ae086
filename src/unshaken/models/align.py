"""Labels of a data set, in the order of a model's classes."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError
from unshaken.core.label_record import LabelRecord
from unshaken.core.masks import IGNORED
from unshaken.data import Dataset
from unshaken.data.spec import with_option
from unshaken.models.class_names import ClassNames, is_wordnet_id

_SHOWN = 5
"""Classes that a message names."""
ASKED = "the user says so (classes=positions)"
"""The reason of a record where the user wants positions."""


@dataclass(frozen=True, slots=True)
class ModelClasses:
    """The classes of a model, and what messages call it.

    Args:
        names: in logit order; empty when unknown.
        outputs: their number; 0 where it is not known.
        model: what messages call it.
        spec: the model's SPEC, which messages complete; empty where there is none.
        by_position: whether the user wants class n of the data to be class n of the model, whatever both are called.
    """

    names: Sequence[str]
    outputs: int = 0
    model: str = "the model"
    spec: str = ""
    by_position: bool = False

    @classmethod
    def of(cls, classifier: Classifier, outputs: int = 0, spec: object = "") -> Self:
        """Those of a classifier.

        Args:
            classifier: whose classes they are.
            outputs: their number; 0 where it is not known.
            spec: what the caller named the classifier by; only a SPEC is used.
        """
        names = classifier.classes
        text = spec if isinstance(spec, str) and ":" in spec else ""
        return cls(names, outputs or len(names), f"model {classifier.name!r}", text, classifier.by_position)


@dataclass(frozen=True, slots=True)
class Alignment:
    """A data set whose labels are numbers of a model's classes.

    Args:
        dataset: with the labels renumbered.
        record: how; None without labels.
    """

    dataset: Dataset
    record: LabelRecord | None = field(default=None)


def align(dataset: Dataset, model: ModelClasses, *, needed: bool = True) -> Alignment:
    """Renumber labels as the model numbers its classes: by name, synonym, WordNet id or number.

    Where the data has no class names, label n is class n of the model. Where the model has none, and the data has as
    many classes as the model has outputs, class n of the data is class n of the model. The record says so.

    Args:
        dataset: labels number its own `classes`.
        model: its classes.
        needed: False to go on without labels, and say so, where they are of other classes.

    Raises:
        DataError: labels are needed, and a class of the data with samples is no class of the model, or its name is
            ambiguous; or the model has no names and another number of classes.
    """
    if dataset.labels is None:
        return Alignment(dataset)
    if dataset.several_answers:
        raise DataError(
            f"data {dataset.options.spec!r}: an image has several valid labels, and one is needed here; "
            "'unshaken evaluate natural-shift' takes each of them for right"
        )
    if dataset.labels.ndim > 1:
        raise DataError(f"data {dataset.options.spec!r} is labelled with masks: one class an image is needed here")
    names, used = ClassNames(model.names or [str(n) for n in range(model.outputs)]), _used(dataset)
    numbered = names.unnamed and dataset.classes == tuple(str(k) for k in range(len(dataset.classes)))
    if not used or numbered:
        return Alignment(dataset, LabelRecord(by="positions", why="the labels are numbers without names"))
    if model.by_position:
        _check_number(dataset, model)
        record = LabelRecord(by="positions", classes=used, why=ASKED, asked=True)
        return Alignment(dataset, record)
    found = {name: names.find(name) for name in used}
    unclear = {name: hits for name, hits in found.items() if len(hits) != 1}
    if unclear and names.unnamed:
        if not needed and _is_other_number(dataset, model):
            why = f"{model.model} has {model.outputs} outputs without names, the data {len(dataset.classes)} classes"
            return Alignment(dataset.unlabelled(), LabelRecord(by="nothing", why=why))
        _check_number(dataset, model)
        return Alignment(dataset, LabelRecord(by="positions", classes=used, why="the model has no class names"))
    if all(place in found[name] for name, place in used.items()):
        return Alignment(dataset, LabelRecord(by="names", classes=used))
    if len(set(dataset.classes)) < len(dataset.classes) == len(names.classes):
        why = "some classes of the data have one name in common"
        return Alignment(dataset, LabelRecord(by="positions", classes=used, why=why))
    if unclear and not needed:
        why = f"{len(unclear)} of the data's {len(used)} classes are no class of {model.model}: {_listed(unclear)}"
        return Alignment(dataset.unlabelled(), LabelRecord(by="nothing", why=why))
    if unclear:
        _refuse(dataset, names, unclear, len(used), model.model)
    places = {name: hits[0] for name, hits in found.items()}
    table = np.zeros(len(dataset.classes), np.int64)
    for name, place in used.items():
        table[place] = places[name]
    labels = np.where(dataset.labels >= 0, table[np.maximum(dataset.labels, 0)], dataset.labels)
    record = LabelRecord(by="names", classes=places)
    return Alignment(dataset.renumbered(labels, names.classes), record)


def align_boxes(dataset: Dataset, model: ModelClasses) -> tuple[Dataset, LabelRecord]:
    """Renumber the classes of a data set's boxes as the model numbers its own; see `align`.

    Args:
        dataset: with boxes, whose classes number its own `classes`.
        model: its classes, in the order of its labels.

    Raises:
        DataError: the data has no boxes, or boxes without classes; or a class is none of the model's.
    """
    spec, table = dataset.options.spec, dataset.boxes
    if table is None:
        raise DataError(
            f"{model.model} is a detector of objects and data {spec!r} has no boxes: give a file of them by the option "
            "boxes, as in parquet:photos.parquet?boxes=boxes.parquet"
        )
    if table.classes is None:
        raise DataError(f"the boxes of data {spec!r} have no column class, so that nothing says what they are of")
    found = align(dataset.renumbered(table.classes, dataset.classes), model)
    record = found.record or LabelRecord(by="positions", why="the classes of the boxes are numbers without names")
    labels, count = required_labels(found.dataset), model.outputs
    if count and len(labels) and int(labels.max()) >= count:
        raise DataError(f"a box of data {spec!r} is of class {int(labels.max())}; {model.model} has {count} classes")
    return dataset.renumbered_boxes(labels, model.names or dataset.classes), record


def align_masks(dataset: Dataset, model: ModelClasses) -> tuple[Dataset, LabelRecord]:
    """Renumber the classes of a data set's masks as the model numbers its own; see `align`.

    Args:
        dataset: with masks, whose classes number its own `classes`.
        model: its classes.

    Raises:
        DataError: the data has no masks, or a class that stands at a pixel is none of the model's.
    """
    spec, masks = dataset.options.spec, dataset.labels
    if masks is None or masks.ndim < 3:
        raise DataError(
            f"{model.model} gives a class for each pixel and data {spec!r} has no masks: give a folder that holds "
            "images and masks, as masks:FOLDER"
        )
    there = np.unique(masks)
    found = align(dataset.renumbered(there[there != IGNORED].astype(np.int64), dataset.classes), model)
    record = found.record or LabelRecord(by="positions", why="the classes of the masks are numbers without names")
    table = np.arange(256, dtype=masks.dtype)
    table[there[there != IGNORED]] = required_labels(found.dataset)
    return dataset.renumbered(table[masks], model.names or dataset.classes), record


def required_labels(dataset: Dataset) -> NDArray[np.int64]:
    """The labels, where they are there."""
    return np.zeros(0, np.int64) if dataset.labels is None else dataset.labels


def aligned(dataset: Dataset, model: ModelClasses) -> Dataset:
    """The data set alone; see `align`."""
    return align(dataset, model).dataset


def _used(dataset: Dataset) -> dict[str, int]:
    """The classes that have a sample, with their numbers; empty where labels have no names."""
    labels = [] if dataset.labels is None else np.unique(dataset.labels).tolist()
    return {dataset.classes[k]: k for k in labels if 0 <= k < len(dataset.classes)}


def _is_other_number(dataset: Dataset, model: ModelClasses) -> bool:
    """Whether the data has not one class for each output; nor has it where folders `1`, `10`, `2` are out of order."""
    numbers = [int(name) for name in dataset.classes if name.isascii() and name.isdecimal()]
    unordered = len(numbers) == len(dataset.classes) and numbers != sorted(numbers)
    return bool(model.outputs) and (len(dataset.classes) != model.outputs or unordered)


def _check_number(dataset: Dataset, model: ModelClasses) -> None:
    """Refuse to take classes by position where their number speaks against it.

    Raises:
        DataError: with both numbers, the data's classes, and the SPEC that would say which class is which.
    """
    more = len(dataset.classes) > model.outputs > 0
    if not (more or (_is_other_number(dataset, model) and not model.by_position)):
        return
    classes = f"data {dataset.options.spec!r} {len(dataset.classes)} classes ({_listed(dataset.classes)})"
    if model.by_position:
        raise DataError(
            f"{model.model} has {model.outputs} outputs, and {classes}, which cannot be taken by position: leave "
            "classes=positions out, or give data of the model's classes"
        )
    named, taken = "Classifier(net, classes=[...])", "Classifier(net, by_position=True)"
    if model.spec:
        with_file, by_position = (with_option(model.spec, "classes", value) for value in ("FILE", "positions"))
        named = f"--model {shlex.quote(with_file)}, where FILE has one a line"
        taken = f"--model {shlex.quote(by_position)}"
    other = "" if more else f"; or, if class n of the data is output n, say so by {taken}"
    raise DataError(
        f"{model.model} has {model.outputs} outputs without class names, and {classes}, so that nothing says which "
        f"output is which class: name all outputs in their order by {named}{other}"
    )


def _listed(names: Iterable[str]) -> str:
    """The first names of several."""
    every = list(names)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return f"{', '.join(map(repr, every[:_SHOWN]))}{more}"


def _refuse(
    dataset: Dataset, names: ClassNames, unclear: Mapping[str, tuple[int, ...]], count: int, model: str
) -> NoReturn:
    """Refuse names that are no class of the model, or of which nobody knows which.

    Raises:
        DataError: naming them, the nearest classes, and how to say which is which.
    """
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
        f"data {dataset.options.spec!r}: {len(unclear)} of its {count} classes are no class of {model}: "
        f"{'; '.join(named)}{more}; rename them, or say which class each is by ?classes=FILE, a line each: name in the "
        f"data, tab, name or number in the model{ids}"
    )
