"""How far several predictions of one sample disagree."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Measure = Literal["mutual-information", "entropy", "mean-entropy", "max-variance"]


def disagreement(probabilities: Tensor, measure: Measure) -> Tensor:
    """One figure of T predictions of each sample.

    Args:
        probabilities: p, `[N, T, K]`.
        measure: `mutual-information`: `H(mean p) - mean H(p)`; `entropy`: `H(mean p)`, of what is predicted together;
            `mean-entropy`: `mean H(p)`, of each alone; `max-variance`: the variance over predictions (divided by T) of
            the class where it is largest.

    Returns:
        `[N]`, in nats but for `max-variance`; not below 0.
    """
    if measure == "max-variance":
        return probabilities.var(1, correction=0).amax(1)
    together: Tensor = torch.special.entr(probabilities.mean(1)).sum(1)
    if measure == "entropy":
        return together
    alone: Tensor = torch.special.entr(probabilities).sum(2).mean(1)
    return alone if measure == "mean-entropy" else (together - alone).clamp(min=0)
