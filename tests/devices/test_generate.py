"""Generators on the simulated device, as on the CPU: fitted, saved, sampled."""

from __future__ import annotations

import pytest
import torch

from tests.battery.test_generators import METHODS, model_of
from tests.devices.simulated import agree
from unshaken.generate import Fitting
from unshaken.generate.fitting import fit


def fitted(method, place):
    model = model_of(method, (1, 8, 8), classes=3).to(place)
    images = (torch.arange(64).view(1, 1, 8, 8) * torch.ones(16, 1, 1, 1)).to(torch.uint8)
    return fit(model, images, torch.arange(16) % 3, Fitting(steps=4, batch_size=8, warmup=2, lr=1e-2)).losses


def drawn(method, place):
    model, labels = model_of(method, (1, 8, 8), classes=3).to(place), torch.tensor([0, 1, 2])
    some = model.sample(3, steps=3, seed=7, labels=labels, batch_size=2, guidance=2.0)
    return some, model.vary(some, 0.5, steps=4, labels=labels)


@pytest.mark.parametrize("method", METHODS, ids=[m.name for m in METHODS])
def test_losses_and_samples(method, device):
    assert fitted(method, device) == pytest.approx(fitted(method, "cpu"), rel=1e-4)
    for one, other in zip(drawn(method, device), drawn(method, "cpu"), strict=True):
        assert agree(one, other)
