"""Networks of the experiment with patches: a small ViT, and a small CNN of about its accuracy; or the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydantic import PositiveInt, PrivateAttr
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.oracle import required
from unshaken.data import stream
from unshaken.harden.engine.recipe import Step
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.papers.context import Context
from unshaken.papers.networks import plan_training
from unshaken.papers.outcomes import accuracy_of
from unshaken_papers.vit_patch import SMALL, VitPatchPaper

VIEW = View(32, 32, channels=3)
HELD = 2000
"""Test images that tell when the CNN is as good as the ViT; they are looked at for nothing else."""


class CropFlipUntil(CropFlip):
    """The usual augmentation, until the network is good enough on images of its own."""

    goal: float
    asks: PositiveInt = 4
    _images: Tensor = PrivateAttr()
    _labels: Tensor = PrivateAttr()

    @classmethod
    def of(cls, goal: float, held: Batch) -> CropFlipUntil:
        """A recipe that ends the training where the accuracy on labelled images reaches a goal."""
        made = cls(goal=goal)
        made._images, made._labels = held.images, required(held.labels)
        return made

    @override
    def after_step(self, step: Step) -> None:
        place = step.number % step.steps + 1
        if place in {round((i + 1) * step.steps / self.asks) for i in range(self.asks)}:
            step.stop = accuracy_of(step.classifier, self._images, self._labels) >= self.goal


@dataclass(frozen=True, slots=True)
class Pair:
    """Two networks of about the same accuracy, and images that neither has seen.

    Args:
        vit: attends.
        cnn: convolves.
        images: to study, in a seeded order.
    """

    vit: Classifier
    cnn: Classifier
    images: Batch


def trained_pairs(paper: VitPatchPaper, context: Context) -> Iterator[tuple[int, Pair]]:
    """By seed networks that are trained here; the CNN only until it is as good as the ViT."""
    train, test = (context.datasets.read(split, view=VIEW) for split in ("train", "test"))
    train = train.stratified(paper.train, context.seed)
    for seed in context.seeds(paper.seeds):
        order = permutation(seed, len(test))
        share = min(HELD, len(order) // 3)
        held, images = test[order[:share]].batch(), test[order[share : share + paper.photos]].batch()

        def training(lr: float, seed: int = seed) -> Training:
            options = {"optimizer": "adamw", "weight_decay": 0.05, "held_out": 1}
            return plan_training(paper.epochs, seed, batch_size=128, lr=lr, **options)

        vit = context.net(f"seed{seed}.vit", "small-vit", train, training(2e-3), [CropFlip()]).model
        goal = round(accuracy_of(vit, held.images, held.labels) - 0.01, 6)
        recipe = CropFlipUntil.of(goal, held)
        yield (
            seed,
            Pair(vit, context.net(f"seed{seed}.cnn", "small-cnn", train, training(3e-3), [recipe]).model, images),
        )


def given_pairs(paper: VitPatchPaper, context: Context) -> Iterator[tuple[int, Pair]]:
    """Two networks of the user's own, named as `VIT|CNN`, the same for every seed.

    Raises:
        ParameterError: not two networks are named, or they look at photos differently.
        DataError: no labelled image can be read.
    """
    example = "timm:deit_small_patch16_224|torchvision:resnet50"
    vit, cnn = context.load_models(2, "a transformer and a network without attention", example)
    if vit.view is None or (cnn.view is not None and cnn.input_size != vit.input_size):
        raise ParameterError(f"vit-patch: {context.model!r}: both networks must take images of one size")
    data = context.datasets.open()
    for seed in context.seeds(paper.seeds):
        rows = permutation(seed, len(data))[: paper.photos].tolist()
        parts = [b for b in stream(data, rows, view=vit.view, batch_size=1000) if isinstance(b, Batch)]
        if not parts or parts[0].labels is None:
            raise DataError(f"data {context.data!r}: no labelled image can be read")
        yield seed, Pair(vit, cnn, Batch.concat(parts))


def pairs(paper: VitPatchPaper, context: Context) -> Iterator[tuple[int, Pair]]:
    """Seeds with their networks and images."""
    return (trained_pairs if context.model == SMALL else given_pairs)(paper, context)


def permutation(seed: int, n: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Numbers below `n` in an order drawn from a seed."""
    return np.random.Generator(np.random.Philox(seed)).permutation(n)
