"""The loss and the goal of an attack, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.problem import Problem
from unshaken.core import Answer


def problem(labels, targeted=False, eps=0.1):
    clean = torch.full((len(labels), 1, 1, 2), 0.5)
    ball = Ball.of(clean, torch.full((len(labels),), eps), "linf")
    return Problem(ball, torch.tensor(labels), targeted, torch.zeros(len(labels), 2)), clean


LOGITS = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]])


def test_loss_is_the_cross_entropy_of_each_sample():
    loss = problem([0, 1])[0].loss(Answer(logits=LOGITS))
    assert loss.tolist() == pytest.approx([math.log(4), math.log(4 / 3)])


def test_targeted_loss_rises_towards_the_target():
    loss = problem([0, 1], targeted=True)[0].loss(Answer(logits=LOGITS))
    assert loss.tolist() == pytest.approx([-math.log(4), -math.log(4 / 3)])


@pytest.mark.parametrize(("targeted", "expected"), [(False, [True, False]), (True, [False, True])])
def test_goal_needs_the_class(targeted, expected):
    task, clean = problem([0, 1], targeted)
    assert task.fooled(clean, LOGITS).tolist() == expected


def test_goal_needs_the_ball():
    task, clean = problem([0, 0, 0])
    points = clean + torch.tensor([0.1, 0.11, 0.6]).view(3, 1, 1, 1)
    assert task.fooled(points, LOGITS[:1].expand(3, 2)).tolist() == [True, False, False]


def test_rows_of_a_problem_go_together():
    task = problem([0, 1, 0])[0]
    part = task[torch.tensor([1])]
    assert part.labels.tolist() == [1]
    assert part.loss(Answer(logits=LOGITS[:1])).tolist() == pytest.approx([math.log(4 / 3)])
    assert part.ball.clean.shape == (1, 1, 1, 2)


# Models that may refuse to decide.

DOUBT = torch.tensor([[3.0, 1.0, 2.0], [1.0, 0.5, 4.0], [1.0, 2.0, 0.0]])  # the last class says: rejected


def guarded(labels, targeted=False):
    clean = torch.full((len(labels), 1, 1, 2), 0.5)
    ball = Ball.of(clean, torch.full((len(labels),), 0.1), "linf")
    return Problem(ball, torch.tensor(labels), targeted, DOUBT, reject=2), clean


def test_a_rejected_point_has_not_fooled():
    task, clean = guarded([1, 0, 0])
    assert task.fooled(clean, DOUBT).tolist() == [True, False, True]
    assert Problem(task.ball, task.labels, False, DOUBT).fooled(clean, DOUBT).tolist() == [True, True, True]


def test_rejection_is_no_rival():
    assert guarded([0, 0, 0])[0].rivals(9).tolist() == [[1], [1], [1]]
    assert Problem(guarded([0, 0, 0])[0].ball, torch.tensor([0, 0, 0]), False, DOUBT).rivals(1).tolist() == [
        [2],
        [2],
        [1],
    ]


def test_a_search_sees_the_larger_of_label_and_rejection():
    seen = guarded([0, 0, 1])[0].seen(DOUBT)
    assert seen[:, :2].tolist() == [[3.0, 1.0], [4.0, 0.5], [1.0, 2.0]]
    assert bool((seen[:, 2] < -1000).all())
    assert bool(seen.isfinite().all())
    assert torch.equal(guarded([0, 0, 1])[0].seen(seen)[:, :2], seen[:, :2])
    assert torch.equal(guarded([1, 1, 0], targeted=True)[0].seen(DOUBT), DOUBT)


def test_a_search_follows_the_gradient_of_what_holds_it_back():
    z = DOUBT.clone().requires_grad_(True)
    task = guarded([0, 0, 1])[0]
    seen = task.seen(z)
    gain = seen[:, :2].sum(1) - 2 * seen.gather(1, task.labels[:, None])[:, 0]  # the rival's lead
    (gradient,) = torch.autograd.grad(gain.sum(), z)
    assert gradient.tolist() == [[-1.0, 1.0, 0.0], [0.0, 1.0, -1.0], [1.0, -1.0, 0.0]]


def test_a_search_that_does_not_heed_rejections_sees_none():
    bold = guarded([0, 0, 0])[0].replace(avoid_rejection=False)
    seen = bold.seen(DOUBT)
    assert seen[:, :2].tolist() == DOUBT[:, :2].tolist()
    assert bool((seen[:, 2] < -1000).all())
    assert bold.fooled(bold.ball.clean, DOUBT).tolist() == [False, False, True]  # a rejected end is none
