"""Against the values of the paper's analysis, formulas, and drawn noise."""

import math

import numpy as np
import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.tasks.bev.loss_noise import crossings, gradient, loss_noise

TABLE = [
    ("l1", 1, 4, 1.0), ("l2", 1, 4, 1.0), ("smooth-l1", 1, 4, 0.5161), ("dice", 1, 1, 0.68269), ("dice", 1, 4, 0.06250),
    ("dice", 1, 12, 0.0069444), ("iou", 1, 4, 0.13791), ("iou", 1, 12, 0.02192), ("smooth-l1", 2, 4, 0.7405),
    ("dice", 2, 1, 0.38292), ("dice", 2, 4, 0.05966), ("dice", 2, 12, 0.0069444), ("dice", 3, 4, 0.05110),
    ("log-depth", 1, 4, 2.0305), ("log-depth", 2, 4, 1.1431), ("log-depth", 3, 4, 0.7973),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "sigma", "length", "wanted"), TABLE)
def test_variances_are_those_of_the_table_and_of_formulas(loss, sigma, length, wanted):
    found = loss_noise(loss, sigma, length)
    assert found.variance == pytest.approx(wanted, rel=3e-4)
    if found.closed_form is not None:
        assert found.variance == pytest.approx(found.closed_form, rel=1e-9)


def test_drawn_noise_agrees_with_the_integral():
    noise = np.random.default_rng(0).normal(size=20_000)
    for loss in ("dice", "iou", "log-depth"):
        drawn = loss_noise(loss, 2.0, 4.0, noise=noise)
        assert abs(drawn.variance - loss_noise(loss, 2.0, 4.0).variance) < 4 * drawn.error
        assert drawn.closed_form is None


@pytest.mark.parametrize(("length", "sigma"), [(1, 0.866810), (2, 0.499984), (4, 0.25), (12, 0.083333)])
def test_dice_crosses_l2(length, sigma):
    assert crossings("dice", "l2", length) == pytest.approx([sigma], abs=1e-6)


@pytest.mark.parametrize(("length", "sigma"), [(0.8, 0.874), (0.5, 1.569)])
def test_dice_crosses_l1_for_short_objects_alone(length, sigma):
    assert crossings("dice", "l1", length) == pytest.approx([sigma], abs=1e-3)
    assert crossings("dice", "l1", 1.0) == []


def test_efficiency_does_not_depend_on_the_scale_of_a_loss():
    for sigma in (0.5, 2.0):
        assert loss_noise("l2", sigma).efficiency == pytest.approx(1 / sigma**2, rel=1e-9)
        assert loss_noise("l1", sigma).efficiency == pytest.approx(2 / (math.pi * sigma**2), rel=1e-9)
    assert loss_noise("dice", 0.5, 12).efficiency == pytest.approx(loss_noise("l1", 0.5).efficiency, rel=1e-6)
    scaled = loss_noise(lambda eta, length: 7 * eta.abs(), 2.0)
    assert scaled.variance == pytest.approx(49)
    assert scaled.efficiency == pytest.approx(loss_noise("l1", 2.0).efficiency)


def test_formulas_are_those_of_gaussian_noise_alone():
    assert loss_noise("dice", 1.0).closed_form == pytest.approx(0.0625, rel=3e-3)
    assert loss_noise("dice", 1.0, noise="t").closed_form is None


def test_any_loss_will_do_with_kinks_of_its_own():
    def dead_zone(eta, length):
        return torch.relu(eta.abs() - 0.7)

    outside = 1 - math.erf(0.7 / math.sqrt(2))
    assert loss_noise(dead_zone, 1.0, kinks=[0.7]).variance == pytest.approx(outside, rel=1e-9)


def test_heavy_tails_leave_l2_without_a_variance():
    assert loss_noise("l2", 1.0, noise="t").variance == math.inf
    assert loss_noise("l1", 1.0, noise="t").variance == pytest.approx(1)
    assert loss_noise("smooth-l1", 1.0, noise="t").variance < 1


def test_gradients_vanish_where_segments_no_longer_meet():
    for loss in ("dice", "iou"):
        np.testing.assert_array_equal(gradient(loss, np.array([-4.5, 4.5]), 4.0), 0)
    np.testing.assert_allclose(gradient("iou", np.array([1.0, -2.0]), 4.0), [8 / 25, -8 / 36])


def test_what_is_wrong_is_named():
    with pytest.raises(ParameterError, match=r"no loss 'dise'.*dice"):
        loss_noise("dise", 1.0)
    with pytest.raises(ParameterError, match="sigma=0"):
        loss_noise("l1", 0)
    with pytest.raises(ParameterError, match="no noise 'cauchy'"):
        loss_noise("l1", 1.0, noise="cauchy")
    with pytest.raises(ParameterError, match="at least two numbers"):
        loss_noise("l1", 1.0, noise=[1.0])
