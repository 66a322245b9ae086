"""Reference pictures: the nearest of the least suspect samples of a class, in features or in pixels."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.api.label_evidence import FILE, keep_features, read_features
from unshaken.core.errors import RunError
from unshaken.labels import Evidence
from unshaken.labels.review.references import SHOWN, FeatureLikeness, PixelLikeness, References, shrink
from unshaken.store.run_dir import RunDir

LABELS = np.array([0] * 6 + [1] * 6)
SCORES = np.arange(12) / 12
"""Later samples are less suspect."""


def angles(*degrees):
    """Features of length 2 at these angles."""
    return 2 * np.array([[np.cos(np.radians(a)), np.sin(np.radians(a))] for a in degrees])


def test_the_nearest_by_cosine_come_first():
    features = angles(0, 90, 10, 80, 20, 70, 5, 50, 15, 60, 25, 40)
    features[2] *= 100  # length says nothing
    found = References(LABELS, SCORES, FeatureLikeness(features), {0: [0, 1]})
    assert found.of(0, 0) == [2, 4, 5, 3]
    assert found.of(0, 1) == [6, 8, 10, 11]
    assert found.basis == "features"


def test_the_nearest_in_pixels_come_first_and_unreadable_ones_are_left_out():
    shades = [0, 9, 3, 200, 6, None, 90, 1, 60, 70, 80, 95]
    pictures = [None if s is None else np.full((16, 16, 1), s, np.uint8) for s in shades]
    found = References(LABELS, SCORES, PixelLikeness(pictures.__getitem__), {0: [0, 1], 5: [0]})
    assert found.of(0, 0) == [2, 4, 1, 3]
    assert found.of(0, 1) == [7, 8, 9, 10]
    assert found.basis == "pixels"
    assert found.of(5, 0) == [4, 3, 2, 1]  # it cannot be read itself: the least suspect


def test_only_the_least_suspect_samples_are_candidates():
    features = FeatureLikeness(angles(*range(12)))
    features.most_of_a_class = 3
    assert sorted(References(LABELS, SCORES, features, {0: [1]}).of(0, 1)) == [9, 10, 11]


def test_too_many_samples_are_not_compared():
    features = FeatureLikeness(angles(*range(12)))
    features.most = SHOWN
    found = References(LABELS, SCORES, features, {0: [0, 1]})
    assert (found.of(0, 1), found.basis) == ([11, 10, 9, 8], "")


def test_a_small_picture_is_the_mean_of_its_parts():
    image = np.zeros((16, 16, 1), np.uint8)
    image[:2, :2] = 100
    assert shrink(image).reshape(8, 8, 3)[0, 0].tolist() == [100, 100, 100]
    assert shrink(image).sum() == 300


def test_features_of_a_search_are_kept_and_read(tmp_path):
    run = RunDir(tmp_path)
    keep_features(run, Evidence(LABELS, 2))
    assert read_features(run, 12) is None
    keep_features(run, Evidence(LABELS, 2, features=angles(*range(12))))
    assert read_features(run, 12) == pytest.approx(angles(*range(12)) / 2, abs=1e-3)
    with pytest.raises(RunError, match="does not fit its rows"):
        read_features(run, 11)
    run.write(b"no array", FILE)
    with pytest.raises(RunError, match="is damaged"):
        read_features(run, 12)
