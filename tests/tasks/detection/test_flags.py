import pytest
import torch

from tests.tasks.detection.scenes import detector
from unshaken.core.batch import Batch
from unshaken.core.boxes import stack_boxes
from unshaken.core.oracle import Oracle
from unshaken.core.trust import NON_FINITE
from unshaken.tasks.detection.flags import HIGH_THRESHOLD, NO_DETECTIONS, OTHER_CLASSES, check_detections


def names(objects, detections):
    """Flags of one image with so many objects, and with detections of (class, score) that fit one each."""
    square = [0.0, 0.0, 10.0, 10.0]
    there = torch.tensor([[*square, k, 0, 100] for k in objects]).reshape(-1, 7)
    found = torch.tensor([[*square, k, score] for k, score in detections]).reshape(-1, 6)
    batch = Batch(torch.zeros(1, 3, 16, 16), None, ("0",), stack_boxes([there], 7))
    return {flag.name for flag in check_detections(Oracle(detector()), batch, stack_boxes([found], 6))}


@pytest.mark.parametrize(
    ("objects", "detections", "raised"),
    [
        ([0], [(0, 0.9), (0, 0.05)], set()),
        ([], [], set()),
        ([0], [], {NO_DETECTIONS.name}),
        ([0], [(0, 0.9)], {HIGH_THRESHOLD.name}),
        ([0], [(1, 0.9)] * 12 + [(1, 0.01)], {OTHER_CLASSES.name}),
        ([0], [(1, 0.9)] * 9 + [(1, 0.01)], set()),
        ([0], [(1, 0.9)] * 9 + [(0, 0.9), (1, 0.01)], set()),
        ([0], [(0, float("nan")), (0, 0.01)], {NON_FINITE.name}),
        ([0], [(0, float("nan"))], {NON_FINITE.name, NO_DETECTIONS.name}),
    ],
)
def test_each_doubt_is_raised_where_it_should_be(objects, detections, raised):
    assert names(objects, detections) == raised
