"""Losses that bring the embeddings of an image and of its caption together."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(similarities: Tensor, scale: Tensor | float, positive: Tensor | None = None) -> Tensor:
    """The mean of the cross-entropies over rows and over columns of `s V W^T`.

    Args:
        similarities: cosines of images and captions, `[N, N]`, a pair on the diagonal.
        scale: s.
        positive: bool `[N, N]`, where images and captions belong together, such as equal captions in a batch: they
            share the target. None for the diagonal.

    Returns:
        A scalar, in nats.

    Source: Radford et al. 2021, arXiv:2103.00020.

    >>> round(float(info_nce(torch.eye(2), 1.0)), 6), abs(round(float(info_nce(torch.eye(2), 100.0)), 6))
    (0.313262, 0.0)
    """
    z = scale * similarities
    same = torch.eye(len(z), device=z.device) if positive is None else positive.to(z)
    rows = F.cross_entropy(z, same / same.sum(1, keepdim=True))
    columns = F.cross_entropy(z.T, same.T / same.T.sum(1, keepdim=True))
    return (rows + columns) / 2


def sigmoid_pairs(
    similarities: Tensor, scale: Tensor | float, bias: Tensor | float, positive: Tensor | None = None
) -> Tensor:
    """Each image and caption on its own: mean over images of `sum_j -log sigmoid(z_ij (s cos_ij + b))`.

    Args:
        similarities: cosines `[N, N]`, a pair on the diagonal.
        scale: s, 10 at the start.
        bias: b, -10 at the start.
        positive: bool `[N, N]`, where z is +1; None for the diagonal. Elsewhere it is -1.

    Returns:
        A scalar, in nats.

    Source: Zhai et al. 2023, arXiv:2303.15343.

    >>> round(float(sigmoid_pairs(torch.ones(1, 1), 10.0, -10.0)), 6)
    0.693147
    """
    same = torch.eye(len(similarities), device=similarities.device) if positive is None else positive.to(similarities)
    return -F.logsigmoid((2 * same - 1) * (scale * similarities + bias)).sum(1).mean()
