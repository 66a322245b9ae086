"""Class-balanced loss: each class counts alike, however many images it has."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import widen
from unshaken.core.registry import register
from unshaken.harden.engine.recipe import Memory, Recipe, Setup, Step

PEEK = 4096
"""Training samples that are counted before the first step."""


def begin_counts(setup: Setup) -> None:
    """Count the classes of some training samples; each class counts once at least."""
    labels = setup.sample(PEEK)[1]
    setup.memory["counts"] = widen(torch.bincount(labels, minlength=setup.classes)).clamp(min=1)


def class_shares(step: Step, memory: Memory) -> Tensor:
    """The share of each class, `[K]`; all batches of the first epoch are added to what was counted before."""
    if step.epoch == 0:
        counted = [widen(torch.bincount(step.labels, minlength=step.classes))]
        step.average(counted)
        memory["counts"] = memory["counts"].to(counted[0]) + counted[0]
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


def balanced_weights(shares: Tensor, samples: int, beta: float = 1.0) -> Tensor:
    """`w_k` in proportion to `(1 - beta) / (1 - beta^n_k)`, the inverse effective number; its mean over samples is 1.

    Args:
        shares: of each class in the training images, `[K]`, all above 0, of sum 1.
        samples: N, so that `n_k = shares_k N`.
        beta: in [0, 1]: 0 leaves all classes as they are, 1 is the limit `1 / n_k`, by which each class counts alike.

    >>> import torch
    >>> balanced_weights(torch.tensor([0.8, 0.2]), 100).tolist()
    [0.625, 2.5]
    """
    weights = 1 / shares if beta == 1 else (1 - beta) / (1 - beta ** (shares * samples))
    return weights / (weights * shares).sum()


@register("class-balanced", reference="Cui et al. 2019, arXiv:1901.05555")
class ClassBalanced(Recipe):
    """Class-balanced loss: weighs each class by the inverse of its (effective) number of images.

    It goes with plain training and with adversarial recipes; their search stays as it is.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"targets"})

    beta: float = Field(
        default=1.0, ge=0, le=1, description="1 is the inverse frequency, 0 no reweighing, 0.999 in between"
    )

    @override
    def begin(self, setup: Setup) -> None:
        begin_counts(setup)

    @override
    def augment(self, step: Step) -> None:
        shares = class_shares(step, step.memory[self.info.name])
        weigh(step, balanced_weights(shares, step.steps * len(step.labels), self.beta))
