"""Forms of modules and calls as exact layers: what is taken gives the network's logits, and roundings are counted."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unshaken.certify.engine._pieces import fold, normalise, pair
from unshaken.certify.engine.layers import Conv, Dense, MaxPool, Reshape, Scale
from unshaken.certify.engine.reading import read_chain
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError

SHAPE = (3, 4, 6)


class Calls(nn.Module):
    """A function of the images, then a linear layer on the flat values."""

    def __init__(self, function, size=72):
        super().__init__()
        self.function, self.head = function, nn.Linear(size, 5)

    def forward(self, x):
        return self.head(torch.flatten(self.function(x), 1))


def ramp(*shape):
    return torch.arange(1.0, torch.Size(shape).numel() + 1).view(shape) / 10


FORMS = {
    "plus": (lambda x: 3 + x, 72),
    "plus a tensor": (lambda x: x + ramp(3, 1, 1), 72),
    "minus": (lambda x: x - 2, 72),
    "minus from a tensor": (lambda x: ramp(1, 3, 1, 1) - x, 72),
    "times": (lambda x: x * 3, 72),
    "times a tensor": (lambda x: ramp(3, 1, 1) * x, 72),
    "times a value a place": (lambda x: x * ramp(1, 1, 4, 6), 72),
    "over": (lambda x: torch.div(x, 4), 72),
    "over a tensor": (lambda x: x / ramp(3, 1, 1), 72),
    "mean over places": (lambda x: x.mean((2, 3)), 3),
    "mean that keeps places": (lambda x: torch.mean(x, (-1, -2), keepdim=True), 3),
    "pooling with a divisor": (lambda x: F.avg_pool2d(x, 2, divisor_override=3), 18),
    "pooling without padding": (lambda x: F.avg_pool2d(x, 2, 1, count_include_pad=False), 45),
    "pooling with padding": (lambda x: F.avg_pool2d(x, 3, 2, 1), 18),
    "pooling to a side of its own": (lambda x: F.adaptive_avg_pool2d(x, (None, 2)), 24),
    "wide windows": (lambda x: F.max_pool2d(x, (2, 1), (1, 3), (1, 0), (2, 1)), 24),
    "the shape by an attribute": (lambda x: x.reshape(x.shape[0], 72), 72),
    "flattening by hand": (lambda x: x.view(-1, 72).relu(), 72),
    "flattening to the last": (lambda x: torch.flatten(x, 1, 3), 72),
    "nothing": (lambda x: F.dropout(x, 0.5, False).contiguous(), 72),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_that_is_taken_gives_the_networks_logits(make, form):
    function, size = FORMS[form]
    model = Classifier(make.drawn(Calls(function, size)))
    x = make.images(*SHAPE)
    got, expected = read_chain(model, x).forward(x), model(x).detach().double()
    assert torch.allclose(got, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


REFUSED = {
    "a quotient by the images": lambda x: 2 / x,
    "a constant that widens the images": lambda x: x + ramp(2, 3, 4, 6),
    "a constant of too many dimensions": lambda x: x * ramp(3, 1, 3, 4, 6),
    "a dropout that works always": lambda x: F.dropout(x),
    "a mean over channels": lambda x: x.mean(1),
    "a mean over all but columns": lambda x: x.mean((1, 2)),
    "a mean over everything": lambda x: x.mean(),
    "another flattening": lambda x: torch.flatten(x, 2),
    "a flattening that ends early": lambda x: torch.flatten(x, 1, 2),
    "a view of three": lambda x: x.view(-1, 3, 24),
    "a view of other rows": lambda x: x.view(72, -1),
    "a view of half the values": lambda x: x.view(-1, 36),
    "pooling that gives places": lambda x: F.max_pool2d_with_indices(x, 2)[0],
    "flat windows": lambda x: F.max_pool2d(torch.flatten(x, 1), 2),
    "flat averages of a side": lambda x: F.adaptive_avg_pool2d(torch.flatten(x, 1), 1),
    "an average of windows of several sizes": lambda x: F.adaptive_avg_pool2d(x, (3, None)),
    "flat averages": lambda x: F.avg_pool2d(torch.flatten(x, 1), 2),
}


@pytest.mark.parametrize("form", REFUSED)
def test_a_form_that_is_not_known_is_refused(make, form):
    with pytest.raises(ModelError, match=r"^certify: "):
        read_chain(Classifier(Calls(REFUSED[form]).eval()), make.images(*SHAPE, n=2))


def test_a_second_input_is_refused(make):
    class Two(nn.Module):
        def forward(self, x, y):
            return x.flatten(1) + y

    with pytest.raises(ModelError, match="cannot be read"):
        read_chain(Classifier(Two().eval()), make.images(1, 2, 2))


def scale(factor, shift, terms=3):
    factor, shift = torch.tensor(factor).double(), torch.tensor(shift).double()
    return Scale("s", (2,), (2,), shift, shift.abs(), terms, factor)


def test_a_factor_is_folded_into_the_layer_before_it():
    """`f (W x + b) + s`, of terms of size `|f| |b| + |s|` beside those of `|f W| |x|`."""
    dense = Dense("d", (3,), (2,), torch.tensor([1.0, -2.0]).double(), torch.tensor([1.0, 2.0]).double(), 5,
                  ramp(2, 3).double())  # fmt: skip
    found = fold(dense, scale([2.0, -3.0], [0.5, -0.25]))
    assert torch.equal(found.weight, dense.weight * torch.tensor([[2.0], [-3.0]]))
    assert found.bias.tolist() == [2.5, 5.75]
    assert found.size.tolist() == [2.5, 6.25]
    assert found.terms == 8
    both = fold(scale([2.0, 4.0], [1.0, 1.0]), scale([3.0, 5.0], [0.0, -7.0]))
    assert both.factor.tolist() == [6, 20]
    assert both.bias.tolist() == [3, -2]
    assert both.size.tolist() == [3, 12]
    assert fold(dense, dense) is None


def test_a_factor_that_differs_from_place_to_place_is_not_folded(make):
    def layers(factor):
        net = nn.Sequential(nn.Conv2d(3, 3, 1), Calls(lambda x: x * factor))
        return read_chain(Classifier(make.drawn(net)), make.images(*SHAPE)).layers

    kinds = [[type(v) for v in layers(f)[:2]] for f in (ramp(3, 1, 1), ramp(1, 4, 6), ramp(3, 4, 6))]
    assert Scale not in kinds[0]
    assert kinds[1] == kinds[2] == [Conv, Scale]
    pair = nn.Sequential(nn.Conv2d(3, 2, 1), Calls(lambda x: x * ramp(1, 1, 2)))  # two places and two channels
    found = read_chain(Classifier(make.drawn(pair)), make.images(3, 18, 2)).layers
    assert [type(v) for v in found[:2]] == [Conv, Scale]


def test_roundings_of_each_layer_are_counted(make):
    """Products and sums of one output; a convolution of 3 channels of 2 x 2 has twelve of each."""
    net = nn.Sequential(nn.Conv2d(3, 2, 2), nn.BatchNorm2d(2), nn.AvgPool2d(2, 1), nn.Flatten(), nn.Linear(16, 4))
    chain = read_chain(Classifier(make.drawn(net)), make.images(*SHAPE))
    conv, pooled, _, head = chain.layers
    assert (conv.terms, pooled.terms, head.terms) == (12 + 2 + 9, 4 + 2, 16 + 2)
    mean = torch.full((3, 1, 1), 0.5).double()
    assert normalise(SHAPE, mean, 2 * mean).terms == 4
    plus = read_chain(Classifier(Calls(lambda x: x + 1).eval()), make.images(*SHAPE)).layers[0]
    assert (plus.terms, float(plus.size.max())) == (3, 1.0)


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


REFUSED_WINDOWS = {
    "windows of several sizes at the border": lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    "windows cut at the border": lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True),
    "maxima cut at the border": lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True),
    "sides that do not divide": lambda x: F.adaptive_avg_pool2d(x, (3, 6)),
    "columns that do not divide": lambda x: F.adaptive_avg_pool2d(x, (4, 4)),
    "a mean over one side": lambda x: x.mean(3),
}


@pytest.mark.parametrize("form", REFUSED_WINDOWS)
def test_what_has_no_exact_form_is_refused(make, form):
    with pytest.raises(ModelError, match=r"^certify: "):
        read_chain(Classifier(Windowed(REFUSED_WINDOWS[form])).eval(), make.images(1, 4, 6))


def test_a_pair_is_given_by_one_number_or_two():
    assert pair(3) == pair((3, 3)) == pair([3, 3]) == (3, 3)
    assert pair((1, 2)) == (1, 2)
