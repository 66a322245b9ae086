"""Words of queries and documents by one rule for all rankers and perturbations, and their counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from unshaken.measure.statistics.columns import Numbers

WORD = re.compile(r"[^\W_]+")
"""A run of letters and digits of any script."""
_STOP = (
    "a about above after again all am an and any are as at be because been before being below between both but by can "
    "could did do does doing down during each few for from further had has have having he her here hers him his how i "
    "if in into is it its just me more most my no nor not now of off on once only or other our out over own same she "
    "should so some such than that the their them then there these they this those through to too under until up very "
    "was we were what when where which while who why will with would you your"
)
STOP_WORDS = frozenset(_STOP.split())


def split_words(text: str) -> list[str]:
    """The words of a text in lower case, without stop words; a text of stop words alone keeps them.

    >>> split_words("The Wing of a bird"), split_words("to be")
    (['wing', 'bird'], ['to', 'be'])
    """
    words = WORD.findall(text.lower())
    return [word for word in words if word not in STOP_WORDS] or words


@dataclass(frozen=True, slots=True)
class QueryTerms:
    """Counts of a query's T distinct words, those that the collection has, in D texts.

    Args:
        tf: `[D, T]`, how often each word stands in each text.
        in_query: `[T]`, how often each stands in the query.
        lengths: `[D]`, words of each text.
        norms: `[D]`, Euclidean norm of each text's tf-idf vector.
        idf: `[T]`, `log(1 + (N - n + 0.5) / (n + 0.5))` of a word that n of the N documents have: never negative.
        background: `[T]`, share of each word among all words of the collection.
        average: words of a document, the mean.
        asked: distinct words of the query, those that the collection has not included.
    """

    tf: Numbers
    in_query: Numbers
    lengths: Numbers
    norms: Numbers
    idf: Numbers
    background: Numbers
    average: float
    asked: int


class TermCounts:
    """Counts of the words of a collection's documents.

    Args:
        documents: texts.
    """

    def __init__(self, documents: Sequence[str]) -> None:
        self.place: dict[str, int] = {}
        rows, columns, values = [], [], []
        for row, text in enumerate(documents):
            for word, count in Counter(split_words(text)).items():
                rows.append(row)
                columns.append(self.place.setdefault(word, len(self.place)))
                values.append(float(count))
        shape = (len(documents), len(self.place))
        self.counts = scipy.sparse.csc_matrix((values, (rows, columns)), shape=shape, dtype=np.float64)
        self.by_row = self.counts.tocsr()
        self.lengths: Numbers = np.asarray(self.counts.sum(1), np.float64).ravel()
        have = np.diff(self.counts.indptr)
        self.idf: Numbers = np.log1p((shape[0] - have + 0.5) / (have + 0.5))
        total = max(1.0, float(self.lengths.sum()))
        self.background: Numbers = np.asarray(self.counts.sum(0), np.float64).ravel() / total
        self.average = float(self.lengths.mean())
        weighted = self.counts.multiply(self.idf[None, :])
        self.norms: Numbers = np.sqrt(np.asarray(weighted.multiply(weighted).sum(1), np.float64).ravel())

    def terms(self, query: str, rows: NDArray[np.int64] | None = None) -> QueryTerms:
        """Counts of a query's words in all documents, or in those at some places."""
        columns, in_query, asked = self._query(query)
        if rows is None:
            tf, lengths, norms = self.counts[:, columns].toarray(), self.lengths, self.norms
        else:
            tf, lengths, norms = self.by_row[rows][:, columns].toarray(), self.lengths[rows], self.norms[rows]
        return self._of(tf, in_query, lengths, norms, columns, asked)

    def terms_of(self, query: str, text: str) -> QueryTerms:
        """Counts of a query's words in one text, which need not be among the documents."""
        columns, in_query, asked = self._query(query)
        counts = Counter(split_words(text))
        words = {self.place[word]: count for word, count in counts.items() if word in self.place}
        tf = np.array([[words.get(column, 0) for column in columns]], np.float64).reshape(1, len(columns))
        norm = np.sqrt(sum((count * self.idf[column]) ** 2 for column, count in words.items()))
        lengths, norms = np.array([float(counts.total())]), np.array([float(norm)])
        return self._of(tf, in_query, lengths, norms, columns, asked)

    def _query(self, query: str) -> tuple[list[int], Numbers, int]:
        counts = Counter(split_words(query))
        known = {self.place[word]: count for word, count in counts.items() if word in self.place}
        return list(known), np.array(list(known.values()), np.float64), len(counts)

    def _of(
        self, tf: Numbers, in_query: Numbers, lengths: Numbers, norms: Numbers, columns: list[int], asked: int
    ) -> QueryTerms:
        idf, background = self.idf[columns], self.background[columns]
        return QueryTerms(tf, in_query, lengths, norms, idf, background, self.average, asked)
