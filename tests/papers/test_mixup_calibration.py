"""The rule by hand, the synthetic worlds against direct formulas, and the whole row with tiny networks."""

import copy

import numpy as np
import pytest

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import find_method
from unshaken.papers import run_paper
from unshaken.papers.mixup_calibration import MixupCalibrationPaper
from unshaken.papers.mixup_calibration.figures import averaged, interpolation
from unshaken.run.store import RunDir


def part(gap, least):
    return {"0.6": {"gap_ts": {"value": gap}, "least_gap_ts": least}}


@pytest.fixture
def measured():
    return {
        "pairs": {"2": part(-0.1, -0.2), "10": part(0.0, -0.1), "40": part(0.001, 0.0005)},
        "gaussians": {},
        "photos": {},
    }


def failed(measured):
    return [c.words for c in MixupCalibrationPaper().judge(measured) if not c.holds]


def test_the_rule_holds(measured):
    assert failed(measured) == []
    assert len(MixupCalibrationPaper().judge(measured)) == 3


@pytest.mark.parametrize(
    ("k", "changed", "words"),
    [
        ("40", part(0.1, 0.0), "40 classes: plain training exceeds mixup by +0.000 nats at least"),
        ("10", part(-0.1, -0.2), "the difference at 10 classes is -0.100, at 2 -0.100"),
        ("10", part(0.2, 0.1), "the difference at 40 classes is +0.001, at 10 +0.200"),
    ],
)
def test_every_part_of_the_rule_can_fail_alone(measured, k, changed, words):
    measured = copy.deepcopy(measured)
    measured["pairs"][k] = changed
    (only,) = failed(measured)
    assert words in only


def test_few_classes_alone_cannot_show_it(measured):
    del measured["pairs"]["40"]
    measured["pairs"]["10"] = part(0.5, 0.4)
    (only,) = failed(measured)
    assert only.startswith("10 classes")


def test_margins_by_hand():
    found = interpolation(np.array([[3.0, 1, 0], [0, 1, 2], [5, 0, 4]]), np.array([0, 1, 0]))
    assert found == {"train_accuracy": 0.6667, "train_margin": pytest.approx((2 - 1 + 1) / 3, abs=1e-4)}


def test_means_and_the_median_of_temperatures():
    parts = [{"ts": {"nll": n, "temperature": t}, "error": 0.5} for n, t in ((1.0, 2.0), (2.0, 3.0), (6.0, 1e6))]
    assert averaged(parts) == {"ts": {"nll": 3.0, "temperature": 3.0}, "error": 0.5}


def test_every_figure_is_there(finished):
    result = finished("mixup-calibration").result
    names = set(result.measured)
    for rho in ("0.2", "0.6"):
        assert {f"pairs.2.{rho}.{n}.kl_{w}" for n in ("erm", "mixup") for w in ("raw", "ts", "oracle")} <= names
    ways = ("raw", "ts", "official_ts")
    assert {
        f"gaussians.{s}.{n}.{w}.nll" for s in (4.34, 0.87, 0.17) for n in ("erm", "mixup", "mixup4") for w in ways
    } <= names
    assert {
        f"photos.{r}.{n}.{k}_labels.ts.ece" for r in (0, 0.2, 0.4) for n in ("erm", "mixup") for k in ("noisy", "clean")
    } <= names
    assert result.reproduced is False
    figure = result.measured["pairs.2.0.6.gap_ts"]
    assert figure["n"] == 2
    assert figure["low"] <= figure["value"] <= figure["high"]


def test_figures_come_from_rows(finished):
    result, run = finished("mixup-calibration").result, RunDir(finished("mixup-calibration").out)
    rows = run.rows("outcomes", ["id", "condition", "label", "logits"]).to_pylist()
    truth = {(r["condition"], r["id"]): r["posterior"] for r in run.rows("mixup_calibration_posteriors").to_pylist()}
    values = []
    for seed in (0, 1):
        part = [r for r in rows if r["condition"] == f"s{seed}.pairs-2-0.6.erm.test"]
        assert len(part) == 2000
        z = np.array([r["logits"] for r in part])
        pi = np.array([truth[f"s{seed}.pairs-2-0.6.posterior", r["id"]] for r in part])
        log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
        values.append((pi * (np.log(np.maximum(pi, 1e-300)) - log_p)).sum(1).mean())
        oracle = result.measured["pairs.2.0.6.erm.kl_oracle"]["value"]
    assert result.measured["pairs.2.0.6.erm.kl_raw"]["value"] == pytest.approx(np.mean(values), rel=1e-5)
    assert oracle <= result.measured["pairs.2.0.6.erm.kl_raw"]["value"]
    clean = [r for r in rows if r["condition"] == "s0.photos-0.4.erm.clean"]
    wrong = np.mean([np.argmax(r["logits"]) != r["label"] for r in clean])
    assert result.measured["photos.0.4.erm.clean_labels.error"] == pytest.approx(wrong, abs=1e-4)


def test_what_cannot_be_run_is_said_in_one_line(finished, tmp_path):
    run = finished("mixup-calibration")
    with pytest.raises(DataError, match="leave none to fit a temperature on"):
        run_paper(run.text.replace("photos=40", "photos=60"), out=tmp_path / "a", data=run.data)
    with pytest.raises(ParameterError, match="no architecture 'smal'"):
        run_paper(run.text, out=tmp_path / "b", data=run.data, model="smal")
    with pytest.raises(ParameterError, match="seeds=1"):
        MixupCalibrationPaper(seeds=1)


def test_it_stands_in_the_registry():
    assert find_method("mixup-calibration", "papers").cls is MixupCalibrationPaper
