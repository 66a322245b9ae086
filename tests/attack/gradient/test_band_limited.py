"""PGD within a band of frequencies: what it adds lies there, and in the ball."""

from __future__ import annotations

import pytest
import torch

from unshaken.attack.gradient.band_limited import BandLimitedPGD
from unshaken.core import Batch, Classifier, Oracle
from unshaken.measure.robustness.frequency import energy_inside
from unshaken.models.networks.small import SmallNet


@pytest.mark.parametrize(("low", "high"), [(-1.0, 2.0), (4.0, 99.0)])
def test_it_keeps_to_its_band(low, high):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Classifier(SmallNet(3, 1, 16), mean=[0.4], std=[0.3]).eval()
    images = 0.4 + 0.2 * torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    batch = Batch(images, model(images).argmax(1), tuple("abcdef"))
    attack = BandLimitedPGD(steps=4, step_size=0.1, low=low, high=high)
    (found,), _ = attack.attack(Oracle(model), batch, norm="l2", eps=[0.5])
    delta = (found.images - batch.images)[found.distance > 0]
    assert len(delta)
    inside = energy_inside(delta, 2.0) if low < 0 else 1 - energy_inside(delta, 4.0)
    assert inside.min() > 0.999
    assert found.distance.max() <= 0.5 * (1 + 1e-6)
