"""Training of a head on pairs of cached maps, and its scores of all pairs of two pools."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.core.classifier import evaluating
from unshaken.core.descent import descend
from unshaken.core.device import widen
from unshaken.core.errors import DataError
from unshaken.core.progress import track
from unshaken.core.rng import SampleRng, seeded
from unshaken.tasks.few_shot.conditional import ConditionalHead

PAIRS = 256
"""Pairs that are scored together."""


def pair_loss(scores: Tensor, same: Tensor) -> Tensor:
    """The mean of `(cos - y)^2`, with y = 1 for pairs of one class and 0 for others.

    Args:
        scores: cosines `[B]`.
        same: bool `[B]`.
    """
    return (scores - same.to(scores)).square().mean()


def train_pairs(
    head: ConditionalHead,
    supports: Tensor,
    queries: Tensor,
    labels: Tensor,
    *,
    steps: int,
    batch_size: int = 64,
    lr: float = 1e-3,
    weight_decay: float = 0.05,
    seed: int = 0,
) -> list[float]:
    """Train a head, in place, on pairs of which half are of one class; the same arguments give the same weights.

    Query maps of augmented or degraded views beside support maps of clean ones teach it harder queries.

    Args:
        head: what is trained; the network that made the maps is not.
        supports: maps of the samples as examples, `[N, C, h, h]`.
        queries: of the same samples as queries, or of further views of them, `[N, C, h, h]`.
        labels: of the samples, int64 `[N]`, two classes at least.
        steps: optimizer steps.
        batch_size: pairs a step.
        lr: largest learning rate of AdamW.
        weight_decay: of AdamW.
        seed: of pairs and order.

    Returns:
        The loss of each step; 0.25 is reached by scores that are 0.5 whatever the pair.

    Raises:
        DataError: there is one class only, or lengths differ.
    """
    classes = len(set(labels.tolist()))
    if len(supports) != len(labels) or len(queries) != len(labels) or classes < 2:
        raise DataError(
            f"{len(supports)} support maps, {len(queries)} query maps and {len(labels)} labels of "
            f"{classes} classes: lengths must be equal, and two classes are needed"
        )
    kept = [(m, m.training) for m in head.modules()]
    optimizer = torch.optim.AdamW(head.parameters(), lr=lr, weight_decay=weight_decay)

    def loss(rows: Tensor, rng: SampleRng) -> Tensor:
        positive, partners = draw_partners(labels, rows, rng)
        return pair_loss(head(supports[partners], queries[rows]), positive)

    try:
        head.train()
        with seeded(seed):  # dropout
            return descend(
                optimizer, loss, len(labels), steps=steps, batch_size=batch_size, seed=seed, name="conditional"
            )
    finally:
        for module, mode in kept:
            module.training = mode


def draw_partners(labels: Tensor, rows: Tensor, rng: SampleRng) -> tuple[Tensor, Tensor]:
    """A partner of each query: of its own class for half of the batch, of another one for the rest.

    Args:
        labels: of all samples, int64 `[N]`.
        rows: of the queries, int64 `[n]`.
        rng: their streams.

    Returns:
        Whether the partner is of the same class, bool `[n]`, and its row, int64 `[n]`.
    """
    positive = torch.arange(len(rows)) % 2 == 0
    allowed = (labels[rows][:, None] == labels) == positive[:, None]
    weights = rng.uniform(len(labels)) * allowed
    return positive, weights.argmax(1)


@torch.no_grad()
def score_pairs(head: ConditionalHead, supports: Tensor, queries: Tensor, pairs: Tensor | None = None) -> Tensor:
    """Scores of pairs, float32 `[M, N]`; see `run_pair_episodes`. A score does not depend on other pairs.

    Args:
        head: trained; taken in evaluation mode, left as it is.
        supports: `[N, C, h, h]`.
        queries: `[M, C, h, h]`.
        pairs: rows of queries and supports that are scored, int64 `[P, 2]`; the others are 0. Default all.
    """
    rows = torch.cartesian_prod(torch.arange(len(queries)), torch.arange(len(supports))) if pairs is None else pairs
    found = torch.zeros(len(queries), len(supports))
    with evaluating(head), track("pairs", len(rows)) as task:
        for part in torch.split(rows, PAIRS):
            found[part[:, 0], part[:, 1]] = head(supports[part[:, 1]], queries[part[:, 0]]).float().cpu()
            task.advance(len(part))
    return found


def separation(scores: Tensor, same: Tensor) -> float:
    """How far apart pairs of one class and of two are: `d' = (m1 - m0) / sqrt((v1 + v0) / 2)`.

    Args:
        scores: of pairs, of any shape.
        same: bool, of the same shape.

    Raises:
        DataError: fewer than two pairs of a kind.
    """
    one, other = widen(scores[same]), widen(scores[~same])
    if min(len(one), len(other)) < 2:
        raise DataError(f"{len(one)} pairs of one class and {len(other)} of two: two of each are needed")
    return float((one.mean() - other.mean()) / ((one.var() + other.var()) / 2).sqrt())
