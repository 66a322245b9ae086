"""Wrong boxes: by hand, and against cleanlab 2.9 on random sets."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.labels.find.boxes import ImageBoxes, average_precision, box_iou, find_boxes, similarity

K = 3


def boxes_near(rng, n):
    corner = rng.uniform(0, 80, (n, 2))
    return np.concatenate([corner, corner + rng.uniform(5, 30, (n, 2))], 1)


def drawn(seed, n=12):
    """Given boxes, and predictions near most of them; some are missing, moved or of another class."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        m = int(rng.integers(0, 5)) if i else 3
        boxes, labels = boxes_near(rng, m), rng.integers(0, K, m)
        if i % 4 == 1 and m > 1:
            boxes[1] = boxes[0]
            labels[1] = (labels[0] + 1) % K
        near = boxes + rng.normal(0, 3, boxes.shape)
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        more = boxes_near(rng, int(rng.integers(0, 3)))
        classes = np.concatenate(
            [np.where(rng.random(m) < 0.2, rng.integers(0, K, m), labels), rng.integers(0, K, len(more))]
        )
        # no two probabilities are alike: of equal ones cleanlab takes any first
        p, whole = rng.uniform(0.3, 1, len(classes)), np.concatenate([near, more])
        p = np.where(rng.random(len(p)) < 0.4, rng.uniform(0.96, 1, len(p)), p)
        order = np.argsort(classes, kind="stable")
        found.append(ImageBoxes(boxes, labels, whole[order], classes[order], p[order]))
    return found


def for_cleanlab(images):
    labels = [{"bboxes": i.boxes, "labels": i.labels} for i in images]
    rows = [np.concatenate([i.predicted, i.probability[:, None]], 1) for i in images]
    return labels, [[r[i.predicted_labels == k] for k in range(K)] for i, r in zip(images, rows, strict=True)]


@pytest.fixture(scope="module")
def cleanlab():
    return pytest.importorskip("cleanlab.object_detection")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("check", [True, False])
def test_scores_are_those_of_cleanlab(cleanlab, seed, check):
    images = drawn(seed)
    found = find_boxes(images, K, overlap_check=check)
    labels, predictions = for_cleanlab(images)
    rank = cleanlab.rank
    options = {"verbose": False, "overlapping_label_check": check}
    assert np.allclose(found.score, rank.get_label_quality_scores(labels, predictions, **options), rtol=1e-9)
    both = {"labels": labels, "predictions": predictions}
    for own, theirs in (
        (found.overlooked, rank.compute_overlooked_box_scores(**both)),
        (found.badly_placed, rank.compute_badloc_box_scores(**both)),
        (found.wrong_class, rank.compute_swap_box_scores(**both, overlapping_label_check=check)),
    ):
        assert all(np.allclose(a, b, equal_nan=True) for a, b in zip(own, theirs, strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_flags_and_precision_are_those_of_cleanlab(cleanlab, seed, monkeypatch):
    images = drawn(seed)
    found = find_boxes(images, K)
    labels, predictions = for_cleanlab(images)
    monkeypatch.setattr(cleanlab.filter, "Pool", Serial)
    wanted = cleanlab.filter._get_per_class_ap(labels, predictions)
    assert np.allclose(found.precision * 0.25, [wanted[k] for k in range(K)], atol=1e-6)
    assert np.array_equal(found.flagged, cleanlab.filter.find_label_issues(labels, predictions))


class Serial:
    """A pool of no processes, for cleanlab, which starts one for every class and overlap."""

    def __init__(self, count):
        self.count = count

    def starmap(self, function, arguments):
        return [function(*a) for a in arguments]

    def close(self):
        pass


def image(given, labels, predicted, classes, p):
    shape = [np.array(b, float).reshape(-1, 4) for b in (given, predicted)]
    return ImageBoxes(shape[0], np.array(labels, int), shape[1], np.array(classes, int), np.array(p, float))


def test_three_kinds_of_mistakes_by_hand():
    a, b, far = (0, 0, 10, 10), (2, 0, 12, 10), (60, 60, 80, 80)
    right = image([a, far], [0, 1], [a, far], [0, 1], [0.99, 0.99])
    missing = image([a], [0], [a, far], [0, 1], [0.99, 0.99])
    moved = image([b], [0], [a], [0], [0.99])
    renamed = image([a], [1], [a], [0], [0.99])
    found = find_boxes([right, missing, moved, renamed], 2)
    assert np.isnan(found.overlooked[1][0])
    assert found.overlooked[1][1] < 1e-3
    assert found.badly_placed[2][0] == pytest.approx(0.9 * 8 / 12 + 0.1 * np.exp(-0.2))
    assert found.wrong_class[3][0] < 1e-3
    assert found.wrong_class[0][0] > 0.99  # its own prediction is of its own class, the other one is far away
    assert found.score.argmax() == 0
    assert [f.tolist() for f in found.flags[3]][2] == [True]
    assert found.flagged.tolist() == [False, True, False, True]


def test_similarity_and_overlap():
    one, two = np.array([[0.0, 0, 10, 10]]), np.array([[0.0, 0, 10, 10], [0, 10, 10, 20], [5, 0, 15, 10]])
    assert box_iou(one, two).tolist() == [[1, 0, pytest.approx(1 / 3)]]
    assert similarity((one, two))[0, 1] == pytest.approx(0.1 * np.exp(-1))


def test_average_precision_by_hand():
    """Two given, three predicted: right, wrong, right; precision 1 and 2/3 at a recall of 1/2 and 1."""
    a, b, far = (0, 0, 10, 10), (20, 0, 30, 10), (60, 60, 80, 80)
    one = image([a, b], [0, 0], [a, far, b], [0, 0, 0], [0.9, 0.8, 0.7])
    assert average_precision([one], 2).tolist() == [pytest.approx(0.5 + 0.5 * 2 / 3), 0.0]


def test_images_without_boxes():
    found = find_boxes([image([], [], [], [], []), image([(0, 0, 5, 5)], [1], [], [], [])], 2)
    assert found.score.tolist() == [1, 1]
    assert not found.flagged[0]
