"""GradNorm in closed form against automatic differentiation."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.gradnorm import GradNorm, gradient_norm


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_the_norm_of_the_heads_gradient(temperature):
    torch.manual_seed(0)
    weight, bias, features = torch.randn(3, 5).double(), torch.randn(3).double(), torch.randn(4, 5).double()
    found = gradient_norm(features, ((features @ weight.T + bias) / temperature).softmax(1), temperature)
    for f, norm in zip(features, found, strict=True):
        w = weight.clone().requires_grad_(True)
        log_p = ((f @ w.T + bias) / temperature).log_softmax(0)
        F.kl_div(log_p, torch.full((3,), 1 / 3, dtype=torch.float64), reduction="sum").backward()  # KL(u || p)
        assert norm.item() == pytest.approx(w.grad.abs().sum().item(), rel=1e-10)


def test_by_hand_and_higher_is_more_abnormal():
    anatomy = Anatomy("toy", 2, "head", (), torch.eye(2), torch.zeros(2))
    features = torch.tensor([[1.0, -2.0], [0.0, 0.0]])
    forward = ForwardPass(anatomy, torch.tensor([[100.0, 0], [0, 0]]), {"head:in": features})
    assert GradNorm().score(forward, {}).tolist() == pytest.approx([-3.0, 0.0])  # |f| = 3, |p - 1/2| = 1


def test_a_temperature_makes_the_softmax_soft_and_the_gradient_small():
    """At T = 2 the logits (2 ln 3, 0) give (3/4, 1/4): |f| = 3, |p - 1/2| = 1/2, over 2."""
    anatomy = Anatomy("toy", 2, "head", (), torch.eye(2), torch.zeros(2))
    logits = torch.tensor([[2 * math.log(3), 0.0]])
    forward = ForwardPass(anatomy, logits, {"head:in": torch.tensor([[1.0, -2.0]])})
    assert GradNorm(temperature=2).score(forward, {}).item() == pytest.approx(-0.75)
