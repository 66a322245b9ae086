"""MixMatch's loss and DivideMix's penalties on fixed numbers, by the official formulas in float64."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.labels.losses.mixmatch import mixmatch, negative_entropy, prior_penalty

P = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.25, 0.25]], dtype=torch.float64)
Q = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5]], dtype=torch.float64)


def test_cross_entropy_of_the_labelled_and_squared_error_of_the_others():
    labelled = torch.tensor([True, True, False])
    entropies = [-math.log(0.6), -0.5 * math.log(0.2) - 0.5 * math.log(0.7)]
    error = (0.0 + 0.25**2 + 0.25**2) / 3
    assert mixmatch(P.log(), Q, labelled, 25.0).item() == pytest.approx(sum(entropies) / 2 + 25 * error)


@pytest.mark.parametrize("labelled", [True, False])
def test_a_part_without_samples_counts_nothing_and_has_gradients(labelled):
    logits = P.log().requires_grad_()
    loss = mixmatch(logits, Q, torch.full((3,), labelled), 2.0)
    entropies = -(Q * P.log()).sum(1).mean()
    errors = (P - Q).square().mean()
    assert loss.item() == pytest.approx((entropies if labelled else 2 * errors).item())
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.isfinite().all()


def test_the_penalty_is_the_divergence_of_the_mean_from_uniform():
    mean = P.mean(0)
    wanted = sum(1 / 3 * math.log((1 / 3) / float(m)) for m in mean)
    assert prior_penalty(P.log()).item() == pytest.approx(wanted)
    assert prior_penalty(torch.zeros(4, 3)).item() == pytest.approx(0, abs=1e-6)


def test_the_negative_entropy_by_hand():
    wanted = sum(float(p) * math.log(float(p)) for p in P.flatten()) / 3
    assert negative_entropy(P.log()).item() == pytest.approx(wanted)


def test_a_class_that_nothing_is_predicted_as_is_punished_finitely():
    logits = torch.tensor([[300.0, 0.0], [250.0, 0.0]], requires_grad=True)
    penalty = prior_penalty(logits)
    penalty.backward()
    assert penalty.isfinite()
    assert penalty.item() > 10
    assert logits.grad.isfinite().all()
