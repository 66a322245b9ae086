"""Images for an experiment that has not moved to the frame yet."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ParameterError
from unshaken.data import Dataset, load_data, subset
from unshaken.data.resident import Samples


@dataclass(frozen=True, slots=True)
class Split:
    """Training images as bytes, and test images.

    Args:
        images: uint8 `[N, C, H, W]`.
        labels: int64 `[N]`.
        test: in a seeded, stratified choice.
        classes: number of classes K.
        fingerprint: of both.
    """

    images: Tensor
    labels: Tensor
    test: Batch
    classes: int
    fingerprint: str


def split_of(
    spec: str, model: Classifier | None, *, train: int, test: int, seed: int, download: bool, slug: str
) -> Split:
    """A stratified choice of training and of test images, as a model looks at them.

    Raises:
        DataError: the data is absent or has no labels.
        ParameterError: images are not of one size and the model does not say which it takes.
    """
    joint = "&" if "?" in spec else "?"
    sides = [load_data(f"{spec}{joint}split={split}", download=download) for split in ("train", "test")]
    found = [_samples(one, model) for one in sides]
    classes = max(s.classes for s in found)
    rows = [subset(d, n, seed) for d, n in zip(sides, (train, test), strict=True)]
    shown, seen = (s.whole(r) for s, r in zip(found, rows, strict=True))
    if shown.labels is None or seen.labels is None:
        raise DataError(f"data {spec!r} has no labels: {slug} needs the class of each image")
    if model is None and shown.images.shape[2] != shown.images.shape[3]:
        raise ParameterError(
            f"{slug}: images of {tuple(shown.images.shape[2:])} pixels: the small network takes squares"
        )
    mark = f"{sides[0].fingerprint}/{sides[1].fingerprint}"
    return Split(shown.images.mul(255).round().to(torch.uint8), shown.labels, seen, classes, mark)


def _samples(dataset: Dataset, model: Classifier | None) -> Samples:
    classes = len(dataset.classes)
    if not classes and dataset.labels is not None:
        classes = int(dataset.labels.max()) + 1
    return Samples(dataset, None if model is None else model.view, classes)
