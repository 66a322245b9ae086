"""`Ranking`: documents in order of their scores, equal scores decided as trec_eval decides them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unshaken.core.errors import ParameterError

DEPTH = 1000
"""Documents kept of a ranking, as in runs at TREC."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """The documents of one query, best first.

    Args:
        ids: of the documents.
        scores: float32 `[D]`, descending.
    """

    ids: tuple[str, ...]
    scores: NDArray[np.float32]


def tie_order(ids: Sequence[str]) -> NDArray[np.int64]:
    """The place of each document where all scores are equal: the larger id first, as in trec_eval."""
    order = sorted(range(len(ids)), key=ids.__getitem__, reverse=True)
    places = np.empty(len(ids), np.int64)
    places[order] = np.arange(len(ids))
    return places


def finite_scores(scores: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Check the scores of a ranker, and return them as float32.

    Raises:
        ParameterError: the shape is another one, or a score is not finite.
    """
    values = np.asarray(scores, np.float32)
    if values.shape != shape:
        raise ParameterError(f"a ranker gave scores of shape {list(values.shape)}, and {list(shape)} is wanted")
    if not np.isfinite(values).all():
        raise ParameterError(f"a ranker gave {int((~np.isfinite(values)).sum())} scores that are not finite")
    return values


def sort_by_score(
    ids: Sequence[str], scores: ArrayLike, *, depth: int = DEPTH, ties: NDArray[np.int64] | None = None
) -> Ranking:
    """Documents in order of their scores in float32; of equal scores the document with the larger id is first.

    So do trec_eval and pytrec_eval, and a run that is written and read again stays as it is. The order of the documents
    in the collection decides nothing.

    Args:
        ids: of D documents.
        scores: `[D]`, finite.
        depth: documents kept.
        ties: `tie_order(ids)`, where many rankings of the same documents are sorted.

    Raises:
        ParameterError: a score is not finite, or there are not as many as documents.

    >>> sort_by_score(["a", "b", "c"], [1.0, 1.0, 2.0]).ids
    ('c', 'b', 'a')
    """
    values = finite_scores(scores, (len(ids),))
    order = np.lexsort((tie_order(ids) if ties is None else ties, -values))[:depth]
    return Ranking(tuple(ids[i] for i in order), values[order])


def rank_among(scores: NDArray[np.float32], ties: NDArray[np.int64], place: int, score: float) -> int:
    """The rank, from 1, of one document if it had another score and the others kept theirs.

    Args:
        scores: `[D]` of all documents.
        ties: `[D]`, see `tie_order`.
        place: of the document in them.
        score: its new score.
    """
    value = np.float32(score)
    before = (scores > value) | ((scores == value) & (ties < ties[place]))
    before[place] = False
    return 1 + int(before.sum())
