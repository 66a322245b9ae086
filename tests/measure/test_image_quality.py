"""PSNR and SSIM by hand, and beside another implementation."""

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure import psnr, ssim


def test_psnr_by_hand():
    images = np.stack([np.zeros((3, 4, 4)), np.full((3, 4, 4), 0.5)])
    references = np.stack([np.full((3, 4, 4), 0.1), np.full((3, 4, 4), 0.5)])
    assert psnr(images, references) == pytest.approx([20, np.inf])


def test_ssim_of_flat_images_is_that_of_their_means():
    one, other = np.full((1, 1, 12, 12), 0.2), np.full((1, 1, 12, 12), 0.6)
    assert ssim(one, other) == pytest.approx([(2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4)])
    assert ssim(one, one) == pytest.approx([1])
    assert ssim(one[..., :11, :11], one[..., :11, :11]) == pytest.approx([1])  # one window


def test_ssim_is_that_of_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    rng = np.random.default_rng(0)
    x = rng.random((2, 3, 24, 20))
    y = (x + 0.2 * rng.standard_normal(x.shape)).clip(0, 1)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 0}
    wanted = [metrics.structural_similarity(a, b, data_range=1.0, **options) for a, b in zip(x, y, strict=True)]
    assert ssim(x, y) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((1, 3, 12, 12), (1, 3, 12, 13)), r"images are \(1, 3, 12, 12\) and references \(1, 3, 12, 13\)"),
        (((3, 12, 12), (3, 12, 12)), r"images are \(3, 12, 12\)"),
        (((1, 3, 12, 10), (1, 3, 12, 10)), "the minimum is 11 x 11"),
        (((1, 3, 10, 12), (1, 3, 10, 12)), r"ssim: images of \(10, 12\) pixels are too small; the minimum is 11 x 11"),
    ],
)
def test_what_cannot_be_compared_is_refused(shapes, message):
    with pytest.raises(ParameterError, match=message):
        ssim(*map(np.zeros, shapes))
