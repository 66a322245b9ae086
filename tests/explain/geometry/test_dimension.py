"""Estimators of intrinsic dimension: values by hand, published constants, invariance, and scikit-dimension's values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import ortho_group

from unshaken.core.errors import DataError
from unshaken.explain.geometry import neighbours
from unshaken.explain.geometry.estimators import (
    Settings,
    dimensions,
    geo_mle_dimension,
    mle_dimension,
    two_nn_dimension,
)
from unshaken.explain.geometry.neighbours import nearest

LINE = torch.tensor([[0.0], [1.0], [3.0], [7.0]])


def cube(dim, n=2000, seed=0, space=100):
    """Uniform points in a cube, turned into a larger space."""
    points = np.zeros((n, space))
    points[:, :dim] = np.random.default_rng([seed, dim]).uniform(size=(n, dim))
    return torch.from_numpy(points)


def test_mle_of_four_points_by_hand():
    assert mle_dimension(nearest(LINE, 2).distances) == pytest.approx(1.536872, abs=5e-7)
    assert mle_dimension(nearest(LINE, 3).distances) == pytest.approx(1.084279, abs=5e-7)


def test_the_two_conventions_differ_by_their_divisors():
    known = nearest(cube(3, 60), 7).distances
    assert mle_dimension(known, "k-2") / mle_dimension(known) == pytest.approx(5 / 6, abs=1e-12)


def test_which_divisor_makes_what_unbiased():
    """Around a point of uniform density the logs are k - 1 exponentials of rate d, and their sum S is Gamma(k - 1, d).

    E[S] = (k - 1) / d, so that k - 1 serves the inverse of d; E[1 / S] = d / (k - 2), so that k - 2 serves d itself.
    """
    k, d, n = 6, 3.0, 4000
    distances = np.sort(np.random.default_rng(0).random((n, k)) ** (1 / d), 1)  # of points of a ball from its centre
    each = {name: np.array([mle_dimension(row[None], name) for row in distances]) for name in ("k-1", "k-2")}
    # The deviation of 1/S is its mean over sqrt(k - 3), that of S its mean over sqrt(k - 1); five of those of a mean.
    assert each["k-2"].mean() == pytest.approx(d, rel=5 / math.sqrt((k - 3) * n))
    assert each["k-1"].mean() == pytest.approx(d * (k - 1) / (k - 2), rel=5 / math.sqrt((k - 3) * n))
    assert (1 / each["k-1"]).mean() == pytest.approx(1 / d, rel=5 / math.sqrt((k - 1) * n))
    assert mle_dimension(distances, "k-1") == pytest.approx(d, rel=5 / math.sqrt((k - 1) * n))


@pytest.mark.parametrize(
    ("dim", "mle", "two", "deviation"),
    [
        (1, 1.00, 1.01, 0.04),
        (2, 1.96, 1.96, 0.05),
        (5, 4.47, 4.74, 0.21),
        (10, 8.10, 8.46, 0.28),
        (20, 14.33, 15.71, 0.31),
    ],
)
def test_cubes_have_the_known_estimates(dim, mle, two, deviation):
    known = nearest(cube(dim), 20).distances
    assert mle_dimension(known) == pytest.approx(mle, rel=0.03)
    assert abs(two_nn_dimension(known) - two) < 4 * deviation


def test_geo_mle_is_less_biased_than_mle():
    known = nearest(cube(6, 1000), 120)
    geo, plain = geo_mle_dimension(known, samples=5), mle_dimension(known.distances[:, :20])
    assert abs(geo - 6) < abs(plain - 6)
    scaled = neighbours.Neighbours(1e-3 * known.distances, known.indices)
    assert geo_mle_dimension(scaled, samples=5) == pytest.approx(geo)


def test_geo_mle_with_one_k_is_the_mean_of_the_local_estimates():
    """Where all local estimates of a point are equal, the quadratic is their value: a line has it by hand."""
    t = np.tile(np.exp(np.arange(1, 31) / 7.0), (40, 1))  # log T_j = j / 7, so d_k = (k - 2) * 7 / (k (k - 1) / 2)
    indices = np.tile(np.arange(30), (40, 1))
    found = geo_mle_dimension(neighbours.Neighbours(t, indices), (5, 5), samples=1, seed=3)
    chosen = np.zeros(40, bool)
    chosen[np.random.default_rng(3).integers(40, size=40)] = True
    logs = (np.flatnonzero(chosen[:30])[:5] + 1) / 7.0
    local = 3 / (logs[4] - logs[:4]).sum()
    # a constant, a slope and a curvature share one value: the ridge leaves the slope a part of it
    assert found == pytest.approx(local, rel=0.01)


def test_geo_mle_leaves_out_points_that_too_few_neighbours_were_drawn_of():
    known = nearest(cube(3, 60), 20)
    with pytest.raises(DataError, match="no point has enough neighbours"):
        geo_mle_dimension(known, (10, 20), samples=3)  # a sample has about 63 % of the points, so never all 20


def test_estimates_do_not_change_with_scale_rotation_translation_or_padding():
    points = torch.from_numpy(np.random.default_rng(0).standard_normal((200, 6)) * np.arange(1, 7))
    turned = points @ torch.from_numpy(ortho_group.rvs(6, random_state=0))
    padded = torch.cat([points, torch.zeros(200, 9)], 1)
    plain = nearest(points, 10).distances
    for changed in (1e-4 * points, turned, points + 100.0, padded, points.repeat(1, 3)):
        known = nearest(changed, 10).distances
        assert mle_dimension(known) == pytest.approx(mle_dimension(plain), rel=1e-6)
        assert two_nn_dimension(known) == pytest.approx(two_nn_dimension(plain), rel=1e-6)


def test_two_nn_by_direct_formulas():
    known = nearest(cube(3, 50), 2).distances
    log_mu = np.sort(np.log(known[:, 1] / known[:, 0]))
    f = np.arange(1, 51) / 50
    slope = (-np.log(1 - f[:-1]) * log_mu[:-1]).sum() / (log_mu[:-1] ** 2).sum()
    assert two_nn_dimension(known) == pytest.approx(slope)
    assert two_nn_dimension(known, "closed") == pytest.approx(50 / log_mu.sum())


@pytest.mark.parametrize("block", [7, 64, 1000])
def test_neighbours_are_those_of_all_distances(block):
    points = torch.rand(150, 5, generator=torch.Generator().manual_seed(0))
    whole = cdist(points.double(), points.double())
    np.fill_diagonal(whole, np.inf)
    found = nearest(points, 6, block=block)
    assert np.allclose(found.distances, np.sort(whole, 1)[:, :6], rtol=1e-12)
    assert np.allclose(np.take_along_axis(whole, found.indices, 1), found.distances, rtol=1e-12)


def test_close_points_far_from_the_origin_keep_their_digits():
    points = torch.cat([1e6 + 1e-6 * torch.arange(4.0, dtype=torch.float64)[:, None] ** 2, torch.zeros(4, 1).double()])
    points[4:] = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    exact = (points[1] - points[0]).item()
    assert nearest(points, 1).distances[0, 0] == pytest.approx(exact, rel=1e-12)


def test_halves_find_their_own_neighbours():
    points = cube(3, 80)
    known = nearest(points, 40)
    chosen = np.arange(80) % 2 == 0
    assert np.allclose(known.among(chosen, 5), nearest(points[chosen], 5).distances)


def test_the_interval_has_the_spread_of_new_data():
    """The half-width stands for 1.96 deviations over data sets drawn anew, but for a factor of chance."""
    settings = Settings(draws=30)
    drawn = [dimensions(cube(5, 400, seed), settings)[0] for seed in range(20)]
    for name in ("mle", "twonn"):
        deviation = np.std([d[name].value for d in drawn], ddof=1)
        said = np.mean([d[name].high - d[name].value for d in drawn]) / 1.96
        assert 0.6 < said / deviation < 1.7


def test_duplicates_are_left_out_and_counted():
    points = cube(2, 300)
    figures, duplicates = dimensions(torch.cat([points, points[:3]]))
    assert duplicates == 6
    assert figures["mle"].n == 297
    assert figures["mle"].value == pytest.approx(mle_dimension(nearest(points, 20).distances), rel=0.02)


def test_bad_input_is_one_clear_line():
    with pytest.raises(DataError, match="20 nearest neighbours need 21 points at least, not 20"):
        dimensions(torch.rand(20, 4))
    with pytest.raises(DataError, match="every point has a duplicate"):
        dimensions(torch.ones(40, 4))
    with pytest.raises(DataError, match="point 3 is infinite or not a number"):
        nearest(torch.tensor([[0.0], [1.0], [2.0], [math.nan]]), 1)
    with pytest.raises(DataError, match="equally far"):
        mle_dimension(np.ones((5, 3)))
    with pytest.raises(DataError, match="equally far"):
        two_nn_dimension(np.ones((5, 2)))
    with pytest.raises(DataError, match="k of 3 or more"):
        mle_dimension(np.ones((5, 2)), "k-2")


def test_few_points_have_an_estimate_and_no_interval():
    figure = dimensions(torch.rand(22, 3, generator=torch.Generator().manual_seed(0)))[0]["mle"]
    assert (figure.low, figure.high, figure.interval) == (0.0, math.inf, "none: too few points for halves")


@pytest.mark.parametrize(
    ("k", "divisor", "value"),
    [(10, "k-1", 4.972894009572284), (10, "k-2", 4.420350230730918), (20, "k-1", 4.817197674858077),
     (20, "k-2", 4.563660955128705)],
)  # fmt: skip
def test_mle_is_that_of_scikit_dimension(k, divisor, value):
    """Made with scikit-dimension 0.5.0: `MLE(K=k, unbiased=..., neighborhood_based=True).fit(x, k, comb="mle")`."""
    x = np.random.default_rng(7).standard_normal((400, 6)) * np.arange(1, 7)
    assert mle_dimension(nearest(torch.from_numpy(x), k).distances, divisor) == pytest.approx(value, rel=1e-12)


def test_two_nn_is_that_of_scikit_dimension():
    """Made with scikit-dimension 0.5.0: `TwoNN(discard_fraction=1 / 400).fit(x)`."""
    x = np.random.default_rng(7).standard_normal((400, 6)) * np.arange(1, 7)
    assert two_nn_dimension(nearest(torch.from_numpy(x), 2).distances) == pytest.approx(5.403093325284346, rel=1e-11)
