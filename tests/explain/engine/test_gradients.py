import torch

from unshaken.core.oracle import Oracle
from unshaken.explain.engine.gradients import LayerGradient, PointGradients


def test_gradients_at_several_points_are_those_of_each(formula):
    """f = x1^2 x2: the gradient is (2 x1 x2, x1^2)."""
    points = torch.tensor([[2.0, 3], [1, 1], [0, 5]]).view(1, 3, 1, 1, 2)
    oracle = Oracle(formula(lambda x: x[:, 0] ** 2 * x[:, 1]), limit=2)
    answer = oracle.ask(PointGradients(points, torch.tensor([0]), "logit"))
    assert answer.gradient.view(3, 2).tolist() == [[12, 4], [2, 1], [0, 0]]
    assert answer.value.tolist() == [[12, 1, 0]]
    assert (oracle.meter.forwards, oracle.meter.backwards, oracle.meter.largest_batch) == (3, 3, 2)


def test_the_gradient_by_a_layers_output(conv, images):
    """After the last layer with places come the mean over 10 x 8 places and a linear layer."""
    classes = torch.tensor([1, 4])
    answer = Oracle(conv).ask(LayerGradient(images[:2], classes, "4"))
    expected = (conv.net[7].weight[classes] / 80).view(2, 12, 1, 1).expand_as(answer.gradient)
    assert torch.allclose(answer.gradient, expected, atol=1e-7)
    assert answer.features["4"].shape == (2, 12, 10, 8)
