import gzip
import json
import struct

import numpy as np
import pytest
import torch

from tests.papers.tiny import Tiny, make_rows
from unshaken.core.errors import DataError, ModelError
from unshaken.papers import run_paper
from unshaken.papers.claim import judge_parts
from unshaken.store.run_dir import RunDir
from unshaken_papers.fooling_images import FoolingImagesPaper
from unshaken_papers.fooling_images.figures import middle

TINY = Tiny(
    make=make_rows,
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


@pytest.fixture
def measured():
    """Figures with which all parts that are tried are shown, some of them barely."""
    made = {"confidence": figure(0.92), "above_99": 9, "images": 10}
    retrained = {"confidence": figure(0.52), "pool_rejected": figure(0.52)}
    part = {
        **dict.fromkeys(("direct", "cppn", "ascent-plain", "imagenet"), made),
        "ascent-decay": dict(made, above_99=0),
        "retrained": {"1": retrained, "2": retrained},
        "transfer": {m: {"second": {"fool_both": figure(0.52)}} for m in ("direct", "cppn")},
    }
    return {f"seed{i}": json.loads(json.dumps(part)) for i in range(2)}


def outcomes(measured):
    paper = FoolingImagesPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def changed(measured, path, new):
    """The figures with the one at a path replaced."""
    *way, last = ("seed1", *path)
    place = measured = json.loads(json.dumps(measured))  # nothing shared
    for key in way:
        place = place[key]
    place[last] = new
    return measured


def test_all_parts_that_are_tried_are_shown(measured):
    found = outcomes(measured)
    assert found.pop("unrecognizable") == "not tried"
    assert {*found.values()} == {"shown"}


@pytest.mark.parametrize(
    ("path", "hidden", "opposed", "part"),
    [
        (("direct", "confidence"), 0.9, 0.4, "pixels"),
        (("cppn", "confidence"), 0.9, 0.4, "cppn"),
        (("ascent-decay", "confidence"), 0.9, 0.4, "ascent"),
        (("ascent-plain", "confidence"), 0.9, 0.4, "ascent"),
        (("imagenet", "confidence"), 0.9, 0.4, "imagenet"),
        (("retrained", "1", "confidence"), 0.5, 0.4, "reject-class"),
        (("retrained", "2", "confidence"), 0.5, 0.4, "reject-class"),
        (("transfer", "direct", "second", "fool_both"), 0.5, 0.4, "other-networks"),
        (("transfer", "cppn", "second", "fool_both"), 0.5, 0.4, "other-networks"),
    ],
)
def test_one_figure_decides_a_part_alone(measured, path, hidden, opposed, part):
    before = outcomes(measured)
    assert outcomes(changed(measured, path, figure(hidden))) == {**before, part: "not visible at this scale"}
    assert outcomes(changed(measured, path, figure(opposed))) == {**before, part: "contradicted"}


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        (("direct", "above_99"), 8, "pixels"),
        (("cppn", "above_99"), 8, "cppn"),
        (("retrained", "2", "pool_rejected"), figure(0.5), "reject-class"),
    ],
)
def test_what_is_missing_hides_a_part(measured, path, value, part):
    assert outcomes(changed(measured, path, value)) == {**outcomes(measured), part: "not visible at this scale"}


def test_with_a_model_of_ones_own_less_is_tried(measured):
    left_out = ("retrained", "transfer", "imagenet")
    own = {seed: {k: v for k, v in part.items() if k not in left_out} for seed, part in measured.items()}
    found = outcomes(own)
    assert {name for name, outcome in found.items() if outcome == "shown"} == {"pixels", "cppn", "ascent"}
    assert {found[name] for name in ("reject-class", "other-networks", "imagenet")} == {"not tried"}
    assert "only ascent and evolution" in FoolingImagesPaper().remark(own)


def test_a_median_keeps_within_0_and_1():
    assert middle([0.3]) == {"value": 0.3, "low": 0.0, "high": 1.0, "n": 1, "interval": "order statistics 95%"}
    assert middle([i / 10 for i in range(10)])["low"] == pytest.approx(0.1)


def first_seed(result):
    """The figures of the first seed."""
    return {k.removeprefix("seed0."): v for k, v in result.measured.items() if k.startswith("seed0.")}


def write_idx(folder, name, array):
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    with gzip.open(folder / f"{name}.gz", "wb") as file:
        file.write(header + array.astype(np.uint8).tobytes())


