from __future__ import annotations

import pytest
import torch

from unshaken.harden.recipes.adversarial.n_fgsm import NFgsm


def test_it_is_not_clipped_to_the_ball(step_of, rising):
    images, labels = torch.full((64, 1, 32, 32), 0.5), torch.zeros(64, dtype=torch.int64)
    found = NFgsm(eps=0.1).inner(step_of(rising, images, labels, classes=2))
    delta = (found - images) / 0.1
    assert delta.square().mean().item() == pytest.approx(7 / 3, abs=0.02)
    assert delta.max() > 2.9
    assert delta.min() < -0.9


def test_it_stays_in_the_box(step_of, rising):
    images, labels = torch.ones(8, 1, 32, 32), torch.zeros(8, dtype=torch.int64)
    found = NFgsm(eps=0.3).inner(step_of(rising, images, labels, classes=2))
    assert found.min() >= 0
    assert found.max() <= 1
