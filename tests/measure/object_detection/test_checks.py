"""What is refused before boxes are matched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.object_detection.checks import check_image, check_thresholds
from unshaken.measure.object_detection.matching import Detections, Objects

BOX, CLASS = np.array([[0.0, 0, 1, 1]]), np.array([1])
FOUND = Detections(BOX, CLASS, np.array([0.5]))
TRUTH = Objects(BOX, CLASS, np.array([False]), np.array([1.0]))


def test_what_fits_passes():
    check_thresholds(np.array([1e-6, 0.5, 1.0]))
    check_image(FOUND, TRUTH, 2)
    check_image(FOUND, replace(TRUTH, areas=None), 2)
    check_image(replace(FOUND, classes=np.array([0])), TRUTH, 2)
    nothing = Detections(BOX[:0], CLASS[:0], np.zeros(0)), Objects(BOX[:0], CLASS[:0], np.zeros(0, bool))
    check_image(*nothing, 2)


@pytest.mark.parametrize("thresholds", [[], [0.0], [0.5, 1.01], [np.nan], [-0.5]])
def test_thresholds_lie_above_0_and_up_to_1(thresholds):
    with pytest.raises(ParameterError, match="thresholds of the overlap must lie in"):
        check_thresholds(np.array(thresholds))


TWO = np.concatenate([BOX, BOX])


@pytest.mark.parametrize(
    ("found", "truth", "message"),
    [
        ({"boxes": TWO}, {}, "as many as its boxes"),
        ({"scores": np.ones(2)}, {}, "as many as its boxes"),
        ({"classes": np.ones(2, int)}, {}, "as many as its boxes"),
        ({}, {"boxes": TWO}, "as many as its boxes"),
        ({}, {"crowd": np.zeros(2, bool)}, "as many as its boxes"),
        ({}, {"classes": np.ones(2, int)}, "as many as its boxes"),
        ({}, {"areas": np.ones(2)}, "as many as its boxes"),
        ({}, {"areas": np.array([np.inf])}, "an object has an area that is not finite"),
        ({"classes": np.array([2])}, {}, "a detection is of class 2, which is not one of 0 to 1"),
        ({"classes": np.array([-1])}, {}, "a detection is of class -1"),
        ({}, {"classes": np.array([2])}, "an object is of class 2"),
        ({}, {"classes": np.array([-3])}, "an object is of class -3"),
        ({"boxes": BOX * np.nan}, {}, "a detection has a box that is not finite"),
        ({}, {"boxes": BOX + np.inf}, "an object has a box that is not finite"),
        ({"scores": np.array([np.nan])}, {}, "a detection has a score that is not finite"),
    ],
)
def test_what_does_not_fit_is_named(found, truth, message):
    with pytest.raises(ParameterError, match=message):
        check_image(replace(FOUND, **found), replace(TRUTH, **truth), 2)
