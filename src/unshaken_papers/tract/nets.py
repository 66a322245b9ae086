"""The small network of the experiment with TrAct, and an augmentation that counts right predictions."""

from __future__ import annotations

import time
from functools import partial

from pydantic import PrivateAttr
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle, required
from unshaken.harden.engine.recipe import Epoch, Step
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.models.networks.convolutions import ConvBlocks

small_cnn = partial(ConvBlocks, widths=(20, 40, 80), strides=(1, 2, 2))
"""38,000 parameters."""


class CountedCropFlip(CropFlip):
    """Crops and mirror images; what each epoch took, and right predictions on sets of images, enter its figures.

    `processor_seconds` are those of this process in the epoch's steps, over all its threads.
    """

    _sets: dict[str, tuple[Tensor, Tensor]] = PrivateAttr(default_factory=dict)
    _began: float = PrivateAttr(0.0)

    @classmethod
    def of(cls, **sets: Batch) -> CountedCropFlip:
        """The recipe that counts on labelled images, by name of the figure."""
        recipe = cls()
        recipe._sets = {name: (batch.images, required(batch.labels)) for name, batch in sets.items()}
        return recipe

    @override
    def augment(self, step: Step) -> None:
        if step.number % step.steps == 0:
            self._began = time.process_time()
        super().augment(step)

    @override
    def after_epoch(self, epoch: Epoch) -> None:
        epoch.figures["processor_seconds"] = time.process_time() - self._began
        with evaluating(epoch.model):
            for name, (images, labels) in self._sets.items():
                epoch.figures[name] = float(hits(epoch.model, images, labels))


def hits(net: Classifier, images: Tensor, labels: Tensor) -> int:
    """The number of right predictions of a network in evaluation mode."""
    return int((Oracle(net, limit=500).exact(images).argmax(1) == labels).sum())
