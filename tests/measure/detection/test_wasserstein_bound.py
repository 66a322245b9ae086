"""The bounds by their published numbers, where they are tight, and against simulated detectors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.detection.wasserstein_bound import (
    auroc_bound,
    noise_needed,
    point_mass_tpr,
    point_masses,
    wasserstein_bound,
)


@pytest.mark.parametrize(
    ("ratio", "tv", "error", "auroc", "exact"),
    [
        (0.5, 0.19741, 0.80259, 0.67793, 0.63816),
        (1, 0.38292, 0.61708, 0.80961, 0.76025),
        (2, 0.68269, 0.31731, 0.94966, 0.92135),
        (3, 0.86639, 0.13361, 0.99107, 0.98305),
    ],
)
def test_numbers_of_the_theorem(ratio, tv, error, auroc, exact):
    for s in (1.0, 0.25):
        bound = wasserstein_bound(ratio * s, s)
        assert (bound.total_variation, bound.error, bound.auroc) == pytest.approx((tv, error, auroc), abs=6e-6)
    assert point_masses(ratio) == pytest.approx((exact, error), abs=6e-6)
    assert exact < auroc


@pytest.mark.parametrize(("ratio", "exact", "most"), [(1, 0.3891, 0.4829), (2, 0.7638, 0.7827)])
def test_true_positives_at_a_tenth_of_false_alarms(ratio, exact, most):
    assert point_mass_tpr(ratio, 0.1) == pytest.approx(exact, abs=6e-5)
    assert wasserstein_bound(ratio, 1).tpr(0.1) == pytest.approx(most, abs=6e-5)
    assert wasserstein_bound(ratio, 1).tpr(0.9) == 1.0


@pytest.mark.parametrize(("tv", "auroc"), [(0.25, 0.71875), (0.5, 0.875), (0, 0.5), (1, 1.0)])
def test_auroc_of_a_total_variation(tv, auroc):
    assert auroc_bound(tv) == auroc


def test_the_auroc_bound_is_reached():
    """A share TV told apart for sure and the rest alike would give 1/2 + TV/2; the bound's own curve gives more.

    Its curve rises from (0, TV) with slope 1 to (1 - TV, 1): the area under that is the bound.
    """
    fpr = np.linspace(0, 1, 100_001)
    for tv in (0.1, 0.38292, 0.9):
        assert np.trapezoid(np.minimum(1, fpr + tv), fpr) == pytest.approx(auroc_bound(tv), abs=1e-8)


def test_no_noise_and_no_end_of_it():
    assert wasserstein_bound(1, 0).error == 0
    assert wasserstein_bound(1, 1e-3).error < 1e-12
    assert wasserstein_bound(1, 1e9).error == pytest.approx(1, abs=1e-8)
    assert wasserstein_bound(0, 0).error == 1
    assert 0 < wasserstein_bound(12, 1).error < 1e-8  # digits are kept where 1 - erf has none


@pytest.mark.parametrize("w", [0.4347, 1.7388])
def test_noise_that_forces_an_error_of_a_half(w):
    s = noise_needed(w, 0.5)
    assert s == pytest.approx(w / (2 * 0.67449), rel=1e-5)
    assert wasserstein_bound(w, s).error == pytest.approx(0.5, abs=1e-12)
    assert wasserstein_bound(w, 0.99 * s).error < 0.5


def test_another_scale_of_pixels_changes_nothing():
    half, whole = wasserstein_bound(0.43, 0.2), wasserstein_bound(0.86, 0.4)
    assert (half.error, half.auroc) == (whole.error, whole.auroc)


@pytest.mark.parametrize(("a", "w"), [(2 / 255, 0.4347), (8 / 255, 1.7388)])
def test_paired_norms_give_their_mean(a, w):
    """A pattern of +-a on 3,072 numbers has the norm a sqrt(3072)."""
    pattern = np.where(np.random.default_rng(0).random((5, 3072)) < 0.5, a, -a)
    norms = np.linalg.norm(pattern, axis=1)
    assert wasserstein_bound(norms, 0.2).distance == pytest.approx(w, abs=6e-5)
    assert wasserstein_bound(norms * [0.5, 1.5, 1, 1, 1], 0.2).error == pytest.approx(
        wasserstein_bound(w, 0.2).error, rel=1e-3
    )


def test_one_image_of_each_kind_meets_the_bound_and_no_detector_passes_it():
    """The linear detector is optimal; a clipping denoiser before it, or another detector, cannot do better."""
    rng, n, d, s = np.random.default_rng(0), 200_000, 4, 0.7
    gap = np.full(d, 0.35)
    w = float(np.linalg.norm(gap))
    clean, marked = rng.normal(0, s, (n, d)), gap + rng.normal(0, s, (n, d))
    bound = wasserstein_bound(w, s).error
    se = 3 / math.sqrt(2 * n)

    def error(score, threshold):
        return np.mean(score(marked) <= threshold) + np.mean(score(clean) > threshold)

    linear = error(lambda x: x @ gap, gap @ gap / 2)
    assert linear == pytest.approx(bound, abs=se)
    grid = np.linspace(-2, 2, 41)
    assert min(error(lambda x: np.clip(x, 0, 0.35) @ gap, t) for t in grid) >= bound - se
    assert min(error(lambda x: np.tanh(x).max(1), t) for t in grid) > bound + 0.02


def test_a_detector_that_noise_seldom_turns():
    bound = wasserstein_bound(1, 1)
    assert bound.advantage(0) == bound.total_variation
    assert bound.advantage(0.05) == pytest.approx(0.48292, abs=6e-6)
    assert bound.advantage(0.4) == 1.0


@pytest.mark.parametrize("distance", [-1, math.nan, math.inf, [], [0.1, -0.1]])
def test_distances_that_are_refused(distance):
    with pytest.raises(ParameterError, match="distance"):
        wasserstein_bound(distance, 1)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: wasserstein_bound(1, -0.1), "s="),
        (lambda: wasserstein_bound(1, math.nan), "s="),
        (lambda: wasserstein_bound(1, 1).tpr(1.1), "fpr"),
        (lambda: wasserstein_bound(1, 1).advantage(-1), "flips"),
        (lambda: auroc_bound(1.5), "total_variation"),
        (lambda: noise_needed(1, 1), "error"),
        (lambda: noise_needed(-1, 0.5), "distance"),
        (lambda: point_mass_tpr(1, 0), "fpr"),
    ],
)
def test_numbers_that_are_refused(call, word):
    with pytest.raises(ParameterError, match=word):
        call()
