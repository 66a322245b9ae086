"""The linear relaxations of units and poolings, by hand."""

import pytest
import torch
from torch import nn

from unshaken.certify.bounds.crown import margins
from unshaken.certify.bounds.interval import box
from unshaken.certify.bounds.linear import LinearBounds, Peaks, Slopes
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


def test_a_pooling_never_takes_what_pads_it():
    """Each window of 2 x 2 on 2 x 2 pixels with a padding of one pixel holds one pixel, which is its maximum."""
    net = nn.Sequential(nn.MaxPool2d(2, padding=1), nn.Flatten())
    x = torch.tensor([0.9, 0.1, 0.5, 0.4]).view(1, 1, 2, 2)
    bounds = box(x, 0.05)
    peaks = Peaks.of(read_chain(Classifier(net), x).layers[0], bounds)
    assert peaks.place.flatten().tolist() == [0, 1, 2, 3]
    assert peaks.sure.all()
    assert torch.equal(peaks.most.flatten(), bounds[1].flatten())


def test_units_that_may_be_on_or_off_are_bounded_from_both_sides_by_linear_bounds_too():
    """Of relu(x + 1) twice, x in [0, 1]: their difference and .1 is .1 exactly, by intervals in [-.9, 1.1]."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 2))
    net[1].weight.data, net[1].bias.data = torch.ones(2, 1), torch.ones(2)
    net[3].weight.data, net[3].bias.data = torch.tensor([[1.0, -1.0]]), torch.tensor([0.1])
    x = torch.tensor([0.5]).view(1, 1, 1, 1)
    chain = read_chain(Classifier(net), x)
    place = [type(v).__name__ for v in chain.layers].index("ReLU") + 2
    for refine, low, high in ((True, 0.1, 0.1), (False, -0.9, 1.1)):
        bounds = LinearBounds(chain, box(x, 0.5), refine=refine, limit=1).bounds[place]
        assert [v.item() for v in bounds] == pytest.approx([low, high], abs=1e-5)


def test_the_margins_of_a_batch_are_those_of_each_image():
    """A linear model at eps .1: z_y - z_j - .1 |w_y - w_j|, whatever the label and the image."""
    linear = nn.Linear(2, 3, bias=False)
    linear.weight.data = weights = torch.tensor([[1.0, 0], [0, 2], [-1, -1]])
    net = Classifier(nn.Sequential(nn.Flatten(), linear))
    x = torch.tensor([[0.5, 0.3], [0.2, 0.8]]).view(2, 1, 1, 2)
    labels = torch.tensor([0, 1])
    found = margins(net, x, labels, 0.1)
    for i, y in enumerate(labels.tolist()):
        for j in {0, 1, 2} - {y}:
            difference = weights[y] - weights[j]
            wanted = difference @ x[i].flatten() - 0.1 * difference.abs().sum()
            assert found[i, j].item() == pytest.approx(wanted.item(), abs=1e-5)
        assert found[i, y] == float("inf")
