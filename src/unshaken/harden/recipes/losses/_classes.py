"""Class weights for recipes that reweigh the loss: how often each class is seen."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.core.device import widen
from unshaken.harden.engine.recipe import Memory, Setup, Step

PEEK = 4096
"""Training samples that are counted before the first step."""


def begin_counts(setup: Setup) -> None:
    """Count the classes of some training samples; each class counts once at least."""
    labels = setup.sample(PEEK)[1]
    setup.memory["counts"] = widen(torch.bincount(labels, minlength=setup.classes)).clamp(min=1)


def class_shares(step: Step, memory: Memory) -> Tensor:
    """The share of each class, `[K]`; all batches of the first epoch are added to what was counted before."""
    if step.epoch == 0:
        seen = [widen(torch.bincount(step.labels, minlength=step.classes))]
        step.average(seen)
        memory["counts"] = memory["counts"].to(seen[0]) + seen[0]
    counts = memory["counts"]
    return counts / counts.sum()


def weigh(step: Step, weights: Tensor) -> None:
    """Make the loss of class k count `weights[k]` times, by targets that do not sum to 1.

    The cross-entropy is linear in its targets, and a positive factor changes no direction of an inner search.

    Args:
        step: the batch.
        weights: `[K]`, at least 0.
    """
    step.targets = step.soft_labels * weights.to(step.images)[step.labels, None]
