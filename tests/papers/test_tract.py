"""The verdict's rule by hand, and the whole row on tints that a small network learns at once."""

from __future__ import annotations

import copy
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import find_method
from unshaken.harden.recipes.architecture.tract import TrAct
from unshaken.papers import run_paper
from unshaken.papers._tract_nets import Arm, Pictures, built
from unshaken.papers._tract_run import Figures, epochs_to
from unshaken.papers.tract import TrActPaper
from unshaken.run.store import RunDir

SMALL = "tract:train=200,test=60,choosing=30,epochs=3,rates=0.05+0.2"


def pair(plain, tract):
    return {"plain": {"value": plain}, "tract": {"value": tract}}


@pytest.fixture
def measured():
    """Figures with which both parts of the rule hold, barely."""
    seed = {"noise": pair(0.4, 0.2), "contrast": pair(0.2, 0.2)}
    return {
        "cnn": {
            "seed0": seed,
            "seed1": seed,
            "mean": {"plain": 0.5, "tract": 0.49, "seed_deviation": 0.01, "speed_up": 1.001},
            "at_equal_lr": {"0.2": {"speed_up": 1.5, "seconds_ratio": 1.2}},
        },
        "networks_from_cache": False,
    }


def failed(measured):
    return [c.words for c in TrActPaper().judge(measured) if not c.holds]


def test_the_rule_holds(measured):
    assert failed(measured) == []
    assert len(TrActPaper().judge(measured)) == 2


def test_each_part_can_fail_alone(measured):
    measured["cnn"]["mean"]["tract"] = 0.4899
    assert "final accuracy" in failed(measured)[0]
    measured["cnn"]["mean"] |= {"tract": 0.6, "speed_up": 1.0}
    assert failed(measured) == ["times fewer epochs to A, mean over seeds: cnn 1.00"]


def test_one_architecture_is_enough(measured):
    measured["small-vit"] = copy.deepcopy(measured["cnn"])
    measured["small-vit"]["mean"] |= {"tract": 0.1, "speed_up": 0.5}
    assert failed(measured) == []
    measured["cnn"]["mean"] |= {"speed_up": 0.9}
    assert len(failed(measured)) == 1


def test_the_remark_gives_costs_and_the_reason_for_noise(measured):
    remark = TrActPaper().remark(measured)
    assert "1.50 at 0.2; wall time of a run, TrAct over plain, 1.20, on a machine" in remark
    assert "under noise of deviation .08 0.400/0.200, 0.400/0.200" in remark
    assert "noise lies in them" in remark
    measured["cnn"]["seed0"] = measured["cnn"]["seed1"] = {"noise": pair(0.4, 0.4), "contrast": pair(0.2, 0.2)}
    assert "noise lies in them" not in TrActPaper().remark(measured)


@pytest.mark.parametrize(
    ("curve", "goal", "expected"),
    [
        ([0.2, 0.4, 0.6], 0.5, 2.5),
        ([0.2, 0.4, 0.6], 0.4, 2.0),
        ([0.4], 0.1, 0.25),
        ([0.5, 0.3, 0.5], 0.4, 0.8),
        ([0.2], 0.3, None),
    ],
)
def test_epochs_are_linear_between_points(curve, goal, expected):
    got = epochs_to(curve, goal)
    assert got == (expected if expected is None else pytest.approx(expected))


def test_speed_up_by_hand():
    found = Figures.speed({"plain": [0.2, 0.4, 0.6], "tract": [0.4, 0.58, 0.7]})
    assert found == {"epochs_to": {"plain": 2.9, "tract": 2.0}, "speed_up": 1.45}
    assert Figures.speed({"plain": [0.5], "tract": [0.3]})["speed_up"] == 0


