"""The loss and the goal of an attack, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.attack.ball import Ball
from unshaken.attack.problem import Problem
from unshaken.core import Answer


def problem(labels, targeted=False, eps=0.1):
    clean = torch.full((len(labels), 1, 1, 2), 0.5)
    ball = Ball.of(clean, torch.full((len(labels),), eps), "linf")
    return Problem(ball, torch.tensor(labels), targeted), clean


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
