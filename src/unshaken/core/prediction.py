"""`predict`: from logits to predicted classes. A row without a usable output gets `NO_CLASS`, which equals no label."""

from __future__ import annotations

import torch
from torch import Tensor

NO_CLASS = -1
"""The prediction where the model gave none: NaN or +inf among the logits, or -inf for every class."""


def predict(logits: Tensor) -> Tensor:
    """The class of the largest logit; of equal ones the first.

    Args:
        logits: `[..., K]`. Single classes may have -inf, a probability of 0.

    Returns:
        int64 `[...]`; `NO_CLASS` where the largest logit is not finite, so that such a row is right for no label.

    >>> nan, inf = float("nan"), float("inf")
    >>> predict(torch.tensor([[0.0, 2.0], [nan, 2.0], [inf, 0.0], [-inf, 0.0], [-inf, -inf]])).tolist()
    [1, -1, -1, 1, -1]
    """
    if not logits.shape[-1]:
        return torch.full(logits.shape[:-1], NO_CLASS, device=logits.device)
    largest, index = logits.max(-1)  # of a row with NaN the maximum is NaN
    return index.masked_fill_(~largest.isfinite(), NO_CLASS)
