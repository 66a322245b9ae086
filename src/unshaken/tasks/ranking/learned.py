"""Learning to rank on features of words: RankSVM and LambdaMART."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from typing_extensions import override

from unshaken.core.extras import need
from unshaken.tasks.ranking.collection import Collection
from unshaken.tasks.ranking.lexical import TermRanker, bm25, query_likelihood
from unshaken.tasks.ranking.pairwise import draw_candidates, fit_linear
from unshaken.tasks.ranking.term_counts import Numbers, QueryTerms, TermCounts

FEATURES = ("bm25", "query likelihood", "tf-idf cosine", "length", "matched share", "idf sum", "idf minimum")
"""What the score of learning to rank is made of."""


def word_features(terms: QueryTerms) -> Numbers:
    """The features `[D, 7]` of each text for the query, see `FEATURES`."""
    has = terms.tf > 0
    asked = np.sqrt(((terms.in_query * terms.idf) ** 2).sum()) + 1e-12
    cosine = terms.tf @ (terms.in_query * terms.idf**2) / (asked * np.maximum(terms.norms, 1e-12))
    lowest = np.where(has, terms.idf, np.inf).min(1, initial=np.inf)
    return np.stack(
        [
            bm25(terms, 1.2, 0.75), query_likelihood(terms, 2000.0), cosine, np.log1p(terms.lengths),
            has.sum(1) / max(1, terms.asked), has @ terms.idf, np.where(np.isfinite(lowest), lowest, 0.0),
        ],
        axis=1,
    )  # fmt: skip


@dataclass(frozen=True)
class LinearRanker(TermRanker):
    """A linear score of `word_features`.

    Args:
        weights: `[7]`.
    """

    weights: Numbers

    @override
    def formula(self, terms: QueryTerms) -> Numbers:
        return np.asarray(word_features(terms) @ self.weights, np.float64)


@dataclass(frozen=True, slots=True)
class RankSVM:
    """Learns a linear score by comparing documents in pairs.

    Args:
        c: weight of the loss against that of the squared norm.
    """

    c: float = 1.0

    def fit(self, training: Collection, seed: int) -> LinearRanker:
        """See `Learner.fit`."""
        counts = TermCounts(list(training.documents.values()))
        candidates = draw_candidates(training, seed)
        return LinearRanker(
            fit_linear(lambda q, rows: word_features(counts.terms(q, rows)), candidates, c=self.c, seed=seed)
        )


@dataclass(frozen=True)
class TreeRanker(TermRanker):
    """A sum of regression trees of `word_features`.

    Args:
        trees: fitted, of scikit-learn.
        rate: factor of each.
    """

    trees: Sequence[Any]
    rate: float

    @override
    def formula(self, terms: QueryTerms) -> Numbers:
        values = word_features(terms)
        return np.asarray(self.rate * np.sum([tree.predict(values) for tree in self.trees], axis=0), np.float64)


@dataclass(frozen=True, slots=True)
class LambdaMART:
    """Boosted trees that follow the gradient of pairs, each weighted by the nDCG that swapping it would change.

    Source: Burges 2010, Microsoft Research MSR-TR-2010-82.

    Args:
        trees: of the sum.
        leaves: of a tree.
        rate: factor of each tree.
    """

    trees: int = 60
    leaves: int = 8
    rate: float = 0.1

    def fit(self, training: Collection, seed: int) -> TreeRanker:
        """See `Learner.fit`."""
        package: Any = need("sklearn.tree", "scikit-learn", "ranking", "LambdaMART")
        counts = TermCounts(list(training.documents.values()))
        candidates = draw_candidates(training, seed)
        values = [word_features(counts.terms(one.query, one.rows)) for one in candidates]
        whole, ends = np.concatenate(values), np.cumsum([len(v) for v in values])[:-1]
        scores, trees = np.zeros(len(whole)), []
        for number in range(self.trees):
            parts = [lambdas(s, one.grades) for s, one in zip(np.split(scores, ends), candidates, strict=True)]
            pull, weight = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
            own = (seed * self.trees + number) % 2**32
            tree = package.DecisionTreeRegressor(max_leaf_nodes=self.leaves, random_state=own)
            leaf = tree.fit(whole, pull).apply(whole)
            size = tree.tree_.node_count
            step = np.bincount(leaf, pull, size) / np.maximum(np.bincount(leaf, weight, size), 1e-9)  # Newton's
            tree.tree_.value[:, 0, 0] = step
            scores += self.rate * step[leaf]
            trees.append(tree)
        return TreeRanker(trees, self.rate)


def lambdas(scores: Numbers, grades: Sequence[int] | np.ndarray[Any, Any]) -> tuple[Numbers, Numbers]:
    """Gradient and curvature of the documents of one query.

    For each pair with grade i above grade j: `rho = 1 / (1 + exp(s_i - s_j))`, times the nDCG that swapping both would
    change; it pulls i up and j down.

    Args:
        scores: `[C]`.
        grades: `[C]`.

    Returns:
        Both `[C]`.
    """
    grade = np.asarray(grades)
    gain = 2.0**grade - 1
    rank = np.empty(len(scores))
    rank[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    discount = 1 / np.log2(rank + 2)
    ideal = float((np.sort(gain)[::-1] / np.log2(np.arange(len(gain)) + 2)).sum()) or 1.0
    above = grade[:, None] > grade[None, :]
    change = np.abs((gain[:, None] - gain[None, :]) * (discount[:, None] - discount[None, :])) / ideal
    rho = 1 / (1 + np.exp(np.clip(scores[:, None] - scores[None, :], -50, 50)))
    pull, weight = np.where(above, change * rho, 0.0), np.where(above, change * rho * (1 - rho), 0.0)
    return pull.sum(1) - pull.sum(0), weight.sum(1) + weight.sum(0)
