"""Where an APGD run stands: its points, its counters, its phase and target."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.problem import Problem
from unshaken.core.rng import SampleRng
from unshaken.core.state import State


class APGDState(State):
    """State of the search, one row per sample.

    Args:
        problem: the task.
        rng: the sample's stream.
        targets: int64 `[N, T]`: classes of the runs to come.
        turn: which of them, int64 `[N]`.
        phase: which ball, int64 `[N]`.
        t: answers told in this phase, int64 `[N]`.
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
    turn: Tensor
    phase: Tensor
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
    """The balls that a run searches in turn.

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
        """Gradient steps of each sample's present phase, int64 `[N]`."""
        return torch.tensor(self.lengths, device=state.phase.device)[state.phase]

    def ball(self, problem: Problem, phase: Tensor) -> Ball:
        """Each sample's present ball."""
        if len(self) == 1:
            return problem.ball
        factors = torch.tensor(self.factors, device=phase.device)[phase]
        return problem.ball.replace(eps=problem.ball.eps * factors)


def start_first_run(problem: Problem, rng: SampleRng, targets: Tensor, phases: BallSchedule) -> APGDState:
    """The first run from a random point of the sphere."""
    zeros = torch.zeros_like(problem.labels)
    return _fresh(problem, rng, targets, zeros, zeros, None, phases)


def start_next_phase(state: APGDState, phases: BallSchedule) -> APGDState:
    """The next phase, from the best point so far; after the last one the run for the next target, from a new point."""
    over = state.phase == len(phases) - 1
    turn = (state.turn + over).clamp_max(state.targets.shape[1] - 1)
    phase = torch.where(over, 0, state.phase + 1)
    origin = None if bool(over.all()) else (state.x_best, ~over)
    return _fresh(state.problem, state.rng, state.targets, turn, phase, origin, phases)


def _fresh(
    problem: Problem,
    rng: SampleRng,
    targets: Tensor,
    turn: Tensor,
    phase: Tensor,
    origin: tuple[Tensor, Tensor] | None,
    phases: BallSchedule,
) -> APGDState:
    """A run's first state, at a random point or, where a mask says so, at a given one."""
    ball = phases.ball(problem, phase)
    x = ball.sphere_point(rng.fold(turn))
    given = torch.zeros_like(phase, dtype=torch.bool)
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
        turn=turn,
        phase=phase,
        t=torch.zeros_like(phase),
        x=x,
        x_prev=x,
        x_best=x,
        g_best=torch.zeros_like(x),
        loss_best=zero - torch.inf,
        loss_check=zero - torch.inf,
        loss=zero,
        rises=torch.zeros_like(phase),
        halved=torch.ones_like(given),
        length=ball.eps * (1.0 if ball.norm == "l1" else 2.0),
        share=torch.where(given, moved / size / 1.5, 0.2),
        nonzero=torch.full_like(zero, size),
    )
