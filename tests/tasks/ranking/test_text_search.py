"""Searches that ask the ranker: they find what is worst, count what they ask, and depend on no batch."""

import itertools

import numpy as np
import pytest

from tests.tasks.ranking.toy import collection
from unshaken.tasks.ranking import BM25, Changes, RankingTest, evaluate
from unshaken.tasks.ranking.text_search import raised_documents, relevant_ranks, search_texts, worst_queries


def append_letter(name, text, rng):
    return text + "ab"[int(rng.integers(2))]


def count_a(names, texts):
    return [text.count("a") for text in texts]


def test_a_search_keeps_the_worst_counts_its_calls_and_stops_at_its_goal():
    found = search_texts({"x": "", "y": "aaa"}, append_letter, count_a, rounds=4, goal=3, seed=0, name="n")
    assert (found["x"].text, found["x"].value) == ("aaa", 3)
    assert found["x"].calls == 1 + 3 * 2  # two distinct candidates a round; the fourth round is not needed
    assert (found["y"].text, found["y"].calls) == ("aaa", 1)


def test_eight_candidates_are_asked_about_in_a_round():
    numbers = itertools.count()
    found = search_texts({"x": ""}, lambda *_: str(next(numbers)), count_a, rounds=3, goal=1, seed=0, name="n")
    assert found["x"].calls == 1 + 3 * 8


def test_a_candidate_that_is_no_worse_is_not_taken():
    def nothing(names, texts):
        return [0.0] * len(texts)

    found = search_texts({"x": "b"}, append_letter, nothing, rounds=3, goal=1, seed=0, name="n")
    assert (found["x"].text, found["x"].value) == ("b", 0)


def test_a_sample_is_searched_alike_whatever_else_is():
    index, whole = BM25().index(list(collection().documents.values())), collection()
    together = worst_queries(index, whole, words=1, seed=3)
    alone = worst_queries(index, whole.select(["q3"]), words=1, seed=3)
    assert together["q3"] == alone["q3"]


def test_the_rank_of_the_first_relevant_document():
    scores, ties = np.array([[1.0, 3.0, 2.0, 2.0]], np.float32), np.array([3, 2, 1, 0])
    assert relevant_ranks(scores, ties, [[2, 0]]) == [3]  # the tie is lost
    assert relevant_ranks(scores, ties, [[1]]) == [1]


def test_words_of_the_query_are_put_where_they_lift_a_document():
    index = BM25().index(list(collection().documents.values()))
    found = raised_documents(index, {"q": "bird singing"}, {"q": "castle falling somewhere"}, rounds=3, seed=0)["q"]
    assert found.value > 0
    assert set(found.text.split()) & {"bird", "singing"}
    assert index.score_pairs(["bird singing"], [found.text])[0] == pytest.approx(found.value)


def test_an_empty_document_is_raised_by_the_words_of_the_query():
    index = BM25().index(["bird singing", "engine burning"])
    found = raised_documents(index, {"q": "bird"}, {"q": " "}, rounds=1, seed=0)["q"]
    assert found.text == "bird"


def test_a_word_of_the_query_takes_the_place_of_another_or_goes_before_it():
    index = BM25().index(["bird singing", "engine burning"])
    found = {raised_documents(index, {"q": "bird"}, {"q": "engine"}, rounds=1, seed=s)["q"].text for s in range(9)}
    assert found <= {"bird", "bird engine"}


def test_searched_changes_are_conditions_as_others_are():
    changes = Changes(queries=[("swap", 1), ("worst", 1)], documents=[("raise", 2)], position=20)
    report = evaluate({"bm25": BM25()}, RankingTest(collection()), changes=changes, measure="RR@10")
    drop = report.figures()["bm25"]["drop"]
    assert drop["worst-1"].value < drop["swap-1"].value <= 0
    assert (report.column("bm25", "worst-1", "calls") > 2).all()
    assert report.figures()["bm25"]["raise-2"]["gain"].value > 0
