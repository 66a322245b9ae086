"""Sampling: pixels stay or turn black, fewer at higher severity, and those that stay keep apart."""

import torch

from unshaken.core.batch import Batch
from unshaken.core.rng import SampleRng
from unshaken.stress.c_bar.blue_noise_sample import BlueNoiseSample, blue
from unshaken.stress.c_bar.brownish_noise import draw_phases, spectral_noise


def test_pixels_stay_or_turn_black_in_all_channels():
    white = Batch(torch.ones(1, 3, 32, 32), None, ("a",))
    shares = []
    for severity in (1, 3, 5):
        changed = BlueNoiseSample().apply(white, severity).images[0]
        assert set(changed.unique().tolist()) == {0.0, 1.0}
        assert torch.equal(changed[0], changed[2])
        shares.append(float(changed.mean()))
    # the share of a normal distribution above 0.3 v - 2.5
    assert [abs(a - b) < 0.03 for a, b in zip(shares, (0.989, 0.969, 0.893), strict=True)] == [True] * 3


def test_neighbours_differ():
    noise = spectral_noise(draw_phases(SampleRng.of(0, "blue", ["a"]), 64, 64), blue)
    assert float((noise * noise.roll(1, 1)).mean()) < -0.1
