"""Calls of conv2d become layers that compute the same."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.fx import symbolic_trace

from unshaken.core.plain_convolutions import plain_convolutions
from unshaken.core.search_copy import folded


class Padded(nn.Conv2d):
    """A convolution behind a padding of its own, as in networks from TensorFlow."""

    def __init__(self, pads, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.pad = nn.ZeroPad2d(pads)

    def forward(self, x):
        return F.conv2d(self.pad(x), self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Standardised(nn.Conv2d):
    """Its weights are not those that it convolves with."""

    def forward(self, x):
        return F.conv2d(x, self.weight / self.weight.norm(), self.bias)


def traced(layer):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        norm = nn.BatchNorm2d(4)
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
    return nn.Sequential(layer, norm, nn.ReLU()).eval()


@pytest.mark.parametrize(
    ("layer", "padding"),
    [
        (Padded((1, 1, 1, 1), 2, 4, 3), (1, 1)),
        (Padded((2, 2, 1, 1), 2, 4, 3, groups=2, bias=False), (1, 2)),
        (Padded((1, 1, 0, 0), 2, 4, 3, padding=1, dilation=2), (1, 2)),
        (Padded((-1, -1, -1, -1), 2, 4, 3), (0, 0)),  # a cut is no padding
        (Padded((0, 1, 0, 1), 2, 4, 3, stride=2), (0, 0)),  # not the same on both sides: the padding stays
    ],
)
def test_they_are_folded_and_compute_the_same(layer, padding):
    net, images = traced(layer), torch.rand(2, 2, 7, 9)
    found = folded(net)
    (plain,) = [m for m in found.modules() if isinstance(m, nn.Conv2d)]
    assert type(plain) is nn.Conv2d
    assert plain.padding == padding
    assert any(isinstance(m, nn.ZeroPad2d) for m in found.modules()) == (padding == (0, 0))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in found.modules())
    torch.testing.assert_close(found(images), net(images), rtol=1e-4, atol=1e-5)


def test_a_padding_that_others_read_stays():
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pad, self.weight = nn.ZeroPad2d(1), nn.Parameter(torch.rand(4, 2, 3, 3))

        def forward(self, x):
            wide = self.pad(x)
            return F.conv2d(wide, self.weight).sum(1) + wide.sum(1)[:, 1:-1, 1:-1]

    net, images = Both().eval(), torch.rand(2, 2, 6, 5)
    found = symbolic_trace(net)
    plain_convolutions(found)
    assert sum(type(m) is nn.Conv2d for m in found.modules()) == 1
    torch.testing.assert_close(found(images), net(images))


def test_weights_that_are_computed_are_left_alone():
    net, images = traced(Standardised(2, 4, 3)), torch.rand(2, 2, 7, 9)
    found = folded(net)
    assert any(isinstance(m, nn.BatchNorm2d) for m in found.modules())
    torch.testing.assert_close(found(images), net(images))


class Biased(nn.Conv2d):
    """Its bias is computed."""

    def forward(self, x):
        return F.conv2d(x, self.weight, 2 * self.bias)


class Same(nn.Conv2d):
    """Its padding is a word."""

    def forward(self, x):
        return F.conv2d(x, self.weight, self.bias, 1, "same")


@pytest.mark.parametrize("kind", [Biased, Same])
def test_calls_that_no_layer_makes_are_left_alone(kind):
    net, images = kind(2, 4, 3).eval(), torch.rand(2, 2, 7, 9)
    found = symbolic_trace(net)
    plain_convolutions(found)
    assert not any(isinstance(m, nn.Conv2d) for m in found.modules())
    assert torch.equal(found(images), net(images))


def test_one_weight_in_two_calls_is_folded_into_each():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(4, 4, 1, 1))
            self.norms = nn.ModuleList([traced(nn.Identity())[1], nn.BatchNorm2d(4)])

        def forward(self, x):
            for norm in self.norms:
                x = norm(F.conv2d(x, self.weight))
            return x

    net, images = Twice().eval(), torch.rand(2, 4, 3, 3)
    found = folded(net)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in found.modules())
    torch.testing.assert_close(found(images), net(images), rtol=1e-4, atol=1e-5)
