"""Motion blur against the reference fed with the same angle, and its weights against known figures."""

import numpy as np
import pytest
import torch
from imagecorruptions import corruptions

from unshaken.stress.corruptions.motion_blur import MotionBlur, motion_blur, motion_taps

IMAGENET = MotionBlur.strengths.of["imagenet"]


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("angle", [-45.0, -20.3, 0.0, 33.1, 45.0])
def test_equals_the_reference_fed_with_the_same_angle(peer, monkeypatch, severity, angle):
    pixels = peer.photo(96, 128)
    monkeypatch.setattr(np.random, "uniform", lambda low, high: angle)
    theirs = peer.reference("motion_blur", pixels, severity)
    assert peer.agrees(motion_blur(peer.to_images(pixels), *IMAGENET[severity - 1], torch.tensor([angle])), theirs)


@pytest.mark.parametrize("angle", [-135.0, -100.0, -60.0, 80.0, 170.0])
def test_equals_the_reference_in_every_direction(peer, angle):
    pixels = peer.photo(96, 128)
    theirs = corruptions._motion_blur(pixels, radius=12, sigma=8, angle=angle)
    assert peer.agrees(motion_blur(peer.to_images(pixels), 12, 8, torch.tensor([angle])), theirs)


def test_weights_have_the_known_heads_and_centroids():
    taps = [motion_taps(*c, 0.0) for c in IMAGENET]
    assert [t[0, 0] for t in taps] == pytest.approx([0.23474, 0.14779, 0.09501, 0.06504, 0.05217], abs=5e-6)
    centroids = [sum(dx * w for (_, dx), w in t.items()) for t in taps]
    assert centroids == pytest.approx([2.093, 3.682, 6.069, 8.991, 11.427], abs=5e-4)


def test_every_sample_has_its_own_angle():
    spot = torch.zeros(2, 1, 9, 9)
    spot[:, :, 4, 4] = 1
    right, down = motion_blur(spot, 1, 1.0, torch.tensor([0.0, 90.0]))[:, 0]
    assert right.nonzero().tolist() == [[4, 2], [4, 3], [4, 4]]
    assert down.nonzero().tolist() == [[2, 4], [3, 4], [4, 4]]


def test_pictures_smaller_than_the_line_keep_their_mean_level():
    assert motion_blur(torch.full((1, 1, 8, 8), 0.4), 20, 15, torch.tensor([20.0])).mean().item() == pytest.approx(0.4)


def test_a_sample_does_not_depend_on_its_batch(peer):
    assert peer.depends_on_batch(MotionBlur(truncate=False), 4) == []
    assert peer.depends_on_batch(MotionBlur(preset="imagenet"), 5, channels=1) == []
