"""Crop selection with a small strided network on CIFAR-10, as trained and trained on random crops."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from unshaken.certify.crops.crop_selection import CropSelection, ball_rate, resize
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, View, evaluating
from unshaken.core.errors import DataError
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.data import Dataset, load_data, stream, subset
from unshaken.papers._crop_figures import against, looked_figures, rate, read_agreed, read_seen
from unshaken.papers._shifted import EIGHT, Look, agreed, looked, named
from unshaken.papers._training import cached, train_classifier
from unshaken.papers.base import Bench

PREFIX = "small"
PHOTO, WINDOW, CROPS = 32, 28, (24, 22, 20)
SHARD = 2000


class SmallExperiment:
    """The experiment, ready to run.

    Args:
        bench: where it runs.
        photos: test photos.
        epochs: of training, for each of the two networks.

    Raises:
        DataError: CIFAR-10 is absent; the message says how to get it.
    """

    def __init__(self, bench: Bench, photos: int, epochs: int) -> None:
        self.bench, self.epochs = bench, epochs
        self.train = load_data("cifar10?split=train", download=bench.download)
        self.test = load_data("cifar10?split=test", download=bench.download)
        self.indices = subset(self.test, photos, bench.seed).tolist()
        self.plain = Look(f"plain-{WINDOW}", "centre_crop", WINDOW)
        self.selections = [Look(f"hash-{m}", "crop_selection", m, CropSelection(crop=m)) for m in CROPS]

    def key(self) -> dict[str, Any]:
        """What decides the rows."""
        return {
            "small_photos": len(self.indices),
            "small_epochs": self.epochs,
            "small_train": self.train.fingerprint,
            "small_test": self.test.fingerprint,
        }

    def run(self) -> dict[str, Any]:
        """Train what is not in the cache, put all rows that are not there yet, then the figures."""
        nets = {"as-trained": self._network(by_crops=False), "on-crops": self._network(by_crops=True)}
        batch = _whole(self.test, self.indices)
        with track("small network under shifts", len(nets) * len(batch)) as task:
            for name, (net, _) in nets.items():
                looks, prefix = self._looks(name), f"{PREFIX}.{name}"
                finished = self.bench.run.finished()
                oracle = Oracle(net, limit=256)
                with evaluating(net):
                    for shard, first in enumerate(range(0, len(batch), SHARD)):
                        part = batch[slice(first, first + SHARD)]
                        if (named(prefix, looks[-1], EIGHT[-1]), shard) not in finished:
                            self._shard(part, shard, looks, prefix, oracle)
                        task.advance(len(part))
        figures = self._figures(nets)
        figures["networks_from_cache"] = all(found for _, found in nets.values())
        return figures

    def _looks(self, name: str) -> list[Look]:
        return [self.plain, *self.selections] if name == "as-trained" else self.selections

    def _shard(self, batch: Batch, shard: int, looks: list[Look], prefix: str, oracle: Oracle) -> None:
        for look in looks:
            if look.selection is not None:
                self.bench.keep([agreed(batch, look, WINDOW, EIGHT, prefix, "8-neighbours")], shard)
            self.bench.keep(looked(batch, look, WINDOW, EIGHT, oracle, prefix), shard)

    def _figures(self, nets: dict[str, tuple[Classifier, bool]]) -> dict[str, Any]:
        run = self.bench.run
        seen = {name: read_seen(run, f"{PREFIX}.{name}", self._looks(name), EIGHT) for name in nets}
        plain = seen["as-trained"][self.plain.name]
        same = read_agreed(run, f"{PREFIX}.as-trained", self.selections)
        return {
            "same_crop": {"hash": {str(k.size): rate(same[k.name]) for k in self.selections}},
            "law": {str(m): round(ball_rate(WINDOW - m + 1, 1), 4) for m in CROPS},
            "looks": {
                name: {k: looked_figures(s, neighbours=False) for k, s in found.items()} for name, found in seen.items()
            },
            "against_plain": {
                name: {k: against(plain, s) for k, s in found.items() if s is not plain} for name, found in seen.items()
            },
        }

    def _network(self, *, by_crops: bool) -> tuple[Classifier, bool]:
        key = {
            "data": self.train.fingerprint,
            "epochs": self.epochs,
            "seed": self.bench.seed,
            "shown": list(CROPS) if by_crops else WINDOW,
        }
        return cached(key, "small", lambda: self._trained(by_crops))

    def _trained(self, by_crops: bool) -> Classifier:
        batch = _whole(self.train, list(range(len(self.train))))
        if batch.labels is None:
            raise DataError(f"data {self.train.options.spec!r} has no labels to train on")
        net = train_classifier(
            (batch.images * 255).round().to(torch.uint8),
            batch.labels,
            arch="small",
            side=WINDOW,
            augment=shown_crops if by_crops else shown_windows,
            epochs=self.epochs,
            seed=self.bench.seed,
        )
        net.view = View(WINDOW, WINDOW)
        return net


def shown_windows(images: Tensor, rng: np.random.Generator) -> Tensor:
    """The usual augmentation: a random 28 x 28 window of 32 x 32, mirrored half the time."""
    return _random_crops(images, WINDOW, rng)


def shown_crops(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Random crops of the sides that crop selection will show, one side a batch, resized to 28 x 28."""
    return resize(_random_crops(images, int(rng.choice(CROPS)), rng), (WINDOW, WINDOW))


def _random_crops(images: Tensor, side: int, rng: np.random.Generator) -> Tensor:
    n = len(images)
    top, left = rng.integers(0, images.shape[2] - side + 1, (2, n)).tolist()
    crops = torch.stack([x[:, t : t + side, a : a + side] for x, t, a in zip(images, top, left, strict=True)])
    mirror = torch.from_numpy(rng.random(n) < 0.5)
    return torch.where(mirror[:, None, None, None], crops.flip(3), crops)


def _whole(dataset: Dataset, indices: list[int]) -> Batch:
    """Samples as one batch; bad ones are left out."""
    found = stream(dataset, indices, view=View(PHOTO, PHOTO), batch_size=max(1, len(indices)))
    batches = [item for item in found if isinstance(item, Batch)]
    if not batches:
        raise DataError(f"data {dataset.options.spec!r}: no photo can be read")
    return batches[0]
