"""Files for other leaderboards, read as their owners read them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

import unshaken
from tests.flat_images import Brightness, flat_images
from unshaken.api import export_runs
from unshaken.cli import main
from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import ParameterError, RunError
from unshaken.report.read.scores import read_scores
from unshaken.store.config import read_config


@pytest.fixture(scope="module")
def attacked(tmp_path_factory) -> Path:
    """A run on 60 flat images whose mean moves by 26/255; FGSM, exact for this model, stands in for AutoAttack."""
    place = tmp_path_factory.mktemp("leaderboards") / "attacked"
    unshaken.attack(
        Brightness(0.5), flat_images(), "fgsm", norm="linf", eps=26 / 255, out=place, save_examples=0, name="Flat"
    )
    summary = place / "summary.json"
    summary.write_text(summary.read_text().replace("fgsm", "autoattack"))
    return place


def export(tmp_path, *runs, form, **options) -> str:
    export_runs(*runs, form=form, out=tmp_path / "made", **options)
    return (tmp_path / "made").read_text()


def test_robustbench_finds_its_fields(attacked, tmp_path):
    made = json.loads(export(tmp_path, attacked, form="robustbench", dataset="cifar10"))
    # fields of `robustbench.utils.ModelInfo` that its published files have
    assert list(made) == [
        "link", "name", "authors", "additional_data", "number_forward_passes", "dataset", "venue", "architecture",
        "eps", "clean_acc", "reported", "autoattack_acc",
    ]  # fmt: skip
    means = np.linspace(0, 255, 60).astype(np.uint8) / 255
    assert made["clean_acc"] == "100.00"
    assert float(made["autoattack_acc"]) == pytest.approx(100 * np.mean(np.abs(means - 0.5) > 26 / 255), abs=0.01)
    assert (made["eps"], made["dataset"], made["architecture"]) == ("26/255", "cifar10", "Flat")


def test_the_hub_reads_its_entries(attacked, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    made = yaml.safe_load(export(tmp_path, attacked, form="eval-results", dataset="owner/flat"))
    entries = hub.parse_eval_result_entries(made)
    assert hub.eval_result_entries_to_yaml(entries) == made
    clean, robust = entries
    assert (clean.dataset_id, clean.task_id, clean.value) == ("owner/flat", "clean", 100.0)
    assert robust.task_id == "autoattack-linf-0.101961"
    assert robust.value == float(json.loads(export(tmp_path, attacked, form="robustbench"))["autoattack_acc"])
    assert clean.notes == "95 % interval 94.04% to 100.00%, 60 images, seed 0"  # 0.025 ** (1 / 60)


def test_a_condition_of_several_runs_stands_once_on_the_hub(attacked, tmp_path):
    few = tmp_path / "few"
    unshaken.attack(Brightness(0.5), flat_images(), "fgsm", norm="l2", eps=0.1, limit=20, out=few, save_examples=0)
    for runs in ((few, attacked), (attacked, few)):
        made = yaml.safe_load(export(tmp_path, *runs, form="eval-results", dataset="owner/flat"))
        notes = {entry["dataset"]["task_id"]: entry["notes"] for entry in made}
        assert len(notes) == len(made) == 3
        assert ", 60 images," in notes["clean"]
        assert ", 20 images," in notes["fgsm-l2-0.1"]


class Sixth(nn.Module):
    """The likeliest of eight classes is 0, then 1, and so on, whatever the image."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return -torch.arange(8.0).expand(len(images), 8)


def test_timm_has_its_columns(tmp_path):
    labels = np.array([0, 0, 0, 1, 4, 5, 6, 7])
    pixels = np.zeros((8, 8, 8, 3), np.uint8)
    model = Classifier(Sixth(), view=View(8, 8, resize=10, interpolation="bicubic"), name="sixth")
    unshaken.audit(model, (pixels, labels), [], out=tmp_path / "sixth", save_examples=0)
    unshaken.audit(Brightness(0.5, 12_340), flat_images(), [], out=tmp_path / "flat", save_examples=0, name="=flat")
    rows = list(csv.DictReader(export(tmp_path, tmp_path / "sixth", tmp_path / "flat", form="timm").splitlines()))
    best, other = rows
    # the head of timm's results/results-imagenet.csv
    assert ",".join(best) == "model,top1,top1_err,top5,top5_err,param_count,img_size,crop_pct,interpolation"
    assert list(best.values()) == ["'=flat", "100.000", "0.000", "100.000", "0.000", "0.01", "", "", ""]
    assert list(other.values()) == ["sixth", "37.500", "62.500", "62.500", "37.500", "", "8", "0.800", "bicubic"]


