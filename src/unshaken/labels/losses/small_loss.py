"""Small loss: only samples with a small loss are learned from, for networks fit right labels first."""

from __future__ import annotations

from torch import Tensor


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
