"""UAP on a linear model, whose distances are known by hand."""

from __future__ import annotations

import math

import pytest
import torch

import unshaken
from unshaken.attack.gradient.uap import UAP, fit_perturbation, fooling_rate
from unshaken.attack.minimal_norm.deepfool import STABILITY, DeepFool
from unshaken.core import Oracle
from unshaken.core.errors import ParameterError
from unshaken.data.arrays import InMemory


@pytest.fixture
def linear(make):
    """Margins `w.x + b` of grey images, all of class 0: distances 0.1 to 0.5 to the only boundary."""
    w = torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(1))
    length = w.norm()
    model = make.affine(w, -0.5 * float(w.sum()))
    distances = torch.linspace(0.1, 0.5, 5)
    images = 0.5 + distances.view(-1, 1, 1, 1) * w / length
    assert bool(((images > 0) & (images < 1)).all())
    return Oracle(model), w / length, images, distances


def fit(oracle, images, norm, eps, passes=3, seed=0):
    return fit_perturbation(
        oracle, images, norm=norm, eps=eps, search=DeepFool(candidates=2), passes=passes, rate=0.99, seed=seed
    )


def test_it_is_the_move_of_the_image_farthest_from_the_boundary(linear):
    oracle, w, images, _ = linear
    v = fit(oracle, images, "l2", 9.0)
    assert torch.allclose(v / v.norm(), -w, atol=1e-5), "every move is along the one normal"
    assert 0.5 < v.norm() <= 1.02 * (0.5 + 5 * STABILITY)
    assert fooling_rate(oracle, images, v) == 1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_in_a_smaller_ball_it_reaches_those_within(linear, seed):
    oracle, w, images, distances = linear
    v = fit(oracle, images, "l2", 0.35, seed=seed)
    assert torch.allclose(v, -0.35 * w, atol=1e-5)
    assert fooling_rate(oracle, images, v) == (distances < 0.35).double().mean() == 0.6
    v = fit(oracle, images, "linf", 0.05, seed=seed)
    assert torch.allclose(v, -0.05 * w.sign(), atol=1e-6)
    w64, x64 = w.double(), images.double()
    assert fooling_rate(oracle, images, v) == ((x64 - 0.5 + v) * w64).flatten(1).sum(1).lt(0).double().mean()


def measured(images):
    return InMemory((images * 255).round().byte(), torch.zeros(len(images), dtype=torch.int64))


def test_fitted_on_other_images_it_is_measured_on_those_of_the_run(linear, monkeypatch, tmp_path):
    oracle, w, images, _ = linear
    others = 0.5 + torch.tensor([0.25, 0.6]).view(-1, 1, 1, 1) * w
    found = {"near": measured(images[:3])}
    monkeypatch.setattr("unshaken.attack.engine.example_images.load_data", found.__getitem__)
    method = UAP(fit="near", fooling_rate=0.99)
    labels = torch.zeros(2, dtype=torch.int64)
    result = method.perturb(oracle.model, others, labels, norm="l2", eps=9.0)
    assert result.fooled.tolist() == [True, False], "the farthest image that it was fitted on lies at 0.3"
    found = unshaken.attack(
        oracle.model, measured(others), method, norm="l2", eps=[0.15, 1], out=tmp_path / "run", device="cpu",
        allow_large_eps=True,
    )  # fmt: skip
    assert found.accuracy("uap-l2-0.15") == 1, "in a smaller budget it is shorter"
    assert found.accuracy("uap-l2-1") == 0.5
    with pytest.raises(ParameterError, match="fit='near' has images that are measured too: give others"):
        method.perturb(oracle.model, measured(images[:2]).images / 255, labels, norm="l2", eps=0.3)


def test_without_images_of_its_own_it_takes_those_measured_in_any_order(linear):
    oracle, _, images, _ = linear
    labels = torch.zeros(5, dtype=torch.int64)
    result = UAP().perturb(oracle.model, images, labels, norm="l2", eps=0.35)
    assert result.fooled.tolist() == [True, True, True, False, False]
    assert not math.isnan(float(result.distance.sum()))


def test_images_that_cannot_be_read_and_a_search_alone_are_refused(linear, monkeypatch):
    oracle, _, images, _ = linear
    none = InMemory((images[:1] * 255).byte(), bad={0: "it is empty"})
    monkeypatch.setattr("unshaken.attack.engine.example_images.load_data", lambda spec: none)
    with pytest.raises(ParameterError, match="uap: fit='none' has no image that can be read"):
        UAP(fit="none").perturb(oracle.model, images, torch.zeros(5).long(), norm="l2", eps=0.3)
    with pytest.raises(ParameterError, match="it is fitted by attack"):
        UAP().start(None, None)
