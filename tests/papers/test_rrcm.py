"""The verdict's rule by hand, and the whole row on tints that a small network learns at once."""

from __future__ import annotations

import copy
import io
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import find_method
from unshaken.harden.recipes.pretraining.rrcm import RepresentationConsistency
from unshaken.papers import run_paper
from unshaken.papers._rrcm_nets import Sizes, Workshop
from unshaken.papers._rrcm_run import counted
from unshaken.papers._tract_nets import Pictures
from unshaken.papers.rrcm import RRCMPaper
from unshaken.run.store import RunDir

SMALL = (
    "rrcm:unlabelled=120,test=45,per_class=4,epochs=2,steps=20,seeds=2,sigmas=0.1+0.2,images=3,n=60,denoiser_steps=3"
)


def level(contrast, scratch, low):
    found = {arm: {"mean": 0.5} for arm in ("scratch", "contrast", "full")}
    found["full_minus_contrast"] = {"value": contrast, "low": low, "high": 0.1}
    found["full_minus_scratch"] = {"value": scratch}
    return {"tuned": found, "probe": copy.deepcopy(found)}


def system():
    return {"accuracy_under_noise": {"value": 0.6}, "average_radius": 0.3, "certified": {"n": 20}}


@pytest.fixture
def measured():
    """Figures with which every part of the rule holds, barely."""
    return {
        "s0.5": level(0.01, -0.0099, 0.001),
        "s1": level(0.02, 0.0, 0.002),
        "pretraining": {"full": {"consistency": {"last": 2.77}, "log_batch": 5.5452}},
        "cost": {"times_fewer_passes": 2.0, "times_fewer_seconds": 1.01, "rrcm": system(), "denoised": system()},
        "networks_from_cache": False,
    }


def failed(measured):
    return [c.words for c in RRCMPaper().judge(measured) if not c.holds]


def test_the_rule_holds(measured):
    assert failed(measured) == []
    assert len(RRCMPaper().judge(measured)) == 6
    assert "not seen at this scale" not in RRCMPaper().remark(measured)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("s1", "tuned", "full_minus_contrast", "low"), 0.0, "full above contrast at sigma 1: "),
        (("s0.5", "tuned", "full_minus_contrast", "low"), -0.01, "full above contrast at sigma 0.5: "),
        (("pretraining", "full", "consistency", "last"), 2.78, "loss of consistency ends at 2.78 (below 2.77)"),
        (("s0.5", "tuned", "full_minus_scratch", "value"), -0.0101, "full against scratch at sigma 0.5"),
        (("cost", "times_fewer_seconds"), 1.0, "1.00 times less time"),
        (("cost", "times_fewer_passes"), 1.0, "1.00 times fewer passes"),
    ],
)
def test_each_part_can_fail_alone(measured, path, value, words):
    spot = measured
    for key in path[:-1]:
        spot = spot[key]
    spot[path[-1]] = value
    (only,) = failed(measured)
    assert words in only
    assert "not seen at this scale" in RRCMPaper().remark(measured)


def test_the_remark_has_the_probe_beside_the_tuned_figure(measured):
    measured["s1"]["probe"]["full"]["mean"] = 0.337
    remark = RRCMPaper().remark(measured)
    assert "Sigma 1, mean over seeds: tuned scratch 0.500, contrast 0.500, full 0.500; frozen probe" in remark
    assert "full 0.337." in remark
    assert "tuning makes up for it" not in remark
    measured["s1"]["tuned"]["full_minus_contrast"]["low"] = -0.001
    measured["s1"]["probe"]["full_minus_contrast"] = {"value": 0.1086, "low": 0.0968, "high": 0.1202}
    remark = RRCMPaper().remark(measured)
    assert "On frozen features consistency adds 0.109 (0.097 to 0.120) to contrast; tuning makes up for it." in remark
    assert "0.600 of the test images under noise, average certified radius 0.300 over 20 images" in remark


