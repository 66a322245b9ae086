"""Images and training runs for the experiment with TrAct: two arms that differ in the first layer's gradient alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import PrivateAttr
from torch import Tensor, nn

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.oracle import Oracle, required
from unshaken.data import load_data, subset
from unshaken.data.resident import Samples
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.recipe import Epoch, Recipe
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.architecture.tract import TrAct
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.models.networks.small import conv_bn
from unshaken.papers._training import cached_weights
from unshaken.papers.base import Bench

CNN = "cnn"
VIT = "small-vit"
BATCH = 128
ARMS = ("plain", "tract")


@dataclass(frozen=True, slots=True)
class Pictures:
    """What is learned, and what accuracy is measured on.

    Args:
        images: uint8 `[N, C, H, W]`, to learn from.
        labels: int64 `[N]`.
        test: what is reported.
        choosing: what the learning rate is chosen on.
        classes: number of classes K.
        key: what decides all of it.
    """

    images: Tensor
    labels: Tensor
    test: Batch
    choosing: Batch
    classes: int
    key: Mapping[str, Any]


def read_pictures(bench: Bench, train: int, test: int, choosing: int = 0) -> Pictures:
    """Stratified subsets of both splits of the bench's data.

    Args:
        bench: names the data.
        train: training images.
        test: test images for what is reported.
        choosing: further test images, for the choice of a learning rate.

    Raises:
        DataError: the data is absent, has no such splits or no labels, or fewer test images than two.
    """
    joint = "&" if "?" in bench.data else "?"
    parts = [load_data(f"{bench.data}{joint}split={s}", download=bench.download) for s in ("train", "test")]
    if parts[0].labels is None:
        raise DataError(f"data {bench.data!r} has no labels to train on")
    classes = int(parts[0].labels.max()) + 1
    seen, held = (Samples(d, None, classes) for d in parts)
    if seen.resident is None or held.resident is None:
        raise DataError(f"data {bench.data!r} does not fit in memory: name small images, or give ?size=")
    rows = torch.from_numpy(subset(parts[0], train, 0))
    batch = held.whole(subset(parts[1], test + choosing, 0))
    share = round(len(batch) * test / (test + choosing))
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(0))
    if share < 1 or (choosing and share >= len(batch)):
        raise DataError(f"data {bench.data!r}: {len(batch)} test images are too few to choose on and to report")
    return Pictures(
        seen.resident[seen.place[rows]],
        seen.labels[rows],
        batch[order[:share]],
        batch[order[share:]],
        classes,
        {"train": [len(rows), parts[0].fingerprint], "test": [len(batch), share, parts[1].fingerprint]},
    )


class Watched(CropFlip):
    """The usual augmentation; and after each epoch somebody looks at the network."""

    _look: Callable[[Classifier], tuple[int, int]] = PrivateAttr()

    def after_epoch(self, epoch: Epoch) -> None:
        """Right answers on both sets of test images, among the epoch's figures."""
        with evaluating(epoch.model):
            right, choosing = self._look(epoch.model)
        epoch.figures.update({"right": float(right), "choosing": float(choosing)})


@dataclass(frozen=True, slots=True)
class Arm:
    """One training run.

    Args:
        arch: `cnn`, or a name that `fresh` knows.
        arm: `plain` or `tract`.
        lr: the largest learning rate.
        seed: of weights, order and augmentation: the same in both arms.
        epochs: passes over the images.
        optimizer: `sgd` or `adam`.
    """

    arch: str
    arm: str
    lr: float
    seed: int
    epochs: int
    optimizer: Literal["sgd", "adam"] = "sgd"

    @property
    def name(self) -> str:
        """Unique among the runs of an experiment."""
        return f"{self.arch.rpartition(':')[2]}.{self.arm}.lr{self.lr:g}.seed{self.seed}"


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run.

    Args:
        model: after the last step.
        right: right answers on the test images after each epoch.
        choosing: the same on those for the choice of a learning rate.
        seconds: wall time of the training.
        cached: whether it came from the cache.
    """

    model: Classifier
    right: list[int]
    choosing: list[int]
    seconds: float
    cached: bool


def trained(arm: Arm, pictures: Pictures, ridge: float) -> Trained:
    """A run, from the cache where it is there.

    Args:
        arm: which.
        pictures: what it sees.
        ridge: lambda of TrAct.

    Raises:
        ParameterError: there is no such architecture.
    """
    model = built(arm, pictures)
    own = {"ridge": ridge} if arm.arm == "tract" else {}
    key = {"tract": 1, **pictures.key, "arch": arm.arch, "arm": arm.arm, "lr": arm.lr, "seed": arm.seed, **own}
    key |= {"epochs": arm.epochs, "optimizer": arm.optimizer}
    kept, found = cached_weights(key, lambda: _made(arm, pictures, ridge, model))
    curve = {k: kept.pop(f"curve.{k}").tolist() for k in ("right", "choosing", "seconds")}
    model.net.load_state_dict(kept)
    return Trained(model.eval(), curve["right"], curve["choosing"], curve["seconds"][0], found)


def built(arm: Arm, pictures: Pictures) -> Classifier:
    """The run's network with fresh weights.

    Raises:
        ParameterError: there is no such architecture.
    """
    if arm.arch != CNN:
        return fresh(arm.arch, pictures.images, classes=pictures.classes, seed=arm.seed)
    scale = fresh("small-cnn", pictures.images, classes=pictures.classes, seed=arm.seed)
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(arm.seed).get_state())
        net = nn.Sequential(
            conv_bn(pictures.images.shape[1], 20),
            conv_bn(20, 40, 2),
            conv_bn(40, 80, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(80, pictures.classes),
        )
    return Classifier(net, mean=required(scale.mean).flatten().tolist(), std=required(scale.std).flatten().tolist())


def _made(arm: Arm, pictures: Pictures, ridge: float, model: Classifier) -> dict[str, Tensor]:
    if arm.arm not in ARMS:
        raise ParameterError(f"arm {arm.arm!r} is not one of {', '.join(ARMS)}")

    def look(net: Classifier) -> tuple[int, int]:
        right, choosing = (hits(net, b) for b in (pictures.test, pictures.choosing))
        return right, choosing

    watched = Watched()
    watched._look = look
    recipes: list[Recipe] = [watched, *([TrAct(ridge=ridge)] if arm.arm == "tract" else [])]
    training = Training(
        epochs=arm.epochs,
        batch_size=BATCH,
        lr=arm.lr,
        optimizer=arm.optimizer,
        schedule="cosine",
        weight_decay=0.0,
        held_out=10,
        check_images=2,
        check_every=arm.epochs,
        select="last",
        seed=arm.seed,
    )
    done = fit(model, pictures.images, pictures.labels, recipes, training, classes=pictures.classes)
    curves = done.progress.curves
    return {
        **done.last.net.state_dict(),
        "curve.right": torch.tensor([int(c["right"]) for c in curves]),
        "curve.choosing": torch.tensor([int(c["choosing"]) for c in curves]),
        "curve.seconds": torch.tensor([done.progress.seconds]),
    }


def hits(net: Classifier, batch: Batch) -> int:
    """Right answers."""
    return int((Oracle(net, limit=500).exact(batch.images).argmax(1) == required(batch.labels)).sum())
