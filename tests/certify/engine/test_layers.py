"""The layers of a chain: the transposes that bounds are pulled back through, and sizes that bound their terms."""

import pytest
import torch
from torch import nn

from unshaken.certify.engine.layers import Conv, Dense, Scale
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
