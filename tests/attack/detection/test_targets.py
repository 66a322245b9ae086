"""Chosen classes for objects: what counts as reached by hand, and a detector whose scores follow two channels."""

import math

import pytest
import torch

from tests.attack.detection.soft import scene, soft
from unshaken.attack.detection.base import DetectionProblem, with_classes
from unshaken.attack.detection.dag import DAG
from unshaken.attack.detection.detection_pgd import DetectionPGD
from unshaken.attack.detection.object_mislabeling import ObjectMislabeling, WrongClass
from unshaken.attack.engine.ball import Ball
from unshaken.core import Batch, Oracle, SampleRng
from unshaken.core.errors import ParameterError
from unshaken.core.query import Answer

OBJECTS = torch.tensor([[[0.0, 0, 10, 10, 0, 0, 100], [20, 0, 30, 10, 1, 0, 100], [40, 0, 50, 10, 2, 1, 100]]])
"""Of classes 0 and 1, and a crowd of class 2."""
BATCH = Batch(torch.zeros(1, 3, 8, 60), None, ("a",), OBJECTS)
SWAP = torch.tensor([[1, 0]])


def found(*rows):
    return torch.tensor([list(rows)]).view(1, -1, 6)


def test_objects_take_the_class_that_is_chosen_for_theirs():
    aimed = with_classes(OBJECTS, torch.tensor([[2, -1, 0]]))
    assert aimed[0, :, 4].tolist() == [2, -1, 0]
    assert torch.equal(aimed[0, 0, :4], OBJECTS[0, 0, :4])
    assert with_classes(OBJECTS, SWAP)[0, :, 4].tolist() == [1, 0, -1], "class 2 is none of two"
    assert with_classes(OBJECTS, None)[0, :, 4].tolist() == [-1, -1, -1]


@pytest.mark.parametrize(
    ("rows", "reached"),
    [
        ([], [0, 0]),
        ([[0.0, 0, 10, 10, 1, 0.5]], [1, 0]),
        ([[0.0, 0, 10, 10, 1, 0.49]], [0, 0]),
        ([[0.0, 0, 10, 10, 1, 0.6], [0.0, 0, 10, 10, 0, 0.7]], [0, 0]),
        ([[0.0, 0, 10, 10, 1, 0.6], [20.0, 0, 30, 10, 0, 0.9], [0.0, 0, 10, 4, 0, 0.9]], [1, 1]),
        ([[40.0, 0, 50, 10, 0, 0.9]], [0, 0]),
    ],
)
def test_an_object_has_the_target_where_its_surest_detection_has_it(rows, reached):
    """From a score of a half, at an overlap of a half; a crowd is no object, and a box of 0.4 overlap is not at one."""
    counted, hit = ObjectMislabeling().count_reached(found(*rows), BATCH, torch.tensor([[1, 0, 0]]))
    assert counted.tolist() == [[1, 1, 0]]
    assert hit.tolist() == [[*reached, 0]]


def test_detections_of_the_chosen_class_alone_rise():
    rows = found(
        [0.0, 0, 10, 10, 0, 0.8], [0.0, 0, 10, 9, 1, 0.4], [0.0, 0, 10, 9, 2, 0.3], [20.0, 0, 30, 10, 1, 0.9]
    )  # fmt: skip
    aimed = with_classes(OBJECTS, torch.tensor([[2, -1, -1]]))
    own = torch.where(aimed[..., 4:5] >= 0, OBJECTS, -1.0)
    value = WrongClass(own, aimed)(Answer(logits=rows))
    assert value.item() == pytest.approx(math.log(300) + math.log(0.2), abs=1e-4), "class 1, and the object of it, wait"


@pytest.mark.parametrize("attack", [ObjectMislabeling(steps=10), DAG(steps=50, gamma=4 / 255)])
def test_objects_are_found_under_the_chosen_class(attack):
    model, batch = soft(least=1e-4), scene(3)
    short, enough = attack.attack(Oracle(model), batch, norm="linf", eps=[0.05, 0.3], targets=SWAP.expand(3, 2))
    counted, reached = attack.count_reached(enough.outputs, batch, SWAP.expand(3, 2))
    assert counted.tolist() == reached.tolist() == [[1, 1]] * 3
    assert not attack.count_reached(short.outputs, batch, SWAP.expand(3, 2))[1].any(), "the margin is 0.1"
    (half,) = attack.attack(Oracle(model), batch, norm="linf", eps=[0.3], targets=torch.tensor([[1, -1]]).expand(3, 2))
    counted, reached = attack.count_reached(half.outputs, batch, torch.tensor([[1, -1]]).expand(3, 2))
    assert counted.tolist() == reached.tolist() == [[1, 0]] * 3


def test_dag_goes_on_until_the_chosen_class_is_there():
    x = torch.zeros(1, 3, 8, 60)
    for aims in ([[1, -1, -1]], [[2, -1, -1]]):
        aimed = with_classes(OBJECTS, torch.tensor(aims))
        own = torch.where(aimed[..., 4:5] >= 0, OBJECTS, -1.0)
        problem = DetectionProblem(Ball.of(x, torch.tensor([0.1]), "linf"), own, found(), aimed, True)
        state = DAG().start(problem, SampleRng.of(0, "dag", ["a"]))
        over = [
            DAG().finished(state, found(*rows)).item()
            for rows in ([], [[0.0, 0, 10, 10, 0, 0.9]], [[0.0, 0, 10, 10, 1, 0.9]], [[0.0, 0, 10, 10, 1, 0.4]])
        ]
        assert over == [False, False, aims[0][0] == 1, False]


def test_attacks_without_a_class_to_reach_refuse_one():
    with pytest.raises(ParameterError, match="detection-pgd: it reaches no chosen class"):
        DetectionPGD().attack(Oracle(soft()), scene(1), norm="linf", eps=[0.1], targets=SWAP)
