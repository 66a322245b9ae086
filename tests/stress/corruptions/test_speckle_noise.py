"""Speckle noise against the reference fed with the same draws."""

import numpy as np
import pytest
import torch

from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.gaussian_noise import unit_normal
from unshaken.stress.corruptions.speckle_noise import SpeckleNoise, speckle_noise


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_equals_the_reference_fed_with_the_same_draws(peer, monkeypatch, severity):
    pixels, noise = peer.photo(), unit_normal(SampleRng.of(0, "test", ["a"]), 3, 224, 224)
    monkeypatch.setattr(np.random, "normal", lambda size, scale: peer.to_rows(noise) * scale)
    theirs = peer.reference("speckle_noise", pixels, severity)
    sigma = SpeckleNoise.strengths.at("imagenet", severity)
    assert peer.agrees(speckle_noise(peer.to_images(pixels), sigma, noise), theirs)


def test_black_stays_black():
    images = torch.tensor([[[[0.0, 0.5]]]])
    assert speckle_noise(images, 0.2, torch.ones(1, 1, 1, 2)).flatten().tolist() == pytest.approx([0, 0.6])


def test_a_sample_does_not_depend_on_its_batch(peer):
    assert peer.depends_on_batch(SpeckleNoise(truncate=False), 3) == []
