"""Neural rankers that learn: kernel pooling over vectors of words, and two towers over vectors of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from typing_extensions import override

from unshaken.core.errors import ModelError
from unshaken.measure.statistics.columns import Numbers
from unshaken.tasks.ranking.collection import Collection
from unshaken.tasks.ranking.learned import draw_candidates, fit_linear
from unshaken.tasks.ranking.ranker import DenseRanker, Encode, Index, Learner, Ranker, Scores, encode_unit
from unshaken.tasks.ranking.words import TermCounts, split_words

KERNELS = ((1.0, 0.001), *((mu / 10, 0.1) for mu in range(9, -10, -2)))
"""Mean and deviation of each kernel, the first of words that are the same."""


def pool_kernels(cosines: NDArray[np.float32], tf: Any) -> Numbers:
    """`phi_k = sum over words i of the query of log K_k(i)`, with `K_k(i) = sum_j exp(-(M_ij - mu)^2 / (2 sigma^2))`.

    Args:
        cosines: `[T, V]`, M of each word of the query with each of the vocabulary.
        tf: `[D, V]`, dense or sparse, how often each word stands in each document.

    Returns:
        `[D, 11]`.

    Source: Xiong et al. 2017, doi:10.1145/3077136.3080809.
    """
    means, deviations = np.array(KERNELS, np.float32).T
    near = np.exp(-((cosines[..., None] - means) ** 2) / (2 * deviations**2))  # [T, V, K]
    words, vocabulary, kernels = near.shape
    pooled = np.asarray(tf @ near.transpose(1, 0, 2).reshape(vocabulary, words * kernels))
    return np.asarray(0.01 * np.log(np.maximum(pooled, 1e-10)).reshape(-1, words, kernels).sum(1), np.float64)


class KernelIndex(Index):
    """Documents as counts of words, and the words' vectors.

    Args:
        documents: texts.
        vectors: from words to their vectors `[M, E]`.
        weights: `[11]` of the kernels; None before they are learned.
    """

    def __init__(
        self, documents: Sequence[str], vectors: Callable[[Sequence[str]], ArrayLike], weights: Numbers | None = None
    ) -> None:
        self.counts, self.vectors = TermCounts(documents), vectors
        self.weights = weights
        self.tf = self.counts.by_row.astype(np.float32)
        self.words: NDArray[np.float32] = encode_unit(vectors, list(self.counts.place))

    def features(self, query: str, rows: NDArray[np.int64] | None = None) -> Numbers:
        """The kernels `[D, 11]` of all documents for a query, or of those at some places."""
        if rows is None:
            return pool_kernels(self._cosines(query, self.words), self.tf)
        tf = self.tf[rows]
        words = np.unique(tf.indices)
        return pool_kernels(self._cosines(query, self.words[words]), tf[:, words])

    @override
    def score(self, queries: Sequence[str]) -> Scores:
        return np.stack([self.features(query) @ self._learned for query in queries]).astype(np.float32)

    @override
    def score_pairs(self, queries: Sequence[str], texts: Sequence[str]) -> Scores:
        scores = []
        for query, text in zip(queries, texts, strict=True):
            counts = Counter(split_words(text))
            cosines = (
                self._cosines(query, encode_unit(self.vectors, list(counts)))
                if counts
                else np.zeros((1, 0), np.float32)
            )
            tf = np.array([list(counts.values())], np.float32)
            scores.append((pool_kernels(cosines, tf) @ self._learned)[0])
        return np.array(scores, np.float32)

    @property
    def _learned(self) -> Numbers:
        if self.weights is None:
            raise ModelError("the weights of the kernels are not learned yet: fit the ranker first")
        return self.weights

    def _cosines(self, query: str, words: NDArray[np.float32]) -> NDArray[np.float32]:
        return encode_unit(self.vectors, split_words(query)) @ words.T


@dataclass(frozen=True, slots=True)
class KernelRanker(Ranker):
    """Kernel pooling with learned weights.

    Args:
        vectors: from words to their vectors `[M, E]`.
        weights: `[11]`.
    """

    vectors: Callable[[Sequence[str]], ArrayLike]
    weights: Numbers

    @override
    def index(self, documents: Sequence[str]) -> KernelIndex:
        return KernelIndex(documents, self.vectors, self.weights)


@dataclass(frozen=True, slots=True)
class KNRM(Learner):
    """Learns the weights of the kernels by comparing documents in pairs; the vectors of words stay as they are.

    The published score is `tanh(w . phi + b)`, which orders documents as `w . phi` does.

    Args:
        vectors: from words to their vectors `[M, E]`.
        c: weight of the loss against that of the squared norm.
    """

    vectors: Callable[[Sequence[str]], ArrayLike]
    c: float = 1.0

    @override
    def fit(self, training: Collection, seed: int) -> KernelRanker:
        index = KernelIndex(list(training.documents.values()), self.vectors)
        weights = fit_linear(index.features, draw_candidates(training, seed), c=self.c, seed=seed)
        return KernelRanker(self.vectors, weights)


@dataclass(frozen=True, slots=True)
class TwoTower(Learner):
    """Learns a linear layer behind an encoder for queries and another for documents, compared by the cosine.

    A query's relevant document should be nearer than those of the other queries of its batch: cross-entropy over
    `cosine / temperature`. Both layers begin as the identity.

    Args:
        encode: stays as it is.
        epochs: passes over the pairs of query and relevant document.
        lr: of Adam.
        batch: pairs of a step.
        temperature: of the cosines.
    """

    encode: Encode
    epochs: int = 10
    lr: float = 3e-4
    batch: int = 64
    temperature: float = 0.05

    @override
    def fit(self, training: Collection, seed: int) -> DenseRanker:
        pairs = [(q, d) for q, grades in training.qrels.items() for d, grade in grades.items() if grade > 0]
        queries = torch.from_numpy(encode_unit(self.encode, [training.queries[q] for q, _ in pairs]))
        documents = torch.from_numpy(encode_unit(self.encode, [training.documents[d] for _, d in pairs]))
        towers = [torch.eye(queries.shape[1], requires_grad=True) for _ in range(2)]
        optimizer = torch.optim.Adam(towers, lr=self.lr)
        order = torch.Generator().manual_seed(seed)
        for _ in range(self.epochs):
            drawn = torch.randperm(len(pairs), generator=order)
            for first in range(0, len(pairs), self.batch):
                rows = drawn[first : first + self.batch]
                asked, found = (
                    F.normalize(x[rows] @ w.T, dim=1) for x, w in zip((queries, documents), towers, strict=True)
                )
                loss = F.cross_entropy(asked @ found.T / self.temperature, torch.arange(len(rows)))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        query_layer, document_layer = (w.detach().numpy() for w in towers)
        return DenseRanker(LinearTower(self.encode, document_layer), LinearTower(self.encode, query_layer))


@dataclass(frozen=True, slots=True)
class LinearTower:
    """An encoder with a linear layer behind it.

    Args:
        encode: gives vectors, which are brought to length 1.
        weights: `[E, E]`.
    """

    encode: Encode
    weights: NDArray[np.float32]

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of M texts, `[M, E]`."""
        return np.asarray(encode_unit(self.encode, texts) @ self.weights.T, np.float32)


class EncoderMemory:
    """An encoder that encodes each text once.

    Args:
        encode: gives the vectors.
    """

    def __init__(self, encode: Encode) -> None:
        self.encode = encode
        self._known: dict[str, NDArray[np.float32]] = {}

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of M texts, `[M, E]`."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, np.asarray(self.encode(new), np.float32), strict=True))
        return np.stack([self._known[text] for text in texts])
