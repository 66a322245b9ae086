"""APGD: projected gradient ascent with momentum and a step size that needs no tuning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.attack_run import AttackContext, Phase
from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.losses import DLR, Difference, Margin, TargetedDLR
from unshaken.attack.engine.problem import Problem
from unshaken.core.device import is_needless
from unshaken.core.errors import ParameterError
from unshaken.core.flag import Flag
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Gradient, Objective
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State


class APGDState(State):
    """State of the search, one row per sample.

    Args:
        problem: the task.
        rng: the sample's stream.
        targets: int64 `[N, T]`: classes of the runs to come.
        run: which of them, int64 `[N]`.
        level: place of the ball in the schedule, int64 `[N]`.
        t: answers at this level, int64 `[N]`.
        x: the current point, `[N, C, H, W]`.
        x_prev: the point before.
        x_best: the point of the largest loss.
        g_best: the gradient there.
        loss_best: the loss there, `[N]`.
        loss_check: the best loss at the checkpoint before.
        loss: of the point before.
        rises: steps since the checkpoint that raised the loss, int64 `[N]`.
        halved: whether the step size was halved at the checkpoint before.
        length: the step size, `[N]`.
        share: of the coordinates that a sparse step moves, `[N]`.
        nonzero: changed coordinates of the best point at the checkpoint before, `[N]`.
    """

    problem: Problem
    rng: SampleRng
    targets: Tensor
    run: Tensor
    level: Tensor
    t: Tensor
    x: Tensor
    x_prev: Tensor
    x_best: Tensor
    g_best: Tensor
    loss_best: Tensor
    loss_check: Tensor
    loss: Tensor
    rises: Tensor
    halved: Tensor
    length: Tensor
    share: Tensor
    nonzero: Tensor

    def put(self, rows: Tensor, new: APGDState) -> APGDState:
        """The state with some rows replaced; problem, stream and targets stay."""
        names = [f.name for f in fields(self) if f.name not in ("problem", "rng", "targets")]
        return self.replace(**{k: getattr(self, k).index_copy(0, rows, getattr(new, k)) for k in names})


@dataclass(frozen=True, slots=True)
class BallSchedule:
    """The balls that a run searches one after the other.

    Args:
        factors: radii, as multiples of eps; the last is 1.
        lengths: gradient steps in each.
    """

    factors: tuple[float, ...]
    lengths: tuple[int, ...]

    @classmethod
    def shrinking(cls, steps: int) -> BallSchedule:
        """30 % of the steps in a ball of 3 eps, 30 % in 2 eps, the rest in eps; as many phases as steps allow.

        >>> BallSchedule.shrinking(100).lengths
        (30, 30, 40)
        """
        first = math.ceil(0.3 * steps)
        lengths = (first, first, steps - 2 * first)
        return cls((3.0, 2.0, 1.0), lengths) if lengths[-1] > 0 else cls((1.0,), (steps,))

    def __len__(self) -> int:
        return len(self.factors)

    def steps(self, state: APGDState) -> Tensor:
        """Gradient steps of each sample's present level, int64 `[N]`."""
        return torch.tensor(self.lengths, device=state.level.device)[state.level]

    def ball(self, problem: Problem, level: Tensor) -> Ball:
        """Each sample's present ball."""
        if len(self) == 1:
            return problem.ball
        factors = torch.tensor(self.factors, device=level.device)[level]
        return problem.ball.replace(eps=problem.ball.eps * factors)


def start_next_level(state: APGDState, schedule: BallSchedule) -> APGDState:
    """The next level, from the best point so far; after the last one the run for the next target, from a new point."""
    over = state.level == len(schedule) - 1
    run = (state.run + over).clamp_max(state.targets.shape[1] - 1)
    level = torch.where(over, 0, state.level + 1)
    origin = None if bool(over.all()) else (state.x_best, ~over)
    return _fresh(state.problem, state.rng, state.targets, run, level, origin, schedule)


