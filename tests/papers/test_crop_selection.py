import types

import pytest
import torch

from tests.papers.tiny import Tiny
from unshaken.core.errors import ModelError
from unshaken.core.rng import SampleRng
from unshaken.papers import run_paper
from unshaken.papers.claim import Outcome, judge_parts
from unshaken.papers.folders import find_row
from unshaken.store.run_dir import RunDir
from unshaken_papers.crop_selection import CropSelectionPaper
from unshaken_papers.crop_selection.figures import Sides
from unshaken_papers.crop_selection.nets import RandomWindows, windows

TINY = Tiny(
    make=lambda folder: "demo",
    model=lambda folder: "demo:standard",
)
"""How the battery runs the row, beside its tiny sizes."""

SMALL = ("cifar10", "against_plain")


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


@pytest.fixture
def measured():
    """Figures with which every part is shown."""
    gain = {"stable": figure(0.05), "accuracy": figure(-0.01)}
    rates = {"224": 0.787, "160": 0.921}
    return {
        "photos": {
            "same_crop": {"hash": {"224": figure(0.74), "160": figure(0.97)}},
            "law": rates,
            "looks": {
                "resize-256": {"accuracy": figure(0.85)},
                "centre-224": {"label_failures": figure(0.09)},
                "hash-224": {"accuracy": figure(0.821), "label_failures": figure(0.039)},
            },
            "against_centre": {"hash-224": dict(gain)},
            "names": {"resize": "resize-256", "centre": "centre-224", "selected": "hash-224"},
        },
        "cifar10": {
            "same_crop": {"hash": {"20": figure(0.41)}},
            "law": {"20": 0.405},
            "looks": {"as-trained": {"plain-28": {"label_failures": figure(0.2)}}},
            "against_plain": {
                "as-trained": {f"hash-{m}": dict(gain) for m in (24, 22, 20)}, "on-crops": {"hash-20": dict(gain)}
            },
            "against_centre": {f"hash-{m}": dict(gain) for m in (24, 22, 20)},
        },
    }  # fmt: skip


def outcomes(measured):
    paper = CropSelectionPaper()
    return {part.name: part.outcome for part in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_every_part_that_is_tried_is_shown(measured):
    found = outcomes(measured)
    assert found.pop("published-networks") == Outcome.NOT_TRIED
    assert set(found.values()) == {Outcome.SHOWN}


@pytest.mark.parametrize(
    ("part", "path", "unclear", "opposite"),
    [
        ("shifts-matter", ("photos", "looks", "centre-224", "label_failures"), figure(0.04), figure(0.01)),
        ("shifts-matter", ("cifar10", "looks", "as-trained", "plain-28", "label_failures"), figure(0.04), figure(0.01)),
        ("rare-failures", ("photos", "against_centre", "hash-224", "stable"), figure(0.01), figure(-0.05)),
        ("rare-failures", ("photos", "looks", "hash-224", "label_failures"), figure(0.041), figure(0.07)),
        ("accuracy-cost", ("photos", "against_centre", "hash-224", "accuracy"), figure(-0.02), figure(-0.05)),
        ("law", ("photos", "same_crop", "hash", "224"), figure(0.73), figure(0.7)),
        ("law", ("cifar10", "same_crop", "hash", "20"), figure(0.46), figure(0.48)),
        ("small-network", (*SMALL, "on-crops", "hash-20", "stable"), figure(0), figure(-0.1)),
        ("small-network-cost", (*SMALL, "on-crops", "hash-20", "accuracy"), figure(-0.03), figure(-0.1)),
        ("small-network-as-trained", (*SMALL, "as-trained", "hash-22", "stable"), figure(0), figure(-0.1)),
        ("matched-control", ("cifar10", "against_centre", "hash-24", "stable"), figure(0), figure(-0.1)),
    ],
)
def test_each_part_falls_alone(measured, part, path, unclear, opposite):
    at = measured
    for key in path[:-1]:
        at = at[key]
    for met, outcome in ((unclear, Outcome.NOT_VISIBLE), (opposite, Outcome.CONTRADICTED)):
        at[path[-1]] = met
        found = outcomes(measured)
        assert found[part] == outcome
        assert [n for n, o in found.items() if o not in (Outcome.SHOWN, Outcome.NOT_TRIED)] == [part]


def test_the_resized_window_is_a_baseline_too(measured):
    measured["photos"]["looks"]["resize-256"]["accuracy"] = figure(0.852)
    assert outcomes(measured)["accuracy-cost"] == Outcome.NOT_VISIBLE


def test_a_baseline_that_hardly_fails_is_judged_under_further_shifts(measured):
    measured["photos"]["looks"]["centre-224"]["label_failures"] = figure(0.01)
    measured["photos"]["against_centre"]["hash-224"]["stable"] = figure(0.0)
    far = {"pixels": 4, "centre-224": {"label_failures": figure(0.1)}, "hash-224": {"label_failures": figure(0.07)}}
    measured["photos"]["far"] = far
    for selected, outcome in ((0.07, Outcome.SHOWN), (0.09, Outcome.NOT_VISIBLE), (0.13, Outcome.CONTRADICTED)):
        far["hash-224"]["label_failures"] = figure(selected)
        assert outcomes(measured)["rare-failures"] == outcome


def test_photos_alone_leave_the_small_network_untried(measured):
    found = outcomes({"photos": measured["photos"]})
    assert {found[name] for name in found if name.startswith("small-")} == {Outcome.NOT_TRIED}


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
    predictions = {(r["condition"], r["id"]): r["prediction"] for r in rows}
    ids = {r["id"] for r in rows}
    shifts = ["+0+1", "+0-1", "+1+0", "-1+0"]
    failed = [
        any(predictions[f"photos.resize-32.{s}", i] != predictions["photos.resize-32.+0+0", i] for s in shifts)
        for i in ids
    ]
    right = [r["correct"] for r in rows if r["condition"] == "photos.resize-32.+0+0"]
    assert result.measured["photos.looks.resize-32.label_failures"]["value"] == sum(failed) / 40
    assert result.measured["photos.looks.resize-32.accuracy"]["value"] == sum(right) / 40


def test_a_model_that_takes_no_squares_is_refused(tmp_path):
    net = tmp_path / "net.py"
    net.write_text("from torch import nn\nmake = lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))\n")
    with pytest.raises(ModelError, match="must take squares of one size"):
        run_paper("crop-selection", out=tmp_path / "run", data="demo", model=f"py:{net}:make")


def test_it_stands_in_the_registry_with_its_parameters():
    assert find_row("crop-selection") is CropSelectionPaper
    assert set(CropSelectionPaper.info.parameters()) == {
        "photos",
        "far_photos",
        "cifar_photos",
        "images",
        "epochs",
        "seeds",
    }
