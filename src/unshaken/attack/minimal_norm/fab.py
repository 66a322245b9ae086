"""FAB: steps along the linearised boundary, drawn towards the clean image."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.ball import ORDERS
from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.problem import Problem
from unshaken.core.classifier import predict
from unshaken.core.device import is_needless
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Goal, Passes, Query
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

FIRST = 32
"""Coordinates that l1 sorts at first; all of them where these do not close the gap."""
TINY = 1e-30
"""Keeps divisions by zero finite."""


def close_gaps(x: Tensor, w: Tensor, gaps: Tensor, norm: str) -> Tensor:
    """The least moves d with `w.d = gap` and `0 <= x + d <= 1`, for P points that share a normal.

    With the gap `g = b - w.x`, a move of length `m_i >= 0` of coordinate i towards `sign(g w_i)` closes `|w_i| m_i` of
    `|g|`, and the wall in that direction leaves `room_i`. The shortest moves are

    - linf: `m_i = min(t, room_i)`, l2: `m_i = min(t |w_i|, room_i)`, with the one t that closes the gap;
    - l1: coordinates in falling order of `|w_i|`, each as far as its wall, until the gap is closed.

    The closed part is a concave, piecewise linear function of t, so that Newton's method from the left climbs to t and
    is exact as soon as no further coordinate meets its wall: no sorting, and few steps.

    Args:
        x: float `[N, P, D]` in [0, 1].
        w: normals, `[N, D]`.
        gaps: `[N, P]`.
        norm: `linf`, `l2` or `l1`, in which a move is least. In l1 coordinates of equal `|w_i|` go by their order.

    Returns:
        Moves, `[N, P, D]`; where no move closes the gap, all coordinates that help are at their walls.
    """
    size = w.abs()
    scale = size.amax(1, keepdim=True).clamp_min_(TINY)
    size /= scale
    gap = (gaps / scale)[:, :, None]
    towards = w.sign()[:, None] * gap.sign()
    room = (towards > 0).to(x).addcmul_(towards, x, value=-1)  # 1 - x upwards, x downwards, 0 where w is 0
    gap = gap.abs_().clamp_max_(2 * size.shape[1])  # no more than D can be closed
    moves = _filled(size, room, gap) if norm == "l1" else _level(size, room, gap, even=norm == "linf")
    return moves.mul_(towards)


def _level(size: Tensor, room: Tensor, gap: Tensor, *, even: bool) -> Tensor:
    """The moves `min(t rate, room)` that close the gap `[N, P, 1]`; the rate is 1 if `even`, for linf, else `|w|`.

    `size` is `|w|`, `[N, D]`, largest 1; `room` and the moves are `[N, P, D]`.
    """
    rate, weight = size[:, None], size[:, :, None]
    gain = weight if even else weight.square()  # what a free coordinate closes as t grows
    free = (room > 0).to(size)
    slope = free @ gain
    t = gap / slope.clamp_min(TINY)
    moves = torch.empty_like(room)
    for _ in range(size.shape[1]):
        torch.minimum(t if even else torch.mul(rate, t, out=moves), room, out=moves)
        torch.lt(moves, room, out=free)
        slope, before = free @ gain, slope
        if bool((slope >= before).all()):
            break
        t = t + (gap - moves @ weight).clamp_min_(0) / slope.clamp_min(TINY)
    return moves


def _filled(size: Tensor, room: Tensor, gap: Tensor) -> Tensor:
    """The moves that fill coordinates in falling order of `|w|` until the gap is closed, `[N, P, D]`."""
    moves, closed = _filled_by(_largest(size, FIRST), size, room, gap)
    rest = (~closed).nonzero().flatten()
    if len(rest) and size.shape[1] > FIRST:
        size, room = size[rest], room[rest]
        moves[rest] = _filled_by(_largest(size, size.shape[1]), size, room, gap[rest])[0]
    return moves


def _filled_by(order: Tensor, size: Tensor, room: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
    """Moves of the coordinates named by `order`, `[N, Q]`, in that order; and bool `[N]`: they close all P gaps."""
    index = order[:, None].expand(-1, room.shape[1], -1)
    weight, limit = size.gather(1, order)[:, None], room.gather(2, index)
    sums = (weight * limit).cumsum(2)
    left = gap - torch.nn.functional.pad(sums[:, :, :-1], (1, 0))
    part = torch.minimum((left / weight.clamp_min(TINY)).clamp_min_(0), limit)
    return torch.zeros_like(room).scatter_(2, index, part), (sums[:, :, -1:] >= gap).flatten(1).all(1)


def _largest(size: Tensor, count: int) -> Tensor:
    """Places of the largest entries of each row in falling order, equal ones by their place, `[N, count]`."""
    if count >= size.shape[1]:
        return size.sort(dim=1, descending=True, stable=True).indices
    places = size.topk(count, dim=1, sorted=False).indices.sort(1).values
    return places.gather(1, size.gather(1, places).sort(dim=1, descending=True, stable=True).indices)


class Crossing(Query):
    """Logits of points; then leads f of other classes and their gradients where the next step starts.

    Args:
        points: tested, `[N, C, H, W]`.
        problem: of the samples.
        begin: where a new run starts, `[N, C, H, W]`.
        fresh: bool `[N]`: a new run starts now.
        rivals: int64 `[N, 1]`: the class whose lead is wanted; `[N, 0]` for those nearest to the label.
        beta: share of the way from the clean image that is kept after a success.
        candidates: classes nearest to the label whose leads are wanted.
    """

    problem: Problem
    begin: Tensor
    fresh: Tensor
    rivals: Tensor
    beta: float
    candidates: int

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        """A forward pass; unless the goal is met for all rows another, and a backward pass for each lead.

        The answer has the logits of `points`, and as `value` `[N, Q]` and `slopes` the leads at `following`. For a
        model with randomness of its own all are means of `passes.draws` passes; the classes are those of the first. A
        rejection stands for the label.
        """
        with torch.inference_mode():
            first = passes.forward(self.points)[0]
            draws = [first, *(passes.forward(self.points)[0] for _ in range(1, passes.draws))]
        stopped = None
        if goal is not None:
            with passes.method():
                stopped = goal(self.points, first.clone()).cpu()
            if bool(stopped.all()):
                return Answer(logits=first.clone(), labels=predict(first), stopped=stopped, cut=stopped)
        logits = self.problem.merge_rejection(torch.stack(draws).mean(0) if len(draws) > 1 else first.clone())
        with passes.method():
            start = self.following(logits).detach().requires_grad_(True)
        classes: tuple[Tensor, Tensor] | None = None
        sums: list[Tensor] = []
        for _ in range(passes.draws):
            with torch.enable_grad():
                z = self.problem.merge_rejection(passes.forward(start)[0])
                with passes.method():
                    classes = classes or self._classes(z.detach())
                    lead = z.gather(1, classes[0]) - z.gather(1, classes[1])
            last = lead.shape[1] - 1
            rows = [passes.gradient(lead[:, q], start, keep=q < last) for q in range(last + 1)]
            new = [lead.detach(), torch.stack(rows, 1) if last else rows[0][:, None]]
            sums = [a + b for a, b in zip(sums, new, strict=True)] if sums else new
        value, slopes = sums if passes.draws == 1 else [s / passes.draws for s in sums]
        return Answer(logits=logits, labels=predict(logits), value=value, slopes=slopes, stopped=stopped)

    def hit(self, logits: Tensor) -> Tensor:
        """Bool `[N]`: the points are of another class than the label, or of the one to be reached."""
        return (predict(logits) == self.problem.labels) == self.problem.targeted

    def following(self, logits: Tensor) -> Tensor:
        """Where the next step starts, `[N, C, H, W]`: at the point, back towards the image if it fools, or anew."""
        clean = self.problem.ball.clean
        share = torch.where(self.hit(logits), self.beta, 1.0).to(clean).view(-1, 1, 1, 1)
        back = torch.where(share == 1, self.points, torch.lerp(clean, self.points, share))
        return back if is_needless(self.fresh) else torch.where(self.fresh.view(-1, 1, 1, 1), self.begin, back)

    def _classes(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The classes `[N, Q]` whose lead is wanted, and those `[N, 1]` over which."""
        labels = self.problem.labels[:, None]
        if self.problem.targeted:
            return labels, logits.scatter(1, labels, -torch.inf).argmax(1, keepdim=True)
        if self.rivals.shape[1]:
            return self.rivals, labels
        lead = (logits - logits.gather(1, labels)).abs_().scatter_(1, labels, torch.inf)
        return lead.topk(min(self.candidates, logits.shape[1] - 1), largest=False).indices, labels


