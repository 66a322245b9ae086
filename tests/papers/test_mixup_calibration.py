"""The rule by hand, the synthetic worlds against direct formulas, and the whole row with tiny networks."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.papers.tiny import Tiny
from unshaken.core.errors import DataError, ParameterError
from unshaken.papers import run_paper
from unshaken.papers.claim import judge_parts
from unshaken.papers.effects import Nested
from unshaken.papers.folders import find_row
from unshaken.papers.run import flat
from unshaken.store.run_dir import RunDir
from unshaken_papers.mixup_calibration import MixupCalibrationPaper, experiment
from unshaken_papers.mixup_calibration.figures import Figures, averaged, interpolation


def make_stripes(folder: Path) -> str:
    """Grey noise with a bright line for each of three classes, as folders of PNG; 60 training and 30 test images."""
    rng = np.random.default_rng(0)
    for split, n in (("train", 60), ("test", 30)):
        for i in range(n):
            place = folder / split / f"class{i % 3}"
            place.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 120, (8, 8)).astype(np.uint8)
            pixels[i % 3] += 100
            Image.fromarray(pixels).save(place / f"{i}.png")
    return f"folder:{folder}"


TINY = Tiny(
    make=make_stripes,
    parameters={"each": "5"},
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


def part(kl, gap, less=0.02):
    """At one number of classes: the KL of plain training and its difference from mixup's; less at a small overlap."""
    gaps = {"gap_ts": figure(gap, 0.001), "gap_oracle": figure(gap, 0.001)}
    plain = {"kl_oracle": figure(kl, 0.001), "kl_ts": figure(kl, 0.001), "train_accuracy": 0.995}
    mixup = {"kl_raw": figure(kl - 0.01, 0.001)}
    return {"0.6": {"erm": plain, "mixup": mixup, **gaps}, "0.2": {"erm": {"kl_oracle": figure(kl - less, 0.001)}}}


@pytest.fixture
def measured():
    """Figures with which all parts are shown."""
    counts = {k: {"train_accuracy": 0.995} for k in ("2", "10", "40")}
    photos = {"erm": {"train": {"train_accuracy": 0.995}}, "gap_ts": figure(0.2), "growth_ts": figure(0.1)}
    return {
        "pairs": {"2": part(0.1, 0.002), "10": part(0.2, 0.01), "40": part(0.3, 0.02)},
        "evenly": {**counts, "slope": figure(0.1), "better_by": figure(0.2)},
        "photos": {"0.4": photos},
    }


def outcomes(measured):
    paper = MixupCalibrationPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def changed(measured, path, new):
    """The figures with the one at a path replaced."""
    *way, last = path
    place = measured = json.loads(json.dumps(measured))  # nothing shared
    for key in way:
        place = place[key]
    place[last] = new
    return measured


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert {*found.values()} == {"shown"}
    assert outcomes(Nested(flat(measured))) == found


@pytest.mark.parametrize(
    ("path", "figures", "name"),
    [
        (("evenly", "slope"), (figure(0.005), figure(-0.1)), "logarithm"),
        (("evenly", "better_by"), (figure(0.005), figure(-0.1)), "logarithm"),
        (("photos", "0.4", "gap_ts"), (figure(0.005), figure(-0.1)), "wrong-labels"),
        (("photos", "0.4", "growth_ts"), (figure(0.005), figure(-0.1)), "wrong-labels"),
        (("evenly", "10", "train_accuracy"), (0.98,), "logarithm"),
        (("photos", "0.4", "erm", "train", "train_accuracy"), (0.98,), "wrong-labels"),
    ],
)
def test_each_new_figure_decides_its_part_alone(measured, path, figures, name):
    before = outcomes(measured)
    for new, outcome in zip(figures, ("not visible at this scale", "contradicted"), strict=False):
        assert outcomes(changed(measured, path, new)) == {**before, name: outcome}


def test_the_remark_has_both_temperatures_of_both_networks():
    scores = {"erm": (4.5, 1.25), "mixup": (1.75, 1.5)}
    at = {net: {"noisy_labels": {"raw": {"nll": raw}, "ts": {"nll": ts}}} for net, (raw, ts) in scores.items()}
    found = MixupCalibrationPaper().remark({"photos": {"0.4": at}})
    assert "4.50 after plain training and 1.75 after mixup without a temperature, 1.25 and 1.50 at fitted ones" in found
    assert "1.25 and 1.75 are those that the publication compares" in found
    assert MixupCalibrationPaper().remark({"photos": {}}) == ""


def test_photos_that_were_left_out_judge_nothing(measured):
    assert outcomes({**measured, "photos": {}})["wrong-labels"] == "not tried"


def test_a_line_needs_three_numbers_of_classes(measured):
    del measured["pairs"]["10"]
    assert outcomes(measured)["logarithm"] == "not visible at this scale"


