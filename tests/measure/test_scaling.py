"""Power laws whose answer is known: exact ones, with a floor, with one bad point, and where two cross."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure import (
    crossing,
    crossing_figure,
    exponent_figure,
    fit_power_law,
)
from unshaken.measure.scaling import RepeatedCurve, tempered_losses

SIZES = 1e5 * 2.0 ** np.arange(6)
PLAIN = 2 * (SIZES / 1e5) ** -0.25
FLOORED = 0.5 + 1.5 * (SIZES / 1e5) ** -0.5


def test_an_exact_law_is_found_and_the_unit_of_sizes_changes_its_factor_alone():
    assert PLAIN.round(4).tolist() == [2, 1.6818, 1.4142, 1.1892, 1, 0.8409]
    law, other = fit_power_law(SIZES, PLAIN), fit_power_law(SIZES / 1e5, PLAIN)
    assert (law.exponent, other.exponent) == (pytest.approx(0.25, abs=1e-12), pytest.approx(0.25, abs=1e-12))
    assert (other.factor, law.factor) == (pytest.approx(2), pytest.approx(2 * 1e5**0.25))
    assert law.exponent_error < 1e-12
    assert law.sizes == (1e5, 32e5)


def test_a_law_with_a_floor_is_found_and_looks_flatter_without_it():
    assert FLOORED.round(4).tolist() == [2, 1.5607, 1.25, 1.0303, 0.875, 0.7652]
    assert fit_power_law(SIZES, FLOORED).exponent == pytest.approx(0.2775, abs=5e-5)
    law = fit_power_law(SIZES / 1e5, FLOORED, floor=True)
    assert (law.floor, law.factor, law.exponent) == pytest.approx((0.5, 1.5, 0.5), abs=1e-6)
    assert max(law.exponent_error, law.floor_error, law.factor_error) < 1e-5


def test_a_floor_is_not_found_where_there_is_none():
    law = fit_power_law(SIZES, PLAIN, floor=True)
    assert (law.exponent, law.floor) == (pytest.approx(0.25, abs=1e-4), pytest.approx(0, abs=1e-3))


def test_one_bad_point_moves_the_exponent_and_a_small_weight_takes_it_out():
    bad = PLAIN.copy()
    bad[-1] *= 1.05
    law = fit_power_law(SIZES, bad)
    assert law.exponent == pytest.approx(0.239944, abs=5e-7)
    assert fit_power_law(SIZES, bad, weights=[1, 1, 1, 1, 1, 1e-12]).exponent == pytest.approx(0.25, abs=1e-9)


def test_standard_errors_are_those_of_the_line_through_the_logarithms():
    """By the textbook: the residual variance over the spread of x; checked for the factor in the sizes' own unit."""
    losses = PLAIN * [1.02, 0.99, 1.01, 0.98, 1.0, 1.03]
    law = fit_power_law(SIZES, losses)
    x, residuals = np.log(SIZES), np.array(law.residuals)
    variance = (residuals**2).sum() / 4
    spread = ((x - x.mean()) ** 2).sum()
    assert law.exponent_error == pytest.approx(math.sqrt(variance / spread))
    assert law.factor_error == pytest.approx(math.sqrt(variance * (1 / 6 + x.mean() ** 2 / spread)))
    assert fit_power_law([1, 2], [2, 1]).exponent_error == math.inf


def test_laws_cross_where_the_formula_says():
    real, made = (fit_power_law([1, 10], [a, a * 10**-k]) for a, k in ((2, 0.53), (1.4, 0.20)))
    assert crossing(real, made) == pytest.approx((2 / 1.4) ** (1 / 0.33))
    assert crossing(real, made) == pytest.approx(2.947, abs=5e-4)
    assert crossing(made, made) is None
    almost = fit_power_law([1, 10], [2.8, 2.8 * 10**-0.2001])  # twice as high, and no number could hold where it ends
    assert crossing(made, almost) is None


def test_a_law_with_a_floor_crosses_one_without_and_never_one_below_it():
    floored = fit_power_law(SIZES / 1e5, FLOORED, floor=True)
    made = fit_power_law([1, 4], [3, 3 * 4**-0.3])
    at = crossing(floored, made)
    assert at is not None
    assert floored.predict(at) == pytest.approx(made.predict(at))
    flat = fit_power_law([1, 4], [0.4, 0.4])
    assert crossing(floored, flat) is None