def tints(n, rng):
    """Noise with one bright colour, the label."""
    labels = rng.integers(0, 3, n)
    images = rng.integers(0, 120, (n, 16, 16, 3)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[..., label] += 60
    return images, labels


def png(image):
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A data set with two splits, a run of the row over it, and its result."""
    folder, rng = tmp_path_factory.mktemp("rrcm"), np.random.default_rng(0)
    rows = {"id": [], "image": [], "label": [], "split": []}
    for split, n in (("train", 150), ("test", 60)):
        images, labels = tints(n, rng)
        rows["id"] += [f"{split}{i}" for i in range(n)]
        rows["image"] += [png(image) for image in images]
        rows["label"] += labels.tolist()
        rows["split"] += [split] * n
    pq.write_table(pa.table(rows), folder / "tints.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNSHAKEN_CACHE", str(folder / "cache"))
        yield folder, run_paper(SMALL, out=folder / "run", data=f"parquet:{folder}/tints.parquet")


def test_figures_come_from_rows(small):
    folder, result = small
    run = RunDir(folder / "run")
    rows = run.rows("outcomes", ["id", "condition", "correct"]).to_pylist()
    right = {}
    for row in sorted(rows, key=lambda r: r["id"]):
        right.setdefault(row["condition"], []).append(row["correct"])
    assert len(right) == 3 * 2 * 2 * 2 + 1
    assert {len(v) for v in right.values()} == {45}
    for kind in ("tuned", "probe"):
        names = {arm: [f"{arm}.s0.2.seed{s}.{kind}" for s in (0, 1)] for arm in ("contrast", "full")}
        both = {arm: np.array([right[name] for name in found]) for arm, found in names.items()}
        assert result.measured[f"s0.2.{kind}.full.mean"] == pytest.approx(both["full"].mean(), abs=1e-4)
        assert result.measured[f"s0.2.{kind}.full.seed1"]["value"] == pytest.approx(both["full"][1].mean())
        gap = both["full"].mean() - both["contrast"].mean()
        assert result.measured[f"s0.2.{kind}.full_minus_contrast"]["value"] == pytest.approx(gap)
    losses = [r for r in run.rows("pretraining").to_pylist() if r["arm"] == "full" and r["epoch"] == 2]
    assert len(losses) == 2
    wanted = np.mean([r["consistency"] for r in losses])
    assert result.measured["pretraining.full.consistency.last"] == pytest.approx(wanted, abs=1e-4)
    assert result.measured["pretraining.full.log_batch"] == pytest.approx(math.log(100), abs=1e-4)
    assert "pretraining.contrast.consistency.last" not in result.measured
    costs = run.rows("certification_cost").to_pylist()
    theirs = [r for r in costs if r["condition"] == "denoised"]
    assert len(costs) == 6
    assert result.measured["cost.denoised.seconds"] == pytest.approx(np.mean([r["seconds"] for r in theirs]), abs=1e-4)


def test_a_denoiser_before_a_classifier_takes_two_passes_a_vote(small):
    _, result = small
    assert result.measured["cost.rrcm.passes"] == 160
    assert result.measured["cost.denoised.passes"] == 320
    assert result.measured["cost.times_fewer_passes"] == 2.0


def test_the_tints_are_learned(small):
    _, result = small
    assert result.measured["s0.1.tuned.full.mean"] > 0.6
    assert not result.reproduced


def test_it_goes_on_where_it_was(small):
    folder, result = small
    again = run_paper(SMALL, out=folder / "run", data=f"parquet:{folder}/tints.parquet")
    assert again.measured == {**result.measured, "networks_from_cache": True}
    assert "came from the cache" in again.note
    assert "came from the cache" not in result.note


def pictures():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (60, 1, 14, 14), generator=generator, dtype=torch.uint8)
    return Pictures(images, torch.arange(60) % 3, None, None, 3, {"train": "here"})


def test_arms_of_a_seed_start_alike_and_labels_are_few(monkeypatch, tmp_path):
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path))
    workshop = Workshop("timed-cnn", pictures(), Sizes(1, 20, 4))
    first, again, other = (workshop.start(s).net.flat.weight for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    images, labels = workshop.labelled(0)
    assert labels.bincount().tolist() == [4 * 109] * 3
    assert images.unique(dim=0).shape[0] == 12
    assert not torch.equal(workshop.labelled(1)[0], images)
    tuned = workshop.tuned(copy.deepcopy(workshop.start(0)), "scratch", 0, 0.5, probe=True)
    assert torch.equal(tuned.net.encoder.flat.weight, first)
    levels = [workshop.tuned(workshop.start(0), "scratch", 0, sigma).net.level.item() for sigma in (0.5, 1.0, 0.5)]
    assert levels == pytest.approx([0.96542, 2.00365, 0.96542], abs=1e-5)
    behind = workshop.denoised(0, 0.5, 2)
    with counted(behind) as passes:
        behind(torch.rand(5, 1, 14, 14))
    assert passes == [5, 5]


def test_an_architecture_of_ones_own(small, tmp_path):
    folder, _ = small
    text = "rrcm:unlabelled=60,test=20,per_class=2,epochs=1,steps=20,seeds=1,sigmas=0.1,images=1,n=20,denoiser_steps=1"
    spec = f"parquet:{folder}/tints.parquet"
    result = run_paper(text, out=tmp_path / "run", data=spec, model="strided-cnn")
    assert result.measured["s0.1.tuned.full.seed0"]["n"] == 20
    with pytest.raises(ParameterError, match="no architecture 'smal'"):
        run_paper(text, out=tmp_path / "other", data=spec, model="smal")


def test_data_that_will_not_do(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    with pytest.raises(DataError, match="cifar10"):
        run_paper("rrcm", out=tmp_path / "run", data="cifar10")
    with pytest.raises(ParameterError, match="sigmas"):
        RRCMPaper(sigmas=())


def test_recipe_and_row_are_both_found_by_their_name():
    assert find_method("rrcm", "papers").cls is RRCMPaper
    assert find_method("rrcm", "harden").cls is RepresentationConsistency
