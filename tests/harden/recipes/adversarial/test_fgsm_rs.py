from __future__ import annotations

import pytest
import torch

from unshaken.harden.recipes.adversarial.fgsm_rs import FgsmRs


@pytest.mark.parametrize(("size", "wanted"), [(1.25, 0.625 + 0.1640625), (1.0, 2 / 3)])
def test_mean_square_of_the_step(step_of, rising, size, wanted):
    images, labels = torch.full((64, 1, 32, 32), 0.5), torch.zeros(64, dtype=torch.int64)
    found = FgsmRs(eps=0.1, rel_stepsize=size).inner(step_of(rising, images, labels, classes=2))
    delta = (found - images) / 0.1
    assert delta.square().mean().item() == pytest.approx(wanted, abs=0.01)
    if size == 1.25:
        assert (delta > 1 - 1e-5).double().mean().item() == pytest.approx(0.625, abs=0.01)


def test_zero_start_is_the_corner(step_of, rising):
    images, labels = torch.full((4, 1, 32, 32), 0.5), torch.zeros(4, dtype=torch.int64)
    recipe = FgsmRs(eps=0.1, random_start=False)
    found = recipe.inner(step_of(rising, images, labels, classes=2))
    assert torch.allclose(found, images + 0.1, atol=1e-6)
