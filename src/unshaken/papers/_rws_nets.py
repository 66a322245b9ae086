"""Networks for the experiment with weight signatures: six convolutions without norms, trained and fine-tuned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError
from unshaken.core.rng import SampleRng
from unshaken.data import load_data
from unshaken.data.resident import Samples
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.augmentation.corruptions import Corruptions
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.harden.recipes.augmentation.noise import Noise, noisy
from unshaken.papers._training import cached_weights
from unshaken.papers.base import Bench

WIDTHS = (16, 16, 32, 32, 64, 64)
NOISE = 0.2
SHOWN: dict[str, Recipe] = {
    "noise": Noise(sd=NOISE),
    "blur": Corruptions(names="gaussian_blur", severities="5", preset="tiny"),
    "contrast": Corruptions(names="contrast", severities="2", preset="cifar"),
}
"""Kind to the recipe that its robust weights learn from: deviation 0.2; sigma of 1.5 pixels; contrast halved."""
Weights = dict[str, Tensor]
Split = tuple[Tensor, Tensor, str]
"""Images as bytes, labels, and the fingerprint of the data."""


class SixConvs(nn.Sequential):
    """Six convolutions with biases, max-pooling after every second, the mean over places and a linear layer.

    Args:
        classes: number of logits K.
        channels: of the images.
    """

    def __init__(self, classes: int, channels: int) -> None:
        layers: list[nn.Module] = []
        for i, (one, two) in enumerate(zip((channels, *WIDTHS), WIDTHS, strict=False)):
            layers += [nn.Conv2d(one, two, 3, 1, 1), nn.ReLU()]
            if i in (1, 3):
                layers.append(nn.MaxPool2d(2))
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], classes))
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is trained.

    Args:
        pretraining: images, at most 3/5 of all.
        tuning: other images.
        validation: test images to choose on.
        test: other test images.
        epochs: of pretraining.
        tuning_epochs: of each fine-tuning.
    """

    pretraining: int
    tuning: int
    validation: int
    test: int
    epochs: int
    tuning_epochs: int


