"""Episodes of N classes with K examples and Q queries each, and classifiers of few examples over many at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.numbers import LARGEST_COUNT, LARGEST_SEED, in_range
from unshaken.measure.statistics.columns import Flags, Indices, integers

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


PIECE = 50
"""Episodes that are classified together."""


@dataclass(frozen=True, slots=True)
class Episodes:
    """The samples of E episodes, by their rows.

    Args:
        classes: labels of its N classes, int `[E, N]`.
        support: rows of the examples, int `[E, N, K]`.
        queries: rows of the queries, int `[E, N, Q]`; of the pool of queries where that is another one.
    """

    classes: Indices
    support: Indices
    queries: Indices

    def __len__(self) -> int:
        return len(self.classes)


def draw_episodes(
    labels: ArrayLike,
    *,
    ways: int = 5,
    shots: int = 1,
    queries: int = 15,
    episodes: int = 600,
    seed: int = 0,
    query_labels: ArrayLike | None = None,
) -> Episodes:
    """Draw episodes; the first ones are the same whatever their number.

    Args:
        labels: of the samples, int `[n]`.
        ways: classes N of an episode.
        shots: examples K of each class.
        queries: queries Q of each class.
        episodes: their number E.
        seed: of the draws.
        query_labels: of the pool from which queries are drawn, int `[m]`, such as photos taken under harder conditions;
            None to draw them from the same samples, apart from the examples.

    Raises:
        ParameterError: a number is out of range.
        DataError: a sample has no label (-1), or fewer than `ways` classes have enough samples.
    """
    for name, value, least in (
        ("ways", ways, 2), ("shots", shots, 1), ("queries", queries, 1), ("episodes", episodes, 1), ("seed", seed, 0)
    ):  # fmt: skip
        in_range(name, value, least, LARGEST_SEED if name == "seed" else LARGEST_COUNT)
    apart = query_labels is not None
    pool, asked = _rows(labels), _rows(labels if query_labels is None else query_labels)
    wanted = shots if apart else shots + queries
    fit = [c for c, rows in pool.items() if len(rows) >= wanted and len(asked.get(c, ())) >= queries]
    if len(fit) < ways:
        what = f"{shots} examples and {queries} queries"
        largest = min(max(map(len, pool.values())), max(map(len, asked.values())))
        raise DataError(
            f"{len(fit)} classes have {what}, and an episode needs {ways}: the largest class has {largest} samples; "
            "lower ways, shots or queries"
        )
    classes = np.empty((episodes, ways), np.int64)
    support, query = np.empty((episodes, ways, shots), np.int64), np.empty((episodes, ways, queries), np.int64)
    for e in range(episodes):
        rng = np.random.default_rng([seed, e])
        classes[e] = rng.choice(fit, ways, replace=False)
        for i, label in enumerate(classes[e].tolist()):
            drawn = rng.choice(pool[label], wanted, replace=False)
            support[e, i] = drawn[:shots]
            query[e, i] = rng.choice(asked[label], queries, replace=False) if apart else drawn[shots:]
    return Episodes(classes, support, query)


def run_episodes(
    episodes: Episodes, features: Tensor, scores: Scores = prototype_scores, *, query_features: Tensor | None = None
) -> Flags:
    """Classify the queries of every episode.

    Args:
        episodes: see `draw_episodes`.
        features: of the samples, `[n, D]`.
        scores: the classifier.
        query_features: of the queries' own pool, `[m, D]`; None where it is the same.

    Returns:
        Whether each query is classified correctly, bool `[E, N, Q]`; where several classes score equally the query
        is wrong unless its own comes first.

    Raises:
        DataError: a feature is not finite.
    """
    asked = features if query_features is None else query_features
    for what, values in (("features", features), ("query features", asked)):
        _check_finite(what, values)
    ways, count = episodes.queries.shape[1:]
    truth = torch.arange(ways).repeat_interleave(count)
    found = []
    for first in range(0, len(episodes), PIECE):
        part = slice(first, first + PIECE)
        support = features[torch.from_numpy(episodes.support[part])]
        queries = asked[torch.from_numpy(episodes.queries[part])].flatten(1, 2)
        found.append((scores(support, queries).argmax(-1).cpu() == truth).view(-1, ways, count))
    return np.asarray(torch.cat(found).numpy())


def run_pair_episodes(episodes: Episodes, pair_scores: Tensor) -> Flags:
    """Classify the queries by scores that are known for each pair of a query and an example.

    Args:
        episodes: see `draw_episodes`.
        pair_scores: `[m, n]` of the m queries and the n samples that examples are drawn from.

    Returns:
        Bool `[E, N, Q]`: whether the mean score with the examples of the query's own class is the largest.

    Raises:
        ParameterError: the scores are not of all queries and examples.
        DataError: a score is not finite.
    """
    if (
        pair_scores.ndim != 2
        or pair_scores.shape[1] <= episodes.support.max()
        or len(pair_scores) <= (episodes.queries.max())
    ):
        raise ParameterError(f"pair scores {tuple(pair_scores.shape)} do not cover all queries and examples")
    _check_finite("pair scores", pair_scores)
    matrix = pair_scores.numpy()
    asked = episodes.queries[:, :, :, None, None]
    found = matrix[asked, episodes.support[:, None, None]].mean(-1)
    return np.asarray(found.argmax(-1) == np.arange(episodes.queries.shape[1])[None, :, None])


def _check_finite(what: str, values: Tensor) -> None:
    bad = ~values.isfinite().flatten(1).all(1)
    if bool(bad.any()):
        raise DataError(
            f"{what} of {int(bad.sum())} of {len(values)} samples are not finite, the first is row "
            f"{int(bad.int().argmax())}: leave them out, or look at the model"
        )


def _rows(labels: ArrayLike) -> dict[int, NDArray[np.int64]]:
    """Rows of each class."""
    column = integers("labels", labels)
    if (column < 0).any():
        raise DataError(f"{int((column < 0).sum())} of {len(column)} samples have no label: leave them out of episodes")
    order = np.argsort(column, kind="stable")
    names, starts = np.unique(column[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True))
