from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.harden.recipes.adversarial.fgsm_rs import FgsmRs
from unshaken.harden.recipes.adversarial.n_fgsm import NFgsm


def slope_of_one_sign() -> Classifier:
    """A linear model whose loss always rises with every pixel, for label 0."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(1024, 2, bias=False))
    with torch.no_grad():
        net[1].weight.copy_(torch.stack([-torch.ones(1024), torch.ones(1024)]) * 1e-3)
    return Classifier(net)


@pytest.mark.parametrize(("size", "wanted"), [(1.25, 0.625 + 0.1640625), (1.0, 2 / 3)])
def test_mean_square_of_the_step(step_of, size, wanted):
    images, labels = torch.full((64, 1, 32, 32), 0.5), torch.zeros(64, dtype=torch.int64)
    found = FgsmRs(eps=0.1, step_size=size).inner(step_of(slope_of_one_sign(), images, labels, classes=2))
    delta = (found - images) / 0.1
    assert delta.square().mean().item() == pytest.approx(wanted, abs=0.01)
    if size == 1.25:
        assert (delta > 1 - 1e-5).double().mean().item() == pytest.approx(0.625, abs=0.01)


def test_n_fgsm_is_not_clipped_to_the_ball(step_of):
    images, labels = torch.full((64, 1, 32, 32), 0.5), torch.zeros(64, dtype=torch.int64)
    found = NFgsm(eps=0.1).inner(step_of(slope_of_one_sign(), images, labels, classes=2))
    delta = (found - images) / 0.1
    assert delta.square().mean().item() == pytest.approx(7 / 3, abs=0.02)
    assert delta.max() > 2.9
    assert delta.min() < -0.9


def test_n_fgsm_stays_in_the_box(step_of):
    images, labels = torch.ones(8, 1, 32, 32), torch.zeros(8, dtype=torch.int64)
    found = NFgsm(eps=0.3).inner(step_of(slope_of_one_sign(), images, labels, classes=2))
    assert found.min() >= 0
    assert found.max() <= 1


def test_zero_start_is_the_corner(step_of):
    images, labels = torch.full((4, 1, 32, 32), 0.5), torch.zeros(4, dtype=torch.int64)
    recipe = FgsmRs(eps=0.1, random_start=False)
    found = recipe.inner(step_of(slope_of_one_sign(), images, labels, classes=2))
    assert torch.allclose(found, images + 0.1, atol=1e-6)
