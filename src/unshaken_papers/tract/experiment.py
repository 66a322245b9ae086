"""Training runs with and without TrAct: two arms that differ in the gradient of the first layer alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from unshaken.core.batch import Batch
from unshaken.core.progress import track
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.recipes.architecture.tract import TrAct
from unshaken.papers.context import Context
from unshaken.papers.datasets import Parts
from unshaken.papers.networks import Net, plan_training
from unshaken.stress.corruptions.contrast import contrast
from unshaken.stress.corruptions.gaussian_noise import GaussianNoise
from unshaken_papers.tract import ADAM, ARMS, CNN, TRANSFORMER, VIT, TrActPaper
from unshaken_papers.tract.figures import Curves
from unshaken_papers.tract.nets import CountedCropFlip, small_cnn

CONTRAST = 0.25
FEW = 2500
"""Test images under noise and contrast, at most."""


Optimizer = Literal["sgd", "adam"]


@dataclass(frozen=True, slots=True)
class Series:
    """A network with the learning rates that are tried for it.

    Args:
        name: of its figures.
        arch: `cnn`, or a registered architecture.
        optimizer: trains it.
        rates: learning rates.
        epochs: passes over the images.
    """

    name: str
    arch: str
    optimizer: Optimizer
    rates: Sequence[float]
    epochs: int


@dataclass(frozen=True, slots=True)
class Arm:
    """One training run.

    Args:
        series: the network.
        arm: one of `ARMS`.
        lr: the largest learning rate.
        seed: of weights, order and augmentation: the same in both arms.
    """

    series: Series
    arm: str
    lr: float
    seed: int

    @property
    def name(self) -> str:
        """Unique among the runs of an experiment."""
        return f"{self.series.name}.{self.arm}.lr{self.lr:g}.seed{self.seed}"


def run(paper: TrActPaper, context: Context) -> None:
    """Train each network at all rates with the first seed, then with all seeds at the best rate of each arm."""
    parts = context.datasets.parts(paper.train, paper.test, paper.choosing)
    first, *others = context.seeds(paper.seeds)
    every = series_of(paper, context.model)
    measure_all(paper, context, [Arm(s, arm, lr, first) for s in every for lr in s.rates for arm in ARMS], parts)
    curves = Curves(context.rows())
    best = {(s.name, arm): curves.best(s.name, arm, first) for s in every for arm in ARMS}
    more = [Arm(s, arm, best[s.name, arm], seed) for s in every for seed in others for arm in ARMS]
    measure_all(paper, context, more, parts)


def series_of(paper: TrActPaper, arch: str) -> list[Series]:
    """The network with SGD and with Adam, and the small ViT.

    Args:
        paper: the sizes.
        arch: of the network, as the user names it.
    """
    name = arch.rpartition(":")[2]
    found = [
        Series(name, arch, "sgd", paper.rates, paper.epochs),
        Series(name + ADAM, arch, "adam", paper.adam_rates, paper.epochs),
    ]
    if paper.vit_epochs:
        found.append(Series(TRANSFORMER, VIT, "adam", paper.vit_rates, paper.vit_epochs))
    return found


def measure_all(paper: TrActPaper, context: Context, arms: Sequence[Arm], parts: Parts) -> None:
    """Train each run, and write its rows."""
    with track("runs", len(arms)) as task:
        for arm in arms:
            measure(context, arm, trained(paper, context, arm, parts), parts)
            task.advance()


def trained(paper: TrActPaper, context: Context, arm: Arm, parts: Parts) -> Net:
    """The network after the last step of a run.

    Raises:
        ParameterError: there is no such architecture.
    """
    training = plan_training(
        arm.series.epochs, arm.seed, batch_size=128, lr=arm.lr, optimizer=arm.series.optimizer, schedule="cosine",
        weight_decay=0.0, held_out=10, check_images=2,
    )  # fmt: skip
    recipes: list[Recipe] = [CountedCropFlip.of(right=parts.testing.batch(), choosing=parts.choosing.batch())]
    if arm.arm == "tract":
        recipes.append(TrAct(ridge=paper.ridge))
    start = small_cnn if arm.series.arch == CNN else arm.series.arch
    return context.net(arm.name, start, parts.training, training, recipes)


def measure(context: Context, arm: Arm, net: Net, parts: Parts) -> None:
    """Write the curve of a run, and its predictions: clean, under noise of deviation .08, at low contrast."""
    if context.has(arm.name, "epochs"):
        return
    test = parts.testing.batch()
    few = test[slice(0, FEW)]
    shown: dict[str, Batch] = {
        "clean": test,
        "noise": GaussianNoise(preset="imagenet").apply(few, 1, context.seed),
        "contrast": few.with_images(contrast(few.images, CONTRAST)),
    }
    for name, batch in shown.items():
        context.predict(f"{arm.name}.{name}", net.model, batch, method=name)
    epochs = list(range(1, len(net.curves) + 1))
    counts = {name: [int(c[name]) for c in net.curves] for name in ("right", "choosing")}
    spent = [c["processor_seconds"] for c in net.curves]
    totals = {"images": len(parts.testing), "chosen_from": len(parts.choosing), "processor_seconds": spent}
    named = {"id": [str(i) for i in epochs], "arch": arm.series.name, "arm": arm.arm, "lr": arm.lr, "seed": arm.seed}
    context.write("epochs", arm.name, {**named, "epoch": epochs, **counts, **totals})
