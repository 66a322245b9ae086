"""Fog against the reference fed with the same draws, and the fractal's own properties."""

import numpy as np
import pytest
import torch
from imagecorruptions import corruptions

from unshaken.core.batch import Batch
from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.fog import Fog, fog, plasma, plasma_size


@pytest.mark.parametrize("size", [8, 64, 256])
@pytest.mark.parametrize("decay", [1.4, 2, 3])
def test_the_fractal_equals_the_reference_fed_with_the_same_draws(peer, monkeypatch, size, decay):
    draws = SampleRng.of(0, "fog", ["a"]).uniform(size * size - 1, low=-1, high=1)
    left = peer.feed(monkeypatch, draws)
    theirs = corruptions.plasma_fractal(mapsize=size, wibbledecay=decay)
    assert left == []
    assert np.abs(plasma(draws, size, decay)[0].numpy() - theirs).max() < 2e-6


def test_the_map_is_the_next_power_of_two():
    assert [plasma_size(side) for side in (8, 28, 32, 224, 256, 257)] == [8, 32, 32, 256, 256, 512]


IMAGENET = Fog.strengths.of["imagenet"]


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_equals_the_reference_fed_with_the_same_draws(peer, monkeypatch, severity):
    pixels = peer.photo(120, 224)
    thickness, decay = IMAGENET[severity - 1]
    draws = SampleRng.of(0, "fog", ["a"]).uniform(256 * 256 - 1, low=-1, high=1)
    peer.feed(monkeypatch, draws)
    theirs = peer.reference("fog", pixels, severity)
    ours = fog(peer.to_images(pixels), thickness, plasma(draws, 256, decay)[:, :120, :224])
    assert peer.agrees(ours, theirs)


def test_black_stays_black_and_the_brightest_value_is_kept():
    batch = Batch(torch.stack([torch.zeros(3, 32, 40), torch.full((3, 32, 40), 0.6)]), None, ("a", "b"))
    black, grey = Fog(preset="imagenet", truncate=False).apply(batch, 5).images
    assert black.abs().max() == 0
    assert grey.max() <= 0.6 + 1e-6
    assert grey.min() < 0.3


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sample_does_not_depend_on_its_batch(peer, channels):
    assert peer.depends_on_batch(Fog(truncate=False), 3, channels=channels) == []
