"""Is what a network puts out logits, as a temperature needs them?"""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ModelError


def refuse_probabilities(model: Classifier, images: Tensor, what: str) -> None:
    """Refuse a model that outputs probabilities instead of logits.

    Args:
        model: any; its mode and statistics are left as they are.
        images: a few, `[N, C, H, W]`.
        what: for the message.

    Raises:
        ModelError: its outputs lie in [0, 1] and sum to 1.
    """
    with torch.no_grad(), evaluating(model):
        out = model(images).float()
    if bool(((out >= 0) & (out <= 1)).all()) and bool(((out.sum(1) - 1).abs() < 1e-5).all()):
        raise ModelError(
            f"{what} gives probabilities, not logits: a temperature means nothing there; take its softmax off"
        )
