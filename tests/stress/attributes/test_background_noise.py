"""Noisy backgrounds."""

import pytest
import torch

from unshaken.core import Batch
from unshaken.stress.attributes.background_noise import BackgroundNoise


def test_noise_has_the_deviation_around_the_object():
    grey = Batch(torch.full((1, 3, 64, 64), 0.5), None, ("grey",))
    for severity, deviation in ((1, 0.05), (3, 0.15)):
        found = BackgroundNoise().apply(grey, severity).images - 0.5
        around = found[found != 0]
        assert around.std().item() == pytest.approx(deviation, rel=0.05)
        assert len(around) / found.numel() == pytest.approx(1 - torch.pi / 16, abs=0.02)  # all but the ellipse


def test_a_seed_decides_it(keeps_the_object):
    one, again, other = (keeps_the_object(BackgroundNoise(), 5, seed) for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
