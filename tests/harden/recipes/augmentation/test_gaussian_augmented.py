"""Gaussian augmentation: the noise that smoothing asks about, not clipped, fresh in every epoch."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.compose import Composition
from unshaken.harden.recipes.adversarial.at import AdversarialTraining
from unshaken.harden.recipes.augmentation.gaussian_augmented import GaussianAugmented, with_noise
from unshaken.harden.recipes.augmentation.noise import Noise


def grey(n, value=0.5):
    return torch.full((n, 1, 16, 16), value), torch.zeros(n, dtype=torch.int64)


@pytest.mark.parametrize("sigma", [0.25, 1.0])
def test_the_noise_has_the_stated_deviation_and_is_not_clipped(net, step_of, sigma):
    step = step_of(net(), *grey(400))
    GaussianAugmented(sigma=sigma).augment(step)
    noise = (step.images - 0.5).flatten()
    assert float(noise.std()) == pytest.approx(sigma, rel=0.01)
    assert float(noise.mean()) == pytest.approx(0, abs=0.01 * sigma)
    assert float((noise.abs() < sigma).float().mean()) == pytest.approx(0.6827, abs=0.005)
    assert float(step.images.min()) < 0 < 1 < float(step.images.max())


def test_the_recipe_noise_clips_where_this_one_does_not(net, step_of):
    black = step_of(net(), *grey(50, 0.0))
    Noise(sigma=0.5).augment(black)
    assert float(black.images.min()) == 0
    step = step_of(net(), *grey(50, 0.0))
    GaussianAugmented(sigma=0.5).augment(step)
    assert float((step.images < 0).float().mean()) == pytest.approx(0.5, abs=0.02)


def test_a_samples_noise_is_its_own_whatever_the_batch(net, step_of):
    whole = step_of(net(), *grey(6))
    few = step_of(net(), *grey(6))
    few.images, few.rng = few.images[3:5], few.rng[torch.tensor([3, 4])]
    for step in (whole, few):
        GaussianAugmented().augment(step)
    assert torch.equal(whole.images[3:5], few.images)
    other = step_of(net(), *grey(6))
    other.rng = other.rng.fold(1)
    GaussianAugmented().augment(other)
    assert not torch.isclose(other.images, whole.images).any(0).all()


def test_images_are_left_as_they_are():
    images, _ = grey(2)
    with_noise(images, 1.0, SampleRng.of(0, "t", ["a", "b"]))
    assert torch.equal(images, grey(2)[0])


def test_what_does_not_go():
    with pytest.raises(ParameterError, match="sigma=0"):
        GaussianAugmented(sigma=0)
    with pytest.raises(ParameterError, match="take smooth-adv"):
        Composition([GaussianAugmented(), AdversarialTraining()])
