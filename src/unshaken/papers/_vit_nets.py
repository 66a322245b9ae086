"""Images and networks for the experiment with patches: a small ViT, and a small CNN of about its accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, View, evaluating
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.oracle import Oracle, required
from unshaken.data import Dataset, load_data, stream
from unshaken.models import load_model
from unshaken.papers._training import cached, train_classifier
from unshaken.papers.base import Bench

SMALL = "small-vit|small-cnn"
SIDE, MARGIN = 32, 4
HELD = 2000
"""Test images that tell when the CNN is as good as the ViT; they are looked at for nothing else."""
ASKS = 4
VIT: dict[str, Any] = {"optimizer": "adamw", "rate": 2e-3, "weight_decay": 0.05, "smoothing": 0.0}
CNN: dict[str, Any] = {"optimizer": "adamw", "rate": 3e-3, "weight_decay": 0.05, "smoothing": 0.0}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two networks of about the same accuracy, and images that neither has seen.

    Args:
        vit: attends.
        cnn: convolves.
        images: to study, in a seeded order.
        cached: whether both came from the cache, or were given.
    """

    vit: Classifier
    cnn: Classifier
    images: Batch
    cached: bool


class TrainedPairs:
    """Networks trained here, by seed.

    Args:
        bench: names the data; it must have the splits train and test.
        photos: test images to study.
        epochs: of each network's training at most.

    Raises:
        DataError: the data is absent; the message says how to get it.
    """

    def __init__(self, bench: Bench, photos: int, epochs: int) -> None:
        self.photos, self.epochs = photos, epochs
        joint = "&" if "?" in bench.data else "?"
        self.train, self.test = (
            load_data(f"{bench.data}{joint}split={split}", download=bench.download) for split in ("train", "test")
        )

    def key(self) -> dict[str, Any]:
        """What decides the networks and the images."""
        return {
            "train": self.train.fingerprint,
            "test": self.test.fingerprint,
            "photos": self.photos,
            "epochs": self.epochs,
        }

    def pair(self, seed: int) -> Pair:
        """Both networks of one seed."""
        order = np.random.Generator(np.random.Philox(seed)).permutation(len(self.test)).tolist()
        share = min(HELD, len(order) // 3)
        held = whole(self.test, order[:share])
        vit, old = self._vit(seed)
        cnn, too = self._cnn(seed, vit, held)
        return Pair(vit, cnn, whole(self.test, order[share : share + self.photos]), old and too)

    def _key(self, seed: int, recipe: dict[str, Any]) -> dict[str, Any]:
        return {"data": self.train.fingerprint, "epochs": self.epochs, "seed": seed, "shown": "crops", **recipe}

    def _vit(self, seed: int) -> tuple[Classifier, bool]:
        return cached(self._key(seed, VIT), "small-vit", lambda: self._trained(seed, "small-vit", VIT))

    def _cnn(self, seed: int, vit: Classifier, held: Batch) -> tuple[Classifier, bool]:
        goal = round(accuracy(vit, held) - 0.01, 6)
        key = self._key(seed, CNN) | {"until": goal, "asks": ASKS, "held": self.test.fingerprint, "count": len(held)}

        def enough(net: Classifier, _: float) -> bool:
            return accuracy(net, held) >= goal

        return cached(key, "small-cnn", lambda: self._trained(seed, "small-cnn", {**CNN, "stop": enough, "asks": ASKS}))

    def _trained(self, seed: int, arch: str, recipe: dict[str, Any]) -> Classifier:
        batch = whole(self.train, list(range(len(self.train))))
        net = train_classifier(
            (batch.images * 255).round().to(torch.uint8),
            required(batch.labels),
            arch=arch,
            side=SIDE,
            augment=shown,
            epochs=self.epochs,
            seed=seed,
            **recipe,
        )
        net.view = View(SIDE, SIDE, channels=3)
        return net


class GivenPairs:
    """Two networks of the user's own, the same for every seed.

    Args:
        bench: names the networks as `VIT|CNN`, and the data.
        photos: images to study.

    Raises:
        ParameterError: not two networks are named, or they look at photos differently.
    """

    def __init__(self, bench: Bench, photos: int) -> None:
        specs = bench.model.split("|")
        if len(specs) != 2:
            raise ParameterError(
                f"vit-patch: model {bench.model!r}: name a transformer and a network without attention, as in "
                "'timm:deit_small_patch16_224|torchvision:resnet50'"
            )
        self.vit, self.cnn = (load_model(spec.strip(), download=bench.download) for spec in specs)
        if self.vit.view is None or (self.cnn.view is not None and self.cnn.input_size != self.vit.input_size):
            raise ParameterError(f"vit-patch: {bench.model!r}: both networks must take images of one size")
        self.photos = photos
        self.data = load_data(bench.data, download=bench.download)

    def key(self) -> dict[str, Any]:
        """What decides the networks and the images."""
        return {"vit": self.vit.name, "cnn": self.cnn.name, "data": self.data.fingerprint, "photos": self.photos}

    def pair(self, seed: int) -> Pair:
        """The two networks, and images in the order of a seed."""
        order = np.random.Generator(np.random.Philox(seed)).permutation(len(self.data)).tolist()
        return Pair(self.vit, self.cnn, whole(self.data, order[: self.photos], self.vit.view), True)


def accuracy(net: Classifier, batch: Batch) -> float:
    """The share of right predictions."""
    with evaluating(net):
        logits = Oracle(net, limit=500).exact(batch.images)
    return float((logits.argmax(1) == required(batch.labels)).double().mean())


def shown(images: Tensor, rng: np.random.Generator) -> Tensor:
    """The usual augmentation: moved by up to 4 pixels over a black border, mirrored half the time."""
    n, side = len(images), images.shape[2]
    padded = F.pad(images, (MARGIN,) * 4)
    top, left = rng.integers(0, 2 * MARGIN + 1, (2, n)).tolist()
    crops = torch.stack([x[:, t : t + side, a : a + side] for x, t, a in zip(padded, top, left, strict=True)])
    mirror = torch.from_numpy(rng.random(n) < 0.5)
    return torch.where(mirror[:, None, None, None], crops.flip(3), crops)


def whole(dataset: Dataset, indices: list[int], view: View | None = None) -> Batch:
    """Samples as one batch; bad ones are left out.

    Raises:
        DataError: none can be read, or there are no labels.
    """
    view = View(SIDE, SIDE, channels=3) if view is None else view
    parts = [item for item in stream(dataset, indices, view=view, batch_size=1000) if isinstance(item, Batch)]
    if not parts or parts[0].labels is None:
        raise DataError(f"data {dataset.options.spec!r}: no labelled image can be read")
    return Batch.concat(parts)
