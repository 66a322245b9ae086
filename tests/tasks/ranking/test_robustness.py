"""The five tasks on a small collection: controls that change nothing, learners, refusals, run directories."""

import dataclasses
import itertools
import random
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from tests.tasks.ranking.toy import collection
from unshaken.core.errors import DataError, ModelError, ParameterError, RunError
from unshaken.store.run_dir import RunDir
from unshaken.tasks.ranking import (
    BM25,
    KNRM,
    Changes,
    Collection,
    DenseRanker,
    HashedPieces,
    LambdaMART,
    QueryLikelihood,
    RankingTest,
    RankSVM,
    ScoreFunction,
    TwoTower,
    evaluate,
    read_report,
    table_lines,
)
from unshaken.tasks.ranking.evaluate import RankingReport
from unshaken.tasks.ranking.robustness import fixed_targets, rank_queries

PIECES = HashedPieces(64)
CONTROL = Changes(queries=[("drop-stop-words", 1)], documents=[("none", 1), ("append", 2)], position=5)


@pytest.fixture(scope="module")
def report():
    rankers = {
        "bm25": BM25(), "ql": QueryLikelihood(), "dense": DenseRanker(PIECES), "svm": RankSVM(),
        "mart": LambdaMART(trees=3, leaves=3), "knrm": KNRM(PIECES.word_vectors), "towers": TwoTower(PIECES, epochs=2),
    }  # fmt: skip
    test = RankingTest(collection(), collection(20, 12, "t"), collection(40, 8, "e"), collection(60, 6, "f"))
    return evaluate(rankers, test, changes=CONTROL, measure="RR@10")


@pytest.fixture(scope="module")
def measured(report):
    return report.figures()


def test_what_changes_nothing_changes_no_ranking(report, measured):
    """BM25 does not read stop words; a document that stays as it is gains no rank."""
    figures = measured["bm25"]
    assert figures["drop"]["drop-stop-words-1"].value == 0
    assert (report.column("bm25", "drop-stop-words-1", "tau") == 1).all()
    assert report.column("bm25", "drop-stop-words-1", "overlap") == pytest.approx(1)
    for ranker in report.rankers():
        control = measured[ranker]["none-1"]
        assert (control["first_changed"].value, control["gain"].value) == (0, 0), ranker


def test_a_ranker_that_does_not_learn_loses_nothing_by_what_is_left_out(measured):
    for ranker in ("bm25", "ql", "dense"):
        drop = measured[ranker]["drop"]
        assert (drop["type-unseen"].value, drop["corpus-unseen"].value) == (0, 0)


def test_the_learner_of_all_types_has_seen_as_many_queries_as_the_one_without_a_type():
    """Eight training queries ask for a thing and four for a deed: without things four are left, without deeds eight."""
    learned = []

    class Noting(RankSVM):
        def fit(self, training, seed):
            learned.append((set(training.queries), Counter(training.types.values())))
            return super().fit(training, seed)

    whole = collection(20, 16, "t")
    chosen = [q for q, kind in whole.types.items() if kind == "thing"]
    training = whole.select([*chosen, *[q for q, kind in whole.types.items() if kind == "deed"][:4]])
    evaluate({"svm": Noting()}, RankingTest(collection(), training), changes=Changes((), ()))
    (_, everything), (without_deeds, deeds), (without_things, things), (seen, _), (fewer, _) = learned
    assert everything == {"thing": 8, "deed": 4}
    assert (deeds, things) == ({"thing": 8}, {"deed": 4})
    assert (len(seen), len(fewer)) == (8, 4)
    assert seen not in (without_deeds, set(chosen))
    assert fewer != without_things


def test_by_default_the_document_at_the_tenth_place_is_changed():
    changes = Changes(queries=(), documents=[("none", 1)])
    report = evaluate({"bm25": BM25()}, RankingTest(collection()), changes=changes)
    for column in ("rank_before", "rank_after"):
        assert report.column("bm25", "none-1", column).tolist() == [10] * 8


def test_the_time_of_a_scoring_is_shared_among_its_queries(monkeypatch):
    """The clock is one second further whenever it is read; types are scored one after another."""
    clock = itertools.count()
    stopped = SimpleNamespace(perf_counter=lambda: float(next(clock)))
    monkeypatch.setattr("unshaken.tasks.ranking.robustness.time", stopped)
    report = evaluate({"bm25": BM25()}, RankingTest(collection()))
    for condition, seconds in (("clean", 1), ("swap-1", 1), ("append-1", 1), ("type-seen", 2)):
        assert report.column("bm25", condition, "seconds").tolist() == [seconds / 8] * 8, condition


