"""The images of the experiment with Mahalanobis distances: classes never shown, other data, noise, wrong labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.errors import DataError
from unshaken.core.rng import SampleRng
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken_papers.mahalanobis import MahalanobisPaper

UNSEEN = 2
"""Classes, the last ones, that are never shown: near to the others, and abnormal."""
FAR = ("fashion-mnist", "mnist")
"""Data sets of another kind, where they are installed."""


@dataclass(frozen=True, slots=True)
class Images:
    """Normal and abnormal images.

    Args:
        train: of the classes shown, to learn from.
        added: of the classes never shown, a few of each, to add these by.
        normal: test images of the classes shown.
        abnormal: name to images for which no class shown is correct.
    """

    train: Split
    added: Split
    normal: Batch
    abnormal: Mapping[str, Batch]

    @property
    def far(self) -> dict[str, Batch]:
        """Normal images, and those of another kind."""
        return {"normal": self.normal, **{name: batch for name, batch in self.abnormal.items() if name != "near"}}


def read(paper: MahalanobisPaper, context: Context) -> Images:
    """The data without its last two classes, those two, data of another kind, and noise.

    Raises:
        DataError: the data is absent, has fewer than four classes, or too few images.
    """
    parts = context.datasets.parts(paper.train, None)
    shown, count = parts.training.classes - UNSEEN, paper.images
    if shown < 2:
        raise DataError(f"data {context.data!r} has {shown + UNSEEN} classes: four or more are needed, two never shown")
    known = parts.training.labels < shown
    train = parts.training[known]
    added = parts.training[~known].stratified(paper.shots * UNSEEN, context.seed)
    is_known = parts.testing.labels < shown
    normal, near = parts.testing[is_known].batch(), parts.testing[~is_known].batch()
    if min(len(normal), len(near)) < 4:
        raise DataError(f"data {context.data!r}: {len(normal)} normal and {len(near)} unseen test images are too few")
    others = {name: context.datasets.of_other_kind(name, normal, count) for name in FAR}
    far = {name: unlabelled(found.images) for name, found in others.items() if found is not None}
    noise = SampleRng.of(context.seed, "noise", [str(i) for i in range(count)]).uniform(*normal.images.shape[1:])
    sets = {"near": near[slice(0, count)], **far, "noise": unlabelled(noise)}
    shown_alone = Split(train.images, train.labels, train.ids, shown)
    return Images(shown_alone, added, normal[slice(0, count)], sets)


def unlabelled(images: Tensor) -> Batch:
    """Images for which no class is correct."""
    return Batch(images.clamp(0, 1), None, tuple(str(i) for i in range(len(images))))


def as_received(batch: Batch, images: Tensor) -> Batch:
    """A batch with other images, clipped and as an 8-bit file holds them."""
    return batch.with_images((images.clamp(0, 1) * 255).round() / 255)


def noisy_as(batch: Batch, changed: Batch, seed: int) -> Batch:
    """Images with Gaussian noise, for each as long (l2) as what an attack changed of it."""
    drawn = SampleRng.of(seed, "noisy", batch.ids).normal(*batch.images.shape[1:])
    length = (changed.images - batch.images).flatten(1).norm(dim=1) / drawn.flatten(1).norm(dim=1)
    return as_received(batch, batch.images + length.view(-1, 1, 1, 1) * drawn)


def redrawn(labels: Tensor, rate: float, seed: int) -> Tensor:
    """Labels of which a share is replaced by another class, each with the same probability.

    Args:
        labels: int64 `[N]`.
        rate: the share, in [0, 1].
        seed: of the draw.
    """
    generator, classes = torch.Generator().manual_seed(seed), int(labels.max()) + 1
    other = (labels + torch.randint(1, classes, labels.shape, generator=generator)) % classes
    return torch.where(torch.rand(labels.shape, generator=generator) < rate, other, labels)
