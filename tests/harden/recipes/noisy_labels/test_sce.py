"""SCE in a step: its loss is that of the function, with labels and with mixed targets."""

from __future__ import annotations

import pytest
import torch

from unshaken.harden.recipes.noisy_labels.sce import SCE
from unshaken.labels.losses import symmetric_cross_entropy


@pytest.mark.parametrize("mixed", [False, True])
def test_a_step_by_hand(net, step_of, mixed):
    g = torch.Generator().manual_seed(0)
    images, labels = torch.rand(6, 1, 8, 8, generator=g), torch.randint(0, 3, (6,), generator=g)
    model = net(classes=3)
    targets = torch.rand(6, 3, generator=g).softmax(1) if mixed else None
    step = step_of(model, images, labels, classes=3, targets=targets)
    wanted = symmetric_cross_entropy(model(images), step.soft_labels).mean()
    assert SCE().loss(step).item() == pytest.approx(wanted.item(), abs=1e-6)
