"""The arithmetic of a mixture of probabilities, and its parts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unshaken.certify.smoothing.mixture import MixtureNet, check_alpha, mixed, normalised, parts_of
from unshaken.core import Classifier
from unshaken.core.errors import ParameterError

G = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64).log()
H = torch.tensor([[0.1, 0.6, 0.3]], dtype=torch.float64).log()


def test_by_hand():
    half = mixed(G, H, 0.5)[0]
    assert half[:2].tolist() == pytest.approx([math.log(0.4)] * 2)
    assert round(half[0].item(), 5) == -0.91629
    assert [round(v, 5) for v in mixed(G, H, 0.6)[0].tolist()] == [-1.07881, -0.82098, -1.51413]
    assert [round(v, 5) for v in mixed(G, H, 0.8)[0].tolist()] == [-1.51413, -0.65393, -1.34707]


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_it_is_the_mixture_of_the_softmaxes(alpha):
    generator = torch.Generator().manual_seed(0)
    g, h = (3 * torch.randn(40, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    found = mixed(g, h, alpha, scale_accurate=1.7, scale_robust=0.3)
    wanted = (1 - alpha) * (1.7 * g).softmax(1) + alpha * (0.3 * h).softmax(1)
    assert torch.allclose(found.exp(), wanted)
    assert torch.allclose(found.exp().sum(1), torch.ones(40, dtype=torch.float64))
    assert torch.equal(found.argmax(1), wanted.argmax(1))
    per_image = mixed(g, h, torch.full((40,), alpha, dtype=torch.float64), scale_accurate=1.7, scale_robust=0.3)
    assert torch.allclose(per_image, found)


def test_the_ends_are_the_two_alone():
    g, h = 5 * torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(1))
    assert torch.equal(mixed(g, h, 0.0, scale_accurate=2.0), (2 * g).log_softmax(1))
    assert torch.equal(mixed(g, h, 1.0, scale_robust=0.5), (0.5 * h).log_softmax(1))
    both = mixed(g, h, torch.tensor([0.0, 1.0] * 4 + [0.0]))
    assert torch.equal(both[0], g.log_softmax(1)[0])
    assert torch.equal(both[1], h.log_softmax(1)[1])


def test_gradients_survive_where_probabilities_are_zero():
    g = torch.tensor([[300.0, 0.0, 0.0]], requires_grad=True)
    h = torch.tensor([[250.0, 0.0, -50.0]], requires_grad=True)
    alpha = torch.tensor([0.0], requires_grad=True)
    assert (0.5 * g.softmax(1) + 0.5 * h.softmax(1)).log()[0, 1].item() == -math.inf  # the log of the sum
    mixed(g, h, 0.5)[0, 1].backward()
    for one in (g, h):
        assert bool(one.grad.isfinite().all())
        assert float(one.grad.abs().sum()) > 0.5 or one is g
    mixed(g.detach(), h.detach(), alpha)[0, 0].backward()
    assert bool(alpha.grad.isfinite().all())


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_a_weight_outside_is_refused(alpha):
    with pytest.raises(ParameterError, match="must lie in"):
        check_alpha(alpha, "mixture")


def test_a_weight_at_either_end_is_taken():
    assert [check_alpha(a, "mixture") for a in (0.0, 0.3, 1.0)] == [0.0, 0.3, 1.0]


def test_parts_answer_as_the_networks_themselves():
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(3).get_state())
        nets = [Classifier(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), mean=[m], std=[0.5]) for m in (0.1, 0.4)]
    whole = Classifier(MixtureNet(*nets, alpha=0.7, scale_accurate=2.0))
    images = torch.rand(5, 1, 3, 4, generator=torch.Generator().manual_seed(0))
    parts = parts_of(whole)
    assert torch.equal(parts.accurate(images), nets[0](images))
    assert torch.equal(parts.robust(images), nets[1](images))
    assert (parts.least_alpha, parts.scale_accurate, parts.weights) == (0.7, 2.0, None)
    assert parts_of(nets[0]) is None
    wanted = 0.3 * (2 * nets[0](images)).softmax(1) + 0.7 * nets[1](images).softmax(1)
    assert torch.allclose(whole(images).exp(), wanted, atol=1e-6)


def test_the_accurate_one_may_look_at_larger_images():
    seen = []

    class Watch(nn.Module):
        def forward(self, x):
            seen.append(tuple(x.shape))
            return x.mean((2, 3)).repeat(1, 2)

    net = MixtureNet(Watch(), Watch(), alpha=0.5, side=12)
    net(torch.zeros(2, 1, 4, 4))
    assert seen == [(2, 1, 12, 12), (2, 1, 4, 4)]
    same = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    assert torch.equal(MixtureNet(nn.Identity(), Watch(), alpha=0.5, side=12).accurate_logits(same), same)
    net(torch.zeros(2, 1, 12, 4))
    assert seen[2] == (2, 1, 12, 12)  # one side fits, the other does not


def test_images_as_a_net_sees_them():
    images = torch.full((1, 1, 2, 2), 0.7)
    assert torch.equal(normalised(Classifier(nn.Identity()), images), images)
    seen = normalised(Classifier(nn.Identity(), mean=[0.5], std=[0.4]), images)
    assert seen.flatten().tolist() == pytest.approx([0.5] * 4)


def test_weights_are_the_same_for_all_where_they_do_not_vary():
    net = MixtureNet(nn.Identity(), nn.Identity(), alpha=0.7)
    assert net.weights(torch.zeros(3, 1, 2, 2)).tolist() == pytest.approx([0.7] * 3)
    assert (net.least_alpha, net.varies) == (0.7, False)
