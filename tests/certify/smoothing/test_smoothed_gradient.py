"""The gradient of a smoothed loss against torch.autograd."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.certify.smoothing.smoothed_gradient import MixedGradient, NoisyNetwork, SmoothedGradient
from unshaken.core import Classifier, Oracle, SampleRng


def test_the_gradient_is_that_of_the_mean_probability(plane):
    samples, rng = plane.batch(0.1, 0.2), SampleRng.of(0, "x", ["s0", "s1"])
    oracle = plane.counted()
    found = oracle.ask(SmoothedGradient(samples.images, samples.labels, 0.25 * rng.normal(5, 1, 4, 4)))
    x = samples.images.clone().requires_grad_(True)
    noise = rng.normal(5, 1, 4, 4)
    p = torch.stack([plane.Linear()(x[:, :] + 0.25 * noise[:, j]).softmax(1) for j in range(5)]).mean(0)
    loss = -p[:, 1].log()
    assert torch.allclose(found.value, loss.detach(), atol=1e-6)
    assert torch.allclose(found.gradient, torch.autograd.grad(loss.sum(), x)[0], atol=1e-6)
    assert found.forwards.tolist() == found.backwards.tolist() == [5, 5]
    assert (oracle.meter.forwards, oracle.meter.backwards) == (10, 10)


def net(outputs, seed):
    torch.manual_seed(seed)
    return Classifier(nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, outputs))).eval()


class Share(nn.Module):
    """A weight between 0 and 1 that depends on the image, `[N, 1]`."""

    def __init__(self):
        super().__init__()
        self.net = net(1, 5)

    def forward(self, images):
        return self.net(images).sigmoid()


@pytest.fixture
def case():
    torch.manual_seed(0)
    return torch.rand(3, 1, 4, 4), torch.tensor([0, 2, 1]), torch.randn(3, 5, 1, 4, 4)


@pytest.mark.parametrize("varies", [False, True])
def test_it_is_that_of_the_mixed_probability(case, varies):
    points, labels, noises = case
    p, q, share = net(4, 1), net(4, 2), Classifier(Share()).eval()
    counted = Oracle(p)
    first, second = NoisyNetwork(counted, scale=2.0), NoisyNetwork(counted.share_meter(q), lambda x: 1 - x, sigma=0.3)
    found = counted.ask(
        MixedGradient(points, labels, noises, first, second, counted.share_meter(share) if varies else 0.7)
    )

    x = points.clone().requires_grad_(True)
    weight = share.net(x) if varies else torch.full((3, 1), 0.7)
    copies = torch.stack([q(1 - (x + 0.3 * noises[:, i])).softmax(1) for i in range(5)]).mean(0)
    loss = -((1 - weight) * (2 * p(x)).softmax(1) + weight * copies).gather(1, labels[:, None]).log()
    assert torch.allclose(found.value, loss[:, 0].detach(), atol=1e-5)
    assert torch.allclose(found.gradient, torch.autograd.grad(loss.sum(), x)[0], atol=1e-5)
    passes = 1 + 5 + varies
    assert found.forwards.tolist() == found.backwards.tolist() == [passes] * 3
    assert (counted.meter.forwards, counted.meter.backwards) == (3 * passes, 3 * passes)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_part_without_weight_has_no_say(case, share):
    points, labels, noises = case
    nets = net(4, 1), net(4, 2)
    counted = Oracle(nets[0])
    found = counted.ask(
        MixedGradient(points, labels, noises, NoisyNetwork(counted), NoisyNetwork(counted.share_meter(nets[1])), share)
    )
    x = points.clone().requires_grad_(True)
    loss = nn.functional.cross_entropy(nets[int(share)](x), labels, reduction="sum")
    assert torch.allclose(found.gradient, torch.autograd.grad(loss, x)[0], atol=1e-5)
