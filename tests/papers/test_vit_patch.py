"""The verdict's rule by hand, and the whole row on tints that small networks learn at once."""

from __future__ import annotations

import io
from functools import partial
from itertools import product

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from tests.papers.tiny import Tiny, make_tints
from unshaken.core.batch import Batch
from unshaken.core.classifier import View
from unshaken.core.errors import DataError, ParameterError
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.training import Training
from unshaken.models import save_model
from unshaken.papers import run_paper
from unshaken.papers.claim import Outcome, judge_parts
from unshaken.store.run_dir import RunDir
from unshaken_papers.vit_patch import VitPatchPaper
from unshaken_papers.vit_patch.figures import best_temperature, over_seeds_and_images
from unshaken_papers.vit_patch.nets import CropFlipUntil

TINY = Tiny(
    make=partial(make_tints, train=256, test=80, side=32, brighter=40),
)
"""How the battery runs the row, beside its tiny sizes."""

SHOWN, CONTRADICTED, NOT_VISIBLE = Outcome.SHOWN, Outcome.CONTRADICTED, Outcome.NOT_VISIBLE


def figure(x, reach=0.005):
    return {"value": x, "low": x - reach, "high": x + reach}


@pytest.fixture
def measured():
    """Figures with which every part is shown, some of them barely."""
    return {
        "temperature": "1.5", "cnn_minus_vit": figure(0.024), "adversarial": figure(0.01), "gain": figure(0.06),
        "natural": {kind: figure(0.01) for kind in ("noise", "blur", "contrast", "mean")}, "cost": figure(-0.02),
        "captured": figure(1.1), "ignored": figure(0.1), "location": figure(0.1), "misaligned": figure(0.1),
        "patch_fool": {kind: figure(0.01) for kind in ("saliency", "sparse", "linf", "l2")},
        "drawn_minus_random": figure(0.1),
    }  # fmt: skip


def outcomes(measured):
    judged = judge_parts(VitPatchPaper.parts, VitPatchPaper().judge({"over_seeds": measured}))
    return {part.name: part.outcome for part in judged if not part.untried}


def test_every_part_is_shown(measured):
    assert set(outcomes(measured).values()) == {SHOWN}


@pytest.mark.parametrize(
    ("path", "unclear", "opposite", "part"),
    [
        (("adversarial",), 0.004, -0.006, "adversarial"),
        (("natural", "mean"), 0.004, -0.006, "natural"),
        (("natural", "blur"), 0.004, -0.006, "each-kind"),
        (("gain",), 0.054, -0.1, "temperature"),
        (("cost",), -0.026, -0.1, "temperature-cost"),
        (("captured",), 1.004, -0.1, "captured"),
        (("ignored",), 0.004, -0.1, "ignored"),
        (("location",), 0.004, -0.1, "location"),
        (("misaligned",), 0.004, -0.1, "misaligned"),
        (("patch_fool", "saliency"), 0.004, -0.006, "patch-fool"),
        (("drawn_minus_random",), 0.004, -0.1, "patch-fool-attention"),
        (("patch_fool", "l2"), 0.004, -0.02, "patch-fool-variants"),
    ],
)
def test_each_part_falls_alone(measured, path, unclear, opposite, part):
    at = measured
    for key in path[:-1]:
        at = at[key]
    for value, outcome in ((unclear, NOT_VISIBLE), (opposite, CONTRADICTED)):
        at[path[-1]] = figure(value)
        others = outcomes(measured)
        assert others.pop(part) == outcome
        assert set(others.values()) == {SHOWN}


@pytest.mark.parametrize(("gap", "outcome"), [(0.026, NOT_VISIBLE), (-0.026, NOT_VISIBLE), (0.2, Outcome.SHORT)])
def test_networks_that_are_not_equally_accurate_are_not_shown_to_be(measured, gap, outcome):
    measured["cnn_minus_vit"] = figure(gap)
    assert outcomes(measured)["equal-accuracy"] == outcome


def flat(fooled, accuracy):
    return {"fooled_minus_plain": figure(fooled), "accuracy_minus_plain": figure(accuracy)}


def test_the_temperature_is_the_best_of_those_that_cost_little():
    part = {"1.25": flat(-0.01, 0.0), "1.5": flat(-0.06, -0.02), "2": flat(-0.05, -0.02), "3": flat(-0.3, -0.2)}
    assert best_temperature([part, part]) == "1.5"
    assert (
        best_temperature([{t: flat(fooled["fooled_minus_plain"]["value"], -0.1) for t, fooled in part.items()}]) == "3"
    )


