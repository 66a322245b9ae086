"""Mixup: learn from convex combinations of several images, and of their labels likewise."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.registry import register
from unshaken.harden.engine.recipe import Recipe, Step


def mixup_batch(images: Tensor, targets: Tensor, weights: Tensor, partners: Tensor) -> tuple[Tensor, Tensor]:
    """`sum_j w_j x[perm_j]`, and the same of the targets.

    Args:
        images: `[N, C, H, W]`.
        targets: class probabilities `[N, K]`.
        weights: `[M]`, or `[N, M]` for each sample its own; each row sums to 1.
        partners: int64 `[M, N]`: the rows that are mixed; the first usually 0..N-1.

    Returns:
        Mixed images and targets, in the given shapes.

    Raises:
        ParameterError: weights and partners do not fit.
    """
    m, n = partners.shape
    if n != len(images) or weights.shape not in ((m,), (n, m)):
        raise ParameterError(
            f"weights {tuple(weights.shape)} and partners {tuple(partners.shape)} must be [M] or [N, M], and [M, N], "
            f"for {len(images)} images"
        )
    columns = weights.expand(n, m).to(images)
    mixed = sum(columns[:, j, None, None, None] * images[partners[j]] for j in range(m))
    soft = sum(columns[:, j, None] * targets[partners[j]] for j in range(m))
    return torch.as_tensor(mixed), torch.as_tensor(soft)


def dominant_pairs(rng: np.random.Generator, n: int, alpha: float) -> tuple[Tensor, Tensor]:
    """Mixtures of two in which the first prevails, as in MixMatch: `l ~ Beta(alpha, alpha)`, `l <- max(l, 1 - l)`.

    Args:
        rng: of the batch.
        n: number of samples N.
        alpha: of the Beta distribution.

    Returns:
        Weights `(l, 1 - l)` `[2]`, and partners `[2, N]` of which the first is the sample itself.
    """
    share = float(rng.beta(alpha, alpha))
    share = max(share, 1 - share)
    partners = np.stack([np.arange(n), rng.permutation(n)])
    return torch.tensor([share, 1 - share]), torch.from_numpy(partners)


def dirichlet_mixup_loss(logits: Tensor, labels: Tensor, weights: Tensor, partners: Tensor) -> Tensor:
    """`sum_j w_j CE(f(x~), y[perm_j])`, the mean over the batch; equal to the cross-entropy with the mixed targets.

    Args:
        logits: `[N, K]` of the mixed images.
        labels: int64 `[N]`, as they were before.
        weights: `[M]`, or `[N, M]`.
        partners: int64 `[M, N]`.
    """
    m, n = partners.shape
    losses = torch.stack([F.cross_entropy(logits, labels[p], reduction="none") for p in partners], 1)
    return (weights.expand(n, m) * losses).sum(1).mean()


@register(
    "mixup", reference="Zhang et al. 2018, arXiv:1710.09412; of more points: Chidambaram & Ge 2024, arXiv:2306.00740"
)
class Mixup(Recipe):
    """Mixup: trains on weighted averages of M images and of their labels, weights from a Dirichlet distribution.

    M = 2 with alpha = 1 is the classic; M = 1 changes nothing. Beside an adversarial recipe the mixed image is attacked
    with its mixed label.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"targets"})

    points: PositiveInt = Field(default=2, description="M, images in each mixture")
    alpha: PositiveFloat = Field(
        default=1.0, description="parameter of the Dirichlet distribution; small values keep one image dominant"
    )
    draw: Literal["batch", "sample"] = Field(
        default="batch", description="one weight vector for the batch, or one an image"
    )

    @override
    def augment(self, step: Step) -> None:
        if self.points == 1:
            return
        weights, partners = self.drawn(step)
        step.images, step.targets = mixup_batch(step.images, step.soft_labels, weights, partners)

    def drawn(self, step: Step) -> tuple[Tensor, Tensor]:
        """Weights `[M]` or `[N, M]`, and partners `[M, N]` of which the first is the image itself."""
        rng, n = batch_generator(step, "mixup"), len(step.images)
        size = None if self.draw == "batch" else n
        weights = rng.dirichlet(np.full(self.points, self.alpha), size=size)
        partners = np.stack([np.arange(n), *(rng.permutation(n) for _ in range(self.points - 1))])
        device = step.images.device
        return torch.from_numpy(weights).to(step.images), torch.from_numpy(partners).to(device)


def batch_generator(step: Step, name: str) -> np.random.Generator:
    """A generator for what the whole batch shares: that of its first sample in this epoch.

    Args:
        step: the batch.
        name: of the recipe.
    """
    return step.rng[slice(0, 1)].fold(name).generators()[0]
