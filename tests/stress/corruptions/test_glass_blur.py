"""Glass blur against the authors' loop fed with the same offsets, and the properties of the shuffle."""

import numpy as np
import pytest
import torch
from imagecorruptions import corruptions

from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.glass_blur import GlassBlur, glass_blur, shuffled_sources

IMAGENET = GlassBlur.strengths.of["imagenet"]


def offsets(uniform, delta):
    """The pairs (right, down) that the draws stand for, in the order in which the authors' loop asks for them."""
    number = (uniform.double() * 4 * delta**2).floor().long().flip(1, 2).flatten()
    return torch.stack([number % (2 * delta) - delta, number // (2 * delta) - delta], 1).tolist()


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_equals_the_reference_fed_with_the_same_offsets(peer, monkeypatch, severity):
    sigma, delta, rounds = IMAGENET[severity - 1]
    pixels = peer.photo(64, 80)
    uniform = SampleRng.of(0, "test", [str(severity)]).uniform(rounds, 64 - 2 * delta, 80 - 2 * delta)
    feed = iter(offsets(uniform[0], delta))
    monkeypatch.setattr(np.random, "randint", lambda low, high, size: next(feed))
    monkeypatch.setattr(np.random, "seed", lambda seed: None)
    plain = corruptions._shuffle_pixels_njit_glass_blur.py_func
    monkeypatch.setattr(corruptions, "_shuffle_pixels_njit_glass_blur", plain)
    theirs = peer.reference("glass_blur", pixels, severity)
    assert next(feed, "all used") == "all used"
    # A blurred value within rounding of a whole level may be cut to another one before the shuffle: one level times
    # the weights of the second blur. Away from those few the two agree to float32 rounding.
    found = peer.compare(glass_blur(peer.to_images(pixels), sigma, delta, uniform), theirs)
    assert found["gap"] < 1
    assert found["share"] < 0.02


@pytest.mark.parametrize("delta", [2, 4])
def test_chains_of_sources_end_where_the_loop_ends(delta):
    uniform = torch.rand(1, 2, 40 - 2 * delta, 37 - 2 * delta, generator=torch.Generator().manual_seed(1))
    labels = np.arange(40 * 37).reshape(40, 37)
    feed = iter([pair for one in uniform[0] for pair in offsets(one[None], delta)])
    for _ in range(2):
        for h in range(40 - delta, delta, -1):
            for w in range(37 - delta, delta, -1):
                dx, dy = next(feed)
                labels[h, w] = labels[h + dy, w + dx]
    assert shuffled_sources(uniform, delta)[0].tolist() == labels.flatten().tolist()


def test_pixels_are_copied_not_swapped():
    uniform = torch.rand(1, 1, 36, 36, generator=torch.Generator().manual_seed(0))
    assert len(shuffled_sources(uniform, 2).unique()) < 1600 * 0.8


def test_a_picture_within_the_margins_does_not_move():
    uniform = torch.rand(1, 2, 0, 0)
    assert shuffled_sources(uniform, 4)[0].tolist() == list(range(64))


def test_a_sample_does_not_depend_on_its_batch(peer):
    assert peer.depends_on_batch(GlassBlur(preset="imagenet", truncate=False), 3) == []
    assert peer.depends_on_batch(GlassBlur(), 4, 32, 32, channels=1) == []
