"""Objectives by hand, and what each attack does to a detector whose scores follow two channels' brightness."""

import math

import pytest
import torch

import unshaken
from tests.attack.detection.soft import scene, soft
from tests.tasks.detection.scenes import scenes
from unshaken.attack.detection.base import (
    DetectionProblem,
    DetectionState,
    fits,
    is_there,
    log_absence,
    log_score,
    of_same_class,
    overlap,
    with_a_row,
    with_classes,
)
from unshaken.attack.detection.dag import DAG, DenseAdversary, targets
from unshaken.attack.detection.detection_patch import DetectionPatch
from unshaken.attack.detection.detection_pgd import DetectionPGD, SoftF1Loss
from unshaken.attack.detection.object_fabrication import FalseAlarms, ObjectFabrication
from unshaken.attack.detection.object_mislabeling import ObjectMislabeling, WrongClass
from unshaken.attack.detection.object_vanishing import Absence, ObjectVanishing
from unshaken.attack.engine.ball import Ball
from unshaken.core import Oracle, SampleRng
from unshaken.core.query import Answer
from unshaken.measure.object_detection.matching import box_iou

OBJECT = torch.tensor([[[0.0, 0, 10, 10, 0, 0, 100]]])
EMPTY = [0.0, 0, 0, 0, -1, 0]


def boxes(*rows):
    return torch.tensor([list(rows)])


def test_a_half_fits_and_less_does_not():
    found = boxes([0.0, 0, 10, 5, 1, 0.9], [0.0, 0, 10, 4.9, 0, 0.9], [20.0, 20, 30, 30, 0, 0.9], EMPTY)
    assert overlap(found, OBJECT).flatten().tolist() == pytest.approx([0.5, 0.49, 0, 0])
    assert fits(found, OBJECT).flatten().tolist() == [True, False, False, False]
    assert of_same_class(found, OBJECT).flatten().tolist() == [False, True, True, False]


def test_empty_rows_overlap_nothing_whatever_their_corners():
    gone = boxes([0.0, 0, 10, 10, -1, 0.9])
    assert overlap(gone, OBJECT).item() == 0
    assert overlap(boxes([0.0, 0, 10, 10, 0, 0.9]), torch.tensor([[[0.0, 0, 10, 10, -1, 0, 0]]])).item() == 0
    assert overlap(boxes([5.0, 5, 5, 5, 0, 0.9]), torch.tensor([[[5.0, 5, 5, 5, 0, 0, 0]]])).item() == 0
    assert is_there(boxes([0.0, 0, 1, 1, 0, 1], EMPTY)).tolist() == [[True, False]]


def test_scores_are_those_above_a_thousandth():
    found = boxes([0.0, 0, 1, 1, 0, 1.0], [0.0, 0, 1, 1, 0, 0.01], [0.0, 0, 1, 1, 0, 5e-4], [0.0, 0, 1, 1, -1, 1.0])
    assert log_score(found)[0].tolist() == pytest.approx([math.log(1000), math.log(10), 0, 0], abs=1e-5)
    absent = log_absence(found)[0].tolist()
    assert absent[1:] == pytest.approx([math.log(0.99), math.log(1 - 5e-4), 0], abs=1e-4)
    assert absent[0] == pytest.approx(math.log(1e-6), abs=0.1)  # finite


def test_images_without_objects_get_an_empty_one():
    assert with_a_row(OBJECT) is OBJECT
    padded = with_a_row(torch.zeros(2, 0, 7))
    assert padded.shape == (2, 1, 7)
    assert not bool(is_there(padded).any())


RIGHT, WRONG, FAR = [0.0, 0, 10, 10, 0, 0.8], [0.0, 0, 10, 9, 1, 0.4], [20.0, 20, 30, 30, 0, 0.1]


def answer(*rows):
    return Answer(logits=torch.tensor([list(rows)]))


def logit(p):
    return math.log(p / (1 - p))


def test_overlap_is_that_of_the_measure_and_its_gradient_opens_a_box():
    rng = torch.Generator().manual_seed(0)
    low = torch.rand(2, 5, 2, generator=rng) * 5
    boxes = torch.cat([low, low + torch.rand(2, 5, 2, generator=rng) * 9, torch.zeros(2, 5, 2)], -1)
    objects = torch.cat([boxes[:, [1, 3], :5] + 0.5, torch.zeros(2, 2, 2)], -1)
    objects[..., 4] = 0
    for got, one, other in zip(overlap(boxes, objects), boxes.numpy(), objects.numpy(), strict=True):
        torch.testing.assert_close(got.double(), torch.from_numpy(box_iou(one[:, :4], other[:, :4])).double())
    small = torch.tensor([[[2.0, 2, 8, 8, 0, 1]]], requires_grad=True)
    overlap(small, OBJECT).sum().backward()
    assert small.grad[0, 0, :4].sign().tolist() == [-1, -1, 1, 1]