def test_the_changes_that_are_made_by_default():
    made = evaluate({"bm25": BM25()}, RankingTest(collection())).rows["condition"].to_pylist()
    assert {c.removeprefix("bm25.") for c in made} == {
        "clean", "swap-1", "swap-2", "append-1", "append-3", "type-seen", "type-unseen",
    }  # fmt: skip


def test_the_words_of_the_query_lift_a_document_for_bm25(measured):
    figures = measured["bm25"]["append-2"]
    assert figures["first_changed"].value == 1
    assert figures["gain"].value == 4  # from the fifth place to the first
    assert measured["bm25"]["mean"].value == 1


def test_learners_find_what_the_queries_ask_for(measured):
    for ranker in ("svm", "mart", "towers"):
        assert measured[ranker]["mean"].value > 0.8, ranker


def test_every_two_rankers_are_compared_with_correction(report):
    found = report.comparisons()
    assert len(found) == 21
    assert all(one["p_adjusted"] == min(1, 21 * one["p_value"]) for one in found.values())
    for one in found.values():
        ends = one["difference"].low, one["difference"].high
        assert one["p_adjusted"] < 0.05 or ends[0] <= 0 <= ends[1]
        assert "for 21 differences together" in one["difference"].interval
    assert all(len(line) > 20 for line in table_lines(report, ["drop-stop-words-1", "append-2"]))


def test_intervals_of_all_pairs_are_wider_than_that_of_one():
    rng = np.random.default_rng(0)
    kept = evaluate({"bm25": BM25()}, RankingTest(collection()))
    columns = {name: rng.random(60) + shift for name, shift in (("a", 0.0), ("b", 0.0), ("c", 0.0), ("d", 0.12))}
    columns = {name: column.clip(0, 1) for name, column in columns.items()}

    class Made(RankingReport):
        def rankers(self):
            return names

        def column(self, ranker, condition="clean", name="effectiveness"):
            return columns[ranker]

    names = ["a", "d"]
    alone = Made(kept.rows).comparisons()["a", "d"]
    names = list(columns)
    among = Made(kept.rows).comparisons()["a", "d"]
    assert among["difference"].value == alone["difference"].value
    assert among["difference"].low < alone["difference"].low < alone["difference"].high < among["difference"].high
    assert (alone["p_adjusted"], among["p_adjusted"]) == (alone["p_value"], min(1, 6 * alone["p_value"]))
    assert alone["p_adjusted"] < 0.05 < among["p_adjusted"]  # one verdict, and its interval with it
    assert alone["difference"].low > 0 >= among["difference"].low


def test_rows_are_kept_and_read_again(tmp_path):
    test = RankingTest(collection())
    kept = evaluate({"bm25": BM25()}, test, out=tmp_path / "run")
    assert kept.figures() == read_report(tmp_path / "run").figures()
    assert kept.figures() == evaluate({"bm25": BM25()}, test).figures()
    with pytest.raises(RunError, match="already"):
        evaluate({"bm25": BM25()}, test, out=tmp_path / "run")
    with pytest.raises(RunError, match="no rows of rankings"):
        read_report(tmp_path / "other")


def test_the_order_of_documents_decides_nothing():
    one = collection()
    ids = list(one.documents)
    random.Random(0).shuffle(ids)
    other = dataclasses.replace(one, documents={i: one.documents[i] for i in ids})
    rankings = [rank_queries(BM25().index(list(c.documents.values())), c).rankings for c in (one, other)]
    assert all(rankings[0][q].ids == rankings[1][q].ids for q in one.queries)
    assert fixed_targets(one, 10) == fixed_targets(other, 10)


def test_any_function_is_a_ranker():
    def shared(queries, texts):
        return [len(set(q.split()) & set(t.split())) for q, t in zip(queries, texts, strict=True)]

    test = RankingTest(collection())
    index = ScoreFunction(shared, batch=7).index(list(test.collection.documents.values()))
    assert index.score(["bird singing"])[0].max() == 2
    assert evaluate({"shared": ScoreFunction(shared)}, test).figures()["shared"]["mean"].value == 1


