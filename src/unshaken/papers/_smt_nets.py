"""Images and small networks for the experiment with verification: digits of 8 x 8 pixels, and the bench's own data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import DataError
from unshaken.core.extras import need
from unshaken.core.oracle import Oracle, required
from unshaken.data import load_data, subset
from unshaken.data.resident import Samples
from unshaken.harden.engine.fit import fit
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.adversarial.at import AdversarialTraining
from unshaken.papers._training import cached_weights
from unshaken.papers.base import Bench

DIGITS_TRAIN = 1400
TEST = 400
DIGITS = {"width": 16, "epochs": 60, "lr": 3e-3, "batch_size": 64, "eps": 0.1}
OTHERS = {"width": 20, "epochs": 8, "lr": 1e-3, "batch_size": 128, "eps": 0.05}
"""Hidden units, training, and the linf radius of adversarial training; at a larger one the 20 units learn nothing."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """One data set.

    Args:
        name: `digits`, or that of the bench's data.
        images: uint8 `[N, C, H, W]`, to learn from.
        labels: int64 `[N]`.
        test: what is verified comes from these.
        key: what decides all of it.
    """

    name: str
    images: Tensor
    labels: Tensor
    test: Batch
    key: tuple[Any, ...]

    @property
    def classes(self) -> int:
        """K."""
        return int(self.labels.max()) + 1

    @property
    def recipe(self) -> dict[str, Any]:
        """How networks are trained on it."""
        return dict(DIGITS if self.name == "digits" else OTHERS)


def digits() -> Pictures:
    """The 1,797 digits that scikit-learn ships, 8 x 8 pixels of 17 grey levels.

    Raises:
        MissingExtra: scikit-learn is absent.
    """
    datasets: Any = need("sklearn.datasets", "scikit-learn", "smt", "the data set 'digits'")
    found = datasets.load_digits()
    images = (torch.tensor(found.images)[:, None] * 255 / 16).round().to(torch.uint8)
    labels = torch.tensor(found.target).long()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    seen, held = order[:DIGITS_TRAIN], order[DIGITS_TRAIN:]
    test = Batch(images[held].float() / 255, labels[held], tuple(f"digit-{i}" for i in held.tolist()))
    return Pictures("digits", images[seen], labels[seen], test, ("digits", DIGITS_TRAIN))


def own(bench: Bench, train: int) -> Pictures:
    """Stratified subsets of both splits of the bench's data.

    Raises:
        DataError: the data is absent, has no such splits or no labels, or does not fit in memory.
    """
    joint = "&" if "?" in bench.data else "?"
    parts = [load_data(f"{bench.data}{joint}split={s}", download=bench.download) for s in ("train", "test")]
    if parts[0].labels is None:
        raise DataError(f"data {bench.data!r} has no labels to train on")
    classes = int(parts[0].labels.max()) + 1
    rows = [subset(d, n, 0) for d, n in zip(parts, (train, TEST), strict=True)]
    seen = Samples(parts[0], None, classes)
    if seen.resident is None:
        raise DataError(f"data {bench.data!r} does not fit in memory: name small images, or give ?size=")
    chosen = torch.from_numpy(rows[0])
    test = Samples(parts[1], None, classes, sparse=True).whole(rows[1])
    name = bench.data.partition("?")[0].rpartition("/")[2].rpartition(":")[2].partition(".")[0]
    key = (parts[0].fingerprint, parts[1].fingerprint, train, TEST)
    return Pictures(name, seen.resident[seen.place[chosen]], seen.labels[chosen], test, key)


def built(pictures: Pictures, seed: int) -> Classifier:
    """`d - 16 - K` for digits and `d - 20 - K` for others, with ReLU, on pixels in [0, 1]."""
    dims, width = pictures.images[0].numel(), int(pictures.recipe["width"])
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        net = nn.Sequential(nn.Flatten(), nn.Linear(dims, width), nn.ReLU(), nn.Linear(width, pictures.classes))
    return Classifier(net, name=f"{dims}-{width}-{pictures.classes}")


def trained(pictures: Pictures, net: str, seed: int) -> tuple[Classifier, bool]:
    """A network, from the cache where it is there.

    Args:
        pictures: what it learns from.
        net: `plain`, or `at` for adversarial training.
        seed: of weights and order.

    Returns:
        The network in evaluation mode, and whether it came from the cache.
    """
    model, recipe = built(pictures, seed), pictures.recipe
    recipes = [AdversarialTraining(eps=recipe["eps"], steps=5)] if net == "at" else []
    options = {k: recipe[k] for k in ("epochs", "lr", "batch_size")}

    def make() -> dict[str, Tensor]:
        training = Training(
            **options,
            optimizer="adam",
            weight_decay=0.0,
            held_out=10,
            check_images=2,
            check_every=recipe["epochs"],
            select="last",
            seed=seed,
        )
        return fit(built(pictures, seed), pictures.images, pictures.labels, recipes, training).last.net.state_dict()

    key = {"smt": 2, "data": pictures.key, "net": net, "seed": seed, **recipe}
    weights, found = cached_weights(key, make)
    model.net.load_state_dict(weights)
    return model.eval(), found


def chosen(models: list[Classifier], batch: Batch, count: int, seed: int) -> Batch:
    """Images, drawn by seed, that all models classify rightly.

    Raises:
        DataError: there is none.
    """
    right = torch.ones(len(batch), dtype=torch.bool)
    for model in models:
        with evaluating(model):
            right &= Oracle(model).exact(batch.images).argmax(1) == required(batch.labels)
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(seed))
    rows = order[right[order]][:count]
    if not len(rows):
        raise DataError("no image that is verified is classified rightly")
    return batch[rows]
