"""Networks and images for the experiment with dual smoothing: one network for whole images, one for each half."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unshaken.certify.smoothing.halves import Side, halves
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.oracle import required
from unshaken.core.rng import SampleRng
from unshaken.data import load_data, subset
from unshaken.data.resident import Samples
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.harden.recipes.augmentation.gaussian_augmented import GaussianAugmented, with_noise
from unshaken.harden.recipes.augmentation.half_noise import HalfNoise, noisy_half
from unshaken.models import load_model
from unshaken.papers._training import cached_weights
from unshaken.papers.base import Bench

NETS = ("full", "left", "right")
RATE = 3e-3
SPLIT = "checkerboard"
EXPANSION = "repeat"


@dataclass(frozen=True, slots=True)
class Pictures:
    """What is learned, what is certified, and what accuracy under noise is measured on.

    Args:
        images: uint8 `[N, C, H, W]`, to learn from.
        labels: int64 `[N]`.
        certified: test images that are voted on.
        test: test images that are looked at once, with noise.
        classes: number of classes K.
        key: what decides all of it.
    """

    images: Tensor
    labels: Tensor
    certified: Batch
    test: Batch
    classes: int
    key: Mapping[str, Any]


def read_pictures(bench: Bench, train: int, certified: int, test: int, *, view: View | None = None) -> Pictures:
    """Images of both splits of the bench's data; of one's own data as it is named, where nothing is trained.

    Args:
        bench: names the data.
        train: training images, a stratified subset; 0 for none.
        certified: test images that are certified: the first, and of the user's own data a stratified subset.
        test: further looks, a stratified subset of the test images.
        view: how the networks look at photos.

    Raises:
        DataError: the data is absent, or has no such splits or no labels.
    """
    joint = "&" if "?" in bench.data else "?"
    specs = [f"{bench.data}{joint}split={s}" for s in ("train", "test")] if train else [bench.data]
    *seen, held = (load_data(s, download=bench.download) for s in specs)
    labelled = [d.labels for d in (*seen, held) if d.labels is not None]
    if len(labelled) < len(specs):
        raise DataError(f"data {bench.data!r} has no labels: certified accuracy needs them, and training")
    classes = int(labelled[0].max()) + 1
    learned, others = [Samples(d, view, classes) for d in seen], Samples(held, view, classes, sparse=True)
    if any(s.resident is None for s in learned):
        raise DataError(f"data {bench.data!r} does not fit in memory: name small images, or give ?size=")
    good = set(others.good.tolist())
    stratified = np.array([i for i in subset(held, min(certified, len(held)), 0).tolist() if i in good])
    chosen = stratified if bench.own else others.good[:certified]
    looked = np.array([i for i in subset(held, min(test, len(held)), 0).tolist() if i in good])
    images, labels = torch.empty(0, dtype=torch.uint8), torch.empty(0, dtype=torch.int64)
    for samples in learned:
        rows = torch.from_numpy(subset(samples.dataset, train, 0))
        images, labels = required(samples.resident)[samples.place[rows]], samples.labels[rows]
    return Pictures(
        images,
        labels,
        others.whole(chosen),
        others.whole(looked),
        classes,
        {
            "train": [len(labels), *(d.fingerprint for d in seen)],
            "test": [len(chosen), len(looked), bench.own, held.fingerprint],
        },
    )


def given(bench: Bench) -> dict[str, Classifier] | None:
    """The user's own three networks, named as `WHOLE|LEFT|RIGHT`; None where an architecture is named.

    Raises:
        ParameterError: not three networks are named.
    """
    if "|" not in bench.model:
        return None
    specs = [s.strip() for s in bench.model.split("|")]
    if len(specs) != len(NETS) or not all(specs):
        raise ParameterError(
            f"dual-randomized-smoothing: model {bench.model!r}: name three, for whole images and for the two halves, "
            "as in 'run:runs/whole|run:runs/left|run:runs/right', or one architecture to be trained"
        )
    loaded = (load_model(s, download=bench.download).eval() for s in specs)
    return dict(zip(NETS, loaded, strict=True))


def trained(
    arch: str, name: str, pictures: Pictures, *, sigma: float, epochs: int, seed: int
) -> tuple[Classifier, bool]:
    """A network trained with noise on what it will be asked about.

    Args:
        arch: as `fresh` knows it.
        name: `full`, `left` or `right`.
        pictures: what it learns from.
        sigma: deviation of the noise.
        epochs: passes over the images.
        seed: of weights and training; the same for all three.

    Returns:
        The network, and whether it came from the cache.

    Raises:
        ParameterError: there is no such architecture.
    """
    noise: Recipe = GaussianAugmented(sigma=sigma)
    if name != "full":
        noise = HalfNoise(side="left" if name == "left" else "right", sigma=sigma, split=SPLIT, expansion=EXPANSION)
    recipes: list[Recipe] = [CropFlip(pad=0), noise]
    model = fresh(arch, pictures.images, classes=pictures.classes, seed=seed)
    training = Training(
        epochs=epochs,
        lr=RATE,
        optimizer="adamw",
        held_out=50,
        check_images=4,
        check_every=epochs,
        select="last",
        seed=seed,
    )
    key = {
        "dual-randomized-smoothing": 1,
        "arch": arch,
        **pictures.key,
        "recipes": [[r.info.name, r.model_dump(mode="json")] for r in recipes],
        "training": training.model_dump(mode="json"),
    }

    def made() -> dict[str, Tensor]:
        fitted = fit(model, pictures.images, pictures.labels, recipes, training, classes=pictures.classes)
        return fitted.last.net.state_dict()

    weights, old = cached_weights(key, made)
    model.net.load_state_dict(weights)
    return model.eval(), old


def noisy(batch: Batch, name: str, sigma: float, seed: int) -> Tensor:
    """What a network of this name is shown of images, with noise."""
    rng = SampleRng.of(seed, "dual-randomized-smoothing", batch.ids)
    if name == "full":
        return with_noise(batch.images, sigma, rng)
    side: Side = "left" if name == "left" else "right"
    cut = halves(SPLIT, EXPANSION, *batch.images.shape[2:])
    return noisy_half(batch.images, cut, torch.full((len(batch),), side == "left"), sigma, rng)