def noise_folder(place: Path, contrast: int, count: int) -> str:
    """The SPEC of a folder of grey noise, 28 by 28."""
    place.mkdir()
    random = np.random.default_rng(contrast)
    for index in range(count):
        pixels = random.integers(128 - contrast, 128 + contrast, (28, 28), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{index:02}.png")
    return f"folder:{place}"


@pytest.mark.parametrize("methods", [["energy"], ["energy", "msp"]], ids=["one", "two"])
def test_openood_finds_its_table(methods, tmp_path):
    """The figures are those of scikit-learn, called as OpenOOD 1.5 does: abnormal is positive, areas by trapezoids."""
    metrics = pytest.importorskip("sklearn.metrics")
    folders = {
        name: noise_folder(tmp_path / name, c, n) for name, c, n in (("a", 100, 30), ("b", 10, 20), ("c", 60, 25))
    }
    against = [f"near/a={folders['a']}", f"far/c={folders['c']}", f"near/b={folders['b']}"]
    fitted = unshaken.detect.fit("demo", "demo", methods, limit=60)
    done = unshaken.detect(
        "demo", "demo", fitted, against=against, shifts=["fog-5"], attacked=False, limit=40, out=tmp_path / "run"
    )
    made = list(csv.DictReader(export(tmp_path, tmp_path / "run", form="openood").splitlines()))
    head = ["dataset", "FPR@95", "AUROC", "AUPR_IN", "AUPR_OUT", "ACC"]
    assert list(made[0]) == (["postprocessor", *head] if len(methods) > 1 else head)
    sets = read_scores(done.run, read_config(done.run)).sets
    right = sets["energy"]["normal"]
    for method in methods:
        lines = [line for line in made if line.get("postprocessor", method) == method]
        assert [line["dataset"] for line in lines] == ["a", "b", "nearood", "c", "farood"]
        expected = list[list[float]]()
        for split in ("near/a", "near/b", "far/c"):
            score = np.concatenate([sets[method]["normal"].values, sets[method][split].values])
            abnormal = np.arange(len(score)) >= 40
            fpr, tpr, _ = metrics.roc_curve(abnormal, score)
            inside = metrics.precision_recall_curve(~abnormal, -score)
            outside = metrics.precision_recall_curve(abnormal, score)
            expected.append([
                fpr[np.argmax(tpr >= 0.95)], metrics.roc_auc_score(abnormal, score), metrics.auc(*inside[1::-1]),
                metrics.auc(*outside[1::-1]), np.mean(right.label == right.prediction),
            ])  # fmt: skip
        near = np.mean(expected[:2], axis=0)
        table = [[float(line[name]) for name in head[1:]] for line in lines]
        assert np.array(table) / 100 == pytest.approx(
            np.array([expected[0], expected[1], near, expected[2], expected[2]]), abs=6e-5
        )


def test_what_cannot_be_exported(attacked, tmp_path, capsys):
    with pytest.raises(ParameterError, match="format 'excel' is not one of eval-results, openood, robustbench, timm"):
        export(tmp_path, attacked, form="excel")
    with pytest.raises(ParameterError, match="give at least one run"):
        export(tmp_path, form="timm")
    with pytest.raises(ParameterError, match="give 1 run, not 2"):
        export(tmp_path, attacked, attacked, form="robustbench")
    with pytest.raises(ParameterError, match="is no data set of the hub: give --dataset OWNER/NAME"):
        export(tmp_path, attacked, form="eval-results")
    with pytest.raises(ParameterError, match="'flat' is no data set of the hub"):
        export(tmp_path, attacked, form="eval-results", dataset="flat")
    with pytest.raises(RunError, match="not a run directory"):
        export(tmp_path, tmp_path, form="timm")
    shutil.copytree(attacked, tmp_path / "bare")
    summary = json.loads((tmp_path / "bare/summary.json").read_text())
    for change, form, message in (
        ({"conditions": []}, "robustbench", "this run has none"),
        ({}, "openood", "no abnormal set with scores: make a run by unshaken detect score"),
        ({"clean": None}, "timm", "no labels"),
        ({"complete": False}, "timm", "the run is not finished"),
    ):
        (tmp_path / "bare/summary.json").write_text(json.dumps(summary | change))
        with pytest.raises(RunError, match=message):
            export(tmp_path, tmp_path / "bare", form=form)
    (tmp_path / "bare/summary.json").unlink()
    with pytest.raises(RunError, match="make it with 'unshaken report"):
        export(tmp_path, tmp_path / "bare", form="timm")
    out = str(tmp_path / "a.csv")
    assert main(["board", "export", str(attacked), "--format", "timm", "--out", out]) == 0
    assert "timm: " in capsys.readouterr().out
    assert main(["board", "export", str(attacked), "--format", "excel", "--out", out + "x"]) == 2
    assert "excel" in capsys.readouterr().err
