import copy

import numpy as np
import pytest
import torch

from unshaken.core.errors import DataError, ModelError
from unshaken.core.registry import find_method
from unshaken.papers import run_paper
from unshaken.papers._crop_photos import Sides
from unshaken.papers._crop_small import shown_crops, shown_windows
from unshaken.papers.crop_selection import CropSelectionPaper
from unshaken.run.store import RunDir


def value(x):
    return {"value": x}


@pytest.fixture
def measured():
    """Figures with which every part of the rule holds, some of them barely."""
    looks = {
        "resize-256": {"accuracy": value(0.85), "label_failures": value(0.05)},
        "centre-224": {"accuracy": value(0.84), "label_failures": value(0.04)},
        "hash-224": {"accuracy": value(0.821), "label_failures": value(0.039)},
    }
    small = {
        "as-trained": {"plain-28": {"label_failures": value(0.2)}},
        "on-crops": {"hash-20": {"label_failures": value(0.19)}},
    }
    return {
        "photos": {
            "same_crop": {"hash": {"224": value(0.73), "160": value(0.98)}},
            "law": {"224": 0.787, "160": 0.921},
            "looks": looks,
            "names": {"resize": "resize-256", "centre": "centre-224", "selected": "hash-224"},
        },
        "cifar10": {"same_crop": {"hash": {"20": value(0.41)}}, "law": {"20": 0.405}, "looks": small},
    }


def verdict(measured):
    return all(c.holds for c in CropSelectionPaper().judge(measured))


def test_the_rule_holds(measured):
    assert verdict(measured)
    assert len(CropSelectionPaper().judge(measured)) == 5


@pytest.mark.parametrize(
    ("path", "figure"),
    [
        (("photos", "same_crop", "hash", "224"), 0.72),
        (("cifar10", "same_crop", "hash", "20"), 0.47),
        (("photos", "looks", "hash-224", "label_failures"), 0.04),
        (("photos", "looks", "hash-224", "accuracy"), 0.819),
        (("cifar10", "looks", "on-crops", "hash-20", "label_failures"), 0.2),
    ],
)
def test_every_part_of_the_rule_can_fail_alone(measured, path, figure):
    at = measured
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value(figure)
    assert [c.holds for c in CropSelectionPaper().judge(measured)].count(False) == 1


def test_a_baseline_that_hardly_fails_is_judged_under_further_shifts(measured):
    far = copy.deepcopy(measured)
    far["photos"]["looks"]["centre-224"]["label_failures"] = value(0.02)
    far["photos"]["far"] = {
        "pixels": 4,
        "centre-224": {"label_failures": value(0.1)},
        "hash-224": {"label_failures": value(0.09)},
    }
    assert verdict(far)
    far["photos"]["far"]["hash-224"]["label_failures"] = value(0.11)
    assert not verdict(far)


def test_the_remark_tells_what_small_images_cost(measured):
    looks = measured["cifar10"]["looks"]
    looks["as-trained"]["plain-28"]["accuracy"] = value(0.75)
    looks["as-trained"]["hash-20"] = {"label_failures": value(0.35)}
    looks["on-crops"]["hash-20"]["accuracy"] = value(0.62)
    measured["cifar10"]["networks_from_cache"] = True
    remark = CropSelectionPaper().remark(measured)
    assert "accuracy goes from 0.750 to 0.620" in remark
    assert "failures from 0.200 to 0.350" in remark
    assert "the seconds hold no training" in remark


def test_sizes_for_networks():
    assert Sides.of(224) == Sides(288, 256, (224, 192, 160))
    assert Sides.of(28) == Sides(36, 32, (28, 24, 20))


def test_augmentations_show_parts_of_the_photo():
    photo = torch.arange(32.0).expand(64, 1, 32, 32) / 31  # columns rise from left to right
    rng = np.random.default_rng(0)
    windows = shown_windows(photo, rng)
    assert windows.shape == (64, 1, 28, 28)
    starts = (windows.amin((1, 2, 3)) * 31).round().int().tolist()
    assert set(starts) == {0, 1, 2, 3, 4}
    assert 16 < int((windows[:, 0, 0, 0] > windows[:, 0, 0, -1]).sum()) < 48
    spans = {round(float((c.max() - c.min()) * 31)) for _ in range(20) for c in shown_crops(photo[:1], rng)}
    assert spans <= {18, 19, 20, 21, 22, 23}
    assert len(spans) >= 2


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    out = tmp_path_factory.mktemp("paper") / "run"
    return out, run_paper("crop-selection:photos=40", out=out, data="demo", model="demo:standard")


def test_own_data_and_model_run_the_part_on_photos(own):
    _, result = own
    names = set(result.measured)
    assert {"photos.same_crop.hash.28", "photos.same_crop.box_mean.20", "photos.law.24"} <= names
    assert {f"photos.looks.{k}.accuracy" for k in ("resize-32", "centre-28", "hash-28", "laplacian-28")} <= names
    assert not any(name.startswith("cifar10") for name in names)
    figure = result.measured["photos.looks.centre-28.label_failures"]
    assert figure["n"] == 40
    assert figure["low"] <= figure["value"] <= figure["high"]
    assert result.measured["photos.looks.centre-28.forwards"] == 5
    assert 1 <= result.measured["photos.looks.hash-20.forwards"] < 2.5
    assert result.measured["photos.law.28"] == 0.2
    assert "Run with photos=40." in result.note
    assert "only the part on photos" in result.note


def test_figures_come_from_rows(own):
    out, result = own
    rows = RunDir(out).rows("outcomes", ["id", "condition", "prediction", "correct"]).to_pylist()
    said = {(r["condition"], r["id"]): r["prediction"] for r in rows}
    ids = {r["id"] for r in rows}
    shifts = ["+0+1", "+0-1", "+1+0", "-1+0"]
    failed = [any(said[f"photos.resize-32.{s}", i] != said["photos.resize-32.+0+0", i] for s in shifts) for i in ids]
    right = [r["correct"] for r in rows if r["condition"] == "photos.resize-32.+0+0"]
    assert result.measured["photos.looks.resize-32.label_failures"]["value"] == sum(failed) / 40
    assert result.measured["photos.looks.resize-32.accuracy"]["value"] == sum(right) / 40


def test_an_interrupted_run_is_gone_on_with_to_the_same_figures(own):
    out, result = own
    last = out / "rows" / "outcomes" / "photos.laplacian-28.-1+0-00000.parquet"
    last.unlink()
    again = run_paper("crop-selection:photos=40", out=out, data="demo", model="demo:standard")
    assert last.is_file()
    assert again.measured == result.measured


def test_what_is_absent_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    with pytest.raises(DataError, match="imagenet-sample"):
        run_paper("crop-selection", out=tmp_path / "run", model="demo:standard")
    net = tmp_path / "net.py"
    net.write_text("from torch import nn\nmake = lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(10))\n")
    with pytest.raises(ModelError, match="must take squares of one size"):
        run_paper("crop-selection", out=tmp_path / "run", data="demo", model=f"py:{net}:make")


def test_it_stands_in_the_registry_with_its_parameters():
    method = find_method("crop-selection", "papers")
    assert method.cls is CropSelectionPaper
    assert set(method.parameters()) == {"photos", "far_photos", "cifar_photos", "epochs"}
