"""Losses that wrong labels disturb less than cross-entropy, as functions of logits; ramps and refined labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.masks import IGNORED


def generalized_cross_entropy(logits: Tensor, targets: Tensor, q: float = 0.7) -> Tensor:
    """`(1 - p^q) / q` with `p` the probability of the target: cross-entropy for `q -> 0`, `1 - p` for 1.

    Its gradient is `p^q` times that of cross-entropy, so that a label which the model finds improbable pulls less.

    Args:
        logits: `[N, K]`.
        targets: class probabilities `[N, K]`; for mixed ones the loss is mixed.
        q: in (0, 1].

    Returns:
        `[N]`.

    Source: Zhang & Sabuncu 2018, arXiv:1805.07836.
    """
    logs = F.log_softmax(logits, 1)
    return (targets * (-(q * logs).expm1()) / q).sum(1)


_ZERO = 1e-4
"""What stands for a label's probability 0, whose logarithm is taken."""


def symmetric_cross_entropy(logits: Tensor, targets: Tensor, alpha: float = 0.1, beta: float = 1.0) -> Tensor:
    """`alpha CE(y, p) + beta CE(p, y)`; for a label the second is `9.2103 (1 - p_y)`.

    Args:
        logits: `[N, K]`.
        targets: class probabilities `[N, K]`.
        alpha: weight of cross-entropy.
        beta: weight of the reverse one.

    Returns:
        `[N]`.

    Source: Wang et al. 2019, arXiv:1908.06112.
    """
    logs = F.log_softmax(logits, 1)
    reverse = -(logs.exp() * targets.clamp(min=_ZERO).log()).sum(1)
    return alpha * -(targets * logs).sum(1) + beta * reverse


CLAMP = 1e-4
"""Probabilities are kept this far from 0 and 1."""


@torch.no_grad()
def update_targets(targets: Tensor, logits: Tensor, beta: float) -> Tensor:
    """The running average of predictions: `t <- beta t + (1 - beta) p`, with `p` clamped and divided by its sum.

    Args:
        targets: `[N, K]` of these samples, 0 at the start.
        logits: `[N, K]`.
        beta: in [0, 1).

    Returns:
        `[N, K]`, without a graph.
    """
    p = logits.softmax(1).clamp(CLAMP, 1 - CLAMP)
    return beta * targets + (1 - beta) * p / p.sum(1, keepdim=True)


def early_learning(targets: Tensor, logits: Tensor) -> Tensor:
    """`log(1 - <t, p>)`, at most 0: the lower, the more the prediction agrees with the average.

    Args:
        targets: `[N, K]`, already updated.
        logits: `[N, K]`; the gradient flows through their softmax.

    Returns:
        `[N]`.

    Source: Liu et al. 2020, arXiv:2007.00151.
    """
    p = logits.softmax(1).clamp(CLAMP, 1 - CLAMP)
    return (1 - (targets * p).sum(1)).log()


def forget_rate(epoch: int, rate: float, epochs: int) -> float:
    """`R(e)`: the share of a batch that is not learned from; it rises linearly from 0 to the noise rate.

    Args:
        epoch: e, from 0.
        rate: tau, the share of wrong labels.
        epochs: number of epochs in which it rises; the last of them has `rate`.

    >>> [round(forget_rate(e, 0.4, 10), 4) for e in (0, 1, 9, 50)]
    [0.0, 0.0444, 0.4, 0.4]
    """
    return rate if epochs < 2 else rate * min(1.0, epoch / (epochs - 1))


def smallest(losses: Tensor, forget: float) -> Tensor:
    """Places of the `int((1 - R) B)` smallest losses, the smallest first; at least one.

    Args:
        losses: `[..., B]`.
        forget: R, in [0, 1].
    """
    return losses.argsort(dim=-1, stable=True)[..., : max(1, int((1 - forget) * losses.shape[-1]))]


