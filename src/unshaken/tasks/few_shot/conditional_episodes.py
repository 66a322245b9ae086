"""Episodes of several examples a class by a conditional head: a classifier is fitted anew for each query."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from unshaken.core.classifier import evaluating
from unshaken.core.errors import DataError
from unshaken.core.imports import need
from unshaken.measure.statistics.columns import Flags
from unshaken.tasks.few_shot.conditional import ConditionalHead
from unshaken.tasks.few_shot.episodes import Episodes
from unshaken.tasks.few_shot.pair_training import PAIRS


@torch.no_grad()
def run_conditional_episodes(
    head: ConditionalHead, episodes: Episodes, supports: Tensor, queries: Tensor, *, c: float = 1.0
) -> Flags:
    """Classify queries by logistic regression on the examples as each query shapes them, as published for K above 1.

    For each query all N K examples are paired with it; the regression is fitted to the examples' representations of
    these pairs, and answers for the mean of the query's. One fit a query makes it slow: `run_pair_episodes`, which
    takes the mean score of each class's examples, needs none, and is the published way for one example a class.

    Args:
        head: trained; used in evaluation mode, left as it is.
        episodes: see `draw_episodes`.
        supports: maps of the pool of examples, `[n, C, h, h]`.
        queries: maps of the pool of queries, `[m, C, h, h]`.
        c: inverse strength of the l2 penalty.

    Returns:
        Whether each query is classified correctly, bool `[E, N, Q]`.

    Raises:
        DataError: episodes take samples that are not there, or a representation is not finite.
        MissingExtra: scikit-learn is absent.

    Source: Conditional Representation Learning, github.com/guoqianyu-alberta/Conditional-Representation-Learning.
    """
    if episodes.support.max() >= len(supports) or episodes.queries.max() >= len(queries):
        raise DataError(
            f"{len(supports)} examples and {len(queries)} queries do not cover the episodes: give the pools"
        )
    linear: Any = need("sklearn.linear_model", "scikit-learn", "labels", "logistic regression of few examples")
    ways, shots = episodes.support.shape[1:]
    labels = np.arange(ways).repeat(shots)
    found = np.zeros(episodes.queries.shape, bool)
    with evaluating(head):
        for e in range(len(episodes)):
            asked = episodes.queries[e].ravel()
            examples, answers = _represented(head, supports[episodes.support[e].ravel()], queries[asked])
            fitted = (linear.LogisticRegression(C=c, max_iter=1000).fit(one, labels) for one in examples)
            predicted = [int(model.predict(one[None])[0]) for model, one in zip(fitted, answers, strict=True)]
            found[e] = (np.array(predicted) == np.arange(ways).repeat(len(asked) // ways)).reshape(ways, -1)
    return found


def _represented(head: ConditionalHead, supports: Tensor, queries: Tensor) -> tuple[Any, Any]:
    """Examples as each query shapes them, float64 `[M, n, C]`, and the mean of each query's own, `[M, C]`."""
    rows = torch.cartesian_prod(torch.arange(len(queries)), torch.arange(len(supports)))
    parts = [head.represent(supports[p[:, 1]], queries[p[:, 0]]) for p in torch.split(rows, PAIRS)]
    own, asked = (
        torch.cat([getattr(p, name) for p in parts]).view(len(queries), len(supports), -1).cpu().double()
        for name in ("support", "query")
    )
    if not bool(own.isfinite().all() and asked.isfinite().all()):
        raise DataError("a representation is not finite: look at the maps, or at the head's training")
    return own.numpy(), asked.mean(1).numpy()
