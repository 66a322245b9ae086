"""The end of early learning: the card's numbers, computed elsewhere with scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unshaken.labels.correct.early_learning import Curve, count_unlearned, fit_curve, has_started, start_of_correction


def sampled(a, b, c, x):
    return a * (1 - np.exp(-(np.asarray(x, float) ** b) / c))


def published_grid(n):
    return np.linspace(0, n, n)


@pytest.mark.parametrize(("c", "crossing", "start"), [(3, 7.908, 8), (6, 14.816, 15)])
def test_an_exponential_curve_has_its_start_in_closed_form(c, crossing, start):
    assert 1 + c * math.log(10) == pytest.approx(crossing, abs=1e-3)
    change = Curve(0.8, 1.0, c).relative_change(20)
    assert change == pytest.approx(1 - np.exp(-np.arange(20) / c), abs=1e-12)
    values = sampled(0.8, 1.0, c, published_grid(30))
    assert start_of_correction(values, skip=False) == start


def test_the_relative_change_of_c_3():
    change = Curve(0.7, 1.0, 3.0).relative_change(9)
    assert change[[4, 7, 8]] == pytest.approx([0.7364, 0.9030, 0.9305], abs=5e-5)


@pytest.mark.parametrize(("curve", "start"), [((0.7, 0.7, 2.0), 9), ((0.9, 0.5, 1.0), 6)])
def test_a_curve_without_noise_is_found_again(curve, start):
    values = sampled(*curve, published_grid(20))
    found = fit_curve(values)
    assert (found.a, found.b, found.c) == pytest.approx(curve, abs=1e-4)
    assert start_of_correction(values, skip=False) == start


def test_the_grid_matters():
    values = sampled(0.8, 1.0, 3.0, np.arange(1, 21))
    published, epochs = fit_curve(values), fit_curve(values, "epochs")
    assert (published.a, published.b, published.c) == pytest.approx((0.803, 0.758, 1.736), abs=2e-3)
    assert (epochs.a, epochs.b, epochs.c) == pytest.approx((0.8, 1.0, 3.0), abs=1e-3)
    assert start_of_correction(values, skip=False) == 7
    assert start_of_correction(values, skip=False, grid="epochs") == 8


def test_epochs_before_a_class_is_learned_are_left_out():
    values = [0, 0.01, 0.02, *sampled(0.8, 1.0, 3.0, np.arange(1, 21))]
    assert count_unlearned(values) == 2
    found = fit_curve(values[2:])
    assert (found.a, found.b, found.c) == pytest.approx((0.8, 1.0, 3.149), abs=2e-3)
    assert start_of_correction(values, epochs=40) == 11


def test_a_slow_class_is_corrected_all_the_same():
    values = sampled(0.8, 0.5, 4.0, np.arange(1, 41))
    assert np.diff(values).max() == pytest.approx(0.061, abs=1e-3)
    assert count_unlearned(values, learned=None) == 39  # down to the last point, as published
    assert start_of_correction(values, epochs=40, learned=None) is None
    assert count_unlearned(values) == 0
    assert start_of_correction(values, epochs=40) < 39


def test_two_points_and_broken_curves_tell_nothing():
    assert fit_curve([0.1, 0.5]) is None
    assert start_of_correction([0.1, 0.5]) is None
    assert fit_curve([0.2, np.nan, 0.3, 0.4]) is None
    assert start_of_correction(np.zeros(8)) is None


def test_values_above_one_are_taken_for_no_change():
    steeper = Curve(0.8, 0.5, 1e-2)
    assert (steeper.relative_change(5) <= 1).all()


def test_a_class_starts_after_the_epoch_that_follows():
    assert [has_started(3, n) for n in (3, 4, 5)] == [False, True, True]
    assert not has_started(None, 40)
