"""A model that gives NaN is wrong in every verb, and no gate holds unless one allows it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import unshaken
from unshaken.core import Batch, Classifier
from unshaken.core.part import CLEAN
from unshaken.detect.engine.rows import answers, scores
from unshaken.detect.engine.screen import DetectorScores
from unshaken.harden.engine.checks import Check

FEW = 12
VOTES = "sigma=0.25,n=20,n0=5,alpha=0.05"


class Broken(nn.Module):
    """Class 0 by a wide margin, and NaN for images whose mean is at least `brightest`."""

    def __init__(self, brightest: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Flatten()
        self.head = nn.Linear(784, 10)
        self.brightest = brightest
        with torch.no_grad():
            self.head.weight.mul_(1e-3)
            self.head.bias.copy_(torch.eye(10)[0] * 9)

    def forward(self, images):
        logits = self.head(self.body(images))
        return torch.where(images.mean((1, 2, 3))[:, None] >= self.brightest, torch.nan, logits)


@pytest.fixture
def options(tmp_path):
    return {"limit": FEW, "out": tmp_path / "run", "workers": 1, "save_examples": 0}


def outcomes_of(done):
    return done.run.rows("outcomes").to_pylist()


def test_a_model_of_nan_is_never_right_and_no_gate_holds(options):
    plan = [{"method": "gaussian_noise", "severities": [1]}]
    gates = ["clean.accuracy >= 0", "gaussian_noise.accuracy <= 1"]
    done = unshaken.audit(Broken(), "demo", plan, gates=gates, **options)
    assert done.summary["clean"]["value"] == 0
    assert [c["accuracy"]["value"] for c in done.summary["conditions"]] == [0]
    assert [c["consistency"]["value"] for c in done.summary["conditions"]] == [0]
    assert done.summary["aggregates"]["non_finite"]["value"] == 1
    assert done.summary["complete"]
    assert {c["clean"]["value"] for c in done.summary["classes"]} == {0.0}
    assert {one["wrong"] for one in done.summary["confusion"]} == {FEW}
    assert {pair["predicted_name"] for one in done.summary["confusion"] for pair in one["pairs"]} == {"no class (NaN)"}
    assert {row["prediction"] for row in outcomes_of(done)} == {-1}
    assert not done.held
    (failed,) = [g for g in done.gates if not g.held]
    assert failed.text == "non_finite == 0"
    assert failed.detail.startswith(f"{FEW} of {FEW} samples got NaN or infinite outputs")
    assert "non_finite == 0" in (options["out"] / "junit.xml").read_text()


@pytest.mark.parametrize(("share", "held"), [("1", True), ("0.01", False)])
def test_a_gate_may_allow_a_share_of_them(share, held, options):
    gates = ["clean.accuracy >= 0", f"non_finite <= {share}"]
    done = unshaken.audit(Broken(0.3), "demo", [], gates=gates, **options)
    assert 0 < done.summary["aggregates"]["non_finite"]["value"] < 1
    assert done.held is held
    assert len(done.gates) == 2


def test_images_of_nan_are_bad_samples_of_maps_and_the_others_are_explained(tmp_path):
    found = unshaken.explain(
        Broken(0.3), "demo", "occlusion:patch=0.5,stride=14", limit=FEW, out=tmp_path / "maps", workers=1
    )
    bad = {one.id: one.reason for one in found.bad_samples}
    assert 0 < len(bad) < FEW
    assert "the model gives NaN or infinite values for it" in bad.values()
    rows = found.run.rows("attributions").to_pylist()
    assert {r["id"] for r in rows if r["error"]} == set(bad)
    assert len(rows) == FEW
    assert all(r["prediction"] == 0 for r in rows if not r["error"])
    (found_of,) = found.summary.found.values()
    expected = f"flag non-finite: the model gives NaN or infinite values for {len(bad)} of {FEW} samples"
    assert found_of.remarks[0].startswith(expected)


def test_maps_of_a_model_of_nan_are_none_and_say_so(tmp_path):
    found = unshaken.explain(Broken(), "demo", "occlusion", limit=4, out=tmp_path / "maps", workers=1)
    assert len(found.bad_samples) == 4


def test_finite_outputs_get_no_further_gate(options):
    done = unshaken.audit(Broken(2.0), "demo", [], gates=["clean.accuracy >= 0"], **options)
    assert [g.text for g in done.gates] == ["clean.accuracy >= 0"]
    assert done.held


@pytest.mark.parametrize("attack", ["pgd:steps=1", "square:queries=2", "deepfool:steps=1", "hop-skip-jump:steps=1"])
def test_under_attack_they_are_wrong_from_the_start(attack, options):
    norm = {"norm": "l2", "eps": 0.5} if attack[0] in "dh" else {"eps": 0.1}
    done = unshaken.attack(Broken(), "demo", attack, **norm, **options)
    rows = [r for r in outcomes_of(done) if r["condition"] != "clean" and r["eps"]]
    assert len(rows) >= FEW
    assert not any(r["correct"] for r in rows)
    assert {r["broken_by"] for r in rows} == {"clean"}


@pytest.mark.parametrize("method", ["smoothing", "dual-smoothing", "smoothing-sequential"])
def test_noisy_copies_without_an_answer_certify_nothing(method, options):
    done = unshaken.certify(Broken(), "demo", f"{method}:{VOTES}", attacked=False, **options)
    rows = done.run.rows("certificates").to_pylist()
    assert len(rows) == FEW
    assert all(r["abstained"] and r["radius"] == 0 for r in rows)
    assert all("NaN" in r["reason"] for r in rows)
    assert not any(r["correct"] for r in outcomes_of(done))


def test_two_models_are_compared_by_right_answers(options, tmp_path):
    runs = [
        unshaken.audit(net, "demo", [], **{**options, "out": tmp_path / name}).run
        for name, net in (("fine", Broken(2.0)), ("broken", Broken()))
    ]
    found = unshaken.compare(*runs).runs[0].conditions[0]
    assert found.baseline.value > 0
    assert found.candidate.value == 0


def test_validation_of_a_training_counts_them_as_wrong():
    held = Batch(torch.rand(4, 1, 28, 28), torch.zeros(4, dtype=torch.int64), tuple("abcd"))
    model = Classifier(Broken())
    figures = Check(held, held, None, attacked=4, steps=1, seed=0)(model, model)
    assert figures["held_accuracy"] == 0


def test_an_accepted_sample_without_an_answer_is_not_right():
    batch = Batch(torch.rand(2, 1, 4, 4), torch.zeros(2, dtype=torch.int64), ("a", "b"))
    cost = torch.zeros(2)
    scored = DetectorScores(torch.zeros(2), cost.long(), cost.long(), cost)
    detector = SimpleNamespace(calibration=torch.zeros(1))
    logits = torch.tensor([[1.0, 0.0], [torch.nan, 0.0]])
    columns = answers(CLEAN, batch, scored, detector, 1.0, logits).columns
    assert columns["prediction"].tolist() == [0, -1]
    assert columns["correct"].tolist() == [True, False]
    rows = scores(CLEAN, "d", batch, scored, split="normal", threshold=1.0, logits=logits)
    assert rows.columns["prediction"].tolist() == [0, -1]
