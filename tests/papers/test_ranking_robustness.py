"""The rule by hand, figures against rows, and that training and test queries are apart."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from tests.papers.tiny import Tiny
from unshaken.papers.claim import judge_parts
from unshaken.store.run_dir import RunDir
from unshaken_papers.ranking_robustness import NEURAL, OTHERS, TASKS, RankingRobustnessPaper
from unshaken_papers.ranking_robustness.experiment import draw_test, read_meanings
from unshaken_papers.ranking_robustness.figures import value


def make_meanings(folder: Path) -> str:
    """Files of WordNet's form: meanings with an example each, in the files of artefacts and of communication."""
    words = ("bird", "engine", "river", "guitar", "castle", "lemon", "window", "planet", "hammer", "letter", "garden")
    for letter, part in zip("nvar", ("noun", "verb", "adj", "adv"), strict=True):
        lines = [
            f"{i:08d} {6 if i < 14 else 10:02d} {letter} 01 {words[i % 11]}_{part}{i} 0 000 | a {words[i * i % 11]}; "
            f'"the {words[i % 11]} is {part}{i} near a {words[i * 7 % 11]}"'
            for i in range(28)
        ]  # fmt: skip
        (folder / f"data.{part}").write_text("\n".join(lines) + "\n")
    return f"folder:{folder}"


TINY = Tiny(
    make=make_meanings,
    model=lambda folder: "hashed-pieces",
    needs=("ir_measures", "sklearn"),
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(low, high):
    return {"value": (low + high) / 2, "low": low, "high": high, "n": 9, "interval": "by hand"}


def less(signs):
    """Every neural ranker behind BM25 (-), ahead of all others (+) or level with them (=), by task."""
    ends = {"-": (-0.3, -0.1), "+": (0.1, 0.3), "=": (-0.1, 0.1)}
    found = {}
    for task, sign in zip(TASKS, signs, strict=True):
        found[task] = {one: {other: figure(*ends[sign]) for other in OTHERS} for one in NEURAL}
    return {"less": found}


def outcomes(measured):
    paper = RankingRobustnessPaper()
    parts = judge_parts(paper.claim_parts(), paper.judge(measured))
    return {j.name: str(j.outcome) for j in parts if not j.untried}


@pytest.mark.parametrize(
    ("signs", "behind", "ahead"),
    [
        ("---+=", "shown", "shown"),
        ("--=+=", "not visible at this scale", "shown"),
        ("---==", "shown", "not visible at this scale"),
        ("-----", "shown", "contradicted"),
        ("+++==", "contradicted", "shown"),
    ],
)
def test_the_rule_counts_tasks(signs, behind, ahead):
    assert outcomes(less(signs)) == {"behind": behind, "ahead": ahead}


def test_one_ranker_decides_as_the_rule_says():
    """Behind: every neural ranker, by some other. Ahead: some neural ranker, of every other."""
    measured = less("---+=")
    for task in list(TASKS)[:3]:
        measured["less"][task][NEURAL[0]] = {other: figure(-0.1, 0.1) for other in OTHERS}
    assert outcomes(measured)["behind"] == "not visible at this scale"
    measured = less("---+=")
    for one in NEURAL:
        measured["less"]["query"][one]["bm25"] = figure(-0.1, 0.1)
    assert outcomes(measured)["ahead"] == "not visible at this scale"
    level = copy.deepcopy(less("-=-+-"))
    level["less"]["query-type"] = {one: {o: figure(-0.1, 0.1) for o in OTHERS} for one in NEURAL}
    for one in NEURAL:
        level["less"]["query-type"][one]["ql"] = figure(-0.3, -0.1)
    assert outcomes(level)["behind"] == "shown"


def test_figures_of_the_tasks_by_hand():
    assert value("variance", np.array([0.5, 0.5])) == pytest.approx(-1)  # of values 1 and 0
    assert value("query", np.array([0.36, 0.30])) == pytest.approx(-1 / 6)
    assert value("document", np.array([0.9, 0.9])) == pytest.approx(-0.9)


def test_figures_are_those_of_the_rows(finished):
    run = finished("ranking-robustness")
    rows = [r for r in RunDir(run.out).rows("rankings").to_pylist() if r["ranker"] == "bm25"]
    means = {
        c: np.mean([r["effectiveness"] for r in rows if r["condition"].endswith(f"bm25.{c}")])
        for c in ("clean", "swap-1")
    }
    measured = run.result.measured
    assert measured["mean.bm25"]["value"] == pytest.approx(means["clean"])
    assert measured["query.bm25"]["value"] == pytest.approx(means["swap-1"] / means["clean"] - 1)
    assert measured["query-type.bm25"]["value"] == measured["corpus.ql"]["value"] == 0
    first = [r["first_changed"] for r in rows if r["condition"].endswith("bm25.append-1")]
    assert measured["document.bm25"]["value"] == pytest.approx(-np.mean(first))


def test_queries_of_training_are_drawn_anew_and_never_tested(finished):
    synsets = read_meanings(finished("ranking-robustness").data)
    paper = RankingRobustnessPaper(tested=3, learned=4, documents=50)
    one, other = (draw_test(paper, synsets, 0, own) for own in (0, 1))
    assert one.collection == other.collection
    assert one.training.queries.keys() != other.training.queries.keys()
    for test in (one, other):
        assert not test.collection.queries.keys() & test.training.queries.keys()
        assert not test.elsewhere.documents.keys() & test.collection.documents.keys()
        assert len(test.collection.documents) == 50
