import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError
from unshaken.explain.attribution.guided_backprop import GuidedReLUs
from unshaken.explain.engine.run import attribute

FIRST = torch.tensor([0])


def guided(function, *values):
    """The signed guided gradient of `function` at a point."""

    class Net(nn.Module):
        def forward(self, x):
            value = function(x.flatten(1))
            return torch.stack([value, torch.zeros_like(value)], 1)

    image = torch.tensor(values).view(1, 1, 1, -1)
    return attribute(Classifier(Net()), image, "guided-backprop:channels=sum", classes=FIRST).maps.flatten().tolist()


def test_negative_gradients_are_cut_at_every_relu():
    """z = 2 relu(x1) - 3 relu(x2) + relu(-x3): guided (2, 0, 0), for x3 is cut by its own sign."""
    assert guided(lambda x: 2 * x[:, 0].relu() - 3 * x[:, 1].relu() + (-x[:, 2]).relu(), 0.5, 0.5, 0.5) == [2, 0, 0]
    assert guided(lambda x: (x[:, 0] - 2 * x[:, 1]).relu(), 0.9, 0.1) == [1, -2]  # before the ReLU signs are free


@pytest.mark.parametrize(
    "relu",
    [
        F.relu,
        torch.relu,
        torch.Tensor.relu,
        nn.ReLU(),
        F.relu6,
        nn.ReLU6(),
        nn.Hardtanh(0, 1),
        nn.ReLU(inplace=True),
        nn.ReLU6(inplace=True),
        lambda x: F.relu(x, inplace=True),
        torch.relu_,
        torch.Tensor.relu_,
    ],
)
def test_modules_functions_and_calls_in_place_are_changed_alike(relu):
    """z = -relu(2 x1) + relu(2 x2 - 3): the first is cut by its gradient, the second by its input."""
    found = guided(lambda x: relu(2 * x[:, 1] - 0.5) - relu(2 * x[:, 0]) + relu(2 * x[:, 0] - 3), 0.4, 0.5)
    assert found == [0, 2]


def test_a_call_in_place_whose_result_is_not_taken_counts():
    def function(x):
        y = 2 * x[:, 0]
        torch.relu_(y)
        return -y

    assert guided(function, 0.5) == [0]


def test_above_six_nothing_passes_a_relu6():
    assert guided(lambda x: F.relu6(10 * x[:, 0]) + F.hardtanh(-x[:, 0]), 0.9) == [-1]


def test_without_any_relu_the_model_is_refused(images):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(ModelError, match="calls no ReLU that could be changed"):
        attribute(Classifier(net), images, "guided-backprop")


def test_nothing_stays_changed():
    x = torch.tensor([1.0, -1], requires_grad=True)
    with GuidedReLUs() as found:
        F.relu(x)
    (slope,) = torch.autograd.grad(-F.relu(x).sum(), x)
    assert (found.count, slope.tolist()) == (1, [-1, 0])
