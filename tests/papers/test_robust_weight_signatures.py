"""The verdict's rule by hand, and the whole row on tints that a small network learns at once."""

from __future__ import annotations

import copy
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from unshaken.core.errors import ParameterError
from unshaken.harden.surgery.surgery import body_of
from unshaken.papers import run_paper
from unshaken.papers._rws_figures import mean_of, seed_figures
from unshaken.papers._rws_nets import SixConvs
from unshaken.papers.robust_weight_signatures import RobustWeightSignaturesPaper
from unshaken.run.store import RunDir

SMALL = "robust-weight-signatures:seeds=1,pretraining=120,tuning=80,validation=12,test=24,epochs=1,tuning_epochs=1"


def pair(clean, changed):
    return {"clean": {"value": clean}, "changed": {"value": changed}}


@pytest.fixture
def seeds():
    """Two seeds whose means hold the rule barely: base 0.5 and 0.2, robust 0.4 under noise."""
    noise = {
        "base": pair(0.5, 0.2),
        "robust": pair(0.4, 0.4),
        "patched": pair(0.45, 0.31),
        "interpolated": pair(0.45, 0.3),
        "plain": pair(0.45, 0.3),
        "quantised": pair(0.45, 0.3),
        **{f"random{i}": pair(0.5, 0.2 + i / 100) for i in range(3)},
    }
    one, two = {"noise": noise}, {"noise": copy.deepcopy(noise)}
    two["noise"]["patched"] = pair(0.432, 0.291)
    return {"seed0": one, "seed1": two}


def test_the_means_by_hand(seeds):
    mean = mean_of(seeds)
    assert mean["gain"] == pytest.approx(0.1005)
    assert mean["recovered"] == pytest.approx(0.5025)
    assert mean["clean_loss"] == pytest.approx(0.059)
    assert mean["random_gain"] == pytest.approx(0.02)


def failed(seeds):
    checks = RobustWeightSignaturesPaper().judge({"mean": mean_of(seeds), **seeds})
    assert len(checks) == 3
    return [c.words for c in checks if not c.holds]


def test_the_rule_holds(seeds):
    assert failed(seeds) == []


@pytest.mark.parametrize(
    ("label", "figure", "words"),
    [
        ("patched", pair(0.45, 0.3), "recovers 0.48"),
        ("patched", pair(0.42, 0.31), "costs 0.074"),
        ("random2", pair(0.5, 0.4), "random patches gain"),
    ],
)
def test_every_part_of_the_rule_can_fail_alone(seeds, label, figure, words):
    seeds["seed0"]["noise"][label] = figure
    if label == "random2":
        seeds["seed1"]["noise"][label] = figure
    (only,) = failed(seeds)
    assert words in only


@pytest.fixture(scope="module")
def tints(tmp_path_factory):
    """Images of four classes that differ in colour."""
    folder = tmp_path_factory.mktemp("tints")
    draw = np.random.default_rng(0)
    rows = []
    for split, count in (("train", 240), ("test", 60)):
        for i in range(count):
            label = i % 4
            pixels = draw.integers(0, 60, (16, 16, 3)) + np.array(
                [(150, 0, 0), (0, 150, 0), (0, 0, 150), (90, 90, 0)][label]
            )
            file = io.BytesIO()
            Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
            rows.append({"id": f"{split}{i}", "image": file.getvalue(), "label": label, "split": split})
    (folder / "classes.txt").write_text("red\ngreen\nblue\nyellow\n")
    pq.write_table(pa.Table.from_pylist(rows), folder / "tints.parquet")
    return f"parquet:{folder}/tints.parquet?classes={folder}/classes.txt"


@pytest.fixture(scope="module")
def result(tints, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNSHAKEN_CACHE", str(folder / "cache"))
        return run_paper(SMALL, data=tints, out=folder / "run"), RunDir(folder / "run"), folder


def test_the_row_measures_what_it_says(result):
    found, run, _ = result
    assert found.measured["seed0.noise.base.clean"]["n"] == 24
    assert {found.measured[f"seed0.transfer.{k}.clean"]["n"] for k in ("base", "robust", "patched")} == {
        int((np.array([i % 4 for i in range(60)])[_test_rows(run)] >= 2).sum())
    }
    assert found.measured["seed0.noise.layers"] in (0, 2, 4, 6)
    assert found.measured["seed0.weights.size.ratio"] > 1
    assert found.data.startswith("parquet:")
    assert "recovers" in found.note


def _test_rows(run):
    table = run.rows("outcomes", ["id", "condition"]).to_pylist()
    return [int(r["id"]) for r in table if r["condition"] == "seed0.noise.base.on-clean"]


def test_figures_come_from_rows_alone(result):
    _, run, _ = result
    right = [r["correct"] for r in run.rows("outcomes").to_pylist() if r["condition"] == "seed0.noise.robust.on-noise"]
    assert seed_figures(run, "seed0")["noise"]["robust"]["changed"]["value"] == pytest.approx(np.mean(right))


def test_a_finished_run_is_not_done_again(result, tints, monkeypatch):
    found, _, folder = result
    monkeypatch.setenv("UNSHAKEN_CACHE", str(folder / "elsewhere"))
    again = run_paper(SMALL, data=tints, out=folder / "run")
    assert again.measured == found.measured
    assert not (folder / "elsewhere").exists()


def test_six_convolutions_are_six_layers():
    body = body_of(SixConvs(10, 3))
    assert len(body.layers) == 6
    assert [len(layer) for layer in body.layers] == [2] * 6
    assert sum(p.numel() for p in SixConvs(10, 3).parameters()) == 448 + 2320 + 4640 + 9248 + 18496 + 36928 + 650


def test_a_model_of_ones_own_has_a_command_of_its_own(tmp_path):
    with pytest.raises(ParameterError, match="unshaken harden surgery"):
        run_paper("robust-weight-signatures", model="demo", out=tmp_path)
