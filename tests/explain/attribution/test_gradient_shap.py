import torch

from unshaken.explain.engine.run import attribute


def test_of_a_linear_logit_it_is_the_way_from_the_mean_baseline(formula):
    """`(x - b) w` on average, with b uniform in [0, 1]: a mean of m draws deviates by |w| sqrt(1 / 12 m)."""
    weights = torch.tensor([1.0, -2, 3])
    net, point = formula(lambda x: x @ weights), torch.tensor([[[[0.9, 0.2, 0.5]]]])
    found = attribute(net, point, "gradient-shap:samples=600", classes=torch.tensor([0]))
    expected = (point.flatten() - 0.5) * weights
    assert ((found.maps.flatten() - expected).abs() < 5 * weights.abs() * (1 / (12 * 600)) ** 0.5).all()
