"""A pattern of one frequency, and models that look at one band only."""

from __future__ import annotations

import pytest
import torch

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.frequency_sensitivity import BandLimitedPGD, fourier_heat_map, fourier_pattern, pass_curve
from unshaken.attack.engine.problem import Problem
from unshaken.core import Batch, Classifier, Oracle, SampleRng
from unshaken.core.errors import ParameterError
from unshaken.measure.robustness.frequency import energy_inside
from unshaken.models.networks.small import SmallNet
from unshaken.stress.engine.filters import band_pass


def classifier_of(pattern):
    """Class 1 where the images bear a pattern."""

    def predict(images):
        score = (images.double() * pattern).sum((1, 2, 3))
        return torch.stack([torch.full_like(score, 0.5), score], 1)

    return predict


def test_a_pass_curve_finds_the_band_that_counts():
    pattern = fourier_pattern(16, 16, 0, 5)
    labels = torch.arange(40) % 2
    images = 0.5 + labels[:, None, None, None] * pattern.expand(1, 1, 16, 16)
    low = pass_curve(classifier_of(pattern), images, labels, (4, 5))
    high = pass_curve(classifier_of(pattern), images, labels, (4, 5), keep="high")
    assert [low[r].value for r in (4, 5)] == [0.5, 1.0]
    assert [high[r].value for r in (4, 5)] == [1.0, 0.5]
    assert low[4].n == 40
    with pytest.raises(ParameterError, match="keep='middle'"):
        pass_curve(classifier_of(pattern), images, labels, (4,), keep="middle")


@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 0), (-2, 3), (4, 4), (0, -4)])
def test_a_pattern_has_one_frequency_and_norm_one(row, column):
    pattern = fourier_pattern(8, 8, row, column)
    assert torch.linalg.vector_norm(pattern).item() == pytest.approx(1)
    power = torch.fft.fft2(pattern).abs().square()
    assert {(int(r), int(c)) for r, c in (power > 1e-9).nonzero()} == {
        (row % 8, column % 8),
        (-row % 8, -column % 8),
    }


def test_a_heat_map_is_hot_where_the_model_looks():
    pattern = fourier_pattern(8, 8, 1, 2)
    images, labels = torch.full((200, 1, 8, 8), 0.5), torch.zeros(200, dtype=torch.int64)
    heat = fourier_heat_map(classifier_of(pattern), images, labels, norm=0.8)
    hot = {(int(r) - 4, int(c) - 4) for r, c in (heat > 0).nonzero()}
    assert {(1, 2), (-1, -2)} == hot
    assert heat.shape == (9, 9)
    assert heat[5, 6].item() == pytest.approx(0.5, abs=0.1)  # one of the two signs fools
    assert torch.equal(heat, fourier_heat_map(classifier_of(pattern), images, labels, norm=0.8))
    ids = [str(i) for i in range(200)]
    part = fourier_heat_map(classifier_of(pattern), images[:50], labels[:50], norm=0.8, ids=ids[:50], radius=2)
    assert part.shape == (5, 5)
    with pytest.raises(ParameterError, match="norm=0"):
        fourier_heat_map(classifier_of(pattern), images, labels, norm=0)
    with pytest.raises(ParameterError, match="0 to 4"):
        fourier_heat_map(classifier_of(pattern), images, labels, norm=1, radius=5)


def test_images_stay_in_the_unit_range():
    shown = []

    def predict(images):
        shown.append(images)
        return torch.zeros(len(images), 2)

    bright, dark = torch.ones(3, 1, 8, 6), torch.zeros(3, 1, 8, 6)
    labels = torch.zeros(6, dtype=torch.int64)
    checks = torch.cat([bright, dark])
    checks[..., ::2, :] = 1 - checks[..., ::2, :]
    fourier_heat_map(predict, checks, labels, norm=3.0, radius=1)
    pass_curve(predict, checks, labels, (1,), keep="high")
    for images in shown:
        assert 0 <= float(images.min()) < 1e-6
        assert 1 - 1e-6 < float(images.max()) <= 1


