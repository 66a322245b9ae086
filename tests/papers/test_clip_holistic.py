"""The rules by hand, captions and pictures of the experiment, and figures against rows."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from tests.papers.tiny import Tiny, make_tints
from unshaken.core.batch import Batch
from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng
from unshaken.papers import run_paper
from unshaken.papers.claim import judge_parts
from unshaken.store.run_dir import RunDir
from unshaken_papers.clip_holistic import FACTORS, ZERO_SHOT, ClipHolisticPaper
from unshaken_papers.clip_holistic.experiment import CAPTIONED, TEMPLATES
from unshaken_papers.clip_holistic.figures import scores
from unshaken_papers.clip_holistic.nets import ATTRIBUTES, DescribedImages, Headed, shrunk
from unshaken_papers.clip_holistic.pictures import conflicting, with_factor

TINY = Tiny(
    make=make_tints,
    patches={"unshaken_papers.clip_holistic.experiment.OTHERS": ()},
)
"""How the battery runs the row, beside its tiny sizes."""


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


MEASURED = {
    "line": figure(0.9),
    "ece": {"halved": figure(0.02), "mild": figure(0.03), "strong": figure(0.01), "mild_less_strong": figure(0.02)},
    "prompts": figure(0.02),
    "shape_lost": figure(0.05),
    "seed0": {
        "gain": figure(0.1), "cost": figure(0.05),
        "base": {"clean": figure(0.5), "abnormal": {"noise": figure(0.1), "fashion-mnist": figure(0.9)}},
    },
}  # fmt: skip


def outcomes(measured):
    paper = ClipHolisticPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown():
    found = outcomes(MEASURED)
    assert {name for name, outcome in found.items() if outcome != "shown"} == {"3d", "language-model"}
    assert ClipHolisticPaper().remark(MEASURED) == "The first model's zero-shot accuracy is 50.0%."


@pytest.mark.parametrize(
    ("path", "part", "small", "opposed"),
    [
        (("line",), "line", 0.8, -0.5),
        (("ece", "halved"), "calibrated", 0.005, -0.02),
        (("ece", "mild"), "carries-over", 0.005, -0.02),
        (("ece", "mild_less_strong"), "less-on-strong", 0.005, -0.02),
        (("prompts",), "prompts", 0.005, -0.02),
        (("shape_lost",), "shape", 0.005, -0.02),
        (("seed0", "gain"), "gain", 0.005, -0.02),
        (("seed0", "cost"), "cost", 0.005, -0.02),
        (("seed0", "base", "abnormal", "fashion-mnist"), "abnormal", 0.8, 0.3),
    ],
)
def test_one_figure_decides_a_part(path, part, small, opposed):
    for value, outcome in ((small, "not visible at this scale"), (opposed, "contradicted")):
        measured = copy.deepcopy(MEASURED)
        place = measured
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = figure(value)
        assert outcomes(measured)[part] == outcome


class FakeStep:
    def __init__(self, images):
        self.images, self.extra = images, {}
        self.rng = SampleRng.of(0, "step", [str(i) for i in range(len(images))])


@pytest.mark.parametrize("styled", [False, True])
def test_captions_say_what_augmentation_did(styled):
    captions = torch.zeros(2, CAPTIONED * len(ATTRIBUTES), 4)
    images = torch.rand(200, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    step = FakeStep(images)
    DescribedImages(captions=captions, styled=styled).augment(step)
    which = step.extra["caption"]
    assert int(which.max()) < captions.shape[1]
    told = [ATTRIBUTES[i % len(ATTRIBUTES)] for i in which.tolist()]
    is_grey = (step.images == step.images[:, :1]).flatten(1).all(1)
    corner = step.images[:, :, :4, :4].flatten(2)  # wider than what a crop leaves black
    is_small = (corner == corner[:, :, :1]).flatten(1).all(1)
    assert [("grey" in t) for t in told] == is_grey.tolist()
    assert [("small" in t) for t in told] == is_small.tolist()
    assert 0.15 < np.mean(is_grey.tolist()) < 0.35
    assert len(set((which // len(ATTRIBUTES)).tolist())) == CAPTIONED


def test_pictures_of_factors_keep_their_form_and_change_what_they_say():
    images = torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    for factor in FACTORS:
        found = with_factor(images, factor)
        assert found.shape == images.shape
        assert float(found.min()) >= 0
        assert float(found.max()) <= 1
        assert not torch.equal(found, images)
    assert torch.equal(with_factor(images, "partial")[:, :, :, 6:], images[:, :, :, :6])
    mixed = with_factor(images, "shuffled")
    assert torch.equal(mixed.flatten(1).sort().values, images.flatten(1).sort().values)
    assert shrunk(images)[0, 0, 3:9, 3:9].mean() == pytest.approx(images[0, 0].mean().item(), abs=1e-5)
    batch = Batch(images, torch.tensor([0, 1, 0, 1]), ("a", "b", "c", "d"))
    filled, texture = conflicting(batch, 0)
    assert (texture != batch.labels).all()
    assert filled.images.shape == images.shape


def test_a_head_begins_as_the_zero_shot_classifier():
    weights = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    net = Headed(torch.nn.Flatten(), weights)
    images = torch.rand(2, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    expected = torch.nn.functional.normalize(images.flatten(1), dim=1) @ weights.T
    assert torch.allclose(net(images), expected, atol=1e-6)


def test_scores_are_those_of_raw_cosines():
    assert scores(np.array([[3.0, 2.0, 1.0]]), 10.0)[0] == pytest.approx(1 - 0.36717, abs=5e-6)
    assert len(set(TEMPLATES)) == 32


def test_figures_are_those_of_rows(finished):
    run = finished("clip-holistic")
    rows = RunDir(run.out).rows("outcomes").to_pylist()
    right = [r["correct"] for r in rows if r["condition"] == "seed0.base.clean"]
    assert run.result.measured["seed0.base.clean"]["value"] == pytest.approx(np.mean(right))
    mean = [np.mean([run.result.measured[f"seed0.{arm}.{f}"]["value"] for f in FACTORS]) for arm in ZERO_SHOT]
    overall = [run.result.measured[f"seed0.{arm}.clean"]["value"] for arm in ZERO_SHOT]
    if np.ptp(mean) and np.ptp(overall):
        assert run.result.measured["line"]["value"] == pytest.approx(np.corrcoef(overall, mean)[0, 1])
    assert not any(r["condition"].endswith("choosing") and "prompts" in r["condition"] for r in rows)


def test_a_model_of_the_users_is_refused(tints, tmp_path):
    with pytest.raises(ParameterError, match=r"takes no model .*holistic"):
        run_paper("clip-holistic", data=tints, model="demo:standard", out=tmp_path / "run")
