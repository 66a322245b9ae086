import pytest
import torch

from unshaken.explain.engine.run import attribute


def test_of_a_linear_logit_it_is_the_gradient(formula):
    net = formula(lambda x: x[:, 0] - 2 * x[:, 1] + 3 * x[:, 2])
    point = torch.tensor([[[[2.0, 1, -1]]]])
    found = attribute(net, point, "smoothgrad:samples=20,channels=sum", classes=torch.tensor([0]))
    assert found.maps.flatten().tolist() == pytest.approx([1, -2, 3], rel=1e-6)
    assert found.forwards.item() == 20


def test_of_a_square_it_averages_to_the_gradient_within_the_noise(formula):
    """The gradient of x^2 under noise s n is 2 (x + s n): its mean over m draws deviates by 2 s / sqrt(m)."""
    net, point = formula(lambda x: (x**2).sum(1)), torch.tensor([[[[0.0, 1, 0.5]]]])
    found = attribute(net, point, "smoothgrad:samples=400,sigma=0.2,channels=sum", classes=torch.tensor([0]))
    assert (found.maps.flatten() - torch.tensor([0.0, 2, 1])).abs().max() < 5 * 2 * 0.2 / 400**0.5
