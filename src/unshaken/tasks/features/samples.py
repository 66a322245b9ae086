"""Features of the samples of an evaluation, from one pass over them, kept in its run directory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unshaken.core.errors import DataError
from unshaken.models.layer_features import Pool, features_of_batches
from unshaken.tasks.evaluation import EvaluationSubject


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
        layers: as in `layer_features`.
        pool: likewise.

    Raises:
        DataError: no sample is left.
        ModelError: there is no such layer.
    """
    dataset = subject.samples

    def make() -> dict[str, Tensor]:
        ids, labels = list[str](), list[Tensor]()

        def images() -> Iterator[Tensor]:
            for batch in subject.batches():
                ids.extend(batch.ids)
                labels.append(torch.full((len(batch),), -1) if batch.labels is None else batch.labels.cpu())
                yield batch.images

        parts = images()
        first = next(parts, None)
        if first is None:
            raise DataError(f"none of the samples of {dataset.options.spec!r} can be read: there is nothing to judge")
        every = itertools.chain([first], parts)
        found = features_of_batches(subject.model, every, layers, pool=pool, count=len(subject.indices))
        kept = torch.ones(len(ids), dtype=torch.bool)
        for values in found.values():
            kept &= subject.keep_finite(values, ids)
        place = {dataset.ids[i]: i for i in subject.indices}
        numbers = torch.tensor([place[i] for i in ids], dtype=torch.int64)
        own = {f"features/{name}": values[kept].contiguous() for name, values in found.items()}
        return {**own, "labels": torch.cat(labels)[kept], "indices": numbers[kept]}

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
