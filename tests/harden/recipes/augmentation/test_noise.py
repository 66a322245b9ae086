"""Normal noise of a stated deviation on a stated share."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng
from unshaken.harden.recipes.augmentation.noise import Noise, noisy


def grey(n):
    return torch.full((n, 1, 16, 16), 0.5), torch.zeros(n, dtype=torch.int64)


def test_the_deviation_and_what_stays():
    images, _ = grey(200)
    sd = torch.where(torch.arange(200) < 100, 0.1, 0.0)
    found = noisy(images, sd, SampleRng.of(0, "t", [str(i) for i in range(200)]))
    assert float(found[:100].std()) == pytest.approx(0.1, rel=0.02)
    assert float(found[:100].mean()) == pytest.approx(0.5, abs=0.002)
    assert torch.equal(found[100:], images[100:])
    assert len({float(x.sum()) for x in found[:100]}) == 100


def test_values_stay_in_the_range():
    images, _ = grey(20)
    found = noisy(images, torch.full((20,), 5.0), SampleRng.of(0, "t", [str(i) for i in range(20)]))
    assert (float(found.min()), float(found.max())) == (0, 1)


def test_share_and_range_of_deviations(net, step_of):
    images, labels = grey(1000)
    step = step_of(net(), images, labels)
    Noise(sigma=0.12, least=0.04, share=0.6).augment(step)
    sd = step.images.flatten(1).std(1)
    some = sd[sd > 0]
    assert 0.55 < len(some) / 1000 < 0.65
    assert 0.03 < float(some.min()) < 0.045
    assert 0.115 < float(some.max()) < 0.14
    assert float(some.mean()) == pytest.approx(0.08, abs=0.005)


def test_bad_parameters():
    with pytest.raises(ParameterError, match=r"least=0.3 is above sigma=0.2"):
        Noise(least=0.3)
    with pytest.raises(ParameterError, match="share="):
        Noise(share=2)
    with pytest.raises(ParameterError, match="sigma="):
        Noise(sigma=0)
