"""BPDA: the place where gradients stop, the way around it, and the smoothed model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.attack.engine.bpda import Bridge, BridgedModel, SmoothedModel, lead_around
from unshaken.core import Batch, Classifier, Oracle


class Round(nn.Module):
    def forward(self, x):
        return (x * 4).round() / 4


class Levels(nn.Module):
    """Thermometer code of one channel: `[N, 1, H, W]` to `[N, 4, H, W]` of zeros and ones."""

    def forward(self, x):
        return (x > torch.tensor([0.2, 0.4, 0.6, 0.8]).view(1, 4, 1, 1)).float()


class Through(nn.Module):
    """A step that leaves the graph, on the way into a child."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(torch.from_numpy(x.detach().numpy().round(1)))


class NaN(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * torch.nan


class Broken(nn.Module):
    def forward(self, x):
        return NaN.apply(x)


def head(channels=1, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(16 * channels, 3)).requires_grad_(False)


def data(n=8):
    images = torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    return Batch(images, torch.zeros(n, dtype=torch.int64), tuple(map(str, range(n))))


def gradient(model, images, k=0):
    x = images.clone().requires_grad_(True)
    (found,) = torch.autograd.grad(model(x)[:, k].sum(), x)
    return found


def found_for(net, batch=None):
    model = Classifier(net).eval()
    return model, lead_around(Oracle(model), batch or data(), 0)


@pytest.mark.parametrize(
    ("block", "source"),
    [(Round(), "net.0:in"), (Broken(), "net.0:in"), (nn.Sequential(Round(), Round()), "net.0.1:in")],
)
def test_a_step_is_led_around_by_the_identity(block, source):
    last = head()
    model, found = found_for(nn.Sequential(block, last))
    images = data().images
    assert torch.equal(found(images), model(images))
    weight = last[1].weight[0].view(1, 1, 4, 4).expand(8, 1, 4, 4)
    assert torch.allclose(gradient(found, images), weight)  # the gradient of the linear layer alone, by hand
    assert found.net.bridges[0][:2] == ("net.1", source)


def test_a_step_outside_the_graph_and_inside_a_module():
    last = head()
    model, found = found_for(Through(last))
    assert found.net.bridges == (Bridge("net.net", "net:in"),)
    assert found.name == "the identity from net:in to net.net"
    assert torch.equal(found(data().images), model(data().images))
    assert bool((gradient(found, data().images) != 0).all())


def test_two_steps_apart_get_two_bridges():
    middle = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(middle.weight, 3.0)
    last = head()
    _, found = found_for(nn.Sequential(Round(), middle.requires_grad_(False), Round(), last))
    assert [b.target for b in found.net.bridges] == ["net.3", "net.1"]
    assert torch.allclose(gradient(found, data(2).images), 3 * last[1].weight[0].view(1, 1, 4, 4).expand(2, 1, 4, 4))


def test_another_shape_gets_a_fitted_map_that_rises_where_the_code_does():
    model, found = found_for(nn.Sequential(Levels(), head(4)), data(16))
    (bridge,) = found.net.bridges
    images = data().images
    assert torch.equal(found(images), model(images))
    grid = torch.linspace(0, 1, 16).view(1, 1, 4, 4)
    with torch.no_grad():
        code = bridge.stand_in(grid.expand(1, 1, 4, 4))[0]
    assert float(code[:, 3, 1:3].mean() - code[:, 0, 1:3].mean()) > 0.5
    assert bool((gradient(found, images).abs().flatten(1).amax(1) > 0).all())


def test_there_is_no_way_where_nothing_stops_or_nothing_goes_on():
    assert found_for(head())[1] is None
    assert found_for(nn.Sequential(nn.Flatten(), nn.Linear(16, 3), Round(), nn.Softmax(1), Round()))[1] is None


def test_the_model_is_left_without_hooks_and_passes_are_counted():
    model = Classifier(nn.Sequential(Round(), head())).eval()
    oracle = Oracle(model)
    found = lead_around(oracle, data(), 0)
    assert (oracle.meter.forwards, oracle.meter.backwards) == (16, 16)
    found(data().images)
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())
    assert bool((gradient(model, data().images) == 0).all())
    assert torch.equal(gradient(Classifier(BridgedModel(model, ())), data().images), gradient(model, data().images))


def test_smoothing_repeats_its_patterns_and_averages_a_steep_wave_away():
    class Wave(nn.Module):
        def forward(self, x):
            return torch.stack([(x + 0.05 * torch.sin(400 * x)).sum((1, 2, 3))] * 2, 1)

    model, images = Classifier(Wave()).eval(), data(2).images
    smooth = SmoothedModel(model, sigma=0.05, patterns=400, seed=0)
    first = [smooth(images) for _ in range(3)]
    assert not torch.equal(first[0], first[1])
    again = SmoothedModel(model, sigma=0.05, patterns=3, seed=0)
    got = [again(images) for _ in range(6)]
    assert all(torch.equal(a, b) for a, b in zip(got[:3], got[3:], strict=True))
    # The slope is 1 + 20 cos(400 x); the wave's mean over the noise is 0, its spread 20 / sqrt(2 * 400) = 0.7.
    mean = torch.stack([gradient(smooth, images) for _ in range(400)]).mean(0)
    assert float((mean - 1).abs().max()) < 4 * 0.71
    assert float((gradient(model, images) - 1).abs().max()) > 15
