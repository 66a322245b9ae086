"""Generalised entropy."""

import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.gen import GEN, generalised_entropy


def test_by_hand(anatomy):
    forward = ForwardPass(anatomy, torch.tensor([[0.5, 0.3, 0.2]]).log())
    assert GEN(gamma=0.5).score(forward, {}).item() == pytest.approx(0.5 + 0.21**0.5 + 0.4, abs=1e-6)
    assert GEN(gamma=0.5, top=2).score(forward, {}).item() == pytest.approx(0.5 + 0.21**0.5, abs=1e-6)


def test_it_is_the_plain_formula_where_that_has_digits():
    log_p = (torch.randn(100, 20, dtype=torch.float64) * 2).log_softmax(1)
    top = log_p.exp().topk(8).values
    assert torch.allclose(generalised_entropy(log_p, 0.1, 8), (top * (1 - top)).pow(0.1).sum(1), rtol=1e-9)


def test_certain_predictions_are_no_ties(anatomy):
    logits = torch.tensor([[40.0, 0, 0], [45, 0, 0], [200, 0, 0]])
    found = GEN().score(ForwardPass(anatomy, logits), {})
    assert found[0] > found[1] > found[2] > 0


def test_gradients_are_finite_at_certain_predictions(anatomy):
    logits = torch.tensor([[900.0, 0, 0], [1, 1, 1]], requires_grad=True)
    GEN().score(ForwardPass(anatomy, logits), {}).sum().backward()
    assert logits.grad.isfinite().all()


def test_gamma_is_below_one():
    with pytest.raises(ParameterError, match="gamma=1"):
        GEN(gamma=1)
