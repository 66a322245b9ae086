import numpy as np
import pytest

from unshaken_papers.crop_selection.figures import Shifted, against, shifted_figures


def shifted(prediction, correct, logits=None):
    prediction = np.array(prediction)
    values = np.zeros((*prediction.shape, 3)) if logits is None else np.array(logits, float)
    return Shifted(prediction, np.array(correct, bool), values, prediction.size)


def test_failures_consistency_and_accuracy_by_hand():
    one = shifted([[0, 1, 2, 2], [0, 1, 0, 2], [0, 2, 2, 2]], [1, 1, 0, 1])
    figures = shifted_figures(one, neighbours=False)
    assert figures["accuracy"]["value"] == 0.75
    assert figures["label_failures"]["value"] == 0.5
    assert figures["label_failures"]["n"] == 4
    assert figures["consistency"]["value"] == pytest.approx((1 + 0.5 + 0.5 + 1) / 4)
    assert figures["forwards"] == 3.0


def test_the_nearest_other_photo_changes_by_hand():
    near = [[1, 0, 0], [0.9, 0.1, 0], [0, 0, 1], [0.1, 0, 1]]  # 0 and 1 are neighbours, and so are 2 and 3
    turned = [[1, 0, 0], [0, 0.1, 0.9], [0, 0, 1], [0.1, 0, 1]]  # 1 turns to the others
    moved = shifted(np.zeros((2, 4), int), [1] * 4, [near, turned]).neighbour_moved
    assert moved.tolist() == [False, True, False, False]


def test_two_framings_are_compared_on_the_same_photos():
    base = shifted([[0, 0, 0, 0], [1, 1, 1, 0]], [1, 1, 0, 0])
    other = shifted([[0, 0, 0, 0], [0, 0, 0, 1]], [1, 0, 0, 0])
    figures = against(base, other)
    assert figures["accuracy"]["value"] == -0.25
    assert figures["stable"]["value"] == 0.5  # three gained, one lost, of four
    assert figures["stable_p"] == 0.625  # 2 P[X <= 1] of Binomial(4, 1/2)