def test_objectives_by_hand():
    rows = answer(RIGHT, WRONG, FAR, EMPTY)
    assert Absence(rows.logits)(rows).item() == pytest.approx(math.log(0.2 * 0.6 * 0.9), abs=1e-4)
    assert FalseAlarms(OBJECT)(rows).item() == pytest.approx(math.log(400) + math.log(100), abs=1e-4)
    assert WrongClass(OBJECT)(rows).item() == pytest.approx(math.log(400) + math.log(0.2), abs=1e-4)
    dense = DenseAdversary(OBJECT, with_classes(OBJECT, torch.tensor([[1, 0]])), 0.5)
    assert dense(rows).item() == pytest.approx(math.log(400) - (math.log(800) - math.log(0.2)), abs=1e-3)


def test_the_smooth_loss_is_one_less_f1_where_scores_and_overlaps_are_sure():
    loss = SoftF1Loss(OBJECT)
    sure = 1 / (1 + math.exp(-5))  # the smooth step at full overlap
    assert loss(answer([0.0, 0, 10, 10, 0, 1], EMPTY)).item() == pytest.approx(1 - 2 * sure / 2, abs=1e-5)
    assert loss(answer([0.0, 0, 10, 10, 0, 1], [20.0, 20, 30, 30, 0, 1])).item() == pytest.approx(
        1 - 2 * sure / 3, abs=1e-5
    )
    assert loss(answer([0.0, 0, 10, 10, 1, 1], EMPTY)).item() == 1
    assert loss(answer(EMPTY, EMPTY)).item() == 1


def attacked(attack, batch, eps=0.15, **options):
    net = soft(**options)
    norm = {"norm": "linf", "eps": [eps]} if attack.norms else {}
    return attack.attack(Oracle(net), batch, **norm)[0].outputs, net(batch.images).detach()


def score(outputs, place, label):
    """The score of a class at the first or second place; 0 where there is none."""
    near = (outputs[..., 0] < 7) == (place == 0)
    return torch.where(near & (outputs[..., 4] == label), outputs[..., 5], 0.0).amax(1)


def test_objects_vanish():
    after, before = attacked(ObjectVanishing(), scene())
    for place in (0, 1):
        assert bool((score(before, place, place) > 0.8).all())
        assert bool((score(after, place, place) < 0.3).all())  # 0.6 - 0.15 is below the middle


def test_false_alarms_appear_where_no_object_is():
    after, before = attacked(ObjectFabrication(), scene(objects=((0, 0),)))
    assert bool((score(before, 1, 0) < 0.2).all())
    assert bool((score(after, 1, 0) > 0.7).all())
    assert bool((score(after, 1, 1) > 0.7).all())


@pytest.mark.parametrize(
    "attack", [ObjectMislabeling(), DAG(gamma=0.02, sure=0.1, steps=20)], ids=["mislabeling", "dag"]
)
def test_objects_change_their_class(attack):
    after, _ = attacked(attack, scene())
    for place in (0, 1):
        assert bool((score(after, place, place) < 0.3).all())
        assert bool((score(after, place, 1 - place) > 0.3).all())


def test_dag_stops_when_no_right_detection_is_left():
    one = DAG(gamma=0.02).attack(Oracle(soft()), scene(), norm="linf", eps=[0.3])[0]
    assert int(one.backwards.max()) < 20  # 0.1 to go in steps of 0.02; 150 are allowed
    assert float(torch.stack([score(one.outputs, p, p) for p in (0, 1)]).max()) < 0.5


def test_pgd_moves_boxes_where_scores_are_cut_off_from_the_image():
    """With a flat sigmoid only the corners, which follow the blue channel, are left to move."""
    after, before = attacked(DetectionPGD(), scene(), eps=0.5, steep=0.0, least=0.0)
    assert float((after[..., 0] - before[..., 0]).min()) > 1


def test_a_patch_changes_its_own_pixels_alone():
    attack, batch = DetectionPatch(size=4, cells=4), scene()
    one = attack.attack(Oracle(soft()), batch)[0]
    changed = (one.images != batch.images).any(1).flatten(1).sum(1)
    assert 0 < int(changed.max()) <= 64
    assert bool((one.value >= SoftF1Loss(batch.boxes)(Answer(logits=soft()(batch.images)))).all())


def test_a_patch_over_everything_ascends_the_loss():
    batch = scene()
    one = DetectionPatch(size=16, steps=5).attack(Oracle(soft()), batch)[0]
    clean = SoftF1Loss(batch.boxes)(Answer(logits=soft()(batch.images))).detach()
    assert bool((one.value > clean + 0.1).all())
    for place in (0, 1):
        assert bool((score(one.outputs, place, place) < 0.3).all())


