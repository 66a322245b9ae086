"""Guessed labels: predictions made sharper, and a penalty on predicting few classes alone."""

from __future__ import annotations

from torch import Tensor


def sharpen(probabilities: Tensor, gamma: float = 2.0) -> Tensor:
    """`p^gamma / sum p^gamma`: nearer to one-hot for gamma above 1.

    Args:
        probabilities: `[..., K]`.
        gamma: 1 changes nothing.
    """
    powers = probabilities**gamma
    return powers / powers.sum(-1, keepdim=True)


def prior_penalty(logits: Tensor) -> Tensor:
    """`KL(uniform || mean prediction)` of a batch, in nats.

    Args:
        logits: `[N, K]`.
    """
    mean = logits.softmax(1).mean(0)
    return -(mean * len(mean)).log().mean()
