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
from scipy import ndimage

from unshaken.core import Batch
from unshaken.core.errors import ParameterError
from unshaken.papers import run_paper
from unshaken.papers._heads_figures import Figures
from unshaken.papers._heads_nets import Blocks
from unshaken.papers._heads_run import BINOMIAL, changed
from unshaken.papers.efficient_robustify import EfficientRobustifyPaper
from unshaken.run.store import RunDir

SMALL = "efficient-robustify:seeds=1,train=100,teacher_train=120,test=16,epochs=1,teacher_epochs=1,tuning_epochs=1"


def gains(clean, corrupted):
    return {"clean_minus_original": {"value": clean}, "corrupted_minus_original": {"value": corrupted}}


@pytest.fixture
def measured():
    """Figures with which every part of the rule holds, barely."""
    three = {"unclean": gains(-0.04, 0.01), "combined": gains(-0.02, 0.03), "route": gains(-0.02, 0.02)}
    return {"three": three, "teacher_effect": {"unclean": {"value": 0.0001}}}


def failed(measured):
    checks = EfficientRobustifyPaper().judge(measured)
    assert len(checks) == 3
    return [c.words for c in checks if not c.holds]


def test_the_rule_holds(measured):
    assert failed(measured) == []


@pytest.mark.parametrize(
    ("path", "figure", "words"),
    [
        (("three", "combined"), gains(0, 0.029), "(1) the combined head gains +0.029"),
        (("three", "route"), gains(-0.021, 0.02), "(2) routing loses 0.021"),
        (("teacher_effect", "unclean"), {"value": 0.0}, "(3) the teacher adds +0.0000"),
    ],
)
def test_every_part_of_the_rule_can_fail_alone(measured, path, figure, words):
    measured = copy.deepcopy(measured)
    measured[path[0]][path[1]] = figure
    (only,) = failed(measured)
    assert words in only


def test_changes_of_test_images_by_hand():
    batch = Batch(torch.rand(6, 3, 12, 12, generator=torch.Generator().manual_seed(0)), None, tuple("abcdef"))
    flat = changed(batch, "contrast", 0.25, 0).images
    mean = batch.images.mean((2, 3), keepdim=True)
    assert torch.allclose(flat - mean, 0.25 * (batch.images - mean), atol=1e-6)
    twice = changed(batch, "blur", 2, 0).images
    kernel = np.outer(BINOMIAL, BINOMIAL)
    assert kernel.sum() == 1
    wanted = ndimage.correlate(
        ndimage.correlate(batch.images[0, 0].numpy(), kernel, mode="nearest"), kernel, mode="nearest"
    )
    assert np.allclose(twice[0, 0].numpy(), wanted, atol=1e-6)
    grey = Batch(torch.full((6, 3, 12, 12), 0.5), None, tuple("abcdef"))
    noise = changed(grey, "noise", 0.08, 0).images - 0.5
    assert float(noise.std()) == pytest.approx(0.08, rel=0.05)
    assert not torch.equal(noise, changed(grey, "noise", 0.08, 1).images - 0.5)


def test_sizes_of_the_networks():
    counts = [sum(p.numel() for p in Blocks(10, 3, share).parameters()) for share in (1.0, 0.5)]
    assert counts == [109_870, 27_940]


@pytest.fixture(scope="module")
def tints(tmp_path_factory):
    """Images of four classes that differ in colour."""
    folder = tmp_path_factory.mktemp("tints")
    draw = np.random.default_rng(0)
    rows = []
    for split, count in (("train", 120), ("test", 20)):
        for i in range(count):
            tint = np.array([(150, 0, 0), (0, 150, 0), (0, 0, 150), (90, 90, 0)][i % 4])
            file = io.BytesIO()
            Image.fromarray((draw.integers(0, 60, (16, 16, 3)) + tint).astype(np.uint8)).save(file, "PNG")
            rows.append({"id": f"{split}{i}", "image": file.getvalue(), "label": i % 4, "split": split})
    (folder / "classes.txt").write_text("red\ngreen\nblue\nyellow\n")
    pq.write_table(pa.Table.from_pylist(rows), folder / "tints.parquet")
    return f"parquet:{folder}/tints.parquet?classes={folder}/classes.txt"


def test_the_row_on_tints(tints, tmp_path, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path / "cache"))
    found = run_paper(SMALL, data=tints, out=tmp_path / "run")
    assert found.measured["original.clean"]["n"] == 16
    assert found.measured["cost.original_recovered"] is True
    whole = sum(p.numel() for p in Blocks(4, 3).parameters())
    tuned = 2 * (40 * 80 * 9 + 160 + 80 * 80 * 9 + 160 + 80 * 4 + 4)
    assert found.measured["cost.tunable_share"] == pytest.approx(tuned / whole, abs=1e-4)
    assert "Routing sends" in found.note
    figures = Figures(RunDir(tmp_path / "run"), 1)
    rows = [
        r for r in RunDir(tmp_path / "run").rows("outcomes").to_pylist() if r["condition"].startswith("three0.unclean.")
    ]
    right = {c: np.mean([r["correct"] for r in rows if r["condition"] == c]) for c in {r["condition"] for r in rows}}
    assert len(right) == 10
    clean = right.pop("three0.unclean.on-clean-0")
    part = figures.all()["three"]["unclean"]
    assert part["clean"]["value"] == pytest.approx(clean)
    assert part["corrupted"]["value"] == pytest.approx(np.mean(list(right.values())))
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path / "elsewhere"))
    assert run_paper(SMALL, data=tints, out=tmp_path / "run").measured == found.measured
    assert not (tmp_path / "elsewhere").exists()


def test_a_model_of_ones_own_has_a_recipe(tmp_path):
    with pytest.raises(ParameterError, match="--recipe three-heads"):
        run_paper("efficient-robustify", model="demo", out=tmp_path)
