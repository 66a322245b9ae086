import pytest
import torch

from unshaken.core.classifier import View
from unshaken.core.errors import DataError
from unshaken.explain.attribution.expected_gradients import ExpectedGradients, load_baselines
from unshaken.explain.engine.run import attribute

FIRST = torch.tensor([0])


def test_from_one_baseline_a_linear_logit_is_exact(formula):
    """`(x - b) w` whatever the points, for one baseline b."""
    net, point = formula(lambda x: x[:, 0] - 2 * x[:, 1]), torch.tensor([[[[0.9, 0.2]]]])
    method = ExpectedGradients(samples=3).from_images(torch.tensor([[[[0.5, 0.6]]]]))
    assert attribute(net, point, method, classes=FIRST).maps.flatten().tolist() == pytest.approx([0.4, 0.8], abs=1e-6)


def test_of_a_square_it_is_the_mean_over_baselines_and_places(formula):
    """For z = x^2 from b: `E (x - b) 2 (b + t (x - b)) = x^2 - b^2`; b is 0 or 1 as often."""
    net, point = formula(lambda x: x[:, 0] ** 2), torch.tensor([[[[0.5]]]])
    method = ExpectedGradients(samples=2000).from_images(torch.tensor([0.0, 1]).view(2, 1, 1, 1))
    found = attribute(net, point, method, classes=FIRST).maps.item()
    assert abs(found - (0.25 - 0.5)) < 5 * 0.6 / 2000**0.5  # a term lies in [-1, 0.5]: its deviation is below 0.6


def test_baselines_do_not_depend_on_the_images(conv):
    one = load_baselines("demo", 4, conv, torch.zeros(1, 3, 20, 16))
    assert one.shape == (4, 3, 20, 16)
    assert torch.equal(one, load_baselines("demo", 4, conv, torch.ones(3, 3, 20, 16)))
    assert one.flatten(1).std(1).min() > 0


def test_the_models_view_cuts_them_where_it_gives_the_size(conv, monkeypatch):
    monkeypatch.setattr(conv, "view", View(20, 20, resize=24, channels=1))
    cut = load_baselines("demo", 1, conv, torch.zeros(1, 1, 20, 20))
    monkeypatch.setattr(conv, "view", None)
    assert not torch.equal(cut, load_baselines("demo", 1, conv, torch.zeros(1, 1, 20, 20)))


def test_baselines_of_another_form_are_told(conv, images):
    for wrong in (torch.rand(2, 3, 8, 8), torch.rand(0, 3, 20, 16)):
        with pytest.raises(DataError, match="of the same form"):
            attribute(conv, images, ExpectedGradients().from_images(wrong))
    with pytest.raises(DataError, match="have 2 channels"):
        load_baselines("demo", 1, conv, torch.zeros(1, 2, 4, 4))
