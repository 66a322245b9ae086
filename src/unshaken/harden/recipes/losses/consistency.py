"""Consistency regularisation: predictions under several noises should agree, and be sure of themselves."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.certify.smoothing.smoothed_gradient import log_mean
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.recipe import Recipe, Step
from unshaken.harden.recipes.augmentation.gaussian_augmented import with_noise


def disagreement(logits: Tensor) -> Tensor:
    """`mean_i KL(pbar || p_i)` for each sample, with `pbar = mean_i p_i`: 0 where all copies are given one prediction.

    Args:
        logits: `[M, N, K]` of M copies.

    Returns:
        `[N]`, in nats.
    """
    each = logits.float().log_softmax(2)
    mean = log_mean(each)
    return (mean.exp() * (mean - each)).sum(2).mean(0)


def entropy_of_mean(logits: Tensor) -> Tensor:
    """`H(pbar)` for each sample: 0 for one class alone, `log K` for all alike.

    Args:
        logits: `[M, N, K]` of M copies.

    Returns:
        `[N]`, in nats.
    """
    mean = log_mean(logits.float().log_softmax(2))
    return -(mean.exp() * mean).sum(1)


def consistency_loss(logits: Tensor, lbd: float, eta: float) -> Tensor:
    """`lbd mean_i KL(pbar || p_i) + eta H(pbar)`, the mean over the batch; what is added to the cross-entropy.

    Args:
        logits: `[M, N, K]` of M noisy copies.
        lbd: weight of the disagreement.
        eta: weight of the entropy.
    """
    return (lbd * disagreement(logits) + eta * entropy_of_mean(logits)).mean()


def noisy_logits(step: Step, images: Tensor, sigma: float, copies: int, rng: SampleRng) -> Tensor:
    """Logits `[M, N, K]` that the loss learns from, of M copies with noise of their own, from one pass over all.

    Args:
        step: the batch.
        images: `[N, C, H, W]`.
        sigma: deviation of the noise, in [0, 1] pixel units.
        copies: M.
        rng: the samples' streams; copy i has that of `rng.fold(i)`.
    """
    noisy = torch.cat([with_noise(images, sigma, rng.fold(i)) for i in range(copies)])
    logits = step.model(noisy)
    return logits.view(copies, len(images), -1)


@register("consistency", reference="Jeong & Shin 2020, arXiv:2006.04062")
class Consistency(Recipe):
    """Consistency regularisation for smoothed classifiers: penalises disagreement between noisy copies.

    `p_i` is the prediction for copy i with noise of its own, not clipped, `pbar` the mean of all. It costs `copies`
    passes where `gaussian-augmented` costs one. Beside an adversarial recipe the noise is added to what its search
    found. Give `select=last`: held-out accuracy is that of images without noise.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"loss"})

    sigma: PositiveFloat = Field(default=0.25, description="deviation of the noise, in [0, 1] pixel units")
    copies: int = Field(default=2, description="m, noisy copies of each image", ge=2)
    lbd: NonNegativeFloat = Field(
        default=10.0, description="weight of the disagreement; 10 for sigma=0.25, 20 above is usual"
    )
    eta: NonNegativeFloat = Field(default=0.5, description="weight of the entropy of the mean prediction")

    @override
    def loss(self, step: Step) -> Tensor:
        logits = noisy_logits(step, step.shown, self.sigma, self.copies, step.rng.fold(self.info.name))
        entropy = torch.stack([step.cross_entropy(one) for one in logits]).mean()
        return entropy + consistency_loss(logits, self.lbd, self.eta)
