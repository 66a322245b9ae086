"""Windows over images as exact layers: their logits are the network's, and what has no exact form is refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unshaken.certify.engine._windows import pair
from unshaken.certify.engine.layers import Conv, MaxPool, Reshape
from unshaken.certify.engine.reading import read_chain
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError


class Windowed(nn.Module):
    """A function of the images, flattened to logits."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return torch.flatten(self.function(x), 1)


def layers_of(make, function, *shape):
    """The layers read, after a comparison of their logits with the network's."""
    model, x = Classifier(Windowed(function)).eval(), make.images(*shape)
    chain = read_chain(model, x)
    assert torch.allclose(chain.forward(x), model(x).double(), atol=1e-6)
    return chain.layers


@pytest.mark.parametrize("padding", ["valid", "same", 1, (0, 2)])
def test_a_convolution_takes_its_padding_by_name_or_number(make, padding):
    net = nn.Sequential(nn.Conv2d(3, 2, 3, padding=padding, dilation=(1, 2)), nn.Flatten())
    model, x = Classifier(make.drawn(net)), make.images(3, 5, 7)
    assert torch.allclose(read_chain(model, x).forward(x), model(x).detach().double(), atol=1e-5)


def test_an_average_is_a_convolution_of_each_channel_by_itself(make):
    layer, _ = layers_of(make, lambda x: F.avg_pool2d(x, (2, 3), padding=(1, 0)), 3, 4, 6)
    assert isinstance(layer, Conv)
    assert (layer.groups, layer.stride, layer.padding, layer.target) == (3, (2, 3), (1, 0), (3, 3, 2))
    assert layer.weight.unique().tolist() == [pytest.approx(1 / 6)]
    assert layer.weight.shape == (3, 1, 2, 3)
    assert not bool(layer.bias.any())
    third, _ = layers_of(make, lambda x: F.avg_pool2d(x, 2, 1, divisor_override=3), 1, 4, 4)
    assert third.weight.unique().tolist() == [pytest.approx(1 / 3)]
    assert third.stride == (1, 1)
    whole, _ = layers_of(make, lambda x: F.avg_pool2d(x, 2, count_include_pad=False), 1, 4, 4)
    assert whole.stride == (2, 2)


def test_an_adaptive_pooling_keeps_the_sides_that_are_not_named(make):
    for size, kernel in (((None, 2), (1, 3)), (2, (2, 3)), ((4, 1), (1, 6))):
        layer, _ = layers_of(make, lambda x, size=size: F.adaptive_avg_pool2d(x, size), 2, 4, 6)
        assert (tuple(layer.weight.shape[2:]), layer.stride) == (kernel, kernel)


def test_a_mean_over_places_is_an_average_and_another_shape(make):
    flat = layers_of(make, lambda x: x.mean((2, 3)), 3, 4, 6)
    assert [type(v) for v in flat[:2]] == [Conv, Reshape]
    assert flat[1].target == (3,)
    kept = layers_of(make, lambda x: x.mean((-1, -2), keepdim=True), 3, 4, 6)
    assert [v.target for v in kept] == [(3, 1, 1), (3,)]


def test_a_maximum_has_its_windows(make):
    layer, _ = layers_of(make, lambda x: F.max_pool2d(x, (3, 2), (1, 2), (1, 0), (1, 3)), 2, 5, 8)
    assert isinstance(layer, MaxPool)
    assert (layer.kernel, layer.stride, layer.padding, layer.dilation) == ((3, 2), (1, 2), (1, 0), (1, 3))
    assert layer.target == (2, 5, 3)
    plain, _ = layers_of(make, lambda x: F.max_pool2d(x, 2), 2, 4, 4)
    assert (plain.stride, plain.padding, plain.dilation) == ((2, 2), (0, 0), (1, 1))


REFUSED = {
    "windows of several sizes at the border": lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    "windows cut at the border": lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True),
    "maxima cut at the border": lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True),
    "sides that do not divide": lambda x: F.adaptive_avg_pool2d(x, (3, 6)),
    "columns that do not divide": lambda x: F.adaptive_avg_pool2d(x, (4, 4)),
    "a mean over one side": lambda x: x.mean(3),
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_has_no_exact_form_is_refused(make, form):
    with pytest.raises(ModelError, match=r"^certify: "):
        read_chain(Classifier(Windowed(REFUSED[form])).eval(), make.images(1, 4, 6))


def test_a_pair_is_given_by_one_number_or_two():
    assert pair(3) == pair((3, 3)) == pair([3, 3]) == (3, 3)
    assert pair((1, 2)) == (1, 2)
