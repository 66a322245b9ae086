"""An attack on a `Problem` as a search for the driver."""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.ball import finite_part
from unshaken.attack.engine.problem import Problem
from unshaken.attack.engine.verdict import Candidate
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Goal, Gradient, Objective, Query
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

S = TypeVar("S", bound=State)


class ProblemState(State, Generic[S]):
    """Each sample's problem, and the search's own state."""

    problem: Problem
    state: S


class RejectionAsLabel(Objective):
    """An objective that treats a rejection as the label."""

    of: Objective
    problem: Problem

    @override
    def __call__(self, answer: Answer) -> Tensor:
        """`[N]`."""
        return self.of(answer.replace(logits=self.problem.seen(required(answer.logits))))


class SearchSteps(Protocol[S]):
    """The part of an `Attack` that is its mathematics."""

    def start(self, problem: Problem, rng: SampleRng) -> S:
        """The first state of each sample."""

    def ask(self, state: S) -> Query:
        """The next query to the model."""

    def tell(self, state: S, answer: Answer) -> S:
        """The next state."""

    def done(self, state: S) -> Tensor:
        """Bool `[N]`: nothing more to ask."""

    def result(self, state: S) -> Candidate:
        """Where the search ended."""


class ProblemSearch(Generic[S]):
    """Runs an attack on problems, as a search of the driver.

    Args:
        attack: the method.
        early: whether a success ends a sample's search: not of a random model, which one lucky draw must not break,
            and not where the smallest norm is wanted.
    """

    def __init__(self, attack: SearchSteps[S], *, early: bool) -> None:
        self.attack, self.early = attack, early

    def start(self, samples: Any, rng: SampleRng) -> ProblemState[S]:
        """Each sample's first state."""
        problem: Problem = samples
        return ProblemState(problem, self.attack.start(problem, rng))

    def ask(self, work: ProblemState[S]) -> Query:
        """The attack's question; its objective sees a rejection as the label."""
        query = self.attack.ask(work.state)
        if work.problem.reject is not None and isinstance(query, Gradient):
            return query.replace(of=RejectionAsLabel(query.of, work.problem))
        return query

    def done(self, work: ProblemState[S]) -> Tensor:
        """The attack's end."""
        return self.attack.done(work.state)

    def result(self, work: ProblemState[S]) -> Candidate:
        """The attack's result."""
        return self.attack.result(work.state)

    def tell(self, work: ProblemState[S], answer: Answer) -> ProblemState[S]:
        """The attack's next state; where it asked for classes only, a rejection is the label.

        Entries of a gradient that are NaN or infinite are told as 0, so that an attack goes on along the others.
        """
        problem, slopes = work.problem, {"gradient": answer.gradient, "slopes": answer.slopes}
        answer = answer.replace(**{name: finite_part(one) for name, one in slopes.items() if one is not None})
        if problem.reject is not None and answer.logits is not None and answer.logits.ndim == 2:
            answer = answer.replace(logits=problem.seen(answer.logits))
        elif problem.reject is not None and answer.logits is None and not problem.targeted:
            labels = required(answer.labels)
            answer = answer.replace(labels=torch.where(labels == problem.reject, problem.labels, labels))
        return work.replace(state=self.attack.tell(work.state, answer))

    def goal(self, work: ProblemState[S]) -> Goal | None:
        """The problem's goal, where one success is enough."""
        return work.problem.fooled if self.early else None
