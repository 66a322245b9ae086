"""Generalized cross-entropy of a label of probability 0.3, its limits and its gradient."""

from __future__ import annotations

import pytest
import torch

from unshaken.labels.losses.generalized_cross_entropy import generalized_cross_entropy

P = torch.tensor([[0.6, 0.3, 0.1]], dtype=torch.float64)
Y = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)


def test_a_label_of_probability_0_3():
    logits = P.log().requires_grad_()
    assert generalized_cross_entropy(logits, Y).item() == pytest.approx(0.813555, abs=1e-6)
    assert generalized_cross_entropy(logits, Y, q=1).item() == pytest.approx(0.7)
    assert generalized_cross_entropy(logits, Y, q=1e-9).item() == pytest.approx(1.203973, abs=1e-6)
    (gradient,) = torch.autograd.grad(generalized_cross_entropy(logits, Y).sum(), logits)
    assert gradient[0].tolist() == pytest.approx([0.2583, -0.3014, 0.0431], abs=1e-4)