def test_seeds_with_some_images_in_common_give_one_interval():
    one, other = (["a", "b", "c"], np.array([1.0, 0.0, 1.0])), (["b", "d"], np.array([1.0, 1.0]))
    found = over_seeds_and_images(
        [{"gain": one, "natural": {"blur": one}}, {"gain": other, "natural": {"blur": other}}]
    )
    assert found["gain"] == found["natural"]["blur"]
    assert found["gain"]["value"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["gain"]["interval"] == "student 95% over 2 seeds and 4 samples"


def test_training_ends_with_the_first_measurement_at_the_goal():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(256) % 2
    images = torch.randint(0, 120, (256, 1, 8, 8), generator=generator) + 120 * labels[:, None, None, None]
    held = Batch(images[:64].float() / 255, labels[:64], tuple(map(str, range(64))))
    steps = {}
    for goal in (0.0, 2.0):
        training = Training(epochs=2, batch_size=32, held_out=1, check_every=2, select="last")
        recipe = CropFlipUntil.of(goal, held)
        found = fit(fresh("small-cnn", images.byte(), classes=2, seed=0), images.byte(), labels, [recipe], training)
        steps[goal] = found.progress.number
    assert steps == {0.0: 2, 2.0: 14}  # of 7 an epoch, measured after 2, 4, 5 and 7


def test_every_figure_is_there(finished):
    result = finished("vit-patch").result
    names = set(result.measured)
    assert {f"seed0.adversarial.{n}.{c}" for n in ("vit", "cnn", "vit_minus_cnn") for c in (1, 2, 4)} <= names
    kinds = ("noise", "blur", "contrast", "mean")
    assert {f"seed0.natural.{k}.{c}.{n}" for k in kinds for c in (8, 24, 40, 64) for n in ("vit", "cnn")} <= names
    assert {f"seed0.smoothing.{t}.fooled" for t in ("1.5", "2", "3")} <= names
    assert {f"seed0.attention.last_layer.{s}" for s in ("clean", "noise", "patch")} <= names
    figure = result.measured["seed0.adversarial.vit.1"]
    assert figure["n"] == 8
    assert figure["low"] <= figure["value"] <= figure["high"]
    assert result.measured["seed0.clean.vit"]["n"] == 26
    assert result.measured["seed0.clean.vit"]["value"] > 0.4
    assert {f"seed0.patch_fool.vit.{n}" for n in ("random", "saliency", "attended", "drawn")} <= names
    assert {f"seed0.patch_fool.{n}.{k}" for n in ("vit", "cnn") for k in ("sparse", "linf", "l2")} <= names
    assert "seed0.patch_fool.cnn.attended" not in names
    assert np.array(result.measured["seed0.location.vit.map"]).shape == (8, 8)
    assert "Run with photos=26, attacked=8, epochs=2, seeds=1, steps=2, starts=1, scanned=2, places=20" in result.note


def test_more_cells_never_fool_fewer(finished):
    result = finished("vit-patch").result
    for net in ("vit", "cnn"):
        rates = [result.measured[f"seed0.adversarial.{net}.{n}"]["value"] for n in (1, 2, 4)]
        assert rates == sorted(rates)
    for t in ("1.5", "2", "3"):
        own, both = (result.measured[f"seed0.smoothing.{t}.{k}"]["value"] for k in ("fooled_by_own", "fooled"))
        assert own <= both


def test_figures_are_those_of_the_rows(finished):
    run = finished("vit-patch")
    result, rows = run.result, RunDir(run.out).rows("outcomes", ["id", "condition", "correct"]).to_pylist()
    right = {(r["condition"], r["id"]): r["correct"] for r in rows}
    ids = {i for c, i in right if c == "seed0.vit.patch-1"}
    assert all(right[f"seed0.{net}.clean", i] for net in ("vit", "cnn") for i in ids)
    lost = [[not right[f"seed0.vit.noise-24-{s}", i] for s in (1, 3, 5)] for i in ids]
    assert result.measured["seed0.natural.noise.24.vit"]["value"] == pytest.approx(np.mean(lost))
    fooled = [not right["seed0.cnn.patch-1", i] or not right.get(("seed0.cnn.patch-2", i), True) for i in ids]
    assert result.measured["seed0.adversarial.cnn.2"]["value"] == pytest.approx(np.mean(fooled))
    fooled = [not (right["seed0.vit-2.patch-1", i] and right["seed0.vit-2.transfer-1", i]) for i in ids]
    assert result.measured["seed0.smoothing.2.fooled"]["value"] == pytest.approx(np.mean(fooled))


def test_figures_of_the_studies_are_those_of_the_rows(finished):
    run = finished("vit-patch")
    found, rows = run.result.measured, RunDir(run.out).rows("outcomes", ["id", "condition", "correct"]).to_pylist()
    right = {(r["condition"], r["id"]): r["correct"] for r in rows}
    copies = [i for c, i in right if c == "seed0.cnn.scan"]
    assert len(copies) == 2 * 20
    images = RunDir(run.out).rows("vit_patch_places").to_pylist()
    at = {r["id"]: (r["row"], r["column"]) for r in images}
    wrong = {i: not right["seed0.cnn.scan", i] for i in copies}
    for row, column in product(range(8), range(8)):
        there = [wrong[i] for i in copies if at[i] == (row, column)]
        shown = found["seed0.location.cnn.map"][row][column]
        assert shown == (pytest.approx(np.mean(there), abs=1e-3) if there else None)
    inner = [wrong[i] for i in copies if min(at[i]) >= 2 and max(at[i]) <= 5]
    assert found["seed0.location.cnn.centre"] == pytest.approx(np.mean(inner), abs=1e-4)
    assert found["seed0.location.cnn.rest"] == pytest.approx(
        (sum(wrong.values()) - sum(inner)) / (40 - len(inner)), abs=1e-4
    )
    ids = {i for c, i in right if c == "seed0.vit.patch-1"}
    rate = {
        (net, kind): np.mean([not right[f"seed0.{net}.{kind}", i] for i in ids])
        for net in ("vit", "cnn")
        for kind in ("patch-1", "moved-1", "fool-saliency")
    }
    change = rate["vit", "moved-1"] - rate["cnn", "moved-1"] - rate["vit", "patch-1"] + rate["cnn", "patch-1"]
    assert found["seed0.misaligned.vit_minus_cnn.off_minus_on"]["value"] == pytest.approx(change)
    gap = rate["vit", "fool-saliency"] - rate["cnn", "fool-saliency"]
    assert found["seed0.patch_fool.vit_minus_cnn.saliency"]["value"] == pytest.approx(gap)


def test_patches_in_the_run_are_single_cells(finished):
    run = finished("vit-patch")
    images = RunDir(run.out).examples("seed0.vit.patch-1")
    assert len(images) == 8
    data = pq.read_table(run.data.removeprefix("parquet:")).to_pylist()
    clean = {r["id"]: np.array(Image.open(io.BytesIO(r["image"]))) for r in data}
    for key, image in images.items():
        before = torch.from_numpy(clean[key].astype(np.float32) / 255).permute(2, 0, 1)
        moved = ((image - before).abs() > 1e-6).any(0)
        cells = moved.unflatten(0, (8, 4)).unflatten(2, (8, 4)).any(3).any(1)
        assert int(cells.sum()) <= 1


@pytest.mark.long
def test_two_networks_of_ones_own(tints, tmp_path):
    for arch in ("small-vit", "small-cnn"):
        net = fresh(arch, torch.zeros(8, 3, 32, 32).byte(), classes=3, seed=0)
        net.view = View(32, 32, channels=3)
        head = [m for m in net.modules() if isinstance(m, torch.nn.Linear)][-1]
        with torch.no_grad():  # the first class for every image
            head.weight.zero_()
            head.bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
        save_model(net, tmp_path / arch, arch=arch)
    model = f"run:{tmp_path}/small-vit|run:{tmp_path}/small-cnn"
    slug = "vit-patch:photos=40,attacked=3,steps=1,starts=1,seeds=1,scanned=1,places=30,scan_steps=1,fool_steps=1"
    result = run_paper(slug, out=tmp_path / "run", data=f"{tints}?split=test", model=model)
    assert result.measured["seed0.clean.vit"]["value"] == result.measured["seed0.clean.cnn"]["value"] == 14 / 40
    assert result.measured["seed0.adversarial.vit.4"]["n"] == 3
    assert "networks_from_cache" not in result.measured


def test_what_cannot_be_run_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    with pytest.raises(DataError, match="cifar10"):
        run_paper("vit-patch", out=tmp_path / "run")
    with pytest.raises(ParameterError, match="name a transformer and a network without attention"):
        run_paper("vit-patch", out=tmp_path / "other", data="demo", model="demo:standard")
