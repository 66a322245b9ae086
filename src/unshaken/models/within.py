"""Classifiers that choose among some of their classes alone, such as the 200 of ImageNet-R."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.label_record import LabelRecord
from unshaken.data import Dataset
from unshaken.models.class_names import ClassNames, wordnet_id
from unshaken.models.loaders.settings import mark_source, source_of

DATA = "data"
"""The classes that occur in the data, as the option `within` names them."""
PUBLISHED = {"ImageNet-A": "imagenet_a_synsets.txt", "ImageNet-R": "imagenet_r_synsets.txt"}
"""Sets of 200 ImageNet classes that are scored among these alone as published, and the files of timm that name them."""


class ChosenClasses(nn.Module):
    """Some logits of a net, in a given order.

    Args:
        net: from images to logits `[N, K]`.
        chosen: numbers of its classes.
    """

    def __init__(self, net: nn.Module, chosen: Sequence[int]) -> None:
        super().__init__()
        self.net, self.chosen = net, tuple(chosen)
        self.register_buffer("columns", torch.tensor(self.chosen), persistent=False)
        mark_source(self, source_of(net))

    columns: Tensor

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(images)
        return logits[:, self.columns]


def choose_classes(classifier: Classifier, chosen: Sequence[int]) -> Classifier:
    """The same model, sharing all weights, that chooses among some of its classes.

    Args:
        classifier: with K classes.
        chosen: numbers of its classes; class n of the result is the n-th of them.
    """
    if classifier.labels_only:
        raise ModelError(
            f"model {classifier.name!r} gives labels only, which cannot be had among some of its classes alone: "
            "take images of all classes, or add ?within=all to its SPEC"
        )
    net = ChosenClasses(classifier.net, chosen).to(next(classifier.buffers(), torch.zeros(0)).device)
    mean, std = (None if v is None else v.flatten().tolist() for v in (classifier.mean, classifier.std))
    other = Classifier(
        net, mean=mean, std=std, classes=[classifier.classes[k] if classifier.classes else str(k) for k in chosen],
        view=classifier.view, differentiable=classifier.differentiable, name=classifier.name,
        one_by_one=classifier.one_by_one, by_position=classifier.by_position, within=classifier.within,
    )  # fmt: skip
    net.training, other.training = classifier.net.training, classifier.training
    return other


def choose_same(other: Classifier, model: Classifier, *, purpose: str) -> Classifier:
    """Another model with the outputs of this model's classes, found by name.

    It is as it was where either has no names, or where its SPEC says `classes=positions`. Published lists of the same
    classes differ in some words: where all that are found are in their places, one in ten may not be found.

    Args:
        other: such as a surrogate or a teacher.
        model: whose classes are wanted, in its order.
        purpose: of the other model, for the message.

    Raises:
        ParameterError: some of the classes are not found in the other model, and the others are numbered otherwise, or
            too few.
    """
    mine, names = ClassNames(model.classes), ClassNames(other.classes)
    if mine.unnamed or names.unnamed or other.by_position:
        return other
    hits = [names.find(name) for name in model.classes]
    chosen = [found[0] for found in hits if len(found) == 1]
    if len(chosen) == len(hits):
        return other if chosen == list(range(len(other.classes))) else choose_classes(other, chosen)
    moved = next((k for k, found in enumerate(hits) if len(found) == 1 and found[0] != k), None)
    lost = [name for name, found in zip(model.classes, hits, strict=True) if len(found) != 1]
    if moved is None and 10 * len(lost) <= len(hits):
        return other
    if moved is None:
        raise ParameterError(
            f"{purpose} {other.name!r} has no class named as {len(lost)} of the {len(hits)} classes of model "
            f"{model.name!r}, such as {lost[0]!r}: use one of the same classes, name them alike by ?classes=FILE, or "
            "take class n for class n by ?classes=positions"
        )
    raise ParameterError(
        f"{purpose} {other.name!r} numbers its classes otherwise than model {model.name!r}: "
        f"{model.classes[moved]!r} is {hits[moved][0]} and {moved}, and {lost[0]!r} is not found: use one of the same "
        "classes, or name them alike by ?classes=FILE"
    )


def restrict(
    classifier: Classifier, dataset: Dataset, record: LabelRecord | None, *, outputs: int, names: Sequence[str]
) -> tuple[Classifier, Dataset, LabelRecord | None]:
    """Model, data and record for scores among the classes that occur in the data, where these are wanted.

    Wanted they are by the option `within=data` of the model's SPEC, and for the published sets of `PUBLISHED` unless
    it says `within=all`.

    Args:
        classifier: the model.
        dataset: labels number the model's classes.
        record: how they became so; None without labels.
        outputs: number of the model's classes.
        names: of the data's classes, as they were before.

    Raises:
        ParameterError: they are wanted, and fewer than two classes occur, or nothing says which.
    """
    published = published_set(names)
    if classifier.within == "all" or not (classifier.within or published):
        return classifier, dataset, record
    labels = np.zeros(0, np.int64) if dataset.labels is None else dataset.labels
    chosen = np.unique(labels[(labels >= 0) & (labels < outputs)]).tolist()
    if len(chosen) == outputs:
        return classifier, dataset, record
    guarded = type(classifier) is not Classifier or classifier.reject is not None
    if record is None or len(chosen) < 2 or guarded:  # attacks adapt to a defence, which must stay in sight
        if classifier.within != DATA:
            return classifier, dataset, record
        why = "a defence is around it" if len(chosen) > 1 else f"{dataset.options.spec!r} has labels of {len(chosen)}"
        raise ParameterError(f"model {classifier.name!r}: within=data chooses among the data's classes, and {why}")
    place = {k: n for n, k in enumerate(chosen)}
    labels = np.array([place.get(k, -1) for k in labels.tolist()], np.int64)
    restricted = choose_classes(classifier, chosen)
    found = {name: place[k] for name, k in record.classes.items() if k in place}
    record = record.model_copy(update={"classes": found, "within": published or DATA})
    return restricted, dataset.renumbered(labels, restricted.classes), record


def refuse_within(classifier: Classifier, purpose: str) -> None:
    """Refuse a model that is to choose among the data's classes, where nothing reads the wish.

    Args:
        classifier: the model.
        purpose: for which it is refused, for the message.

    Raises:
        ParameterError: it has the option `within=data`.
    """
    if classifier.within == DATA:
        raise ParameterError(
            f"model {classifier.name!r}: within=data is for audits, attacks, certificates and explanations, and not "
            f"{purpose}: leave it out"
        )


def published_set(classes: Sequence[str]) -> str:
    """The published set that has exactly these classes, by WordNet id, `ImageNet-A` or `ImageNet-R`; else empty."""
    ids = {wordnet_id(name) for name in classes}
    return next((name for name, own in _published().items() if own == ids), "") if None not in ids else ""


@cache
def _published() -> dict[str, frozenset[str]]:
    """WordNet ids of each set; empty without timm, whose files name them."""
    timm = importlib.util.find_spec("timm")
    if timm is None or timm.origin is None:
        return {}
    files = {name: Path(timm.origin).parent / "data" / "_info" / file for name, file in PUBLISHED.items()}
    return {name: frozenset(file.read_text("ascii").split()) for name, file in files.items() if file.is_file()}
