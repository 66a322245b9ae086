"""Zoom blur against the reference, and its factors against known counts."""

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom

from unshaken.stress.corruptions.zoom_blur import ZoomBlur, zoom_blur, zoom_matrix

STRENGTHS = ZoomBlur.strengths.of


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_equals_the_reference(peer, severity):
    pixels = peer.photo()
    found = zoom_blur(peer.to_images(pixels), *STRENGTHS["imagenet"][severity - 1])
    assert peer.agrees(found, peer.reference("zoom_blur", pixels, severity))


def test_equals_the_mean_of_scipy_enlargements_of_a_picture_that_is_not_square():
    image = np.random.default_rng(0).random((48, 64))
    total = image.copy()
    factors = 1 + 0.02 * np.arange(11)
    for z in factors:
        height, width = (int(np.ceil(side / z)) for side in image.shape)
        top, left = (48 - height) // 2, (64 - width) // 2
        # scipy reads 0 where rounding puts the last place a hair outside; mode nearest reads the last pixel
        enlarged = zoom(image[top : top + height, left : left + width], z, order=1, mode="nearest")
        total += enlarged[:48, :64]
    found = zoom_blur(torch.from_numpy(image).float()[None, None], 1.21, 0.02)[0, 0].numpy()
    assert np.abs(found - total / 12).max() < 1e-6


@pytest.mark.parametrize(
    ("preset", "counts"),
    [("imagenet", [12, 16, 11, 13, 11]), ("cifar", [7, 12, 16, 21, 26])],
    ids=["imagenet", "cifar"],
)
def test_factors_have_the_known_counts(preset, counts):
    # the first pixel is the mean of itself and of the first pixel of every crop, of which some are the same one
    for c, count in zip(STRENGTHS[preset], counts, strict=True):
        corner = zoom_matrix(32, 32, *c).toarray()[0, 0]
        kept = sum((32 - int(np.ceil(32 / (1 + c[1] * i)))) // 2 == 0 for i in range(count))
        assert corner == pytest.approx((1 + kept) / (count + 1))


def test_a_constant_is_a_fixed_point():
    images = torch.full((1, 3, 24, 16), 0.7)
    assert torch.allclose(zoom_blur(images, 1.31, 0.03), images, atol=1e-6)


def test_a_sample_does_not_depend_on_its_batch(peer):
    assert peer.depends_on_batch(ZoomBlur(truncate=False), 4) == []
    assert peer.depends_on_batch(ZoomBlur(truncate=False), 2, channels=1) == []
