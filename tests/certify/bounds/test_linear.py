"""The linear relaxations of units and poolings, by hand."""

import pytest
import torch
from torch import nn

from unshaken.certify.bounds.crown import margins
from unshaken.certify.bounds.interval import box
from unshaken.certify.bounds.linear import Peaks, Slopes
from unshaken.certify.engine.reading import read_chain
from unshaken.core.classifier import Classifier


def test_the_relaxation_of_a_unit():
    """On [-1, 3]: upper line .75 (x + 1), lower x; on [-3, 1]: upper .25 (x + 3), lower 0."""
    bounds = torch.tensor([[-1.0, -3.0, 0.5, -2.0]]).double(), torch.tensor([[3.0, 1.0, 2.0, 0.0]]).double()
    slopes = Slopes.of(bounds)
    assert slopes.lower.tolist() == [[1, 0, 1, 0]]
    assert slopes.upper.tolist() == [[0.75, 0.25, 1, 0]]
    assert slopes.offset.tolist() == [[0.75, 0.75, 0, 0]]


def test_a_pooling_whose_window_is_decided_is_exact():
    """Windows (.9, .1) and (.5, .45) at eps .1: the first is its first member, the second lies in [x_1, .6]."""
    net = nn.Sequential(nn.MaxPool2d((1, 2)), nn.Flatten())
    x = torch.tensor([0.9, 0.1, 0.5, 0.45]).view(1, 1, 1, 4)
    chain = read_chain(Classifier(net), x)
    peaks = Peaks.of(chain.layers[0], box(x, 0.1))
    assert peaks.place.flatten().tolist() == [0, 2]
    assert peaks.sure.flatten().tolist() == [True, False]
    # z_0 - z_1 >= (.9 - .1) - .6
    assert margins(Classifier(net), x, torch.tensor([0]), 0.1)[0, 1].item() == pytest.approx(0.2, abs=1e-5)