def test_an_audit_has_map_under_attack(tmp_path):
    plan = [
        {"method": "object-vanishing", "params": {"steps": 3}, "eps": ["16/255", 0.3]},
        {"method": "detection-patch"},
    ]
    done = unshaken.audit(soft(), scenes(6), plan, out=tmp_path / "run")
    names = [row["condition"] for row in done.summary["conditions"]]
    assert names == ["object-vanishing-linf-0.0627451", "object-vanishing-linf-0.3", "detection-patch"]
    assert all("map" in row for row in done.summary["conditions"])
    rows = done.run.rows("outcomes").to_pylist()
    assert {r["forwards"] for r in rows if r["method"] == "object-vanishing"} == {5}
    assert all(r["distance"] <= 0.3 + 1e-6 for r in rows if r["method"] == "object-vanishing")
    assert all(r["distance"] is None for r in rows if r["method"] == "detection-patch")


def test_the_adversarial_class_is_that_which_is_chosen_for_an_object():
    """Class 2 is to be 1, or 0, or is left alone. A score of a half is a target, .49 is not."""
    last = OBJECT.clone()
    last[..., 4] = 2
    rows = answer([0.0, 0, 10, 10, 2, 0.5], [0.0, 0, 10, 9, 1, 0.4], [0.0, 0, 10, 9, 0, 0.3], [0.0, 0, 10, 10, 2, 0.49])
    right = math.log(500) - math.log(0.5)
    for aim, wrong in ((1, math.log(400)), (0, math.log(300)), (-1, 0.0)):
        dense = DenseAdversary(last, with_classes(last, torch.tensor([[0, 0, aim]])), 0.5)
        assert dense(rows).item() == pytest.approx(wrong - right, abs=1e-3)
    assert targets(rows.logits, last, 0.5).tolist() == [[True, False, False, False]]


def state_of(pixels, objects=OBJECT):
    x = torch.tensor(pixels).view(1, 1, 1, -1)
    ball = Ball.of(x, torch.tensor([0.1]), "linf")
    none = torch.zeros(1, dtype=torch.int64)
    return DetectionState(DetectionProblem(ball, objects, none, objects, False), x, x, torch.tensor([-math.inf]), none)


def test_a_step_of_dag_is_the_gradient_over_its_largest_entry():
    state, gradient = state_of([0.5, 0.5, 0.5]), torch.tensor([2.0, -1.0, 0.0]).view(1, 1, 1, 3)
    assert DAG(gamma=0.04).move(state, gradient).flatten().tolist() == pytest.approx([0.54, 0.48, 0.5])
    assert DAG(gamma=0.4).move(state, gradient).flatten().tolist() == pytest.approx([0.6, 0.4, 0.5])
    moved = DetectionPGD(rel_stepsize=0.5).move(state, gradient)
    assert moved.flatten().tolist() == pytest.approx([0.55, 0.45, 0.5])


def test_dag_has_finished_where_no_right_detection_is_sure():
    state = state_of([0.5])
    for row, over in ((RIGHT, False), ([*RIGHT[:5], 0.49], True), (WRONG, True), (EMPTY, True)):
        assert DAG().finished(state, answer(row).logits).tolist() == [over]
    assert DetectionPGD().finished(state, answer(EMPTY).logits).tolist() == [False]


def test_a_start_is_the_image_or_a_point_of_the_ball():
    problem, rng = state_of([0.5, 0.5]).problem, SampleRng.of(0, "x", ["a"])
    assert torch.equal(DetectionPGD(random_start=False).start(problem, rng).x, problem.ball.clean)
    started = DetectionPGD().start(problem, rng)
    assert not torch.equal(started.x, problem.ball.clean)
    assert bool(problem.ball.contains(started.x))
    assert torch.equal(started.best, problem.ball.clean)


def test_crowds_count_for_nothing_and_nothing_at_all_loses_nothing():
    crowd = torch.cat([OBJECT, torch.tensor([[[20.0, 20, 30, 30, 0, 1, 100]]])], 1)
    sure = 1 / (1 + math.exp(-5))
    both = answer([0.0, 0, 10, 10, 0, 1], [20.0, 20, 30, 30, 0, 1])
    assert SoftF1Loss(crowd)(both).item() == pytest.approx(1 - 2 * sure / 3, abs=1e-5)
    none = torch.tensor([[[0.0, 0, 0, 0, -1, 0, 0]]])
    assert SoftF1Loss(none)(answer(EMPTY)).item() == 1
    assert SoftF1Loss(none)(answer(RIGHT)).item() == 1


def test_the_cost_is_two_passes_a_step_and_the_judges_two():
    assert DetectionPGD(steps=4).most_passes(2) == 10


def test_the_seed_is_0_unless_given():
    batch = scene(1)
    images = [
        DetectionPGD(steps=1).attack(Oracle(soft()), batch, norm="linf", eps=[0.05], **seed)[0].images
        for seed in ({}, {"seed": 0}, {"seed": 1})
    ]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])