def tints(n, rng):
    """Noise with one bright colour, the label."""
    labels = rng.integers(0, 3, n)
    images = rng.integers(0, 120, (n, 16, 16, 3)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[..., label] += 30
    return images, labels


def png(image):
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A data set with two splits, a run of the row over it, and its result."""
    folder, rng = tmp_path_factory.mktemp("tract"), np.random.default_rng(0)
    rows = {"id": [], "image": [], "label": [], "split": []}
    for split, n in (("train", 240), ("test", 90)):
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
    curves = run.rows("epochs").to_pylist()
    assert len(curves) == (4 + 2) * 3
    by = {(r["arm"], r["lr"], r["seed"], r["epoch"]): r for r in curves}
    for arm in ("plain", "tract"):
        best = max((0.05, 0.2), key=lambda lr: by[arm, lr, 0, 3]["choosing"])
        assert result.measured[f"cnn.best_lr.{arm}"] == best
        values = [by[arm, best, seed, 3]["right"] / 60 for seed in (0, 1)]
        assert result.measured[f"cnn.mean.{arm}"] == pytest.approx(np.mean(values), abs=1e-4)
        assert result.measured[f"cnn.seed0.final.{arm}"]["value"] == pytest.approx(values[0])
        assert result.measured[f"cnn.seed0.curve.{arm}"][-1] == pytest.approx(values[0], abs=1e-4)
    rows = run.rows("outcomes", ["condition", "correct"]).to_pylist()
    best = result.measured["cnn.best_lr.tract"]
    noisy = [r["correct"] for r in rows if r["condition"] == f"cnn.tract.lr{best:g}.seed1.noise"]
    assert result.measured["cnn.seed1.noise.tract"]["value"] == pytest.approx(np.mean(noisy))
    assert result.measured["cnn.seed0.final.plain"]["n"] == 60
    assert all(r["chosen_from"] == 30 for r in curves)


def test_the_arms_differ_and_both_learn(small):
    _, result = small
    sweep = {arm: result.measured[f"cnn.sweep.{arm}.0.2"]["value"] for arm in ("plain", "tract")}
    curves = [result.measured[f"cnn.seed0.curve.{arm}"] for arm in ("plain", "tract")]
    assert curves[0] != curves[1]
    assert max(sweep.values()) > 0.45


def test_it_goes_on_where_it_was(small):
    folder, result = small
    last = folder / "run" / "rows" / "epochs"
    one = sorted(last.iterdir())[-1]
    one.unlink()
    again = run_paper(SMALL, out=folder / "run", data=f"parquet:{folder}/tints.parquet")
    assert one.is_file()
    kept = {k: v for k, v in result.measured.items() if "cache" not in k}
    assert {k: v for k, v in again.measured.items() if "cache" not in k} == kept
    assert "came from the cache" in again.note
    assert "came from the cache" not in result.note


def test_an_architecture_of_ones_own(small, tmp_path):
    folder, _ = small
    text = "tract:train=100,test=30,choosing=20,epochs=1,seeds=1,rates=0.1"
    result = run_paper(text, out=tmp_path / "run", data=f"parquet:{folder}/tints.parquet", model="small")
    assert result.measured["small.seed0.final.plain"]["n"] == 30
    with pytest.raises(ParameterError, match="no architecture 'smal'"):
        run_paper(text, out=tmp_path / "other", data=f"parquet:{folder}/tints.parquet", model="smal")


def test_the_network_has_the_published_size():
    pictures = Pictures(torch.zeros(4, 3, 32, 32, dtype=torch.uint8), torch.arange(4), None, None, 10, {})
    net = built(Arm("cnn", "plain", 0.1, 0, 1), pictures)
    assert sum(p.numel() for p in net.parameters()) == 540 + 40 + 7200 + 80 + 28800 + 160 + 810
    assert torch.equal(built(Arm("cnn", "tract", 0.3, 0, 1), pictures).net[0][0].weight, net.net[0][0].weight)


def test_data_that_will_not_do(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    with pytest.raises(DataError, match="cifar10"):
        run_paper("tract", out=tmp_path / "run")


def test_recipe_and_row_are_both_found_by_their_name():
    assert find_method("tract", "papers").cls is TrActPaper
    assert find_method("tract", "harden").cls is TrAct
