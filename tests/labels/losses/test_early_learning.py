"""Early-learning regularisation on a batch by hand, its targets, and its limits."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from unshaken.labels.losses.early_learning import CLAMP, early_learning, update_targets

P = torch.tensor([[0.6, 0.3, 0.1]], dtype=torch.float64)


def test_early_learning_on_a_batch_of_two():
    logits = torch.tensor([[2.0, 0, -1], [0, 1, 0]], dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([1, 1])
    targets = update_targets(torch.zeros(2, 3, dtype=torch.float64), logits, 0.7)
    assert targets.flatten().tolist() == pytest.approx(
        [0.253138, 0.034259, 0.012603, 0.063582, 0.172835, 0.063582], abs=1e-6
    )
    agreement = early_learning(targets, logits)
    assert agreement.tolist() == pytest.approx([-0.245950, -0.135275], abs=1e-6)
    loss = F.cross_entropy(logits, labels) + 3 * agreement.mean()
    assert loss.item() == pytest.approx(0.788808, abs=1e-6)
    (gradient,) = torch.autograd.grad(loss, logits)
    wanted = [[0.365084, -0.402644, 0.037560], [0.128879, -0.257759, 0.128879]]
    assert gradient.flatten().tolist() == pytest.approx([*wanted[0], *wanted[1]], abs=1e-6)
    p = logits.detach().softmax(1)
    inner = (targets * p).sum(1, keepdim=True)
    by_formula = (p - F.one_hot(labels, 3) + 3 * p * (inner - targets) / (1 - inner)) / 2
    assert torch.allclose(gradient, by_formula, atol=1e-12)
    assert gradient.sum(1).abs().max() < 1e-12
    again = update_targets(targets, logits, 0.7)
    assert early_learning(again, logits).tolist() == pytest.approx([-0.463092, -0.242189], abs=1e-6)


@pytest.mark.parametrize(("steps", "total"), [(1, 0.3), (2, 0.51), (5, 0.83193)])
def test_the_average_fills_up(steps, total):
    targets = torch.zeros(1, 3, dtype=torch.float64)
    for _ in range(steps):
        targets = update_targets(targets, P.log(), 0.7)
    assert targets.sum().item() == pytest.approx(total)


@pytest.mark.parametrize(("classes", "least"), [(2, -8.517), (3, -8.112), (10, -6.909)])
def test_saturated_predictions_have_a_finite_loss(classes, least):
    logits = torch.full((1, classes), -100.0, dtype=torch.float64)
    logits[0, 0] = 100
    targets = update_targets(torch.zeros(1, classes, dtype=torch.float64), logits, 0.0)
    assert early_learning(targets, logits).item() == pytest.approx(least, abs=1e-3)
    assert CLAMP == 1e-4
