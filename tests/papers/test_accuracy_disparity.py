"""The rules by hand, thresholds by enumeration, and the whole row on small images."""

import numpy as np
import pytest

from tests.papers.tiny import Tiny, make_bands
from unshaken.core.errors import DataError, ParameterError
from unshaken.measure.robustness.fairness import signed_gap
from unshaken.papers import run_paper
from unshaken.papers.claim import Outcome, is_reproduced, judge_parts
from unshaken.papers.folders import find_row
from unshaken.store.run_dir import RunDir
from unshaken_papers.accuracy_disparity import AccuracyDisparityPaper
from unshaken_papers.accuracy_disparity.linear import best_threshold

TINY = Tiny(
    make=make_bands,
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.001):
    return {"value": value, "low": value - half, "high": value + half}


@pytest.fixture
def measured():
    """Figures with which every part is shown, by three seeds of 40,000 samples."""
    classes = {"0": (0.98, 0.8), "0.25": (0.97, 0.7), "0.5": (0.96, 0.6), "0.75": (0.95, 0.5)}
    gauss = {
        str(ratio): {
            eps: {
                "change": figure(0.01 * ratio * float(eps)),
                "disparity": figure(0.3, 0.015),
                "theory": 0.3049,
                "majority": majority,
                "minority": minority,
            }
            for eps, (majority, minority) in classes.items()
        }
        for ratio in (1, 2, 5, 10)
    }
    gaps = {"l2-0": 0.1, "l2-0.5": 0.2, "l2-1": 0.3, "linf-0.05": 0.2, "linf-0.1": 0.3}
    photos = {r: {name: {"disparity": figure(gap)} for name, gap in gaps.items()} for r in ("1", "5", "10")}
    cauchy = {"2": {"change": figure(-0.01)}, "5": {"change": figure(-0.02)}, "10": {"change": figure(0.84)}}
    nets = {r: {b: {"change": figure(0.1)} for b in ("2", "4")} for r in ("5", "10")}
    return {"gaussian": gauss, "cauchy": cauchy, "photos": photos, "nets": nets}


