"""The gradient of a linear model by hand; models that cannot be misled are refused."""

import pytest
import torch
from torch import nn

from unshaken.core import Classifier, View
from unshaken.core.errors import ModelError
from unshaken.stress.engine.misleading import lead_away

WEIGHTS = torch.tensor([[1.0, -2.0, 0.5, 0.0], [0.0, 1.0, 1.0, -1.0]])


def linear(view=None):
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    net[1].weight.data = WEIGHTS
    return Classifier(net, view=view).eval()


def test_the_gradient_leads_away_from_the_class_of_the_image():
    image = torch.tensor([1.0, 0.0, 0.0, 0.0]).view(1, 1, 2, 2)  # of class 0
    shown = torch.tensor([0.2, 0.6, 0.1, 0.9]).view(1, 1, 2, 2)
    p = (WEIGHTS @ shown.flatten()).softmax(0)
    by_hand = p[1] * (WEIGHTS[1] - WEIGHTS[0])  # of -log p_0 by z
    assert torch.allclose(lead_away(linear(), image)(shown).flatten(), by_hand)


def test_colours_and_sizes_are_fitted_to_the_model():
    push = lead_away(linear(View(2, 2, channels=1)), torch.rand(1, 3, 8, 6))
    slope = push(torch.rand(1, 3, 8, 6))
    assert slope.shape == (1, 3, 8, 6)
    assert torch.allclose(slope[:, 0], slope[:, 2])


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        (nn.Flatten(), {"differentiable": False}, "gives no gradients"),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 1)), {}, r"logits \(1, 1\): mislead a classifier of two classes"),
        (nn.Identity(), {}, r"logits \(1, 1, 2, 2\)"),
        (nn.Sequential(nn.Flatten(), nn.Threshold(2.0, float("nan"))), {}, "no numbers"),
    ],
)
def test_models_that_cannot_be_misled_are_refused(net, options, message):
    with pytest.raises(ModelError, match=message):
        lead_away(Classifier(net, **options).eval(), torch.rand(1, 1, 2, 2))
