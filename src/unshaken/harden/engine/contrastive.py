"""Contrastive losses: each sample's own other view among those of other samples."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(queries: Tensor, keys: Tensor, tau: float = 0.2) -> Tensor:
    """`logsumexp_j(cos(u_b, v_j) / tau) - cos(u_b, v_b) / tau` for each sample; the others of the batch are negatives.

    Args:
        queries: u, `[B, D]`.
        keys: v, `[B, D]`; no gradient passes to them.
        tau: temperature.

    Returns:
        Float32 `[B]`, in nats; `log B` where all are alike.

    Source: van den Oord et al. 2018, arXiv:1807.03748.
    """
    u, v = F.normalize(queries.float(), dim=1), F.normalize(keys.detach().float(), dim=1)
    places = torch.arange(len(u), device=u.device)
    return F.cross_entropy(u @ v.T / tau, places, reduction="none")


def nt_xent(first: Tensor, second: Tensor, tau: float = 0.5) -> Tensor:
    """The loss of SimCLR: each of the 2 B views finds its partner among the 2 B - 1 others.

    Args:
        first: projections of one view of each sample, `[B, D]`.
        second: of the other view, `[B, D]`; gradients pass to both.
        tau: temperature.

    Returns:
        Float32 `[2 B]`, the first views' ahead; `log(2 B - 1)` where all are alike.

    Source: Chen et al. 2020, arXiv:2002.05709.
    """
    z = F.normalize(torch.cat([first, second]).float(), dim=1)
    logits = (z @ z.T / tau).fill_diagonal_(-torch.inf)
    places = torch.arange(len(z), device=z.device)
    return F.cross_entropy(logits, places.roll(len(first)), reduction="none")


def queue_info_nce(queries: Tensor, keys: Tensor, queue: Tensor, tau: float = 0.2) -> Tensor:
    """The loss of MoCo: each query finds its key among those of a queue; other samples of the batch are not used.

    Args:
        queries: `[B, D]`.
        keys: `[B, D]`; no gradient passes to them.
        queue: keys of earlier batches `[Q, D]`, of length 1; rows of zeros, not yet filled, are no negatives.
        tau: temperature.

    Returns:
        Float32 `[B]`; `log(Q + 1)` where all are alike.

    Source: He et al. 2020, arXiv:1911.05722.
    """
    q, k = F.normalize(queries.float(), dim=1), F.normalize(keys.detach().float(), dim=1)
    negatives = (q @ queue.T / tau).masked_fill((queue == 0).all(1), -torch.inf)
    logits = torch.cat([(q * k).sum(1, keepdim=True) / tau, negatives], 1)
    return F.cross_entropy(logits, logits.new_zeros(len(q), dtype=torch.int64), reduction="none")


def triplet(features: Tensor, labels: Tensor, margin: float = 0.2, *, semi_hard: bool = False) -> Tensor:
    """The mean of `d(a, p) - d(a, n) + margin` over the triplets of a batch where it is above 0; d is `2 - 2 cos`.

    Args:
        features: `[B, D]`, of any length.
        labels: int64 `[B]`: a and p are two samples of one class, n is of another one.
        margin: above 0.
        semi_hard: count only the triplets whose n is further than their p.

    Returns:
        A number; 0, with a graph, where no triplet counts.

    Source: Schroff et al. 2015, arXiv:1503.03832; all triplets of a batch: Hermans et al. 2017, arXiv:1703.07737.
    """
    u = F.normalize(features.float(), dim=1)
    distance = 2 - 2 * u @ u.T
    same = labels[:, None] == labels[None]
    anchors, positives = (same & ~torch.eye(len(labels), dtype=torch.bool, device=same.device)).nonzero(as_tuple=True)
    near = distance[anchors, positives][:, None]
    losses = (near - distance[anchors] + margin)[~same[anchors]]
    counts = losses > 0
    if semi_hard:
        counts &= losses < margin
    chosen = losses[counts]
    return chosen.mean() if len(chosen) else 0 * distance.sum()
