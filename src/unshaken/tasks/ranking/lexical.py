"""Rankers that count words: BM25 and query likelihood, as formulas over the words of a query."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from unshaken.measure.statistics.columns import Numbers
from unshaken.tasks.ranking.ranker import Index, Ranker, Scores
from unshaken.tasks.ranking.words import QueryTerms, TermCounts


def bm25(terms: QueryTerms, k1: float, b: float) -> Numbers:
    """`sum over t of idf(t) tf (k1 + 1) / (tf + k1 (1 - b + b |d| / average))`, `[D]`; a word counts as often as asked.

    Source: Robertson & Zaragoza 2009, doi:10.1561/1500000019, with the idf of Lucene.
    """
    longer = k1 * (1 - b + b * terms.lengths / max(terms.average, 1e-9))
    part = terms.tf * (k1 + 1) / (terms.tf + longer[:, None] + 1e-12)
    return np.asarray(part @ (terms.idf * terms.in_query), np.float64)


def query_likelihood(terms: QueryTerms, mu: float) -> Numbers:
    """`sum over t of tf(t, q) log((tf(t, d) + mu p(t|C)) / (|d| + mu))`, `[D]`; words unknown to all are left out.

    Source: Zhai & Lafferty 2004, doi:10.1145/984321.984322.
    """
    smoothed = (terms.tf + mu * terms.background) / (terms.lengths + mu)[:, None]
    return np.asarray(np.log(smoothed) @ terms.in_query, np.float64)


class TermRanker(Ranker):
    """A ranker whose score is a formula over the words of a query."""

    @abstractmethod
    def formula(self, terms: QueryTerms) -> Numbers:
        """Scores `[D]` of the texts for the query."""

    @override
    def index(self, documents: Sequence[str]) -> TermIndex:
        return TermIndex(self, TermCounts(documents))


@dataclass(frozen=True, slots=True)
class TermIndex(Index):
    """Counted documents, and the formula that scores them.

    Args:
        ranker: has the formula.
        counts: of the documents.
    """

    ranker: TermRanker
    counts: TermCounts

    @override
    def score(self, queries: Sequence[str]) -> Scores:
        return np.stack([self.ranker.formula(self.counts.terms(query)) for query in queries]).astype(np.float32)

    @override
    def score_pairs(self, queries: Sequence[str], texts: Sequence[str]) -> Scores:
        pairs = zip(queries, texts, strict=True)
        return np.array([self.ranker.formula(self.counts.terms_of(q, t))[0] for q, t in pairs], np.float32)


@dataclass(frozen=True)
class BM25(TermRanker):
    """BM25; a query's word that no document has adds nothing.

    Args:
        k1: how soon more of a word adds little.
        b: how much long documents are held back, in [0, 1].
    """

    k1: float = 1.2
    b: float = 0.75

    @override
    def formula(self, terms: QueryTerms) -> Numbers:
        return bm25(terms, self.k1, self.b)


@dataclass(frozen=True)
class QueryLikelihood(TermRanker):
    """The likelihood of the query under each document's words, smoothed by those of the collection (Dirichlet).

    Args:
        mu: words of the collection that each document is given.
    """

    mu: float = 2000.0

    @override
    def formula(self, terms: QueryTerms) -> Numbers:
        return query_likelihood(terms, self.mu)
