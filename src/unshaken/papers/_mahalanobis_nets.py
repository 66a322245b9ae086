"""Images and networks for the experiment with Mahalanobis distances: some classes are never shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, UnshakenError
from unshaken.core.oracle import required
from unshaken.core.rng import SampleRng
from unshaken.data import load_data, subset
from unshaken.data.resident import Samples
from unshaken.papers._tract_nets import read_pictures
from unshaken.papers._training import cached, train_classifier
from unshaken.papers.base import Bench

UNSEEN = 2
"""Classes, the last ones, that are never shown: near to the others, and abnormal."""
FAR = ("fashion-mnist", "mnist")
"""Data sets of another kind, where they are installed."""


@dataclass(frozen=True, slots=True)
class World:
    """What is normal, and what is not.

    Args:
        images: uint8 `[N, C, H, W]` of the classes shown, to learn from.
        labels: int64 `[N]`.
        normal: test images of these classes.
        abnormal: name to images that no class shown is right for.
        key: what decides the training images.
    """

    images: Tensor
    labels: Tensor
    normal: Batch
    abnormal: Mapping[str, Batch]
    key: Mapping[str, Any]


def world(bench: Bench, train: int, count: int) -> World:
    """The bench's data without its last two classes, those two, data of another kind, and noise.

    Args:
        bench: names the data.
        train: training images of all classes, of which those of the last two are left out.
        count: images of each test set at most.

    Raises:
        DataError: the data is absent, has fewer than four classes, or too few images.
    """
    pictures = read_pictures(bench, train, 10**9)
    shown = pictures.classes - UNSEEN
    if shown < 2:
        raise DataError(f"data {bench.data!r} has {pictures.classes} classes: four or more are needed, two never shown")
    rows, test = pictures.labels < shown, pictures.test
    seen = required(test.labels) < shown
    normal, near = test[seen], test[~seen]
    if min(len(normal), len(near)) < 4:
        raise DataError(f"data {bench.data!r}: {len(normal)} normal and {len(near)} unseen test images are too few")
    far = {name: found for name in FAR if (found := _far(bench, name, normal, count)) is not None}
    noise = SampleRng.of(bench.seed, "noise", [str(i) for i in range(count)]).uniform(*normal.images.shape[1:])
    sets = {"near": near[slice(0, count)], **far, "noise": _unlabelled(noise)}
    return World(pictures.images[rows], pictures.labels[rows], normal[slice(0, count)], sets, pictures.key)


def trained(given: World, arch: str, epochs: int, seed: int) -> tuple[Classifier, bool]:
    """A network of the classes shown, from the cache where it is there."""
    key = {"paper": "mahalanobis", "unseen": UNSEEN, "epochs": epochs, "seed": seed, **given.key}

    def make() -> Classifier:
        side = given.images.shape[-1]
        return train_classifier(
            given.images, given.labels, arch=arch, side=side, augment=flipped, epochs=epochs, seed=seed
        )

    return cached(key, arch, make)


def flipped(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Half of the images mirrored."""
    mirror = torch.from_numpy(rng.random(len(images)) < 0.5)
    return torch.where(mirror[:, None, None, None], images.flip(3), images)


def _far(bench: Bench, name: str, like: Batch, count: int) -> Batch | None:
    """Images of another data set in the size and the channels of these; None where it is not installed."""
    if bench.data.split("?")[0] == name:
        return None
    try:
        data = load_data(f"{name}?split=test", download=bench.download)
        chosen = Samples(data, None, len(data.classes)).whole(subset(data, count, 0))
    except UnshakenError:
        return None
    channels, height, width = like.images.shape[1:]
    images = F.interpolate(chosen.images, (height, width), mode="bilinear", align_corners=False)
    if images.shape[1] != channels:
        images = images.mean(1, keepdim=True).expand(-1, channels, -1, -1)
    return _unlabelled(images.contiguous())


def _unlabelled(images: Tensor) -> Batch:
    return Batch(images.clamp(0, 1), None, tuple(str(i) for i in range(len(images))))
