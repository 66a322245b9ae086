"""Kinds of errors on scenes of few boxes, and what each costs, by hand."""

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.object_detection.average_precision import average_precision, mean_average_precision
from unshaken.measure.object_detection.errors import FALSE_KINDS, KINDS, REPAIRS, cost_figures, error_costs, find_errors
from unshaken.measure.object_detection.matching import Detections, Objects

PLACES = {"whole": (0, 0, 10, 10), "part": (0, 0, 10, 4), "away": (50, 50, 60, 60), "touch": (0, 0, 10, 0.5)}
"""The object is `whole`: a `part` overlaps it by 0.4, a `touch` by 0.05."""


def found(*rows):
    boxes = np.array([PLACES[p] for p, _, _ in rows], float).reshape(-1, 4)
    return Detections(boxes, np.array([c for _, c, _ in rows], int), np.array([s for _, _, s in rows], float))


def truth(*rows, crowd=()):
    boxes = np.array([PLACES[p] for p, _ in rows], float).reshape(-1, 4)
    flags = np.array([i in crowd for i in range(len(rows))], bool)
    return Objects(boxes, np.array([c for _, c in rows], int), flags)


def kinds(errors):
    return [FALSE_KINDS[k] if k >= 0 else "right" for k in errors.kind]


@pytest.mark.parametrize(
    ("detection", "kind"),
    [
        (("whole", 1, 0.9), "class"),
        (("part", 0, 0.9), "location"),
        (("part", 1, 0.9), "both"),
        (("away", 0, 0.9), "background"),
        (("touch", 0, 0.9), "background"),
        (("whole", 0, 0.9), "right"),
    ],
)
def test_one_detection_of_one_object(detection, kind):
    errors = find_errors([found(detection)], [truth(("whole", 0))], 2)
    assert kinds(errors) == [kind]
    assert errors.counts()["missed"] == (kind in ("both", "background"))


def test_a_second_hit_is_a_duplicate_and_a_crowd_is_no_error():
    errors = find_errors([found(("whole", 0, 0.9), ("whole", 0, 0.8))], [truth(("whole", 0))], 1)
    assert kinds(errors) == ["right", "duplicate"]
    errors = find_errors([found(("whole", 0, 0.9))], [truth(("whole", 0), crowd=[0])], 1)
    assert kinds(errors) == ["right"]
    assert errors.counts() == dict.fromkeys(KINDS, 0)


def test_what_each_kind_costs():
    """A false detection that is surer than a hit halves AP; what is never found leaves it at 51 of 101."""
    before = [found(("away", 0, 0.9), ("whole", 0, 0.8))]
    costs = error_costs(find_errors(before, [truth(("whole", 0))], 2))
    assert costs == pytest.approx(dict.fromkeys(KINDS, 0.0) | {"background": 0.5, "false": 0.5, "unfound": 0.0})
    twice = find_errors([found(("whole", 0, 0.9))], [truth(("whole", 0), ("away", 0))], 1)
    assert error_costs(twice) == pytest.approx(
        dict.fromkeys((*KINDS, "false"), 0.0) | {"missed": 50 / 101, "unfound": 50 / 101}
    )


def test_a_repaired_class_or_place_is_a_hit():
    wrong = find_errors([found(("whole", 1, 0.9))], [truth(("whole", 0))], 2)
    costs = error_costs(wrong)
    assert (costs["class"], costs["missed"], costs["false"], costs["unfound"]) == pytest.approx(
        (1.0, 0.0, 0.0, float("nan")), nan_ok=True
    )
    costs = error_costs(find_errors([found(("part", 0, 0.9))], [truth(("whole", 0))], 1))
    assert (costs["location"], costs["class"]) == (1.0, 0.0)


def test_an_object_is_repaired_once_and_not_at_all_if_it_is_found():
    several = [found(("whole", 1, 0.9), ("part", 0, 0.8), ("whole", 2, 0.7))]
    errors = find_errors(several, [truth(("whole", 0))], 3)
    assert kinds(errors) == ["class", "location", "class"]
    assert errors.repairs.tolist() == [True, False, False]
    assert error_costs(errors)["location"] == 0  # it goes: a surer error is about the same object
    found_too = find_errors([found(("whole", 1, 0.9), ("whole", 0, 0.3))], [truth(("whole", 0))], 2)
    assert kinds(found_too) == ["class", "right"]
    assert not found_too.repairs.any()


def test_images_stand_beside_each_other_and_scores_are_in_any_order():
    detections = [found(("whole", 0, 0.2), ("away", 0, 0.6)), found(), found(("part", 1, 0.9))]
    objects = [truth(("whole", 0)), truth(("away", 1)), truth(("whole", 1), ("whole", 0))]
    errors = find_errors(detections, objects, 2)
    assert kinds(errors) == ["background", "right", "location"]  # by falling score in each image
    assert errors.target.tolist() == [-1, -1, 2]
    assert errors.found.tolist() == [True, False, False, False]
    assert errors.missed.tolist() == [False, True, False, True]


def test_counts_and_costs_of_random_scenes_hold_together():
    """All false detections are of one kind; without them, and asked for what is found alone, AP is 1."""
    rng = np.random.default_rng(0)

    def boxes(n):
        low = rng.random((n, 2)) * 20
        return np.concatenate([low, low + 4 + rng.random((n, 2)) * 10], 1)

    detections = [Detections(boxes(12), rng.integers(0, 3, 12), rng.random(12)) for _ in range(8)]
    objects = [Objects(boxes(5), rng.integers(0, 3, 5), rng.random(5) < 0.1) for _ in range(8)]
    errors = find_errors(detections, objects, 3, hit=0.3)
    matched = errors.matched
    assert sum(errors.counts().values()) - errors.counts()["missed"] == int((~matched.hit & ~matched.ignored)[0].sum())
    assert min(errors.counts().values()) > 0
    assert int(errors.found.sum()) == int(matched.hit[0].sum())
    costs, there = error_costs(errors), float(mean_average_precision(average_precision(matched)))
    assert min(costs.values()) >= -1e-12
    both = errors.repaired("unfound")
    clean = np.flatnonzero(errors.kind < 0)
    assert there + costs["false"] <= 1
    assert float(average_precision(both)[0, 0]) <= 1
    assert clean.size == int(matched.hit[0].sum() + matched.ignored[0].sum())


def test_wrong_use_is_refused():
    with pytest.raises(ParameterError, match="0 < near < hit"):
        find_errors([found()], [truth()], 1, near=0.6)
    with pytest.raises(ParameterError, match="'wild' is not one of class, location"):
        find_errors([found()], [truth(("whole", 0))], 1).repaired("wild")


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
