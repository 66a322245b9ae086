"""The loss and the goal of an attack, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.problem import Problem, ProblemSearch, ProblemState, RejectionAsLabel
from unshaken.core import Answer, State
from unshaken.core.query import Gradient, Labels


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
    seen = guarded([0, 0, 1])[0].merge_rejection(DOUBT)
    assert seen[:, :2].tolist() == [[3.0, 1.0], [4.0, 0.5], [1.0, 2.0]]
    assert bool((seen[:, 2] < -1000).all())
    assert bool(seen.isfinite().all())
    assert torch.equal(guarded([0, 0, 1])[0].merge_rejection(seen)[:, :2], seen[:, :2])
    assert torch.equal(guarded([1, 1, 0], targeted=True)[0].merge_rejection(DOUBT), DOUBT)


def test_a_search_follows_the_gradient_of_what_holds_it_back():
    z = DOUBT.clone().requires_grad_(True)
    task = guarded([0, 0, 1])[0]
    seen = task.merge_rejection(z)
    gain = seen[:, :2].sum(1) - 2 * seen.gather(1, task.labels[:, None])[:, 0]  # the rival's lead
    (gradient,) = torch.autograd.grad(gain.sum(), z)
    assert gradient.tolist() == [[-1.0, 1.0, 0.0], [0.0, 1.0, -1.0], [1.0, -1.0, 0.0]]


def test_a_search_that_does_not_heed_rejections_sees_none():
    bold = guarded([0, 0, 0])[0].replace(avoid_rejection=False)
    seen = bold.merge_rejection(DOUBT)
    assert seen[:, :2].tolist() == DOUBT[:, :2].tolist()
    assert bool((seen[:, 2] < -1000).all())
    assert bold.fooled(bold.ball.clean, DOUBT).tolist() == [False, False, True]  # a rejected end is none


REJECTING = torch.tensor([[1.0, 0.5, 4.0], [1.0, 2.0, 0.0]])  # the last class is the rejection


class Point(State):
    x: torch.Tensor


class Spy:
    """Keeps what it is told."""

    def __init__(self, query):
        self.query, self.answers = query, []

    def ask(self, state):
        return self.query

    def tell(self, state, answer):
        self.answers.append(answer)
        return state


def work(reject=2, targeted=False):
    clean = torch.full((2, 1, 1, 2), 0.5)
    ball = Ball.of(clean, torch.full((2,), 0.1), "linf")
    problem = Problem(ball, torch.tensor([0, 0]), targeted, REJECTING, reject)
    return ProblemState(problem, Point(clean))


def first_logit(answer):
    return answer.logits[:, 0]


def test_an_objective_sees_the_rejection_as_the_label():
    state = work()
    query = Gradient(state.state.x, of=first_logit)
    asked = ProblemSearch(Spy(query), early=True).ask(state)
    assert isinstance(asked.of, RejectionAsLabel)
    assert asked.of(Answer(logits=REJECTING)).tolist() == [4, 1]
    plain = ProblemSearch(Spy(query), early=True).ask(work(reject=None))
    assert plain.of is first_logit


@pytest.mark.parametrize(("targeted", "expected"), [(False, [0, 1]), (True, [2, 1])])
def test_of_classes_alone_a_rejection_is_the_label(targeted, expected):
    spy = Spy(Labels(torch.zeros(2, 1, 1, 2)))
    ProblemSearch(spy, early=True).tell(work(targeted=targeted), Answer(labels=torch.tensor([2, 1])))
    assert spy.answers[0].labels.tolist() == expected


def test_logits_come_with_the_rejection_in_the_label():
    spy = Spy(None)
    ProblemSearch(spy, early=True).tell(work(), Answer(logits=REJECTING))
    assert spy.answers[0].logits[:, :2].tolist() == [[4, 0.5], [1, 2]]
    assert bool((spy.answers[0].logits[:, 2] < -1000).all())


def test_a_success_ends_a_sample_only_where_the_search_may_end_early():
    points = work().state.x
    logits = torch.tensor([[0.0, 1.0, -1.0], [1.0, 0.0, -1.0]])
    assert ProblemSearch(Spy(None), early=True).goal(work())(points, logits).tolist() == [True, False]
    assert ProblemSearch(Spy(None), early=False).goal(work()) is None


def test_logits_of_several_points_a_sample_come_as_they_are():
    spy = Spy(None)
    pairs = torch.stack([REJECTING, REJECTING], 1)
    ProblemSearch(spy, early=True).tell(work(), Answer(logits=pairs, labels=pairs.argmax(2)))
    assert torch.equal(spy.answers[0].logits, pairs)
