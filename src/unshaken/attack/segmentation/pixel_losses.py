"""What an attack on pixels' classes raises, and the share of pixels that it has made wrong."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import predict
from unshaken.core.masks import IGNORED
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Objective


def wrong_pixels(logits: Tensor, masks: Tensor) -> Tensor:
    """Share of the labelled pixels of each image that are given another class, `[N]`; 0 where none is labelled.

    Args:
        logits: `[N, K, H, W]`.
        masks: int64 `[N, H, W]`; pixels of `IGNORED` are left out.
    """
    known = masks != IGNORED
    wrong = (predict(logits.movedim(1, -1)) != masks) & known
    return wrong.flatten(1).sum(1) / known.flatten(1).sum(1).clamp_min(1)


class PixelCrossEntropy(Objective):
    """Mean cross-entropy over the labelled pixels, with pixels that are wrong already weighed apart.

    Args:
        masks: int64 `[N, H, W]`.
        weight: of pixels that are wrong, in [0, 1], `[N]`; those that are right weigh one less it. None for the plain
            mean.
    """

    masks: Tensor
    weight: Tensor | None = None

    @override
    def __call__(self, answer: Answer) -> Tensor:
        """`[N]`, in nats."""
        logits = required(answer.logits)
        losses = F.cross_entropy(logits, self.masks, reduction="none", ignore_index=IGNORED)
        if self.weight is not None:
            weight = self.weight.to(losses).view(-1, 1, 1)
            losses = losses * torch.where(logits.argmax(1) == self.masks, 1 - weight, weight)
        return losses.flatten(1).sum(1) / (self.masks != IGNORED).flatten(1).sum(1).clamp_min(1)
