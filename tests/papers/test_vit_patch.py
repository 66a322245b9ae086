"""The verdict's rule by hand, and the whole row on tints that small networks learn at once."""

from __future__ import annotations

import copy
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from unshaken.core import Classifier
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import find_method
from unshaken.models.networks.small_vit import SmallViT
from unshaken.papers import run_paper
from unshaken.papers._vit_nets import shown
from unshaken.papers._vit_run import looked_at
from unshaken.papers.vit_patch import VitPatchPaper
from unshaken.run.store import RunDir

SMALL = "vit-patch:photos=60,attacked=16,epochs=4,steps=3,starts=1,seeds=1"
TINY = "vit-patch:photos=20,attacked=4,steps=1,starts=1,seeds=1"


def value(x):
    return {"value": x}


def seed_figures():
    """Figures with which every part of the rule holds, some of them barely."""
    pair = {"vit": value(0.2), "cnn": value(0.21)}
    return {
        "clean": {"cnn_minus_vit": value(0.03)},
        "adversarial": {"vit": {"1": value(0.41)}, "cnn": {"1": value(0.4)}},
        "natural": {k: {"24": pair} for k in ("noise", "blur", "contrast", "mean")},
        "smoothing": {
            "1.5": {"fooled_minus_plain": value(-0.05), "accuracy_minus_plain": value(-0.029)},
            "3": {"fooled_minus_plain": value(-0.3), "accuracy_minus_plain": value(-0.2)},
        },
        "networks_from_cache": True,
        "rows_from_before": False,
    }


@pytest.fixture
def measured():
    return {"seed0": seed_figures(), "seed1": seed_figures()}


def failed(measured):
    return [c.words for c in VitPatchPaper().judge(measured) if not c.holds]


def test_the_rule_holds(measured):
    assert failed(measured) == []
    assert len(VitPatchPaper().judge(measured)) == 7


@pytest.mark.parametrize("seed", ["seed0", "seed1"])
@pytest.mark.parametrize(
    ("path", "figure", "words"),
    [
        (("clean", "cnn_minus_vit"), 0.031, "CNN minus ViT, +0.031"),
        (("clean", "cnn_minus_vit"), -0.04, "CNN minus ViT, -0.040"),
        (("adversarial", "vit", "1"), 0.4, "one adversarial cell fools ViT 0.400, CNN 0.400"),
        (("natural", "mean", "24", "vit"), 0.21, "3/8 corrupted cells fool ViT 0.210"),
        (("smoothing", "1.5", "fooled_minus_plain"), -0.049, "T = 1.5 takes at least 0.049"),
        (("smoothing", "1.5", "accuracy_minus_plain"), -0.03, "T = 3 takes at least 0.300"),
    ],
)
def test_every_part_of_the_rule_can_fail_alone_in_any_seed(measured, seed, path, figure, words):
    measured = copy.deepcopy(measured)
    at = measured[seed]
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value(figure)
    (only,) = failed(measured)
    assert words in only


def test_the_remark_tells_the_kinds_apart(measured):
    measured["seed1"]["natural"] = copy.deepcopy(measured["seed1"]["natural"])
    measured["seed1"]["natural"]["blur"]["24"] = {"vit": value(0.5), "cnn": value(0.125)}
    remark = VitPatchPaper().remark(measured)
    assert "blur 0.200/0.210, 0.500/0.125" in remark
    assert "the seconds hold no training" in remark
    assert "interrupted" not in remark


def test_the_augmentation_moves_by_up_to_four_pixels_and_mirrors_half():
    photo = torch.arange(32.0).expand(400, 1, 32, 32) / 31 + 0.01
    seen = shown(photo, np.random.default_rng(0))
    assert seen.shape == photo.shape
    first, last = ((seen[:, 0, 16, k] > 0) for k in (0, -1))
    mirrored = seen[:, 0, 16, 8] > seen[:, 0, 16, 24]
    assert 150 < int(mirrored.sum()) < 250
    margins = {int((row == 0).sum()) for row in seen[:, 0, 16]}
    assert margins == {0, 1, 2, 3, 4}
    assert bool((first | last).all())


def test_attention_in_units_of_an_even_share():
    net = SmallViT(classes=3, channels=1, side=16).eval()
    with torch.no_grad():
        for block in net.blocks:  # queries and keys of nothing: each token attends to all alike
            block.attn.qkv.weight[:128] = 0
            block.attn.qkv.bias[:128] = 0
    images = torch.rand(30, 1, 16, 16)
    direct, rolled = looked_at(Classifier(net), images, torch.arange(30) % 16, 16)
    assert direct.shape == rolled.shape == (4, 30)
    assert torch.allclose(direct, torch.ones(4, 30), atol=1e-5)
    assert torch.allclose(rolled, torch.ones(4, 30), atol=1e-5)


