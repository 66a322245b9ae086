"""Interval bounds of layers: numbers by hand, and what float32 rounds."""

from itertools import accumulate

import pytest
import torch
from torch import nn

from unshaken.certify.bounds.interval import box, interval_margins, rounding, step
from unshaken.certify.engine.layers import TINY, Chain, Dense, MaxPool, ReLU, Reshape
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


# Roundings by hand: a layer whose sums may be off by a thousandth of their terms' sizes.

W, B = torch.tensor([[2.0, -1.0], [0.5, 3.0]]).double(), torch.tensor([0.5, -1.0]).double()


def coarse(weight=W, bias=B, share=1e-3):
    """With as many roundings as make that share."""
    layer = Dense("d", (weight.shape[1],), (len(weight),), bias, 2 * bias.abs(), 1, weight)
    terms = share / layer.share / (1 + share)
    return Dense("d", layer.source, layer.target, bias, layer.size, terms, weight)


def point(*values):
    return torch.tensor([values]).double()


def test_the_box_is_a_millionth_wider_than_the_ball():
    low, high = box(torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64), 0.25)
    assert float(high - low) == pytest.approx(0.5 * (1 + 1e-6), rel=1e-12)


def test_a_step_is_widened_by_the_rounding_of_its_sums():
    """`|W| r` and, of `|W| (|c| + r) + size`, the share."""
    layer, share = coarse(), coarse().share
    assert share == pytest.approx(1e-3, rel=1e-3)
    low, high = step(layer, (point(1, -4), point(3, -2)))  # c = (2, -3), r = (1, 1)
    assert ((low + high) / 2)[0].tolist() == pytest.approx([7.5, -9.0])
    wide = [3 + share * (2 * 3 + 1 * 4 + 1), 3.5 + share * (0.5 * 3 + 3 * 4 + 2)]
    assert ((high - low) / 2)[0].tolist() == pytest.approx(wide, rel=1e-9)


def test_margins_are_less_by_the_rounding_of_both_logits():
    chain = Chain("c", (coarse(),))
    found = interval_margins(chain, (point(2, -3), point(2, -3)), torch.tensor([0]))
    off = coarse().rounding(point(2, 3))[0]
    assert float(found[0, 1]) == pytest.approx(7.5 + 9 - float(off.sum()), rel=1e-9)
    wide = interval_margins(chain, (point(1, -4), point(3, -2)), torch.tensor([0]))
    off = coarse().rounding(point(3, 4))[0]
    assert float(wide[0, 1]) == pytest.approx(16.5 - (1.5 + 4) - float(off.sum()), rel=1e-9)


def test_a_rounding_passes_the_layers_behind_it():
    """Through `|W|`, unchanged by ReLU and another shape, and as the largest of a pooled window."""
    first, second = coarse(), coarse(torch.tensor([[1.0, -2.0]]).double(), torch.zeros(1).double())
    bounds = [(point(0, 0), point(1, 2)), (point(-5, -5), point(4, 3)), (point(0, 0), point(4, 3))]
    off = first.rounding(point(1, 2))
    assert torch.equal(rounding(Chain("c", (first, ReLU("r", (2,), (2,)))), bounds), off)
    end = second.rounding(point(4, 3)) + off @ torch.tensor([[1.0], [2.0]]).double()
    assert torch.allclose(rounding(Chain("c", (first, ReLU("r", (2,), (2,)), second)), bounds), end, rtol=1e-12)
    shaped = Reshape("s", (2,), (1, 1, 2))
    pool = MaxPool("m", (1, 1, 2), (1, 1, 1), (1, 2), (1, 2), (0, 0), (1, 1))
    found = rounding(Chain("c", (first, shaped, pool)), [*bounds[:2], (point(0, 0).view(1, 1, 1, 2),) * 2])
    assert found.flatten().tolist() == [float(off.max())]
    assert float(off.min()) > TINY
