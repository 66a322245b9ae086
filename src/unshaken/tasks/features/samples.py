"""Features of the samples of an evaluation, from one pass over them, kept in its run directory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.errors import DataError
from unshaken.explain.engine.layer_features import Pool, features_of_batches
from unshaken.tasks.evaluation import EvaluationSubject

PIXELS = "pixels"
"""A layer that every model has: the image itself, averaged over places to at most `SIDE` x `SIDE`."""
SIDE = 16


@dataclass(frozen=True, slots=True)
class SampleFeatures:
    """Features of the N readable, labelled samples of a set.

    Args:
        features: layer to float32 `[N, D]`, or `[N, C, h, w]` of maps.
        labels: int64 `[N]`, numbers of `classes`.
        classes: names of the set's classes.
        ids: of the samples.
        unlabelled: samples that were left out because they have no label.
    """

    features: Mapping[str, Tensor]
    labels: Tensor
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    unlabelled: int

    def name_of(self, label: int) -> str:
        """The name of a class, or its number where it has none."""
        return self.classes[label] if label < len(self.classes) else str(label)


def read_features(
    subject: EvaluationSubject, part: str, layers: Sequence[str], *, pool: Pool = "mean"
) -> SampleFeatures:  # fmt: skip
    """Features of a subject's samples; those that cannot be read or have values that are not finite are noted as bad.

    Args:
        subject: with a model and labelled samples.
        part: name under which the run keeps them.
        layers: as in `layer_features`, and `PIXELS`.
        pool: likewise.

    Raises:
        DataError: no sample is left.
        ModelError: there is no such layer.
    """
    dataset = subject.samples

    def make() -> dict[str, Tensor]:
        ids, labels, small = list[str](), list[Tensor](), list[Tensor]()

        def images() -> Iterator[Tensor]:
            for batch in subject.batches():
                ids.extend(batch.ids)
                labels.append(torch.full((len(batch),), -1) if batch.labels is None else batch.labels.cpu())
                if PIXELS in layers:
                    height, width = batch.images.shape[2:]
                    size = min(SIDE, height), min(SIDE, width)
                    small.append(F.adaptive_avg_pool2d(batch.images, size).flatten(1).cpu())
                yield batch.images

        parts = images()
        first = next(parts, None)
        if first is None:
            raise DataError(f"none of the samples of {dataset.options.spec!r} can be read: there is nothing to judge")
        every = itertools.chain([first], parts)
        own = [layer for layer in layers if layer != PIXELS]
        found = features_of_batches(subject.model, every, own, pool=pool, count=len(subject.indices))
        if small:
            found[PIXELS] = torch.cat(small)
        kept = torch.ones(len(ids), dtype=torch.bool)
        for values in found.values():
            kept &= subject.keep_finite(values, ids)
        place = {dataset.ids[i]: i for i in subject.indices}
        numbers = torch.tensor([place[i] for i in ids], dtype=torch.int64)
        features = {f"features/{name}": values[kept].contiguous() for name, values in found.items()}
        return {**features, "labels": torch.cat(labels)[kept], "indices": numbers[kept]}

    kept = subject.arrays(part, make)
    known = kept["labels"] >= 0
    if not bool(known.any()):
        raise DataError(f"no sample of {dataset.options.spec!r} has a label and can be read: there is nothing to judge")
    return SampleFeatures(
        {layer: kept[f"features/{layer}"][known] for layer in layers},
        kept["labels"][known],
        tuple(dataset.classes),
        tuple(dataset.ids[i] for i in kept["indices"][known].tolist()),
        int((~known).sum()),
    )


def with_classes_of(reference: SampleFeatures, samples: SampleFeatures) -> SampleFeatures:
    """Samples whose labels are numbered as those of a reference set: by the classes' names, where both have them.

    Args:
        reference: such as the training images.
        samples: that are judged beside them.

    Raises:
        DataError: a class of the samples is none of the reference's.
    """
    labels = samples.labels
    if samples.classes and reference.classes and samples.classes != reference.classes:
        place = {name: k for k, name in enumerate(reference.classes)}
        if lost := [name for name in (samples.classes[k] for k in {*labels.tolist()}) if name not in place]:
            known = f"{', '.join(reference.classes[:5])}{' and others' if len(reference.classes) > 5 else ''}"
            raise DataError(f"{lost[0]!r} is no class of the reference images, which have {known}: take it out")
        labels = torch.tensor([place.get(name, -1) for name in samples.classes])[labels]
    if unknown := sorted({*labels.tolist()} - {*reference.labels.tolist()}):
        raise DataError(
            f"no reference image is of the class {reference.name_of(unknown[0])!r}: add some, or take it out"
        )
    return replace(samples, labels=labels, classes=reference.classes)