DUAL = {"linf": 1.0, "l2": 2.0, "l1": math.inf}
REACH = {"linf": 0.3, "l2": 1.0, "l1": 5.0}
"""Stands for eps in the radius of random starts where there is none, as in the authors' code."""

GAIN = 1e-3
"""Least share by which a norm must fall to count as nearer where runs end early."""


class FABState(State):
    """State of the search, one row per sample.

    Args:
        problem: its task.
        rng: its stream, for random starts.
        x: the point to be tested; the nearest that fooled once all is done.
        best: the nearest point that fooled, else the clean image.
        distance: of `best`, float32 `[N]`; infinite while none fooled.
        rivals: int64 `[N, T]`: the targets of the runs, one after the other; none where all classes compete.
        step: steps made in all runs together; those that a run spared count as made.
        near: the least norm that fooled in the present run, float32 `[N]`.
        stale: int64 `[N]`: steps since `near` fell.
    """

    problem: Problem
    rng: SampleRng
    x: Tensor
    best: Tensor
    distance: Tensor
    rivals: Tensor
    step: Tensor
    near: Tensor
    stale: Tensor


@register("fab", title="FAB", reference="Croce & Hein 2020, arXiv:1907.02044")
class FAB(Attack[FABState]):
    """FAB: steps onto the linearised decision boundary, biased towards the clean image (minimal norm).

    With f the lead of another class over the label at `x_t` and w its gradient, `d_1` and `d_2` are the shortest
    moves of `x_t` and of the clean x onto `f + w.(u - x_t) = 0` inside the box, and

        a = min(|d_1| / (|d_1| + |d_2|), alpha_max)
        x_{t+1} = clip((1 - a) (x_t + eta d_1) + a (x + eta d_2)).

    Where `x_{t+1}` fools, it is kept if it is the nearest yet, and the next step starts at `x + beta (x_{t+1} - x)`.
    The class is the one of least `|f| / |w|_dual`; with `targeted` (FAB-T) each of the likeliest rivals on the clean
    image has a run of its own, in which a point of any other class counts. Where a class is to be reached, f is its
    lead over the best other class.

    The authors consider all K - 1 classes, with a backward pass for each; here at the `candidates` of least `|f|`.
    """

    minimal: ClassVar[bool] = True

    steps: PositiveInt = Field(default=100, description="number of steps per run")
    restarts: PositiveInt = Field(
        default=1, description="number of runs (per target); the first starts at the clean image"
    )
    targeted: bool = Field(default=False, description="FAB-T: one run towards each of the likeliest other classes")
    targets: PositiveInt = Field(default=9, description="for targeted: number of target classes")
    candidates: PositiveInt = Field(
        default=4,
        description="for untargeted: number of classes to consider per step",
        json_schema_extra={"most": "classes - 1"},
    )
    patience: NonNegativeInt = Field(
        default=0, description="stop a run after this number of steps without progress; 0: never"
    )
    alpha_max: float = Field(default=0.1, ge=0, le=1, description="largest weight of the step from the clean image")
    eta: PositiveFloat = Field(default=1.05, description="overshoot factor across the linearised boundary")
    beta: float = Field(
        default=0.9,
        gt=0,
        le=1,
        description="backward-step factor after a success (1 stays, 0 returns to the clean image)",
    )

    @override
    def start(self, problem: Problem, rng: SampleRng) -> FABState:
        clean, zeros = problem.ball.clean, torch.zeros_like(problem.labels)
        rivals = problem.rivals(self.targets if self._one_by_one(problem) else 0)
        never = torch.full_like(clean[:, 0, 0, 0], math.inf)
        return FABState(problem, rng, clean, clean, never, rivals, zeros, never, zeros)

    @override
    def ask(self, state: FABState) -> Crossing:
        problem, run = state.problem, state.step // self.steps
        fresh = state.step % self.steps == 0
        begin = problem.ball.clean if self.restarts == 1 else self._starts(state, run % self.restarts, fresh)
        rivals = state.rivals
        if self._one_by_one(problem):
            rivals = rivals.gather(1, (run // self.restarts).clamp_max(rivals.shape[1] - 1)[:, None])
        return Crossing(state.x, problem, begin, fresh, rivals, self.beta, self.candidates)

    @override
    def tell(self, state: FABState, answer: Answer) -> FABState:
        query, logits, ball = self.ask(state), required(answer.logits), state.problem.ball
        distance = _length((state.x - ball.clean)[:, None], ball.norm)[:, 0]
        distance = distance.masked_fill(~query.hit(logits), math.inf)
        nearer = distance < state.distance
        best = torch.where(nearer.view(-1, 1, 1, 1), state.x, state.best)
        over = state.step >= self._total(state.rivals)
        x = self._step(query.following(logits), ball.clean, required(answer.value), required(answer.slopes), ball.norm)
        return state.replace(
            x=torch.where(over.view(-1, 1, 1, 1), best, x),
            best=best,
            distance=torch.minimum(distance, state.distance),
            **self._paced(state, distance, query.fresh),
        )

    def _paced(self, state: FABState, distance: Tensor, fresh: Tensor) -> dict[str, Tensor]:
        """`step`, `near` and `stale` after a step; a run that comes no nearer ends, as if its steps were made."""
        step = state.step + 1
        if not self.patience:
            return {"step": step}
        fell = distance < state.near * (1 - GAIN)
        near = torch.where(fell, distance, state.near).masked_fill(fresh, math.inf)
        stale = torch.where(fell | near.isinf(), 0, state.stale + 1)
        spent = stale >= self.patience
        return {"step": torch.where(spent, -(-step // self.steps) * self.steps, step), "near": near, "stale": stale}

    @override
    def done(self, state: FABState) -> Tensor:
        return state.step > self._total(state.rivals)

    @override
    def result(self, state: FABState) -> Candidate:
        return Candidate(state.x)

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        runs = self.restarts * (min(self.targets, classes - 1) if self.targeted else 1)
        queries = runs * self.steps + 1
        return 2 * queries, queries * (1 if self.targeted else min(self.candidates, classes - 1))

    def _one_by_one(self, problem: Problem) -> bool:
        return self.targeted and not problem.targeted

    def _total(self, rivals: Tensor) -> int:
        """Steps of all runs."""
        return self.steps * self.restarts * max(1, rivals.shape[1])

    def _step(self, x: Tensor, clean: Tensor, f: Tensor, slopes: Tensor, norm: str) -> Tensor:
        """`x_{t+1}` from `x_t` `[N, C, H, W]`, leads `[N, Q]` and their gradients `[N, Q, C, H, W]`."""
        w = slopes.flatten(2)
        if w.shape[1] == 1:
            f, w = f[:, 0], w[:, 0]
        else:
            nearest = (f.abs() / torch.linalg.vector_norm(w, DUAL[norm], dim=2).add_(1e-12)).argmin(1)
            rows = torch.arange(len(w), device=w.device)
            f, w = f[rows, nearest], w[rows, nearest]
        pair = torch.stack([x.flatten(1), clean.flatten(1)], 1)
        gaps = torch.stack([-f, (w * (pair[:, 0] - pair[:, 1])).sum(1) - f], 1)
        moves = close_gaps(pair, w, gaps, norm)
        lengths = _length(moves, norm).clamp_min_(1e-8)
        share = (lengths[:, :1] / lengths.sum(1, keepdim=True)).clamp_max_(self.alpha_max)
        pair.add_(moves, alpha=self.eta)
        return torch.lerp(pair[:, 0], pair[:, 1], share).clamp_(0, 1).view_as(x)

    def _starts(self, state: FABState, restart: Tensor, fresh: Tensor) -> Tensor:
        """Where new runs start: the clean image, or from the second run (towards a target) on, a random point.

        That is on the sphere of radius `min(distance, eps) / 2`, clipped to [0, 1].
        """
        ball = state.problem.ball
        rows = (fresh & (restart > 0)).nonzero().flatten()
        if not len(rows):
            return ball.clean
        rng, norm, shape = state.rng[rows].fold(state.step[rows]), ball.norm, ball.clean.shape[1:]
        toward = rng.uniform(*shape, low=-1, high=1) if norm == "linf" else rng.normal(*shape)
        toward = toward.to(ball.clean)
        reach = torch.minimum(state.distance[rows], ball.eps[rows])
        reach = torch.where(reach.isinf(), REACH[norm], reach) / 2
        share = (reach / _length(toward.flatten(1)[:, None], norm)[:, 0]).view(-1, 1, 1, 1)
        return ball.clean.index_copy(0, rows, (ball.clean[rows] + share * toward).clamp_(0, 1))


def _length(moves: Tensor, norm: str) -> Tensor:
    """The norm of moves `[N, P, ...]`, `[N, P]`."""
    length: Tensor = torch.linalg.vector_norm(moves.flatten(2), ORDERS[norm], dim=2)
    return length