def test_data_equivalence_inverts_the_law_and_is_infinite_at_the_floor():
    law = fit_power_law(SIZES / 1e5, FLOORED, floor=True)
    assert law.size_for(law.predict(7.0)) == pytest.approx(7.0)
    assert law.size_for(0.4) == math.inf
    assert law.size_for(law.floor) == math.inf
    assert fit_power_law([1, 2], [1, 2]).size_for(0.5) == math.inf


@pytest.mark.parametrize(
    ("sizes", "losses", "options", "message"),
    [
        ([1, 1, 1], [1, 2, 3], {}, "needs 2 sizes, not 1"),
        ([1, 2], [1, 2], {"floor": True}, "with a floor needs 3 sizes, not 2"),
        ([0, 2], [1, 2], {}, "sizes must lie in"),
        ([1, 2], [1, -2], {}, "losses must lie in"),
        ([1, 2], [1, math.nan], {}, "losses has 1 missing values"),
        ([1, 2], [1, 2, 3], {}, "sizes 2, losses 3"),
        ([1, 2], [1, 2], {"weights": [0, 1]}, "weights must lie in"),
    ],
)
def test_bad_curves_are_refused(sizes, losses, options, message):
    with pytest.raises(ParameterError, match=message):
        fit_power_law(sizes, losses, **options)


TRAINING_SIZES = [1.0, 4.0, 16.0]


def curve(exponent, factor=1.0, images=200, seed=0):
    """Losses of images that differ by a factor of their own, and a little at every size."""
    draw = np.random.default_rng(seed)
    own, noise = draw.uniform(0.5, 1.5, images), draw.uniform(0.9, 1.1, (3, images))
    return factor * np.array(TRAINING_SIZES)[:, None] ** -exponent * own * noise


def test_images_that_only_differ_by_a_factor_leave_no_doubt():
    losses = np.array(TRAINING_SIZES)[:, None] ** -0.5 * np.linspace(0.5, 1.5, 30)
    found = exponent_figure(TRAINING_SIZES, losses, resamples=50)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    assert found.n == 30


def test_the_interval_covers_the_exponent_as_often_as_it_says():
    inside = 0
    for seed in range(40):
        figure = exponent_figure(TRAINING_SIZES, curve(0.3, seed=seed), level=0.9, resamples=200)
        inside += figure.low <= 0.3 <= figure.high
    assert inside >= 30  # of 40 at 90 %: fewer has a probability below 0.2 %


def test_a_floor_may_be_fitted_within():
    losses = curve(0.3) + 0.2
    sizes = [*TRAINING_SIZES, 64.0]
    losses = np.concatenate([losses, losses[-1:] * 0.9])
    found = exponent_figure(sizes, losses, floor=True, resamples=5)
    assert found.low <= found.value <= found.high


def test_paired_curves_differ_by_less_than_they_vary():
    one = curve(0.5)
    other = one * (np.array(TRAINING_SIZES) ** 0.2)[:, None]
    at = crossing_figure(TRAINING_SIZES, one, 0.7 * other, resamples=200)
    assert at.value == pytest.approx((1 / 0.7) ** (1 / 0.2))
    assert (at.low, at.high) == pytest.approx((at.value, at.value))


def test_nearly_parallel_curves_cross_anywhere():
    at = crossing_figure(TRAINING_SIZES, curve(0.3), curve(0.301, 0.9, seed=1), resamples=200)
    assert at.high - at.low > 1e3
    same = curve(0.3)
    assert crossing_figure(TRAINING_SIZES, same, same) is None


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        (np.ones(3), r"of shape \(3,\)"),
        (np.ones((2, 5)), r"of shape \(2, 5\)"),
        (np.full((3, 5), math.nan), "finite and 0 or more"),
        (-np.ones((3, 5)), "finite and 0 or more"),
        (np.zeros((3, 5)), "losses must lie in"),
    ],
)
def test_bad_losses_are_refused(losses, message):
    with pytest.raises(ParameterError, match=message):
        exponent_figure(TRAINING_SIZES, losses)


