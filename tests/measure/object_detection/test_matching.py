from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.object_detection.matching import (
    AREAS,
    Detections,
    Objects,
    box_iou,
    check_image,
    check_thresholds,
    match,
    match_images,
)


def boxes(*rows):
    return np.array(rows, float).reshape(-1, 4)


def test_a_detection_takes_the_best_free_object_and_of_equal_ones_the_last():
    ious = np.array([[0.6, 0.9, 0.9], [0.6, 0.8, 0.55]])
    none = np.zeros(3, bool)
    found = match(ious, none, none[None], np.array([0.5, 0.7, 0.95]))
    assert found[0].tolist() == [[2, 1], [2, 1], [-1, -1]]


def test_an_ignored_object_is_taken_only_where_no_other_will_do():
    ious = np.array([[0.6, 0.9], [0.6, 0.9]])
    ignored = np.array([[False, True], [False, False]])
    found = match(ious, np.zeros(2, bool), ignored, np.array([0.5, 0.7]))
    assert found[0].tolist() == [[0, 1], [1, -1]]
    assert found[1].tolist() == [[1, 0], [1, -1]]


def test_a_crowd_is_never_used_up():
    ious = np.array([[0.9], [0.8], [0.7]])
    found = match(ious, np.array([True]), np.array([[True]]), np.array([0.5]))
    assert found[0, 0].tolist() == [0, 0, 0]


def test_overlap_of_an_empty_box_is_zero():
    assert box_iou(boxes([0, 0, 0, 0]), boxes([0, 0, 0, 0], [0, 0, 5, 5])).tolist() == [[0, 0]]


def test_small_and_large_include_both_ends():
    objects = Objects(
        boxes([0, 0, 32, 32], [0, 0, 96, 96]), np.array([0, 0]), np.zeros(2, bool), np.array([32.0**2, 96.0**2])
    )
    none = Detections(boxes(), np.zeros(0, int), np.zeros(0))
    off = match_images([none], [objects], 1).object_ignored
    assert dict(zip(AREAS, off.tolist(), strict=True)) == {
        "all": [False, False],
        "small": [False, True],
        "medium": [False, False],
        "large": [True, False],
    }


def test_only_the_best_scored_detections_of_a_class_in_an_image_count():
    found = Detections(
        np.tile(boxes([0, 0, 9, 9]), (5, 1)), np.array([0, 0, 0, 1, 0]), np.array([0.1, 0.5, 0.3, 0.05, 0.4])
    )
    objects = Objects(boxes([0, 0, 9, 9]), np.array([0]), np.array([False]))
    kept = match_images([found], [objects], 2, most=3)
    assert kept.scores.tolist() == [0.5, 0.4, 0.3, 0.05]
    assert kept.hit[0, 0].tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Detections(boxes([0, 0, 1, 1]), np.array([3]), np.array([0.5])), "a detection is of class 3"),
        (Detections(boxes([0, 0, 1, np.nan]), np.array([0]), np.array([0.5])), "a box that is not finite"),
        (Detections(boxes([0, 0, 1, 1]), np.array([0]), np.array([np.nan])), "a score that is not finite"),
        (Detections(boxes([0, 0, 1, 1]), np.array([0]), np.array([0.5, 0.4])), "as many as its boxes"),
    ],
)
def test_wrong_detections_are_refused(found, said):
    with pytest.raises(ParameterError, match=said):
        match_images([found], [Objects(boxes([0, 0, 1, 1]), np.array([0]), np.array([False]))], 2)


@pytest.mark.parametrize("thresholds", [[0.0], [0.5, 1.1], [np.nan], []])
def test_wrong_thresholds_and_areas_are_refused(thresholds):
    found = Detections(boxes([0, 0, 1, 1]), np.array([0]), np.array([0.5]))
    truth = Objects(boxes([0, 0, 1, 1]), np.array([0]), np.array([False]))
    with pytest.raises(ParameterError, match="must lie in"):
        match_images([found], [truth], 1, thresholds=np.array(thresholds))
    with pytest.raises(ParameterError, match="an area that is not finite"):
        match_images([found], [replace(truth, areas=np.array([np.nan]))], 1)


def test_images_must_be_as_many():
    with pytest.raises(ParameterError, match="detections of 0 images came with objects of 0"):
        match_images([], [], 2)


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
