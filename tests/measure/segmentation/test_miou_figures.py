import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.segmentation.miou_figures import mean_iou, miou_difference, miou_figure, resampled_miou


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
    assert (same.value, same.low, same.high) == (0, pytest.approx(-same.high), pytest.approx(1 - 0.05 ** (1 / 30)))


def test_certainty_is_not_claimed_where_all_are_right():
    counts = np.tile([[5.0, 5], [5, 5], [5, 5]], (3, 1, 1))
    figure = miou_figure(resampled_miou(counts))
    assert (figure.value, figure.high) == (1, 1)
    assert figure.low == 0


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ParameterError, match="0 images"):
        resampled_miou(np.zeros((0, 3, 2)))
    with pytest.raises(ParameterError, match="5 came with 6"):
        miou_difference(*(resampled_miou(np.ones((n, 3, 2))) for n in (5, 6)))
