"""Rankers, which score documents for queries, by text; and rankers by vectors of any encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typing_extensions import override

from unshaken.core.errors import ModelError
from unshaken.tasks.ranking.collection import Collection

Scores = NDArray[np.float32]


class Index(Protocol):
    """A ranker that has read a collection's documents."""

    def score(self, queries: Sequence[str]) -> Scores:
        """Scores float32 `[Q, D]` of all documents for each query."""

    def score_pairs(self, queries: Sequence[str], texts: Sequence[str]) -> Scores:
        """Scores float32 `[M]` of the m-th text for the m-th query.

        The texts need not be documents of the collection; what is counted over a collection, such as how rare a word
        is, stays as it was: so a changed document is scored that stands in the place of one of very many.
        """


class Ranker(Protocol):
    """Interface of rankers: they read documents, and give an index that scores them."""

    def index(self, documents: Sequence[str]) -> Index:
        """Read documents, in their order."""


@runtime_checkable
class Learner(Protocol):
    """A ranker that learns from queries and judgements."""

    def fit(self, training: Collection, seed: int) -> Ranker:
        """Learn from a collection, and give the ranker that was learned.

        Args:
            training: documents, queries and judgements.
            seed: of what is drawn.
        """


@dataclass(frozen=True, slots=True)
class ScoreFunction(Ranker):
    """Any function as a ranker, such as a cross-encoder.

    Args:
        function: from queries and texts, M each, to M scores, higher is better.
        batch: pairs of one call at most.
    """

    function: Callable[[Sequence[str], Sequence[str]], Sequence[float]]
    batch: int = 256

    @override
    def index(self, documents: Sequence[str]) -> _FunctionIndex:
        return _FunctionIndex(self, tuple(documents))


@dataclass(frozen=True, slots=True)
class _FunctionIndex(Index):
    ranker: ScoreFunction
    documents: tuple[str, ...]

    @override
    def score(self, queries: Sequence[str]) -> Scores:
        return np.stack([self.score_pairs([query] * len(self.documents), self.documents) for query in queries])

    @override
    def score_pairs(self, queries: Sequence[str], texts: Sequence[str]) -> Scores:
        parts = []
        for first in range(0, len(texts), self.ranker.batch):
            rows = slice(first, first + self.ranker.batch)
            part = np.asarray(self.ranker.function(queries[rows], texts[rows]), np.float32)
            if part.shape != (len(texts[rows]),):
                raise ModelError(f"the ranker gave scores of shape {list(part.shape)} for {len(texts[rows])} pairs")
            parts.append(part)
        return np.concatenate(parts) if parts else np.empty(0, np.float32)


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
class DenseRanker(Ranker):
    """The cosine of the vectors of query and document.

    Args:
        encode: of the documents.
        encode_query: of the queries; default `encode`.
    """

    encode: Encode
    encode_query: Encode | None = None

    @override
    def index(self, documents: Sequence[str]) -> DenseIndex:
        return DenseIndex(self, encode_unit(self.encode, documents))


@dataclass(frozen=True, slots=True)
class DenseIndex(Index):
    """The documents of a `DenseRanker` as vectors.

    Args:
        ranker: has the encoders.
        vectors: `[D, E]`, of length 1.
    """

    ranker: DenseRanker
    vectors: NDArray[np.float32]

    @override
    def score(self, queries: Sequence[str]) -> Scores:
        return self._encode_queries(queries) @ self.vectors.T

    @override
    def score_pairs(self, queries: Sequence[str], texts: Sequence[str]) -> Scores:
        vectors = encode_unit(self.ranker.encode, texts)
        return np.asarray((self._encode_queries(queries) * vectors).sum(1), np.float32)

    def _encode_queries(self, queries: Sequence[str]) -> NDArray[np.float32]:
        return encode_unit(self.ranker.encode_query or self.ranker.encode, queries)
