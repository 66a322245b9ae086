"""The head that is told its policy: its targets, drawn policies, what it learns, and sizes of published heads."""

import pytest
import torch
from torch import nn

from unshaken.core.rng import SampleRng
from unshaken.detect.moderation import policy_conditional
from unshaken.detect.moderation.policy_conditional import (
    ConditionalHead,
    draw_policies,
    fit_conditional,
    perceptron,
    policy_target,
)
from unshaken.detect.moderation.policy_heads import memberships


def test_the_policy_decides_the_target():
    belongs = torch.tensor([[True, False, False], [False, False, False]])
    every = torch.ones(2, 3, dtype=torch.bool)
    assert policy_target(belongs, every).tolist() == [True, False]
    without_own, without_other = every.clone(), every.clone()
    without_own[:, 0], without_other[:, 2] = False, False
    assert policy_target(belongs, without_own).tolist() == [False, False]
    assert policy_target(belongs, without_other).tolist() == [True, False]


def test_random_policies():
    belongs = torch.eye(4, dtype=torch.bool)[torch.arange(400) % 4]
    rng = SampleRng.of(0, "t", [str(i) for i in range(400)])
    policy = draw_policies(belongs, rng)
    assert policy.any(1).all()
    assert 0.4 < policy_target(belongs, policy).float().mean() < 0.6
    assert policy_target(belongs, draw_policies(belongs, rng, 0.0)).all()
    assert not policy_target(belongs, draw_policies(belongs, rng, 1.0)).any()
    assert set((policy & ~belongs).sum(1).tolist()) == {0, 1, 2, 3}


def test_a_head_that_is_told_its_policy(make):
    """Taught with categories left out it lets these through; taught without, it flags the image all the same."""
    x, y = make.clouds(600, 0)
    held, theirs = make.clouds(300, 1)
    belongs, truth = (memberships(labels, [(1,), (2,)]) for labels in (y, theirs))
    every, without = torch.ones_like(truth), ~truth
    mine = truth.any(1)
    right = {}
    for negatives in (0.5, 0.0):
        head = fit_conditional(x, belongs, steps=400, negatives=negatives)
        right[negatives] = [
            ((head(held, p) > 0) == policy_target(truth, p))[mine].float().mean().item() for p in (every, without)
        ]
    assert min(right[0.5]) > 0.75
    assert right[0.0][0] > 0.75
    assert right[0.0][1] < right[0.5][1] - 0.2


def test_sizes_of_published_heads():
    def size(net):
        return sum(p.numel() for p in net.parameters())

    assert size(perceptron([768, 384], batch_norm=True)) == 296_449
    assert size(perceptron([768, 64, 512, 256])) == 214_081
    assert isinstance(perceptron([8, 4])[0], nn.Linear)
    assert perceptron([8, 4, 2], batch_norm=True).eval()(torch.zeros(3, 8)).shape == (3, 1)


def test_a_policy_weighs_as_much_as_the_standardised_features():
    """Eight features and two categories: the policy is written as +-sqrt(8 / 2)."""
    features = torch.randn(50, 8, generator=torch.Generator().manual_seed(0)) * 3 + 5
    head, seen = ConditionalHead(features, 2), []
    head.net = nn.Sequential(nn.Identity())
    head.net.register_forward_hook(lambda module, given, output: seen.append(output))
    policy = torch.tensor([[True, False]]).repeat(50, 1)
    assert torch.equal(head(features, policy), seen[0][:, 0])
    assert torch.allclose(seen[0][:, :8].mean(0), torch.zeros(8), atol=1e-5)
    assert torch.allclose(seen[0][:, :8].std(0), torch.ones(8), atol=1e-5)
    assert seen[0][:, 8:].tolist() == [[2.0, -2.0]] * 50


@pytest.mark.parametrize(("shown", "negatives", "weight"), [(20, 0.5, 3.0), (40, 0.0, 0.0), (1, 0.9, 20.0)])
def test_unsafe_images_weigh_as_much_as_safe_ones(monkeypatch, shown, negatives, weight):
    """Of 40 images `shown` fall under a category, and of these `negatives` are made safe; at most 20 for one."""
    belongs, weights = torch.zeros(40, 3, dtype=torch.bool), []
    belongs[:shown, 1] = True

    def loss(logits, target, pos_weight):
        weights.append(float(pos_weight))
        return logits.sum()

    monkeypatch.setattr(policy_conditional.F, "binary_cross_entropy_with_logits", loss)
    head = fit_conditional(torch.randn(40, 4), belongs, steps=1, negatives=negatives)
    assert weights == pytest.approx([weight])
    assert not head.training
    assert not any(p.requires_grad for p in head.parameters())
