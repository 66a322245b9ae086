"""Networks of the experiment with weight signatures: six convolutions without norms, trained and fine-tuned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from unshaken.core.batch import Batch
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.augmentation.corruptions import Corruptions
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.harden.recipes.augmentation.noise import Noise, noisy
from unshaken.models.networks.convolutions import PlainConvs
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import Net, plan_training, untrained, with_weights
from unshaken_papers.robust_weight_signatures import RobustWeightSignaturesPaper

NOISE = Noise(sigma=0.2)
CORRUPTIONS: Mapping[str, Corruptions] = {
    "blur": Corruptions(names="gaussian_blur", severities="5", preset="tiny"),
    "contrast": Corruptions(names="contrast", severities="2", preset="cifar"),
}
"""Kind to a recipe: blur with a sigma of 1.5 pixels, contrast halved."""
SHOWN: Mapping[str, Recipe] = {"noise": NOISE, **CORRUPTIONS}
"""Kind of change to the recipe that its robust weights learn from."""


@dataclass(frozen=True, slots=True)
class Images:
    """The images of one seed; all parts are disjoint.

    Args:
        pretraining: for the weights that both fine-tunings start from.
        tuning: for fine-tuning.
        validation: to choose layers and alpha on.
        test: for what is reported.
        statistics: mean and deviation of the channels, for all networks.
    """

    pretraining: Split
    tuning: Split
    validation: Split
    test: Split
    statistics: tuple[list[float], list[float]]

    @classmethod
    def read(cls, paper: RobustWeightSignaturesPaper, context: Context, seed: int) -> Images:
        """Images of the splits train and test, in an order drawn from the seed; ids are places in their split."""
        train, test = (context.datasets.read(split) for split in ("train", "test"))
        train, test = (Split.of(s.images, s.labels, classes=train.classes) for s in (train, test))
        order, later = (
            np.random.Generator(np.random.Philox(key)).permutation(len(s))
            for key, s in ((seed, train), (seed + 1000, test))
        )
        start = min(paper.pretraining, 3 * len(order) // 5)
        held = min(paper.validation, len(later) // 3)
        return cls(
            train[order[:start]], train[order[start : start + paper.tuning]], test[later[:held]],
            test[later[held : held + paper.test]], train.statistics(),
        )  # fmt: skip


def half_of(data: Split, part: str) -> Split:
    """Images of the lower or the upper half of the classes, labels from 0.

    Args:
        data: of all classes.
        part: `low` or `high`.
    """
    half = data.classes // 2
    if part == "low":
        return replace(data[data.labels < half], classes=half)
    upper = data[data.labels >= half]
    return replace(upper, labels=upper.labels - half, classes=data.classes - half)


@dataclass(frozen=True, slots=True)
class Nets:
    """Trains the networks of one seed.

    Args:
        paper: the epochs.
        context: with the seed as its prefix.
        images: of the seed.
        seed: of weights, order and all that is drawn.
    """

    paper: RobustWeightSignaturesPaper
    context: Context
    images: Images
    seed: int

    def pretrained(self) -> Net:
        """The network from the first part of the training images."""
        training = self.training(self.paper.epochs, 0.06)
        return self.context.net(
            "pretrained", PlainConvs, self.images.pretraining, training, [CropFlip(pad=3)],
            statistics=self.images.statistics,
        )  # fmt: skip

    def tuned(self, kind: str, pretrained: Net, part: str = "") -> Net:
        """The network fine-tuned on the other part.

        Args:
            kind: `standard`, or a key of `SHOWN`.
            pretrained: what it starts from.
            part: `low` or `high` for half of the classes alone, with a new classifier.
        """
        data, start = self.images.tuning, pretrained.model
        if part:
            data = half_of(data, part)
            fresh = untrained(PlainConvs, data, self.seed, self.images.statistics)
            new, old = fresh.net.state_dict(), start.net.state_dict()
            start = with_weights(fresh, {k: new[k] if v.shape != new[k].shape else v for k, v in old.items()})
        recipes = [CropFlip(pad=3), *([SHOWN[kind]] if kind in SHOWN else [])]
        training = self.training(self.paper.tuning_epochs, 0.02)
        return self.context.net(f"{kind}{part}", start, data, training, recipes)

    def training(self, epochs: int, lr: float) -> Training:
        """How all of them are trained."""
        return plan_training(epochs, self.seed, lr=lr, schedule="linear", clip=1.0, held_out=1, check_images=1)


def changed(kind: str, batch: Batch, use: str, seed: int) -> Batch:
    """Images under a change, with randomness that no training saw.

    Args:
        kind: a key of `SHOWN`.
        batch: the images.
        use: `validation` or `test`.
        seed: of the experiment's repetition.
    """
    if kind == "noise":
        rng = SampleRng.of(seed, f"signatures/{use}", batch.ids)
        return batch.with_images(noisy(batch.images, torch.full((len(batch),), NOISE.sigma), rng))
    recipe = CORRUPTIONS[kind]
    return recipe.stressors()[0].apply(batch, recipe.severities[0], seed=seed + 2000)
