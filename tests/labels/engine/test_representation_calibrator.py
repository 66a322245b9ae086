"""Class Gaussians, the calibration of small classes, and samples of both, by hand and by their identities."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import DataError, MissingExtra
from unshaken.labels.engine.representation_calibrator import (
    CalibratedClasses,
    RepresentationCalibrator,
    calibrate,
    fit_gaussians,
    largest_classes,
    nearest_heads,
    normality,
    squared_distances,
)

MEANS = np.array([[1.0, 0], [0, 2], [5, 5], [0, 0]])
COUNTS = np.array([100, 50, 200, 5])
OWN = np.array([[1, 0.2], [0.2, 0.5]])
SPREADS = np.array([0.8 * np.eye(2), 0.4 * np.eye(2)])


def test_a_small_class_borrows_from_the_nearest_large_ones():
    found = nearest_heads(MEANS, COUNTS, np.arange(3), 3, 2, "size")
    assert found.classes.tolist() == [0, 1]
    assert found.weights.tolist() == pytest.approx([2 / 3, 1 / 3])
    squared = nearest_heads(MEANS, COUNTS, np.arange(3), 3, 5, "inverse-distance").weights
    assert (squared / squared[0]).tolist() == pytest.approx([1, 1 / 4, 1 / 50])
    assert nearest_heads(MEANS, COUNTS, np.arange(3), 3, 3, "uniform").weights.tolist() == pytest.approx([1 / 3] * 3)


def test_calibrated_mean_and_covariances_by_hand():
    weights, settings = np.array([2 / 3, 1 / 3]), {"beta": 0.5, "alpha": 0.1}
    mean, spread = calibrate(MEANS[3], OWN, MEANS[:2], SPREADS, weights, **settings)
    assert mean.tolist() == pytest.approx([1 / 3, 1 / 3])
    assert spread.ravel().tolist() == pytest.approx([0.933333, 0.2, 0.2, 0.683333], abs=1e-6)
    _, sums = calibrate(MEANS[3], OWN, MEANS[:2], SPREADS, weights, **settings, mode="independent-sum")
    assert sums.ravel().tolist() == pytest.approx([0.45, 0.15, 0.15, 0.325])
    assert np.linalg.eigvalsh(sums).tolist() == pytest.approx([0.225, 0.55])


@pytest.mark.parametrize("mode", ["convex", "independent-sum"])
def test_the_ends_of_beta(mode):
    weights = np.array([0.25, 0.75])
    mean, spread = calibrate(MEANS[3], OWN, MEANS[:2], SPREADS, weights, beta=0, mode=mode)
    assert np.array_equal(mean, MEANS[3])
    assert np.array_equal(spread, OWN)
    mean, spread = calibrate(MEANS[3], OWN, MEANS[:2], SPREADS, weights, beta=1, mode=mode)
    assert mean.tolist() == [0.25, 1.5]
    shares = weights if mode == "convex" else weights**2
    assert np.allclose(spread, shares[0] * SPREADS[0] + shares[1] * SPREADS[1])


@pytest.mark.parametrize("mode", ["convex", "independent-sum"])
def test_a_calibrated_covariance_is_symmetric_and_positive_semidefinite(mode):
    rng = np.random.default_rng(0)
    for _ in range(20):
        factors = rng.normal(0, 1, (4, 3, 2))  # of rank 2 in 3 dimensions
        spreads = factors @ factors.transpose(0, 2, 1)
        weights, means = rng.dirichlet([1, 1, 1]), rng.normal(0, 1, (4, 3))
        beta, alpha = rng.uniform(), rng.uniform(0, 2)
        _, found = calibrate(means[3], spreads[3], means[:3], spreads[:3], weights, beta=beta, alpha=alpha, mode=mode)
        assert np.allclose(found, found.T)
        assert np.linalg.eigvalsh(found).min() > -1e-12


def test_the_best_confidence_weighs_the_tails_error_against_the_heads_distance():
    """Five points of deviation 1, a head at a distance of 0.5: the error is least at beta = 0.2 / 0.45."""
    rng = np.random.default_rng(0)
    tails = rng.normal(0, 1, (200_000, 5)).mean(1)

    def error(beta):
        return float(
            np.mean([calibrate(tails, OWN, np.full((1, len(tails)), 0.5), SPREADS[:1], np.ones(1), beta=beta)[0] ** 2])
        )

    best = 0.2 / (0.2 + 0.25)
    assert error(best) == pytest.approx(1 / 9, abs=0.002)
    assert error(0) == pytest.approx(0.2, abs=0.003)
    assert error(best) < min(error(best - 0.15), error(best + 0.15))


def test_estimates_of_clean_data_converge():
    rng, factor = np.random.default_rng(1), np.array([[1.0, 0, 0], [0.5, 0.5, 0], [0.2, 0.1, 0.3]])
    errors = []
    for n in (100, 6400):
        z = rng.normal(0, 1, (n, 3)) @ factor.T + [1, 2, 3]
        found = fit_gaussians(z, np.zeros(n, int), 1, estimator="plain")
        errors.append(np.abs(found.means[0] - [1, 2, 3]).max())
        assert np.allclose(found.covariances[0], np.cov(z.T))
    assert errors[1] < 3 * np.sqrt(1.25 / 6400)
    assert errors[1] < errors[0]


def test_the_local_outlier_factor_drops_isolated_points_and_them_alone():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        far = rng.normal(0, 1, (3, 4))
        far *= 20 / np.linalg.norm(far, axis=1, keepdims=True)
        z = np.concatenate([rng.normal(0, 1, (100, 4)), far])
        found = fit_gaussians(z, np.zeros(103, int), 1, estimator="lof", share=3 / 103)
        assert np.flatnonzero(~found.kept).tolist() == [100, 101, 102]


def test_a_dense_group_of_wrong_labels_is_dropped_by_trimming_alone():
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.normal(0, 1, (60, 4)), rng.normal(8, 1, (40, 4))])
    labels = np.zeros(100, int)
    trimmed = fit_gaussians(z, labels, 1, estimator="trimmed", share=0.4)
    assert np.flatnonzero(~trimmed.kept).tolist() == list(range(60, 100))
    lof = fit_gaussians(z, labels, 1, estimator="lof", share=0.4)
    assert lof.kept[60:].sum() > 10
    assert fit_gaussians(z, labels, 1, estimator="plain", share=0.4).kept.all()


def test_samples_have_the_calibrated_mean_and_covariance():
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.normal(0, 1, (400, 3)) * [1, 0.5, 2], rng.normal(2, 1, (40, 3))])
    labels = np.repeat([0, 1], [400, 40])
    found = RepresentationCalibrator(estimator="plain", beta=0.3, q=1, ridge=0).fit(z, labels, 2)
    drawn, of = found.sample([100_000, 100_000], seed=0)
    for k in range(2):
        own = drawn[of == k]
        assert np.abs(own.mean(0) - found.means[k]).max() < 0.02
        assert np.abs(np.cov(own.T) - found.covariances[k]).max() < 0.02 * np.abs(found.covariances[k]).max()
    assert found.tails[1].classes.tolist() == [0]
    assert np.array_equal(found.means[0], found.estimated.means[0])
    assert found.balancing_counts().tolist() == [0, 360]


def test_samples_of_a_covariance_without_full_rank():
    """Four points in six dimensions: a ridge makes it possible to draw at all."""
    z = np.random.default_rng(0).normal(0, 1, (34, 6))
    found = RepresentationCalibrator(estimator="plain", beta=0).fit(z, np.repeat([0, 1], [30, 4]), 2)
    drawn, of = found.sample([2, 5], seed=1)
    assert np.isfinite(drawn).all()
    assert of.tolist() == [0, 0, 1, 1, 1, 1, 1]
    assert np.array_equal(drawn, found.sample([2, 5], seed=1)[0])
    assert not np.array_equal(drawn, found.sample([2, 5], seed=2)[0])


def test_mean_squared_distance_of_the_points_that_gave_the_estimates():
    """`m (n - 1) / n` exactly."""
    z = np.random.default_rng(0).normal(0, 1, (200, 8)) @ np.random.default_rng(1).normal(0, 1, (8, 8))
    found = fit_gaussians(z, np.zeros(200, int), 1, estimator="plain")
    assert squared_distances(z, found.means[0], found.covariances[0]).mean() == pytest.approx(7.96)


def test_normality_tells_normal_points_from_others():
    rng = np.random.default_rng(0)
    normal, skewed = rng.normal(0, 1, (2000, 4)), rng.exponential(1, (2000, 4))
    assert normality(normal, np.zeros(4), np.eye(4)) < 0.04
    assert normality(skewed, np.ones(4), np.eye(4)) > 0.1


def test_the_larger_half_of_classes():
    assert largest_classes(np.array([3, 8, 5])).tolist() == [False, True, False]
    assert largest_classes(np.array([7])).tolist() == [True]


def test_what_cannot_be_estimated_is_told(monkeypatch):
    with pytest.raises(DataError, match="class 1 has no sample"):
        fit_gaussians(np.zeros((4, 2)), np.array([0, 0, 2, 2]), 3)

    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name="sklearn")

    monkeypatch.setattr("unshaken.core.imports.importlib.import_module", absent)
    with pytest.raises(MissingExtra, match=r"unshaken\[labels\]"):
        fit_gaussians(np.random.default_rng(0).normal(0, 1, (50, 2)), np.zeros(50, int), 1)


def test_the_ridge_is_a_share_of_the_mean_variance():
    covariances = np.array([np.diag([1.0, 3.0, 5.0, 7.0])])
    classes = CalibratedClasses(
        fit_gaussians(np.zeros((1, 4)), np.zeros(1, int), 1), np.zeros((1, 4)), covariances, {}, ridge=0.5
    )
    (found,) = classes.factors
    assert np.allclose(found @ found.T, np.diag([3.0, 5.0, 7.0, 9.0]))  # the mean variance is 4
