"""The layers of a chain: the transposes that bounds are pulled back through, and sizes that bound their terms."""

import pytest
import torch
from torch import nn

from unshaken.certify.engine.layers import TINY, Chain, Conv, Dense, MaxPool, ReLU, Scale
from unshaken.certify.engine.reading import read_chain
from unshaken.core.classifier import Classifier
from unshaken.models.networks.architectures import build


def test_batch_norms_are_folded_and_sizes_bound_the_terms(make):
    model = Classifier(make.drawn(build("small-cnn", classes=10, channels=1, side=8)))
    chain = read_chain(model, make.images(1, 8, 8))
    assert not any(isinstance(layer, Scale) for layer in chain.layers)
    for layer in chain.layers:
        if isinstance(layer, Dense | Conv):
            assert bool((layer.size >= layer.bias.abs() - 1e-12).all())


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_pulling_back_is_the_transpose(make, kind):
    """`<r, W x> = <W^T r, x>` for every layer, with windows that leave a rest."""
    dense, conv = nn.Linear(48, 3), nn.Conv2d(3, 4, 3, stride=2, padding=1, dilation=2)
    net = nn.Sequential(nn.Flatten(), dense) if kind == "dense" else nn.Sequential(conv, nn.Flatten())
    x = make.images(3, 4, 4) if kind == "dense" else make.images(3, 9, 10)
    chain = read_chain(Classifier(make.drawn(net)), x)
    (layer,) = [v for v in chain.layers if isinstance(v, Dense | Conv)]
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(2, *layer.source, generator=generator, dtype=torch.float64)
    r = torch.randn(2, *layer.target, generator=generator, dtype=torch.float64)
    left, right = (r * layer.map(a)).flatten(1).sum(1), (layer.pull(r) * a).flatten(1).sum(1)
    assert torch.allclose(left, right)
    left, right = (r * layer.spread(a)).flatten(1).sum(1), (layer.pull(r, size=True) * a).flatten(1).sum(1)
    assert torch.allclose(left, right)


def test_a_factor_is_pulled_back_by_itself():
    factor = torch.tensor([2.0, -3.0]).double()
    layer = Scale("s", (2,), (2,), factor, factor.abs(), 3, factor)
    rows = torch.tensor([[1.0, 4.0]]).double()
    assert layer.pull(rows).tolist() == [[2, -12]]
    assert layer.pull(rows, size=True).tolist() == [[2, 12]]
    assert layer.spread(rows).tolist() == [[2, 12]]
    assert layer.forward(rows).tolist() == [[4, -15]]


def test_the_largest_rounding_of_a_sum_by_hand():
    """Of n terms it is `n u / (1 - n u)` of the sizes' sum, u = 2^-24, and a little more; never less."""
    bias = torch.tensor([0.5]).double()
    layer = Dense("d", (2,), (1,), bias, torch.tensor([3.0]).double(), 1000, torch.tensor([[2.0, -1.0]]).double())
    u = 2**-24
    assert layer.share == pytest.approx(1000 * u / (1 - 1000 * u), rel=2e-3)
    assert layer.share > 1000 * u / (1 - 1000 * u)
    reach = torch.tensor([[5.0, 7.0]]).double()
    assert float(layer.rounding(reach)) == pytest.approx(layer.share * (2 * 5 + 7 + 3), rel=1e-12)
    assert float(layer.rounding(0 * reach)) >= layer.share * 3 + TINY / 2


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [((2, 2), (2, 2), (0, 0), (1, 1)), ((3, 2), (1, 2), (1, 1), (1, 2)), ((2, 3), (3, 1), (1, 0), (2, 1))],
)
def test_members_of_a_window_are_those_that_it_pools(kernel, stride, padding, dilation):
    x = torch.randn(1, 2, 5, 7, generator=torch.Generator().manual_seed(0)).double()
    pooled = torch.nn.functional.max_pool2d(x, kernel, stride, padding, dilation)
    layer = MaxPool("m", (2, 5, 7), tuple(pooled.shape[1:]), kernel, stride, padding, dilation)
    members = layer.members()
    values = torch.where(members < 0, -torch.inf, x.flatten()[members.clamp_min(0)])
    assert members.shape == (*pooled.shape[1:], kernel[0] * kernel[1])
    assert torch.equal(values.amax(-1), pooled[0])
    assert bool((members < 0).any()) is (max(padding) > 0)


def test_a_chain_knows_its_classes_and_its_largest_tensor():
    layers = (MaxPool("m", (1, 6, 6), (1, 3, 3), (2, 2), (2, 2), (0, 0), (1, 1)), ReLU("r", (9,), (9,)))
    assert (Chain("c", layers).largest, Chain("c", layers).classes) == (36, 9)
    assert Chain("c", layers).device == torch.device("cpu")