def test_the_control_is_made_where_the_data_is_its_own(tmp_path, monkeypatch):
    """A tiny set in the place of Fashion-MNIST: a bright row says the class."""
    folder, rng = tmp_path / "fashion-mnist", np.random.default_rng(0)
    folder.mkdir()
    for split, n in (("train", 40), ("t10k", 20)):
        labels = np.arange(n) % 10
        pixels = rng.integers(0, 60, (n, 28, 28))
        pixels[np.arange(n), 2 * labels + 3] += 150
        write_idx(folder, f"{split}-images-idx3-ubyte", pixels)
        write_idx(folder, f"{split}-labels-idx1-ubyte", labels)
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path / "cache"))
    sizes = "train=40,test=20,epochs=1,steps=2,population=2,direct_generations=2,cppn_generations=1,rounds=1,rejects=10"
    result = run_paper(f"fooling-images:{sizes},imagenet_classes=0,seeds=1", out=tmp_path / "run")
    figures = first_seed(result)
    assert figures["control.direct.evaluations"] == 4
    assert {f"transfer.{m}.{n}.fool_both" for m in ("direct", "cppn") for n in ("second", "robust")} <= set(figures)
    assert figures["used"] == "fashion-mnist (40 training images)"


def test_the_small_experiment_gives_every_figure(finished):
    result = finished("fooling-images").result
    figures = first_seed(result)
    for made in ("direct", "cppn", "retrained.2"):
        assert figures[f"{made}.confidence"]["n"] == 10
        assert figures[f"{made}.evaluations"] == 24
        assert figures[f"{made}.forwards"] == 24 // 10 * 10  # shared out in whole numbers
        assert 10 <= figures[f"{made}.jumps"] <= 24 * 10
    assert figures["ascent-plain.reached_9999"]["n"] == 10
    assert figures["ascent-plain.backwards"] <= 4 * 10
    assert {f"transfer.{m}.second.fool_both" for m in ("direct", "cppn")} <= set(figures)
    assert figures["retrained.1.pool"]["n"] == 20
    assert figures["accuracy.retrained-2"]["n"] == 60
    assert figures["direct.variation"] > 0.2  # noise: a third, as the mean distance of two uniform draws
    assert figures["real.nearest"] < figures["direct.nearest"]
    assert not any(name.startswith(("imagenet", "control")) for name in figures)
    assert "The part on ImageNet was not run" in result.note


def test_figures_are_those_of_the_rows(finished):
    run = finished("fooling-images")
    result, kept = run.result, RunDir(run.out)
    rows = kept.rows("fooling_images_images").to_pylist()
    direct = [r for r in rows if r["condition"] == "seed0.direct.first.first"]
    assert [r["target"] for r in direct] == list(range(10))
    assert result.measured["seed0.direct.confidence"]["value"] == np.median([r["confidence"] for r in direct])
    second = [r for r in rows if r["condition"] == "seed0.direct.first.second"]
    both = sum(a["prediction"] == b["prediction"] == a["target"] for a, b in zip(direct, second, strict=True))
    assert result.measured["seed0.transfer.direct.second.fool_both"]["value"] == both / 10
    history = kept.rows("fooling_images_history").to_pylist()
    course = [h["median"] for h in history if h["condition"] == "seed0.cppn.retrained-1"]
    assert len(course) == 3
    assert result.measured["seed0.retrained.1.start"] == round(course[0], 4)
    right = [r["correct"] for r in kept.rows("outcomes").to_pylist() if r["condition"] == "seed0.clean.first"]
    assert result.measured["seed0.accuracy.first"]["value"] == sum(right) / 60


def test_kept_images_are_of_8_bits(finished):
    images = torch.stack(list(RunDir(finished("fooling-images").out).examples("seed0.cppn.first").values())) * 255
    assert images.shape == (10, 1, 28, 28)
    torch.testing.assert_close(images, images.round(), atol=1e-4, rtol=0)


def test_a_model_of_ones_own(tmp_path):
    name = "fooling-images:steps=3,population=6,direct_generations=2,cppn_generations=2,seeds=1"
    result = run_paper(name, out=tmp_path / "run", model="demo:standard")
    assert result.measured["seed0.cppn.confidence"]["n"] == 10
    assert result.measured["seed0.cppn.evaluations"] == 12
    assert not any(k.startswith(("transfer", "retrained", "imagenet")) for k in first_seed(result))
    net = tmp_path / "net.py"
    net.write_text("from torch import nn\nmake = lambda: nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())\n")
    with pytest.raises(ModelError, match="add its size"):
        run_paper("fooling-images", out=tmp_path / "other", model=f"py:{net}:make")


def test_absent_data_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="mnist"):
        run_paper("fooling-images", out=tmp_path / "run", data="mnist")
