import contextlib
import io

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.object_detection.average_precision import (
    average_precision,
    mean_average_precision,
    precision_recall_curve,
)
from unshaken.measure.object_detection.matching import AREAS, Detections, Objects, match_images

FAR = 1000.0


def image(hits, objects=None, scores=None, crowd=()):
    """Objects in a row; each hit is the number of the object that is found exactly, None a box far away."""
    count = max([h for h in hits if h is not None], default=-1) + 1 if objects is None else objects
    truth = np.array([[20.0 * i, 0, 20 * i + 10, 10] for i in range(count)]).reshape(-1, 4)
    found = np.array([[FAR, FAR, FAR + 10, FAR + 10] if h is None else truth[h] for h in hits]).reshape(-1, 4)
    falling = np.linspace(0.9, 0.1, len(hits)) if scores is None else np.array(scores)
    return (
        Detections(found, np.zeros(len(hits), int), falling),
        Objects(truth, np.zeros(count, int), np.isin(np.arange(count), crowd)),
    )


def ap(*images, classes=1):
    found, objects = zip(*images, strict=True)
    return average_precision(match_images(found, objects, classes))


@pytest.mark.parametrize(
    ("hits", "objects", "value"),
    [
        ([0, None, 1, 2], 3, 84.25 / 101),
        ([0, None, 1], 3, 56 / 101),
        ([0], 2, 51 / 101),
        ([None, 0], 1, 0.5),
        ([0, 1], 2, 1.0),
        ([], 2, 0.0),
    ],
)
def test_worked_cases(hits, objects, value):
    assert ap(image(hits, objects))[0, 0] == pytest.approx(value, abs=1e-12)


def test_a_box_that_overlaps_by_two_thirds_is_right_at_four_thresholds_of_ten():
    box, truth = np.array([[0.0, 0, 10, 10]]), np.array([[1.0, 1, 11, 11]])
    found = match_images(
        [Detections(box, np.array([0]), np.array([0.5]))], [Objects(truth, np.array([0]), np.array([False]))], 1
    )
    values = average_precision(found)
    assert (values[0, 0], values[5, 0]) == (1, 0)
    assert mean_average_precision(values) == pytest.approx(0.4)
    assert mean_average_precision(values, 0) == 1


def test_a_second_detection_of_an_object_costs_only_what_comes_after_it():
    assert ap(image([0, 1, 0], 2))[0, 0] == 1
    assert ap(image([0, 0, 1], 2))[0, 0] < 1


def test_detections_on_a_crowd_do_not_matter():
    assert ap(image([1, 0, 1], 2, crowd=[1]))[0, 0] == 1


def test_a_class_without_objects_and_the_scale_of_scores_change_nothing():
    detections, objects = image([0, None, 1], 3)
    more = Detections(
        np.concatenate([detections.boxes, detections.boxes]), np.repeat([0, 1], 3), np.tile(detections.scores / 7, 2)
    )
    values = average_precision(match_images([more], [objects], 2))
    assert np.isnan(values[:, 1]).all()
    np.testing.assert_array_equal(values[:, :1], ap((detections, objects)))


def test_the_101st_detection_of_an_image_is_dropped():
    assert ap(image([None] * 100 + [0], 1))[0, 0] == 0
    assert ap(image([None] * 99 + [0], 1))[0, 0] > 0


def test_the_curve_has_the_average_precision_as_its_mean():
    detections, objects = image([0, None, 1, None, 2], 4)
    found = match_images([detections], [objects], 1)
    curve = precision_recall_curve(found, 0)
    assert curve.mean() == pytest.approx(average_precision(found)[0, 0])
    assert (np.diff(curve) <= 0).all()
    with pytest.raises(ParameterError, match="class 5 has no objects"):
        precision_recall_curve(found, 5)


def test_weights_are_repeated_images():
    rng = np.random.default_rng(0)
    images = [scene(rng, 3, 8) for _ in range(12)]
    counts = rng.integers(0, 3, 12)
    repeated = [images[i] for i in np.repeat(np.arange(12), counts)]
    found = match_images(*zip(*images, strict=True), 3)
    often = average_precision(match_images(*zip(*repeated, strict=True), 3))
    np.testing.assert_allclose(average_precision(found, counts), often, atol=1e-12)
    np.testing.assert_allclose(average_precision(found, counts.astype(np.float32)), often, atol=1e-6)


def test_wrong_arguments_are_refused():
    found = match_images(*zip(image([0]), strict=True), 1)
    with pytest.raises(ParameterError, match="area 'tiny' is not one of all, small"):
        average_precision(found, area="tiny")
    with pytest.raises(ParameterError, match="weights must be of 1 images"):
        average_precision(found, np.ones(2))


def scene(rng, classes, most, digits=None):
    """Random objects and detections near them, one in ten objects a crowd."""
    n, m = rng.integers(0, most + 1), rng.integers(0, 4 * most)
    low, size = rng.uniform(0, 150, (n, 2)), rng.uniform(5, 150, (n, 2))
    objects = Objects(
        np.concatenate([low, low + size], 1),
        rng.integers(0, classes, n),
        rng.random(n) < 0.1,
        size.prod(1) * rng.uniform(0.4, 1, n),
    )
    near = rng.integers(0, n, m) if n else np.zeros(0, int)
    moved = objects.boxes[near] + rng.normal(0, 6, (len(near), 4))
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    labels = np.where(rng.random(len(near)) < 0.8, objects.classes[near], rng.integers(0, classes, len(near)))
    scores = rng.random(len(near))
    return Detections(moved, labels, scores if digits is None else scores.round(digits)), objects


@pytest.mark.parametrize("seed", range(3))
def test_it_is_what_pycocotools_computes(seed):
    rng = np.random.default_rng(seed)
    images = [scene(rng, 4, 6 if i else 40, digits=2) for i in range(15)]  # tied scores, and more than 100 in one image
    reference = by_pycocotools(images, 4)
    found = match_images(*zip(*images, strict=True), 4)
    for index, area in enumerate(AREAS):
        precision = reference[:, :, :, index, -1].mean(1)
        np.testing.assert_allclose(
            average_precision(found, area=area), np.where(precision < 0, np.nan, precision), atol=1e-12
        )


def by_pycocotools(images, classes):
    """Precision `[T, R, K, A, M]`."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def sides(box):
        return [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]

    annotations, results = [], []
    for i, (found, objects) in enumerate(images):
        for box, label, crowd, area in zip(objects.boxes, objects.classes, objects.crowd, objects.areas, strict=True):
            entry = {"id": len(annotations) + 1, "image_id": i, "category_id": int(label), "bbox": sides(box)}
            annotations.append(entry | {"area": float(area), "iscrowd": int(crowd)})
        for box, label, score in zip(found.boxes, found.classes, found.scores, strict=True):
            results.append({"image_id": i, "category_id": int(label), "bbox": sides(box), "score": float(score)})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": i} for i in range(len(images))],
            "annotations": annotations,
            "categories": [{"id": k} for k in range(classes)],
        }
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(results), "bbox")
        run.evaluate()
        run.accumulate()
    return run.eval["precision"]
