from __future__ import annotations

import numpy as np
import pytest
import scipy
import torch
from sklearn.metrics import f1_score, jaccard_score

from unshaken.core.errors import ParameterError
from unshaken.core.masks import IGNORED, overlap_counts
from unshaken.measure import dice
from unshaken.measure.segmentation import (
    band_width,
    boundary_band,
    image_counts,
    iou,
    mean_iou,
    miou_difference,
    miou_figure,
    resampled_miou,
)


def draw(rng, n, quality):
    """Images of 200 pixels and 4 classes; each pixel is right with a probability that differs by image."""
    labelled = rng.multinomial(200, [0.5, 0.3, 0.15, 0.05], n).astype(float)
    right = rng.binomial(labelled.astype(int), np.clip(rng.normal(quality, 0.1, (n, 1)), 0, 1)).astype(float)
    missed = (labelled - right).sum(1, keepdims=True)
    return np.stack([right, right + missed * 0.25, labelled], 1)


def test_the_interval_covers_the_truth():
    rng = np.random.default_rng(0)
    truth = mean_iou(draw(np.random.default_rng(1), 50_000, 0.8).sum(0))
    held = 0
    for _ in range(200):
        figure = miou_figure(resampled_miou(draw(rng, 40, 0.8), resamples=200))
        held += figure.low <= truth <= figure.high
    assert held >= 180  # 95 % of 200, less three standard errors of the simulation


def test_the_mean_is_over_classes_that_are_there():
    counts = np.array([[2.0, 0, 1], [3, 0, 1], [3, 0, 1]])  # 2 / 4, absent, 1 / 1
    assert mean_iou(counts) == 0.75
    assert mean_iou(np.stack([counts, 0 * counts])) == pytest.approx([0.75, np.nan], nan_ok=True)


def test_a_draw_without_a_pixel_has_the_value_of_the_whole():
    counts = np.zeros((2, 3, 1))
    counts[0] = [[1.0], [2], [2]]
    found = resampled_miou(counts, resamples=60)
    assert (found.value, found.images) == (1 / 3, 2)
    assert found.draws == pytest.approx(np.full(60, 1 / 3))


def test_a_difference_is_paired():
    counts = draw(np.random.default_rng(0), 30, 0.8)
    worse = counts.copy()
    worse[:, 0] *= 0.9
    a, b = resampled_miou(counts), resampled_miou(worse)
    found = miou_difference(a, b)
    assert found.value == pytest.approx(b.value - a.value)
    assert found.high < 0
    assert found.high - found.low < (miou_figure(a).high - miou_figure(a).low) / 2
    same = miou_difference(a, a)
    assert (same.value, same.low, same.high) == (0, pytest.approx(-same.high), pytest.approx(1 - 0.025 ** (2 / 30)))


def test_certainty_is_not_claimed_where_all_are_right():
    counts = np.tile([[5.0, 5], [5, 5], [5, 5]], (3, 1, 1))
    figure = miou_figure(resampled_miou(counts))
    assert (figure.value, figure.high) == (1, 1)
    assert figure.low == pytest.approx(0.025 ** (2 / 3))


@pytest.mark.parametrize("share", [0.01, 0.03, 0.1])
def test_images_that_n_missed_lie_inside_the_interval(share):
    """Masks of the two classes are exchanged in `share` of the images; where n images show none, that may be so."""
    right, wrong = np.array([[5.0, 5], [5, 5], [5, 5]]), np.array([[0.0, 0], [5, 5], [5, 5]])
    truth = mean_iou((1 - share) * right + share * wrong)
    for n in (10, 30, 100):
        figure = miou_figure(resampled_miou(np.tile(right, (n, 1, 1)), resamples=4))
        assert (1 - share) ** n <= 0.025 or figure.low <= truth <= figure.high


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ParameterError, match="0 images"):
        resampled_miou(np.zeros((0, 3, 2)))
    with pytest.raises(ParameterError, match="5 came with 6"):
        miou_difference(*(resampled_miou(np.ones((n, 3, 2))) for n in (5, 6)))


def test_it_is_the_jaccard_index_and_the_f1_score_of_each_class():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 4, (2, 5, 9, 9))
    other[0] = IGNORED
    counts = overlap_counts(torch.from_numpy(one), torch.from_numpy(other).to(torch.uint8), 4)
    flat = one[1:].ravel(), other[1:].ravel()
    assert np.allclose(iou(counts), jaccard_score(flat[1], flat[0], average=None))
    assert np.allclose(dice(counts), f1_score(flat[1], flat[0], average=None))


def test_counts_add_up_over_batches():
    rng = np.random.default_rng(1)
    one, other = (torch.from_numpy(a) for a in rng.integers(0, 3, (2, 6, 4, 4)))
    parts = sum(overlap_counts(one[i : i + 2], other[i : i + 2], 3) for i in (0, 2, 4))
    assert torch.equal(parts, overlap_counts(one, other, 3))


def test_an_absent_class_has_no_overlap():
    counts = overlap_counts(torch.zeros(4).long(), torch.zeros(4).long(), 2)
    assert iou(counts).tolist() == [1.0, pytest.approx(float("nan"), nan_ok=True)]
    assert np.isnan(dice(counts)[1])


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
