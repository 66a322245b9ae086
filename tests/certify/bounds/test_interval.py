"""Interval bounds of layers: numbers by hand, and what float32 rounds."""

from itertools import accumulate

import pytest
import torch
from torch import nn

from unshaken.certify.bounds.interval import box, rounding, step
from unshaken.certify.engine.reading import read_chain
from unshaken.core.classifier import Classifier


def test_bounds_by_hand_of_a_pooled_convolution():
    """A kernel [1, -2] over (.2, .5, .9), eps .1: [-1.1, -.5], [-1.6, -1.0], so the larger lies in [-1.1, -.5]."""
    net = nn.Sequential(nn.Conv2d(1, 1, (1, 2), bias=False), nn.MaxPool2d((1, 2)), nn.Flatten())
    net[0].weight.data = torch.tensor([[[[1.0, -2.0]]]])
    x = torch.tensor([0.2, 0.5, 0.9]).view(1, 1, 1, 3)
    chain = read_chain(Classifier(net), x)
    bounds = list(accumulate(chain.layers, lambda bounds, layer: step(layer, bounds), initial=box(x, 0.1)))
    assert [v.flatten().tolist() for v in bounds[1]] == [
        pytest.approx([-1.1, -1.6], abs=1e-5),
        pytest.approx([-0.5, -1.0], abs=1e-5),
    ]
    assert [v.item() for v in bounds[-1]] == pytest.approx([-1.1, -0.5], abs=1e-5)


def test_the_box_is_cut_with_0_and_1():
    x = torch.tensor([0.02, 0.5, 1.0]).view(1, 1, 1, 3)
    low, high = box(x, 0.1)
    assert low.flatten().tolist() == pytest.approx([0, 0.4, 0.9], abs=1e-6)
    assert high.flatten().tolist() == pytest.approx([0.12, 0.6, 1.0], abs=1e-6)
    low, high = box(x.expand(2, -1, -1, -1), torch.tensor([0.0, 0.2]))
    assert torch.equal(low[0], high[0])
    assert float(high[1, 0, 0, 1]) == pytest.approx(0.7)


def test_rounding_bounds_what_float32_does(make):
    model, x = make.convolutional(0), make.samples(4, 1, 8, 8)
    chain = read_chain(model, x)
    off = rounding(
        chain, list(accumulate(chain.layers, lambda bounds, layer: step(layer, bounds), initial=box(x, 0.0)))
    )
    with torch.no_grad():
        seen = (model(x).double() - chain.forward(x)).abs()
    assert bool((seen <= off).all())
    assert float(off.max()) < 1e-3
