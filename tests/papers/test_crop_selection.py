import copy
import types

import pytest
import torch

from unshaken.core.errors import ModelError
from unshaken.core.registry import find_method
from unshaken.core.rng import SampleRng
from unshaken.papers import run_paper
from unshaken.papers.crop_selection import CropSelectionPaper
from unshaken.papers.crop_selection.figures import Sides
from unshaken.papers.crop_selection.nets import RandomWindows, windows
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


def test_sizes_for_networks():
    assert Sides.of(224) == Sides(288, 256, (224, 192, 160))
    assert Sides.of(28) == Sides(36, 32, (28, 24, 20))
    assert (Sides.of(224).reach, Sides.of(28).reach) == (4, 2)


def test_windows_are_cut_and_mirrored():
    images = torch.arange(2 * 32 * 32.0).view(2, 1, 32, 32)
    cut = windows(images, torch.tensor([1, 4]), torch.tensor([3, 0]), torch.tensor([False, True]), 28)
    assert torch.equal(cut[0], images[0, :, 1:29, 3:31])
    assert torch.equal(cut[1], images[1, :, 4:32, 0:28].flip(2))


def test_augmentations_show_parts_of_the_photo():
    photo = torch.arange(32.0).expand(64, 1, 32, 32) / 31  # columns rise from left to right
    shown = augmented(photo, 0, (28,))
    assert shown.shape == (64, 1, 28, 28)
    starts = (shown.amin((1, 2, 3)) * 31).round().int().tolist()
    assert set(starts) == {0, 1, 2, 3, 4}
    assert 16 < int((shown[:, 0, 0, 0] > shown[:, 0, 0, -1]).sum()) < 48
    crops = [augmented(photo, seed, (24, 22, 20)) for seed in range(20)]
    spans = {round(float((c.max() - c.min()) * 31)) for shown in crops for c in shown}
    assert {len({round(float((c.max() - c.min()) * 31)) for c in shown}) for shown in crops} <= {1, 2}
    assert spans <= {18, 19, 20, 21, 22, 23}
    assert len(spans) >= 2


def augmented(images, seed, sides):
    step = types.SimpleNamespace(images=images, rng=SampleRng.of(seed, "test", [str(i) for i in range(len(images))]))
    RandomWindows(sides=sides).augment(step)
    return step.images


@pytest.fixture
def own(finished):
    run = finished("crop-selection")
    return run.out, run.result


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


def test_a_model_that_takes_no_squares_is_refused(tmp_path):
    net = tmp_path / "net.py"
    net.write_text("from torch import nn\nmake = lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))\n")
    with pytest.raises(ModelError, match="must take squares of one size"):
        run_paper("crop-selection", out=tmp_path / "run", data="demo", model=f"py:{net}:make")


def test_it_stands_in_the_registry_with_its_parameters():
    method = find_method("crop-selection", "papers")
    assert method.cls is CropSelectionPaper
    assert set(method.parameters()) == {"photos", "far_photos", "cifar_photos", "epochs"}
