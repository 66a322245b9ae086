"""AugMix: mixtures of short chains of image operations, and a prediction that is the same for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from scipy.special import betaincinv, gammaincinv
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.recipe import Recipe, Step
from unshaken.harden.recipes.augmentation._operations import APART, OPERATIONS, operate, to_levels

LEAST = 0.1
"""The lowest level of an operation."""
DEEPEST = 3
"""Operations of a chain at most, where its length is drawn."""


class Mixture(NamedTuple):
    """The draws of AugMix for N images: W chains of up to D operations, and the shares of each.

    Args:
        share: m, how much of the result is augmented, `[N]`.
        weights: of the chains, each row sums to 1, `[N, W]`.
        which: places in `OPERATIONS`, -1 for nothing, int64 `[N, W, D]`.
        level: strengths in [0, 10], `[N, W, D]`.
        sign: 1 or -1, `[N, W, D]`.
    """

    share: Tensor
    weights: Tensor
    which: Tensor
    level: Tensor
    sign: Tensor


def augmix(images: Tensor, mixture: Mixture) -> Tensor:
    """`(1 - m) x + m sum_i w_i chain_i(x)`. The chains work on the nearest of 256 levels.

    Args:
        images: `[N, C, H, W]` in [0, 1], C 1 or 3.
        mixture: what was drawn for them.

    Returns:
        The same shape, in [0, 1].
    """
    width, depth = mixture.which.shape[1:]
    chained = to_levels(images).repeat_interleave(width, 0)
    which, level, sign = (t.flatten(0, 1).unbind(1) for t in (mixture.which, mixture.level, mixture.sign))
    for d in range(depth):
        chained = operate(chained, which[d], level[d], sign[d])
    chains = chained.view(len(images), width, *images.shape[1:])
    shares = (mixture.share[:, None] * mixture.weights / 255).T.reshape(width, -1, 1, 1, 1)
    result = images * (1 - mixture.share).view(-1, 1, 1, 1)
    for i in range(width):
        result.addcmul_(chains[:, i].float(), shares[i])
    return result.clamp_(0, 1)


def jsd_loss(logits: Tensor) -> Tensor:
    """The Jensen-Shannon divergence of V predictions of each image: the mean KL of each to their mean.

    Args:
        logits: `[V, N, K]`.

    Returns:
        A scalar, the mean over images.
    """
    log_p = logits.log_softmax(2)
    p = log_p.exp()
    mean = p.mean(0).clamp(1e-7, 1).log()
    divergence: Tensor = (p * (log_p - mean)).sum(2).mean()
    return divergence


def _quantile(uniform: Tensor, inverse: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Tensor:
    """A distribution's values at uniform numbers, which are moved off 0 by half their spacing."""
    values = inverse(uniform.cpu().double().numpy() + 2.0**-25)
    return torch.from_numpy(values).to(uniform)


@register("augmix", reference="Hendrycks et al. 2020, arXiv:1912.02781")
class AugMix(Recipe):
    """AugMix: mixes chains of image operations, with a consistency loss between the mixtures.

    With `jsd=0` the model learns from one view alone, by plain cross-entropy, and other losses may be added. Views are
    made of the images as they are then: give recipes that crop, mirror or mix images before this one.
    """

    severity: float = Field(
        default=3.0, description="largest level of an operation, of 10 (ImageNet: 1)", ge=LEAST, le=10
    )
    width: PositiveInt = Field(default=3, description="chains in a mixture")
    depth: NonNegativeInt = Field(default=0, description="operations in a chain; 0 draws 1 to 3")
    alpha: float = Field(
        default=1.0, description="parameter of the Dirichlet and Beta distributions of the shares", ge=0.1
    )
    jsd: NonNegativeFloat = Field(default=12.0, description="weight of the divergence of the three predictions")
    all_ops: bool = Field(
        default=False, description="also colour, contrast, brightness, sharpness: near the test corruptions"
    )

    @property
    @override
    def takes(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset({"views", "loss"}) if self.jsd else frozenset()

    def draw(self, rng: SampleRng) -> Mixture:
        """The mixture of each sample.

        Args:
            rng: streams of N samples.
        """
        width, depth = self.width, self.depth or DEEPEST
        draws = rng.fresh(1 + 2 * width + 3 * width * depth)
        share, weights, length = draws[:, 0], draws[:, 1 : 1 + width], draws[:, 1 + width : 1 + 2 * width]
        which, level, sign = draws[:, 1 + 2 * width :].view(len(draws), 3, width, depth).unbind(1)
        choice = (which * (len(OPERATIONS) if self.all_ops else APART)).long()
        if not self.depth:
            unused = torch.arange(depth, device=draws.device) > (length * depth)[..., None].long()
            choice = choice.masked_fill(unused, -1)
        gamma = _quantile(weights, lambda u: gammaincinv(self.alpha, u))
        return Mixture(
            _quantile(share, lambda u: betaincinv(self.alpha, self.alpha, u)),
            gamma / gamma.sum(1, keepdim=True),  # Dirichlet(alpha, ..., alpha): gamma variables over their sum
            choice,
            LEAST + level * (self.severity - LEAST),
            torch.where(sign < 0.5, -1.0, 1.0),
        )

    @override
    def augment(self, step: Step) -> None:
        rng = step.rng.fold(self.info.name).to(step.images.device)
        images = step.images.contiguous()
        if not self.jsd:
            step.images = augmix(images, self.draw(rng))
            return
        streams = SampleRng.concat([rng.fold(i) for i in range(2)])
        step.views.extend(augmix(images.repeat(2, 1, 1, 1), self.draw(streams)).chunk(2))
        step.extra[self.info.name] = step.images

    @override
    def loss(self, step: Step) -> Tensor | None:
        if not self.jsd:
            return None
        if step.images is not step.extra[self.info.name]:
            raise ParameterError(
                "augmix: another recipe changed the images after the views were made: give augmix last"
            )
        logits = step.model(torch.cat([step.images, *step.views])).view(1 + len(step.views), len(step.labels), -1)
        return step.cross_entropy(logits[0]) + self.jsd * jsd_loss(logits)
