"""Impulse noise against the reference fed with the same draws."""

import numpy as np
import pytest
import torch

from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.impulse_noise import ImpulseNoise, impulse_noise

UNIFORM = SampleRng.of(0, "test", ["a"]).uniform(3, 224, 224)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_equals_the_reference_fed_with_the_same_draws(peer, monkeypatch, severity):
    pixels = peer.photo()
    amount = ImpulseNoise.strengths.at("imagenet", severity)
    drawn = peer.to_rows(UNIFORM)
    # scikit-image draws which values change (at most the amount), then which of them are salt (at most a half)
    answers = iter([drawn, np.where(drawn < amount / 2, 1.0, 0.0)])

    class Fed:
        def random(self, shape):
            return next(answers).reshape(shape)

    monkeypatch.setattr(np.random, "default_rng", lambda seed: Fed())
    theirs = peer.reference("impulse_noise", pixels, severity)
    assert peer.agrees(impulse_noise(peer.to_images(pixels), amount, UNIFORM), theirs)


def test_half_of_the_replaced_is_salt_and_channels_are_independent():
    found = impulse_noise(torch.full((1, 3, 224, 224), 0.5), 0.17, UNIFORM)
    n = found.numel()
    for value in (0.0, 1.0):
        assert abs((found == value).double().mean() - 0.085) < 4 * (0.085 * 0.915 / n) ** 0.5
    hit = (found != 0.5)[0].double().flatten(1)
    assert abs((hit[0] * hit[1]).mean() - 0.17**2) < 4 * (0.17**2 / 224**2) ** 0.5


def test_a_sample_does_not_depend_on_its_batch(peer):
    assert peer.depends_on_batch(ImpulseNoise(), 3) == []