def _fresh(
    problem: Problem,
    rng: SampleRng,
    targets: Tensor,
    run: Tensor,
    level: Tensor,
    origin: tuple[Tensor, Tensor] | None,
    schedule: BallSchedule,
) -> APGDState:
    """A run's first state, at a random point or, where a mask says so, at a given one."""
    ball = schedule.ball(problem, level)
    x = ball.sphere_point(rng.fold(run))
    given = torch.zeros_like(level, dtype=torch.bool)
    if origin is not None:
        points, given = origin
        x = torch.where(given.view(-1, 1, 1, 1), ball.project(points), x)
    zero = torch.zeros_like(ball.eps)
    size = math.prod(x.shape[1:])
    moved = (x != ball.clean).flatten(1).sum(1).to(zero)
    return APGDState(
        problem=problem,
        rng=rng,
        targets=targets,
        run=run,
        level=level,
        t=torch.zeros_like(level),
        x=x,
        x_prev=x,
        x_best=x,
        g_best=torch.zeros_like(x),
        loss_best=zero - torch.inf,
        loss_check=zero - torch.inf,
        loss=zero,
        rises=torch.zeros_like(level),
        halved=torch.ones_like(given),
        length=ball.eps * (1.0 if ball.norm == "l1" else 2.0),
        share=torch.where(given, moved / size / 1.5, 0.2),
        nonzero=torch.full_like(zero, size),
    )


MOMENTUM = 0.75
ENOUGH = 0.75
"""The share of steps that must raise the loss for the step size to stay."""
PACE = 3.0
"""How much faster than now a run may get before it is judged out of reach."""


