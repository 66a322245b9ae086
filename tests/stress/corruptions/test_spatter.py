"""Spatter against the reference fed with the same draws, and its steps against OpenCV."""

import cv2
import numpy as np
import pytest
import torch

from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur
from unshaken.stress.corruptions.spatter import Spatter, mud, water
from unshaken.stress.engine.filters import canny, chamfer, equalize, mean3, relief

IMAGENET = Spatter.strengths.of["imagenet"]


def depth(sigma, threshold=0.68, height=150, width=201):
    """Drops as 8-bit levels `[H, W]`."""
    noise = SampleRng.of(0, "drops", ["a"]).normal(1, height, width) * 0.3 + 0.65
    liquid = gaussian_blur(noise, sigma)
    return (torch.where(liquid < threshold, 0, liquid) * 255).clamp_(0, 255)[0, 0].numpy().astype(np.uint8)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_equals_the_reference_fed_with_the_same_draws(peer, monkeypatch, severity):
    loc, scale, sigma, threshold, k, muddy = IMAGENET[severity - 1]
    pixels = peer.photo()
    noise = SampleRng.of(0, "spatter", ["a"]).normal(1, 224, 224) * scale + loc
    monkeypatch.setattr(np.random, "normal", lambda size, loc, scale: noise[0, 0].double().numpy())
    theirs = peer.reference("spatter", pixels, severity)
    liquid = gaussian_blur(noise, sigma)
    liquid = torch.where(liquid < threshold, 0, liquid)
    images = peer.to_images(pixels)
    ours = mud(images, liquid, threshold, k) if muddy else water(images, liquid, k)
    found = peer.compare(ours, theirs)
    # A depth within float32 rounding of a whole level or of the threshold may go the other way, and its drop with it.
    assert found["share"] < 5e-3
    assert np.mean(np.abs(peer.to_rows(ours.clamp(0, 1)) * 255 - theirs)) < 0.02


@pytest.mark.parametrize("sigma", [0.7, 1, 2, 4])
def test_edges_are_opencv_s_to_the_bit(sigma):
    pixels = depth(sigma)
    edges = canny(pixels, 50, 150)
    assert edges.any()
    assert np.array_equal(edges, cv2.Canny(pixels, 50, 150) > 0)


@pytest.mark.parametrize("seed", range(4))
def test_edges_of_noise_are_opencv_s_to_the_bit(seed):
    pixels = np.random.default_rng(seed).integers(0, 256 >> 2 * seed, (33 + seed, 58), dtype=np.uint8)
    assert np.array_equal(canny(pixels, 50, 150), cv2.Canny(pixels, 50, 150) > 0)


@pytest.mark.parametrize("size", [(90, 61), (8, 8), (9, 130), (130, 9)])
@pytest.mark.parametrize("count", [0, 1, 5, 400])
def test_distances_are_opencv_s(size, count):
    rng = np.random.default_rng(count)
    edges = np.zeros(size, bool)
    edges[rng.integers(0, size[0], count), rng.integers(0, size[1], count)] = True
    theirs = np.minimum(cv2.distanceTransform(np.where(edges, 0, 255).astype(np.uint8), cv2.DIST_L2, 5), 20)
    ours = chamfer(edges, 20)
    assert np.abs(ours - theirs).max() < 2e-4


def test_equalisation_means_and_relief_are_opencv_s():
    pixels = depth(3)
    assert np.array_equal(equalize(pixels), cv2.equalizeHist(pixels))
    assert np.array_equal(np.rint(mean3(pixels)), cv2.blur(pixels, (3, 3)))
    kernel = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    assert np.array_equal(relief(pixels), cv2.filter2D(pixels, cv2.CV_8U, kernel))
    flat = np.full((9, 9), 20, np.uint8)
    assert np.array_equal(equalize(flat), cv2.equalizeHist(flat))


def test_without_drops_nothing_changes():
    images, dry = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(0)), torch.zeros(1, 1, 20, 24)
    assert torch.equal(water(images, dry, 0.6), images)
    assert torch.equal(mud(images, dry, 0.65, 1.5), images)


def test_mud_is_brown_where_it_covers():
    images, wet = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(0)), torch.ones(1, 1, 20, 24)
    covered = mud(images, wet, 0.65, 1.5) * 255
    assert torch.allclose(covered, torch.tensor([63.0, 42, 20]).view(1, 3, 1, 1), atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("severity", [2, 5])
def test_a_sample_does_not_depend_on_its_batch(peer, channels, severity):
    method = Spatter(truncate=False, preset="imagenet")
    assert peer.depends_on_batch(method, severity, channels=channels) == []
