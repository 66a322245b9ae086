"""An attack as a search of the driver: what it sees of rejections, and when it may end early."""

from __future__ import annotations

import pytest
import torch

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.problem import Problem
from unshaken.attack.engine.problem_search import ProblemSearch, ProblemState, RejectionAsLabel
from unshaken.core import Answer, State
from unshaken.core.query import Gradient, Labels

LOGITS = torch.tensor([[1.0, 0.5, 4.0], [1.0, 2.0, 0.0]])  # the last class is the rejection


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
    problem = Problem(ball, torch.tensor([0, 0]), targeted, LOGITS, reject)
    return ProblemState(problem, Point(clean))


def first_logit(answer):
    return answer.logits[:, 0]


def test_an_objective_sees_the_rejection_as_the_label():
    state = work()
    query = Gradient(state.state.x, of=first_logit)
    asked = ProblemSearch(Spy(query), early=True).ask(state)
    assert isinstance(asked.of, RejectionAsLabel)
    assert asked.of(Answer(logits=LOGITS)).tolist() == [4, 1]
    plain = ProblemSearch(Spy(query), early=True).ask(work(reject=None))
    assert plain.of is first_logit


@pytest.mark.parametrize(("targeted", "expected"), [(False, [0, 1]), (True, [2, 1])])
def test_of_classes_alone_a_rejection_is_the_label(targeted, expected):
    spy = Spy(Labels(torch.zeros(2, 1, 1, 2)))
    ProblemSearch(spy, early=True).tell(work(targeted=targeted), Answer(labels=torch.tensor([2, 1])))
    assert spy.answers[0].labels.tolist() == expected


def test_logits_come_with_the_rejection_in_the_label():
    spy = Spy(None)
    ProblemSearch(spy, early=True).tell(work(), Answer(logits=LOGITS))
    assert spy.answers[0].logits[:, :2].tolist() == [[4, 0.5], [1, 2]]
    assert bool((spy.answers[0].logits[:, 2] < -1000).all())


def test_a_success_ends_a_sample_only_where_the_search_may_end_early():
    points = work().state.x
    logits = torch.tensor([[0.0, 1.0, -1.0], [1.0, 0.0, -1.0]])
    assert ProblemSearch(Spy(None), early=True).goal(work())(points, logits).tolist() == [True, False]
    assert ProblemSearch(Spy(None), early=False).goal(work()) is None


def test_logits_of_several_points_a_sample_come_as_they_are():
    spy = Spy(None)
    pairs = torch.stack([LOGITS, LOGITS], 1)
    ProblemSearch(spy, early=True).tell(work(), Answer(logits=pairs, labels=pairs.argmax(2)))
    assert torch.equal(spy.answers[0].logits, pairs)
