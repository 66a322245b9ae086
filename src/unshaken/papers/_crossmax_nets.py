"""Networks and images for the experiment with CrossMax: small ones trained here, or the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ParameterError
from unshaken.data import Dataset, load_data
from unshaken.data.resident import Samples
from unshaken.harden.engine.ensemble import ensemble
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.training import Training
from unshaken.models import load_model
from unshaken.models.networks.small import conv_bn
from unshaken.papers._training import cached_weights
from unshaken.papers.base import Bench

FIVE = "five-cnns"
COUNT = 5


class Strided(nn.Module):
    """Three convolutions of stride 2 and a linear layer, 19,258 parameters at `[1, 28, 28]`.

    Args:
        classes: number of logits K.
        channels: of the images.
        side: height and width in pixels.
    """

    def __init__(self, classes: int, channels: int, side: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(channels, 16, 2), conv_bn(16, 32, 2), conv_bn(32, 32, 2))
        self.head = nn.Linear(32 * (-(-side // 8)) ** 2, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images `[N, C, H, W]` to logits `[N, K]`."""
        logits: Tensor = self.head(self.body(images).flatten(1))
        return logits


def classes_of(data: Dataset) -> int:
    """The number of classes: by their names, else by the largest label.

    Raises:
        DataError: there are neither.
    """
    if data.classes:
        return len(data.classes)
    if data.labels is None or not len(data):
        raise DataError(f"data {data.options.spec!r} has no labels: the experiment needs the class of each image")
    return int(data.labels.max()) + 1


@dataclass(frozen=True, slots=True)
class Group:
    """An ensemble and images that it has not seen.

    Args:
        model: the ensemble.
        images: the first of the test images.
        cached: whether all networks came from the cache, or were given.
    """

    model: Classifier
    images: Batch
    cached: bool


class TrainedGroups:
    """Ensembles trained here, by seed; each network has training images of its own.

    Args:
        bench: names the data; it must have the splits train and test.
        photos: test images to study.
        epochs: of each network's training.
        images: training images of each network.

    Raises:
        DataError: the data is absent; the message says how to get it.
    """

    def __init__(self, bench: Bench, photos: int, epochs: int, images: int) -> None:
        joint = "&" if "?" in bench.data else "?"
        train, test = (load_data(f"{bench.data}{joint}split={s}", download=bench.download) for s in ("train", "test"))
        self.classes = classes_of(train)
        self.train, self.test = (Samples(d, None, self.classes) for d in (train, test))
        self.prints = {"train": train.fingerprint, "test": test.fingerprint}
        self.photos, self.epochs, self.images = photos, epochs, images

    def key(self) -> dict[str, Any]:
        """What decides the networks and the images."""
        return {**self.prints, "photos": self.photos, "epochs": self.epochs, "images": self.images}

    def group(self, seed: int) -> Group:
        """The ensemble of one seed."""
        found = [self._member(COUNT * seed + i) for i in range(COUNT)]
        batch = self.test.whole(self.test.good[: self.photos])
        return Group(ensemble([m for m, _ in found], name=FIVE), batch, all(old for _, old in found))

    def _member(self, seed: int) -> tuple[Classifier, bool]:
        pixels = self.train.resident
        if pixels is None:
            raise ParameterError("crossmax-ensemble: the training images do not fit into memory: give a smaller set")
        rng = np.random.Generator(np.random.Philox(key=[seed, 0x63726F73]))
        rows = torch.from_numpy(np.sort(rng.permutation(len(pixels))[: self.images]))
        labels = self.train.labels[self.train.good][rows]
        model = self._fresh(pixels[rows], seed)
        training = Training(
            epochs=self.epochs, seed=seed, held_out=100, check_images=10, check_every=self.epochs, select="last"
        )
        key = {"net": "strided", "data": self.prints["train"], "images": self.images, **training.model_dump()}
        weights, old = cached_weights(
            key, lambda: fit(model, pixels[rows], labels, (), training, classes=self.classes).last.net.state_dict()
        )
        model.net.load_state_dict(weights)
        return model.eval(), old

    def _fresh(self, pixels: Tensor, seed: int) -> Classifier:
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
            net = Strided(self.classes, pixels.shape[1], pixels.shape[2])
        some = pixels[:5000].float() / 255
        return Classifier(net, mean=some.mean((0, 2, 3)).tolist(), std=some.std((0, 2, 3)).clamp(min=1e-3).tolist())


class GivenGroup:
    """The user's own networks, the same for every seed.

    Args:
        bench: names the networks as `A|B|C`, and the data.
        photos: images to study.

    Raises:
        ParameterError: fewer than three networks are named.
    """

    def __init__(self, bench: Bench, photos: int) -> None:
        specs = [s.strip() for s in bench.model.split("|")]
        if len(specs) < 3:
            raise ParameterError(
                f"crossmax-ensemble: model {bench.model!r}: name three networks or more, as in "
                "'run:A|run:B|run:C'; a median of fewer decides nothing"
            )
        self.model = ensemble([load_model(s, download=bench.download).eval() for s in specs])
        data = load_data(bench.data, download=bench.download)
        samples = Samples(data, self.model.view, classes_of(data))
        self.images = samples.whole(samples.good[:photos])
        self.fingerprint, self.names = data.fingerprint, specs

    def key(self) -> dict[str, Any]:
        """What decides the networks and the images."""
        return {"models": self.names, "data": self.fingerprint, "photos": len(self.images)}

    def group(self, seed: int) -> Group:
        """The networks, and the images."""
        return Group(self.model, self.images, True)