def test_a_map_of_wide_images_goes_as_far_as_their_short_side():
    images, labels = torch.full((4, 1, 8, 6), 0.5), torch.zeros(4, dtype=torch.int64)
    pattern = fourier_pattern(8, 6, 3, 1)
    power = torch.fft.fft2(pattern).abs().square()
    assert {(int(r), int(c)) for r, c in (power > 1e-9).nonzero()} == {(3, 1), (5, 5)}
    heat = fourier_heat_map(classifier_of(pattern), images, labels, norm=0.8)
    assert heat.shape == (7, 7)
    assert fourier_heat_map(classifier_of(pattern), images, labels, norm=0.8, radius=0).shape == (1, 1)
    with pytest.raises(ParameterError, match="radius=-1 must be 0 to 3"):
        fourier_heat_map(classifier_of(pattern), images, labels, norm=0.8, radius=-1)


def test_signs_follow_the_seed_and_the_ids():
    """About half of the images are fooled: which ones, and so how many, goes by their names and the seed."""
    pattern = fourier_pattern(8, 8, 1, 2)
    images, labels = torch.full((40, 1, 8, 8), 0.5), torch.zeros(40, dtype=torch.int64)

    def hot(**options):
        return fourier_heat_map(classifier_of(pattern), images, labels, norm=0.8, radius=2, **options)[3, 4].item()

    assert hot() == hot(seed=0) == hot(ids=[str(i) for i in range(40)])
    assert len({hot(seed=s) for s in range(6)}) > 1
    assert len({hot(ids=[f"{s}{i}" for i in range(40)]) for s in "abcdef"}) > 1


@pytest.mark.parametrize(("low", "high"), [(-1.0, 2.0), (4.0, 99.0)])
def test_it_keeps_to_its_band(low, high):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Classifier(SmallNet(3, 1, 16), mean=[0.4], std=[0.3]).eval()
    images = 0.4 + 0.2 * torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    batch = Batch(images, model(images).argmax(1), tuple("abcdef"))
    attack = BandLimitedPGD(steps=4, rel_stepsize=0.1, low=low, high=high)
    (found,), _ = attack.attack(Oracle(model), batch, norm="l2", eps=[0.5])
    delta = (found.images - batch.images)[found.distance > 0]
    assert len(delta)
    inside = energy_inside(delta, 2.0) if low < 0 else 1 - energy_inside(delta, 4.0)
    assert inside.min() > 0.999
    assert found.distance.max() <= 0.5 * (1 + 1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_goes_where_a_plain_loop_goes(make, norm):
    net = make.net(classes=3)
    net.net.rounded = False
    x0 = 0.3 + 0.4 * make.images(1, 1, 8, 8).double()
    y, eps = net(x0).argmax(1), {"linf": 0.1, "l2": 0.6}[norm]
    ball, rng = Ball.of(x0, torch.tensor([eps], dtype=torch.float64), norm), SampleRng.of(0, "pgd", ["a"])
    attack = BandLimitedPGD(steps=5, rel_stepsize=0.3, low=0.5, high=2.0)
    got = make.points(attack, net, Problem(ball, y, False, net(x0).detach()), rng)
    x = ball.project(x0 + band_pass(ball.random_point(rng) - x0, 0.5, 2.0))
    expected = [x]
    for _ in range(5):
        x = x.detach().requires_grad_(True)
        (g,) = torch.autograd.grad(torch.nn.functional.cross_entropy(net(x), y), x)
        s = g.sign() if norm == "linf" else g / g.norm()
        x = ball.project(x0 + band_pass(x.detach() + 0.3 * eps * s - x0, 0.5, 2.0))
        expected.append(x)
    assert len(got) == 6
    for a, b in zip(got, expected, strict=True):
        assert torch.allclose(a, b, atol=1e-9)
    assert float((expected[0] - expected[-1]).abs().max()) > 0.01
