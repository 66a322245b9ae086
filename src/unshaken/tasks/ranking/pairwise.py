"""Learning to rank by pairs: which documents are compared for each query, and a linear score that orders them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import DataError
from unshaken.core.extras import need
from unshaken.core.rng import SampleRng
from unshaken.tasks.ranking.collection import Collection
from unshaken.tasks.ranking.lexical import BM25
from unshaken.tasks.ranking.order import sort_by_score, tie_order
from unshaken.tasks.ranking.term_counts import Numbers

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
