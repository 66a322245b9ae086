"""Half noise: noise on one half's pixels alone, nothing of the other half, fresh in every epoch."""

from __future__ import annotations

import pytest
import torch

from unshaken.certify.smoothing.halves import halves
from unshaken.core.errors import ParameterError
from unshaken.harden.engine.compose import Composition
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.adversarial.at import AdversarialTraining
from unshaken.harden.recipes.augmentation.half_noise import HalfNoise, noisy_half

CUT = halves("checkerboard", "mask", 16, 16)


def two_tone(n):
    """Left pixels 0.5, right pixels 3."""
    images = torch.full((n, 1, 256), 3.0)
    images[:, :, CUT.pixels("left")] = 0.5
    return images.view(n, 1, 16, 16), torch.zeros(n, dtype=torch.int64)


@pytest.mark.parametrize("side", ["left", "right"])
def test_noise_on_the_pixels_of_one_side_and_nothing_of_the_other(net, step_of, side):
    step = step_of(net(), *two_tone(300))
    HalfNoise(side=side, sigma=0.25, expansion="mask").augment(step)
    other = "right" if side == "left" else "left"
    noise = CUT.take(step.images, side) - (0.5 if side == "left" else 3.0)
    assert float(noise.std()) == pytest.approx(0.25, rel=0.01)
    assert float(noise.mean()) == pytest.approx(0, abs=0.003)
    assert bool((CUT.take(step.images, other) == 0).all())


def test_repeated_columns_carry_the_same_noise(net, step_of):
    step = step_of(net(), *two_tone(4))
    HalfNoise(side="left").augment(step)
    assert torch.equal(step.images[..., ::2], step.images[..., 1::2])
    assert len(step.images[0].unique()) == 128


def test_both_takes_each_side_for_about_half_of_the_images(net, step_of):
    step = step_of(net(), *two_tone(2000))
    HalfNoise(sigma=0.1).augment(step)
    left = (step.images.flatten(1).mean(1) < 1.75).float().mean()
    assert float(left) == pytest.approx(0.5, abs=0.04)


def test_a_samples_noise_is_its_own_whatever_the_batch_and_fresh_in_every_epoch(net, step_of):
    whole, few, later = (step_of(net(), *two_tone(6)) for _ in range(3))
    few.images, few.rng = few.images[3:5], few.rng[torch.tensor([3, 4])]
    later.rng = later.rng.fold(1)
    for step in (whole, few, later):
        HalfNoise().augment(step)
    assert torch.equal(whole.images[3:5], few.images)
    assert not torch.isclose(later.images, whole.images).flatten(1).all(1).any()


def test_images_are_left_as_they_are(step_of, net):
    images, _ = two_tone(2)
    step = step_of(net(), images, torch.zeros(2, dtype=torch.int64))
    noisy_half(images, CUT, torch.tensor([True, False]), 1.0, step.rng)
    assert torch.equal(images, two_tone(2)[0])


def test_a_network_learns_from_one_half():
    """Two classes that differ in their left pixels alone, far above the noise: only the left side can tell them."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (256,), generator=generator)
    images = torch.full((256, 1, 256), 120)
    images[:, :, CUT.pixels("left")] += (40 * labels - 20)[:, None, None]
    images = images.view(256, 1, 16, 16).to(torch.uint8)
    training = Training(epochs=3, lr=3e-3, optimizer="adamw", batch_size=32, held_out=50, check_every=3, select="last")
    right = {}
    for side in ("left", "right"):
        model = fresh("strided-cnn", images, classes=2, seed=0)
        found = fit(model, images, labels, [HalfNoise(side=side, sigma=0.2, expansion="mask")], training).last
        shown = CUT.expand(CUT.take(images.float() / 255, side), side)
        with torch.no_grad():
            right[side] = float((found(shown).argmax(1) == labels).float().mean())
    assert right["left"] > 0.95
    assert right["right"] < 0.7


def test_what_does_not_go():
    with pytest.raises(ParameterError, match="sigma=0"):
        HalfNoise(sigma=0.0)
    with pytest.raises(ParameterError, match="side='top'"):
        HalfNoise(side="top")
    with pytest.raises(ParameterError, match=r"'half-noise' does not go with 'at'.*clip the noise"):
        Composition([AdversarialTraining(eps=0.1), HalfNoise()])
