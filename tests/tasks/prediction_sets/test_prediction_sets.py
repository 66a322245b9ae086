"""`unshaken evaluate prediction-sets`: sets by hand, coverage under a shift, a resume, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import special
from torch import nn

import unshaken
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ParameterError
from unshaken.data.arrays import InMemory
from unshaken.measure.statistics.paired import compare
from unshaken.tasks.prediction_sets.prediction_sets import PredictionSets

N = 160
LABELS = torch.arange(N) % 3
NOISE = torch.randint(0, 120, (N, 1, 8, 8), generator=torch.Generator().manual_seed(0))
IMAGES = (NOISE + 40 * LABELS.view(-1, 1, 1, 1)).byte()
DATA = InMemory(IMAGES, LABELS, classes=("low", "mid", "high"))
PLAN = "- {method: brightness, severities: [5]}\n"


class Nearest(nn.Module):
    """Logits by the distance of an image's mean from that of each class."""

    def forward(self, images):
        return -300 * (images.mean((1, 2, 3))[:, None] - (60 + 40 * torch.arange(3)) / 255) ** 2


MODEL = Classifier(Nearest(), classes=["low", "mid", "high"])


def evaluate(out, data=DATA, *, resume=False, **values):
    return unshaken.evaluate(PredictionSets(**values), MODEL, data, out=out, resume=resume, device="cpu")


def sets_of(run, condition):
    table = run.rows("prediction_sets", condition=condition)
    return {row["id"]: row for row in table.to_pylist()}


def test_sets_are_those_of_a_threshold_by_hand_and_a_shift_is_shown(tmp_path):
    (tmp_path / "plan.yaml").write_text(PLAN)
    found = evaluate(tmp_path / "run", score="lac", plan=str(tmp_path / "plan.yaml"))
    rows, figures = sets_of(found.run, "clean"), found.summary["figures"]
    with torch.no_grad():
        p = special.softmax(Nearest()(IMAGES.float() / 255).double().numpy(), axis=1)
    truth = LABELS.numpy()
    fitted = [i for i in range(N) if str(i) not in rows]
    assert found.summary["extra"]["calibrated_on"] == len(fitted) == N - len(rows)
    scores = np.sort(1 - p[fitted, truth[fitted]])
    threshold = scores[int(np.ceil((len(fitted) + 1) * 0.9)) - 1]
    for id, row in rows.items():
        expected = [k for k in range(3) if 1 - p[int(id), k] <= threshold + 1e-6]
        assert [int(k) for k in row["classes"].split()] == expected
        assert (row["size"], row["covered"]) == (len(expected), int(truth[int(id)]) in expected)
    shifted = sets_of(found.run, "brightness-5")
    before, after = ([table[i]["covered"] for i in rows] for table in (rows, shifted))
    lost = compare(after, before).difference
    assert figures["coverage_loss_brightness-5"]["value"] == pytest.approx(lost.value)
    assert figures["coverage_loss_brightness-5"]["low"] == pytest.approx(lost.low)
    assert figures["coverage_loss_brightness-5"]["low"] > 0.3
    assert "under 1 of 1 conditions the whole interval lies below the promise" in found.summary["answer"][2]
    again = evaluate(tmp_path / "run", score="lac", plan=str(tmp_path / "plan.yaml"), resume=True)
    assert again.summary["figures"] == figures


def test_sets_by_class_have_a_threshold_each_and_keep_a_rare_class_whole(tmp_path):
    rare = InMemory(
        torch.cat([IMAGES[LABELS < 2], IMAGES[2:12:3]]), torch.cat([LABELS[LABELS < 2], LABELS[2:12:3]]),
        classes=("low", "mid", "high"),
    )  # fmt: skip
    found = evaluate(tmp_path / "run", rare, by="class", random=False)
    assert found.summary["extra"]["thresholds"][2] is None
    assert "1 of 3 classes have fewer than 9 calibration images" in found.summary["remarks"][0]
    assert all("2" in row["classes"].split() for row in sets_of(found.run, "clean").values())


def test_a_score_of_ones_own_is_one_method(tmp_path):
    class Margin(PredictionSets):
        def scores(self, logits, draws):
            return logits.max(1, keepdims=True) - logits

    Margin.info = PredictionSets.info
    found = unshaken.evaluate(Margin(), MODEL, DATA, out=tmp_path / "run", device="cpu")
    assert all(row["size"] >= 1 for row in sets_of(found.run, "clean").values())
    assert found.summary["figures"]["coverage_clean"]["high"] > 0.9


def test_what_does_not_fit_is_refused(tmp_path):
    (tmp_path / "plan.yaml").write_text("- {method: smoothing}\n")
    with pytest.raises(ParameterError, match="name corruptions and attacks"):
        evaluate(tmp_path / "a", plan=str(tmp_path / "plan.yaml"))
    with pytest.raises(ParameterError, match="no plan 'nothing'"):
        evaluate(tmp_path / "b", plan="nothing")
    with pytest.raises(DataError, match="give 20 of each at least"):
        evaluate(tmp_path / "c", InMemory(IMAGES[:24], LABELS[:24], classes=("low", "mid", "high")))


def test_samples_that_cannot_be_used_are_named(tmp_path):
    labels = LABELS.clone()
    labels[5] = 9
    found = evaluate(tmp_path / "run", InMemory(IMAGES, labels, classes=("low", "mid", "high")))
    assert [one["id"] for one in found.summary["bad_samples"]] == ["5"]


def test_other_images_calibrate(tmp_path):
    found = unshaken.evaluate(
        PredictionSets(calibration="demo"), "demo", "demo", limit=60, out=tmp_path / "run", device="cpu"
    )
    assert found.summary["extra"]["calibrated_on"] == found.summary["figures"]["coverage_clean"]["n"] == 60