def mixmatch(logits: Tensor, targets: Tensor, labelled: Tensor, weight: float) -> Tensor:
    """`mean_x CE(q, p) + lambda mean_u |q - p|^2 / K`, each a mean over its own samples; a part without any is 0.

    Args:
        logits: `[N, K]` of mixed images.
        targets: q, mixed class probabilities `[N, K]`.
        labelled: bool `[N]`: whether the image that prevails in a mixture has a trusted label.
        weight: lambda.

    Returns:
        A scalar.

    Source: Berthelot et al. 2019, arXiv:1905.02249, as in Li, Socher & Hoi 2020, arXiv:2002.07394.
    """
    entropies = -(targets * F.log_softmax(logits, 1)).sum(1)
    errors = (logits.softmax(1) - targets).square().mean(1)
    return _mean(entropies, labelled) + weight * _mean(errors, ~labelled)


def prior_penalty(logits: Tensor) -> Tensor:
    """`KL(uniform || mean p)` over a batch, in nats: no class may be predicted for all.

    Args:
        logits: `[N, K]`.
    """
    mean = logits.softmax(1).mean(0)
    return -(mean.clamp(min=torch.finfo(mean.dtype).tiny) * len(mean)).log().mean()


def negative_entropy(logits: Tensor) -> Tensor:
    """`mean sum_k p_k ln p_k`: added to a loss, it keeps predictions from becoming certain.

    Args:
        logits: `[N, K]`.
    """
    logs = F.log_softmax(logits, 1)
    return (logs.exp() * logs).sum(1).mean()


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """The mean of chosen values `[N]`; 0 with a graph where none is."""
    return torch.where(chosen, values, 0.0).sum() / chosen.sum().clamp(min=1)


def sharpen(probabilities: Tensor, temperature: float = 0.5) -> Tensor:
    """`p^(1/T) / sum p^(1/T)`: closer to one-hot for T below 1.

    Args:
        probabilities: `[..., K]`.
        temperature: T, above 0; 1 changes nothing.
    """
    powers: Tensor = probabilities ** (1 / temperature)
    return powers / powers.sum(-1, keepdim=True)


def refine_labels(labels: Tensor, clean: Tensor, probabilities: Tensor, temperature: float = 0.5) -> Tensor:
    """Co-refinement: `w y + (1 - w) p`, sharpened.

    Args:
        labels: given ones as class probabilities `[N, K]`.
        clean: w, the probability that each is right, `[N]`, by the other network.
        probabilities: of the network itself, a mean over views, `[N, K]`.
        temperature: as in `sharpen`.

    Source: Li, Socher & Hoi 2020, arXiv:2002.07394.
    """
    w = clean[:, None]
    return sharpen(w * labels + (1 - w) * probabilities, temperature)


def guess_labels(probabilities: Tensor, temperature: float = 0.5) -> Tensor:
    """Co-guessing: the mean over networks and views, sharpened; the given label has no say.

    Args:
        probabilities: `[..., N, K]`; all but the last two dimensions are averaged over.
        temperature: as in `sharpen`.

    Returns:
        `[N, K]`.
    """
    return sharpen(probabilities.flatten(0, -3).mean(0), temperature)


def supervised_contrastive(first: Tensor, second: Tensor, positives: Tensor, tau: float = 0.2) -> Tensor:
    """`-sum_j M_ij log softmax_j(cos(u_i, v_j) / tau) / sum_j M_ij` for each row i.

    Where each sample is its own only positive, it is InfoNCE; where all similarities are alike, `log B` whatever M.

    Args:
        first: u, `[B, D]`.
        second: v, `[B, D]`; gradients pass to both.
        positives: M, bool `[B, B]`, one or more in each row.
        tau: temperature.

    Returns:
        Float32 `[B]`.

    Source: Khosla et al. 2020, arXiv:2004.11362, as Albert et al. 2024 take it, arXiv:2407.05528.
    """
    u, v = F.normalize(first.float(), dim=1), F.normalize(second.float(), dim=1)
    logs = F.log_softmax(u @ v.T / tau, 1)
    return -(positives * logs).sum(1) / positives.sum(1)


def weighted_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """`sum_i w_i CE(t_i, z_i) / sum_i w_i`, a scalar; 0 with a graph where all weights are 0.

    Args:
        logits: z `[B, K]`.
        targets: t, class probabilities `[B, K]`.
        weights: w `[B]`, none negative.
    """
    losses = F.cross_entropy(logits.float(), targets, reduction="none")
    return (weights * losses).sum() / weights.sum().clamp(min=1e-12)


