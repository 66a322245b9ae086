"""Model and detector as one classifier, by hand."""

from __future__ import annotations

import pytest
import torch

from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Detector
from unshaken.detect.engine.detector_set import DetectorSet
from unshaken.detect.engine.guard import guard
from unshaken.detect.engine.screen import FittedDetector
from unshaken.detect.scores.energy import Energy
from unshaken.detect.scores.odin import ODIN
from unshaken.detect.scores.rigid import RIGID


def door_of(toy, method: Detector, calibration) -> DetectorSet:
    fitted = FittedDetector(method, {}, torch.as_tensor(calibration, dtype=torch.float64))
    return DetectorSet(toy, Anatomy.of(toy, torch.rand(2, 3, 4, 4)), {method.info.name: fitted}, {})


def test_the_rejection_wins_exactly_where_the_score_is_above_threshold(toy):
    detector_set = door_of(toy, Energy(), torch.linspace(-4, -3, 99))
    at = detector_set.threshold("energy").value
    images = torch.rand(200, 3, 4, 4)
    behind = guard(detector_set, "energy")
    logits = behind(images)
    score = detector_set.score(images)["energy"]
    assert behind.reject == 3
    assert torch.equal(logits.argmax(1) == 3, score > at)
    assert 0 < int((score > at).sum()) < 200
    fit_data = score <= at
    assert torch.equal(logits[fit_data, :3], toy(images)[fit_data])
    spread = torch.linspace(-4, -3, 99).double().std()
    want = toy(images).amax(1) + (score - at) / spread
    assert torch.allclose(logits[:, 3].double(), want.double(), atol=1e-4)


def test_the_gradient_of_the_rejection_is_that_of_the_score(toy):
    detector_set = door_of(toy, Energy(), torch.linspace(-4, -3, 99))
    x = torch.rand(3, 3, 4, 4).requires_grad_(True)
    logits = guard(detector_set, "energy")(x)
    (got,) = torch.autograd.grad((logits[:, 3] - logits[:, :3].amax(1)).sum(), x)
    score = -toy(x).double().logsumexp(1)
    (want,) = torch.autograd.grad(score.sum() / torch.linspace(-4, -3, 99).double().std(), x)
    assert torch.allclose(got.double(), want.double(), atol=1e-5)


def test_through_a_step_of_the_image_the_gradient_goes_straight(toy):
    detector_set = door_of(toy, ODIN(temperature=1.0, eps=0.01), torch.linspace(0, 0.5, 99))
    x = torch.rand(3, 3, 4, 4).requires_grad_(True)
    logits = guard(detector_set, "odin")(x)
    (got,) = torch.autograd.grad((logits[:, 3] - logits[:, :3].amax(1)).sum(), x)
    assert bool((got != 0).any())
    moved = (
        x.detach()
        - 0.01
        * torch.autograd.grad(torch.nn.functional.cross_entropy(toy(x), toy(x).argmax(1), reduction="sum"), x)[0].sign()
    )
    y = moved.requires_grad_(True)
    score = 1 - toy(y).double().softmax(1).amax(1)
    (want,) = torch.autograd.grad(score.sum() / torch.linspace(0, 0.5, 99).double().std(), y)
    assert torch.allclose(got.double(), want.double(), atol=1e-5)


def test_names_and_reject_class_are_told(toy):
    detector_set = door_of(toy, Energy(), torch.linspace(-4, -3, 99))
    toy.classes = ("a", "b", "c")
    assert guard(detector_set, "energy").classes == ("a", "b", "c", "rejected")


@pytest.mark.parametrize(("calibration", "spread"), [([-3.5], 1.0), ([-3.0, -3.0], 1e-9), ([-3.0, -5.0], 2**0.5)])
def test_the_spread_of_few_or_equal_scores_stays_usable(toy, calibration, spread):
    detector_set = door_of(toy, Energy(), calibration)
    behind = guard(detector_set, "energy", 0.5)
    assert behind.net.spread == pytest.approx(spread)
    images = torch.rand(4, 3, 4, 4)
    logits, score = behind(images).double(), detector_set.score(images)["energy"]
    away = ((score - behind.net.threshold) / spread).clamp(-1e4, 1e4)
    assert torch.allclose(logits[:, 3] - logits[:, :3].amax(1), away, rtol=1e-5, atol=1e-2)


def test_draws_are_the_same_for_every_image_and_pass(toy):
    detector_set = door_of(toy, RIGID(sigma=0.2), torch.linspace(0, 0.1, 99))
    image = torch.rand(1, 3, 4, 4)
    behind = guard(detector_set, "rigid")
    one, three = behind(image), behind(image.expand(3, -1, -1, -1))
    assert torch.allclose(three, one.expand(3, -1), atol=1e-5)
    assert torch.equal(behind(image), one)
