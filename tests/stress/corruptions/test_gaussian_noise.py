"""Gaussian noise against the reference fed with the same draws, and the draws against the normal distribution."""

import numpy as np
import pytest
import torch
from scipy import stats

from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.gaussian_noise import GaussianNoise, gaussian_noise, unit_normal

RNG = SampleRng.of(0, "test", ["a"])


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_equals_the_reference_fed_with_the_same_draws(peer, monkeypatch, severity):
    pixels, noise = peer.photo(), unit_normal(RNG, 3, 224, 224)
    monkeypatch.setattr(np.random, "normal", lambda size, scale: peer.to_rows(noise) * scale)
    theirs = peer.reference("gaussian_noise", pixels, severity)
    sigma = GaussianNoise.strengths.at("imagenet", severity)
    assert peer.agrees(gaussian_noise(peer.to_images(pixels), sigma, noise), theirs)


def test_draws_are_normal_up_to_their_tails():
    draws = unit_normal(RNG, 1_000_000)[0].numpy()
    assert stats.kstest(draws, "norm").pvalue > 0.001
    for z in (2, 3, 4):
        beyond, expected = (np.abs(draws) > z).sum(), 2 * stats.norm.sf(z) * 1e6
        assert abs(beyond - expected) < 4 * np.sqrt(expected)


def test_the_outermost_draws_are_finite():
    class Ends:
        def uniform(self, *shape):
            return torch.tensor([[0.0, 0.5, 1 - 2.0**-24]])

    low, middle, high = unit_normal(Ends(), 3)[0].tolist()
    assert low == pytest.approx(stats.norm.ppf(2.0**-25), rel=1e-5)
    assert middle == pytest.approx(stats.norm.ppf(0.5 + 2.0**-25), rel=1e-5, abs=0)
    assert high == pytest.approx(-low, rel=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sample_does_not_depend_on_its_batch(peer, channels):
    assert peer.depends_on_batch(GaussianNoise(), 3, channels=channels) == []
    assert peer.depends_on_batch(GaussianNoise(truncate=False), 3, channels=channels) == []
