"""BM25 and query likelihood against formulas, another implementation and the properties of the card."""

import math

import numpy as np
import pytest

from unshaken.tasks.ranking import BM25, QueryLikelihood
from unshaken.tasks.ranking.lexical import bm25
from unshaken.tasks.ranking.words import QueryTerms, TermCounts, split_words

DOCUMENTS = ["the wing of a bird flies", "a bird sings", "wing wing flutter", "an engine of steel", "bird steel steel"]


def test_equal_to_bm25s():
    bm25s = pytest.importorskip("bm25s")
    other = bm25s.BM25(k1=1.2, b=0.75, method="lucene")
    other.index([split_words(d) for d in DOCUMENTS], show_progress=False)
    queries = ["wing bird", "steel", "wing wing engine"]
    expected = [2.2 * other.get_scores(split_words(q)) for q in queries]  # Lucene leaves the factor k1 + 1 out
    assert BM25().index(DOCUMENTS).score(queries) == pytest.approx(np.array(expected), rel=1e-5)


def test_the_idf_of_a_word_in_every_document_is_small_and_not_negative():
    counts = TermCounts(["bird"] * 1400)
    assert counts.idf[0] == pytest.approx(math.log(1 + 0.5 / 1400.5))
    assert counts.idf[0] > 0


def test_more_of_a_word_never_lowers_the_score_and_is_worth_less_and_less():
    tf = np.arange(2000.0)[:, None]
    same = np.full(2000, 7.0)
    scores = bm25(QueryTerms(tf, np.ones(1), same, same, np.array([1.5]), np.array([0.1]), 7.0, 1), 1.2, 0.75)
    assert (np.diff(scores) > 0).all()
    assert scores[-1] < 2.2 * 1.5
    assert scores[-1] == pytest.approx(2.2 * 1.5, rel=1e-3)


@pytest.mark.parametrize("ranker", [BM25(), QueryLikelihood()])
def test_a_word_that_no_document_has_adds_nothing(ranker):
    index = ranker.index(DOCUMENTS)
    assert np.array_equal(index.score(["wing brid"]), index.score(["wing"]))
    assert np.isfinite(index.score(["brid"])).all()


@pytest.mark.parametrize("ranker", [BM25(), QueryLikelihood()])
def test_a_document_scores_alone_as_in_the_collection(ranker):
    index = ranker.index(DOCUMENTS)
    alone = index.score_pairs(["wing bird"] * 5, DOCUMENTS)
    assert alone == pytest.approx(index.score(["wing bird"])[0], rel=1e-6)


def test_query_likelihood_by_hand():
    """8 counted words in all: wing bird | bird bird steel | engine engine wing; mu = 4."""
    index = QueryLikelihood(mu=4).index(["wing bird", "bird bird steel", "engine engine wing"])
    shares = {"wing": 2 / 8, "bird": 3 / 8}
    expected = [
        sum(math.log((tf + 4 * shares[w]) / (length + 4)) for w, tf in words.items())
        for words, length in (({"wing": 1, "bird": 1}, 2), ({"wing": 0, "bird": 2}, 3), ({"wing": 1, "bird": 0}, 3))
    ]
    assert index.score(["wing bird"])[0] == pytest.approx(expected, rel=1e-6)