class World:
    """Data and weights of one seed.

    Args:
        data: what `splits` gave.
        sizes: see `Sizes`.
        seed: of order, weights and all that is drawn.
    """

    def __init__(self, data: tuple[Split, Split], sizes: Sizes, seed: int) -> None:
        self.sizes, self.seed = sizes, seed
        self.train, self.rest = data
        order = torch.from_numpy(np.random.Generator(np.random.Philox(seed)).permutation(len(self.train[1])))
        start = min(sizes.pretraining, 3 * len(order) // 5)
        self.rows = order[:start], order[start : start + sizes.tuning]
        later = torch.from_numpy(np.random.Generator(np.random.Philox(seed + 1000)).permutation(len(self.rest[1])))
        held = min(sizes.validation, len(later) // 3)
        self.validation = self._batch(later[:held])
        self.test = self._batch(later[held : held + sizes.test])
        self.cached = True

    def classifier(self, weights: Weights | None, classes: int | None = None) -> Classifier:
        """The network with weights, in evaluation mode; fresh ones where None."""
        images, labels, _ = self.train
        some = images[:5000].float() / 255
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(torch.Generator().manual_seed(self.seed).get_state())
            net = SixConvs(classes or int(labels.max()) + 1, images.shape[1])
        if weights is not None:
            net.load_state_dict(weights)
        mean, std = some.mean((0, 2, 3)), some.std((0, 2, 3)).clamp(min=1e-3)
        return Classifier(net, mean=mean.tolist(), std=std.tolist()).eval()

    def pretrained(self) -> Weights:
        """Weights from the first part of the training images."""
        training = {"epochs": self.sizes.epochs, "lr": 0.06}
        return self._weights("pretrained", self.rows[0], [], training, None)

    def tuned(self, kind: str, pretrained: Weights, part: str = "") -> Weights:
        """Weights fine-tuned on the other part.

        Args:
            kind: `standard`, or a key of `SHOWN`.
            pretrained: what they start from.
            part: `low` or `high` for the lower or upper half of the classes alone, with a new classifier.
        """
        labels = self.train[1]
        rows, start, half = self.rows[1], pretrained, (int(labels.max()) + 1) // 2
        if part:
            rows = rows[labels[rows] < half if part == "low" else labels[rows] >= half]
            fresh = self.classifier(None, half if part == "low" else int(labels.max()) + 1 - half).net.state_dict()
            start = {k: fresh[k] if v.shape != fresh[k].shape else v for k, v in pretrained.items()}
        recipes = [SHOWN[kind]] if kind in SHOWN else []
        training = {"epochs": self.sizes.tuning_epochs, "lr": 0.02}
        return self._weights(f"{kind}{part}", rows, recipes, training, start, shift=half if part == "high" else 0)

    def upper(self) -> Batch:
        """Test images of the upper half of the classes, labels from 0."""
        half = (int(self.train[1].max()) + 1) // 2
        labels = _labels(self.test)
        kept = self.test[labels >= half]
        return Batch(kept.images, _labels(kept) - half, kept.ids)

    def changed(self, kind: str, batch: Batch, use: str) -> Batch:
        """Images of a kind, with randomness that no training saw."""
        recipe = SHOWN[kind]
        if isinstance(recipe, Noise):
            rng = SampleRng.of(self.seed, f"signatures/{use}", batch.ids)
            return batch.with_images(noisy(batch.images, torch.full((len(batch),), recipe.sd), rng))
        if not isinstance(recipe, Corruptions):
            raise TypeError(f"no change of the kind {kind}")
        return recipe.stressors()[0].apply(batch, int(recipe.severities), seed=self.seed + 2000)

    def _weights(
        self, name: str, rows: Tensor, recipes: Sequence[Recipe], training: dict[str, Any], start: Weights | None,
        *, shift: int = 0,
    ) -> Weights:  # fmt: skip
        images, labels, fingerprint = self.train
        told = [r.info.name + str(r.model_dump(mode="json")) for r in recipes]
        key = {"paper": "signatures", "name": name, "data": fingerprint, "seed": self.seed, "rows": len(rows)}
        key |= {"recipes": told, "from": [self.sizes.pretraining, self.sizes.epochs], **training}

        def make() -> Weights:
            own = labels[rows] - shift
            model = self.classifier(start, int(own.max()) + 1)
            options = Training(
                schedule="linear", clip=1.0, held_out=1, check_images=1, check_every=training["epochs"], select="last",
                seed=self.seed, **training,
            )  # fmt: skip
            fitted = fit(model, images[rows], own, [CropFlip(pad=3), *recipes], options)
            return dict(fitted.last.net.state_dict())

        weights, found = cached_weights(key, make)
        self.cached &= found
        return weights

    def _batch(self, rows: Tensor) -> Batch:
        images, labels, _ = self.rest
        return Batch(images[rows].float() / 255, labels[rows], tuple(str(i) for i in rows.tolist()))


def _labels(batch: Batch) -> Tensor:
    if batch.labels is None:
        raise DataError("the images have no labels")
    return batch.labels


def splits(bench: Bench) -> tuple[Split, Split]:
    """The splits train and test of a bench's data.

    Raises:
        DataError: the data is absent, or its images are too large to be held in memory.
    """
    return _loaded(bench, "train"), _loaded(bench, "test")


def _loaded(bench: Bench, split: str) -> Split:
    joint = "&" if "?" in bench.data else "?"
    dataset = load_data(f"{bench.data}{joint}split={split}", download=bench.download)
    samples = Samples(dataset, None, len(dataset.classes) or 1)
    if samples.resident is None:
        raise DataError(f"data {bench.data!r} is too large for this experiment: give small images, as with ?size=32")
    return samples.resident, samples.labels[torch.from_numpy(samples.good)], dataset.fingerprint
