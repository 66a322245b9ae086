"""Rankers by vectors: any encoder of texts, compared by the cosine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unshaken.core.errors import ModelError
from unshaken.tasks.ranking.ranker import Scores

Encode = Callable[[Sequence[str]], ArrayLike]
"""From M texts to their vectors `[M, E]`: `SentenceTransformer(...).encode` is one."""


def encode_unit(encode: Encode, texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors `[M, E]` of length 1; equal texts are encoded once, and a vector of zeros stays one.

    Raises:
        ModelError: the encoder gives another number of vectors, or numbers that are not finite.
    """
    distinct = list(dict.fromkeys(texts))
    found = np.asarray(encode(distinct), np.float32)
    if found.ndim != 2 or len(found) != len(distinct):
        raise ModelError(
            f"the encoder gave an array of shape {list(found.shape)} for {len(distinct)} texts, not [M, E]"
        )
    if not np.isfinite(found).all():
        raise ModelError("the encoder gave numbers that are not finite")
    found = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    place = {text: row for row, text in enumerate(distinct)}
    return np.asarray(found[[place[text] for text in texts]], np.float32)


@dataclass(frozen=True, slots=True)
class DenseRanker:
    """The cosine of the vectors of query and document.

    Args:
        encode: of the documents.
        encode_query: of the queries; default `encode`.
    """

    encode: Encode
    encode_query: Encode | None = None

    def index(self, documents: Sequence[str]) -> DenseIndex:
        """Encode documents."""
        return DenseIndex(self, encode_unit(self.encode, documents))


@dataclass(frozen=True, slots=True)
class DenseIndex:
    """Documents as vectors.

    Args:
        ranker: has the encoders.
        vectors: `[D, E]`, of length 1.
    """

    ranker: DenseRanker
    vectors: NDArray[np.float32]

    def score(self, queries: Sequence[str]) -> Scores:
        """See `Index.score`."""
        return self._encode_queries(queries) @ self.vectors.T

    def score_pairs(self, queries: Sequence[str], texts: Sequence[str]) -> Scores:
        """See `Index.score_pairs`."""
        vectors = encode_unit(self.ranker.encode, texts)
        return np.asarray((self._encode_queries(queries) * vectors).sum(1), np.float32)

    def _encode_queries(self, queries: Sequence[str]) -> NDArray[np.float32]:
        return encode_unit(self.ranker.encode_query or self.ranker.encode, queries)
