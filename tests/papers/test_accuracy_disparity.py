"""The rule by hand, thresholds by enumeration, and the whole row on small images."""

import copy

import numpy as np
import pytest

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import find_method
from unshaken.measure.robustness.fairness import signed_gap
from unshaken.papers import run_paper
from unshaken.papers.accuracy_disparity import AccuracyDisparityPaper
from unshaken.papers.accuracy_disparity.linear import best_threshold
from unshaken.run.store import RunDir


def value(x):
    return {"value": x}


@pytest.fixture
def measured():
    """Figures with which every part of the rule holds, some of them barely."""
    gauss = {
        r: {
            e: {"change": value(i * 0.001), "disparity": value(0.3 + i / 100), "theory": 0.3 + i / 100 + 0.0199}
            for e in ("0.25", "0.5", "0.75")
        }
        for i, r in enumerate(("1", "2", "5", "10"))
    }
    names = ("l2-0", "l2-0.5", "l2-1", "linf-0.05", "linf-0.1")
    photos = {r: {n: {"disparity": value(0.1 * i)} for i, n in enumerate(names)} for r in ("1", "5", "10")}
    return {"gaussian": gauss, "photos": photos}


def failed(measured):
    return [c.words for c in AccuracyDisparityPaper().judge(measured) if not c.holds]


def test_the_rule_holds(measured):
    assert failed(measured) == []
    assert len(AccuracyDisparityPaper().judge(measured)) == 9


@pytest.mark.parametrize(
    ("path", "changed", "words"),
    [
        (("gaussian", "2", "0.5", "change"), value(0.002), "Gaussian, eps 0.5: robust minus standard"),
        (("gaussian", "10", "0.25", "change"), value(0.001), "Gaussian, eps 0.25: robust minus standard"),
        (("gaussian", "5", "0.75", "disparity"), value(0.2999), "Gaussian, ratio 5, eps 0.75: 0.2999"),
        (("gaussian", "10", "0.5", "disparity"), value(0.37), "Gaussian, ratio 10, eps 0.5: 0.3700"),
        (("photos", "5", "l2-0.5", "disparity"), value(0.25), "images, ratio 5, l2"),
        (("photos", "10", "linf-0.1", "disparity"), value(0.3), "images, ratio 10, linf"),
    ],
)
def test_every_part_of_the_rule_can_fail_alone(measured, path, changed, words):
    measured = copy.deepcopy(measured)
    at = measured
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = changed
    (only,) = failed(measured)
    assert words in only


def test_changes_that_rise_but_below_zero_fail(measured):
    for i, r in enumerate(("1", "2", "5", "10")):
        measured["gaussian"][r]["0.5"]["change"] = value(-0.1 + 0.01 * i)
    assert len(failed(measured)) == 1


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
                gaps.append(signed_gap(right, labels, majority=0, minority=1, resamples=1).value)
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
            gaps.append(signed_gap(right, labels, majority=0, minority=1, resamples=1).value)
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
    assert result.reproduced == (result.measured["own.clean.change"]["value"] > 0)


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
    assert find_method("accuracy-disparity", "papers").cls is AccuracyDisparityPaper
