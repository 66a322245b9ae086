"""Classifiers of few examples, over many episodes at once: prototypes, nearest neighbours, logistic regression."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.errors import ParameterError
from unshaken.core.extras import need

Scores = Callable[[Tensor, Tensor], Tensor]
"""From examples `[E, N, K, D]` of N classes and queries `[E, M, D]` to scores `[E, M, N]`; the largest one wins."""


def prototype_scores(support: Tensor, queries: Tensor) -> Tensor:
    """Cosines with the mean directions of the examples; see `Scores` for shapes.

    Unit vectors are averaged, not features: a long feature weighs no more than a short one.
    """
    prototypes = F.normalize(F.normalize(support, dim=-1).mean(-2), dim=-1)
    return F.normalize(queries, dim=-1) @ prototypes.transpose(-1, -2)


def knn_scores(support: Tensor, queries: Tensor, *, k: int = 5, temperature: float = 0.07) -> Tensor:
    """Votes of the nearest examples by cosine, each `exp(cosine / temperature)`; see `Scores` for shapes.

    Args:
        support: examples.
        queries: to be classified.
        k: examples that vote; all of them where there are fewer.
        temperature: below 1; small ones let the nearest decide.

    Raises:
        ParameterError: k is below 1.

    Source: Wu et al. 2018, arXiv:1805.01978.
    """
    if k < 1:
        raise ParameterError(f"k must be at least 1, not {k}")
    classes, shots = support.shape[-3:-1]
    cosines = F.normalize(queries, dim=-1) @ F.normalize(support.flatten(-3, -2), dim=-1).transpose(-1, -2)
    near = cosines.topk(min(k, classes * shots), dim=-1)
    votes = ((near.values - 1) / temperature).exp()
    scores = votes.new_zeros(*votes.shape[:-1], classes)
    return scores.scatter_add_(-1, near.indices // shots, votes)


def logistic_scores(support: Tensor, queries: Tensor, *, c: float = 1.0) -> Tensor:
    """Logits of a logistic regression on unit vectors, fitted anew in each episode; see `Scores` for shapes.

    Args:
        support: examples.
        queries: to be classified.
        c: inverse strength of the l2 penalty, as in scikit-learn.

    Raises:
        MissingExtra: scikit-learn is absent.
    """
    linear: Any = need("sklearn.linear_model", "scikit-learn", "labels", "logistic regression of few examples")
    classes, shots = support.shape[-3:-1]
    labels = torch.arange(classes).repeat_interleave(shots).numpy()
    found = []
    for examples, asked in zip(F.normalize(support, dim=-1), F.normalize(queries, dim=-1), strict=True):
        fitted = linear.LogisticRegression(C=c, max_iter=1000).fit(examples.flatten(0, 1).numpy(), labels)
        scores = torch.from_numpy(fitted.decision_function(asked.numpy()))
        found.append(torch.stack([-scores, scores], 1) if classes == 2 else scores)
    return torch.stack(found)