def tints(n, rng):
    """Noise with one bright colour, the label."""
    labels = rng.integers(0, 3, n)
    images = rng.integers(0, 120, (n, 32, 32, 3)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[..., label] += 14
    return images, labels


def png(image):
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A data set with two splits, a run of the row over it, and its result."""
    folder, rng = tmp_path_factory.mktemp("vit-patch"), np.random.default_rng(0)
    rows = {"id": [], "image": [], "label": [], "split": []}
    for split, n in (("train", 512), ("test", 120)):
        images, labels = tints(n, rng)
        rows["id"] += [f"{split}{i}" for i in range(n)]
        rows["image"] += [png(image) for image in images]
        rows["label"] += labels.tolist()
        rows["split"] += [split] * n
    pq.write_table(pa.table(rows), folder / "tints.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNSHAKEN_CACHE", str(folder / "cache"))
        yield folder, run_paper(SMALL, out=folder / "run", data=f"parquet:{folder}/tints.parquet")


def test_every_figure_is_there(small):
    _, result = small
    names = set(result.measured)
    assert {f"seed0.adversarial.{n}.{c}" for n in ("vit", "cnn", "vit_minus_cnn") for c in (1, 2, 4)} <= names
    kinds = ("noise", "blur", "contrast", "mean")
    assert {f"seed0.natural.{k}.{c}.{n}" for k in kinds for c in (8, 24, 40, 64) for n in ("vit", "cnn")} <= names
    assert {f"seed0.smoothing.{t}.fooled" for t in ("1.5", "2", "3")} <= names
    assert {f"seed0.attention.last_layer.{s}" for s in ("clean", "noise", "patch")} <= names
    figure = result.measured["seed0.adversarial.vit.1"]
    assert figure["n"] == 16
    assert figure["low"] <= figure["value"] <= figure["high"]
    assert result.measured["seed0.clean.vit"]["n"] == 60
    assert result.measured["seed0.clean.vit"]["value"] > 0.4
    assert "Run with photos=60, attacked=16, epochs=4, seeds=1, steps=3, starts=1." in result.note


def test_more_cells_never_fool_fewer(small):
    _, result = small
    for net in ("vit", "cnn"):
        rates = [result.measured[f"seed0.adversarial.{net}.{n}"]["value"] for n in (1, 2, 4)]
        assert rates == sorted(rates)
    for t in ("1.5", "2", "3"):
        own, both = (result.measured[f"seed0.smoothing.{t}.{k}"]["value"] for k in ("fooled_by_own", "fooled"))
        assert own <= both


def test_figures_come_from_rows(small):
    folder, result = small
    rows = RunDir(folder / "run").rows("outcomes", ["id", "condition", "correct"]).to_pylist()
    right = {(r["condition"], r["id"]): r["correct"] for r in rows}
    ids = {i for c, i in right if c == "seed0.vit.patch-1"}
    assert all(right[f"seed0.{net}.clean", i] for net in ("vit", "cnn") for i in ids)
    lost = [[not right[f"seed0.vit.noise-24-{s}", i] for s in (1, 3, 5)] for i in ids]
    assert result.measured["seed0.natural.noise.24.vit"]["value"] == pytest.approx(np.mean(lost))
    fooled = [not right["seed0.cnn.patch-1", i] or not right.get(("seed0.cnn.patch-2", i), True) for i in ids]
    assert result.measured["seed0.adversarial.cnn.2"]["value"] == pytest.approx(np.mean(fooled))
    fooled = [not (right["seed0.vit-2.patch-1", i] and right["seed0.vit-2.transfer-1", i]) for i in ids]
    assert result.measured["seed0.smoothing.2.fooled"]["value"] == pytest.approx(np.mean(fooled))


def test_patches_in_the_run_are_single_cells(small):
    folder, _ = small
    images = RunDir(folder / "run").examples("seed0.vit.patch-1")
    assert len(images) == 16
    data = pq.read_table(folder / "tints.parquet").to_pylist()
    clean = {r["id"]: np.array(Image.open(io.BytesIO(r["image"]))) for r in data}
    for key, image in images.items():
        before = torch.from_numpy(clean[key].astype(np.float32) / 255).permute(2, 0, 1)
        moved = ((image - before).abs() > 1e-6).any(0)
        cells = moved.unflatten(0, (8, 4)).unflatten(2, (8, 4)).any(3).any(1)
        assert int(cells.sum()) <= 1


def test_an_interrupted_run_is_gone_on_with_to_the_same_figures(small):
    folder, result = small
    last = folder / "run" / "rows" / "outcomes" / "seed0.vit-3.patch-1-00000.parquet"
    last.unlink()
    again = run_paper(SMALL, out=folder / "run", data=f"parquet:{folder}/tints.parquet")
    assert last.is_file()
    figures = [{k: v for k, v in r.measured.items() if "_from_" not in k} for r in (again, result)]
    assert figures[0] == figures[1]
    assert [r.measured["seed0.networks_from_cache"] for r in (again, result)] == [True, False]
    assert "Rows of an interrupted run" in again.note
    assert "Rows of an interrupted run" not in result.note


def test_two_networks_of_ones_own(small, tmp_path):
    folder, _ = small
    vit, cnn = sorted((folder / "cache" / "papers").iterdir(), key=lambda d: "cnn" in (d / "model.json").read_text())
    out = tmp_path / "run"
    data = f"parquet:{folder}/tints.parquet?split=test"
    result = run_paper(TINY, out=out, data=data, model=f"run:{vit}|run:{cnn}")
    assert result.measured["seed0.clean.vit"]["n"] == 20
    assert result.measured["seed0.clean.vit"]["value"] > 0.4
    assert result.measured["seed0.adversarial.vit.4"]["n"] == 4


def test_what_cannot_be_run_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    with pytest.raises(DataError, match="cifar10"):
        run_paper("vit-patch", out=tmp_path / "run")
    with pytest.raises(ParameterError, match="name a transformer and a network without attention"):
        run_paper("vit-patch", out=tmp_path / "run", data="demo", model="demo:standard")


def test_it_stands_in_the_registry_with_its_parameters():
    method = find_method("vit-patch", "papers")
    assert method.cls is VitPatchPaper
    assert set(method.parameters()) == {"photos", "attacked", "epochs", "seeds", "steps", "starts", "step_size"}