def outcomes(measured):
    paper = AccuracyDisparityPaper()
    return {part.name: part.outcome for part in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_every_part_that_is_tried_is_shown(measured):
    found = outcomes(measured)
    assert found.pop("inherent-cost") == Outcome.NOT_TRIED
    assert set(found.values()) == {Outcome.SHOWN}
    measured["nets"] = {}
    assert outcomes(measured)["networks"] == Outcome.NOT_TRIED


@pytest.mark.parametrize(
    ("part", "path", "unclear", "opposite"),
    [
        ("wider-gap", ("gaussian", "10", "0.25", "change"), figure(0.03, 0.04), figure(-0.01)),
        ("with-ratio", ("gaussian", "5", "0.5", "change"), figure(0.049, 0.001), figure(0.06)),
        ("both-classes", ("gaussian", "5", "0.75", "majority"), 0.9785, 0.99),
        ("heavy-tails-shrink", ("cauchy", "5", "change"), figure(-0.02, 0.03), figure(0.01)),
        ("heavy-tails-give-up", ("cauchy", "10", "change"), figure(0.5), figure(-0.1)),
        ("images", ("photos", "10", "linf-0.05", "disparity"), figure(0.2, 0.11), figure(0.05)),
        ("networks", ("nets", "5", "2", "change"), figure(0.05, 0.06), figure(-0.1)),
        ("closed-form", ("gaussian", "10", "0.5", "disparity"), figure(0.31, 0.016), figure(0.35, 0.02)),
    ],
)
def test_each_part_falls_alone(measured, part, path, unclear, opposite):
    before = outcomes(measured)
    at = measured
    for key in path[:-1]:
        at = at[key]
    for met, outcome in ((unclear, Outcome.NOT_VISIBLE), (opposite, Outcome.CONTRADICTED)):
        at[path[-1]] = met
        assert {name for name, found in outcomes(measured).items() if found != before[name]} == {part} | (
            {"with-ratio"} if part == "wider-gap" else set()
        )
        assert outcomes(measured)[part] == outcome


def test_a_majority_that_gains_contradicts_that_both_classes_lose(measured):
    for ratio in ("2", "5", "10"):
        measured["gaussian"][ratio]["0.75"] |= {"majority": 0.995, "minority": 0.5}
    paper = AccuracyDisparityPaper(**AccuracyDisparityPaper.full)
    own = [c for c in paper.judge(measured) if c.part == "both-classes"]
    assert [c.opposed for c in own] == [False, True] * 3
    assert own[1].words.startswith("ratio 2, majority: accuracy lost, from 0.9800 to 0.9950: -0.0150")
    assert not is_reproduced(judge_parts(paper.claim_parts(), paper.judge(measured)))


@pytest.mark.parametrize("eps", [0.0, 0.4])
def test_the_threshold_of_fewest_errors_by_enumeration(eps):
    for seed in range(30):
        rng = np.random.default_rng(seed)
        positive = rng.random(25) < 0.3
        x = np.where(positive, 1, -1) + rng.standard_cauchy(25)
        t = best_threshold(x, positive, eps)

        def lost(t, x=x, positive=positive):
            return int((np.where(positive, x - t, t - x) <= eps).sum())

        grid = np.concatenate([x - eps - 1e-9, x - eps + 1e-9, x + eps - 1e-9, x + eps + 1e-9, [-1e9, 1e9]])
        assert lost(t) == min(lost(v) for v in grid)


def test_every_figure_is_there(finished):
    result = finished("accuracy-disparity").result
    names = set(result.measured)
    assert {f"gaussian.{r}.{e}.disparity" for r in (1, 2, 5, 10) for e in (0, 0.25, 0.5, 0.75)} <= names
    assert {f"cauchy.{r}.change" for r in (1, 2, 5, 10)} <= names
    assert {f"photos.10.{n}.balanced.change" for n in ("l2-0", "l2-1", "linf-0.1")} <= names
    assert {f"nets.{r}.{b}.robust_disparity" for r in (1, 5, 10) for b in (0, 2, 4)} <= names
    assert {f"nets.10.4.{m}.change" for m in ("class-balanced", "worst-class")} <= names
    assert result.measured["gaussian.5.0.75.theory"] == pytest.approx(0.3296, abs=1e-4)
    assert result.measured["cauchy.10.change_theory"] == pytest.approx(0.8427, abs=1e-4)
    assert result.measured["classes.photos"] == "class0 (majority) and class1"
    assert "Perceptrons, " in result.note


def test_figures_come_from_rows(finished):
    result, run = finished("accuracy-disparity").result, RunDir(finished("accuracy-disparity").out)
    rows = run.rows("accuracy_disparity_classwise").to_pylist()
    for name, figure in (("gauss-5-0.75", "gaussian.5.0.75"), ("photos-5-l2-1", "photos.5.l2-1")):
        for column, prefix in (("correct", ""), ("robust", "robust_")):
            gaps = []
            for seed in (0, 1):
                part = [r for r in rows if r["condition"] == f"s{seed}.{name}"]
                right, labels = [r[column] for r in part], [r["label"] for r in part]
                gaps.append(signed_gap(right, labels, majority=0, minority=1).value)
            assert result.measured[f"{figure}.{prefix}disparity"]["value"] == pytest.approx(np.mean(gaps))
    assert not any(r["robust"] and not r["correct"] for r in rows)


def test_figures_of_networks_come_from_outcomes(finished):
    result, run = finished("accuracy-disparity").result, RunDir(finished("accuracy-disparity").out)
    rows = run.rows("outcomes", ["condition", "label", "correct"]).to_pylist()
    for label, prefix in (("clean", ""), (f"pgd-linf-{4 / 255:.6g}", "robust_")):
        gaps = []
        for seed in (0, 1):
            part = [r for r in rows if r["condition"] == f"s{seed}.nets-10-4.{label}"]
            right, labels = [r["correct"] for r in part], [r["label"] for r in part]
            gaps.append(signed_gap(right, labels, majority=0, minority=1).value)
        assert result.measured[f"nets.10.4.{prefix}disparity"]["value"] == pytest.approx(np.mean(gaps))


def test_without_networks(finished, tmp_path):
    run = finished("accuracy-disparity")
    text = run.text.replace("net_seeds=2", "net_seeds=0").replace("samples=400", "samples=200")
    result = run_paper(text, out=tmp_path, data=run.data)
    assert not any(name.startswith("nets.") for name in result.measured)
    assert "Perceptrons" not in result.note


def test_two_models_of_ones_own(tmp_path):
    result = run_paper(
        "accuracy-disparity:limit=24", out=tmp_path / "run", data="demo", model="demo:standard|demo:robust"
    )
    for word in ("clean", "attacked"):
        for model in ("standard", "robust"):
            gap, worst = (result.measured[f"own.{word}.{model}.{k}"] for k in ("gap", "worst"))
            assert 0 <= gap["value"] <= 1
            assert worst["value"] <= 1 - gap["value"] + 1e-9
    tried = {part.name: part.outcome for part in result.parts if part.outcome != Outcome.NOT_TRIED}
    change = result.measured["own.clean.change"]
    assert set(tried) == {"wider-gap"}
    assert (tried["wider-gap"] == Outcome.SHOWN) == (change["low"] > 0)
    assert not result.reproduced


def test_what_cannot_be_run_is_said_in_one_line(finished, tmp_path, monkeypatch):
    run = finished("accuracy-disparity")
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    with pytest.raises(ParameterError, match="name a standard and a robust model"):
        run_paper(run.text, out=tmp_path / "a", model="demo:standard")
    with pytest.raises(ParameterError, match="has 5 classes: majority=0, minority=9 do not fit"):
        run_paper("accuracy-disparity:minority=9", out=tmp_path / "c", data=run.data)
    with pytest.raises(DataError, match="first class can have"):
        run_paper(run.text.replace(",largest=40", ",largest=400"), out=tmp_path / "b", data=run.data)
    with pytest.raises(ParameterError, match="both 1"):
        AccuracyDisparityPaper(majority=1, minority=1)
    with pytest.raises(ParameterError, match="net_seeds must be 0, or 2"):
        AccuracyDisparityPaper(net_seeds=1)


def test_it_stands_in_the_registry():
    assert find_row("accuracy-disparity") is AccuracyDisparityPaper
