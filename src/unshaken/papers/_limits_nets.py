"""Images and networks for the experiment with watermarks and generated images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import DataError
from unshaken.core.oracle import Oracle
from unshaken.data import load_data, subset
from unshaken.data.resident import Samples
from unshaken.detect.watermark.learned_watermark import LearnedWatermark, WatermarkSettings, fit_watermark
from unshaken.detect.watermark.substitution import train_substitute
from unshaken.detect.watermark.watermark import random_key
from unshaken.generate import EDM, Fitting, UNet, UNetSettings
from unshaken.generate.edm import EDMSettings
from unshaken.generate.fit import fit
from unshaken.models.networks.architectures import build
from unshaken.papers._training import cached_weights
from unshaken.papers.base import Bench

LR = 3e-3


@dataclass(frozen=True, slots=True)
class Pictures:
    """One data set.

    Args:
        images: uint8 `[N, C, H, W]`, to learn from.
        labels: int64 `[N]`.
        test: what is marked, attacked and scored.
        key: what decides both.
    """

    images: Tensor
    labels: Tensor
    test: Batch
    key: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def part(self, rows: slice) -> Pictures:
        """The same with some of the images to learn from."""
        key = {**self.key, "rows": [rows.start, rows.stop]}
        return Pictures(self.images[rows], self.labels[rows], self.test, key)


def read_pictures(bench: Bench, data: str, train: int, test: int) -> Pictures:
    """Stratified subsets of both splits, in an order drawn from the run seed.

    Raises:
        DataError: the data is absent, has no such splits or no labels, or does not fit in memory.
    """
    joint = "&" if "?" in data else "?"
    seen, held = (load_data(f"{data}{joint}split={s}", download=bench.download) for s in ("train", "test"))
    if seen.labels is None or held.labels is None:
        raise DataError(f"data {data!r} has no labels")
    classes = int(seen.labels.max()) + 1
    learned = Samples(seen, None, classes, limit=train, seed=bench.seed)
    if learned.resident is None:
        raise DataError(f"data {data!r} does not fit in memory: name small images, or give ?size=")
    rows = np.random.default_rng(bench.seed).permutation(subset(held, test, bench.seed))
    key = {"data": [seen.fingerprint, held.fingerprint], "train": train, "test": test, "drawn": bench.seed}
    batch = Samples(held, None, classes, sparse=True, limit=test, seed=bench.seed).whole(rows)
    order = torch.randperm(len(learned.good), generator=torch.Generator().manual_seed(bench.seed))
    images = learned.resident[learned.place[torch.from_numpy(learned.good)[order]]]
    return Pictures(images, learned.labels[learned.good][order], batch, key)


def edm(pictures: Pictures, steps: int, seed: int, *, denoises: bool) -> tuple[EDM, bool]:
    """An EDM, from the cache where it is there.

    Args:
        pictures: what it learns from.
        steps: of training.
        seed: of weights and noise.
        denoises: to denoise and purify, without classes and attention, on noise of about `s = 0.2`; or to make images.

    Returns:
        The model, and whether it came from the cache.
    """
    classes = 0 if denoises else int(pictures.labels.max()) + 1
    settings = UNetSettings(image=pictures.shape, classes=classes, attention=not denoises)
    noise = EDMSettings(mean=-1.0, std=0.8) if denoises else EDMSettings()
    model = EDM(UNet(settings, seed=seed), noise)
    fitting = Fitting(steps=steps, lr=LR, seed=seed)

    def make() -> dict[str, Tensor]:
        labels = pictures.labels if classes else None
        return fit(model, pictures.images, labels, fitting).model.net.state_dict()

    key = {"limits": "edm", "pictures": pictures.key, "net": settings.model_dump(), "noise": noise.model_dump()}
    weights, found = cached_weights({**key, "fitting": fitting.model_dump()}, make)
    model.net.load_state_dict(weights)
    return model.eval(), found


def watermark(pictures: Pictures, settings: WatermarkSettings, images: slice) -> tuple[LearnedWatermark, bool]:
    """A learned watermark with a random key of its seed, from the cache where it is there."""
    key = random_key(settings.n_bits, settings.seed)
    rows = [images.start, images.stop]
    decides = {"limits": "watermark", "pictures": pictures.key, "rows": rows, "settings": settings.model_dump()}
    weights, found = cached_weights(decides, lambda: fit_watermark(settings, pictures.images[images], key).state_dict())
    made = LearnedWatermark(settings, key)
    made.load_state_dict(weights)
    return made.eval(), found


def told_apart(one: Tensor, zero: Tensor, *, epochs: int, noise: float, seed: int) -> Classifier:
    """A `small` network that learned to tell two kinds of images apart.

    Args:
        one: uint8 `[N, C, H, W]`: marked or generated.
        zero: uint8 `[M, C, H, W]`: clean or real.
        epochs: of training.
        noise: see `train_substitute`.
        seed: of weights, order and noise.
    """
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        net = build("small", classes=2, channels=one.shape[1], side=one.shape[2])
    return train_substitute(net, one, zero, epochs=epochs, lr=2e-3, noise=noise, seed=seed).model


def score(model: Classifier, images: Tensor) -> Tensor:
    """Difference of the two logits, float64 `[N]`, higher for marked or generated."""
    with evaluating(model):
        logits = Oracle(model).exact(images)
    return (logits[:, 1] - logits[:, 0]).double()
