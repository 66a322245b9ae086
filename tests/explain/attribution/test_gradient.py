import torch

from unshaken.explain.attribution.gradient import Gradient
from unshaken.explain.engine.run import attribute


def test_the_cards_case_by_hand(formula):
    """f = x1^2 x2 at (2, 3): gradient (12, 4)."""
    found = attribute(
        formula(lambda x: x[:, 0] ** 2 * x[:, 1]), torch.tensor([[[[2.0, 3]]]]), "gradient", classes=torch.tensor([0])
    )
    assert found.maps.tolist() == [[[12, 4]]]
    assert (found.forwards.tolist(), found.backwards.tolist()) == ([1], [1])


def test_signs_are_kept_on_request(formula):
    net = formula(lambda x: x[:, 0] - 2 * x[:, 1] + 3 * x[:, 2])
    point = torch.tensor([[[[2.0, 1, -1]]]])
    signed = attribute(net, point, Gradient(channels="sum"), classes=torch.tensor([0]))
    assert signed.maps.tolist() == [[[1, -2, 3]]]


def test_a_probability_has_its_own_gradient(formula):
    """p = 1 / (1 + exp(-z)) of two classes: dp/dx = p (1 - p) dz/dx."""
    net, point = formula(lambda x: 3 * x[:, 0]), torch.tensor([[[[0.5]]]])
    p = torch.sigmoid(torch.tensor(1.5)).item()
    found = attribute(net, point, "gradient:score=probability", classes=torch.tensor([0]))
    assert abs(found.maps.item() - 3 * p * (1 - p)) < 1e-6
    found = attribute(net, point, "gradient:score=log-probability", classes=torch.tensor([0]))
    assert abs(found.maps.item() - 3 * (1 - p)) < 1e-6
