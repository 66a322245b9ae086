"""Learning to rank on features of words, by pairs of documents: RankSVM and LambdaMART."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.core.imports import need
from unshaken.core.rng import SampleRng
from unshaken.measure.statistics.columns import Numbers
from unshaken.tasks.ranking.collection import Collection
from unshaken.tasks.ranking.lexical import BM25, TermRanker, bm25, query_likelihood
from unshaken.tasks.ranking.order import sort_by_score, tie_order
from unshaken.tasks.ranking.ranker import Learner
from unshaken.tasks.ranking.words import QueryTerms, TermCounts

Features = Callable[[str, NDArray[np.int64]], Numbers]
"""From a query and the places of C documents to `[C, F]`."""
HARD, EASY = 10, 10
"""Documents that BM25 ranks first, and drawn ones, that a query's relevant documents are compared with."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The documents of one training query.

    Args:
        query: its text.
        rows: int64 `[C]`, places of the documents in the collection, the relevant ones among them.
        grades: int64 `[C]`, 0 where not relevant or not judged.
    """

    query: str
    rows: NDArray[np.int64]
    grades: NDArray[np.int64]


def draw_candidates(training: Collection, seed: int) -> list[Candidates]:
    """For each query its relevant documents, those that BM25 ranks first, and drawn ones.

    Args:
        training: documents, queries and judgements.
        seed: of the draws, which depend on it and the query's id.
    """
    ids, ties = list(training.documents), tie_order(list(training.documents))
    place = {document: row for row, document in enumerate(ids)}
    scores = BM25().index(list(training.documents.values())).score(list(training.queries.values()))
    rngs = SampleRng.of(seed, "ranking candidates", list(training.queries)).generators()
    found = []
    for (query, text), row, rng in zip(training.queries.items(), scores, rngs, strict=True):
        grades = {d: max(0, grade) for d, grade in training.qrels[query].items()}
        relevant = [d for d, grade in grades.items() if grade > 0]
        first = sort_by_score(ids, row, depth=HARD, ties=ties).ids
        drawn = [ids[i] for i in rng.integers(len(ids), size=EASY)]
        chosen = list(dict.fromkeys([*relevant, *first, *drawn]))
        values = np.array([grades.get(d, 0) for d in chosen])
        found.append(Candidates(text, np.array([place[d] for d in chosen]), values))
    return found


def fit_linear(features: Features, candidates: list[Candidates], *, c: float, seed: int) -> Numbers:
    """Weights `[F]` of a linear score that puts documents of a higher grade first: hinge loss on differences.

    Args:
        features: of documents for a query.
        candidates: of the training queries.
        c: weight of the loss against that of the squared norm.
        seed: of the solver.

    Returns:
        Weights of the features as they are; they are brought to unit deviation while learning.

    Raises:
        DataError: no query has documents of two grades.

    Source: Joachims 2002, doi:10.1145/775047.775067.
    """
    svm: Any = need("sklearn.svm", "scikit-learn", "ranking", "learning to rank")
    differences = []
    for one in candidates:
        values = features(one.query, one.rows)
        higher, lower = np.nonzero(one.grades[:, None] > one.grades[None, :])
        differences.append(values[higher] - values[lower])
    pairs = np.concatenate(differences)
    if not len(pairs):
        raise DataError("no training query has documents of two grades to compare: add queries, or documents")
    pairs = np.concatenate([pairs, pairs]) if len(pairs) == 1 else pairs  # the solver wants two
    deviation = pairs.std(0)
    scale = np.where(deviation > 1e-9, deviation, 1.0)
    signs = np.where(np.arange(len(pairs)) % 2, -1.0, 1.0)  # both classes, as the solver wants them
    options = {"fit_intercept": False, "dual": False, "loss": "squared_hinge", "max_iter": 5000}
    solver = svm.LinearSVC(C=c, random_state=seed % 2**32, **options)
    solver.fit(pairs / scale * signs[:, None], signs)
    return np.asarray(solver.coef_[0] / scale, np.float64)


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
class RankSVM(Learner):
    """Learns a linear score by comparing documents in pairs.

    Args:
        c: weight of the loss against that of the squared norm.
    """

    c: float = 1.0

    @override
    def fit(self, training: Collection, seed: int) -> LinearRanker:
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
class LambdaMART(Learner):
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

    @override
    def fit(self, training: Collection, seed: int) -> TreeRanker:
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
