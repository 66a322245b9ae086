"""The basis and the drift: published constants, closed forms, and invariance."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from safetensors.torch import save_file

from unshaken.core.errors import ModelError, ParameterError
from unshaken.explain.filters.drift import FLOOR, Bins, drift, fit_basis, read_basis, scaled, squared_js, symmetric_kl

rng = np.random.default_rng(0)
FILTERS = rng.standard_normal((300, 9)) * np.arange(1, 10)


def test_the_basis_is_orthonormal_complete_and_the_singular_vectors():
    basis = fit_basis([FILTERS[:100], FILTERS[100:]])
    assert basis.shares.sum() == pytest.approx(1)
    assert np.allclose(basis.directions @ basis.directions.T, np.eye(9), atol=1e-12)
    coefficients = basis.coefficients(FILTERS)
    assert np.allclose(coefficients @ basis.directions + basis.mean, scaled(FILTERS), atol=1e-12)
    centred = scaled(FILTERS) - scaled(FILTERS).mean(0)
    _, s, v = np.linalg.svd(centred, full_matrices=False)
    assert np.allclose(basis.shares, s**2 / (s**2).sum(), atol=1e-12)
    assert np.allclose(np.abs(basis.directions @ v.T), np.eye(9), atol=1e-6)


def test_coefficients_do_not_change_with_scales_of_single_filters():
    basis = fit_basis([FILTERS])
    scales = rng.uniform(1e-12, 1e6, (len(FILTERS), 1))
    assert np.allclose(basis.coefficients(scales * FILTERS), basis.coefficients(FILTERS), atol=1e-9)
    assert (scaled(np.zeros((2, 9))) == 0).all()


def test_a_kept_basis_is_the_same_and_a_damaged_one_is_refused(tmp_path):
    basis = fit_basis([FILTERS])
    save_file(basis.tensors(), tmp_path / "basis.safetensors")
    again = read_basis(str(tmp_path / "basis.safetensors"))
    assert np.array_equal(again.coefficients(FILTERS), basis.coefficients(FILTERS))
    save_file({"basis_mean": torch.zeros(9)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="holds no basis of filters"):
        read_basis(str(tmp_path / "other.safetensors"))
    with pytest.raises(ParameterError, match="filters of 25 weights do not fit a basis of 9"):
        basis.coefficients(np.ones((3, 25)))
    with pytest.raises(ParameterError, match="all filters are equal once scaled"):
        fit_basis([np.ones((20, 9)), 3 * np.ones((4, 9))])


def test_symmetric_kl_by_hand_and_by_scipy():
    p, q = np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.5, 0.25])
    assert symmetric_kl(p, q) == pytest.approx(0.5 * math.log(2))
    assert symmetric_kl(p, q) == pytest.approx(scipy.stats.entropy(p, q) + scipy.stats.entropy(q, p))
    assert squared_js(p, q) == pytest.approx(
        (scipy.stats.entropy(p, (p + q) / 2) + scipy.stats.entropy(q, (p + q) / 2)) / 2
    )


@pytest.mark.parametrize(("width", "ceiling"), [(2, 38.995), (4, 37.609)])
def test_two_single_bins_have_the_ceiling_of_their_range(width, ceiling):
    bins = Bins(0.0, float(width))
    one, other = np.full((5, 1), 0.1 * width), np.full((5, 1), 0.9 * width)
    assert drift(one, other, np.ones(1), bins) == pytest.approx(ceiling, abs=5e-4)


def test_the_floor_is_filled_in_before_the_scaling():
    bins = Bins(0.0, 2.0)
    mass = bins.masses(bins.counts(np.full((5, 1), 0.1)))[0]
    assert mass.min() == pytest.approx(FLOOR / (35 + 69 * FLOOR))
    assert mass.sum() == pytest.approx(1)


def test_two_shifted_gaussians_have_the_closed_form():
    one, other = rng.standard_normal((400_000, 1)), 0.5 + rng.standard_normal((400_000, 1))
    bins = Bins.over([one, other])
    assert drift(one, other, np.ones(1), bins) == pytest.approx(0.25, abs=0.006)
    assert drift(one, other, np.ones(1), bins, "wasserstein") == pytest.approx(0.5, abs=0.01)


def test_drift_is_symmetric_and_0_for_equal_sets():
    basis = fit_basis([FILTERS])
    one, other = basis.coefficients(FILTERS[:150]), basis.coefficients(FILTERS[150:])
    bins = Bins.over([one, other])
    for measure in ("kl", "js", "wasserstein"):
        assert drift(one, one, basis.shares, bins, measure) == 0
        there, back = drift(one, other, basis.shares, bins, measure), drift(other, one, basis.shares, bins, measure)
        assert there == pytest.approx(back)
        assert there > 0


def test_histograms_are_those_of_numpy_the_last_edge_included():
    values = rng.standard_normal((500, 2))
    bins = Bins.over([values])
    for i in range(2):
        assert (bins.counts(values)[i] == np.histogram(values[:, i], 70, (bins.low, bins.high))[0]).all()