def intervals(steps: int) -> list[int]:
    """Steps between checkpoints: 22 % of all, then 3 % fewer each time down to 6 %, each at least 1."""
    k, least, fewer = (max(1, share * steps // 100) for share in (22, 6, 3))
    found: list[int] = []
    while sum(found) + k <= steps:
        found.append(k)
        k = max(k - fewer, least)
    return found


def checkpoints(steps: int) -> list[int]:
    """The steps after which the step size is checked.

    >>> checkpoints(100)
    [22, 41, 57, 70, 80, 87, 93, 99]
    """
    return torch.tensor(intervals(steps)).cumsum(0).tolist()


def momentum_step(state: APGDState, loss: Tensor, gradient: Tensor, schedule: BallSchedule) -> APGDState:
    """From the loss and gradient at `x`: keep the best, halve where stuck, step.

    Args:
        state: before.
        loss: at `state.x`, `[N]`.
        gradient: as `state.x`.
        schedule: of one ball here.
    """
    first = state.t == 0
    ball = state.problem.ball
    better = first | (loss > state.loss_best)
    wide = better.view(-1, 1, 1, 1)
    x_best, g_best = torch.where(wide, state.x, state.x_best), torch.where(wide, gradient, state.g_best)
    loss_best = torch.where(better, loss, state.loss_best)
    loss_check = torch.where(first, loss, state.loss_check)
    rises = state.rises + (~first & (loss > state.loss))
    length, halved, x, g = state.length, state.halved, state.x, gradient

    interval = _interval_ending_at(schedule.lengths[0], state.t)
    check = interval > 0
    if not is_needless(check):
        oscillates = rises <= ENOUGH * interval
        no_gain = ~halved & (loss_best <= loss_check)
        halve = check & (oscillates | no_gain)
        length = torch.where(halve, length / 2, length)
        back = halve.view(-1, 1, 1, 1)
        x, g = torch.where(back, x_best, x), torch.where(back, g_best, g)
        halved = torch.where(check, halve, halved)
        loss_check = torch.where(check, loss_best, loss_check)
        rises = rises.masked_fill(check, 0)

    a = torch.where(first, 1.0, MOMENTUM).view(-1, 1, 1, 1)
    u = ball.project(x + length.view(-1, 1, 1, 1) * ball.steepest(g, x))
    return state.replace(
        t=state.t + 1,
        x=ball.project(x + a * (u - x) + (1 - a) * (x - state.x_prev)),
        x_prev=x,
        x_best=x_best,
        g_best=g_best,
        loss_best=loss_best,
        loss_check=loss_check,
        loss=loss,
        rises=rises,
        halved=halved,
        length=length,
    )


def hopeless(before: APGDState, after: APGDState, schedule: BallSchedule) -> Tensor:
    """Samples that PACE times the pace since the checkpoint before would not bring to a loss of 0 in the steps left.

    Ascents slow down as they near their end, but may quicken once the step size fits: hence the factor.

    Args:
        before: the state at a checkpoint; other rows are False.
        after: the same after its step.
        schedule: of one ball here.

    Returns:
        Bool `[N]`.
    """
    interval = _interval_ending_at(schedule.lengths[0], before.t)
    gain = after.loss_best - before.loss_check
    reach = after.loss_best + PACE * gain / interval * (schedule.lengths[0] - before.t)
    return (interval > 0) & (reach < 0)


def _interval_ending_at(steps: int, t: Tensor) -> Tensor:
    """The steps since the checkpoint before where t is a checkpoint, else 0: int64 `[N]`."""
    table = torch.zeros(steps + 1, dtype=torch.int64, device=t.device)
    table[torch.tensor(checkpoints(steps), device=t.device)] = torch.tensor(intervals(steps), device=t.device)
    return table[t.clamp_max(steps)]


SPARSER = 0.95
"""A best point with fewer changed coordinates than this share of those before resets the step size."""
LESS = 1.5
"""Divides the step size otherwise, and the share of coordinates always."""
LEAST = 10.0
"""The step size never falls below eps over this."""


def sparse_step(state: APGDState, loss: Tensor, gradient: Tensor, schedule: BallSchedule) -> APGDState:
    """From the loss and gradient at `x`: keep the best, adapt share and step size, step along the top coordinates.

    Args:
        state: before.
        loss: at `state.x`, `[N]`.
        gradient: as `state.x`.
        schedule: the balls.
    """
    first = state.t == 0
    ball = schedule.ball(state.problem, state.level)
    better = first | (loss > state.loss_best)
    wide = better.view(-1, 1, 1, 1)
    x_best, g_best = torch.where(wide, state.x, state.x_best), torch.where(wide, gradient, state.g_best)
    length, share, nonzero, x, g = state.length, state.share, state.nonzero, state.x, gradient

    every = torch.tensor([max(1, 4 * n // 100) for n in schedule.lengths], device=state.t.device)[state.level]
    check = ~first & (state.t % every == 0)
    if bool(check.any()):
        changed = (x_best != ball.clean).flatten(1).sum(1).to(nonzero)
        sparser = check & (changed / nonzero.clamp_min(1) < SPARSER)
        length = torch.where(check, torch.maximum(length / LESS, ball.eps / LEAST), length)
        length = torch.where(sparser, ball.eps, length)
        share = torch.where(check, changed / x[0].numel() / LESS, share)
        nonzero = torch.where(check, changed, nonzero)
        back = sparser.view(-1, 1, 1, 1)
        x, g = torch.where(back, x_best, x), torch.where(back, g_best, g)

    return state.replace(
        t=state.t + 1,
        x=ball.project(x + length.view(-1, 1, 1, 1) * top_signs(g, share)),
        x_prev=x,
        x_best=x_best,
        g_best=g_best,
        loss_best=torch.where(better, loss, state.loss_best),
        loss=loss,
        length=length,
        share=share,
        nonzero=nonzero,
    )


def top_signs(gradient: Tensor, share: Tensor) -> Tensor:
    """The signs of each gradient's largest entries, over their number: l1 norm 1.

    Args:
        gradient: `[N, C, H, W]`.
        share: of the entries that count, `[N]`; at least one does.
    """
    size = gradient.flatten(1).abs()
    keep = (share * size.shape[1]).long().clamp(1, size.shape[1])
    falling = size.sort(dim=1, descending=True).values
    least = falling.gather(1, keep[:, None] - 1)
    chosen = (size >= least) & (size > 0)
    return gradient.sign() * (chosen / chosen.sum(1, keepdim=True).clamp_min(1)).view_as(gradient)


LEAST_CLASSES = {"dlr": 3, "dlr-targeted": 4}


@register("apgd", title="APGD", reference="Croce & Hein 2020, arXiv:2003.01690")
class APGD(Attack[APGDState]):
    """Auto-PGD: projected gradient ascent with momentum and a step size that adapts by itself.

    At checkpoints the step size a, 2 eps at first, is halved where too few steps raised the loss, and the search goes
    on from the best point. In l1 (Croce & Hein 2021, arXiv:2103.01208) steps are sparse, and the ball shrinks in three
    phases from 3 eps to eps.

    The losses ending in `-targeted` run once for each of the classes likeliest on the clean image (the run for the next
    class begins where the sample has survived the one before), and any class but the label is a success.
    """

    steps: PositiveInt = Field(default=100, description="gradient steps of one run")
    loss: Literal["ce", "dlr", "margin", "dlr-targeted", "margin-targeted"] = Field(
        default="ce",
        description="loss to maximise: cross-entropy, difference-of-logits ratio (DLR), or margin of logits",
    )
    targets: PositiveInt = Field(
        default=9,
        description="number of target classes for a targeted loss, the likeliest first",
        json_schema_extra={"most": "classes - 1"},
    )
    restarts: PositiveInt = Field(
        default=1, description="number of random restarts; a sample that is fooled is not attacked again"
    )
    shrink: bool = Field(default=True, description="for l1: search in balls of 3 and 2 eps first")
    give_up: bool = Field(
        default=False,
        description="for linf and l2: stop a run early when its progress suggests that it will fail; not for loss=ce",
    )

    @model_validator(mode="after")
    def _boundary(self) -> Self:
        if self.give_up and self.loss == "ce":
            raise ValueError(
                "give_up: not available for loss=ce, whose value does not show the boundary: use another loss"
            )
        return self

    @property
    @override
    def runs(self) -> int:
        return self.restarts

    @override
    def phases(self, context: AttackContext) -> tuple[Sequence[Phase], Sequence[Flag]]:
        least = LEAST_CLASSES.get(self.loss, 2)
        if context.classes < least:
            other = "margin-targeted" if self.loss.endswith("targeted") else "ce or loss=margin"
            raise ParameterError(
                f"apgd: loss={self.loss} needs {least} classes, the model has {context.classes}: use loss={other}"
            )
        return super().phases(context)

    @override
    def start(self, problem: Problem, rng: SampleRng) -> APGDState:
        n = self.targets if self.loss.endswith("targeted") else 1
        targets = problem.labels[:, None] if problem.targeted else problem.rivals(n)
        zeros = torch.zeros_like(problem.labels)
        return _fresh(problem, rng, targets, zeros, zeros, None, self._schedule(problem.ball.norm))

    @override
    def ask(self, state: APGDState) -> Gradient:
        return Gradient(state.x, of=self.objective(state))

    @override
    def tell(self, state: APGDState, answer: Answer) -> APGDState:
        schedule = self._schedule(state.problem.ball.norm)
        ended = state.t >= schedule.steps(state)
        step = sparse_step if state.problem.ball.norm == "l1" else momentum_step
        stepped = step(state, required(answer.value), required(answer.gradient), schedule)
        if self.give_up and step is momentum_step:
            lost = hopeless(state, stepped, schedule)
            stepped = stepped.replace(t=torch.where(lost, schedule.steps(state), stepped.t))
        rows = ended.nonzero().flatten()
        return stepped.put(rows, start_next_level(stepped[rows], schedule)) if len(rows) else stepped

    @override
    def done(self, state: APGDState) -> Tensor:
        schedule = self._schedule(state.problem.ball.norm)
        last = (state.level == len(schedule) - 1) & (state.run == state.targets.shape[1] - 1)
        return last & (state.t >= schedule.steps(state))

    @override
    def result(self, state: APGDState) -> Candidate:
        return Candidate(state.x)

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        runs = min(self.targets, classes - 1) if self.loss.endswith("targeted") else 1
        most = runs * (self.steps + 3)  # three phases at most, each with a start
        return most, most

    def _schedule(self, norm: str) -> BallSchedule:
        return (
            BallSchedule.shrinking(self.steps) if norm == "l1" and self.shrink else BallSchedule((1.0,), (self.steps,))
        )

    def objective(self, state: APGDState) -> Objective:
        """The loss of each sample, against its present target."""
        problem = state.problem
        if self.loss == "ce":
            return problem.loss
        if self.loss == "margin":
            return Margin(problem.labels, problem.targeted)
        target = state.targets.gather(1, state.run[:, None])[:, 0]
        label = problem.logits.argmax(1) if problem.targeted else problem.labels
        if self.loss == "margin-targeted":
            return Difference(label, target)
        if self.loss == "dlr-targeted":
            return TargetedDLR(label, target)
        return DLR(problem.labels, -1 if problem.targeted else 1)
