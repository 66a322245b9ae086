"""Entropy in nats."""

import math

import pytest
import scipy.stats
import torch

from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.entropy import Entropy


def test_published_logits(anatomy):
    assert Entropy().score(ForwardPass(anatomy, torch.tensor([[2, 1, 0.1]])), {}).item() == pytest.approx(
        0.846738, abs=1e-6
    )


def test_it_is_that_of_scipy(anatomy):
    logits = torch.randn(50, 7) * 3
    expected = scipy.stats.entropy(logits.double().softmax(1).numpy(), axis=1)
    assert Entropy().score(ForwardPass(anatomy, logits), {}).tolist() == pytest.approx(expected.tolist(), abs=1e-12)


def test_equal_and_extreme_logits(anatomy):
    found = Entropy().score(ForwardPass(anatomy, torch.tensor([[3.0, 3, 3, 3], [5000, 0, 0, 0]])), {})
    assert found.tolist() == pytest.approx([math.log(4), 0], abs=1e-12)


def test_a_shift_of_the_logits_changes_nothing(anatomy):
    logits = torch.randn(20, 5)
    one, other = (Entropy().score(ForwardPass(anatomy, z), {}) for z in (logits.double(), logits.double() + 100))
    assert torch.allclose(one, other, atol=1e-10)
