"""`Problem`: the goal of an attack for each sample; `ProblemSearch`: an attack on it as a search for the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.ball import Ball, finite_part, inside
from unshaken.attack.engine.losses import DLR, CrossEntropy, Loss, Margin
from unshaken.core.classifier import predict
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Goal, Gradient, Objective, Query
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

if TYPE_CHECKING:
    from unshaken.attack.engine.base import Attack

S = TypeVar("S", bound=State)


class FoolingGoal(Goal):
    """Inside the ball, and of another class than the label (or, targeted, of the target class), and not rejected."""

    ball: Ball
    labels: Tensor
    targeted: bool
    reject: int | None = None

    @override
    def __call__(self, points: Tensor, logits: Tensor) -> Tensor:
        answer = predict(logits)
        wanted = answer == self.labels if self.targeted else answer != self.labels
        if self.reject is not None:
            wanted &= answer != self.reject
        ball = self.ball
        if points.device.type != "cpu" and ball.norm != "region":  # to find the rows would be to wait for the device
            return wanted & inside(points, ball.clean, ball.eps, ball.norm)
        rows = wanted.nonzero().flatten()  # the distance of the others does not matter
        if not len(rows):
            return wanted
        if ball.norm == "region":
            return wanted.index_put((rows,), ball[rows].contains(points[rows]))
        return wanted.index_put((rows,), inside(points[rows], ball.clean[rows], ball.eps[rows], ball.norm))


class Problem(State):
    """The attack problem of each sample: stay inside the ball, and leave the label or reach the target.

    Args:
        ball: the budget.
        labels: int64 `[N]`: the true classes, or the targets.
        targeted: whether `labels` are targets.
        logits: `[N, K]` of the clean images.
        reject: the class by which a model says that it will not decide; to reach it is no success.
        avoid_rejection: whether the search itself should stay clear of it, or only what it ends with.
        objective: what an attack on the cross-entropy is to raise in its place; None for the cross-entropy.
    """

    ball: Ball
    labels: Tensor
    targeted: bool
    logits: Tensor
    reject: int | None = None
    avoid_rejection: bool = True
    objective: Objective | None = None

    def rivals(self, n: int) -> Tensor:
        """The n classes likeliest on the clean image, the label left out: int64 `[N, min(n, K - 1)]`."""
        others = self.logits.scatter(1, self.labels[:, None], -torch.inf)
        most = others.shape[1] - 1
        if self.reject is not None:
            others[:, self.reject], most = -torch.inf, most - 1
        return others.topk(min(n, most), dim=1).indices

    def merge_rejection(self, logits: Tensor) -> Tensor:
        """Merge the rejection's logit into the label's, for an untargeted search.

        A search that does not avoid rejections gets the label's own logit, and no rejection.

        Args:
            logits: `[N, K]`.
        """
        if self.reject is None or self.targeted:
            return logits
        rows = torch.arange(len(logits), device=logits.device)
        safe = logits[rows, self.labels]
        if self.avoid_rejection:
            safe = torch.maximum(safe, logits[:, self.reject])
        hidden = torch.full_like(safe, -1e4) + safe.detach()  # far below all others, yet finite
        return logits.index_copy(1, torch.tensor([self.reject], device=logits.device), hidden[:, None]).scatter(
            1, self.labels[:, None], safe[:, None]
        )

    @property
    def loss(self) -> Objective:
        """The objective to be raised: the cross-entropy, where nothing else was given."""
        if self.objective is not None:
            return self.objective
        return CrossEntropy(self.labels, -1 if self.targeted else 1)

    @property
    def fooled(self) -> FoolingGoal:
        """The goal of the search."""
        return FoolingGoal(self.ball, self.labels, self.targeted, self.reject)


def choose_loss(problem: Problem, loss: Loss, temperature: float) -> Objective:
    """Choose the objective of a problem by the name of a loss.

    Args:
        problem: of the samples.
        loss: `ce`, `margin` or `dlr`.
        temperature: divides the logits in `ce`.

    Raises:
        ParameterError: the search was given an objective of its own and a loss besides.
    """
    if loss == "ce" and temperature == 1:
        return problem.loss
    if problem.objective is not None:
        raise ParameterError(
            f"loss={loss}, temperature={temperature:g}: this search maximises "
            f"{type(problem.objective).__name__} already; omit both"
        )
    if loss == "margin":
        return Margin(problem.labels, problem.targeted)
    sign = -1 if problem.targeted else 1
    return DLR(problem.labels, sign) if loss == "dlr" else CrossEntropy(problem.labels, sign, temperature)


class Candidate(State):
    """The result of a search before verification.

    Args:
        x: points `[N, C, H, W]`.
        notes: further findings of the search on each sample, by name, int64 `[N]`, 0 or more; None for nothing.
    """

    x: Tensor
    notes: dict[str, Tensor] | None = None


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
        return self.of(answer.replace(logits=self.problem.merge_rejection(required(answer.logits))))


class ProblemSearch(Generic[S]):
    """Runs an attack on problems, as a search of the driver.

    Args:
        attack: the method.
        early: whether a success ends a sample's search: not of a random model, which one lucky draw must not break,
            and not where the smallest norm is wanted.
    """

    def __init__(self, attack: Attack[S], *, early: bool) -> None:
        self.attack, self.early = attack, early

    def start(self, samples: Any, rng: SampleRng) -> ProblemState[S]:
        """The first state of each sample; `samples` is a `Problem`."""
        problem: Problem = samples
        return ProblemState(problem, self.attack.start(problem, rng))

    def ask(self, work: ProblemState[S]) -> Query:
        """The attack's next query; its objective treats a rejection as the label."""
        query = self.attack.ask(work.state)
        if work.problem.reject is not None and isinstance(query, Gradient):
            return query.replace(of=RejectionAsLabel(query.of, work.problem))
        return query

    def done(self, work: ProblemState[S]) -> Tensor:
        """Bool `[N]`: the attack has nothing more to ask."""
        return self.attack.done(work.state)

    def result(self, work: ProblemState[S]) -> Candidate:
        """The attack's final point."""
        return self.attack.result(work.state)

    def tell(self, work: ProblemState[S], answer: Answer) -> ProblemState[S]:
        """The attack's next state; where it queried classes only, a rejection is the label.

        Entries of a gradient that are NaN or infinite count as 0, so that an attack goes on along the others.
        """
        problem, slopes = work.problem, {"gradient": answer.gradient, "slopes": answer.slopes}
        answer = answer.replace(**{name: finite_part(one) for name, one in slopes.items() if one is not None})
        if problem.reject is not None and answer.logits is not None and answer.logits.ndim == 2:
            answer = answer.replace(logits=problem.merge_rejection(answer.logits))
        elif problem.reject is not None and answer.logits is None and not problem.targeted:
            labels = required(answer.labels)
            answer = answer.replace(labels=torch.where(labels == problem.reject, problem.labels, labels))
        return work.replace(state=self.attack.tell(work.state, answer))

    def goal(self, work: ProblemState[S]) -> Goal | None:
        """The problem's goal, where one success is enough."""
        return work.problem.fooled if self.early else None