def test_steps_are_as_many_for_all_numbers_of_classes(monkeypatch):
    """100 classes of 15 take 120 epochs of 12 batches, 2 classes as many steps of one."""
    seen = {}
    monkeypatch.setattr(
        experiment, "points", lambda c, s, r, seed, sizes, epochs, nets: seen.update({sizes[0]: epochs})
    )
    for k in (2, 10, 40, 100):
        experiment.evenly(MixupCalibrationPaper(), SimpleNamespace(within=lambda name: None), 0, k)
    assert seen == {30: 1440, 150: 720, 600: 288, 1500: 120}


def test_the_logarithm_is_told_from_the_line(monkeypatch):
    """KL is exactly ln k in all seeds: the line in ln k explains all of it, that in k what numpy says."""
    monkeypatch.setattr(Figures, "kl", lambda self, name, net: {"oracle": np.log(int(name[8:])), "train_accuracy": 1})
    names = [f"s0.even-{k}.erm.test" for k in (2, 10, 40, 100)]
    found = Figures(SimpleNamespace(labels=lambda: names), [0, 1]).evenly()
    counts = np.array([2, 10, 40, 100])
    assert found["slope"]["value"] == pytest.approx(1)
    assert found["better_by"]["value"] == pytest.approx(1 - np.corrcoef(counts, np.log(counts))[0, 1] ** 2)
    assert found["40"]["kl_oracle"]["value"] == pytest.approx(np.log(40))


@pytest.mark.parametrize(
    ("path", "hidden", "opposed", "names"),
    [
        (("40", "0.6", "gap_oracle"), 0.0105, -0.01, ["grows-with-classes", "one-temperature"]),
        (("40", "0.2", "erm", "kl_oracle"), 0.3, 0.31, ["grows-with-overlap"]),
        (("10", "0.6", "erm", "kl_oracle"), 0.2995, 0.31, ["grows-with-classes"]),
        (("2", "0.6", "gap_oracle"), 0.0099, 0.02, ["grows-with-classes"]),
        (("40", "0.6", "mixup", "kl_raw"), 0.3, 0.31, ["mixup"]),
        (("40", "0.6", "gap_ts"), 0.0005, -0.01, ["mixup"]),
        (("2", "0.6", "gap_ts"), 0.0005, -0.01, ["two-classes"]),
    ],
)
def test_one_figure_decides_its_parts_alone(measured, path, hidden, opposed, names):
    before = outcomes(measured)
    found = outcomes(changed(measured, ("pairs", *path), figure(opposed, 0.001)))
    assert found == {**before, **dict.fromkeys(names, "contradicted")}
    found = outcomes(changed(measured, ("pairs", *path), figure(hidden, 0.001)))
    assert {name for name in found if found[name] != before[name]} == {names[0]}
    assert found[names[0]] == "not visible at this scale"


def test_a_network_that_forgets_its_labels_shows_nothing(measured):
    found = outcomes(changed(measured, ("pairs", "40", "0.6", "erm", "train_accuracy"), 0.98))
    assert found["one-temperature"] == "not visible at this scale"


def test_few_classes_alone_cannot_show_it(measured):
    del measured["pairs"]["40"]
    found = outcomes(measured)
    central = ("one-temperature", "grows-with-overlap", "grows-with-classes", "mixup")
    assert {found[name] for name in central} == {"not visible at this scale"}


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
    conditions = [f"s{seed}.photos-0.4.erm.clean" for seed in (0, 1)]
    clean = [[r for r in rows if r["condition"] == name] for name in conditions]
    wrong = np.mean([[np.argmax(r["logits"]) != r["label"] for r in own] for own in clean])
    assert result.measured["photos.0.4.erm.clean_labels.error"] == pytest.approx(wrong, abs=2e-4)
    assert result.measured["evenly.2.kl_oracle"]["n"] == 2
    gap, less = (result.measured[f"photos.{rate}.gap_ts"]["value"] for rate in ("0.4", "0"))
    assert result.measured["photos.0.4.growth_ts"]["value"] == pytest.approx(gap - less)


def test_what_cannot_be_run_is_said_in_one_line(finished, tmp_path):
    run = finished("mixup-calibration")
    with pytest.raises(DataError, match="leave none to fit a temperature on"):
        run_paper(run.text.replace("photos=40", "photos=60"), out=tmp_path / "a", data=run.data)
    with pytest.raises(ParameterError, match="no architecture 'smal'"):
        run_paper(run.text, out=tmp_path / "b", data=run.data, model="smal")
    with pytest.raises(ParameterError, match="seeds=1"):
        MixupCalibrationPaper(seeds=1)


def test_it_stands_in_the_registry():
    assert find_row("mixup-calibration") is MixupCalibrationPaper
