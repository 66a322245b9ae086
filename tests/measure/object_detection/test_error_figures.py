"""Costs of kinds of errors with intervals: their values are those without."""

import numpy as np
import pytest

from unshaken.measure.object_detection.error_figures import REPAIRS, cost_figures
from unshaken.measure.object_detection.errors import error_costs, find_errors
from unshaken.measure.object_detection.matching import Detections, Objects


def image(*found, truth=0):
    """An image with one object, and detections (class, shift in pixels, score)."""
    boxes = np.array([[shift, 0.0, shift + 10, 10] for _, shift, _ in found]).reshape(-1, 4)
    labels, scores = np.array([c for c, _, _ in found], int), np.array([s for _, _, s in found])
    return Detections(boxes, labels, scores), Objects(
        np.array([[0.0, 0, 10, 10]]), np.array([truth]), np.zeros(1, bool)
    )


def errors_of(*images):
    found, objects = zip(*images, strict=True)
    return find_errors(list(found), list(objects), 2)


def test_values_are_the_costs_and_intervals_hold_them():
    images = [image((0, 0, 0.9)), image((1, 0, 0.8)), image((0, 5, 0.7)), image((0, 50, 0.6))] * 8
    errors = errors_of(*images)
    figures, costs = cost_figures(errors, resamples=40), error_costs(errors)
    assert figures.keys() == costs.keys() == set(REPAIRS)
    for name, figure in figures.items():
        assert figure.value == pytest.approx(costs[name])
        assert figure.low <= figure.value <= figure.high
        assert figure.n == 32
    assert figures["class"].low > 0  # a quarter of the objects, in every half
    assert figures["duplicate"].value == 0


def test_a_repair_that_leaves_no_object_has_no_figure():
    figures = cost_figures(errors_of(*[image((0, 50, 0.9))] * 4), resamples=4)
    assert figures["missed"] is None
    assert figures["unfound"] is None
    assert figures["background"].value == 0
