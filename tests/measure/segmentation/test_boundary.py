import numpy as np
import pytest
import scipy

from unshaken.core.errors import ParameterError
from unshaken.measure.segmentation.boundary import band_width, boundary_band, image_counts
from unshaken.measure.segmentation.overlap import iou


@pytest.mark.parametrize("width", [1, 2, 3])
def test_the_band_is_each_class_less_its_erosion(width):
    """As in the reference: erode by 3 x 3 pixels `width` times, what lies outside of the image being outside."""
    masks = scipy.ndimage.zoom(np.random.default_rng(0).integers(0, 4, (2, 4, 4)), (1, 5, 6), order=0)
    found = boundary_band(masks, width)
    for mask, band in zip(masks, found, strict=True):
        for k in range(4):
            inner = scipy.ndimage.binary_erosion(np.pad(mask == k, 1), np.ones((3, 3)), width)[1:-1, 1:-1]
            np.testing.assert_array_equal(band & (mask == k), (mask == k) & ~inner)


def test_unlabelled_pixels_make_no_boundary():
    mask = np.zeros((1, 9, 9), int)
    mask[0, 4, 4] = 255
    band = boundary_band(mask, 1)[0]
    assert not band[2:7, 2:7].any()
    assert band[0].all()


def test_counts_of_an_image_by_hand():
    labels = np.array([[[0, 0, 1, 1], [0, 0, 1, 255]]])
    predicted = np.array([[[0, 1, 1, 1], [0, 0, 0, 0]]])
    np.testing.assert_array_equal(image_counts(predicted, labels, 2), [[[3, 2], [4, 3], [4, 3]]])
    np.testing.assert_allclose(iou(image_counts(predicted, labels, 2))[0], [3 / 5, 2 / 4])
    nothing = image_counts(np.full_like(labels, -1), labels, 2)
    np.testing.assert_array_equal(nothing[0, :2], 0)


def test_boundary_counts_take_each_mask_in_its_own_band():
    labels = np.zeros((1, 20, 20), int)
    labels[0, 4:16, 4:16] = 1
    predicted = np.zeros_like(labels)
    predicted[0, 4:16, 5:17] = 1  # moved by one
    counts = image_counts(predicted, labels, 2, width=1)[0, :, 1]
    ring = 12 * 12 - 10 * 10
    assert counts.tolist() == [2 * 11, ring, ring]  # top and bottom rows meet, the sides do not


def test_widths():
    assert [band_width(8, 8), band_width(480, 640), band_width(30, 40, 0.1)] == [1, 16, 5]
    with pytest.raises(ParameterError, match="at least 1"):
        boundary_band(np.zeros((1, 3, 3), int), 0)