@pytest.mark.parametrize(
    ("ranker", "words"),
    [
        (ScoreFunction(lambda q, t: [float("nan")] * len(q)), "not finite"),
        (ScoreFunction(lambda q, t: [1.0]), "shape"),
        (DenseRanker(lambda texts: np.zeros(3)), "not .M, E."),
        (DenseRanker(lambda texts: np.full((len(texts), 2), np.inf)), "not finite"),
    ],
)
def test_bad_scores_are_refused(ranker, words):
    with pytest.raises((ModelError, ParameterError), match=words):
        evaluate({"bad": ranker}, RankingTest(collection()))


def test_a_ranker_that_learns_nothing_reads_each_collection_once():
    read = []

    class Counted(BM25):
        def index(self, documents):
            read.append(len(documents))
            return super().index(documents)

    test = RankingTest(collection(), collection(20, 12, "t"), collection(40, 8, "e"), collection(60, 6, "f"))
    report = evaluate({"counted": Counted(), "bm25": BM25()}, test, measure="RR@10")
    assert read == [64, 64]  # the collection, and the one elsewhere
    one, other = (report.figures()[name] for name in ("counted", "bm25"))
    assert one == other


def test_a_stopped_evaluation_is_no_report(tmp_path):
    def stops(queries, texts):
        if any(text.endswith("bird") for text in texts):  # the changed document
            raise KeyboardInterrupt
        return [float("bird" in text) for text in texts]

    with pytest.raises(KeyboardInterrupt):
        evaluate({"one": ScoreFunction(stops)}, RankingTest(collection()), out=tmp_path / "run")
    assert RunDir(tmp_path / "run").rows("rankings")
    with pytest.raises(RunError, match="was stopped before its end"):
        read_report(tmp_path / "run")


@pytest.mark.parametrize("change", ["append", "raise"])
def test_a_changed_document_without_a_finite_score_does_not_come_first(change):
    known = set(collection().documents.values())
    ranker = ScoreFunction(lambda queries, texts: [1.0 if t in known else float("nan") for t in texts])
    with pytest.raises(ParameterError, match="not finite"):
        evaluate({"bad": ranker}, RankingTest(collection()), changes=Changes(queries=[], documents=[(change, 1)]))


def test_wrong_use_is_refused():
    test = RankingTest(collection())
    for rankers, options, words in (
        ({}, {}, "no ranker"),
        ({"My Ranker": BM25()}, {}, "choose a name"),
        ({"svm": RankSVM()}, {}, "learns: give a training"),
        ({"bm25": BM25()}, {"measure": "foo"}, "measure"),
        ({"bm25": BM25()}, {"changes": Changes(documents=[("stuff", 1)])}, "no change of documents"),
        ({"bm25": BM25()}, {"changes": Changes(queries=[("swapp", 1)])}, "no change of queries 'swapp'; did you mean"),
        ({"bm25": BM25()}, {"changes": Changes(queries=[("swap", -1)])}, "the number of the change 'swap'"),
        ({"bm25": BM25()}, {"changes": Changes(documents=[("append", 0)])}, "the number of the change 'append'"),
        ({"bm25": BM25()}, {"changes": Changes(queries=[("synonym", 1)])}, "needs synonyms"),
        ({"bm25": BM25()}, {"changes": Changes(position=0)}, "position"),
    ):
        with pytest.raises(ParameterError, match=words):
            evaluate(rankers, test, **options)
    with pytest.raises(ParameterError, match="among those of training"):
        RankingTest(collection(), collection())
    with pytest.raises(ParameterError, match="both"):
        RankingTest(collection(), elsewhere=collection(40))


@pytest.mark.parametrize(
    ("documents", "queries", "qrels", "words"),
    [
        ({}, {"q": "bird"}, {"q": {"a": 1}}, "no document"),
        ({"a": "bird"}, {}, {}, "no query"),
        ({"a b": "bird"}, {"q": "bird"}, {"q": {"a b": 1}}, "hold space"),
        ({1: "bird"}, {"q": "bird"}, {"q": {1: 1}}, "document 1: ids and texts must be strings, not int and str"),
        ({"a": None}, {"q": "bird"}, {"q": {"a": 1}}, "document 'a': ids and texts must be strings"),
        ({"a": "bird"}, {"q": "bird"}, {}, "without a relevant"),
        ({"a": "bird"}, {"q": "bird"}, {"q": {"a": 1}, "p": {"a": 1}}, "judged queries"),
    ],
)
def test_collections_that_do_not_hold_together_are_refused(documents, queries, qrels, words):
    with pytest.raises(DataError, match=words):
        Collection(documents, queries, qrels)
