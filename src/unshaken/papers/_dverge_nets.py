"""Ensembles for the experiment with DVERGE: baselines, and what each arm makes of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError
from unshaken.data import load_data
from unshaken.data.resident import Samples
from unshaken.harden.engine.ensemble import ensemble
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.harden.recipes.ensembles.dverge import Dverge
from unshaken.models.networks.architectures import build
from unshaken.models.networks.small import conv_bn
from unshaken.papers._crossmax_nets import classes_of
from unshaken.papers._training import cached_weights
from unshaken.papers.base import Bench

TINY = "tiny-cnn"
COUNT = 3
ARMS: Mapping[str, str] = {"extra-ce": "clean", "noise-ce": "noise", "dverge": "others", "self-distilled": "own"}
"""Arm to what its members learn from."""


class Tiny(nn.Module):
    """Four convolutions of 8 to 32 channels, the mean over places, a linear layer; 8,610 parameters for 1 channel.

    Args:
        classes: number of logits K.
        channels: of the images.
    """

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(channels, 8), conv_bn(8, 16, 2), conv_bn(16, 16), conv_bn(16, 32, 2))
        self.head = nn.Linear(32, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images `[N, C, H, W]` to logits `[N, K]`."""
        logits: Tensor = self.head(self.body(images).mean((2, 3)))
        return logits


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long is trained.

    Args:
        images: training images.
        baseline: epochs of each baseline.
        epochs: of each arm.
    """

    images: int
    baseline: int
    epochs: int


class Ensembles:
    """Baselines, surrogates and arms by seed.

    Args:
        bench: names the data, with the splits train and test, and the architecture.
        photos: test images to study.
        lengths: how long is trained.

    Raises:
        DataError: the data is absent; the message says how to get it.
        ParameterError: the model is no architecture, or the images do not fit into memory.
    """

    def __init__(self, bench: Bench, photos: int, lengths: Lengths) -> None:
        joint = "&" if "?" in bench.data else "?"
        train, test = (load_data(f"{bench.data}{joint}split={s}", download=bench.download) for s in ("train", "test"))
        self.arch, self.lengths, self.photos = bench.model, lengths, photos
        self.classes = classes_of(train)
        samples, held = (Samples(d, None, self.classes) for d in (train, test))
        if samples.resident is None:
            raise ParameterError("dverge: the training images do not fit into memory: give a smaller set")
        rng = np.random.Generator(np.random.Philox(key=[0, 0x64766572]))
        rows = np.sort(rng.permutation(len(samples.resident))[: lengths.images])
        self.pixels = samples.resident[torch.from_numpy(rows)]
        self.labels = samples.labels[samples.good][torch.from_numpy(rows)]
        self.test: Batch = held.whole(held.good[:photos])
        self.prints = {"train": train.fingerprint, "test": test.fingerprint}
        self.fresh(0)

    def key(self) -> dict[str, Any]:
        """What decides the networks and the images."""
        lengths = {"images": self.lengths.images, "baseline": self.lengths.baseline, "epochs": self.lengths.epochs}
        return {**self.prints, "arch": self.arch, "photos": self.photos, **lengths}

    def fresh(self, seed: int) -> Classifier:
        """A network with weights drawn from a seed.

        Raises:
            ParameterError: there is no such architecture.
        """
        channels, side = self.pixels.shape[1:3]
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
            net = (
                Tiny(self.classes, channels)
                if self.arch == TINY
                else build(self.arch, classes=self.classes, channels=channels, side=side)
            )
        some = self.pixels[:5000].float() / 255
        return Classifier(net, mean=some.mean((0, 2, 3)).tolist(), std=some.std((0, 2, 3)).clamp(min=1e-3).tolist())

    def baseline(self, seed: int, first: int = 0) -> Classifier:
        """Networks trained each by itself; other `first`, other networks: surrogates are never those of an arm."""
        return ensemble([self._member(1000 * seed + first + i) for i in range(COUNT)]).eval()

    def _member(self, seed: int) -> Classifier:
        model = self.fresh(seed)
        training = self._training(self.lengths.baseline, 0.05, seed)
        flips = [CropFlip(pad=0)]
        key = {"use": "dverge-baseline", **self.key(), **training.model_dump()}
        weights, _ = cached_weights(
            key,
            lambda: fit(model, self.pixels, self.labels, flips, training, classes=self.classes).last.net.state_dict(),
        )
        model.net.load_state_dict(weights)
        return model

    def arm(self, name: str, seed: int) -> tuple[Classifier, bool]:
        """The baseline of a seed, trained on in one way; and whether it came from the cache."""
        start = copy.deepcopy(self.baseline(seed))
        training = self._training(self.lengths.epochs, 0.02, seed)
        recipes = [CropFlip(pad=0), Dverge(eps=0.15, steps=5, step_size=0.2, learn=ARMS[name])]
        key = {"use": "dverge-arm", **self.key(), **training.model_dump(), **recipes[1].model_dump()}
        weights, old = cached_weights(
            key,
            lambda: fit(start, self.pixels, self.labels, recipes, training, classes=self.classes).last.net.state_dict(),
        )
        start.net.load_state_dict(weights)
        return start.eval(), old

    def _training(self, epochs: int, rate: float, seed: int) -> Training:
        return Training(
            epochs=epochs, lr=rate, schedule="linear", seed=seed, held_out=100, check_images=10, check_every=epochs,
            select="last",
        )  # fmt: skip