def test_curves_of_other_images_are_not_paired():
    with pytest.raises(ParameterError, match="200 and 199"):
        crossing_figure(TRAINING_SIZES, curve(0.3), curve(0.3)[:, 1:])


def curves(k, factor, repetitions, n, seed, between=0.0, within=0.0):
    """Losses `[R, S, N]` of a law, with noise of each training and of each test image."""
    rng = np.random.default_rng(seed)
    sizes = np.array([100.0, 200.0, 400.0, 800.0])
    noise = between * rng.standard_normal((repetitions, 4, 1)) + within * rng.standard_normal((1, 1, n))
    return RepeatedCurve(sizes, factor * sizes[:, None] ** -k * np.exp(noise), seed=seed)


def test_one_real_image_is_worth_as_many_as_give_the_same_loss():
    """2 D^-1/2 at 100 real images is 0.2, which 2 D^-1/4 has at 10^4 images: 100 for each."""
    real, made = curves(0.5, 2.0, 3, 5, 0), curves(0.25, 2.0, 3, 5, 0)
    worth = made.worth(real, 100)
    assert worth.value == pytest.approx(100)
    assert 95 < worth.low <= worth.value <= worth.high < 105
    assert real.worth(real, 800).value == pytest.approx(1)
    assert real.exponent_above(made).value == pytest.approx(0.25)
    assert real.exponent().high - real.exponent().low < 1e-6


def test_a_loss_that_does_not_fall_is_worth_nothing():
    flat = RepeatedCurve(np.array([100.0, 200.0]), np.full((2, 2, 4), 1.5))
    assert flat.worth(RepeatedCurve(flat.sizes, np.full((2, 2, 4), 1.0)), 100) is None


def test_intervals_hold_the_truth_as_often_as_they_say_at_three_repetitions():
    """Noise of trainings and of test images; 100 worlds, of which 95 are expected and 88 are three errors less."""
    held = worth_held = 0
    for seed in range(100):
        real = curves(0.5, 2.0, 3, 40, 2 * seed, between=0.1, within=0.3)
        made = curves(0.25, 1.0, 3, 40, 2 * seed + 1, between=0.1, within=0.3)
        made = RepeatedCurve(made.sizes, made.losses, resamples=200)
        figure = made.exponent()
        held += figure.low <= 0.25 <= figure.high
        worth = made.worth(RepeatedCurve(real.sizes, real.losses, resamples=200), 400)
        truth = (1.0 / (2.0 * 400**-0.5)) ** 4 / 400
        worth_held += worth is None or worth.low <= truth <= worth.high
    assert held >= 88
    assert worth_held >= 88


def test_curves_of_other_shapes_do_not_compare():
    with pytest.raises(ParameterError, match="paired curves need the same sizes"):
        curves(0.5, 2.0, 3, 5, 0).worth(curves(0.5, 2.0, 2, 5, 0), 100)
    with pytest.raises(ParameterError, match=r"losses must be \[R, S, N\] for 2 sizes"):
        RepeatedCurve(np.array([1.0, 2.0]), np.ones((2, 3, 4)))
    with pytest.raises(ParameterError):
        RepeatedCurve(np.array([1.0, 2.0]), np.zeros((2, 2, 4)))


def test_losses_are_taken_at_the_temperature_of_other_samples():
    """Logits (a, 0) are right in 3 of 4 other samples: the best temperature gives 3/4, whatever a is."""
    others = np.array([[8.0, 0.0]] * 4), np.array([0, 0, 0, 1])
    found = tempered_losses(np.array([[8.0, 0.0], [0.0, 8.0], [16.0, 0.0]]), np.array([0, 0, 0]), *others)
    assert found == pytest.approx([-math.log(3 / 4), -math.log(1 / 4), -math.log(9 / 10)])
    right = np.array([[8.0, 0.0]] * 4), np.array([0, 0, 0, 0])  # no temperature is best: the network's own loss
    assert tempered_losses(np.array([[0.0, 8.0]]), np.array([0]), *right) == pytest.approx([math.log1p(math.exp(8))])
    assert tempered_losses(np.array([[99.0, 0.0]]), np.array([0]), *right).tolist() == [1e-12]
