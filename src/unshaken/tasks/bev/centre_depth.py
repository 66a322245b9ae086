"""Depth by regression, column by column: the recipe that trains it, and the depths that a net gives."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import widen, widest_float
from unshaken.core.registry import Method
from unshaken.harden.engine.recipe import MASKS, Recipe, Step


def column_depths(logits: Tensor) -> Tensor:
    """The expected row of an object in each column, from logits `[N, 2, H, W]`: a softmax over rows, `[N, W]`.

    Args:
        logits: of background and object.
    """
    odds = logits[:, 1] - logits[:, 0]
    rows = torch.arange(odds.shape[1], device=odds.device, dtype=odds.dtype) + 0.5
    return (odds.softmax(1) * rows[:, None]).sum(1)


def labelled_depths(masks: Tensor) -> tuple[Tensor, Tensor]:
    """The middle row of what is labelled in each column, `[N, W]`, and whether anything is.

    Args:
        masks: int64 `[N, H, W]`, 1 where there is an object.
    """
    there = widen(masks == 1)
    rows = torch.arange(masks.shape[1], device=masks.device, dtype=widest_float(masks.device)) + 0.5
    count = there.sum(1)
    return ((there * rows[:, None]).sum(1) / count.clamp_min(1)).float(), count > 0


class CentreDepth(Recipe):
    """Learns the depth of the object in each column, by a loss of the difference in cells.

    Args:
        loss_of: `smooth-l1`, `l1` or `l2`.
    """

    info: ClassVar[Method] = Method("centre-depth", "harden", Recipe, "Kumar et al. 2024, arXiv:2403.20318")
    takes: ClassVar[frozenset[str]] = frozenset({"loss"})
    learns_from: ClassVar[frozenset[str]] = frozenset({MASKS})

    loss_of: Literal["smooth-l1", "l1", "l2"] = "smooth-l1"

    @override
    def loss(self, step: Step) -> Tensor:
        wanted, there = labelled_depths(step.labels)
        depths = column_depths(step.model(step.shown))
        losses = {
            "smooth-l1": lambda: F.smooth_l1_loss(depths[there], wanted[there]),
            "l1": lambda: F.l1_loss(depths[there], wanted[there]),
            "l2": lambda: F.mse_loss(depths[there], wanted[there]) / 2,
        }
        return losses[self.loss_of]() if bool(there.any()) else depths.sum() * 0
