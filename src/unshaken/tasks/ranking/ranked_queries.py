"""A ranker's answers to the queries of a collection, and how two of its rankings compare."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import ParameterError
from unshaken.measure.retrieval import kendall_tau, rank_biased_overlap
from unshaken.tasks.ranking.collection import Collection
from unshaken.tasks.ranking.lexical import BM25
from unshaken.tasks.ranking.order import Ranking, sort_by_score, tie_order
from unshaken.tasks.ranking.ranker import Index, Scores

COMPARED = 100
"""Documents at the head of a ranking that Kendall's tau and the overlap compare."""


@dataclass(frozen=True, slots=True)
class RankedQueries:
    """A ranker's scores on a collection.

    Args:
        index: the ranker.
        ids: of the documents.
        ties: `[D]`, see `tie_order`.
        scores: `[Q, D]`.
        rankings: query id to its documents in order.
        seconds: of the scoring.
    """

    index: Index
    ids: tuple[str, ...]
    ties: NDArray[np.int64]
    scores: Scores
    rankings: Mapping[str, Ranking]
    seconds: float


def rank_queries(index: Index, collection: Collection, queries: Mapping[str, str] | None = None) -> RankedQueries:
    """Rank all documents for each query.

    Args:
        index: a ranker that has read the collection's documents.
        collection: has them.
        queries: id to text; default, those of the collection.
    """
    texts = collection.queries if queries is None else queries
    ids, began = tuple(collection.documents), time.perf_counter()
    scores = np.asarray(index.score(list(texts.values())), np.float32)
    seconds, ties = time.perf_counter() - began, tie_order(ids)
    rankings = {q: sort_by_score(ids, row, ties=ties) for q, row in zip(texts, scores, strict=True)}
    return RankedQueries(index, ids, ties, scores, rankings, seconds)


def fixed_targets(collection: Collection, position: int) -> dict[str, str]:
    """The document at a place of BM25's list for each query, for changes that are the same for all rankers.

    Args:
        collection: queries and documents.
        position: from 1; the last where there are fewer documents.

    Raises:
        ParameterError: the position is below 1.
    """
    if position < 1:
        raise ParameterError(f"position must be at least 1, not {position}")
    ranked = rank_queries(BM25().index(list(collection.documents.values())), collection)
    return {q: ranking.ids[min(position, len(ranking.ids)) - 1] for q, ranking in ranked.rankings.items()}


def shared_tau(before: Sequence[str], after: Sequence[str]) -> float:
    """Kendall's tau of the documents that the heads of both rankings have; see `COMPARED`."""
    one, other = before[:COMPARED], after[:COMPARED]
    shared = set(one) & set(other)
    return kendall_tau([d for d in one if d in shared], [d for d in other if d in shared])


def head_overlap(before: Sequence[str], after: Sequence[str]) -> float:
    """Rank-biased overlap of the heads of two rankings, p = 0.9; see `COMPARED`."""
    depth = min(COMPARED, len(before), len(after))
    return rank_biased_overlap(before[:depth], after[:depth])