Gate = Literal["image", "pixel", "none"]
MIXTURE_CLAMP = 1e-3
"""The mixture is kept this far from 0 and 1, without being divided by its sum."""


def mixture(probabilities: Sequence[Tensor], weights: Tensor | None = None) -> Tensor:
    """The weighted mean of the scales' probabilities `[B, K, H, W]`, clamped.

    Args:
        probabilities: of each of S scales.
        weights: w, of sum 1, `[S]`; None for even ones.
    """
    found = torch.stack(list(probabilities))
    mean = found.mean(0) if weights is None else torch.einsum("s,s...->...", weights, found)
    return mean.clamp(MIXTURE_CLAMP, 1 - MIXTURE_CLAMP)


def multi_scale_consistency(
    logits: Sequence[Tensor], labels: Tensor | None = None, *, sure: float = 0.8, gate: Gate = "image",
    weights: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Mean over pixels of `sum_s KL(p_s || q)`, with `q = sum_s w_s p_s`; the gradient flows through both.

    Args:
        logits: of each scale, brought back to one size, `[B, K, H, W]`.
        labels: masks `[B, H, W]`; ignored pixels do not open the gate. None for none ignored.
        sure: probability that the mixture must reach to count.
        gate: `image` lets a whole image count if one of its pixels is sure, as the published code does; `pixel` lets
            each pixel count for itself; `none` lets all count.
        weights: w of the scales, of sum 1, `[S]`; None for even ones.

    Returns:
        A scalar; 0 for scales that agree. A third of it is the Jensen-Shannon divergence of three scales.

    Source: Liu et al. 2022, arXiv:2110.03740.
    """
    logs = [z.log_softmax(1) for z in logits]
    q = mixture([z.exp() for z in logs], weights)
    divergence = torch.stack([(z.exp() * (z - q.log())).sum(1) for z in logs]).sum(0)
    if gate == "none":
        return divergence.mean()
    top = q.detach().amax(1)
    if labels is not None:
        top = top.masked_fill(labels == IGNORED, 0)
    top = top.amax((1, 2), keepdim=True) if gate == "image" else top
    return (divergence * (top >= sure)).mean()


def multi_scale_cross_entropy(logits: Sequence[Tensor], labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum over scales of the mean cross-entropy of `w_s logits_s`; ignored pixels add 0 and stay in the mean.

    Args:
        logits: of each of S scales, `[B, K, H, W]`.
        labels: masks, int64 `[B, H, W]`.
        weights: w of the scales, of sum 1, `[S]`; None for `1 / S`.
    """
    shares = [1 / len(logits)] * len(logits) if weights is None else weights
    scaled = [share * z for share, z in zip(shares, logits, strict=True)]
    parts = [F.cross_entropy(z, labels, ignore_index=IGNORED, reduction="none") for z in scaled]
    return torch.stack(parts).sum(0).mean()


def individual_representation(features: Tensor, frozen: Tensor) -> Tensor:
    """`mean_i |f_i - z_i|^2`, a scalar; its gradient is `2 (f - z) / B`.

    Args:
        features: f, of the encoder that is trained, `[B, m]`.
        frozen: z, of the encoder as it was pretrained, `[B, m]`.

    Source: Zhang et al. 2023, arXiv:2211.10955; the norm is not published.
    """
    return (features - frozen).square().sum(1).mean()


def linear_ramp(done: float, start: float, length: float) -> float:
    """`clip((done - start) / length, 0, 1)`.

    Args:
        done: epochs done, fractions included.
        start: where it leaves 0.
        length: epochs in which it grows; above 0.

    >>> [linear_ramp(e, 10, 16) for e in (3, 14, 40)]
    [0.0, 0.25, 1.0]
    """
    return min(1.0, max(0.0, (done - start) / length))


def exponential_ramp(done: float, length: float) -> float:
    """`exp(-5 (1 - min(done, length) / length)^2)`; 1 where the length is 0.

    Args:
        done: steps done, or a share of the run.
        length: where it reaches 1, in the same unit.

    >>> [round(exponential_ramp(s, 40), 4) for s in (0, 20, 40, 80)]
    [0.0067, 0.2865, 1.0, 1.0]
    """
    return 1.0 if length == 0 else math.exp(-5 * (1 - min(done, length) / length) ** 2)
