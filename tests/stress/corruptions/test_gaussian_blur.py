"""Gaussian blur against the reference and scipy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from unshaken.stress.corruptions.gaussian_blur import GaussianBlur, gaussian_blur


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_equals_the_reference(peer, severity):
    pixels = peer.photo(160, 224)
    sigma = GaussianBlur.strengths.at("imagenet", severity)
    assert peer.agrees(gaussian_blur(peer.to_images(pixels), sigma), peer.reference("gaussian_blur", pixels, severity))


@pytest.mark.parametrize("sigma", [0.05, 0.4, 1.25, 6])
def test_equals_scipy_on_pictures_smaller_than_the_kernel(sigma):
    image = np.random.default_rng(0).random((9, 8))
    found = gaussian_blur(torch.from_numpy(image).float()[None, None], sigma)
    assert np.abs(found[0, 0].numpy() - gaussian_filter(image, sigma, mode="nearest")).max() < 1e-6


def test_a_constant_is_a_fixed_point():
    images = torch.full((1, 3, 16, 16), 0.3)
    assert torch.allclose(gaussian_blur(images, 6), images, atol=1e-6)


def test_a_sample_does_not_depend_on_its_batch(peer):
    assert peer.depends_on_batch(GaussianBlur(preset="imagenet", truncate=False), 3) == []
    assert peer.depends_on_batch(GaussianBlur(truncate=False), 1, 32, 32) == []
