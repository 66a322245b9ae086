"""Sinkhorn codes: published tables, what does not change them, and shares that fall by a power law."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.harden.engine.sinkhorn import code_entropy, power_law, sinkhorn_codes

SCORES = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.2, 0.6]])


@pytest.mark.parametrize(
    ("eps", "iterations", "rows", "sums"),
    [
        (0.05, 3, {0: (0.9997, 0.0003), 1: (0.9851, 0.0149), 2: (0.5482, 0.4518), 3: (0, 1)}, (2.533, 1.467)),
        (0.05, 100, {0: (0.9976, 0.0024), 1: (0.8820, 0.1180), 2: (0.1204, 0.8796), 3: (0, 1)}, (2, 2)),
        (0.03, 10, {2: (0.1602, 0.8398)}, (2.154, 1.846)),
    ],
)
def test_tables_of_the_publication(eps, iterations, rows, sums):
    codes = sinkhorn_codes(SCORES, eps=eps, iterations=iterations)
    for row, wanted in rows.items():
        assert codes[row].tolist() == pytest.approx(wanted, abs=6e-5)
    assert codes.sum(0).tolist() == pytest.approx(sums, abs=6e-4)
    assert codes.sum(1).tolist() == pytest.approx([1] * 4, abs=1e-6)


def test_a_plain_softmax_is_not_balanced():
    assert torch.softmax(SCORES / 0.05, 1).sum(0).tolist() == pytest.approx([3, 1], abs=6e-4)


def reference(scores, eps, iterations, shares):
    """As published, with exponentials, in float64."""
    q = np.exp((scores - scores.max()) / eps).T
    q /= q.sum()
    for _ in range(iterations):
        q *= (shares / q.sum(1))[:, None]
        q /= q.sum(0) * q.shape[1]
    return (q / q.sum(0)).T


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_logarithms_give_what_exponentials_give(alpha):
    scores = np.random.default_rng(0).uniform(-1, 1, (12, 5))
    shares = power_law(5, alpha)
    found = sinkhorn_codes(torch.tensor(scores), eps=0.1, iterations=4, shares=shares if alpha else None)
    assert np.allclose(found.numpy(), reference(scores, 0.1, 4, shares.numpy()), atol=1e-5)


def test_what_does_not_change_codes():
    codes, order = sinkhorn_codes(SCORES), torch.tensor([1, 0])
    assert torch.allclose(sinkhorn_codes(SCORES + 7), codes, atol=1e-4)
    assert torch.allclose(sinkhorn_codes(SCORES[:, order]), codes[:, order], atol=1e-6)
    assert torch.allclose(sinkhorn_codes(torch.ones(5, 3)), torch.full((5, 3), 1 / 3), atol=1e-6)


def test_far_scores_do_not_overflow():
    codes = sinkhorn_codes(torch.tensor([[1e4, -1e4], [-1e4, 1e4]]), eps=1e-3)
    assert torch.equal(codes, torch.eye(2))


def test_shares_fall_by_the_power_law():
    assert power_law(4, 1.0).tolist() == pytest.approx([0.48, 0.24, 0.16, 0.12])
    assert power_law(4, 0.0).tolist() == [0.25] * 4
    uneven = sinkhorn_codes(torch.zeros(100, 4), shares=power_law(4, 1.0))
    assert uneven[0].tolist() == pytest.approx([0.48, 0.24, 0.16, 0.12])
    many = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    balanced = sinkhorn_codes(many, eps=1.0, iterations=200, shares=power_law(4, 1.0))
    assert balanced.mean(0).tolist() == pytest.approx([0.48, 0.24, 0.16, 0.12], abs=1e-4)


def test_entropy_of_the_mean_code_is_ln_k_at_balance():
    mean, single = code_entropy(torch.eye(3).repeat(2, 1))
    assert (mean, single) == (pytest.approx(math.log(3)), 0.0)
    mean, single = code_entropy(torch.full((4, 3), 1 / 3))
    assert (mean, single) == (pytest.approx(math.log(3)), pytest.approx(math.log(3)))


@pytest.mark.parametrize(
    ("scores", "options"),
    [
        (SCORES, {"eps": 0.0}),
        (SCORES, {"iterations": 0}),
        (SCORES[:0], {}),
        (SCORES[0], {}),
        (SCORES, {"eps": float("nan")}),
    ],
)
def test_bad_use_is_named(scores, options):
    with pytest.raises(ParameterError, match=r"eps must be above 0|scores must be \[B, K\]"):
        sinkhorn_codes(scores, **options)
