"""Data, networks and their clean figures for the experiment with fooling images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, View, evaluating
from unshaken.core.errors import DataError
from unshaken.core.oracle import Oracle
from unshaken.core.query import Features
from unshaken.data import load_data, stream, subset
from unshaken.papers._training import cached, train_classifier
from unshaken.papers.base import Bench
from unshaken.run.rows import Condition, outcomes

SIDE = 28
ARCH = "small"
LAYER = "body"
"""The last layer before the head of the small networks."""


@dataclass(frozen=True, slots=True)
class Digits:
    """Small grey images with labels, whichever they are.

    Args:
        train: what the networks learn from.
        test: what their accuracy is measured on.
        fingerprints: of both sources.
    """

    train: Batch
    test: Batch
    fingerprints: tuple[str, str]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(_labels(self.train).max()) + 1


def read_digits(bench: Bench, train: int, test: int) -> Digits:
    """Both splits of the bench's data, as grey images of 28 x 28.

    Raises:
        DataError: the data is absent, has no such splits or no labels.
    """
    joint = "&" if "?" in bench.data else "?"
    batches, marks = [], []
    for split, limit in (("train", train), ("test", test)):
        data = load_data(f"{bench.data}{joint}split={split}", download=bench.download)
        if data.labels is None:
            raise DataError(f"data {bench.data!r} has no labels to train on")
        found = stream(data, subset(data, limit, bench.seed), view=View(SIDE, SIDE, channels=1), batch_size=1000)
        parts = [item for item in found if isinstance(item, Batch)]
        if not parts:
            raise DataError(f"data {bench.data!r}: no image of the split {split!r} can be read")
        batches.append(Batch.concat(parts))
        marks.append(data.fingerprint)
    return Digits(batches[0], batches[1], (marks[0], marks[1]))


def trained(
    digits: Digits, *, epochs: int, seed: int, smoothing: float = 0.0, reject: Tensor | None = None
) -> tuple[Classifier, bool]:
    """A small network, from the cache where it is there.

    Args:
        digits: what it learns.
        epochs: of training.
        seed: of its weights and order.
        smoothing: of the labels.
        reject: uint8 `[M, 1, 28, 28]` that it learns as one more class.

    Returns:
        The network, and whether it came from the cache.
    """
    images, labels = (digits.train.images * 255).round().to(torch.uint8), _labels(digits.train)
    if reject is not None:
        images = torch.cat([images, reject])
        labels = torch.cat([labels, labels.new_full((len(reject),), digits.classes)])
    mark = hashlib.blake2b(images.numpy().tobytes() + labels.numpy().tobytes(), digest_size=16).hexdigest()
    key = {"data": mark, "epochs": epochs, "seed": seed, "smoothing": smoothing}

    def make() -> Classifier:
        return train_classifier(
            images, labels, arch=ARCH, side=SIDE, augment=plain, epochs=epochs, seed=seed, smoothing=smoothing
        )

    net, found = cached(key, ARCH, make)
    return net, found


def plain(images: Tensor, rng: np.random.Generator) -> Tensor:
    """The images as they are."""
    return images


def keep_clean(bench: Bench, name: str, net: Classifier, digits: Digits) -> float:
    """Put the clean `outcomes` of a network and give the temperature that suits them best.

    Returns:
        T, at which the negative log-likelihood of the test labels is least.
    """
    with evaluating(net):
        logits = Oracle(net).exact(digits.test.images)
    condition = Condition(f"clean.{name}", "clean")
    if not bench.run.has_rows("outcomes", condition.id, 0):
        bench.keep([outcomes(condition, digits.test, logits)], 0)
    return temperature(logits, _labels(digits.test))


def temperature(logits: Tensor, labels: Tensor) -> float:
    """The T in [0.05, 20] for which `softmax(z / T)` gives the labels the greatest likelihood (Guo et al. 2017)."""
    z = logits.double()

    def cost(log_t: float) -> float:
        return float(torch.nn.functional.cross_entropy(z / np.exp(log_t), labels))

    return float(np.exp(minimize_scalar(cost, bounds=(np.log(0.05), np.log(20)), method="bounded").x))


def mean_features(net: Classifier, images: Tensor) -> Tensor:
    """Activations of the last layer before the head, meant over places.

    Args:
        net: a small network.
        images: `[N, 1, 28, 28]`.

    Returns:
        `[N, D]`.
    """
    with evaluating(net):
        oracle = Oracle(net)
        parts = [oracle.ask(Features(x, (LAYER,))).features for x in torch.split(images, 1000)]
    return torch.cat([part[LAYER].mean((2, 3)) for part in parts if part is not None])


def data_key(digits: Digits) -> dict[str, Any]:
    """What of the data decides the rows."""
    return {
        "train_data": [len(digits.train), digits.fingerprints[0]],
        "test_data": [len(digits.test), digits.fingerprints[1]],
    }


def _labels(batch: Batch) -> Tensor:
    if batch.labels is None:
        raise DataError("the data has no labels")
    return batch.labels
