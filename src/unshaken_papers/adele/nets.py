"""The network of the scenes, and what is watched while it learns wrong masks."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.masks import overlap_counts
from unshaken.core.registry import Method
from unshaken.harden.engine.recipe import MASKS, Epoch, Recipe, Step
from unshaken.harden.recipes.noisy_labels.adele import LABELS, overlaid
from unshaken.measure import iou
from unshaken.models.networks.small import UNet

unet = partial(UNet, widths=(8, 16, 32))
"""29,813 parameters for one channel and five classes."""


class WatchMasks(Recipe):
    """Measures early learning and memorisation on wrongly labelled pixels, and how near labels are to the truth.

    Figures of each epoch and class k: `early_k`, intersection over union of predictions with the truth where the label
    is wrong, `memorised_k`, with the wrong labels there, and `labels_k`, of the labels as they are now with the truth.
    """

    info: ClassVar[Method] = Method("watch-masks", "harden", Recipe, "none")
    learns_from: ClassVar[frozenset[str]] = frozenset({MASKS})

    truth: Tensor
    given: Tensor

    @override
    def after_step(self, step: Step) -> None:
        if (step.number + 1) % step.steps:
            return
        labels = self.given.long()
        if "adele" in step.memory:
            labels = overlaid(labels, step.memory["adele"][LABELS])
        found = iou(overlap_counts(labels, self.truth, step.classes).numpy())
        step.figures.update({f"labels_{k}": float(v) for k, v in enumerate(found) if v == v})

    @override
    def after_epoch(self, epoch: Epoch) -> None:
        rows, _, predicted = epoch.evaluate(lambda images: epoch.model(images).argmax(1).byte())
        truth, given = self.truth[rows], self.given[rows]
        classes = int(torch.stack([truth.max(), given.max()]).max()) + 1
        for k in range(1, classes):
            area = (truth != given) & ((truth == k) | (given == k))
            for name, other in (("early", truth), ("memorised", given)):
                found = float(iou(overlap_counts(predicted[area], other[area], classes).numpy())[k])
                epoch.figures[f"{name}_{k}"] = found if found == found else 0.0
