"""The diamond-square fractal against the reference fed with the same draws."""

import numpy as np
import pytest
from imagecorruptions import corruptions

from unshaken.core.rng import SampleRng
from unshaken.stress.engine.plasma import plasma, plasma_size


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
