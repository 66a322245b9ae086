"""Sparsity, entropy, orthogonality, smoothness and kinds of degenerate layers: values known by hand or published."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ortho_group

from unshaken.core.errors import ParameterError
from unshaken.explain.filters.measures import (
    degenerate_kinds,
    kernel_variation,
    near_zero,
    orthogonality,
    random_entropy,
    sparsity,
    variance_entropy,
    variance_shares,
)

UNITS = np.eye(9)


@pytest.mark.parametrize(
    ("count", "threshold"),
    [(1, -0.166), (2, -0.0089), (3, 0.1255), (4, 0.2357), (9, 0.5515), (16, 0.7221), (64, 0.9056), (256, 0.9433),
     (1024, 0.9499), (4096, 0.9511), (65536, 0.9513), (10**9, 0.9513)],
)  # fmt: skip
def test_the_random_threshold_is_the_fitted_sigmoid(count, threshold):
    digits = 3 if count == 1 else 4
    assert round(random_entropy(count), digits) == threshold


@pytest.mark.parametrize(
    ("count", "mean", "deviation"), [(16, 0.8147, 0.024), (64, 0.9206, 0.007), (256, 0.9459, 0.002)]
)
def test_gaussian_filters_have_the_known_mean_entropy(count, mean, deviation):
    rng = np.random.default_rng(0)
    values = [variance_entropy(rng.standard_normal((count, 9))) for _ in range(40)]
    assert abs(np.mean(values) - mean) < 4 * deviation / math.sqrt(40) + 5e-5
    assert 0.6 * deviation < np.std(values) < 1.5 * deviation


@pytest.mark.parametrize(
    ("filters", "entropy"),
    [(UNITS, math.log10(8)), (np.concatenate([UNITS, -UNITS]), math.log10(9)),
     (np.concatenate([UNITS[:2], -UNITS[:2]]), math.log10(2)), (np.full((40, 9), 0.1), 0.0), (UNITS[:1], 0.0),
     (np.zeros((4, 9)), 0.0), (np.outer(np.arange(5.0), UNITS[0]), 0.0)],
)  # fmt: skip
def test_the_entropy_of_filters_known_by_hand(filters, entropy):
    assert variance_entropy(filters) == pytest.approx(entropy, abs=1e-9)


def test_the_entropy_is_invariant_to_scale_rotation_and_a_constant_but_not_to_scales_of_single_filters():
    rng = np.random.default_rng(1)
    filters = rng.standard_normal((50, 9)) * np.arange(1, 10)
    plain = variance_entropy(filters)
    rotation = ortho_group.rvs(9, random_state=0)
    for changed in (1e-30 * filters, 1e30 * filters, filters @ rotation, filters + rng.standard_normal(9)):
        assert variance_entropy(changed) == pytest.approx(plain, abs=1e-9)
    assert abs(variance_entropy(filters * np.linspace(0.1, 5, 50)[:, None]) - plain) > 1e-3
    assert variance_shares(filters).sum() == pytest.approx(1)


def test_half_of_the_filters_zero_is_half_sparse():
    filters = np.concatenate([np.zeros((6, 9)), np.ones((6, 9))])
    assert sparsity(filters) == sparsity(1e-20 * filters) == 0.5
    assert sparsity(np.ones((4, 9))) == 0
    assert sparsity(np.zeros((4, 9))) == 1
    assert near_zero(np.array([[0.02, 1.0], [0.015, 0.0]]), 0.02).tolist() == [False, True]


@pytest.mark.parametrize("measure", [sparsity, variance_entropy, near_zero])
def test_no_filter_is_one_clear_line(measure):
    with pytest.raises(ParameterError, match="there is no filter"):
        measure(np.zeros((0, 9)))


def test_orthogonality_by_hand():
    assert orthogonality(np.ones((5, 3, 3, 3))) == pytest.approx(0, abs=1e-12)
    assert orthogonality(UNITS) == pytest.approx(1)
    sixty = np.array([[1, 0], [0.5, math.sqrt(3) / 2]])
    assert orthogonality(sixty) == pytest.approx(0.5)
    assert orthogonality(sixty * [[1e-200], [1e200]]) == pytest.approx(0.5)


def test_orthogonality_is_undefined_for_one_channel_and_for_weights_of_zero():
    assert orthogonality(np.ones((1, 9))) is None
    assert orthogonality(np.zeros((4, 9))) is None
    assert orthogonality(np.concatenate([UNITS[:3], np.zeros((1, 9))])) == pytest.approx(1 - 1 / 12)


def test_orthogonality_in_blocks_is_that_of_the_whole(monkeypatch):
    weight = np.random.default_rng(0).standard_normal((23, 18))
    whole = orthogonality(weight)
    monkeypatch.setattr("unshaken.explain.filters.measures._BLOCK", 5)
    assert orthogonality(weight) == pytest.approx(whole, abs=1e-12)


def test_the_variation_of_kernels_by_hand():
    board = (-1.0) ** np.add.outer(np.arange(3), np.arange(3))
    assert kernel_variation(board[None, None]) == pytest.approx(8)  # 12 pairs of neighbours, each 2, norm 3
    assert kernel_variation(np.stack([board, 0 * board, 1e-9 * np.ones((3, 3))])[None]) == pytest.approx(4)
    assert kernel_variation(np.zeros((2, 2, 3, 3))) is None


def test_kinds_of_degenerate_layers():
    assert degenerate_kinds(0.5, 0.5, 0.95, 100) == ()
    assert degenerate_kinds(0.51, 0.49, 0.95, 100) == ("sparse", "low-variance")
    assert degenerate_kinds(0.0, 0.95, 0.95, 100) == ("random",)
    assert degenerate_kinds(0.0, 0.95, None, 100) == ()
    assert degenerate_kinds(0.6, 0.1, 0.5515, 9) == ("sparse",)
